"""Chat templates before they are used: tried out on a short chat where they can do no harm, and deaf to the clock.

A template is a program by whoever made the tokenizer. Transformers runs it in a sandbox, which keeps it from files but
not from looping, nor from filling the memory. So a process of its own, with little time and memory, renders a chat with
it first; what no process stops in time, what fails, what says something else each time and what loses a message is
refused.

The date is no part of what is measured: a prompt with today's in it would be another one tomorrow.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_ftbench import lab
from pytest_ftbench.grid import UserError, first_line

DAY = "26 Jul 2024"
"""The day on which all chats take place: the one that Llama's templates name where they are told none."""

_CLOCK = "strftime_now"
_DIRECTIVES = {"d": "26", "b": "Jul", "B": "July", "m": "07", "Y": "2024", "y": "24", "A": "Friday", "a": "Fri"} | {
    "H": "12",
    "M": "00",
    "S": "00",
    "F": "2024-07-26",
}
_STOPPED_CLOCK = (
    "{%- macro strftime_now(format) -%}{{ format"
    + "".join(f".replace('%{letter}', '{value}')" for letter, value in _DIRECTIVES.items())
    # the line's end is its own: whatever blanks a template begins with stay as they were
    + " }}{%- endmacro %}\n"
)
_OWN = frozenset({lab.CHAT_TEMPLATE})
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "SYSTEMROOT")
_SECONDS = 30.0  # of waiting, on a machine however busy; of computing the process itself allows fewer
_LIMIT = 2**20  # characters
_FIX = "correct the template, or take it out"


def checked_template(template: object, tokens: Mapping[str, Any], place: object) -> str:
    """The text of a tokenizer's chat template, once it has been shown to render a chat; the clock it reads stands.

    ``tokens`` are the tokenizer's special ones, which templates print. Raises :class:`UserError` for a template that
    shouldn't be used.
    """
    if isinstance(template, Mapping):  # several, by name
        template = template.get("default")
    if not isinstance(template, str):
        raise UserError(place, "is no text, nor is there one by the name of default", _FIX)
    if len(template) > _LIMIT:
        raise UserError(place, f"is longer than {_LIMIT} characters", _FIX)
    if _CLOCK in template:
        template = _STOPPED_CLOCK + template
    shown = {name: str(token) for name, token in tokens.items() if isinstance(token, str)}
    if template not in _OWN and (problem := _problem(template, json.dumps(shown, sort_keys=True))):
        raise UserError(place, problem, _FIX)
    return template


@cache
def _problem(template: str, tokens: str) -> str | None:
    """What is wrong with a template, found out in a process of its own."""
    library = find_spec("jinja2")
    if library is None or library.origin is None:
        return "needs jinja2, which isn't installed"
    script = Path(__file__).with_name("template_probe.py")
    command = [sys.executable, "-IB", str(script), str(Path(library.origin).parents[1])]
    try:
        done = subprocess.run(
            command,
            input=json.dumps({"template": template, "tokens": json.loads(tokens)}),
            capture_output=True,
            encoding="utf-8",
            timeout=_SECONDS,
            cwd="/",
            env={name: os.environ[name] for name in _LIBRARY_PATHS if name in os.environ},
        )
        found: dict[str, str | None] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return "does not end"
    except OSError as error:
        return f"can't be tried out ({first_line(error)})"
    except ValueError:  # nothing was said
        return "does not end" if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL) else "breaks what renders it"
    problem = found["problem"]
    return None if problem is None else problem[:200]
