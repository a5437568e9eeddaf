"""Rankings on a page: score, interval, place and the places left open; beside another run's, and what differs."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from pytest_ftbench.analysis import AT_MOST, Place, Ranking, Reordering, counterparts, reorderings, task_label
from pytest_ftbench.grid import CheckpointKey
from pytest_ftbench.report.full_table import WORDS, metric_heading, standing_style
from pytest_ftbench.report.labels import Names
from pytest_ftbench.report.layout import Column, Group, Section, Sheet, Style, Text
from pytest_ftbench.report.words import ABSENT, clean, p_value, score, signed

RANKING_TITLE = "Ranking of the ways of tuning, each on the task it was tuned on"
_LISTED = 12

_COLUMNS = (
    "95 %: the score's interval. Rank: by score; in brackets the places that are open, for a way counts as better than "
    "another only where their difference is shown at 5 %, corrected by Holm for the pairs of the ranking."
)
_AT_MOST = "Of scores without items the interval is the widest that a score of that height may have."
_RATE = "rate: the learning rate it was trained at."
_SEEDS = "Seeds: how many trainings the score is the mean of."
_ONE_SEED = "One seed alone stands behind every place{of_run}: none of it says how another would come out."
_TRAININGS = (
    "Both runs are of one seed each: what they order otherwise are these trainings, other seeds may order them anew."
)
_NONE = "No pair of ways is shown to be ordered otherwise, of the {count} that both runs rank."
_NO_PAIR = "The two runs share no pair of ways that both can rank."
_BETWEEN = (
    "Ordered otherwise: each run shows an order, opposite ones; or the difference between their differences is shown "
    "at 5 %, corrected by Holm for the {count} pairs that both rank, items of the two runs taken to be independent."
)
_VERDICTS = {1: "{first} over {second}", -1: "{second} over {first}", 0: "neither"}

Rankings = Sequence[tuple[str, Sequence[Ranking]]]
"""Each run's heading and its rankings; the first is the run that is told."""


def ranking_sheet(runs: Rankings, names: Names) -> Sheet:
    """A row per way of tuning of the first run, a section per model and train task, a group of columns per run."""
    told = runs[0][1]
    keys = [key for ranking in told for key in ranking.places]
    groups = []
    for heading, found in runs:
        by_group = {(ranking.model, ranking.train_task): ranking for ranking in found}
        mine = [by_group.get((ranking.model, ranking.train_task)) for ranking in told]
        places: list[tuple[Place | None, Ranking]] = [
            (None if other is None else other.places.get(key), ranking)
            for ranking, other in zip(told, mine, strict=True)
            for key in ranking.places
        ]
        groups.append(Group(clean(heading), list(_columns(places))))
    return Sheet(
        labels=Group("", [names.model(keys), *names.way(keys)]),
        groups=groups,
        sections=[Section(_heading(ranking), len(ranking.places)) for ranking in told],
    )


def ranking_notes(runs: Rankings) -> Iterator[str]:
    """What the columns are."""
    yield _COLUMNS
    intervals = [place.interval for _, found in runs for ranking in found for place in ranking.places.values()]
    if any(interval is not None and interval.method == AT_MOST for interval in intervals):
        yield _AT_MOST
    if any(place.rate is not None for _, found in runs for ranking in found for place in ranking.places.values()):
        yield _RATE
    for name, found in runs:
        counts = {place.seeds for ranking in found for place in ranking.places.values() if place.rank is not None}
        if counts == {1}:
            yield _ONE_SEED.format(of_run=f" of {clean(name)}" if name else "")
    if any(_seeds_differ(found) for _, found in runs):
        yield _SEEDS


def _seeds_differ(found: Sequence[Ranking]) -> bool:
    return len({place.seeds for each in found for place in each.places.values() if place.rank is not None}) > 1


