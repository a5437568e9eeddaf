"""The report as one page: well-formed, without anything that runs or is fetched, and the same bytes every time."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies_compare import TRIVIAL, foreign_records, record, trivials
from strategies_items import suite_records

from pytest_ftbench.analysis import Standing, TransferEntry, full_table
from pytest_ftbench.analysis.disagreements import disagreements
from pytest_ftbench.analysis.pareto import dominators
from pytest_ftbench.analysis.tradeoffs import trade_offs
from pytest_ftbench.grid import Results
from pytest_ftbench.report import render_html
from pytest_ftbench.report.figure_heat import colours_of
from pytest_ftbench.report.html_sections import Answered
from pytest_ftbench.report.html_style import STYLE
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Text
from pytest_ftbench.report.looks import _told_apart
from pytest_ftbench.report.markup import digest, tag, visible

HOSTILE = (
    "<script>alert(1)</script></style></title></svg>]]><img src=x onerror=alert(2)>|`$(x)`$x^2$ &amp; \"'\x00\x1b[31m"
    "\u202e\u2066\ud800\ufffe\u0301\u0301\u0301\u0301\n--> <!-- javascript:alert(3) http://evil.example/"
)
VOID = {"meta"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
needs_matplotlib = pytest.mark.skipif(not HAS_MATPLOTLIB, reason="matplotlib, which draws the figures, isn't installed")


class Page(HTMLParser):
    """What a browser would find: the elements, open ones closed in order, and the text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.words, self.problems = [], [], [], []
        self.feed(text)
        self.close()
        self.problems += [f"{name} is never closed" for name in self.open]

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name, attributes):
        self.elements.append((name, dict(attributes)))

    def handle_endtag(self, name):
        if not self.open or self.open.pop() != name:
            self.problems.append(f"{name} is closed where it isn't open")

    def handle_data(self, text):
        self.words.append((self.open[-1] if self.open else "", text))

    def handle_comment(self, text):
        self.problems.append(f"a comment: {text}")

    def all(self, name):
        return [attributes for element, attributes in self.elements if element == name]

    @property
    def text(self):
        return " ".join(text for place, text in self.words if place != "style")


def check(text):
    """That a page is well-formed, runs nothing, fetches nothing, and refers to nothing that isn't there."""
    page = Page(text)
    assert page.problems == []
    ElementTree.fromstring(text)
    names = {name for name, _ in page.elements}
    assert names.isdisjoint({"script", "iframe", "object", "embed", "link", "img", "image", "form", "base", "a:href"})
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name, attributes in page.elements:
        for key, value in attributes.items():
            assert not key.startswith("on")
            assert key not in ("style", "src", "srcset", "srcdoc", "action")
            if key in ("href", "aria-labelledby"):
                assert all(part.removeprefix("#") in ids for part in value.split())
            if key in ("href", "clip-path", "fill") and (("#" in value and name != "path") or "url" in value):
                assert re.fullmatch(r"#[\w.-]+|url\(#[\w.-]+\)", value)
    assert "style-src 'sha256-" in policy(page)
    assert [place for place, words in page.words if "@import" in words or "url(" in words] == []
    return page


