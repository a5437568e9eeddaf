"""The store: checkpoints, outputs and records on disk, found by the hash of what made them."""

from pytest_ftbench.store.faults import StorageError, fault_of, read_stored
from pytest_ftbench.store.files import read_json, write_file, write_json
from pytest_ftbench.store.keys import digest, file_digest, folder_digest, package_versions, source_digest
from pytest_ftbench.store.machine import MachineLock
from pytest_ftbench.store.manifest import file_digests
from pytest_ftbench.store.store import Store

__all__ = [
    "MachineLock",
    "StorageError",
    "Store",
    "digest",
    "fault_of",
    "file_digest",
    "file_digests",
    "folder_digest",
    "package_versions",
    "read_json",
    "read_stored",
    "source_digest",
    "write_file",
    "write_json",
]
