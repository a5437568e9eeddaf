"""The machine's lock: many compute, one is timed alone, and who works long gives way."""

import multiprocessing
import threading
import time
from contextlib import contextmanager

import pytest

from pytest_ftbench.store import MachineLock

CONTEXT = multiprocessing.get_context("spawn")


def hold(folder, alone, held, let_go):
    lock = MachineLock(print, folder)
    with lock.alone() if alone else lock.shared():
        held.set()
        let_go.wait(30)


def work_in_steps(folder, held, done):
    """Work that never ends of itself, in steps; it lasts until somebody was alone."""
    lock = MachineLock(print, folder)
    with lock.shared():
        held.set()
        while not done.is_set():
            time.sleep(0.05)
            lock.give_way()


@pytest.fixture
def other(tmp_path):
    """Starts another process that holds the lock; it is ended with the test."""
    running = []

    def start(target, *arguments):
        held, event = CONTEXT.Event(), CONTEXT.Event()
        process = CONTEXT.Process(target=target, args=(tmp_path, *arguments, held, event))
        process.start()
        running.append((process, event))
        assert held.wait(30)
        return process, event

    yield start
    for process, event in running:
        if process.is_alive():  # an event would wait for the answer of a dead one
            event.set()
        process.join(30)


def waits(lock, mode):
    """Seconds until a block of the lock is entered."""
    start = time.monotonic()
    with mode(lock):
        return time.monotonic() - start


def test_two_compute_at_once(tmp_path, other):
    other(hold, False)
    assert waits(MachineLock(print, tmp_path), MachineLock.shared) < 1


@pytest.mark.parametrize(("theirs_alone", "mine"), [(True, MachineLock.shared), (False, MachineLock.alone)])
def test_who_is_timed_is_alone(tmp_path, other, theirs_alone, mine):
    _, let_go = other(hold, theirs_alone)
    order = []

    def release():
        time.sleep(1.5)
        order.append("released")
        let_go.set()

    threading.Thread(target=release).start()
    with mine(MachineLock(print, tmp_path)):
        order.append("entered")
    assert order == ["released", "entered"]


def test_long_work_gives_way(tmp_path, other):
    _, done = other(work_in_steps)
    lock = MachineLock(print, tmp_path)
    assert waits(lock, MachineLock.alone) < 10
    assert not done.is_set()


def test_the_wait_for_others_happens_while_the_clock_stands(tmp_path, monkeypatch):
    lock, paused = MachineLock(print, tmp_path), []
    with lock.shared():
        lock.give_way(lambda: paused.append("at once") or pytest.fail("it has only just begun"))
        monkeypatch.setattr("pytest_ftbench.store.machine._SECONDS_BETWEEN_TURNS", 0.0)

        class Pause:
            def __enter__(self):
                paused.append("paused")

            def __exit__(self, *_):
                paused.append("goes on")

        lock.give_way(Pause)
    assert paused == ["paused", "goes on"]


def test_a_dead_process_holds_nothing(tmp_path, other):
    process, _ = other(hold, True)
    process.kill()
    process.join()
    assert waits(MachineLock(print, tmp_path), MachineLock.alone) < 5


def test_where_no_lock_can_be_kept_work_goes_on_and_it_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    said = []
    lock = MachineLock(said.append, tmp_path / "file")
    assert not lock.works
    with lock.alone():
        pass
    with lock.shared():
        lock.give_way()
    assert len(said) == 1
    assert "timings may be disturbed" in said[0]


def test_it_says_that_it_waits(tmp_path, other, monkeypatch):
    monkeypatch.setattr("pytest_ftbench.store.machine._SECONDS_OF_PATIENCE", 0.5)
    monkeypatch.setattr("pytest_ftbench.store.machine._SECONDS_UNINTERRUPTIBLE", 0.2)
    _, let_go = other(hold, True)
    said = []

    def say(line):
        said.append(line)
        let_go.set()

    with MachineLock(say, tmp_path).shared():
        pass
    assert said == ["waits while another process is timed"]


def test_an_interrupted_wait_stays_an_interrupt_and_leaves_nothing_held(tmp_path, other, monkeypatch):
    monkeypatch.setattr("pytest_ftbench.store.machine._SECONDS_BETWEEN_TURNS", 0.0)
    monkeypatch.setattr("pytest_ftbench.store.machine._SECONDS_OF_PATIENCE", 0.0)
    process, let_go = None, None

    def interrupt(_):
        raise KeyboardInterrupt

    lock = MachineLock(interrupt, tmp_path)

    @contextmanager
    def meanwhile():
        nonlocal process, let_go
        lock._release()
        process, let_go = other(hold, True)
        yield

    with pytest.raises(KeyboardInterrupt), lock.shared():
        lock.give_way(meanwhile)
    let_go.set()
    process.join(30)
    assert waits(lock, MachineLock.alone) < 5


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path, mode):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(mode)
    said = []
    assert not MachineLock(said.append, tmp_path / "shared").works
    (tmp_path / "link").symlink_to(tmp_path)
    assert not MachineLock(said.append, tmp_path / "link").works
    assert len(said) == 2
