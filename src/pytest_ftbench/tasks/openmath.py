r"""OpenMath: word problems and competition mathematics with one number as the answer.

    row       {"question": "Half of 2,469 apples, in dozens?", "answer": 102.875}
    prompt    system: … the number in \boxed{} …    user: Half of 2,469 apples, in dozens?
    target    \boxed{102.875}
    output    "1234.5 / 12, which makes \boxed{\frac{823}{8} \text{ dozens}}"
    score     parsed 102.875: solved, being within 1e-4

Traps: a chat template renders a message that is a float as empty text, and a model trained on those learns to say
nothing, so a target is always a str. The mean absolute difference, the studies' measure, is over parsed outputs only
and mostly that of its largest item; the headline is the share solved, where an unparsed output is wrong.
"""

import math
import re
import statistics
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

from pytest_ftbench.tasks.boxed import blank, box, boxed, itemised, mean, says_nothing, scored, unwrapped
from pytest_ftbench.tasks.task import HubDataset, Kind, Metric, Row, Scored, Task

_TOLERANCE = 1e-4
_LONGEST = 1000  # characters; the longest float, written out, takes fewer than 350

_SIGNS = str.maketrans({"−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "⁄": "/", "٫": ".", "٬": ","})
_REWRITES = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"\\(?:left|right|displaystyle)(?![A-Za-z])|\\!", ""),
        (r"\\[dtc]frac", r"\\frac"),
        (r"\\times(?![A-Za-z])|\\cdot(?![A-Za-z])", "*"),
        (r"√\s*(\d+)", r"\\sqrt{\1}"),
        (r"\^\s*(?:\\circ|\{\s*\\circ\s*\})", "°"),
        (r"\\%", "%"),
        (r"\{,\}", ","),
        (r"\\?[$€£¥]|\\[,;: ]|\\q?quad|~|\s", " "),
        (r" {2,}", " "),
        (r" ?\^ ?", "^"),
    )
)
_EQUALS = re.compile(r"(?<![<>!])=|\\approx|≈")
_LIST = re.compile(r"[,;](?!\d{3}(?!\d))|\b(?:or|and)\b")

_UNIT = re.compile(r"(?P<value>.*[\d}%°)])(?P<gap> ?)(?P<unit>(?:[^\W\d_]+\.?(?:\^(?:[23]|\{[23]\}))?(?:[ /*-]+|$))+)")
_SHORT_UNITS = re.compile(r"[kcm]?m|[km]?g|m?[lL]|s|h|min|hrs?|ft|in|lbs?|oz|mph|[CFNJWV]")
_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}

_NUMBER = r"(?:[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?|[1-9]\d{0,2}(?: \d{3})+(?:\.\d*)?|\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_ARGUMENT = r" ?(\{(?:[^{}]|\{[^{}]*\})*\}|\d)"
_EXPONENT = r"\^(\{[^{}]*\}|[+-]?\d+)"


def number_text(value: float) -> str:
    """The shortest decimal text that reads back as this very float, with neither an exponent nor a trailing ``.0``."""
    return format(Decimal(repr(float(value))), "f").removesuffix(".0") if value else "0"


def parse_number(output: str) -> float | None:
    """The number in an output's box; None: no box, or no single finite number in it."""
    content = boxed(output)
    return None if content is None else read_number(content)