def policy(page):
    return next(each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy")


def study(**changes):
    cells = [replace(each, **changes) for each in suite_records(n=30)]
    for each in cells:
        each.items = [item | {"output": f"\\boxed{{{item['parsed']}}}"} for item in each.items]
    return Results("small", cells, {"device": "cpu"}, TRIVIAL)


def hostile():
    """A study in whose every text somebody wrote what HTML would obey."""
    results = study(model=HOSTILE, error=HOSTILE, quantization=HOSTILE, eval_dtype=HOSTILE)
    for each in results.cells:
        each.method += HOSTILE
        each.id, each.train_task = f"{each.id} {HOSTILE}", each.train_task and HOSTILE
        each.items = [dict.fromkeys(item, HOSTILE) | {"score": item["score"]} for item in each.items]
        each.curve = [{"epoch": epoch, "loss": 1.0, "seconds": epoch, "scores": each.scores} for epoch in (1, 2)]
        each.extra = {"provenance": {"reasoning": HOSTILE, "data": HOSTILE, "adapter": HOSTILE}}
        each.memory_gib = {"train_reserved": 1.0}
    odd = record(task=HOSTILE, train=HOSTILE)
    odd.scores = {HOSTILE: 1.0}
    other = record(status="failed", error=HOSTILE, task="arc", rank=None, train=None)
    provenance = {
        HOSTILE: HOSTILE,
        "device": HOSTILE,
        "git_sha": HOSTILE,
        "hygiene": [HOSTILE],
        "more": {HOSTILE: [HOSTILE]},
    }
    trivial = {"squad": {HOSTILE: {"f1": 3.0}}, HOSTILE: {HOSTILE: {HOSTILE: 0.5}}}
    return Results(HOSTILE, [*results.cells, odd, other], provenance, trivial)


def test_a_page_is_well_formed_and_has_its_parts():
    page = check(render_html(study()))
    assert next(iter(page.all("html")))["lang"] == "en"
    headings = [text for place, text in page.words if place == "h2"]
    assert headings == [
        "Questions",
        "Cells",
        "Score against latency",
        "Transfer",
        "Score against rank",
        "Costs, speeds and statistics",
        "Flags",
        "Outputs",
        "Provenance",
    ]
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(each.get("scope") in ("col", "row", "colgroup", "rowgroup") for each in page.all("th"))
    assert len(page.all("main")) == len(page.all("h1")) == len(page.all("nav")) == 1


def test_the_policy_allows_the_style_sheet_of_the_page_and_nothing_else():
    text = render_html(study())
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert policy(Page(text)) == f"default-src 'none'; style-src '{digest(style)}'; base-uri 'none'; form-action 'none'"


def test_equal_results_make_equal_bytes():
    assert render_html(study()).encode() == render_html(study()).encode()


def test_nothing_hostile_in_any_field_acts():
    text = render_html(hostile())
    check(text)
    lower = text.lower()
    assert "<script" not in lower
    assert "<img" not in lower
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text) == []


def test_results_without_a_cell_make_a_page():
    assert "0 cells" in check(render_html(Results("", []))).text


@given(
    cells=st.lists(foreign_records(), max_size=4),
    items=st.lists(
        st.dictionaries(st.sampled_from(["item", "output", "gold", "score"]), st.text() | st.floats() | st.none())
    ),
    trivial=trivials,
    provenance=st.dictionaries(st.text(), st.recursive(st.none() | st.text() | st.floats(), st.lists)),
)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_no_record_breaks_the_page(cells, items, trivial, provenance):
    for each in cells:
        each.items = items
    check(render_html(Results("x", cells, provenance, trivial)))


@given(st.text())
def test_foreign_text_is_text(text):
    page = Page(tag("p", text, title=text))
    assert page.problems == []
    assert [name for name, _ in page.elements] == ["p"]
    assert page.elements[0][1]["title"].split() == visible(text).split()
    assert "".join(words for _, words in page.words) == visible(text)


def test_what_cannot_be_seen_is_made_visible():
    assert visible("a\tb\x00\u202ec\nd\ud800") == "a\\tb\\x00\\u202ec\nd\\ud800"
    assert visible("e\u0301 e" + "\u0301" * 5) == "e\u0301 e\u0301\u0301" + "\\u0301" * 3


def test_a_table_has_its_headings_in_scope_and_its_marks_apart():
    text = render_html(study(format_rate=0.1))
    assert re.search(r'<td class="first alarm">[\d.]+<span class="mark m\d+"> INVALID</span></td>', text)
    assert '<th scope="rowgroup"' in text or 'scope="rowgroup"' in text
    assert '<th scope="col" class="stick way words">' in text or 'class="words stick way"' in text


def test_outputs_that_differ_most_come_first():
    one, two = (record(score=50.0, seed=seed) for seed in (0, 1))
    one.items = [
        {"item": "a", "output": "x", "gold": "x", "score": 100.0},
        {"item": "b", "output": "y", "gold": "y", "score": 1.0},
    ]
    two.items = [
        {"item": "a", "output": "z", "gold": "x", "score": 0.0},
        {"item": "b", "output": "y", "gold": "y", "score": 1.0},
    ]
    ((_, found),) = disagreements([one, two], {}, limit=5)
    assert [(each.item, each.spread, each.right, each.n) for each in found] == [("a", 50.0, 1, 2), ("b", 0.0, 2, 2)]
    assert [(said.output, said.score, len(said.cells)) for said in found[0].said] == [("x", 100.0, 1), ("z", 0.0, 1)]
    assert [(said.output, len(said.cells)) for said in found[1].said] == [("y", 2)]


