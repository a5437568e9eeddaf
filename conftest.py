"""Shared by all tests: pytester, to run the plugin in a pytest of its own; Hypothesis; how many faults are provoked."""

import signal
from collections.abc import Callable

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]

# a shell's background jobs ignore Ctrl-C, and so would all that is started here to see whether it hears it
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# two cores that also train models make a deadline a matter of luck
settings.register_profile("ftbench", deadline=None)
settings.load_profile("ftbench")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many faults the tests of faults provoke."""
    parser.addoption("--faults", choices=("short", "long"), default="short", help="how many faults are provoked")


@pytest.fixture(scope="session")
def faults(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How many faults a test provokes: the fewer in every run of the tests, the more in ``make faults``."""
    asked = request.config.getoption("--faults")
    return lambda short, long: long if asked == "long" else short
