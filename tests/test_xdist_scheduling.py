"""Who runs what under xdist: whole checkpoints, each item once, also where workers die; and a slot for each worker."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdist.scheduler import LoadScheduling

from pytest_ftbench.xdist_bridge import Controller
from pytest_ftbench.xdist_scheduling import CheckpointOrLoadScheduling, CheckpointScheduling


def groups_of(collection):
    """What workers say of the items that have cells: which training each is tested on."""
    cells = [item for item in collection if "-to-" in item and "::gate[" not in item]
    return {item: item.partition("-to-")[0].replace("-nf4", "") for item in cells}


def gates_of(collection):
    """What workers say of the items that judge."""
    return [item for item in collection if "::gate[" in item]


CELLS = [
    f"t.py::test[nano-{way}-to-{task}]" for way in ("base", "lora-r8-arc", "dora-r8-arc") for task in ("arc", "squad")
]


class Worker:
    """Runs what it is sent, in that order; like xdist's, an item only once the next one is known or none will come."""

    def __init__(self, name):
        self.gateway = SimpleNamespace(id=name)
        self.queue = []
        self.shutting_down = False

    def send_runtest_some(self, indices):
        self.queue += indices

    def shutdown(self):
        self.shutting_down = True

    def next(self):
        return self.queue[0] if len(self.queue) > 1 or (self.queue and self.shutting_down) else None


@pytest.fixture(scope="module")
def config():
    return SimpleNamespace(getvalue=lambda _: ["popen"] * 2, getoption=lambda *_: None, option=SimpleNamespace(debug=0))


class Run:
    """A run of workers over a collection, driven as xdist's session drives a schedule."""

    def __init__(self, config, collection, schedule=None):
        self.schedule = schedule or CheckpointScheduling(config, None, groups_of(collection), gates_of(collection))
        self.collection = collection
        self.workers = []
        self.ran = {}
        self.lost = []
        for _ in range(2):
            self.add(self.schedule.add_node)
        for worker in self.workers:
            self.schedule.add_node_collection(worker, collection)
        self.schedule.schedule()

    def add(self, add_node):
        worker = Worker(f"gw{len(self.workers) + len(self.lost)}")
        self.workers.append(worker)
        add_node(worker)
        return worker

    def step(self, worker):
        """Let a worker run its next item; whether there was one."""
        if (index := worker.next()) is None:
            return False
        self.ran.setdefault(worker.gateway.id, []).append(worker.queue.pop(0))
        self.schedule.mark_test_complete(worker, index)
        self.end_where_finished()
        return True

    def end_where_finished(self):
        if self.schedule.tests_finished:
            for worker in self.workers:
                worker.shutdown()

    def kill(self, worker):
        """Let a worker die, and another take its place."""
        self.lose(worker)
        self.replace()

    def lose(self, worker):
        """Let a worker die."""
        self.workers.remove(worker)
        item = self.schedule.remove_node(worker)
        self.lost.append((worker, item))

    def replace(self):
        """Let another take the place of a dead one: it has collected by now."""
        clone = self.add(self.schedule.add_node)
        self.schedule.add_node_collection(clone, self.collection)
        self.schedule.schedule()
        self.end_where_finished()

    @property
    def all_ran(self):
        return [index for indices in self.ran.values() for index in indices]


GATES = [cell.replace("::test[", "::gate[") for cell in CELLS]
collections = st.lists(
    st.sampled_from([*CELLS, *(f"t.py::test_other{n}" for n in range(5)), "u.py::test[nano-base-nf4-to-arc]"]),
    unique=True,
    max_size=14,
)


@given(collections, st.lists(st.integers(0, 1), max_size=60))
def test_every_item_runs_once_and_a_checkpoint_on_one_worker(config, collection, turns):
    run = Run(config, collection)
    for turn in turns + [0, 1] * len(collection):
        run.step(run.workers[turn])
    assert sorted(run.all_ran) == list(range(len(collection)))
    groups = groups_of(collection)
    ran = {worker: [collection[index] for index in indices] for worker, indices in run.ran.items()}
    of_worker = {worker: {groups[item] for item in items if item in groups} for worker, items in ran.items()}
    assert sum(map(len, of_worker.values())) == len(set(groups.values()))


