"""A block ends when its clock has run down, wherever it is by then, and what must be whole stays so."""

import importlib
import re
import signal
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from pytest_ftbench import timeouts
from pytest_ftbench.grid import TimedOutError, TimeUpError
from pytest_ftbench.timeouts import Clock, TimeLimit, in_debugger

SOON = 0.05


def limit(seconds=SOON):
    return TimeLimit(Clock(seconds), lambda: pytest.fail("it was given up"))


def busy(seconds=10.0):
    """Compute for so long, unless something is raised."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        pass


@pytest.mark.parametrize("work", [busy, time.sleep, lambda: threading.Event().wait(10)], ids=["busy", "sleep", "wait"])
def test_python_and_its_waits_are_ended_at_once(work):
    began = time.monotonic()
    with pytest.raises(TimeUpError, match=r"longer than 0\.05 s"), limit():
        work(*(10,) * (work is time.sleep))
    assert time.monotonic() - began < 2


def test_a_call_that_lets_no_other_thread_run_is_held_against_the_cell():
    def work():
        # a call of C that holds the interpreter's lock for some seconds: a regular expression that goes back and forth
        re.match(r"(a+)+$", "a" * 26 + "b")
        time.sleep(5)

    with pytest.raises(TimeUpError), limit(0.3):
        work()


def test_a_thread_that_is_not_the_main_one_is_ended_too():
    said = []

    def work():
        try:
            with limit():
                for _ in range(1000):
                    time.sleep(0.01)
        except TimeUpError as error:
            said.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert said == ["it took longer than 0.05 s"]


def test_who_is_in_time_hears_nothing_and_finds_signals_as_they_were():
    before = signal.getsignal(signal.SIGURG)
    with limit(60) as mine:
        pass
    assert not mine.is_up
    assert signal.getsignal(signal.SIGURG) == before
    time.sleep(2 * SOON)


def test_waiting_for_others_is_not_its_own_time():
    clock = Clock(0.3)
    with TimeLimit(clock, pytest.fail):
        for _ in range(2):
            with clock.paused(), clock.paused():
                assert clock.left() == float("inf")
                time.sleep(0.4)
    assert 0 < clock.left() < 0.3


def test_a_library_that_tries_something_does_not_take_it_for_a_failure():
    def work():
        try:
            busy()
        except Exception:
            pytest.fail("it was taken for one")

    with pytest.raises(TimeUpError), limit():
        work()


def test_who_swallows_it_hears_it_again(monkeypatch):
    monkeypatch.setattr(timeouts, "GRACE", 1.0)
    heard = []

    def work():
        while True:
            try:
                busy()
            except TimeUpError as error:
                heard.append(error)
                if len(heard) == 2:
                    raise

    with pytest.raises(TimeUpError), limit():
        work()
    assert len(heard) == 2


def test_the_ends_of_blocks_are_not_torn_apart():
    done = []

    class Whole:
        def __enter__(self):
            busy(4 * SOON)
            done.append("entered")

        def __exit__(self, *_):
            busy(4 * SOON)
            done.append("left")

    @contextmanager
    def whole():
        busy(4 * SOON)
        done.append("entered")
        try:
            yield
        finally:
            busy(4 * SOON)
            done.append("left")

    for block in (Whole, whole):
        done.clear()
        with pytest.raises(TimeUpError), limit(), block():
            busy()
        assert done == ["entered", "left"]


def test_an_import_is_not_torn_apart(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.3)\nready = True\n")
    monkeypatch.syspath_prepend(tmp_path)

    def work():
        importlib.import_module("slow_to_import")
        busy()

    with pytest.raises(TimeUpError), limit():
        work()
    assert sys.modules["slow_to_import"].ready


def test_an_alarm_of_somebody_else_rings_amid_the_block_and_after_it():
    """As pytest-timeout sets one."""
    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.2)
        with pytest.raises(TimeUpError), limit(0.3):
            busy()
        amid = len(rang)
        assert amid >= 1
        assert signal.getitimer(signal.ITIMER_REAL)[1] > 0
        busy(0.5)
        assert len(rang) > amid
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_does_not_end_is_given_up(monkeypatch):
    monkeypatch.setattr(timeouts, "GRACE", 0.3)
    given_up = threading.Event()
    with TimeLimit(Clock(SOON), given_up.set):

        class Stubborn:
            def __enter__(self):
                assert given_up.wait(5)

            def __exit__(self, *_):
                pass

        with Stubborn():
            pass


def test_who_debugs_has_all_the_time():
    source = "def stop():\n    import sys\n    return sys._getframe()\n"
    names = {"__name__": "pdb"}
    exec(source, names)
    assert in_debugger(names["stop"]())
    assert not in_debugger(sys._getframe())


def test_it_is_a_failure_of_its_own_class():
    error = TimedOutError("nano-base-to-arc", "it took longer than 5 s", "raise cell_timeout")
    assert error.failure == "timeout"
    assert str(error) == "nano-base-to-arc: it took longer than 5 s; raise cell_timeout."
