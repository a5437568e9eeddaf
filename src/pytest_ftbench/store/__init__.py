"""The store: checkpoints, outputs and records on disk, found by the hash of what made them."""

from pytest_ftbench.store.kernel import available_bytes, killed_since, kills
from pytest_ftbench.store.keys import digest, file_digest, folder_digest, package_versions, source_digest
from pytest_ftbench.store.machine import MachineLock
from pytest_ftbench.store.store import Store, file_digests, read_json, write_file, write_json
from pytest_ftbench.store.trail import Trail

__all__ = [
    "MachineLock",
    "Store",
    "Trail",
    "available_bytes",
    "digest",
    "file_digest",
    "file_digests",
    "folder_digest",
    "killed_since",
    "kills",
    "package_versions",
    "read_json",
    "source_digest",
    "write_file",
    "write_json",
]
