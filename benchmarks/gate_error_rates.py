"""How often the gates are wrong: runs retrained without a change that fail, and drops that don't.

    python benchmarks/gate_error_rates.py                    # benchmarks/seed_spread.json; a few minutes on one core
    python benchmarks/gate_error_rates.py --runs 20          # seconds, for a first look
    python benchmarks/gate_error_rates.py --check            # exits with 1 where a promise isn't kept

Draws a baseline and a run of 36 cells from the seed variance that ``seed_spread.py`` measured on the embedded suite,
and judges it by the code that judges a user's (``judge``, and for what fails ``judge_again`` with a fresh seed): score,
format rate, time per token and memory, all as the default gate has them. Times vary from run to run as much as that
gate takes them to. The baseline has as many seeds, three where the run has one; the last rows have seeds lie farther
apart than measured. A false alarm is a run without any change in which anything fails. A drop is of one cell, drawn
anew for each run from those that score as much; it is caught where that cell's score fails. Beside each rate stands
its 95 % interval by Clopper and Pearson.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gate_world import Place, World, places

from pytest_ftbench.analysis import Outcome, Verdict, judge, judge_again
from pytest_ftbench.grid import CellRecord, Gate

SPREAD = Path(__file__).with_name("seed_spread.json")
SIZES, SEEDS, DROPS = (50, 200, 1000), (1, 2, 3, 5), (5, 10, 15, 20)
PROMISED, WIDER = (200, 3), (2.0, 3.0)
BASELINE_OF_ONE = 3
MOST_ALARMS, LEAST_CAUGHT = 0.10, 0.90
FRESH = 1_000


@dataclass(frozen=True)
class Rate:
    """How often something was so in so many runs."""

    hits: int
    runs: int

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's, at 95 %."""
        from scipy.special import betaincinv

        low = betaincinv(self.hits, self.runs - self.hits + 1, 0.025) if self.hits else 0.0
        high = betaincinv(self.hits + 1, self.runs - self.hits, 0.975) if self.hits < self.runs else 1.0
        return float(low), float(high)

    def __str__(self) -> str:
        low, high = (100 * end for end in self.interval)
        return f"{100 * self.hits / self.runs:.1f} % ({low:.1f}–{high:.1f})" if self.runs else "–"


def failing(
    world: World, now: list[CellRecord], then: list[CellRecord], gate: Gate, drops: dict[str, float]
) -> list[Verdict]:
    """The verdicts that still fail after what fails was measured again, as a run does it."""
    found = [verdict for verdict in judge(now, then, gate) if verdict.outcome is Outcome.FAIL]
    index = {place.way: number for number, place in enumerate(world.cells)}
    for again in range(gate.rerun):
        fresh = {way: list(world.way(index[way], [FRESH + again], drops)) for way in {each.cell for each in found}}
        found = [judge_again(each, now, then, gate, fresh[each.cell]) for each in found]
        found = [verdict for verdict in found if verdict.outcome is Outcome.FAIL]
    return found


def rates(
    cells: Sequence[Place], items: int, seeds: int, drops: Sequence[float], runs: int, gate: Gate, seed: int
) -> list[Rate]:
    """For each drop the share of runs that fail: in any gate where it is 0, else in the score of the cell that dropped.

    The runs of one test set differ in nothing but that cell.
    """
    hits = [0] * len(drops)
    for number in range(runs):
        rng = np.random.default_rng([seed, items, seeds, number])
        world = World(cells, items, gate.timing_noise, rng)
        then = world.run(range(seeds if seeds > 1 else BASELINE_OF_ONE))
        # other seeds than then: the same would be trained to the same weights
        anew = range(100, 100 + seeds)
        ways = [list(world.way(index, anew)) for index in range(len(cells))]
        for column, drop in enumerate(drops):
            index = int(rng.choice([i for i, place in enumerate(cells) if place.answers.mean >= drop / 100]))
            fallen = {cells[index].way: drop / 100} if drop else {}
            mine = {index: list(world.way(index, anew, fallen))} if drop else {}
            now = [record for i, records in enumerate(ways) for record in mine.get(i, records)]
            found = failing(world, now, then, gate, fallen)
            hits[column] += any(not drop or (each.cell in fallen and each.metric == "score") for each in found)
    return [Rate(each, runs) for each in hits]


def rows(runs: int, only: bool) -> list[tuple[int, int, float, int]]:
    """Items, seeds, times the measured spread, and runs of each row: of what is promised the most."""
    promised = (*PROMISED, 1.0, 4 * runs)
    if only:
        return [promised]
    usual = [(items, seeds, 1.0, runs) for items in SIZES for seeds in SEEDS]
    apart = [(*PROMISED, times, runs) for times in WIDER]
    return [promised if row[:2] == PROMISED else row for row in usual] + apart


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spread", type=Path, default=SPREAD, help="what seed_spread.py wrote")
    parser.add_argument(
        "--runs", type=int, default=50, help="runs per row; of 200 items and 3 seeds four times as many"
    )
    parser.add_argument("--seed", type=int, default=8, help="of the chance in all of it")
    parser.add_argument("--only", action="store_true", help="200 items and 3 seeds alone")
    parser.add_argument("--check", action="store_true", help="exit with 1 where what is promised is missed")
    given = parser.parse_args(words)
    if not given.spread.is_file():
        print(f"{given.spread} is not there: seed_spread.py writes it from a run of several seeds", file=sys.stderr)
        return 2
    gate, kept, started = Gate(), True, time.perf_counter()
    names = ["items", "seeds", "seeds apart", "runs", "false alarms", *(f"{drop} points caught" for drop in DROPS)]
    print(f"| {' | '.join(names)} |\n| {' | '.join(['---:'] * len(names))} |", flush=True)
    for items, seeds, times, runs in rows(given.runs, given.only):
        found = rates(places(given.spread, times), items, seeds, (0, *DROPS), runs, gate, given.seed)
        said = " | ".join([f"{items}", f"{seeds}", f"{times:g} ×", f"{runs}", *map(str, found)])
        print(f"| {said} |", flush=True)
        if (items, seeds, times) == (*PROMISED, 1.0):
            caught = found[1 + DROPS.index(15)]
            kept = found[0].hits <= MOST_ALARMS * runs and caught.hits >= LEAST_CAUGHT * runs
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    return int(given.check and not kept)


if __name__ == "__main__":
    sys.exit(main())
