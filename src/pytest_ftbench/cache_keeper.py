"""The cache in a run: what it uses of it stays until its end, when it is cleaned up. PYTEST_DONT_REWRITE."""

import pytest

from pytest_ftbench.plugin import CACHE_SAID, LEDGER, STORES, is_worker
from pytest_ftbench.settings import cache_folder, cache_size
from pytest_ftbench.store import Cap, Store


def kept_open(config: pytest.Config, store: Store) -> Store:
    """The store itself, whose entries are in use until the run ends."""
    config.stash.setdefault(STORES, []).append(store)
    return store


def finish(config: pytest.Config) -> None:
    """Use nothing any more; where cells were run and there is a cap, clean up in the process that reports them."""
    for store in config.stash.get(STORES, []):
        store.release()
    ledger = config.stash.get(LEDGER, None)
    if is_worker(config) or ledger is None or not ledger.suites or ledger.stored is not None:
        return
    size = cache_size(config)
    if size is not None:
        Cap(cache_folder(config), size, config.stash.setdefault(CACHE_SAID, []).append).keep()
