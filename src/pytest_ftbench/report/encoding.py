"""Lines for a terminal whose encoding lacks some of our characters: each stands for one, so that no column moves."""

import unicodedata
from collections.abc import Iterable, Iterator

_INSTEAD = {
    "–": "-",  # nothing is known here
    "▲": "^",  # better
    "▼": "v",  # worse
    "↑": "^",  # more is better
    "↓": "v",  # less is better
    "°": "'",  # a variant of the score, as f' is one of f
    "†": "#",  # see the reasons below
    "…": "~",  # something is left out, as in the short names of old file systems
    "✓": "*",  # the one that was chosen
    "×": "x",  # it failed
    "≤": "<",
    "≥": ">",
    "−": "-",
    "→": ">",  # what became of it
    "·": ".",
    "³": "3",
}
_UNKNOWN = "?"


def encodable(lines: Iterable[str], encoding: str) -> Iterator[str]:
    """The lines as this encoding has them, a character for a character; those that it has, as they are.

    What isn't ours loses its accents, else it is shown as a question mark.
    """
    for line in lines:
        yield line if _carries(encoding, line) else "".join(_instead(character, encoding) for character in line)


def _instead(character: str, encoding: str) -> str:
    if _carries(encoding, character):
        return character
    plain = _INSTEAD.get(character) or unicodedata.normalize("NFKD", character)[0]
    return plain if plain.isascii() and plain.isprintable() else _UNKNOWN


def _carries(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    except LookupError:  # nobody knows that encoding, and whoever writes in it sees to it
        return True
    return True
