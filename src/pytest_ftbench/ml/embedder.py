"""How alike texts are by a sentence-transformers model: the cosine of their embeddings, each scaled to length 1.

The model is a folder, or a Hub id that becomes one; it counts by the digest of its files. It computes in float32 on the
suite's device, whatever the suite's dtype, so that scores of different runs compare; and it is there for as long as it
computes, so that it is in no cell's peak of memory. safetensors only, no remote code. Texts longer than its own limit
are cut there. Cosines can be negative; they stay as they are.
"""

import importlib.util
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_ftbench.grid import BAG_OF_WORDS, UserError, first_line
from pytest_ftbench.ml.memory import free
from pytest_ftbench.ml.model_files import check_modules
from pytest_ftbench.ml.runtime import Runtime, at_work
from pytest_ftbench.store import folder_digest, package_versions
from pytest_ftbench.tasks import Task

_KEY = "evaluation.embedder"
_LIBRARY = "sentence-transformers"
_BATCH = 32
# everything that decides what it computes; its modules have folders of their own
_FILES = ("**/*.safetensors", "**/*.json", "**/*.txt", "**/*.model")


def check_embedder(source: str) -> None:
    """Check what can be known of a suite's embedder without loading it.

    Raises :class:`UserError` for a folder that holds none.
    """
    folder = Path(source)
    if source == BAG_OF_WORDS or not (folder.is_dir() or folder.is_absolute()):
        return
    if not folder.is_dir():
        raise UserError(folder, "is no folder", f"name a sentence-transformers model or {BAG_OF_WORDS}")
    _check_folder(folder)


class Embedder:
    """What compares texts in a suite; ``source`` is ``bag-of-words``, a folder or a Hub id."""

    def __init__(self, source: str, runtime: Runtime) -> None:
        self.source = source
        self.runtime = runtime

    def check(self, task: Task) -> None:
        """Check that the task can be scored, downloading the model first where need be.

        Raises :class:`UserError` where the model or the library is missing.
        """
        if task.compares_texts and self.source != BAG_OF_WORDS:
            if importlib.util.find_spec(_LIBRARY.replace("-", "_")) is None:
                fix = 'pip install "pytest-ftbench[facts]"'
                raise UserError(f"{_KEY}: {self.source}", f"needs the library {_LIBRARY}", f"install it with {fix}")
            _check_folder(self._folder)

    def fitted(self, task: Task) -> Task:
        """The task, comparing texts as the suite says."""
        return task if self.source == BAG_OF_WORDS else task.with_similarity(self.similarity)

    def provenance(self, task: Task) -> dict[str, str]:
        """What a record of the task says of it; nothing where the task compares no texts."""
        if not task.compares_texts:
            return {}
        if self.source == BAG_OF_WORDS:
            return {"embedder": BAG_OF_WORDS}
        name = self._folder.name if Path(self.source).is_dir() else self.source
        return {"embedder": name, "embedder_fingerprint": self._fingerprint}

    def material(self, task: Task) -> dict[str, str | None] | None:
        """What of it decides a record's scores; None where nothing does."""
        if not task.compares_texts:
            return None
        return self.provenance(task) | ({} if self.source == BAG_OF_WORDS else package_versions(_LIBRARY))

    def similarity(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The cosine of each pair of texts, -1 to 1."""
        if not pairs:
            return []
        index = {text: number for number, text in enumerate(dict.fromkeys(text for pair in pairs for text in pair))}
        with at_work():
            model = self._load()
            vectors = model.encode(
                list(index),
                batch_size=_BATCH,
                normalize_embeddings=True,
                convert_to_tensor=True,
                show_progress_bar=False,
            ).double()
            left, right = (vectors[[index[pair[side]] for pair in pairs]] for side in (0, 1))
            # rounding can go beyond 1; a value that is no number stays one
            cosines: list[float] = (left * right).sum(dim=1).clamp(-1, 1).tolist()
        del model, vectors, left, right
        free(self.runtime)
        return cosines

    def _load(self) -> Any:
        import torch

        try:
            from sentence_transformers import SentenceTransformer

            return SentenceTransformer(
                str(self._folder),
                device=self.runtime.device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
        except Exception as error:  # whatever is wrong with the files, or with the versions of the libraries
            raise UserError(
                f"{_KEY}: {self.source}", f"can't be loaded ({first_line(error)})", f"name another or {BAG_OF_WORDS}"
            ) from error

    @cached_property
    def _folder(self) -> Path:
        check_embedder(self.source)
        if Path(self.source).is_dir():
            return Path(self.source)
        from pytest_ftbench.ml.hub import hub_model

        return hub_model(self.source, None, _KEY)

    @cached_property
    def _fingerprint(self) -> str:
        return folder_digest(self._folder, _FILES)


def _check_folder(folder: Path) -> None:
    # without this file the library would make something up: the mean over any model's tokens
    if not (folder / "modules.json").is_file():
        raise UserError(folder, "has no modules.json", "name a folder that sentence-transformers saved")
    for path in sorted(folder.glob("**/pytorch_model*.bin")):
        if not any(path.parent.glob("*.safetensors")):
            raise UserError(path, "is pickled", "save the weights as safetensors")
    check_modules(folder)
