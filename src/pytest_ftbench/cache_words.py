"""What an entry of the cache is, in words that a user knows: a cell's id, a checkpoint's name. PYTEST_DONT_REWRITE.

An entry's manifest says what made it, mostly as digests. A record's names its cell, and the key of its timings; theirs
names the key of the answers, and theirs that of the checkpoint: so all of them get a name from their record. Whatever
the manifests of a cache hold, nothing here fails for it.
"""

import re
from collections.abc import Mapping
from typing import Any

Place = tuple[str, str]
"""Kind and key of an entry."""

_MADE_OF = (("records", "timings"), ("timings", "answers"), ("answers", "checkpoint"))
_KIND = {"checkpoint": "checkpoints"}
_TESTED = re.compile(r"-to-[a-z0-9_]+?(?=-s[0-9]+$|$)")


def names(materials: Mapping[Place, Any]) -> dict[Place, str]:
    """A name for each entry whose material, or that of what was made of it, says one."""
    named = {place: words for place, material in materials.items() if (words := _own_words(place[0], material))}
    for kind, link in _MADE_OF:
        for place, material in materials.items():
            source = _KIND.get(link, link), _text(material, link)
            if place[0] == kind and place in named and source in materials:
                named[source] = _TESTED.sub("", named[place]) if link == "checkpoint" else named[place]
    return named


def _own_words(kind: str, material: Any) -> str:
    """What an entry's own material says of it; nothing where that is only digests."""
    if kind == "records":
        return _text(material, "id")
    if kind == "checkpoints":
        method, seed = _text(material, "method"), _number(material, "seed")
        return f"{method}, seed {seed}" if method and seed else method
    if kind == "trials":
        rate = _number(material, "rate")
        return f"learning rate {rate}" if rate else ""
    if kind == "hygiene":
        of = material.get("of") if isinstance(material, dict) else None
        return " ".join(str(part) for part in of) if isinstance(of, list) else ""
    return ""


def _text(material: Any, key: str) -> str:
    value = material.get(key) if isinstance(material, dict) else None
    return value if isinstance(value, str) else ""


def _number(material: Any, key: str) -> str:
    value = material.get(key) if isinstance(material, dict) else None
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
