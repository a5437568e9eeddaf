"""Suite files: what they expand to, and the one sentence that each mistake in one gets."""

import copy
import json
import math
import tempfile
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies_grid import json_values

from pytest_ftbench.grid import Cell, HubSource, Recipe, Thresholds, UserError, load_suite

TASKS = ("arc", "openmath", "squad")
VALID = {
    "name": "mine",
    "seeds": [0],
    "device": "auto",
    "dtype": "auto",
    "recipe": {"learning_rate": 1e-3, "packing": False},
    "models": {"nano": "embedded:nano", "big": {"source": "Org/Big-1B", "revision": "main", "methods": ["base"]}},
    "methods": {"base": {}, "nopeft": {}, "lora": {"ranks": [8, 64], "lora_alpha": 16, "recipe": {"optim": "sgd"}}},
    "tasks": {"train": ["arc", "squad"], "eval": ["arc", "openmath", "squad"]},
    "data": {"source": "embedded", "train_samples": 10, "test_samples": 5, "hub": {"squad": {"id": "rajpurkar/squad"}}},
    "evaluation": {"max_new_tokens": 32, "batch_size": 4, "reasoning": "off", "latency_prompts": 0, "epochs": [1]},
    "checks": {"off": ["V01"], "format_rate": 0.8, "overlap": 2},
}
GONE = object()


