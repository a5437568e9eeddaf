"""The columns that say which checkpoint a row is: model, method, rank, and what else tells rows apart."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_ftbench.grid import CheckpointKey, method_label
from pytest_ftbench.report.layout import Column, Text
from pytest_ftbench.report.words import ABSENT, clean, elided, short_names

_METHOD_ROOM = 8
_RANK_ROOM = 5


def model_room(width: int) -> int:
    """The characters a model's name may take in a table of that width: 12 at 100 columns."""
    return max(10, width // 8)


@dataclass
class Names:
    """Models' and methods' names as they fit a table of ``width`` characters; and what was shortened, to be said."""

    keys: Sequence[CheckpointKey]
    width: int
    models: dict[str, str] = field(init=False)
    methods: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.models = short_names((key.model for key in self.keys), model_room(self.width))
        methods = [method_label(key.method) for key in self.keys]
        # tables of changes have a base row even where no base was run
        self.methods = short_names([*methods, method_label("base")], _METHOD_ROOM)

    @property
    def shortened(self) -> dict[str, str]:
        """The full text of every name that tables show shortened."""
        pairs = [*self.models.items(), *self.methods.items()]
        return {short: clean(name) for name, short in pairs if short != clean(name)}

    def model(self, keys: Sequence[CheckpointKey | None]) -> Column:
        """The models of these rows (None: an empty cell)."""
        return _words("Model", [key and self.models[key.model] for key in keys])

    def way(self, keys: Sequence[CheckpointKey | None]) -> list[Column]:
        """Method and rank of these rows, and quantization and seed where these differ anywhere in the study."""
        columns = [
            _words("Method", [key and self.methods[method_label(key.method)] for key in keys]),
            _numbers("r", [key and elided(_shown(key.rank), _RANK_ROOM) for key in keys]),
        ]
        if any(key.quantization is not None for key in self.keys):
            columns.append(_words("Quant", [key and elided(_shown(key.quantization), _RANK_ROOM) for key in keys]))
        if any(key.seed != self.keys[0].seed for key in self.keys):
            columns.append(_numbers("Seed", [key and elided(_shown(key.seed), _RANK_ROOM) for key in keys]))
        return columns


def _shown(value: object) -> str:
    return ABSENT if value is None else clean(value)


def _words(heading: str, cells: Sequence[str | None]) -> Column:
    return Column(heading, [Text(cell or "") for cell in cells], words=True)


def _numbers(heading: str, cells: Sequence[str | None]) -> Column:
    return Column(heading, [Text(cell or "") for cell in cells])
