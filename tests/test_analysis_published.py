"""The checks on the first study's own records: they print what is true of it, and no more."""

import json
from pathlib import Path

import pytest

from pytest_ftbench.analysis import Standing, flags, full_table, standing
from pytest_ftbench.grid import read_results
from pytest_ftbench.report import render

pytest_plugins = ["pytester"]

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "published" / "study1-results.json"
pytestmark = pytest.mark.skipif(not PUBLISHED.exists(), reason="the studies' records are not here")

WAYS = {"openmath": (32, 256), "squad": (32, 256, 1024)}


@pytest.fixture(scope="module")
def published():
    """The codes of every cell of the first study, by its id without the model; the 1.7B base as ``big-…``."""
    results = read_results(PUBLISHED)
    found = flags(results.cells, results.trivial)
    names = [c.id.replace("qwen3-0.6b-", "").replace("qwen3-1.7b", "big") for c in results.cells]
    return results, {name: {f.code for f in mine} for name, mine in zip(names, found, strict=True)}


def having(published, code):
    return {name for name, codes in published[1].items() if code in codes}


def test_published_cells_that_cannot_be_read_are_invalid(published):
    results, _ = published
    invalid = {
        r.id.removeprefix("qwen3-0.6b-") for r in results.cells if standing(r, results.trivial) is Standing.INVALID
    }
    assert invalid == {"nopeft-arc-to-arc", "nopeft-openmath-to-openmath", "nopeft-openmath-to-arc"}


def test_every_published_squad_row_is_trivial(published):
    squad = {name for name in published[1] if name.endswith("-to-squad")}
    assert len(squad) == 16
    assert having(published, "V17") >= squad


def test_published_adapters_of_rank_256_and_up_are_scaled_down(published):
    ranks = {name.split("-")[1] for name in having(published, "V10")}
    assert ranks == {"r256", "r512", "r1024"}
    assert len(having(published, "V10")) == 21


def test_published_openmath_got_worse_by_training_on_it(published):
    assert having(published, "V15") == {
        f"{way}-openmath-to-openmath" for way in ("nopeft", "lora-r32", "lora-r256", "lora-r1024")
    }


def test_published_arc_is_judged_by_accuracy(published):
    close = {name for name in having(published, "V02") if name.endswith("-to-arc")}
    # at most 2 of 200 items above the base's 97, or 9 above the next best of its block
    assert close == {"lora-r64-arc-to-arc"} | {
        f"lora-r{rank}-{train}-to-arc" for train, ranks in WAYS.items() for rank in ranks
    }
    assert not {name for name in having(published, "V15") | having(published, "V17") if name.endswith("-to-arc")}


def test_published_latency_gains_are_fewer_tokens(published):
    gains = having(published, "V07")
    for name in ("openmath-to-arc", "openmath-to-openmath", "squad-to-arc", "squad-to-openmath", "arc-to-arc"):
        assert f"nopeft-{name}" in gains
    assert not any("base" in name for name in gains)


def test_published_big_base_keeps_its_rank_in_math(published):
    results, codes = published
    assert codes["big-base-to-openmath"] == {"V03", "V04"}
    rows = {row.key: row.cells["openmath"] for row in full_table(results.cells, results.trivial).blocks[-1].rows}
    assert [(key.model, cell.best_score) for key, cell in rows.items()] == [("qwen3-0.6b", False), ("qwen3-1.7b", True)]


def test_published_checks_that_need_more_than_is_recorded_are_silent(published):
    for code in ("V06", "V08", "V11", "V12", "V14", "V16"):
        assert not having(published, code)
    tuned = {name for name in published[1] if "base" not in name}
    assert having(published, "V01") == having(published, "V09") == tuned


def test_published_answers_that_never_abstain(published):
    assert "lora-r64-arc-to-squad" not in having(published, "V13")  # it abstains once
    assert {"base-to-squad", "lora-r32-squad-to-squad"} <= having(published, "V13")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_published_flags_stand_beside_their_cells_at_any_width(published, width):
    results, codes = published
    lines = render(results, width)
    assert max(map(len, lines)) <= width
    assert not any(line.endswith("…") for line in lines)
    table = lines[: lines.index("Trivial on ARC: majority class scores 0.108.")]
    (base,) = [line.split() for line in table if "0.655*" in line]
    assert base[base.index("0.655*") + 1 :][:2] == ["V03", "V04"]
    (tuned,) = [line.split() for line in table if "0.050*" in line]
    assert tuned[tuned.index("0.050*") + 1 :][:3] == ["V02", "V07", "V15"]
    rows = [line.split() for line in table if " LoRA " in line]
    assert {(row[2], row[3] == "V10") for row in rows} == {
        ("32", False),
        ("64", False),
        ("256", True),
        ("512", True),
        ("1024", True),
    }
    shown = {line.partition(":")[0].split()[0] for line in lines if line[0:1] == "V" and line[1:3].isdigit()}
    assert shown == set().union(*codes.values())


def test_published_sentences_hold_the_numbers(published):
    text = " ".join(" ".join(line.split()) for line in render(published[0], 100))
    assert "V01: trained with one seed: what another would have given is unknown (all tuned cells)." in text
    assert "V07: all of the latency difference is fewer tokens: 0.4 against 215 per answer" in text
    assert "V15: training on this very task took the solve rate from 0.215 to 0.000" in text


def test_stored_results_are_judged_by_the_thresholds_they_were_run_with(published, pytester):
    value = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    value["provenance"]["checks"] = {"off": ["V07", "V17"], "format_rate": 0.7, "alpha_per_rank": "much"}
    stored = pytester.path / "stored.json"
    stored.write_text(json.dumps(value), encoding="utf-8")
    outcome = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--ftbench-from", stored, "--ftbench-json", "again.json"
    )
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(["*qwen3-0.6b NoPeft*INVALID*", "*<trivial*", "V17 <trivial: *", "*no tests ran*"])
    outcome.stdout.no_fnmatch_line("V07*")
    again = json.loads((pytester.path / "again.json").read_text(encoding="utf-8"))
    found = {cell["id"]: set(cell["flags"]) for cell in again["cells"]}
    assert found["qwen3-1.7b-base-to-openmath"] == {"V04"}
    assert "V10" in found["qwen3-0.6b-lora-r256-arc-to-arc"]
    assert not any("V07" in codes for codes in found.values())
    assert again["provenance"]["checks"]["format_rate"] == 0.7