def read_number(text: str) -> float | None:
    r"""The number that a text states: ``1{,}234``, ``-\frac12``, ``2 \times 10^3``, ``x = 5``, ``12\text{ cm}``.

    A comma or a space separates thousands, and does so only before groups of three and after a first digit that is
    not 0: ``1,234`` is 1234, while ``3,5`` and ``0,125`` (decimal commas or lists) are no number. A per cent sign is a
    unit (``50\%`` is 50), ``5 million`` is 5,000,000. Sums, lists, ranges, intervals and terms with a variable or pi
    are no number: what was asked for is the answer, not how to get it.
    """
    if len(text) > _LONGEST:
        return None
    try:
        value = _with_unit(_last_side(_simplified(text)))
    except (ArithmeticError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _simplified(text: str) -> str:
    """LaTeX and Unicode boiled down to ASCII digits and a few signs."""
    # before NFKC, which would make 10² into 102 and 1½ into 11/2
    text = re.sub("[⁰¹²³⁴-⁹⁻]+", lambda found: f"^{{{found[0]}}}", text)
    text = re.sub("[¼-¾⅐-⅞]", lambda found: f" {found[0]}", text)
    text = unicodedata.normalize("NFKC", unwrapped(text, gap=" ")).translate(_SIGNS)
    text = "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.strip().rstrip(" .")


def _last_side(text: str) -> str:
    """What stands after the last ``=``, unless that is only the last of several equations."""
    sides = _EQUALS.split(text)
    if any(_LIST.search(side) for side in sides[1:-1]):
        raise ValueError(text)
    return sides[-1].strip()


def _with_unit(text: str) -> float:
    found = _UNIT.fullmatch(text)
    if not found:
        return _signed(text.rstrip("%° "))
    words = re.findall(r"[^\W\d_]+", found["unit"])
    # "5x" and "5 x" are terms, "5m" and "5 m" lengths
    is_term = not _SHORT_UNITS.fullmatch(words[0]) and (not found["gap"] or len(words[0]) == 1)
    if is_term or {"or", "and"} & set(words):
        raise ValueError(text)
    return _signed(found["value"].rstrip("%° ")) * _SCALES.get(words[0].lower(), 1)


def _signed(text: str) -> float:
    """The value of a text that is one term, in braces or not."""
    text = text.strip()
    text = text[1:-1].strip() if text.startswith("{") and text.endswith("}") else text
    sign = -1 if text.startswith("-") else 1
    text = text[1:].strip() if text.startswith(("-", "+")) else text
    for pattern, evaluate in _FORMS:
        if found := pattern.fullmatch(text):
            return sign * evaluate(*found.groups(default=""))
    raise ValueError(text)


def _number(text: str) -> float:
    return float(re.sub("[ ,]", "", text))


def _mixed(whole: str, numerator: str, denominator: str) -> float:
    """A whole number and a proper fraction: 3 over 2 after a 1 is more likely a product."""
    value = _signed(numerator) / _signed(denominator)
    if whole and not 0 <= value < 1:
        raise ValueError(whole)
    return _number(whole or "0") + value


def _root(factor: str, degree: str, argument: str) -> float:
    radicand = _signed(argument)
    root = math.sqrt(radicand) if degree in ("", "2") else math.pow(radicand, 1 / int(degree))
    return _number(factor or "1") * root


_FORMS: tuple[tuple[re.Pattern[str], Callable[..., float]], ...] = (
    (re.compile(rf"({_NUMBER})"), _number),
    (re.compile(r"\(([^()]*)\)"), _signed),
    (re.compile(rf"(\d*) ?\\frac{_ARGUMENT}{_ARGUMENT}"), _mixed),
    (re.compile(r"(\d+) (\d+) ?/ ?(\d+)"), _mixed),
    (re.compile(r"()([^/]+)/([^/]+)"), _mixed),
    (re.compile(rf"({_NUMBER})? ?\*? ?\\sqrt ?(?:\[(\d+)\])?{_ARGUMENT}"), _root),
    (re.compile(rf"({_NUMBER}){_EXPONENT}"), lambda base, exponent: math.pow(_number(base), _signed(exponent))),
    (re.compile(rf"([^*]+)\* ?10{_EXPONENT}"), lambda factor, power: _signed(factor) * math.pow(10, _signed(power))),
)


class OpenMathTask(Task):
    """OpenMathInstruct-2, its problems whose answer is a number."""

    name = "openmath"
    label = "OpenMath"
    stem = "OpenMathInstruct-2"
    hub = HubDataset("nvidia/OpenMathInstruct-2", splits={"train": "train_1M"})
    columns: ClassVar[Mapping[str, type]] = {"question": str, "answer": float}
    hub_columns: ClassVar[Mapping[str, Kind]] = {"problem": str, "expected_answer": str}
    system_prompt = "Solve the problem. Give the answer as one plain number in \\boxed{}, for example \\boxed{12.5}."
    metrics = (
        Metric("solve_rate", "Solved"),
        Metric("abs_diff_mean", "Mean difference", higher_is_better=False, format=",.0f"),
        Metric("abs_diff_median", "Median difference", higher_is_better=False, format=",.2f"),
    )
    trivial_learns = True

    def question(self, row: Row) -> str:
        """The problem, as the row has it."""
        return str(row["question"])

    def target(self, row: Row) -> str:
        """The boxed number, written out."""
        return box(number_text(row["answer"]))

    def score(self, outputs: Sequence[str], examples: Sequence[Row]) -> Scored:
        """The share solved, in 0..1, and how far the parsed outputs are off."""
        items = itemised(outputs, examples, _judge)
        off = [
            _difference(float(item["parsed"]), row)
            for item, row in zip(items, examples, strict=True)
            if item["parsed"] is not None
        ]
        # statistics.mean is exact inside: sums of differences overflow where their mean doesn't
        middle = [statistics.median_low(off), statistics.median_high(off)] if off else []
        scores = {
            "solve_rate": mean(item["score"] for item in items),
            "abs_diff_mean": statistics.mean(off) if off else None,
            "abs_diff_median": statistics.mean(middle) if off else None,
            "abs_diff_n": len(off),
        }
        return scored(scores, items)

    def trivial(self, examples: Sequence[Row], train_rows: Sequence[Row] = ()) -> dict[str, list[str]]:
        """Always 0, and always the median answer of the training rows, which is the lower of two in the middle.

        Of two their mean may be no answer at all; the lower one is some row's own.
        """
        answers = {"constant_0": "0"}
        if train_rows:
            answers["train_median"] = number_text(statistics.median_low(float(row["answer"]) for row in train_rows))
        constant = {name: [box(text)] * len(examples) for name, text in answers.items()}
        return {**constant, **says_nothing(examples)}

    def from_hub(self, row: Row) -> Row | None:
        """The expected answer as a number; None where it is none."""
        answer = read_number(row["expected_answer"])
        return None if answer is None else {"question": row["problem"], "answer": answer}

    def problem(self, row: Row) -> tuple[str, str, str] | None:
        """An empty question, or an answer that is no finite number."""
        answer = row["answer"]
        if isinstance(answer, bool) or not isinstance(answer, int | float):
            return "answer", f"{answer!r} is no number", "write a plain number or leave the row out"
        if not abs(answer) <= sys.float_info.max:
            return "answer", "is no finite number", "correct it or leave the row out"
        return blank(row, "question")


def _difference(value: float, row: Row) -> float:
    return min(sys.float_info.max, abs(value - float(row["answer"])))


def _judge(output: str, row: Row) -> tuple[str, str | None, float]:
    value = parse_number(output)
    solved = value is not None and _difference(value, row) <= _TOLERANCE
    return number_text(row["answer"]), None if value is None else number_text(value), float(solved)


TASK = OpenMathTask()
