"""Figures as SVG inside a page: matplotlib draws them, and what only its own files need is taken out.

A page that allows no style but its own sheet ignores ``style`` attributes, so they become presentation attributes. Ids
get the figure's name, for a page has one set of them. Text stays text, in the reader's font, and the ink is the page's.
"""

import importlib.util
import io
import re
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from pytest_ftbench.report.markup import Markup, tag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"
"""The colour that stands for the page's own, light or dark."""

_OWN = "currentColor"
_PIXELS = 100  # of an inch: text of 9 points is then 12.5 pixels high, whatever the screen; a narrow one scrolls
_FONT = re.compile(r"(?:(?P<weight>bold|\d{3}) )?(?P<size>[\d.]+)px")
_REFERENCE = re.compile(r"#([\w.-]+)")
_LONG = re.compile(r"(\d\.\d\d)\d+")
_DROPPED = ("metadata", "style")
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pytest-ftbench",
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "hatch.linewidth": 0.7,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color", "xtick.labelcolor", "ytick.labelcolor", "legend.labelcolor"), INK),
}


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def svg(
    name: str, title: str, alternative: str, width: float, height: float, draw: "Callable[[Figure], None]"
) -> Markup:
    """A figure of so many inches; ``alternative`` says in words what it shows."""
    root = _without_namespaces(ElementTree.fromstring(_drawn(width, height, draw)))
    for parent in list(root.iter()):
        for child in [each for each in parent if each.tag in _DROPPED]:
            parent.remove(child)
        _restyle(parent, name)
    _tidy(root)
    box, body = root.get("viewBox"), Markup("".join(ElementTree.tostring(each, encoding="unicode") for each in root))
    titles = tag("title", title, id=f"{name}-title"), tag("desc", alternative, id=f"{name}-desc")
    # inherited, so that an element's own attributes count, which those of a style sheet would not
    lines = {"stroke_linejoin": "round", "stroke_linecap": "butt"}
    named = {"aria_labelledby": f"{name}-title {name}-desc", "role": "img", "id": name}
    pixels = str(round(width * _PIXELS))
    return _svg(Markup("".join([*titles, body])), viewBox=box, width=pixels, **lines, **named)


def _svg(body: Markup, **attributes: str | None) -> Markup:
    return tag("svg", body, xmlns="http://www.w3.org/2000/svg", **attributes)


def _drawn(width: float, height: float, draw: "Callable[[Figure], None]") -> bytes:
    """What matplotlib writes, in its own settings, whatever the user's are."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # of letters that its font lacks, which the reader's may have; of its age, which under pytest could be an error
        warnings.simplefilter("ignore")
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_SETTINGS)
            figure = Figure(figsize=(width, height), layout="constrained")
            FigureCanvasSVG(figure)
            draw(figure)
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _without_namespaces(root: ElementTree.Element) -> ElementTree.Element:
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in [key for key in element.attrib if key.startswith("{")]:
            element.set(key.rpartition("}")[2], element.attrib.pop(key))
    return root


def _restyle(element: ElementTree.Element, name: str) -> None:
    """Make an element's style its attributes, its ids this figure's, and its numbers no longer than is seen."""
    for key, value in _declared(element.attrib.pop("style", "")):
        element.set(key, value)
    for key, value in list(element.attrib.items()):
        if key == "id":
            value = f"{name}-{value}"
        elif key == "href":
            value = value.replace("#", f"#{name}-")
        else:
            value = value.replace("url(#", f"url(#{name}-").replace(INK, _OWN)
        if key in ("d", "transform", "x", "y", "points", "width", "height", "viewBox"):
            value = " ".join(_LONG.sub(r"\1", value).split())
        element.set(key, value)


def _tidy(root: ElementTree.Element) -> None:
    """Leave out ids that nothing refers to, and blanks between elements: they are half of a file."""
    meant = set(_REFERENCE.findall(" ".join(value for each in root.iter() for value in each.attrib.values())))
    for element in root.iter():
        element.tail = None
        if element.tag != "text":
            element.text = None
        if element.get("id") not in meant:
            element.attrib.pop("id", None)


def _declared(style: str) -> Iterator[tuple[str, str]]:
    """The declarations of a style as attributes; a font's family is the page's."""
    for declaration in style.split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font" and (font := _FONT.search(value)):
            yield "font-size", font["size"]
            if font["weight"]:
                yield "font-weight", font["weight"]
        elif key and key not in ("font", "font-family", "mix-blend-mode"):
            yield key, value.removesuffix("px")
