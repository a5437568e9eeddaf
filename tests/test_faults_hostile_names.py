"""Hostile names: of models, suites, tasks, files and rows. Each is refused in a sentence, or only ever read."""

import importlib
import json
import re

import pytest
from hostile_words import DEVICES, EMPTY, LONG, LOOKALIKES, NAMES, SHELL, TRAVERSAL, UNPRINTABLE, tree
from plugin_project import SUITE

from pytest_ftbench.cli import main
from pytest_ftbench.grid import CellRecord, ModelSpec, Results, UserError, model_name, parse_cell
from pytest_ftbench.ml.base import check_source, is_local
from pytest_ftbench.ml.hub import check_id
from pytest_ftbench.store import Store, read_json, write_json
from pytest_ftbench.tasks import TASK_NAMES

for room in ("analysis", "report", "report.html", "report.markdown"):
    # pytester forgets what it imported, and numpy can't be imported twice
    importlib.import_module(f"pytest_ftbench.{room}")

HUB_IDS = ("Qwen/Qwen3-0.6B", "gpt2", "microsoft/Phi-3.5-mini-instruct", "a_b/c.d-e")
# of a name on the Hub these are refused; others are names, if odd ones
NO_IDS = (*TRAVERSAL[:1], *TRAVERSAL[2:3], *TRAVERSAL[4:6], *UNPRINTABLE, *LOOKALIKES[:3], *LONG, *SHELL[:4], *EMPTY)


def short(name):
    """A name for a test of a name."""
    return f"{ascii(name)[:24]}-{len(name)}"


def sentence(error):
    """What is said to a user: one line, nothing a terminal obeys, no longer than anybody reads."""
    said = str(error)
    assert said.isprintable()
    assert len(said) < 1000
    return said


@pytest.fixture
def project(pytester):
    """A project whose cells are only collected: no library is imported."""
    pytester.makepyfile(test_cells="def test_cell(result): pass")
    (pytester.path / "suite.toml").write_text(SUITE, encoding="utf-8")

    def run(*arguments):
        quick = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:benchmark", "--collect-only", "-q")
        return pytester.runpytest_inprocess(*quick, "--ftbench-cache", "cache", *arguments)

    return pytester, run


@pytest.mark.parametrize("name", NO_IDS, ids=short)
def test_what_is_no_id_on_the_hub_is_refused_before_its_library_sees_it(name):
    with pytest.raises(UserError) as caught:
        check_id("models.m", name, None)
    assert "is no folder here and no Hub id; name a folder, or an id as OWNER/NAME." in sentence(caught.value)
    assert caught.value.place == "models.m"


@pytest.mark.parametrize("revision", [*NO_IDS, "a" * 201, "refs/../../x", "/main"], ids=short)
def test_what_is_no_revision_is_refused(revision):
    with pytest.raises(UserError) as caught:
        check_id("models.m", "Qwen/Qwen3-0.6B", revision)
    assert "is no revision; name a branch, a tag or a commit." in sentence(caught.value)


@pytest.mark.parametrize("revision", [None, "main", "refs/pr/7", "v1.0", "0123456789abcdef" * 2])
@pytest.mark.parametrize("name", HUB_IDS)
def test_honest_ids_and_revisions_pass(name, revision):
    check_id("models.m", name, revision)


@pytest.mark.parametrize("name", NAMES, ids=short)
def test_a_source_is_refused_or_a_name_whatever_it_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = False
    try:
        check_source(ModelSpec("m", name))
    except UserError as error:
        refused = bool(sentence(error))
    # what passes is looked for on the Hub, and what is here is a folder, without a model in it
    assert refused or name in (*LOOKALIKES, *DEVICES, *SHELL)
    assert is_local(ModelSpec("m", name)) in (True, False)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("name", NAMES, ids=short)
def test_the_name_made_of_a_source_is_part_of_an_id(name):
    made = model_name(name)
    assert made.isascii()
    assert made.isprintable()
    assert not set(made) & set("/\\ :;$|")
    assert made not in ("", ".", "..")
    assert parse_cell(f"{made}-base-to-arc").model == made


def quiet(outcome):
    """What a run of pytest said, in which is no traceback and nothing that a terminal obeys."""
    said = "\n".join([*outcome.outlines, *outcome.errlines])
    assert "Traceback" not in said
    assert "INTERNALERROR" not in said
    assert "OSError" not in said
    assert "\x1b[2J" not in said
    return said


