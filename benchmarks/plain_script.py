"""What one would write without a harness: a script that trains one checkpoint, and one that answers one task with it.

Each run is a process of its own that imports, loads, does one thing the plain way (TRL's trainer as the recipe is
declared, ``generate()`` prompt by prompt) and ends. ``benchmarks/speed_suite.py`` runs these beside the harness.

    python benchmarks/plain_script.py train  SUITE CELL FOLDER [--few STEPS]
    python benchmarks/plain_script.py answer SUITE CELL FOLDER [--few PROMPTS]

With ``--few`` only so much is done, and the seconds that the rest would take are told. The last line printed is an
object of JSON.
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoModelForCausalLM, TrainerCallback

from pytest_ftbench.grid import Cell, Suite, load_suite, parse_cell
from pytest_ftbench.ml.adapters import peft_config
from pytest_ftbench.ml.base import end_tokens, find_base, load_tokenizer
from pytest_ftbench.ml.prompts import Renderer, training_examples
from pytest_ftbench.ml.rows import RowSource
from pytest_ftbench.ml.runtime import Runtime
from pytest_ftbench.ml.sft import Training, make_trainer
from pytest_ftbench.tasks import TASK_NAMES, get_task


class Few(TrainerCallback):  # type: ignore[misc] # transformers is Any to mypy
    """Ends a training after so many steps; ``at`` is when each was over."""

    def __init__(self, steps: int | None, runtime: Runtime) -> None:
        self.steps, self.runtime = steps, runtime
        self.at: list[float] = []

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look at the clock."""
        self.runtime.synchronize()
        self.at.append(time.perf_counter())
        control.should_training_stop |= state.global_step == self.steps


def train(suite: Suite, cell: Cell, folder: Path, runtime: Runtime, few: int | None) -> dict[str, Any]:
    """Train as the suite's recipe says, by TRL alone."""
    base = find_base(suite.model(cell.model)).folder
    tokenizer, model = load_tokenizer(base), AutoModelForCausalLM.from_pretrained(base, dtype=runtime.torch_dtype)
    task, recipe = get_task(str(cell.train_task)), suite.recipe_for(cell.method)
    rows = RowSource.of(suite).train(task)
    examples, _ = training_examples(Renderer(tokenizer, suite.evaluation.reasoning), task, rows, recipe.max_length)
    steps = recipe.steps(len(examples))
    adapter = peft_config(suite.method(cell.method), cell.rank, steps)
    clock = Few(few, runtime)
    with TemporaryDirectory() as scratch:
        training = Training(examples, recipe, adapter, cell.seed)
        trainer = make_trainer(model.to(runtime.device), tokenizer, training, runtime, Path(scratch))
        trainer.add_callback(clock)
        trainer.train()
    trainer.save_model(str(folder))
    if few is None or steps <= few:
        return {"left": 0.0}
    return {"left": (clock.at[-1] - clock.at[0]) / (len(clock.at) - 1) * (steps - few)}


def answer(suite: Suite, cell: Cell, folder: Path, runtime: Runtime, few: int | None) -> dict[str, Any]:
    """Answer the task's test rows one by one, and score them."""
    import torch
    from peft import PeftModel

    base = find_base(suite.model(cell.model)).folder
    tokenizer = load_tokenizer(base)
    is_adapter = (folder / "adapter_config.json").is_file()
    source = base if cell.is_base or is_adapter else folder
    model = AutoModelForCausalLM.from_pretrained(source, dtype=runtime.torch_dtype).to(runtime.device).eval()
    ends = sorted(end_tokens(model, tokenizer))
    if is_adapter:
        model = PeftModel.from_pretrained(model, folder)
    task = get_task(cell.eval_task)
    rows, renderer = RowSource.of(suite).test(task), Renderer(tokenizer, suite.evaluation.reasoning)
    outputs, begun = [], time.perf_counter()
    for row in rows[:few]:
        batch = tokenizer(renderer.prompt(task.messages(row)), add_special_tokens=False, return_tensors="pt")
        with torch.inference_mode():
            found = model.generate(
                **batch.to(runtime.device),
                do_sample=False,
                max_new_tokens=suite.evaluation.max_new_tokens,
                eos_token_id=ends,
                pad_token_id=tokenizer.pad_token_id,
            )
        outputs.append(tokenizer.decode(found[0, batch["input_ids"].shape[1] :], skip_special_tokens=True))
    seconds = time.perf_counter() - begun
    if len(outputs) < len(rows):
        return {"left": seconds / len(outputs) * (len(rows) - len(outputs))}
    return {"left": 0.0, "scores": task.score(outputs, rows)["scores"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "answer"))
    parser.add_argument("suite", type=Path)
    parser.add_argument("cell", type=parse_cell)
    parser.add_argument("folder", type=Path, help="the checkpoint's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--few", type=int, help="steps or prompts to do, instead of all")
    arguments = parser.parse_args()
    suite = load_suite(arguments.suite, TASK_NAMES)
    runtime = Runtime.choose(arguments.device, "auto")
    work = train if arguments.what == "train" else answer
    print(json.dumps(work(suite, arguments.cell, arguments.folder, runtime, arguments.few)))


if __name__ == "__main__":
    main()
