"""The report as Markdown, read by a parser of such tables: what is meant is what is read, and nothing of it acts."""

import html
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from strategies_hostile import SNIPPETS, hostile, hostile_results
from test_report_text import MARKS, PUBLISHED, TRIVIAL, record

from pytest_ftbench.grid import QUESTIONS, STUDIES, Results, read_results
from pytest_ftbench.report import render_markdown
from pytest_ftbench.report.github import LIMIT, escaped, listed, size
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Style, Text
from pytest_ftbench.report.markdown_table import body, head
from pytest_ftbench.report.words import clean

OUR_HTML = re.compile(r"</?details>|<details open>|<summary>(?:[^<>]|<span>\$</span>)*</summary>|<br>|</?span>")
OUR_TOKENS = {
    *("paragraph", "heading", "inline", "table", "thead", "tbody", "tr", "th", "td", "bullet_list", "list_item"),
    *("html_block", "html_inline", "text", "strong"),
}
# what GitHub would make something of in finished text: mentions, references, addresses, emoji, mathematics
ACTIVE = re.compile(r"@\w|#\d|\bGH-\d|://|www\.|:[\w+-]+:", re.IGNORECASE)


def parsed(text):
    """The tokens of a Markdown text, those within lines among the others."""
    for token in MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(text):
        yield token
        yield from token.children or ()


def shown(token):
    """The text of a line as a reader sees it."""
    parts = {"text": lambda child: child.content, "html_inline": lambda child: "\n" * (child.content == "<br>")}
    return "".join(parts[child.type](child) for child in token.children if child.type in parts).replace("\u200b", "")


def tables(text):
    """The cells of each table, by rows, the headings first."""
    found, inside = [], False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open", "th_close", "td_close"):
            inside = token.type.endswith("open")
        elif inside and token.type == "inline":
            found[-1][-1].append(shown(token))
    return found


def points(text):
    """The points of the lists as a reader sees them."""
    tokens = list(MarkdownIt("commonmark").enable("table").parse(text))
    starts = [index for index, token in enumerate(tokens) if token.type == "list_item_open"]
    return [shown(tokens[index + 2]) for index in starts]


def check_harmless(text):
    """Nothing but what we write is markup, and nothing in the text is made active."""
    for token in parsed(text):
        assert token.type.removesuffix("_open").removesuffix("_close") in OUR_TOKENS, token
        if token.type.startswith("html"):
            assert OUR_HTML.sub("", token.content).strip() == "", token.content
        if token.type == "text":
            assert not ACTIVE.search(token.content), token.content
        if token.type == "html_block":
            assert not ACTIVE.search(html.unescape(token.content)), token.content
    # mathematics needs two of them in text that no tag parts
    assert "$" not in text.replace("<span>$</span>", "")


def report(*records, **rest):
    return render_markdown(Results("small", list(records), trivial=rest.pop("trivial", TRIVIAL), **rest))


@given(st.text() | hostile)
def test_escaped_text_reads_as_it_was_written(text):
    (token,) = (token for token in MarkdownIt("commonmark").parse(f"x{escaped(text)}x") if token.type == "inline")
    assert shown(token) == f"x{clean(text)}x"
    check_harmless(f"x {escaped(text)}")
    assert "\n" not in escaped(text)


@pytest.mark.parametrize("text", [*SNIPPETS, "~~s~~"])
def test_each_trick_by_itself_is_harmless_wherever_it_stands(text):
    shown = escaped(text)
    for line in (f"x {shown}", f"| x |\n| -- |\n| {shown} |", f"<summary>{shown}</summary>", *listed([text])):
        check_harmless(line)
    assert not re.search(r"[\\`*_\[\]|~<>]", shown.replace("<span>$</span>", ""))
    assert html.unescape(shown.replace("<span>$</span>", "$")).replace("\u200b", "") == clean(text)


@given(st.lists(st.text() | hostile, min_size=1, max_size=4))
def test_points_of_a_list_stay_points_whatever_they_begin_with(texts):
    lines = listed(texts)
    check_harmless("\n".join(lines))
    assert points("\n".join(lines)) == [clean(text) for text in texts if clean(text)]


@st.composite
def sheets(draw):
    """Any table: labels, groups of columns and sections, with any text in any place."""
    count = draw(st.integers(0, 4))
    cell = st.builds(Text, hostile, hostile | st.just(""), st.sampled_from(Style))
    column = st.builds(Column, hostile | st.just(""), st.lists(cell, min_size=count, max_size=count), st.booleans())
    groups = st.builds(Group, hostile | st.just(""), st.lists(column, min_size=1, max_size=2))
    cut = draw(st.integers(0, count))
    sections = [Section(draw(hostile | st.just("")), rows) for rows in (cut, count - cut)]
    return Sheet(replace(draw(groups), heading=""), draw(st.lists(groups, max_size=2)), sections)


