"""The store: checkpoints, outputs and records on disk, found by the hash of what made them."""

from pytest_ftbench.store.cap import Cap
from pytest_ftbench.store.contents import Stored, contents, drafts, entry_folders, graves, read_manifest, size_of
from pytest_ftbench.store.faults import StorageError, fault_of, read_stored
from pytest_ftbench.store.files import read_json, write_file, write_json
from pytest_ftbench.store.kernel import available_bytes, killed_since, kills
from pytest_ftbench.store.keys import digest, file_digest, folder_digest, package_versions, source_digest
from pytest_ftbench.store.machine import MachineLock
from pytest_ftbench.store.manifest import file_digests
from pytest_ftbench.store.place import LOCKS, SIZE_VARIABLE, default_folder
from pytest_ftbench.store.prune import Removal, counted, keep_within, prune, surplus, unused_since
from pytest_ftbench.store.sizes import format_size, format_time, parse_age, parse_size
from pytest_ftbench.store.store import Store
from pytest_ftbench.store.trail import Trail
from pytest_ftbench.store.usage import Usage

__all__ = [
    "LOCKS",
    "SIZE_VARIABLE",
    "Cap",
    "MachineLock",
    "Removal",
    "StorageError",
    "Store",
    "Stored",
    "Trail",
    "Usage",
    "available_bytes",
    "contents",
    "counted",
    "default_folder",
    "digest",
    "drafts",
    "entry_folders",
    "fault_of",
    "file_digest",
    "file_digests",
    "folder_digest",
    "format_size",
    "format_time",
    "graves",
    "keep_within",
    "killed_since",
    "kills",
    "package_versions",
    "parse_age",
    "parse_size",
    "prune",
    "read_json",
    "read_manifest",
    "read_stored",
    "size_of",
    "source_digest",
    "surplus",
    "unused_since",
    "write_file",
    "write_json",
]