def test_outputs_are_cut_and_counted():
    cells = [record(score=50.0, seed=seed, rank=rank) for seed in range(5) for rank in (2, 4, 8)]
    for index, each in enumerate(cells):
        each.items = [{"item": "a", "output": f"{index} " + "long " * 1000, "gold": "x", "score": float(index)}]
    text = render_html(Results("x", cells, {}, {}))
    assert "3 more outputs are in the results file." in text
    assert max(len(words) for _, words in check(text).words if "long" in words) <= 600


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=12))
def test_a_front_holds_what_nothing_dominates(points):
    def beaten(point):
        return any(all(a >= b for a, b in zip(o, point, strict=True)) and o != point for o in points)

    front = {index for index, by in dominators(points).items() if by is None}
    assert front == {index for index, point in enumerate(points) if not beaten(point)}


@pytest.mark.parametrize("mark", [{"format_rate": 0.2}, {"scores": {"f1": 40.0}}])
def test_what_cannot_be_ranked_is_on_no_front(mark):
    good = record(rank=8, score=60.0, timing={"mean": 0.5})
    bad = replace(record(rank=16, score=99.0, timing={"mean": 0.1}), **mark)
    (found,) = trade_offs(full_table([good, bad], TRIVIAL))
    assert [(each.on_front, each.on_token_front) for each in found.cells] == [(True, True), (False, False)]


@pytest.mark.parametrize("tokens", [21.0, 60.0])
def test_times_per_token_of_unlike_answers_make_no_front(tokens):
    short, long = record(rank=8, score=60.0, tpot=None), record(rank=16, score=70.0, tpot=None, tokens=tokens)
    (found,) = trade_offs(full_table([short, long], TRIVIAL))
    assert found.alike is any(each.on_token_front for each in found.cells) is (tokens < 24)
    said = "No front per token in SQuAD v2" in render_html(Results("x", [short, long], {}, TRIVIAL))
    assert said is not found.alike


def test_answers_stand_first():
    sheet = Sheet(Group("", [Column("Way", [Text("LoRA")], words=True)]), [], [Section("", 1)])
    page = check(render_html(study(), answers=[Answered("Q4", f"Does rank matter? {HOSTILE}", [HOSTILE], sheet)]))
    assert next(text for place, text in page.words if place == "h2") == "Questions"
    assert "Q4 Does rank matter?" in page.text
    # a caption that repeats the heading over it is read twice by whoever listens to the page
    assert [text for _, text in page.words if text == "Numbers: Q4"] == ["Numbers: Q4"]


def test_the_questions_of_the_results_are_answered_with_the_meaning_of_their_marks():
    given = {"questions": ["is-tuning-worth-it", "quantized-answers"]}
    page = check(render_html(replace(study(), provenance=given)))
    assert [text for place, text in page.words if place == "h3"][:2] == [
        "Q1 Is fine-tuning worth it, in efficacy and efficiency?",
        "Q2 What does answering on quantized weights cost, and what does it save?",
    ]
    assert "Best way on each task against the untuned model" in page.text
    assert "The records can't answer this; missing: " in page.text


def test_without_matplotlib_all_tables_stay(monkeypatch):
    with_figures = check(render_html(study())) if HAS_MATPLOTLIB else None
    monkeypatch.setattr("pytest_ftbench.report.html.can_draw", lambda: False)
    page = check(render_html(study()))
    assert page.all("svg") == []
    assert "pip install 'pytest-ftbench[html]'" in page.text
    if with_figures is not None:
        assert len(page.all("table")) == len(with_figures.all("table"))
        assert "pip install" not in with_figures.text


@needs_matplotlib
def test_figures_have_a_text_in_their_place_and_a_table_under_them():
    results = study()
    for each in results.cells:
        each.memory_gib = {"train_reserved": 2.0, "eval_reserved": 1.0}
        each.curve = [{"epoch": epoch, "loss": 1.0, "seconds": epoch, "scores": each.scores} for epoch in (1, 2)]
    page = check(render_html(results))
    figures = page.all("svg")
    assert [each["id"] for each in figures] == ["scatter", "transfer", "ranks", "learning", "memory"]
    assert all(each["role"] == "img" for each in figures)
    assert len(page.all("desc")) == len(page.all("figure")) == len(page.all("figcaption")) == 5
    assert sum("Numbers: " in text for place, text in page.words if place == "span" and "Q" not in text) == 5


@needs_matplotlib
def test_letters_of_cells_in_one_place_are_one_label():
    cells = [replace(each, n=30) for each in suite_records(n=30, ranks=(8,)) if each.eval_task == "squad"]
    best = next(each for each in cells if each.method == "nopeft" and each.train_task == "squad")
    best.latency_s = {"mean": 0.01}
    cells += [replace(best, method=name, id=name) for name in ("mine", "yours")]
    drawn = re.search(r'<svg[^>]*id="scatter".*?</svg>', render_html(Results("small", cells, {}, TRIVIAL)), re.DOTALL)
    words = re.findall(r"<text[^>]*>([^<]*)</text>", drawn[0])
    assert "a-c" in words
    assert not {"a", "b", "c"} & set(words)


