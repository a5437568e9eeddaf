"""What ends a cell that takes longer than it may."""

from typing import ClassVar

from pytest_ftbench.grid.errors import UserError


class TimeUpError(BaseException):
    """Raised amid whatever a cell does when its time is up.

    No Exception: a library that tries something, and does without where that fails, must not take it for such a case.
    """


class TimedOutError(UserError):
    """A cell that took longer than it may."""

    failure: ClassVar[str] = "timeout"
