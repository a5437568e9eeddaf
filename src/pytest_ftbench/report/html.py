"""The report as one page that opens anywhere: no script, nothing from outside, and nothing foreign that isn't escaped.

The policy at its head has a browser refuse whatever isn't the page's own style sheet, known by its digest.
"""

from collections.abc import Callable, Iterator, Sequence

from pytest_ftbench.grid import Results
from pytest_ftbench.report.contents import Contents
from pytest_ftbench.report.curve_table import CURVE_TITLE
from pytest_ftbench.report.figure import Drawing
from pytest_ftbench.report.figure_heat import heat_map
from pytest_ftbench.report.figure_learning import learning_figure
from pytest_ftbench.report.figure_memory import memory_figure
from pytest_ftbench.report.figure_ranks import rank_figure
from pytest_ftbench.report.figure_scatter import scatter
from pytest_ftbench.report.flag_marks import FINDINGS_TITLE
from pytest_ftbench.report.gate_table import GATES_TITLE
from pytest_ftbench.report.html_outputs import outputs
from pytest_ftbench.report.html_sections import Answered, checks, failures, gates, notes, provenance, questions
from pytest_ftbench.report.html_style import STYLE
from pytest_ftbench.report.html_table import html_table
from pytest_ftbench.report.markup import Markup, anchor, digest, join, tag
from pytest_ftbench.report.statistics import Baseline, Part
from pytest_ftbench.report.story import NO_WIDTH, Story, tell
from pytest_ftbench.report.svg import can_draw
from pytest_ftbench.report.transfer_table import TRANSFER_TITLE

NO_FIGURES = (
    "Figures need matplotlib, which isn't installed: pip install 'pytest-ftbench[html]'. Their numbers are in the "
    "tables."
)
_POLICY = f"default-src 'none'; style-src '{digest(STYLE)}'; base-uri 'none'; form-action 'none'"
_FIGURES: Sequence[tuple[str, Callable[[Story], Drawing | None]]] = (
    ("Score against latency", scatter),
    ("Transfer", heat_map),
    ("Score against rank", rank_figure),
    ("Learning curves", learning_figure),
    ("Memory", memory_figure),
)
_FULL_TITLE = "All cells: score, speed and form by task"
_SHOWN_ELSEWHERE = (TRANSFER_TITLE, CURVE_TITLE, FINDINGS_TITLE)  # under their figures, and among the flags
MANY_CELLS = 400
"""Beyond so many cells nobody reads comparisons on every task with every other way."""
_Section = tuple[str, Markup]
"""A heading, and what stands under it."""


def render_html(
    results: Results | Contents, baseline: Baseline | None = None, answers: Sequence[Answered] | None = None
) -> str:
    """The page. Cells of several seeds are shown as one; the ranking is held against the ``baseline``'s.

    ``answers`` are what is said to questions (None: what the records say to those of the suite). Without matplotlib the
    page has every table, and says what the figures need. Equal results make equal bytes.
    """
    story = tell(Contents.of(results, baseline), NO_WIDTH, detail=True, most=MANY_CELLS)
    name = f"suite: {story.suite}"
    asked = [Answered.of(answer) for answer in story.answers] if answers is None else answers
    sections = [(title, body) for title, body in _sections(story, asked) if body]
    facts = [story.counts, *story.facts]
    links = [tag("li", tag("a", title, href=f"#s-{anchor(title)}")) for title, _ in sections]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{name} – fine-tuning comparison"),
        tag("style", Markup(STYLE)),
    )
    body = tag(
        "body",
        tag("a", "Skip to the results", href="#results", class_="skip"),
        tag("header", tag("h1", f"Fine-tuning comparison, {name}"), *(tag("p", text) for text in facts)),
        tag("nav", tag("ul", *links), aria_label="Contents"),
        tag("main", *(_section(title, inner) for title, inner in sections), id="results"),
        tag("footer", tag("p", "Made by pytest-ftbench from stored records; it holds no script and loads nothing.")),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _sections(story: Story, answers: Sequence[Answered]) -> Iterator[_Section]:
    results = story.contents.results
    yield GATES_TITLE, Markup() if story.gates is None else gates(story.gates)
    yield "Questions", questions(answers)
    if story.sheet is not None:
        hint = Markup() if can_draw() else tag("p", NO_FIGURES, class_="hint")
        meaning = [*story.baselines, *story.columns, *story.cautions]
        yield "Cells", join(hint, html_table(_FULL_TITLE, story.sheet), notes(meaning))
        for title, draw in _FIGURES:
            drawing = draw(story)
            yield title, Markup() if drawing is None else _figure(drawing)
        others = (part for part in story.parts if part.title not in _SHOWN_ELSEWHERE)
        yield "Costs, speeds and statistics", join(*map(_table, others))
        yield "Flags", checks(story)
        yield "Outputs", outputs(results.cells, results.trivial)
    yield "What failed", failures(story)
    yield "Provenance", provenance(results)


def _section(title: str, body: Markup) -> Markup:
    name = f"s-{anchor(title)}"
    return tag("section", tag("h2", title, id=name), body, aria_labelledby=name)


def _table(part: Part) -> Markup:
    if part.sheet is None:
        return join(tag("p", part.title), notes(part.notes))
    return join(html_table(part.title, part.sheet), notes(part.explained))


def _figure(drawing: Drawing) -> Markup:
    """The figure where it can be drawn, and the table of its numbers in any case."""
    drawn = drawing.svg() if can_draw() else None
    figure = Markup()
    if drawn is not None:
        label = f"Figure: {drawing.title}"
        box = tag("div", drawn, class_="scroll", role="group", tabindex=0, aria_label=label)
        figure = tag("figure", tag("figcaption", drawing.title), box)
    caption = drawing.title if drawn is None else f"Numbers: {drawing.title}"
    key = drawing.key if drawn is not None else ()
    return join(figure, html_table(caption, drawing.sheet), notes([*key, *drawing.notes]))
