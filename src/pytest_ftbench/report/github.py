"""Foreign text made harmless where GitHub shows Markdown: it reads as it was written, and does nothing.

A name, an error or an output may hold a table's bar, code, HTML, a mention, a reference to an issue, an address.
Entities serve in Markdown and in HTML alike, so one way of escaping does for cells, lists and summaries. What GitHub
makes of the finished text (mentions, references, links, emoji) no entity stops: there a blank of no width is put in.
"""

import re
from collections.abc import Iterable

from pytest_ftbench.report.words import clean

_BREAK = "&#8203;"
_STRUCTURE = {ord(mark): f"&#{ord(mark)};" for mark in "\\`*_[]|~"}
_HTML = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("$"): "<span>$</span>"}
_ENTITIES = _STRUCTURE | _HTML
# names after @ are told that they were named, and so are the issues after #; an address is made a link
_ACTIVE = re.compile(r"(?P<head>[@#]|\bgh-|:(?=//)|www(?=\.)|:(?=[\w+-]+:))", re.IGNORECASE)
_OPENS = re.compile(r"(?P<number>\d*)(?P<mark>[-+.)])")

LIMIT = 65_536
"""The characters that a comment on GitHub may have."""


def escaped(text: object) -> str:
    """The text on one line, as it may stand in a cell of a table, in a paragraph or in a summary."""
    broken = _ACTIVE.sub(r"\g<head>" + "\x00", clean(text))
    return broken.translate(_ENTITIES).replace("\x00", _BREAK)


def listed(texts: Iterable[str]) -> list[str]:
    """Each text that says anything as a point of a list, also where it begins like one."""
    return [f"- {_opening(shown)}" for text in texts if (shown := escaped(text))]


def size(text: str) -> int:
    """The characters of a text as GitHub counts them, where one beyond the basic plane is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _opening(text: str) -> str:
    """The text with what would open a list, a heading or a rule as an entity."""
    found = _OPENS.match(text)
    if found is None:
        return text
    return f"{found['number']}&#{ord(found['mark'])};{text[found.end() :]}"
