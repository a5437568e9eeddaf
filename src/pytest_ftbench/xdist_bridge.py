"""What of pytest-xdist this plugin has to know; the only file that does. PYTEST_DONT_REWRITE."""

import pytest


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs items for another, which reports them."""
    return hasattr(config, "workerinput")


def work_alone(config: pytest.Config) -> None:
    """Start no workers, whatever ``-n`` says: there is nothing for them to do."""
    for option, value in (("numprocesses", None), ("distload", False), ("dist", "no"), ("tx", [])):
        if hasattr(config.option, option):
            setattr(config.option, option, value)
