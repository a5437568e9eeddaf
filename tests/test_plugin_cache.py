"""--ftbench-cache-size: a run leaves a cache within its cap, alone or with workers; a bad size is one sentence."""

import os
import shutil

import pytest

from pytest_ftbench.store import Store, contents

pytestmark = pytest.mark.torch

ONE = ("-k", "lora and squad-to-squad")
SENTENCE = "*{}: is 'much', which is no size; write a number and a unit, as in 20GiB or 500MB."


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    return tmp_path_factory.mktemp("filled")


@pytest.fixture
def old_cache(project, filled, tmp_path):
    """A cache that one cell was measured in, and that holds what nobody has used for long."""
    if not any(filled.iterdir()):
        project.cache = filled
        project.run(*ONE).assert_outcomes(passed=1)
    project.cache = tmp_path / "cache"
    shutil.copytree(filled, project.cache)
    store = Store(project.cache, pytest.fail)
    for number in range(3):
        folder = store.get("checkpoints", number, lambda folder: (folder / "w.bin").write_bytes(b"x" * 1_000_000))
        os.utime(folder, (1.6e9, 1.6e9))
    store.release()
    return project


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_leaves_the_cache_within_its_cap_and_says_what_it_removed(old_cache, workers):
    young = [entry for entry in contents(old_cache.cache) if entry.used > 1.6e9]
    cap = sum(entry.size for entry in young) + 500_000
    options = (*ONE, "-n", workers, "--ftbench-cache-size", f"{cap}B")
    outcome, results = old_cache.results(*options, new_process=workers != "0")
    outcome.assert_outcomes(passed=1)
    assert [cell["status"] for cell in results["cells"]] == ["ok"]
    # said by a worker where it has built something, with workers for a neighbour timings are others
    outcome.stdout.fnmatch_lines(["*cache: removed 3 entries unused since 2020-09-13 *, 2.9 MiB"])
    left = contents(old_cache.cache)
    assert sum(entry.size for entry in left) <= cap
    assert {entry.key for entry in young} <= {entry.key for entry in left}
    assert not any(entry.in_use for entry in left)


def test_the_cap_holds_for_what_the_run_used_itself_once_it_has_ended(old_cache, monkeypatch):
    monkeypatch.setenv("FTBENCH_CACHE_SIZE", "1kB")
    outcome = old_cache.run(*ONE)
    outcome.assert_outcomes(passed=1)
    outcome.stdout.fnmatch_lines(["cache: removed * entries unused since *"])
    assert sum(entry.size for entry in contents(old_cache.cache)) <= 1_000


def test_without_a_cap_nothing_is_removed(old_cache):
    before = {entry.key for entry in contents(old_cache.cache)}
    outcome = old_cache.run(*ONE)
    outcome.assert_outcomes(passed=1)
    outcome.stdout.no_fnmatch_line("cache:*")
    assert {entry.key for entry in contents(old_cache.cache)} == before


@pytest.mark.parametrize("place", ["--ftbench-cache-size", "ftbench_cache_size", "FTBENCH_CACHE_SIZE"])
def test_what_is_no_size_is_one_sentence_wherever_it_is_written(project, monkeypatch, place):
    options = ()
    if place.startswith("--"):
        options = (place, "much")
    elif place.islower():
        project.pytester.makeini(f"[pytest]\n{place} = much\n")
    else:
        monkeypatch.setenv(place, "much")
    outcome = project.run("--collect-only", *options)
    outcome.stdout.fnmatch_lines([SENTENCE.format(place)])
    assert "Traceback" not in outcome.stdout.str()


def test_the_option_goes_before_the_configuration_and_that_before_the_environment(project, monkeypatch):
    monkeypatch.setenv("FTBENCH_CACHE_SIZE", "much")
    project.pytester.makeini("[pytest]\nftbench_cache_size = 1GB\n")
    assert project.collect()
    project.pytester.makeini("[pytest]\nftbench_cache_size = much\n")
    assert project.collect("--ftbench-cache-size", "1GB")