def toml(value):
    """A value as TOML; tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def write(path, value):
    path.write_text("".join(f"{toml(key)} = {toml(inner)}\n" for key, inner in value.items()), encoding="utf-8")
    return path


def changed(*changes):
    """The valid suite with other values at some places, each a dotted path (or a tuple of keys)."""
    suite = copy.deepcopy(VALID)
    for place, value in changes:
        *parents, last = place.split(".") if isinstance(place, str) else place
        table = suite
        for parent in parents:
            table = table.setdefault(parent, {})
        if value is GONE:
            del table[last]
        else:
            table[last] = value
    return suite


@pytest.fixture
def load(tmp_path):
    """Loads the valid suite with changes."""
    return lambda *changes: load_suite(write(tmp_path / "mine.toml", changed(*changes)), TASKS)


def sentence(path):
    """What is said of a broken suite file; it is one line that begins with the file and ends with a full stop."""
    with pytest.raises(UserError) as caught:
        load_suite(path, TASKS)
    said = str(caught.value)
    assert said.isprintable()
    assert said.startswith(f"{path}: ")
    assert said.endswith(".")
    assert "; " in said
    return said.removeprefix(f"{path}: ")


def test_the_grid_is_the_product_of_what_the_file_names(load):
    ids = [cell.id for cell in load().cells()]
    assert ids[:5] == [
        "nano-base-to-arc",
        "nano-base-to-openmath",
        "nano-base-to-squad",
        "nano-nopeft-arc-to-arc",
        "nano-nopeft-arc-to-openmath",
    ]
    assert "nano-lora-r64-squad-to-openmath" in ids
    assert len(ids) == 3 + 2 * 3 * (1 + 2) + 3


def test_a_method_without_ranks_has_none_in_its_cells(load):
    ranks = {cell.method: cell.rank for cell in load(("methods.lora.ranks", [8])).cells()}
    assert ranks == {"base": None, "nopeft": None, "lora": 8}


def test_the_untuned_model_is_tested_once_per_task_also_with_several_seeds(load):
    cells = load(("seeds", [0, 1, 2])).cells()
    base = [cell for cell in cells if cell.is_base]
    assert [(cell.model, cell.eval_task) for cell in base] == [(m, t) for m in ("nano", "big") for t in TASKS]
    assert not any(cell.seeded for cell in base)


def test_a_suite_without_the_method_base_has_no_base_cell(load):
    assert not any(cell.is_base for cell in load(("methods.base", GONE), ("models.big", GONE)).cells())


def test_ids_carry_the_seed_only_where_it_tells_cells_apart(load):
    assert not any(cell.seeded for cell in load().cells())
    several = load(("seeds", [0, 1])).cells()
    assert all(cell.seeded != cell.is_base for cell in several)
    assert Cell("nano", "nopeft", "arc", "squad", seed=0, seeded=True) in several
    # an id without a seed means seed 0
    other = load(("seeds", [3])).cells()
    assert all(cell.id.endswith("-s3") for cell in other if not cell.is_base)


def test_the_cells_of_a_checkpoint_are_side_by_side(load):
    cells = load(("seeds", [0, 1])).cells()
    keys = [key for key, _ in groupby(cells, key=lambda cell: cell.checkpoint_key)]
    assert len(keys) == len(set(keys)) == 2 + 2 * 2 * 3


def test_a_model_can_take_part_in_some_methods_only(load):
    methods = {(cell.model, cell.method) for cell in load().cells()}
    assert methods == {("nano", "base"), ("nano", "nopeft"), ("nano", "lora"), ("big", "base")}


def test_a_method_has_the_suites_recipe_but_for_its_own_changes(load):
    suite = load()
    assert suite.recipe_for("nopeft") == Recipe(name="mine", learning_rate=1e-3)
    assert suite.recipe_for("lora") == Recipe(name="mine", learning_rate=1e-3, optim="sgd")
    assert suite.method("lora").options == {"lora_alpha": 16}
    assert load(("recipe", "published")).recipe == Recipe()


def test_the_epochs_of_a_curve_are_kept_as_snapshots_but_for_each_methods_last(load):
    assert load(("evaluation.epochs", GONE)).evaluation.epochs == ()
    suite = load(
        ("recipe.num_train_epochs", 10), ("methods.lora.recipe.num_train_epochs", 3.5), ("evaluation.epochs", [1, 3])
    )
    assert suite.evaluation.epochs == (1, 3)
    assert (suite.snapshot_epochs("nopeft"), suite.snapshot_epochs("lora")) == ((1, 3), (1, 3))
    suite = load(
        ("recipe.num_train_epochs", 10), ("methods.lora.recipe.num_train_epochs", 3), ("evaluation.epochs", [1, 3])
    )
    assert (suite.snapshot_epochs("nopeft"), suite.snapshot_epochs("lora")) == ((1, 3), (1,))


def test_epochs_are_no_mistake_where_nothing_is_trained(load):
    only_base = {"base": {}}
    assert load(("methods", only_base), ("evaluation.epochs", [30])).evaluation.epochs == (30,)


def test_what_the_file_leaves_out_has_its_default(tmp_path):
    path = tmp_path / "short.toml"
    path.write_text('models.nano = "embedded:nano"\nmethods.base = {}\ntasks.eval = ["arc"]\n', encoding="utf-8")
    suite = load_suite(path, TASKS)
    assert (suite.name, suite.place, suite.seeds, suite.recipe) == ("short", path, (0,), Recipe())
    assert [cell.id for cell in suite.cells()] == ["nano-base-to-arc"]


def test_folders_are_looked_for_beside_the_file_and_hub_ids_stay(load, tmp_path, monkeypatch):
    (tmp_path / "Org" / "There").mkdir(parents=True)
    (tmp_path / "rows").mkdir()
    monkeypatch.chdir("/")
    suite = load(
        ("models", {"here": "Org/There", "dotted": "./absent", "hub": "Org/Elsewhere", "own": "embedded:nano"}),
        ("data.source", "rows"),
        ("evaluation.embedder", "rows"),
        ("data.hub", {"squad": "Org/rows", "arc": {"id": "rows", "config": "c"}}),
    )
    assert [model.source for model in suite.models] == [
        str(tmp_path / "Org" / "There"),
        str(tmp_path / "absent"),
        "Org/Elsewhere",
        "embedded:nano",
    ]
    assert suite.data.source == suite.evaluation.embedder == str(tmp_path / "rows")
    assert suite.data.hub == {"squad": HubSource("Org/rows"), "arc": HubSource(str(tmp_path / "rows"), "c")}


def test_a_data_folder_is_a_path_even_where_it_isnt_there_yet(load, tmp_path):
    assert load(("data.source", "to/come")).data.source == str(tmp_path / "to" / "come")
    assert load(("data.source", "hub")).data.source == "hub"


@pytest.mark.parametrize("embedder", ["bag-of-words", "sentence-transformers/all-MiniLM-L6-v2"])
def test_an_embedder_is_the_bag_of_words_a_hub_id_or_a_folder(load, tmp_path, embedder):
    (tmp_path / "bag-of-words").mkdir()  # the word means the same wherever it stands
    assert load().evaluation.embedder == "bag-of-words"
    assert load(("evaluation.embedder", embedder)).evaluation.embedder == embedder
    assert load(("evaluation.embedder", "./absent")).evaluation.embedder == str(tmp_path / "absent")


def test_the_checks_of_a_suite_are_its_thresholds(load):
    assert load().checks == Thresholds(off=("V01",), format_rate=0.8, overlap=2)
    assert load(("checks", GONE)).checks == Thresholds()


@pytest.mark.parametrize(
    ("place", "value", "near"),
    [
        ("model", {}, "models"),
        ("seed", 1, "seeds"),
        ("models.big.sorce", "x", "source"),
        ("methods.lora.rank", [8], "ranks"),
        ("methods.lora.lora_alfa", 8, "lora_alpha"),
        ("methods.nopeft.recipes", {}, "recipe"),
        ("methods.lora.recipe.learning_rat", 1, "learning_rate"),
        ("recipe.learnin_rate", 1, "learning_rate"),
        ("tasks.evals", [], "eval"),
        ("data.sources", "x", "source"),
        ("data.hubs", {}, "hub"),
        ("data.hub.squad.revison", "x", "revision"),
        ("evaluation.max_tokens", 5, "max_new_tokens"),
        ("evaluation.epoch", [1], "epochs"),
        ("evaluation.embeder", "x", "embedder"),
        ("checks.format_rat", 0.5, "format_rate"),
    ],
)
def test_a_misspelt_key_is_named_with_the_key_that_was_meant(tmp_path, place, value, near):
    said = sentence(write(tmp_path / "mine.toml", changed((place, value))))
    assert said.startswith(f"{place}: is an unknown key; did you mean {near!r}?")


@pytest.mark.parametrize(
    ("changes", "place", "fix"),
    [
        ([("models", GONE)], "[models]: is missing", "add a table [models]"),
        ([("methods", GONE)], "[methods]: is missing", "add a table [methods]"),
        ([("tasks", GONE)], "[tasks]: is missing", "add a table [tasks]"),
        ([("models", {})], "the grid has no cell", "name at least one model, one method and one eval task"),
        ([("methods", {}), ("models.big", GONE)], "the grid has no cell", "one method"),
        ([("tasks.eval", [])], "the grid has no cell", "one eval task"),
        ([("tasks", {})], "the grid has no cell", "one eval task"),
        ([("tasks.train", []), ("methods.base", GONE), ("models.big", GONE)], "the grid has no cell", "name at least"),
        ([("models.big.methods", []), ("models.nano", GONE)], "the grid has no cell", "name at least"),
        ([("methods.qlorra", {})], "methods.qlorra: is no method", "did you mean 'qlora'?"),
        ([("methods.base.x", 1)], "methods.base.x: is an unknown key", "known are quantizations"),
        ([("methods.nopeft.ranks", [8])], "methods.nopeft.ranks: is given for a method without", "remove the key"),
        ([("methods.base.ranks", [8])], "methods.base.ranks: is given for a method without", "remove the key"),
        ([("methods.base.recipe", {"packing": True})], "methods.base.recipe: is given for", "remove the key"),
        ([("methods.lora.ranks", GONE)], "methods.lora.ranks: is missing", "ranks = [8]"),
        ([("methods.lora.ranks", [])], "methods.lora.ranks: is []", "above 0"),
        ([("methods.lora.ranks", 8)], "methods.lora.ranks: is 8", "give a list"),
        ([("methods.lora.ranks", [8, 8])], "the cell nano-lora-r8-arc-to-arc is there twice", "once"),
        ([("tasks.eval", ["arc", "arc"])], "the cell nano-base-to-arc is there twice", "once"),
        ([("tasks.train", ["squad", "squad"])], "is there twice", "once"),
        ([("seeds", [1, 1])], "nano-nopeft-arc-to-arc-s1 is there twice", "once"),
        ([("seeds", [])], "seeds: is []", "as in [0, 1, 2]"),
        ([("seeds", 3)], "seeds: is 3", "give a list"),
        ([("seeds", [-1])], "seeds: is [-1]", "whole numbers"),
        ([("seeds", [True])], "seeds: is [True]", "whole numbers"),
        ([("seeds", [0.0])], "seeds: is [0.0]", "whole numbers"),
        ([("tasks.train", ["ark"])], "tasks.train: names 'ark'", "did you mean 'arc'?"),
        ([("tasks.eval", ["arc", "squadron"])], "tasks.eval: names 'squadron'", "did you mean 'squad'?"),
        ([("tasks.eval", "arc")], "tasks.eval: is 'arc'", "give a list"),
        ([("tasks.eval", ["ARC"])], "tasks.eval: is ['ARC']", "give a list of names"),
        ([("tasks.eval", [1])], "tasks.eval: is [1]", "give a list of names"),
        ([("models.big.methods", ["nopft"])], "models.big.methods: names 'nopft'", "did you mean 'nopeft'?"),
        ([("models.big.source", GONE)], "models.big.source: is missing", "embedded:NAME"),
        ([("models.big.source", 1)], "models.big.source: is 1", "type str"),
        ([("models.big.revision", False)], "models.big.revision: is False", "type str"),
        ([("models.nano", 5)], "models.nano: is 5", "write it as a table"),
        ([("models.nano", "~nobody-of-that-name/x")], "models.nano: is no path", "name a folder"),
        ([("models.nano", "x" * 5000)], "models.nano: is no path", "name a folder"),
        ([("data.source", "a\0b")], "data.source: is no path", "name a folder"),
        ([(("models", "Nano"), "embedded:nano")], "models.Nano: is no name for an id", "lower-case"),
        ([(("models", "a b"), "embedded:nano")], "models.a b: is no name for an id", "lower-case"),
        ([(("models", "-a"), "embedded:nano")], "models.-a: is no name for an id", "lower-case"),
        ([(("models", ""), "embedded:nano")], "models.: is no name for an id", "lower-case"),
        ([(("models", "a\nb"), "embedded:nano")], "models.a\\nb: is no name for an id", "lower-case"),
        ([(("a\nb\x1b[31m",), 1)], "a\\nb\\x1b[31m: is an unknown key", "known are"),
        ([("data.hub.squadd", "x")], "data.hub.squadd: is no task", "did you mean 'squad'?"),
        ([("data.hub", "x")], "data.hub: is 'x'", "write it as a table"),
        ([("data.hub.squad", 1)], "data.hub.squad: is 1", "write it as a table"),
        ([("recipe", "publish")], "recipe: is 'publish'", "choose one of published"),
        ([("recipe", 1)], "recipe: is 1", "write it as a table"),
        ([("dtype", "float16")], "dtype: is 'float16'", "choose one of auto, float32, bfloat16"),
        ([("dtype", ["auto"])], "dtype: is ['auto']", "choose one of"),
        ([("evaluation.reasoning", True)], "evaluation.reasoning: is True", "give a value of type str"),
        ([("evaluation.reasoning", "maybe")], "evaluation.reasoning: is 'maybe'", "choose one of on, off, unlocked"),
        ([("checks.off", "V01")], "checks.off: is 'V01'", "list codes of V01 to V17"),
        ([("checks.off", ["V18"])], "checks.off: is ['V18']", "list codes of V01 to V17"),
        ([("checks.off", ["V03", "V17"])], "checks.off: names V17, which decides rankings", "remove it"),
        ([("checks.format_rate", 90)], "checks.format_rate: is 90", "give a fraction of 0 to 1"),
        ([("checks.format_rate", "0.9")], "checks.format_rate: is '0.9'", "give a number"),
        ([("checks.alpha_per_rank", -1)], "checks.alpha_per_rank: is -1", "give 0 or more"),
        ([("checks.merge_gap", math.inf)], "checks.merge_gap: is inf", "give 0 or more"),
        ([("checks.confidence", 1)], "checks.confidence: is 1", "give a fraction between 0 and 1"),
        ([("checks.overlap", 0.5)], "checks.overlap: is 0.5", "give a whole number"),
        ([("checks.overlap", True)], "checks.overlap: is True", "give a whole number"),
        ([("checks", 3)], "checks: is 3", "write it as a table"),
        ([("evaluation.epochs", 3)], "evaluation.epochs: is 3", "ascending whole numbers above 0"),
        ([("evaluation.epochs", [0, 1])], "evaluation.epochs: is [0, 1]", "ascending whole numbers above 0"),
        ([("evaluation.epochs", [1, 1])], "evaluation.epochs: is [1, 1]", "ascending whole numbers above 0"),
        ([("evaluation.epochs", [2, 1])], "evaluation.epochs: is [2, 1]", "as in [3, 10, 30]"),
        ([("evaluation.epochs", [1.0])], "evaluation.epochs: is [1.0]", "as in [3, 10, 30]"),
        ([("evaluation.epochs", [True])], "evaluation.epochs: is [True]", "as in [3, 10, 30]"),
        ([("evaluation.epochs", ["1"])], "evaluation.epochs: is ['1']", "as in [3, 10, 30]"),
        (
            [("evaluation.epochs", [1, 2])],
            "evaluation.epochs: names epoch 2, but nopeft trains for 1",
            "name none beyond it, or raise num_train_epochs in the recipe",
        ),
        (
            [("recipe.num_train_epochs", 5), ("methods.lora.recipe.num_train_epochs", 2.5), ("evaluation.epochs", [3])],
            "evaluation.epochs: names epoch 3, but lora trains for 2.5",
            "name none beyond it",
        ),
        ([("evaluation.embedder", "bag_of_words")], "evaluation.embedder: is 'bag_of_words'", "give bag-of-words, a"),
        ([("evaluation.embedder", "")], "evaluation.embedder: is ''", "OWNER/NAME"),
        ([("evaluation.embedder", 3)], "evaluation.embedder: is 3", "type str"),
        ([("methods.lora.target_modules", 3)], "methods.lora.target_modules: is 3", "give a list of names"),
        ([("methods.lora.target_modules", [3])], "methods.lora.target_modules: is [3]", "give a list of names"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place_and_its_fix(tmp_path, changes, place, fix):
    said = sentence(write(tmp_path / "mine.toml", changed(*changes)))
    assert said.startswith(place) or place in said.partition(";")[0]
    assert fix in said.partition(";")[2]


@pytest.mark.parametrize(
    "place",
    [
        "data.train_samples",
        "data.test_samples",
        "evaluation.max_new_tokens",
        "evaluation.batch_size",
        "evaluation.latency_prompts",
        "evaluation.latency_warmup",
        "evaluation.latency_tokens",
        "recipe.learning_rate",
        "recipe.num_train_epochs",
        "recipe.max_length",
        "recipe.per_device_train_batch_size",
        "methods.lora.recipe.warmup_ratio",
        "methods.lora.lora_alpha",
        "methods.lora.lora_dropout",
    ],
)
@pytest.mark.parametrize("value", [True, "8", [8], {}, -1, -0.5, math.nan, math.inf])
def test_a_number_that_makes_no_sense_is_named(tmp_path, place, value):
    said = sentence(write(tmp_path / "mine.toml", changed((place, value))))
    assert said.startswith(f"{place}: is {value!r}; give a")


@pytest.mark.parametrize(
    "place", ["data.train_samples", "evaluation.batch_size", "evaluation.latency_tokens", "recipe.max_length"]
)
def test_a_count_is_no_fraction_and_at_least_one(tmp_path, place):
    assert "give a value of type int" in sentence(write(tmp_path / "mine.toml", changed((place, 1.5))))
    assert sentence(write(tmp_path / "mine.toml", changed((place, 0)))) == f"{place}: is 0; give at least 1."


@pytest.mark.parametrize("place", ["name", "recipe.optim", "data.source", "models.big.source"])
def test_a_text_is_a_text(tmp_path, place):
    said = sentence(write(tmp_path / "mine.toml", changed((place, 1))))
    assert said == f"{place}: is 1; give a value of type str."


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "", 1])
def test_a_device_is_one_of_those_there_are(tmp_path, device):
    said = sentence(write(tmp_path / "mine.toml", changed(("device", device))))
    assert said == f"device: is {device!r}; give auto, cpu, cuda or cuda:N."


def test_warming_up_takes_no_longer_than_training(tmp_path):
    said = sentence(write(tmp_path / "mine.toml", changed(("recipe.warmup_ratio", 100))))
    assert said == "recipe.warmup_ratio: is 100; give a fraction of all steps, 0 to 1."


@pytest.mark.parametrize("table", ["models", "methods", "tasks", "data", "evaluation", "methods.lora"])
@pytest.mark.parametrize("value", [1, True, "text", []])
def test_a_table_is_a_table(tmp_path, table, value):
    said = sentence(write(tmp_path / "mine.toml", changed((table, value))))
    assert said == f"{table}: is {value!r}; write it as a table."


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"models = ", "is not valid TOML"),
        (b"[models]\n[models]\n", "is not valid TOML"),
        (b"seeds = " + b"[" * 3000 + b"]" * 3000, "is not valid TOML"),
        (b'name = "caf\xe9"', "is not UTF-8 text"),
        (b"", "[models]: is missing"),
    ],
)
def test_a_file_that_is_no_suite_is_said_to_be_none(tmp_path, content, problem):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    assert sentence(path).startswith(problem)


def test_a_file_that_is_not_there_or_a_folder_cant_be_read(tmp_path):
    assert sentence(tmp_path / "absent.toml").startswith("can't be read (No such file")
    assert sentence(tmp_path).startswith("can't be read (Is a directory")


def test_other_models_take_the_places_of_the_suites_own(load):
    suite = load().with_models(["big", "Org/Other-2B", "Org/Third"])
    assert [(model.name, model.source, model.methods) for model in suite.models] == [
        ("big", "Org/Big-1B", ("base",)),
        ("other-2b", "Org/Other-2B", ("base",)),
        ("third", "Org/Third", ("base",)),
    ]
    with pytest.raises(UserError, match="two models share a name"):
        load().with_models(["a/same", "b/same"])


def places(value, path=()):
    """The path of every value inside a nested one."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))


toml_values = json_values.filter(lambda value: "null" not in json.dumps(value)) | st.floats() | st.just({})


def assert_suite_or_sentence(value):
    """Check that loading the file ends in one of the two ways it may end in."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "any.toml", value)
        try:
            cells = load_suite(path, TASKS).cells()
        except UserError as error:
            said = str(error)
        else:
            assert cells
            return
    assert said.isprintable()
    assert said.startswith(str(path))


@given(st.sampled_from([place for place in places(VALID) if place]), toml_values, st.booleans())
@settings(deadline=None)
def test_whatever_a_key_holds_the_file_is_a_suite_or_a_sentence(place, value, beside):
    assert_suite_or_sentence(changed(((*place[:-1], "other"), value) if beside else (place, value)))


@given(st.dictionaries(st.sampled_from(sorted(VALID)) | st.text(), toml_values, max_size=4))
@settings(deadline=None)
def test_whatever_the_file_holds_it_is_a_suite_or_a_sentence(value):
    assert_suite_or_sentence(value)
