"""The table of learning curves as a reader sees it."""

import re

import pytest

from pytest_ftbench.grid import Cell, CellRecord, Results
from pytest_ftbench.report import render

TRIVIAL = {"squad": {"always_abstain": {"f1": 49.0}}}
TITLE = "Learning curves: what one training has reached after so many epochs"
SCORES, LOSSES, SECONDS = (
    "Trained on SQuAD v2, tested on SQuAD v2: F1 ↑",
    "Trained on SQuAD v2: training loss ↓",
    "Trained on SQuAD v2: training seconds",
)


def point(epoch, score, **measured):
    given = {"scores": {"f1": score}, "format_rate": 1.0, "loss": 2.5 / epoch, "seconds": 1.5 * epoch}
    return {"epoch": epoch, **given, **measured}


def record(*points, task="squad", train="squad", method="lora", rank=8, model="nano", **measured):
    """A measured cell whose curve has these points."""
    cell = Cell(model, method if train else "base", task, train, rank if train and method == "lora" else None)
    scores = points[-1]["scores"] if points else {"f1": 60.0}
    given = {"scores": scores, "format_rate": 1.0, "latency_s": {"mean": 0.5}, "curve": list(points)}
    return CellRecord.of(cell, **(given | measured))


STUDY = [
    record(train=None, scores={"f1": 3.0}, format_rate=0.1),
    record(point(3, 91.5), point(10, 95.25), point(100, 96.0), method="nopeft"),
    record(point(3, 2.0, format_rate=0.2), point(10, 40.0), point(100, 88.0)),
]


def part(*records, width=100, color=False):
    """The lines of the learning curves and whatever follows."""
    lines = render(Results("small", list(records), trivial=TRIVIAL), width, color)
    assert sum(TITLE in line for line in lines) == 1
    (start,) = [index for index, line in enumerate(lines) if TITLE in line]
    return lines[start:]


def section(lines, heading):
    """The rows under a heading, each split at its blanks."""
    start = lines.index(heading) + 1
    rows = []
    for line in lines[start:]:
        if not line:
            break
        rows.append(line.split())
    return rows


def plain(line):
    return re.sub(r"\x1b\[\d*m", "", line)


def test_without_a_curve_there_is_no_table():
    lines = render(Results("small", [record(train=None), record()], trivial=TRIVIAL))
    assert not any("Learning curves" in line or "ep 0" in line for line in lines)


def test_score_loss_and_seconds_stand_under_their_epochs():
    lines = part(*STUDY)
    assert lines[2].split("  ")[0] == "Model Method r"
    assert re.findall(r"ep \S+", lines[2]) == ["ep 0", "ep 3", "ep 10", "ep 100"]
    assert section(lines, SCORES) == [
        ["nano", "NoPeft", "–", "3.00!", "91.50", "95.25", "96.00"],
        ["nano", "LoRA", "8", "3.00!", "2.00!", "40.00<", "88.00"],
    ]
    assert section(lines, LOSSES)[0][3:] == ["–", "0.833", "0.250", "0.0250"]
    assert section(lines, SECONDS) == [
        ["nano", "NoPeft", "–", "–", "4.50", "15.0", "150.0"],
        ["nano", "LoRA", "8", "–", "4.50", "15.0", "150.0"],
    ]


def test_the_curves_stand_below_what_transfers():
    lines = render(Results("small", STUDY, trivial=TRIVIAL))
    transfer = next(index for index, line in enumerate(lines) if line.startswith("Transfer:"))
    assert transfer < lines.index(TITLE)


def test_a_column_is_one_epoch_throughout():
    lines = part(*STUDY, record(point(1, 50.0), point(10, 60.0), task="arc", train="arc"))
    header = lines[2]
    ends = [match.end() for match in re.finditer(r"ep \S+", header)]
    for line in lines[4:]:
        if line.startswith("nano"):
            numbers = [match.end() for match in re.finditer(r"[\d.]+|–", line)][-len(ends) :]
            assert numbers == ends


def test_each_pair_has_its_scores_and_each_training_is_told_once():
    records = [
        record(point(3, 50.0), train=train, task=task) for train in ("squad", "arc") for task in ("squad", "arc")
    ]
    headings = [line for line in part(*records) if line.startswith("Trained on")]
    assert headings == [
        SCORES,
        "Trained on SQuAD v2, tested on ARC: F1 ↑",
        LOSSES,
        SECONDS,
        "Trained on ARC, tested on SQuAD v2: F1 ↑",
        "Trained on ARC, tested on ARC: F1 ↑",
        "Trained on ARC: training loss ↓",
        "Trained on ARC: training seconds",
    ]


def text(lines):
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize(
    ("measured", "marks"),
    [
        ({}, set()),
        ({"format_rate": 0.49}, {"! INVALID: under half of the outputs after that epoch"}),
        ({"empty_rate": 0.51}, {"! INVALID: under half of the outputs after that epoch"}),
        ({"scores": {"f1": 49.0}}, {"< after that epoch not better than the best trivial answerer"}),
    ],
)
def test_the_marks_that_occur_are_explained_and_no_others(measured, marks):
    said = text(part(record(point(3, 60.0, **measured), point(10, 70.0))))
    known = {
        "! INVALID: under half of the outputs after that epoch",
        "< after that epoch not better than the best trivial answerer",
    }
    assert {mark for mark in known if mark in said} == marks