@pytest.mark.parametrize("option", ["--ftbench-model", "--ftbench-data", "--ftbench-suite"])
def test_an_option_that_names_nothing_is_answered_by_a_sentence(project, faults, option):
    pytester, run = project
    names = [name for name in NAMES if "\x00" not in name and len(name) < 1000]
    chosen = names[:: len(names) // faults(5, len(names))]
    before = tree(pytester.path)
    given = () if option == "--ftbench-suite" else ("--ftbench-suite", "suite.toml")
    for name in chosen:
        outcome = run(*given, f"{option}={name}")
        assert quiet(outcome), name
        assert tree(pytester.path) == before
    print(f"{len(chosen)} names for {option}: each answered by a sentence or taken for a name, 0 files written")


@pytest.mark.parametrize("name", ["a\x00b", "x" * 300, "y" * 250 + ".json", "no/" * 1500 + "x"], ids=range(4))
@pytest.mark.parametrize("kind", ["json", "html"])
def test_a_file_that_can_have_no_such_name_is_refused_before_anything_runs(project, kind, name):
    pytester, run = project
    # a plugin may ask for what no command line can
    pytester.makeconftest(
        f"""
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_configure(config):
            config.option.ftbench_{kind} = {name!r}
        """
    )
    said = quiet(run("--ftbench-suite", "suite.toml"))
    refused = "is no place for a file; name a file in a folder." in said
    assert refused != (len(name) == 255)


def test_the_longest_name_a_file_can_have_is_written(tmp_path):
    path = tmp_path / ("y" * 250 + ".json")
    write_json(path, {"half a character": "\ud83d", "\udfff": 1})
    assert read_json(path) == {"half a character": "\ud83d", "\udfff": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("cache", ["a\x00b", "x" * 300, "~nobody-of-that-name/x"], ids=range(3))
def test_a_cache_that_can_be_nowhere_is_refused(project, monkeypatch, cache):
    pytester, run = project
    if "\x00" not in cache:
        monkeypatch.setenv("FTBENCH_CACHE", cache)
        quiet(run("--ftbench-suite", "suite.toml", "--ftbench-cache", ""))
    with pytest.raises(UserError, match="can't be used as cache"):
        Store(pytester.path / cache.replace("~nobody", "\x00"))


@pytest.mark.parametrize("key", ["models", "tasks", "methods", "quantizations", "gate"])
def test_a_suite_of_hostile_names_is_a_sentence(project, faults, key):
    pytester, run = project
    chosen = NAMES[:: len(NAMES) // faults(4, len(NAMES))]
    for name in chosen:
        quoted = json.dumps(name)
        table = {
            "models": f'[models]\n{quoted} = "embedded:nano"\n[methods]\nbase = {{}}\n[tasks]\neval = ["arc"]\n',
            "tasks": f'[models]\nnano = "embedded:nano"\n[methods]\nbase = {{}}\n[tasks]\neval = [{quoted}]\n',
            "methods": f'[models]\nnano = "embedded:nano"\n[methods.{quoted}]\n[tasks]\neval = ["arc"]\n',
            "quantizations": f"quantizations = [{quoted}]\n{SUITE}",
            "gate": f"{SUITE}\n[gate.{quoted}]\nfloor = 1\n",
        }[key]
        (pytester.path / "suite.toml").write_text(table, encoding="utf-8")
        outcome = run("--ftbench-suite", "suite.toml")
        assert re.search("suite.toml|tests? collected", quiet(outcome)), name
        # an id takes such a name as it is, however long
        taken = key == "models" and re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name)
        assert taken or outcome.ret != pytest.ExitCode.OK, name
    print(f"{len(chosen)} names as {key}: each refused in a sentence")


def test_the_folders_of_the_store_are_named_by_digests_whatever_the_material_is(tmp_path):
    store = Store(tmp_path / "cache", print)
    for name in (*NAMES, *TASK_NAMES):
        folder = store.get("records", {"id": name}, lambda empty: write_json(empty / "record.json", {"id": "x"}))
        assert folder.parent == tmp_path / "cache" / "records"
        assert len(folder.name) == 32
        assert set(folder.name) <= set("0123456789abcdef")
    outside = {path.split("/")[0] for path in tree(tmp_path)}
    assert outside == {"cache"}
    print(f"{len(NAMES)} hostile names: {len(list((tmp_path / 'cache' / 'records').iterdir()))} entries, 0 outside")


def test_stored_results_of_hostile_names_are_read_and_nothing_else_is_written(pytester):
    records = []
    for index, name in enumerate(NAMES):
        record = CellRecord(id=name, model=name, method="lora", eval_task=name, train_task=name, rank=index, error=name)
        record.status, record.extra = "failed", {"provenance": {"data": name}}
        records.append(record)
    told = {name: name for name in NAMES}
    results = Results(NAMES[0], records, told | {"git_sha": NAMES[-2]}, {name: {name: {name: 1.0}} for name in NAMES})
    (pytester.path / "results.json").write_text(json.dumps(results.to_json()), encoding="utf-8")
    written = [f"--ftbench-{kind}=again.{kind}" for kind in ("json", "markdown", "html")]
    outcome = pytester.runpytest_inprocess(
        *("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:benchmark", "--ftbench-cache=cache", "-q"),
        *("--ftbench-from=results.json", "--ftbench-baseline=results.json", "--ftbench-gate=off", *written),
    )
    assert outcome.ret == pytest.ExitCode.OK
    quiet(outcome)
    assert all(line.isprintable() for line in outcome.outlines)
    assert set(tree(pytester.path)) == {"results.json", "again.json", "again.markdown", "again.html"}
    again = json.loads((pytester.path / "again.json").read_text(encoding="utf-8"))
    assert [cell["id"] for cell in again["cells"]] == list(NAMES)


def test_a_baseline_is_never_written_where_a_suites_name_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    record = CellRecord(id="nano-base-to-arc", model="nano", method="base", eval_task="arc", status="ok", n=9)
    record.scores = {"macro_f1": 0.5}
    accepted = []
    for name in NAMES:
        (tmp_path / "results.json").write_text(json.dumps(Results(name, [record]).to_json()), encoding="utf-8")
        before = tree(tmp_path)
        code = main(["baseline", "accept", "results.json", "--reason", "they are right"])
        said = capsys.readouterr()
        assert all(line.isprintable() for line in (said.out + said.err).splitlines())
        new = set(tree(tmp_path)) - set(before) - {"baselines"}
        assert new == (set() if code else {f"baselines/{name}.json"})
        accepted += [name] if code == 0 else []
    assert set(accepted) <= {*DEVICES, "nano"}
    print(f"{len(NAMES)} names of suites: {len(accepted)} baselines of that name, the others refused in a sentence")
