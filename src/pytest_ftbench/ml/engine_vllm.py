"""vLLM behind the same interface, where it is installed: ``[evaluation] engine = "vllm"``.

It is given a folder of merged weights and tokens, and nothing else: no adapter of whatever kind or rank goes through
its own adapter code, which refuses DoRA and LoRA above rank 512. What is not merged the plain engine answers for.

Written against the interface of vLLM 0.11 (``LLM``, ``SamplingParams``, ``TokensPrompt``). The calls are tested with
a stand-in; vLLM itself, its speed and how far its answers are from those at batch 1 were not run. It takes its share
of the GPU at once, so that one suite on a GPU can use it.
"""

import gc
import tempfile
from collections.abc import Callable, Collection, Sequence
from importlib.util import find_spec
from typing import Any

_SHARE = 0.5  # of the GPU's memory: the model that is timed is there too
_SEED = 0


def is_installed() -> bool:
    """Whether there is a vLLM to import."""
    return find_spec("vllm") is not None


class Vllm:
    """vLLM's offline engine, greedy, one model at a time; each is handed over as a folder."""

    name = "vllm"

    def __init__(self) -> None:
        self._engine: Any = None

    def refuses(self, model: Any) -> str | None:
        """Why it can't answer for a model, in words; None where it can."""
        if hasattr(model, "peft_config"):
            return "an adapter is beside its weights"
        if getattr(model, "hf_quantizer", None) is not None or getattr(model.config, "quantization_config", None):
            return "its weights are quantized"
        return None

    def load(self, model: Any) -> str | None:
        """Answer for this model from now on; nothing speaks against any that it takes."""
        import torch
        import vllm

        self.release()
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            self._engine = vllm.LLM(
                model=folder,
                skip_tokenizer_init=True,
                dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
                seed=_SEED,
                gpu_memory_utilization=_SHARE if torch.cuda.is_available() else 0.9,
            )
        return None

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        budget: int,
        ends: Collection[int],
        reached: Callable[[int], None] = lambda _: None,
    ) -> list[list[int]]:
        """The new tokens of each prompt, the end token included.

        Raises RuntimeError where an answer is missing or longer than was asked for: a request that fails is no answer.
        """
        import vllm

        sampling = vllm.SamplingParams(
            temperature=0.0,
            max_tokens=budget,
            stop_token_ids=sorted(ends),
            ignore_eos=True,  # the end tokens are those given
            detokenize=False,
        )
        wanted = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        outputs = self._engine.generate(wanted, sampling, use_tqdm=False)
        if len(outputs) != len(prompts):
            raise RuntimeError(f"vLLM answered {len(outputs)} of {len(prompts)} prompts")
        answers = [_tokens(output, ends) for output in outputs]
        for answer in answers:
            if not 0 < len(answer) <= budget:
                raise RuntimeError(f"vLLM gave an answer of {len(answer)} tokens where 1 to {budget} were asked for")
        reached(len(answers))
        return answers

    def release(self) -> None:
        """Give back its share of the GPU."""
        self._engine = None
        gc.collect()

    def told(self) -> dict[str, Any]:
        """What a record says of how it answered."""
        from pytest_ftbench.store import package_versions

        return {"name": self.name, "rows": None, **package_versions("vllm")}


def _tokens(output: Any, ends: Collection[int]) -> list[int]:
    """The tokens of one answer with its end token, which some versions leave out."""
    [only] = output.outputs
    tokens = [int(token) for token in only.token_ids]
    stopped = only.finish_reason == "stop" and isinstance(only.stop_reason, int)
    if stopped and only.stop_reason in ends and (not tokens or tokens[-1] not in ends):
        tokens.append(only.stop_reason)
    return tokens
