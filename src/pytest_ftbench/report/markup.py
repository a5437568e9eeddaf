"""Markup in which no text can do more than be read: whatever isn't made here is escaped.

What comes out is well-formed XML as well as HTML, so that a test can hold it against a strict parser.
"""

import base64
import hashlib
import html
import re
import unicodedata

_VOID = frozenset({"br", "meta", "link", "img", "hr"})
_LINE = "\n"


class Markup(str):
    """Text that is markup already, made by :func:`tag` or joined of such; any other text is foreign."""

    __slots__ = ()


Content = Markup | str


def visible(text: object) -> str:
    r"""The text with whatever isn't seen, or changes how other text is seen, made visible (``\x1b``); lines are kept.

    Of marks that combine at most two stay on one letter: more climb over the lines above.
    """
    said = str(text)
    if said.isascii() and said.isprintable():  # as nearly all of a page is
        return said
    shown, marks = [], 0
    for character in said:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        plain = character == _LINE or (character.isprintable() and marks <= 2)
        shown.append(character if plain else character.encode("unicode_escape").decode("ascii"))
    return "".join(shown)


def escaped(content: Content) -> Markup:
    """The content as markup: text with what HTML would read as markup, or nobody could see, escaped."""
    return content if isinstance(content, Markup) else Markup(html.escape(visible(content)))


def join(*contents: Content) -> Markup:
    """Contents one after the other."""
    return Markup("".join(escaped(content) for content in contents))


def tag(name: str, /, *contents: Content, **attributes: str | int | None) -> Markup:
    """An element; ``class_`` and ``aria_label`` are ``class`` and ``aria-label``, attributes of None are left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given} />")
    return Markup(f"<{name}{given}>{join(*contents)}</{name}>")


def anchor(title: str) -> str:
    """A name for a link to a heading of ours."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def digest(style: str) -> str:
    """What a content-security policy calls a style sheet."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