def test_the_note_says_what_a_point_is_and_what_its_seconds_are():
    said = text(part(*STUDY))
    assert "one training under its whole learning-rate schedule, not ends of separate trainings" in said
    assert "ep 0: the untuned model." in said
    assert "saving and evaluating are left out" in said
    assert "ep 0" not in text(part(record(point(3, 60.0))))


def test_a_point_that_is_missing_or_unknown_is_a_dash():
    records = [
        record(point(3, 60.0), {"epoch": 10, "scores": {}}, method="nopeft"),
        record(point(10.25, 70.0)),
    ]
    lines = part(*records)
    assert re.findall(r"ep \S+", lines[2]) == ["ep 3", "ep 10", "ep 10.25"]
    assert [row[3:] for row in section(lines, SCORES)] == [["60.00", "–", "–"], ["–", "–", "70.00"]]
    assert [row[3:] for row in section(lines, LOSSES)] == [["0.833", "–", "–"], ["–", "–", "0.244"]]
    assert any(line.startswith("– does not apply") for line in render(Results("small", records)))


MANY = [
    record(*(point(epoch, 50.0 + epoch / 100, format_rate=0.1) for epoch in range(1, 400, 37)), model=model, rank=rank)
    for model in ("a-model-with-a-long-name-1.7b", "a-model-with-a-long-name-0.6b")
    for rank in (8, 64, 1024)
]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_many_epochs_go_into_tables_below_each_other_each_with_its_rows_named(width):
    lines = part(*MANY, width=width)
    assert max(map(len, lines)) <= width
    headers = [line for line in lines if "ep " in line and line.startswith("Model")]
    assert len(headers) == {80: 2, 100: 2, 160: 1}[width]
    shown = [name for line in headers for name in re.findall(r"ep \S+", line)]
    assert shown == [f"ep {epoch}" for epoch in range(1, 400, 37)]
    assert sum(line == SCORES for line in lines) == len(headers)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_five_epochs_of_a_study_fit_side_by_side(width):
    epochs = (3, 10, 30, 100)
    records = [record(*(point(e, 55.5, format_rate=0.1) for e in epochs), model="qwen3-0.6b", rank=r) for r in (8, 64)]
    records.append(record(train=None, model="qwen3-0.6b", format_rate=0.1))
    assert len([line for line in part(*records, width=width) if line.startswith("Model")]) == 1


@pytest.mark.parametrize("width", [80, 100, 160])
def test_colour_changes_nothing_but_colour(width):
    coloured = part(*STUDY, width=width, color=True)
    assert [plain(line) for line in coloured] == part(*STUDY, width=width)
    assert any(re.search(r"\x1b\[31m *2\.00! *\x1b\[0m", line) for line in coloured)
    assert any(re.search(r"\x1b\[2m *40\.00< *\x1b\[0m", line) for line in coloured)


def test_a_task_of_another_version_still_has_its_curve():
    points = [{"epoch": epoch, "scores": {"balls": float(epoch)}} for epoch in (1, 2)]
    lines = part(record(*points, task="juggling", train="clowning", scores={"balls": 2.0}))
    assert section(lines, "Trained on clowning, tested on juggling: balls ↑") == [
        ["nano", "LoRA", "8", "1.000", "2.000"]
    ]


def fact(embedder, train="facts", rank=8):
    """A cell on facts with a curve, its cosines by this embedder."""
    points = [point(epoch, None, scores={"cosine": epoch / 10}) for epoch in (3, 8)] if train else []
    said = {"provenance": {"embedder": embedder}}
    return record(*points, task="facts", train=train, rank=rank, scores={"cosine": 0.8}, extra=said)


@pytest.mark.parametrize(
    ("embedders", "label", "untuned", "first"),
    [
        (("bag-of-words", "bag-of-words"), "BoW cosine", ["0.800", "0.800"], "0.300<"),
        (("Org/A", "Org/A"), "Cosine", ["0.800", "0.800"], "0.300<"),
        (("bag-of-words", "Org/A"), "Cosine", ["0.800", "–"], "0.300"),
    ],
)
def test_a_curve_of_cosines_is_headed_and_judged_as_its_column_is(embedders, label, untuned, first):
    records = [fact(embedders[0], train=None), *(fact(name, rank=rank) for rank, name in enumerate(embedders, 1))]
    lines = render(Results("small", records, trivial={"facts": {"most_typical_fact": {"cosine": 0.5}}}), 160)
    assert any(f" {label} ↑ " in line for line in lines)
    rows = section(lines, f"Trained on Facts, tested on Facts: {label} ↑")
    assert [row[3:] for row in rows] == [[start, first, "0.800"] for start in untuned]


def test_escape_sequences_in_names_are_shown_not_obeyed():
    lines = part(record(point(1, 60.0), task="a\x1b[31mb", train="c\x07"))
    assert "\x1b" not in "".join(lines)
    assert any("Trained on c\\x07, tested on a\\x1b[31mb" in line for line in lines)
