"""Makes the folder of an embedded model: a Qwen3 of the lab's shape with random weights, and its tokenizer."""

from pathlib import Path
from typing import Any

from pytest_ftbench import lab
from pytest_ftbench.ml.runtime import LIBRARIES, quiet_libraries
from pytest_ftbench.store import Store, digest, package_versions, source_digest
from pytest_ftbench.tasks import get_task

_TOKENIZER_ROWS = 300


def embedded_base(name: str, store: Store) -> Path:
    """The folder of an embedded model, the same bytes for the same library versions."""
    texts = _texts()
    material = {
        "shape": lab.SHAPES[name],
        "template": lab.CHAT_TEMPLATE,
        "vocabulary": lab.VOCABULARY,
        "texts": digest(texts),
        "seed": lab.SEED,
        "versions": package_versions(*LIBRARIES),
        "code": source_digest(Path(__file__)),
    }

    def build(folder: Path) -> None:
        with quiet_libraries():
            tokenizer = make_tokenizer(texts, lab.VOCABULARY, folder)
            make_weights(lab.SHAPES[name], tokenizer, lab.SEED, folder)

    return store.get("bases", material, build)


def make_tokenizer(texts: list[str], vocabulary: int, folder: Path) -> Any:
    """A byte-level BPE tokenizer, digits one by one, with the lab's chat template, trained on texts and saved."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(lab.SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=lab.END, pad_token=lab.PAD)
    fast.chat_template = lab.CHAT_TEMPLATE
    fast.save_pretrained(folder)
    return fast


def make_weights(shape: dict[str, Any], tokenizer: Any, seed: int, folder: Path, dtype: str = "float32") -> None:
    """A Qwen3 of a shape with random weights, saved as safetensors."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        **{"vocab_size": len(tokenizer), **shape},
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config).to(getattr(torch, dtype))
    model.save_pretrained(folder)


def _texts() -> list[str]:
    """What the tokenizer is trained on: prompts and targets of the world's rows."""
    texts = []
    for name in lab.TASKS:
        task = get_task(name)
        for row in lab.rows(name, _TOKENIZER_ROWS):
            texts += [message["content"] for message in task.messages(row)] + [task.target(row)]
    return texts
