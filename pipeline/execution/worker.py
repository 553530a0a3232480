"""Execute one work anywhere: run its call in a scratch folder, store its files, commit a manifest.

A pure function of the work; no Ray. Killed at any point it leaves at most unnamed files, since only
the manifest makes outputs visible; run twice it commits once and checks that both made the same.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
from functools import singledispatch
from pathlib import Path

import pyarrow as pa
import xxhash

from pipeline.errors import InputError, IntegrityError
from pipeline.execution.combine import run_each, run_merge, run_output
from pipeline.execution.exchange import run_reduce, run_scatter
from pipeline.execution.segment import run_segment
from pipeline.execution.work import (
    EachCall,
    Env,
    Made,
    MadeFile,
    MergeCall,
    OutputCall,
    ReduceCall,
    ScatterCall,
    SegmentCall,
    Work,
)
from pipeline.files.local_storage import file_sha256
from pipeline.files.storage import AlreadyExists, Storage
from pipeline.files.tables import single_thread
from pipeline.files.uris import open_storage
from pipeline.results.manifest import Dataset, FileRef, Manifest, commit_manifest, load_manifest
from pipeline.stage import Partition

_SUFFIX = {"artefact": "", "files": ""}


@singledispatch
def run_call(call: object, env: Env) -> Made:
    """Do what a call says, in its scratch folder. One function a class of calls."""
    raise TypeError(f"no way to run a {type(call).__name__}")


run_call.register(SegmentCall, run_segment)
run_call.register(ScatterCall, run_scatter)
run_call.register(ReduceCall, run_reduce)
run_call.register(EachCall, run_each)
run_call.register(MergeCall, run_merge)
run_call.register(OutputCall, run_output)


def execute(root: str, work: Work) -> Manifest:
    """The manifest of this work, made now unless it is there. Raises PipelineError."""
    single_thread()
    storage = open_storage(root)
    found = load_manifest(storage, work.key)
    if found is not None:
        return found
    try:
        scratch = Path(tempfile.mkdtemp(dir=storage.scratch_root()))
    except OSError as error:
        raise InputError(
            f"cannot write scratch files under {storage.scratch_root()}: {error.strerror}. "
            f"Free room or mend the permissions, then run again."
        ) from error
    try:
        env = Env(storage, scratch, f"{work.node}, unit {work.unit[:12]}")
        try:
            made = run_call(work.call, env)
        except OSError as error:
            raise InputError(
                f"{env.where}: {error.strerror or error} ({error.filename or scratch}). "
                f"Free room or mend the permissions, then run again: finished work is kept."
            ) from error
        attempt = secrets.token_hex(4)
        outputs = {
            name: Dataset.of([_store(storage, work, name, attempt, file) for file in files])
            for name, files in sorted(made.outputs.items())
        }
        manifest = Manifest(made.key or work.key, work.node, work.unit, outputs, made.counters)
        return commit_manifest(storage, manifest)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        pa.default_memory_pool().release_unused()  # the next work starts from a low mark


def _store(storage: Storage, work: Work, output: str, attempt: str, file: MadeFile) -> FileRef:
    """Put one file under an attempt path, or once under its content name."""
    sha256 = file_sha256(file.path)
    size = file.path.stat().st_size
    if file.publish_as:
        path = file.publish_as.replace("{checksum}", sha256[:8])
        if path.startswith("dataset/"):
            path = work.dataset + path.removeprefix("dataset")
        try:
            storage.put(path, file.path, if_absent=True)
        except AlreadyExists:
            _check_same(storage, path, sha256)
    else:
        name = file.name or f"{work.unit}{_SUFFIX.get(output, '.parquet')}"
        path = f"{work.folder}/{output}-{attempt}/{name}"
        storage.put(path, file.path)
    return FileRef(path, sha256, size, file.rows, dict(file.info))


def _check_same(storage: Storage, path: str, sha256: str) -> None:
    """A content name that is taken must hold that content. Raises IntegrityError."""
    with storage.open(path) as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    if found != sha256:
        raise IntegrityError(
            f"{path} has the sha256 {found[:12]}, expected {sha256[:12]}: it was changed or cut "
            f"short. Run `python -m pipeline verify {storage.root} --repair`, then run again."
        )


def partition_id(partition: Partition) -> str:
    """Identity of a partition, 32 hex digits: source id, file relative to base, range."""
    source, file, head = partition.source, partition.file, partition.head
    span = "" if head is None else f"\0head={head}"
    if partition.stop is not None:
        span += f"\0bytes={partition.start}-{partition.stop}"
    return xxhash.xxh3_128_hexdigest(f"{source}\0{file}{span}".encode())
