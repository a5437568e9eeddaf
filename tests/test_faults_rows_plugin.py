"""A data folder that is wrong is a collection error: a sentence with file, row and column, and nothing is trained."""

import json

import pyarrow
import pyarrow.parquet  # before pytester takes note of what is imported: a second time it wouldn't work
import pytest
from plugin_project import SUITE, Project

from pytest_ftbench import lab
from pytest_ftbench.tasks import get_task

TASKS = ("arc", "facts", "openmath", "squad")
SPAN = {"context": "Arel went to Marsa.", "question": "Where to?", "answer": "Marsa"}
ROW = {"question": "Which? A. x B. y", "answer": "A"}


def with_row(**changes):
    """Two sound rows of ARC and one with these values."""
    return [ROW, ROW, ROW | changes]


def without(column):
    return [ROW, {key: value for key, value in ROW.items() if key != column}]


# file, its content (rows, bytes, or a table), what is said after the file's name
FAULTS = [
    ("train-ai2_arc.jsonl", without("answer"), "line 2, column 'answer': is missing; give it a str."),
    ("test-ai2_arc.jsonl", without("question"), "line 2, column 'question': is missing; give it a str."),
    ("train-ai2_arc.jsonl", with_row(answer=None), "line 3, column 'answer': holds null; give it a str."),
    ("train-ai2_arc.jsonl", with_row(question=["a"]), "line 3, column 'question': holds list ['a']; give it a str."),
    ("train-ai2_arc.jsonl", with_row(answer="D"), "line 3, column 'answer': 'D' is none of the question's options;"),
    ("train-ai2_arc.jsonl", with_row(question=" "), "line 3, column 'question': is empty;"),
    ("train-ai2_arc.jsonl", with_row(question="\ud800?"), "line 3, column 'question': holds half a character"),
    ("train-ai2_arc.jsonl", with_row(question="x" * 2 * 10**6), "line 3, column 'question': holds 2,000,000 character"),
    ("train-ai2_arc.jsonl", [ROW | {"id": "a"}, ROW | {"id": "a"}], "line 2, column 'id': 'a' is the id of line 1 too"),
    ("test-ai2_arc.jsonl", [[1, 2]], "line 1: is no object; write one JSON object per line."),
    ("test-ai2_arc.jsonl", b'{"question": "Which?"', "line 1: is no JSON (Expecting ',' delimiter at character"),
    ("test-ai2_arc.jsonl", b"question,answer\n", "line 1: is no JSON (Expecting value at character 1)"),
    ("test-ai2_arc.jsonl", b"[" * 100_000, "line 1: is no JSON (maximum recursion depth"),
    ("test-ai2_arc.jsonl", b'{"answer": "A", "answer": "B"}', "line 1, column 'answer': is there twice; keep one."),
    ("test-ai2_arc.jsonl", b'{"question": "caf\xe9"}', "line 1, column 'question': holds bytes that are no UTF-8;"),
    (
        "test-ai2_arc.jsonl",
        "Which?".encode("utf-16"),
        "line 1: is no JSON (it is no UTF-8 either); save the file as UT",
    ),
    ("train-ai2_arc.jsonl", b"", "has no rows; add some, or remove the file."),
    ("test-ai2_arc.jsonl", b"\n\n", "has no rows; add some, or remove the file."),
    ("train-ai2_arc.parquet", b"", "can't be read (Parquet file size is 0 bytes); save it as parquet again."),
    ("train-ai2_arc.parquet", b"question,answer\n" * 9, "can't be read (Parquet magic bytes not found in footer"),
    ("train-ai2_arc.parquet", pyarrow.table({"question": ["?"]}), "row 0, column 'answer': is missing; give it a str."),
    (
        "train-ai2_arc.parquet",
        pyarrow.table({"question": ["?"], "answer": [1]}),
        "row 0, column 'answer': holds int 1;",
    ),
    (
        "train-ai2_arc.parquet",
        pyarrow.table({"question": [b"?"], "answer": ["A"]}),
        "row 0, column 'question': holds bytes",
    ),
    ("train-ai2_arc.parquet", pyarrow.table({"question": [], "answer": []}), "has no rows; add some, or remove"),
    ("train-squad_v2.jsonl", [SPAN, SPAN | {"answer": "Lund"}], "line 2, column 'answer': 'Lund' isn't in the contex"),
    ("test-squad_v2.jsonl", [SPAN | {"answers": ["Marsa", 1]}], "line 1, column 'answers': is no list of texts;"),
    ("train-squad_v2.jsonl", [SPAN | {"context": None}], "line 1, column 'context': holds null; give it a str."),
    ("train-OpenMathInstruct-2.jsonl", b'{"question": "?", "answer": 1e400}', "line 1, column 'answer': is no finite"),
    ("train-OpenMathInstruct-2.jsonl", b'{"question": "?", "answer": NaN}', "line 1, column 'answer': is no finite n"),
    ("train-OpenMathInstruct-2.jsonl", b'{"question": "?", "answer": ""}', "line 1, column 'answer': holds str ''; "),
    ("train-OpenMathInstruct-2.jsonl", b'{"question": "?", "answer": %s}' % (b"9" * 5000), "line 1: is no JSON (Excee"),
    ("train-facts.jsonl", [{"question": "Who?", "answer": " "}], "line 1, column 'answer': is empty;"),
]