@pytest.mark.parametrize("ticks", [[9.75, 9.9, 10.05, 10.2], [0.01, 0.03, 0.1], [1.0, 1.5, 2.0], [1e-5, 2e-5]])
def test_a_tick_says_where_it_is(ticks):
    assert [float(text) for text in _told_apart(ticks)] == ticks


@needs_matplotlib
def test_methods_of_one_rank_stand_side_by_side():
    cells = [each for each in suite_records(n=30, ranks=(8, 32)) if each.train_task in (None, "squad")]
    cells += [replace(each, method="dora", id=f"dora {each.id}") for each in cells if each.method == "lora"]
    drawn = re.search(r'<svg[^>]*id="ranks".*?</svg>', render_html(Results("small", cells, {}, TRIVIAL)), re.DOTALL)
    places = re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', drawn[0])
    # of equal scores at equal ranks: a place each, close by
    pairs = [float(b[0]) - float(a[0]) for a in places for b in places if a[1] == b[1]]
    assert sum(3 < off < 40 for off in pairs) >= 2


def test_how_to_read_a_figure_is_said_where_there_is_one(monkeypatch):
    results = study()
    if HAS_MATPLOTLIB:
        assert "Blue: better than the untuned model" in render_html(results)
    for each in results.cells:
        each.format_rate = 0.1
    assert "base INVALID" in (text := render_html(results))
    assert "Blue: better" not in text
    monkeypatch.setattr("pytest_ftbench.report.html.can_draw", lambda: False)
    assert "Blue: better" not in render_html(study())


@needs_matplotlib
def test_a_name_is_no_formula_in_a_figure():
    page = check(render_html(study(method="$x^2{$")))
    assert any("$x^2{$" in text for place, text in page.words if place == "text")


@needs_matplotlib
def test_what_cannot_be_ranked_is_crossed_and_hollow_in_figures():
    drawn = {}
    for rate in (0.1, 1.0):
        text = render_html(study(format_rate=rate))
        drawn[rate] = text[text.index('id="scatter"') : text.index("</svg>")]
    assert 'd="M -4.25 4.25 L 4.25 -4.25 M -4.25 -4.25 L 4.25 4.25"' in drawn[0.1]
    assert drawn[0.1].count('fill="#0072B2"'.lower()) < drawn[1.0].count('fill="#0072B2"'.lower())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed, so no browser has read the page")
def test_a_browser_finds_nothing_to_complain_of(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(render_html(hostile()), encoding="utf-8")
    shot = tmp_path / "page.png"
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}", "--window-size=1280,2000"),
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line or "Refused" in line]
    assert said == []
    assert shot.stat().st_size > 10_000


def luminance(colour):
    """WCAG's relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    """WCAG's contrast of two colours: 4.5 is enough for text, 3 for what is no text."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_page(scheme):
    found = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{([^}]*)\}", STYLE)]
    colours = found[scheme]
    for text in ("ink", "dim", "alarm", "link"):
        for ground in ("paper", "soft"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    # lines of figures have no edge of ink, whatever their colour
    assert contrast(colours["ink"], colours["paper"]) > 12


def test_a_printed_page_is_light_and_whole():
    assert re.search(r"@media screen and \(prefers-color-scheme: dark\)", STYLE)
    assert "@media (prefers-color-scheme" not in STYLE
    printed = STYLE.partition("@media print")[2]
    assert "details::details-content { content-visibility: visible" in printed
    assert "white-space: normal" in printed


def test_numbers_stand_out_from_the_colours_of_a_heat_map():
    for change in (None, *range(-110, 111)):
        shade, colour = colours_of(TransferEntry(change, Standing.OK, in_domain=False))
        assert contrast(shade, colour) >= 4.5, change


def test_a_page_of_a_thousand_cells_is_no_larger_than_a_browser_likes():
    cells = []
    for index in range(14):
        for each in suite_records(seed=index, ranks=(4, 8, 16, 32, 64, 128, 256), n=8):
            each.items = [item | {"output": "word " * 200} for item in each.items]
            cells.append(replace(each, model=f"model-{index}", id=f"model-{index}-{each.id}"))
    text = render_html(Results("large", cells[:1000], {}, TRIVIAL))
    assert len(text.encode()) < 15e6
    assert "1000 cells" in check(text).text
    assert "Of so many cells only comparisons" in text