@given(sheets())
def test_a_table_has_exactly_the_cells_that_are_meant(sheet):
    columns = [(group.heading, column) for group in (sheet.labels, *sheet.groups) for column in group.columns]
    rows = [[clean(column.cells[i].body + column.cells[i].tail) for _, column in columns] for i in range(cells(sheet))]
    expected = [["\n".join(clean(text) for text in (over, column.heading) if clean(text)) for over, column in columns]]
    for section in sheet.sections:
        if clean(section.heading):
            expected.append([clean(section.heading), *[""] * (len(columns) - 1)])
        expected += [rows.pop(0) for _ in range(section.rows)]
    (found,) = tables("\n".join([*head(sheet), *body(sheet)]))
    assert found == expected


def cells(sheet):
    return sum(section.rows for section in sheet.sections)


@given(hostile_results())
def test_nothing_in_records_becomes_markup_or_acts(results):
    text = render_markdown(results, detail=True)
    check_harmless(text)
    assert [line for line in text.split("\n") if not line.isprintable()] == []
    for table in tables(text):
        assert len({len(row) for row in table}) == 1
    assert text.count("<details") == text.count("</details>") == text.count("<summary>")


@given(hostile_results(), st.booleans())
def test_no_table_on_top_has_more_than_15_rows_and_no_comment_is_too_long(results, detail):
    text = render_markdown(results, detail)
    assert size(text) <= LIMIT
    assert len(tables(text.partition("<details")[0] + "\n")[0:1] or [[]]) <= 1
    assert all(len(table) <= 1 + 15 for table in tables(text.partition("<details")[0]))


def top(text):
    """The rows on top, without the headings."""
    return tables(text.partition("<details")[0])[0][1:]


def many(count, **rest):
    return [record(rank=rank, score=60.0 + rank / 100, **rest) for rank in range(1, count + 1)]


def test_all_rows_are_on_top_where_there_are_few_and_the_page_says_where_they_are_where_not():
    assert len(top(report(*many(15)))) == 15
    assert not any("folded below" in point for point in points(report(*many(15))))
    text = report(*many(40))
    assert len(top(text)) == 15
    assert "15 of 40 rows; the other 25 are folded below." in points(text)
    full = max(tables(text), key=len)
    assert sum(row[1] == "LoRA" for row in full) == 40


def test_what_a_reviewer_looks_for_is_on_top_though_it_comes_last():
    records = [
        *many(30),
        record(rank=100, score=99.0),
        record(rank=200, status="failed", error="out of memory"),
        record(rank=300, error="its test failed: slow"),
        record(rank=400, format_rate=0.1),
        record(train=None),
    ]
    rows = {row[3]: " ".join(row) for row in top(report(*records))}
    assert len(rows) == 15
    assert "99.00*" in rows["100"]
    assert "failed" in rows["200"]
    assert "†" in rows["300"]
    assert "INVALID" in rows["400"]
    assert "Base" in rows["–"]


def test_neither_failures_nor_bests_take_all_the_room_on_top():
    failed = [record(rank=1000 + rank, status="failed", error="gone") for rank in range(50)]
    best = [record(rank=rank, score=60.0 + rank, train=f"task-{task}") for task in range(20) for rank in (1, 2)]
    text = report(*failed, *best, record(train=None), record(train=None, model="other", format_rate=0.1))
    rows = [" ".join(row) for row in top(text)]
    assert sum("failed" in row for row in rows) == 7
    assert sum("*" in row for row in rows) == 6
    assert sum("Base" in row for row in rows) == 2
    assert "among their cells 43 failed" in " ".join(points(text))


def test_what_failed_is_listed_unfolded_with_its_reason():
    text = report(record(status="failed", error="CUDA out of memory | <b>"), record(rank=2, error="its test failed"))
    assert "**2 cells: 1 ok, 1 failed**" in text
    before, opened, after = text.partition("<details open>\n<summary>Reasons</summary>")
    assert opened
    assert points(after.partition("</details>")[0]) == [
        "nano-lora-r8-squad-to-squad failed: CUDA out of memory | <b>",
        "nano-lora-r2-squad-to-squad †: its test failed",
    ]
    assert "<details" not in before


def test_the_marks_on_top_are_explained_on_top_and_flags_stand_beside_their_scores():
    text = report(record(format_rate=0.3), record(rank=2, score=3.0), record(rank=4), record(train=None))
    rows = {row[3]: row for row in top(text)}
    assert rows["8"][4] == "60.00 INVALID V03"
    assert "<trivial" in rows["2"][4]
    said = points(text.partition("<details")[0])
    assert {mark for mark, start in MARKS.items() if any(each.startswith(start) for each in said)} >= {
        "INVALID",
        "<trivial",
    }
    assert "Trivial on SQuAD v2: always abstaining scores 49.00." in said
    folded = points(text.partition("The flags explained")[2].partition("</details>")[0])
    assert any(each.startswith("V03: only 30 % of the outputs could be read") for each in folded)


def test_a_flag_of_all_tuned_cells_is_named_on_top():
    text = report(record(), record(rank=2), record(train=None))
    assert "V01 to V17: flags, explained below; on all tuned cells V01." in points(text)


