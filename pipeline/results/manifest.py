"""Manifests: one small JSON file per finished work, put if absent: the only commit point.

Readers read only what a manifest names, never a glob. An output's digest is H(checksums, row
counts), free of paths, times and attempts, so equal outputs are equal whoever made them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from pipeline.errors import IntegrityError
from pipeline.files.storage import AlreadyExists, Storage
from pipeline.planning.fingerprint import digest


@dataclass(frozen=True)
class FileRef:
    """One stored file that a manifest names. `path` is relative to the workdir."""

    path: str
    sha256: str
    num_bytes: int
    rows: int = 0
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A named output of one work: its files and their common digest."""

    files: tuple[FileRef, ...]
    digest: str

    @classmethod
    def of(cls, files: Sequence[FileRef]) -> Dataset:
        return cls(tuple(files), digest([(file.sha256, file.rows) for file in files]))

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.files)


@dataclass(frozen=True)
class Manifest:
    """What one finished work made and counted."""

    key: str
    node: str
    unit: str
    """Partition id, bucket number, or `all`."""
    outputs: Mapping[str, Dataset]
    counters: Mapping[str, Any]
    """The funnel of this work: documents in, kept, dropped by reason, quarantined; damage."""

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def manifest_path(key: str) -> str:
    return f"manifests/{key}.json"


def parse_manifest(data: bytes, path: str) -> Manifest:
    """Raises IntegrityError if the bytes are no manifest."""
    try:
        raw = orjson.loads(data)
        outputs = {
            name: Dataset(tuple(FileRef(**file) for file in value["files"]), value["digest"])
            for name, value in raw["outputs"].items()
        }
        manifest = Manifest(raw["key"], raw["node"], raw["unit"], outputs, raw["counters"])
        if path != manifest_path(manifest.key):
            raise ValueError(f"it names the key {manifest.key}")
        return manifest
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise IntegrityError(
            f"corrupt manifest {path}: {error}. "
            f"Run `python -m pipeline verify CONFIG --repair` (or delete the file): "
            f"only its own work runs again."
        ) from error


def load_manifest(storage: Storage, key: str) -> Manifest | None:
    """The manifest of a finished work, or None. Raises IntegrityError if it is corrupt."""
    path = manifest_path(key)
    try:
        data = storage.get(path)
    except FileNotFoundError:
        return None
    return parse_manifest(data, path)


def commit_manifest(storage: Storage, manifest: Manifest) -> Manifest:
    """Put the manifest if absent; if another attempt was first, its outputs must be equal.

    Returns the manifest that counts. Raises IntegrityError when two attempts disagree: a stage
    that is not deterministic.
    """
    try:
        storage.put(manifest_path(manifest.key), manifest.to_json(), if_absent=True)
        return manifest
    except AlreadyExists:
        first = load_manifest(storage, manifest.key)
    if first is None:  # gc between the two calls cannot happen under the lease
        raise IntegrityError(f"manifest {manifest.key} vanished while it was committed; run again.")
    ours = {name: dataset.digest for name, dataset in manifest.outputs.items()}
    theirs = {name: dataset.digest for name, dataset in first.outputs.items()}
    if ours != theirs:
        different = sorted(k for k in {*ours, *theirs} if ours.get(k) != theirs.get(k))
        raise IntegrityError(
            f"{manifest.node}, unit {manifest.unit}: two attempts at one work made different bytes "
            f"({', '.join(different)}). A stage is not deterministic: no clock, set order, process "
            f"state or random generator may reach its output."
        )
    return first
