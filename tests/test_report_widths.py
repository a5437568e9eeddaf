"""The same story in every medium, on pages of every width, in colour or not: every table there, none over the edge."""

import html
import re

import pytest
from rich_results import LESS, TABLES, rich_results

from pytest_ftbench.report import encodable, render, render_html, render_markdown

RESULTS = rich_results()
MARKS = ["*", "INVALID", "<trivial", "†", "failed", "skipped", "~", "▲", "✓", "×", "…"]
HEADINGS = ["Trained on ARC", "Trained on SQuAD v2", "Trained on OpenMath", "Base models (no fine-tuning)"]


def plain(line):
    return re.sub(r"\x1b\[\d*m", "", line)


@pytest.fixture(scope="module", params=[80, 100, 160])
def page(request):
    """A width, and the report with everything in it."""
    return request.param, render(RESULTS, request.param, detail=True)


def test_no_line_is_wider_than_the_page_and_none_is_cut(page):
    width, lines = page
    assert [line for line in lines if len(line) > width] == []
    assert [line for line in lines if line.endswith("…")] == []


def test_all_tables_rows_and_marks_are_there(page):
    _, lines = page
    assert [title for title in TABLES if not any(line.startswith(title[:60]) for line in lines)] == []
    assert all(heading in lines for heading in HEADINGS)
    text = "\n".join(lines)
    assert [mark for mark in MARKS if mark not in text] == []
    for way in ("NoPeft", "LoRA", "Base"):
        assert any(line.split()[:2] == ["nano", way] for line in lines)
    assert "nano-lora-r8-arc-to-squad failed: seed 0: CUDA out of memory" in " ".join(text.split())
    assert "Trivial on SQuAD v2: always abstaining scores 49.00." in lines


def test_colour_and_encoding_change_no_column(page):
    width, lines = page
    coloured = render(RESULTS, width, color=True, detail=True)
    assert any("\x1b" in line for line in coloured)
    assert [plain(line) for line in coloured] == lines
    ascii_lines = list(encodable(lines, "ascii"))
    assert [len(line) for line in ascii_lines] == [len(line) for line in lines]
    assert all(line.isascii() for line in ascii_lines)
    assert "\\" not in "".join(ascii_lines)
    assert "".join(ascii_lines).count("?") == "".join(lines).count("?")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_by_default_the_same_numbers_are_there_without_what_is_only_detail(width):
    lines = render(RESULTS, width)
    shown = [title for title in TABLES if any(line.startswith(title[:60]) for line in lines)]
    assert shown == [title for title in TABLES if not title.startswith(LESS)]
    assert max(map(len, lines)) <= width


def test_each_table_of_the_terminal_is_in_the_comment_and_on_the_page_with_what_it_takes_to_read_it():
    lines = render(RESULTS, 100_000, detail=True)
    notes = {line.strip() for line in lines if re.match(r"[A-Z–~?*✓†°\[].{30,}[.]$", line)}
    # on the page a check has its code in a column of its own
    notes = {re.sub(r"^V\d\d[^:]*: ", "", note) for note in notes}
    assert len(notes) > 40
    for text in (render_markdown(RESULTS, detail=True), render_html(RESULTS)):
        shown = html.unescape(re.sub(r"<[^>]*>", " ", text)).replace("\u200b", "")
        shown = " ".join(shown.split())
        assert [title for title in TABLES if title not in shown] == []
        assert [note for note in notes if note not in shown] == []
