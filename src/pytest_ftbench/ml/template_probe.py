"""Renders a short chat with a template, as a process of its own that may take little time and memory.

A script for :mod:`template`: it reads a JSON object with ``template`` and ``tokens``, and prints
one whose ``problem`` is null where the template serves. It imports Jinja and the standard library alone, so that it is
there at once. The environment is made as Transformers makes its own, without what would be random.
"""

import contextlib
import json
import resource
import sys
from typing import Any

_SECONDS = 2
_MEMORY = 512 * 2**20
_LIMIT = 200_000  # characters for a chat of a hundred
_SYSTEM, _USER, _ASSISTANT = "ftbench-system-7", "ftbench-user-7", "ftbench-assistant-7"
_ASKED = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}]
_ANSWERED = [*_ASKED, {"role": "assistant", "content": _ASSISTANT}]
_SWITCHES: tuple[dict[str, bool], ...] = ({}, {"enable_thinking": True}, {"enable_thinking": False})


class _TooLongError(Exception):
    """More text than any template adds."""


def limit() -> None:
    """Take from this process what a template doesn't need: time, memory, files, processes."""
    allowed = {
        resource.RLIMIT_CPU: _SECONDS,
        resource.RLIMIT_AS: _MEMORY,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, most in allowed.items():
        ceiling = resource.getrlimit(kind)[1]
        most = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
        with contextlib.suppress(OSError, ValueError):  # macOS has some by name alone
            resource.setrlimit(kind, (most, most))


def environment() -> Any:
    """What renders a template: as in Transformers, but nothing in it is left to chance, and no clock is right."""
    from jinja2 import TemplateError, ext, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(ext.Extension):
        """The tag around what an assistant says, which changes nothing of it."""

        tags = {"generation"}  # noqa: RUF012 (as Jinja has it)

        def parse(self, parser: Any) -> list[nodes.Node]:
            next(parser.stream)
            inner: list[nodes.Node] = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return inner

    def refuse(message: object) -> None:
        raise TemplateError(str(message))

    def to_json(value: Any, **options: Any) -> str:
        return json.dumps(value, **({"ensure_ascii": False} | options))

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    made.filters["tojson"] = to_json
    del made.filters["random"], made.globals["lipsum"]
    made.globals["raise_exception"] = refuse
    return made


def rendered(template: Any, chat: list[dict[str, str]], asks: bool, given: dict[str, Any]) -> str:
    """A chat's text, given up on once it is too long."""
    parts, length = [], 0
    told = {"messages": chat, "tools": None, "documents": None, "add_generation_prompt": asks}
    for part in template.generate(**(given | told)):
        parts.append(part)
        length += len(part)
        if length > _LIMIT:
            raise _TooLongError
    return "".join(parts)


def problem(source: str, tokens: dict[str, str]) -> str | None:
    """What is wrong with a template; None where it serves."""
    made = environment()
    limit()
    template = made.from_string(source)
    for switch in _SWITCHES:
        for chat, asks in ((_ASKED, True), (_ANSWERED, False)):
            # both are there at once: what tells where in memory something is tells two places
            chats = [[dict(each) for each in chat] for _ in range(2)]
            texts = [rendered(template, each, asks, tokens | switch) for each in chats]
            if texts[0] != texts[1]:
                return "renders the same chat otherwise each time"
            if lost := next((each for each in chat[:2] if each["content"] not in texts[0]), None):
                return f"loses the {lost['role']}'s message"
    return None


def main() -> None:
    """Read, try, tell."""
    sys.path.append(sys.argv[1])
    given = json.load(sys.stdin)
    try:
        found = problem(given["template"], given["tokens"])
    except _TooLongError:
        found = f"makes more than {_LIMIT} characters of a short chat"
    except MemoryError:
        found = "takes more memory than any template needs"
    except RecursionError:
        found = "calls itself without end"
    except Exception as error:  # whatever a stranger's program comes to
        lines = str(error).splitlines() or [""]
        found = f"can't be rendered ({type(error).__name__}: {lines[0]})"
    json.dump({"problem": found}, sys.stdout)


if __name__ == "__main__":
    main()
