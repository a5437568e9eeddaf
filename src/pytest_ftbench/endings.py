"""Ends a run from a thread beside the one that runs it, where that one doesn't come back. PYTEST_DONT_REWRITE."""

import contextlib
import faulthandler
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NoReturn

import pytest

_SECONDS_TO_FINISH = 20.0  # whoever presses Ctrl-C waits no longer than they like: the second one ends it


def stacks() -> str:
    """What each thread of this process does, as Python's faulthandler tells it; nothing where no file can be made."""
    try:
        with tempfile.TemporaryFile() as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def end_session(session: pytest.Session, code: int, tell: Callable[[], object]) -> NoReturn:
    """Finish a session and end its process: whatever reports at the end does so, after ``tell`` has told why.

    Nothing is torn down, for that is what the thread that doesn't come back would do.
    """
    last = threading.Timer(_SECONDS_TO_FINISH, os._exit, [code])
    last.daemon = True
    last.start()
    config = session.config
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
            session.exitstatus = code
            tell()
            finish = config.pluginmanager.subset_hook_caller(
                "pytest_sessionfinish", [config.pluginmanager.get_plugin("runner")]
            )
            finish(session=session, exitstatus=code)
    except BaseException:  # there is nobody above who would say it
        traceback.print_exc()
    finally:
        reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        for file in (getattr(reporter, "_tw", None), sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                file.flush()  # type: ignore[union-attr]
        os._exit(code)