def test_what_has_no_room_is_named_with_the_file_that_has_it():
    failed = [record(rank=rank, model="m" * 30, status="failed", error="|" * 500) for rank in range(400)]
    ok = [record(rank=rank, model="n" * 30) for rank in range(1000, 1400)]
    text = render_markdown(Results("big", failed + ok), whole="results|2.json")
    assert LIMIT - 3_000 < size(text) <= LIMIT
    assert "**800 cells: 400 ok, 400 failed**" in text
    last = text.strip().splitlines()[-1]
    assert last.startswith("Left out, for a comment on GitHub has 65,536 characters: Reasons (")
    assert "All rows and columns (" in last
    assert "All of it is in results&#124;2.json; pytest --ftbench-from FILE shows it." in last
    assert text.count("<details") == text.count("</details>")


def test_no_room_for_columns_leaves_a_page_that_says_so():
    wide = [record(f"task-{'|' * 90}{number}") for number in range(400)]
    text = render_markdown(Results("wide", wide))
    assert size(text) <= LIMIT
    assert "400 ok" in text
    assert "Rows on top" in text.splitlines()[-1]


def test_results_without_cells_are_a_heading():
    assert report().startswith("### Fine-tuning comparison: small\n\n**0 cells: 0 ok, 0 failed**\n")
    assert tables(report()) == []


def test_provenance_is_told_as_far_as_it_is_known():
    text = report(
        record(), provenance={"device": "cpu", "packages": {"torch": "2|13"}, "created": None, "x": [[[[1]]]]}
    )
    folded = points(text.partition("<summary>Provenance</summary>")[2].partition("</details>")[0])
    assert folded == ["device: cpu", "packages: torch 2|13", "x: …"]


if PUBLISHED.exists():  # beside a checkout of the project, not in every clone

    def test_the_published_records_are_folded_but_for_15_rows():
        text = render_markdown(read_results(PUBLISHED))
        assert "**48 cells: 48 ok (3 INVALID, 18 <trivial), 0 failed**" in html.unescape(text)
        rows = top(text)
        assert len(rows) == 15
        assert {row[1] for row in rows if row[2] == "Base"} == {"qwen3-0.6b", "qwen3-1.7b"}
        assert sum("INVALID" in " ".join(row) for row in rows) == 2
        check_harmless(text)


def test_the_questions_of_the_results_are_folded_each_with_its_numbers_and_what_their_marks_mean():
    cells = [record(train=None, score=10.0), record(score=60.0), record(rank=2, format_rate=0.1)]
    given = {"questions": ["is-tuning-worth-it", "quantized-answers"]}
    page = render_markdown(Results("s", cells, given, TRIVIAL))
    asked = "Q1 Is fine-tuning worth it, in efficacy and efficiency?"
    first, second = page.partition(f"<summary>{asked}</summary>")[2].split("<summary>")[:2]
    assert "| Trained on | Way | Score |" in first
    assert first.rstrip().removesuffix("<details>").rstrip().endswith("</details>")
    assert second.startswith("Q2 What does answering on quantized weights cost")
    assert "The records can't answer this; missing: " in html.unescape(second)


def test_of_a_large_study_the_answers_are_kept_and_the_tables_end():
    point = {"loss": 1.0, "seconds": 1.0, "scores": {"f1": 40.0}}
    cells = [
        record(
            model=f"model-{index}",
            train=None if rank is None else "squad",
            rank=rank,
            score=31.0 + index % 60,
            n=200,
            memory_gib={"train_reserved": 2.0},
            curve=[point | {"epoch": epoch} for epoch in (1, 2)],
        )
        for index in range(60)
        for rank in (None, *range(4, 12))
    ]
    given = {"questions": list(STUDIES["tune-or-scale"])}
    text = render_markdown(Results("large", cells, given, TRIVIAL), detail=True)
    assert size(text) <= LIMIT
    left_out = text.strip().splitlines()[-1]
    assert "All rows and columns (" in left_out
    for index, name in enumerate(STUDIES["tune-or-scale"], 1):
        assert f"<summary>Q{index} {QUESTIONS[name]}</summary>" in text
    assert "Best way on each task against the untuned model: SQuAD v2:" in html.unescape(text)


def test_a_single_row_left_out_is_one():
    text = render_markdown(Results("s", [record(rank=rank, format_rate=0.1) for rank in range(16)]))
    assert "15 of 16 rows; the other one is folded below, among its cells 1 INVALID." in text


def test_the_flags_are_those_of_the_means_over_seeds():
    cells = [record(train=None, score=10.0), *(replace(record(score=60.0), seed=seed) for seed in (0, 1, 2))]
    cells[-1].format_rate = 0.6
    page = html.unescape(render_markdown(Results("s", cells, {}, TRIVIAL)))
    assert "V03: only 60 % of the outputs could be read, under seed 2 alone" in page
    assert "V01" not in page.partition("flags, explained below")[2]
