"""What a sentence shows of a value that somebody's file holds, however large, deep or odd it is."""

from typing import Any

_ROOM = 200


def shown(value: Any) -> str:
    """The value as Python writes it, its middle left out where it is long."""
    try:
        text = repr(value)
    except RecursionError:
        return f"a {'table' if isinstance(value, dict) else 'list'} of tables in tables"
    except ValueError:  # a number of more digits than Python turns into text
        return "a number of thousands of digits"
    half = _ROOM // 2
    return text if len(text) <= _ROOM else f"{text[:half]}…{text[-half:]}"
