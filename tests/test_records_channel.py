"""What the controller hears, and how a worker hears of it: each record once, and no wait without an end."""

import threading

import pytest

from pytest_ftbench import records_channel
from pytest_ftbench.records_channel import Inbox, Outbox


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path / "records")


@pytest.fixture
def impatient(monkeypatch):
    """Nobody at work for a moment is enough."""
    monkeypatch.setattr(records_channel, "PATIENCE", 0.2)


class Ears:
    """A worker that waits for some cells."""

    def __init__(self, outbox, *wanted):
        self.inbox = Inbox(outbox.folder)
        self.wanted = set(wanted)
        self.heard = []

    def wait(self):
        return self.inbox.wait(
            lambda payload, nodeid: self.heard.append((nodeid, payload["index"])),
            lambda: self.wanted <= {index for _, index in self.heard},
        )


def test_each_record_is_heard_once_and_in_order(outbox):
    outbox.tell({"index": 1}, "a")
    outbox.tell({"index": 0}, "b")
    ears = Ears(outbox, 0, 1)
    assert ears.wait()
    assert ears.wait()
    assert ears.heard == [("a", 1), ("b", 0)]


def test_while_somebody_is_at_work_a_record_is_waited_for(outbox, impatient):
    outbox.begun("a")
    late = threading.Timer(0.7, lambda: outbox.tell({"index": 0}, "a"))
    late.start()
    assert Ears(outbox, 0).wait()
    late.join()


def test_where_nobody_is_at_work_any_more_the_wait_ends_and_who_waits_may_measure(outbox, impatient):
    outbox.begun("a")
    outbox.ended("a")
    assert Ears(outbox, 0).wait()


@pytest.mark.parametrize("how", ["lost", "ends"])
def test_where_no_more_will_come_the_wait_ends_and_says_so(outbox, impatient, how):
    setattr(outbox, how, True)
    outbox.say()
    assert not Ears(outbox, 0).wait()


def test_where_the_controller_is_gone_or_elsewhere_the_wait_ends(tmp_path, impatient):
    inbox = Inbox(tmp_path / "nowhere")
    assert not inbox.wait(lambda *_: None, lambda: False)