def difference_notes(now: Sequence[Ranking], then: Sequence[Ranking], names: Names) -> Iterator[str]:
    """What two runs order otherwise, and which ways only one of them can rank."""
    found, count = reorderings(now, then)
    texts = [_told(each, names) for each in found]
    for ranking, other in counterparts(now, then):
        for where, ways in (("here", set(ranking.ranked)), ("there", set(other.ranked))):
            if alone := ways - set(other.ranked if where == "here" else ranking.ranked):
                texts.append(f"{_trained(ranking)}: ranked {where} alone: {_listed(ranking, other, alone, names)}.")
    if not found:
        yield _NONE.format(count=count) if count else _NO_PAIR
    yield from texts[:_LISTED]
    if len(texts) > _LISTED:
        yield f"And {len(texts) - _LISTED} more."
    if found and all(place.seeds == 1 for ranking in (*now, *then) for place in ranking.places.values()):
        yield _TRAININGS
    if count:
        yield _BETWEEN.format(count=count)


def _told(each: Reordering, names: Names) -> str:
    """One pair that two runs order otherwise."""
    format = each.ranking.task.headline.format
    first, second = names.way_of(each.first), names.way_of(each.second)
    p = "" if each.p is None else f", p {p_value(each.p)} of no difference between these"
    return (
        f"{_trained(each.ranking)}: better here {_verdict(each, each.now.order, names)}, there "
        f"{_verdict(each, each.then.order, names)} ({first} less {second} here {signed(each.now.difference, format)}, "
        f"there {signed(each.then.difference, format)}{p})."
    )


def _listed(ranking: Ranking, other: Ranking, ways: Collection[CheckpointKey], names: Names) -> str:
    return ", ".join(names.way_of(key) for key in {**ranking.places, **other.places} if key in ways)


def _trained(ranking: Ranking) -> str:
    return f"Trained on {clean(task_label(ranking.train_task))}"


def _verdict(each: Reordering, order: int, names: Names) -> str:
    ways: Mapping[str, CheckpointKey] = {"first": each.first, "second": each.second}
    return _VERDICTS[order].format(**{word: names.way_of(key) for word, key in ways.items()})


def _heading(ranking: Ranking) -> str:
    return clean(f"{task_label(ranking.train_task)}: {metric_heading(ranking.task.headline)}")


def _columns(places: Sequence[tuple[Place | None, Ranking]]) -> Iterator[Column]:
    yield Column("score", [_score(place, ranking) for place, ranking in places])
    yield Column("95 %", [_interval(place, ranking) for place, ranking in places])
    if any(place is not None and place.rate is not None for place, _ in places):
        yield Column("rate", [_rate(place) for place, _ in places])
    if len({place.seeds for place, _ in places if place is not None and place.rank is not None}) > 1:
        yield Column("Seeds", [_seeds(place) for place, _ in places])
    yield Column("Rank", [_rank(place) for place, _ in places])


def _score(place: Place | None, ranking: Ranking) -> Text:
    if place is None or place.score is None:
        return Text(ABSENT)
    text = score(place.score, ranking.task.headline.format)
    style = Style.STRONG if place.rank == 1 else standing_style(place.standing)
    return Text(text, WORDS.get(place.standing, ""), style)


def _interval(place: Place | None, ranking: Ranking) -> Text:
    if place is None or place.interval is None:
        return Text(ABSENT)
    format = ranking.task.headline.format
    return Text(f"{score(place.interval.low, format)} to {score(place.interval.high, format)}")


def _rate(place: Place | None) -> Text:
    return Text(ABSENT if place is None or place.rate is None else f"{place.rate:.3g}")


def _seeds(place: Place | None) -> Text:
    return Text(ABSENT if place is None or place.rank is None else str(place.seeds))


def _rank(place: Place | None) -> Text:
    if place is None or place.rank is None:
        return Text(ABSENT)
    open_to = "" if place.best == place.worst else f" ({place.best}-{place.worst})"
    return Text(str(place.rank), open_to)