@given(collections.filter(bool), st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=40))
def test_a_dead_worker_costs_the_item_it_ran_and_the_others_run_once(config, collection, turns):
    run = Run(config, collection)
    deaths = 0
    for turn, dies in turns:
        if dies and run.workers[turn].next() is not None and deaths < 3:
            run.kill(run.workers[turn])
            deaths += 1
        else:
            run.step(run.workers[turn])
    for _ in range(2 * len(collection)):
        for worker in list(run.workers):
            run.step(worker)
    lost = [collection.index(item) for _, item in run.lost if item is not None]
    assert len(lost) == deaths
    assert sorted(run.all_ran + lost) == list(range(len(collection)))


@given(
    collections,
    st.lists(st.sampled_from(GATES), unique=True, min_size=1),
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["step", "step", "die", "replace"])), max_size=40),
)
def test_gates_are_last_on_every_worker_also_where_workers_die(config, collection, gates, turns):
    collection = [*collection, *gates]
    run = Run(config, collection)
    first_gate = len(collection) - len(gates)
    for turn, what in turns + [(0, "replace"), (0, "step"), (1, "step")] * len(collection):
        worker = run.workers[turn % len(run.workers)]
        if what == "die" and len(run.workers) == 2 and len(run.lost) < 3 and worker.next() is not None:
            run.lose(worker)
        elif what == "replace" and len(run.workers) < 2:
            run.replace()
        elif worker.next() is not None and not waits(run, worker.next(), first_gate):
            run.step(worker)
        for each in run.workers:
            assert each.queue == sorted(each.queue, key=lambda index: index >= first_gate)
    lost = [collection.index(item) for _, item in run.lost if item is not None]
    assert sorted(run.all_ran + lost) == list(range(len(collection)))


def waits(run, index, first_gate):
    """Whether an item is a gate that cells are still to be measured for, as a worker would wait in it."""
    lost = [run.collection.index(item) for _, item in run.lost if item is not None]
    return index >= first_gate and not set(range(first_gate)) <= {*run.all_ran, *lost}


def test_other_items_are_handed_out_in_batches(config):
    run = Run(config, [CELLS[0], *(f"t.py::test_{n}" for n in range(100)), CELLS[1]])
    first, second = run.workers
    assert first.queue == [0, 101]
    assert len(second.queue) == 25


def test_two_workers_start_on_checkpoints_of_their_own(config):
    first, second = Run(config, CELLS).workers
    assert first.queue == [0, 1]
    assert second.queue == [2, 3]


def decided_later(config, groups):
    return CheckpointOrLoadScheduling(config, None, LoadScheduling(config, None), lambda: groups)


def test_without_cells_it_is_xdists_own_load(config):
    run = Run(config, [f"t.py::test_{n}" for n in range(9)], decided_later(config, {}))
    assert run.schedule.__class__.__name__ == "LoadScheduling"
    for turn in [0, 1] * 9:
        run.step(run.workers[turn])
    assert sorted(run.all_ran) == list(range(9))


def test_with_cells_it_is_by_checkpoint(config):
    run = Run(config, CELLS, decided_later(config, groups_of(CELLS)))
    assert run.schedule.__class__ is CheckpointScheduling
    assert run.workers[0].queue == [0, 1]


def node(name):
    return SimpleNamespace(gateway=SimpleNamespace(id=name), workerinput={})


def test_a_worker_takes_over_the_slot_of_the_dead_one_it_replaces(request):
    controller = Controller(SimpleNamespace(add_cleanup=request.addfinalizer), by_checkpoint=True)
    nodes = [node(f"gw{n}") for n in range(4)]
    for each in nodes[:3]:
        controller.pytest_configure_node(each)
    controller.pytest_testnodedown(nodes[1], "crashed")
    controller.pytest_configure_node(nodes[3])
    assert [each.workerinput["ftbench_slot"] for each in nodes] == [0, 1, 2, 1]
