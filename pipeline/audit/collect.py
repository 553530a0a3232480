"""gc: delete what no kept run and no dataset version needs.

Roots are the manifests that the last N run records name, every file that a version of a dataset
lists, and whatever is younger than the bound (a run may be about to name it). Manifests go before
the files that they name, so that an interrupted gc leaves no manifest without its files.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.audit.expected import DATASET
from pipeline.audit.lookup import read_json
from pipeline.errors import InputError
from pipeline.files.storage import ObjectInfo, Storage
from pipeline.results.manifest import load_manifest
from pipeline.results.publish import listed_files
from pipeline.results.records import runs_of

KINDS = ("manifests", "step outputs", "documents", "token shards", "dataset files", "leftovers")
"""In the order in which they are deleted; leftovers: scratch and halves of interrupted writes."""
_HALF = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")


@dataclass
class Tally:
    """Files and bytes of one kind."""

    files: int = 0
    num_bytes: int = 0

    def add(self, info: ObjectInfo) -> None:
        self.files += 1
        self.num_bytes += info.size


@dataclass
class Collected:
    """What gc deleted (or would delete), kept and spared, by kind."""

    runs_kept: list[str] = field(default_factory=list)
    runs: int = 0
    versions: int = 0
    deleted: dict[str, Tally] = field(default_factory=lambda: {kind: Tally() for kind in KINDS})
    kept: dict[str, Tally] = field(default_factory=lambda: {kind: Tally() for kind in KINDS})
    spared: Tally = field(default_factory=Tally)
    """Needed by no kept run and no version, but too young to delete."""
    paths: list[str] = field(default_factory=list)
    """Deleted, in order."""


def collect(
    storage: Storage,
    keep_runs: int,
    min_age_seconds: float,
    dry_run: bool,
    heartbeat: Callable[[], None] = lambda: None,
) -> Collected:
    """Delete what no root needs. The caller holds the lease, except for a dry run.

    Raises InputError if the workdir holds no finished run, IntegrityError if a root is corrupt.
    """
    runs = runs_of(storage)
    if not runs:
        raise InputError(
            f"{storage.root} holds no finished run, so that nothing says what is needed. Give the "
            f"workdir of a run; to be rid of all of it, delete the folder."
        )
    done = Collected([posixpath.basename(path)[:-5] for path in runs[:keep_runs]], len(runs))
    files = [info for info in storage.list("") if kind_of(info.path) is not None]
    needed = _needed(storage, runs[:keep_runs], done)
    spared: set[str] = set()
    for info in files:  # a young manifest may be a run's that has not finished yet
        if kind_of(info.path) == "manifests" and _young(info, min_age_seconds):
            spared |= _named_by(storage, posixpath.basename(info.path)[:-5])
        heartbeat()
    doomed: list[ObjectInfo] = []
    for info in files:
        kind = kind_of(info.path)
        assert kind is not None
        if info.path in needed:
            done.kept[kind].add(info)
        elif info.path in spared or _young(info, min_age_seconds):
            done.spared.add(info)
        else:
            done.deleted[kind].add(info)
            doomed.append(info)
    doomed.sort(key=lambda info: (KINDS.index(kind_of(info.path) or ""), info.path))
    done.paths = [info.path for info in doomed]
    if not dry_run:
        for path in done.paths:
            storage.delete(path)
            heartbeat()
        _drop_empty_folders(storage, min_age_seconds)
    return done


def _young(info: ObjectInfo, min_age_seconds: float) -> bool:
    return max(info.age_seconds, 0.0) < min_age_seconds


def kind_of(path: str) -> str | None:
    """What a stored file is to gc; None for all that gc never touches."""
    top, _, rest = path.partition("/")
    if top == ".scratch" or _HALF.fullmatch(posixpath.basename(path)):
        return "leftovers"
    kind = {"manifests": "manifests", "steps": "step outputs", "documents": "documents"}.get(top)
    if kind is not None:
        return kind
    if not DATASET.fullmatch(top) or rest == "dataset.json" or rest.startswith("versions/"):
        return None
    if rest.startswith("shards/"):
        return "token shards"
    return "dataset files" if rest.startswith(("index-", "tokenizer-", "dedup/")) else None


def _needed(storage: Storage, runs: list[str], done: Collected) -> set[str]:
    """Paths that the kept runs and all versions name."""
    needed: set[str] = set()
    for path in runs:
        for units in read_json(storage, path)["keys"].values():
            for key in units.values():
                needed |= _named_by(storage, key)
    for info in storage.list(""):
        folder, _, rest = info.path.partition("/")
        is_version = re.fullmatch(r"versions/\d+\.json", rest) is not None
        if not DATASET.fullmatch(folder) or not (is_version or rest == "dataset.json"):
            continue
        done.versions += is_version
        body = read_json(storage, info.path)
        for entry in listed_files(body):
            needed.add(posixpath.normpath(f"{folder}/{entry['file']}"))
        if "index" in body:
            needed.add(f"{folder}/{body['index']}")
            names = storage.list(f"{folder}/{body['tokenizer']['folder']}")
            needed |= {found.path for found in names}
    return needed


def _named_by(storage: Storage, key: str) -> set[str]:
    """A manifest's path and the files that it names; nothing if it is gone."""
    manifest = load_manifest(storage, key)
    if manifest is None:
        return set()
    files = {ref.path for dataset in manifest.outputs.values() for ref in dataset.files}
    return files | {f"manifests/{key}.json"}


def _drop_empty_folders(storage: Storage, min_age_seconds: float) -> None:
    """On a local disk: remove folders of steps, documents and scratch that hold nothing."""
    root = storage.local_path("")
    if root is None:
        return
    import time

    oldest = time.time() - min_age_seconds
    for top in ("steps", "documents", ".scratch"):
        for folder, _, _ in os.walk(Path(root, top), topdown=False):
            old = top != ".scratch" or os.stat(folder).st_mtime <= oldest
            if old and folder != str(Path(root, top)):
                with contextlib.suppress(OSError):  # not empty
                    os.rmdir(folder)