@pytest.fixture
def project(pytester):
    """A project with a data folder of sound rows of every task; no library that trains is imported."""
    names = '["arc", "facts", "openmath", "squad"]'
    project = Project(pytester, pytester.path / "cache", SUITE.replace('["arc", "squad"]', names))
    project.data = pytester.path / "data"
    project.data.mkdir()
    for name in TASKS:
        for split in ("train", "test"):
            write(project.data / f"{split}-{get_task(name).stem}.jsonl", lab.rows(name, split, 30))
    return project


def write(path, content):
    """A file of rows, of a table, or of these very bytes; it is the only one of its split."""
    path.with_suffix(".jsonl").unlink(missing_ok=True)
    if isinstance(content, pyarrow.Table):
        pyarrow.parquet.write_table(content, path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")


def refused(project, name, words, *arguments):
    """That a run is over at collection, with a sentence on one line; nothing was stored but perhaps locks."""
    outcome = project.run("--ftbench-data", "data", *arguments, new_process="-n" in arguments, columns=400)
    # xdist has no exit code of its own for it
    code = pytest.ExitCode.TESTS_FAILED if "-n" in arguments else pytest.ExitCode.INTERRUPTED
    assert outcome.ret == code, outcome.stdout.str()
    outcome.assert_outcomes(errors=1)
    sentence = f"{project.data / name}: {words}"
    assert any(sentence in line for line in outcome.outlines), outcome.stdout.str()
    assert "Traceback" not in outcome.stdout.str() + outcome.stderr.str()
    made = {path.name for path in project.cache.glob("*")} if project.cache.exists() else set()
    assert made.isdisjoint({"checkpoints", "answers", "records", "timings", "hygiene"})


@pytest.mark.parametrize(("name", "content", "words"), FAULTS, ids=range(len(FAULTS)))
def test_a_bad_file_is_a_collection_error(project, name, content, words):
    write(project.data / name, content)
    refused(project, name, words)


def test_a_mere_list_says_it_too(project):
    name, content, words = FAULTS[0]
    write(project.data / name, content)
    refused(project, name, words, "--collect-only")


def test_two_workers_say_it_too(project, faults):
    chosen = FAULTS[:: faults(16, 4)]
    for name, content, words in chosen:
        stem = name.partition("-")[2].partition(".")[0]
        kept = {path: path.read_bytes() for path in project.data.glob(f"*-{stem}.*")}
        write(project.data / name, content)
        refused(project, name, words, "-n", "2")
        (project.data / name).unlink()
        for path, before in kept.items():
            path.write_bytes(before)
    print(f"{len(chosen)} bad files with -n 2: {len(chosen)} collection errors, 0 trainings")


def test_what_is_said_of_a_suite_is_said_to_each_of_its_modules(project):
    write(project.data / "train-ai2_arc.jsonl", without("answer"))
    project.pytester.makepyfile(test_more="def test_more(cell):\n    pass\n")
    outcome = project.run("--ftbench-data", "data", columns=400)
    assert sum(line.startswith("ERROR test_") for line in outcome.outlines) == 2
    outcome.assert_outcomes(errors=2)


def test_other_tests_run_if_asked_to(project):
    write(project.data / "train-ai2_arc.jsonl", without("answer"))
    project.pytester.makepyfile(test_other="def test_other():\n    pass\n")
    outcome = project.run("--ftbench-data", "data", "--continue-on-collection-errors", columns=400)
    outcome.assert_outcomes(errors=1, passed=1)


def test_files_that_no_task_of_the_suite_needs_are_not_read(project):
    project.write(SUITE.replace('["arc", "squad"]', '["arc"]'))
    write(project.data / "train-squad_v2.jsonl", b"{")
    write(project.data / "validation-ai2_arc.jsonl", b"{")
    assert project.collect("--ftbench-data", "data") == [
        "nano-base-to-arc",
        "nano-nopeft-arc-to-arc",
        "nano-lora-r2-arc-to-arc",
    ]
    outcome = project.run("--ftbench-data", "data", "--ftbench-recipe", "tuned", "--collect-only", columns=400)
    assert outcome.ret == pytest.ExitCode.INTERRUPTED
    outcome.stdout.fnmatch_lines(["*validation-ai2_arc.jsonl: line 1: is no JSON*"])


@pytest.mark.parametrize("key", ["max_new_tokens", "latency_tokens"])
def test_an_answer_that_takes_the_whole_context_is_refused(project, key):
    project.write(
        SUITE.replace("max_new_tokens = 8\n", "" if key == "max_new_tokens" else "max_new_tokens = 8\n")
        + f"{key} = 2048\n"
    )
    outcome = project.run("--collect-only", columns=400)
    assert outcome.ret == pytest.ExitCode.INTERRUPTED
    sentence = (
        f"*suite.toml: evaluation.{key}: is 2048, and nano has room for 2048 tokens, question and answer; give less.*"
    )
    outcome.stdout.fnmatch_lines([sentence])


def test_too_few_rows_to_choose_a_learning_rate_by_are_a_collection_error(project):
    project.write(SUITE.replace('["arc", "squad"]', '["arc"]'))
    refused(project, "train-ai2_arc.jsonl", "has too few rows to choose learning rates by", "--ftbench-recipe", "tuned")
