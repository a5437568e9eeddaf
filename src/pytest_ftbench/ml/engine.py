"""Who answers: an engine takes a model and gives the new tokens of each prompt, greedily.

``plain`` is Transformers' ``generate()``, the reference and what answers for everything. A fast engine answers where it
knows the model, and says so in the record; else the record says what kept it from that. The interface is narrow enough
for engines that bring a model of their own.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from pytest_ftbench.grid import DivergedError, UserError
from pytest_ftbench.ml.engine_plain import Plain
from pytest_ftbench.ml.memory import is_shortage

_NO_ROOM = "the device has no room for it beside the model"


class Engine(Protocol):
    """What answers. It holds one model at a time, and whatever it can keep for the next one."""

    name: str

    def load(self, model: Any) -> str | None:
        """Answer for this model from now on, in place of the one before. Returns why it had better not, in words."""

    def generate(
        self, prompts: Sequence[Sequence[int]], budget: int, ends: Collection[int], reached: Callable[[int], None]
    ) -> list[list[int]]:
        """The new tokens of each prompt, none of which is empty, in their order.

        An answer has ``budget`` tokens, or ends earlier in one of ``ends``, which belongs to it. ``reached`` is told
        now and then how many are answered.
        """

    def release(self) -> None:
        """Give back all that it holds on the device; ``load`` comes before the next answer."""

    def told(self) -> dict[str, Any]:
        """What a record says of how it answered: its ``name`` and how many ``rows`` at once, at least."""


class Engines:
    """The engines of one process, which keep what they recorded from one model to the next.

    ``wish`` is what a suite asks for: ``auto``, ``plain`` or ``vllm``.
    """

    def __init__(self, wish: str = "auto") -> None:
        self.wish = wish
        self._kept: dict[str, Any] = {}

    def answers(
        self,
        model: Any,
        tokenizer: Any,
        batch_size: int,
        prompts: Sequence[Sequence[int]],
        budget: int,
        ends: Collection[int],
        reached: Callable[[int], None] = lambda _: None,
    ) -> tuple[list[list[int]], dict[str, Any]]:
        """The new tokens of each prompt by the engine that answers for a model, and what a record is told of it.

        Where a fast one finds no room, not even for one row, the plain one answers. Raises :class:`UserError` where the
        one asked for isn't installed, :class:`DivergedError` where logits aren't numbers.
        """
        engine = self.loaded(model, tokenizer, batch_size)
        try:
            return engine.generate(prompts, budget, ends, reached), engine.told()
        except DivergedError:
            engine.release()  # what isn't a number is in its cache
            raise
        except Exception as error:
            if engine.name == Plain.name or not is_shortage(error):
                raise
            engine.release()
        plain = _plain(model, tokenizer, batch_size, _NO_ROOM)
        return plain.generate(prompts, budget, ends, reached), plain.told()

    def loaded(self, model: Any, tokenizer: Any, batch_size: int) -> Engine:
        """The engine that answers for a model, which it has loaded.

        Raises :class:`UserError` where the one asked for isn't installed.
        """
        why: str | None = "it was asked for"
        if self.wish != "plain":
            engine = self._fast(model)
            try:
                why = engine.refuses(model) or engine.load(model)
            except Exception as error:
                if not is_shortage(error):
                    raise
                why = _NO_ROOM
            if why is None:
                found: Engine = engine
                return found
            engine.release()
        return _plain(model, tokenizer, batch_size, why)

    def release(self) -> None:
        """Leave nothing of any engine on the device."""
        for engine in self._kept.values():
            engine.release()

    def _fast(self, model: Any) -> Any:
        """The engine that is tried before the plain one."""
        kind = "vllm" if self.wish == "vllm" else str(model.device.type)
        if kind not in self._kept:
            self._kept[kind] = _made(kind)
        return self._kept[kind]


def _plain(model: Any, tokenizer: Any, batch_size: int, why: str | None) -> Plain:
    plain = Plain(batch_size, tokenizer.pad_token_id, why)
    plain.load(model)
    return plain


def check_engine(wish: str) -> None:
    """Check, before anything is computed, that the engine a suite asks for is there.

    Raises :class:`UserError` where it isn't.
    """
    if wish == "vllm":
        from pytest_ftbench.ml.engine_vllm import is_installed

        if not is_installed():
            raise UserError("evaluation.engine", "is vllm, which isn't installed", 'pip install "pytest-ftbench[vllm]"')


def _made(kind: str) -> Any:
    check_engine(kind)
    if kind == "vllm":
        from pytest_ftbench.ml.engine_vllm import Vllm

        return Vllm()
    from pytest_ftbench.ml.engine_fast import Fast

    return Fast(kind)
