"""The columns that say which checkpoint a row is: model, method, rank, and what else tells rows apart."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pytest_ftbench.analysis import task_label
from pytest_ftbench.grid import CheckpointKey, method_label
from pytest_ftbench.report.layout import Column, Text
from pytest_ftbench.report.words import ABSENT, clean, elided, short_names

_METHOD_ROOM = 8
_RANK_ROOM = 5
_TASK_ROOM = 12
_LISTED = 6


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

    def listed(self, keys: Collection[CheckpointKey]) -> str:
        """These checkpoints in a sentence: each way of tuning once, with its train tasks where not all of its are."""
        ways: dict[CheckpointKey, list[CheckpointKey]] = {}
        for key in self.keys:
            ways.setdefault(key._replace(train_task=None), []).append(key)
        texts = []
        for way, trained in ways.items():
            meant = [key for key in trained if key in keys]
            if 0 < len(meant) < len(trained):
                tasks = " and ".join(elided(clean(task_label(str(key.train_task))), _TASK_ROOM) for key in meant)
                texts.append(f"{self.way_of(way)} trained on {tasks}")
            elif meant:
                texts.append(self.way_of(way))
        more = [f"and {len(texts) - _LISTED} more"] if len(texts) > _LISTED else []
        return ", ".join(texts[:_LISTED] + more)

    def way_of(self, way: CheckpointKey) -> str:
        """A way of tuning in a few words, such as ``QLoRA r8 nf4``; model and seed where these differ anywhere."""
        words = [self.models[way.model]] if len(self.models) > 1 else []
        label = method_label(way.method)
        # of another run there may be one that this one hasn't
        words.append(self.methods.get(label, elided(clean(label), _METHOD_ROOM)))
        words += [f"r{elided(clean(way.rank), _RANK_ROOM)}"] if way.rank is not None else []
        words += [elided(clean(way.quantization), _RANK_ROOM)] if way.quantization is not None else []
        if any(key.seed != self.keys[0].seed for key in self.keys):
            words.append(f"s{elided(clean(way.seed), _RANK_ROOM)}")
        return " ".join(words)


def _shown(value: object) -> str:
    return ABSENT if value is None else clean(value)


def _words(heading: str, cells: Sequence[str | None]) -> Column:
    return Column(heading, [Text(cell or "") for cell in cells], words=True)


def _numbers(heading: str, cells: Sequence[str | None]) -> Column:
    return Column(heading, [Text(cell or "") for cell in cells])
