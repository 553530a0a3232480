"""Verify a workdir: every file that a manifest or a dataset version names, byte for byte.

A file is whole if its sha256 is the one that names it; a shard also if its row groups hold the
tokens that its footer promises, and as many documents and tokens as the version and the index say.
`repair` deletes what is damaged with the manifests that name it, so that the next run of the same
configuration redoes exactly that work.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.audit.expected import (
    DATASET,
    VERSION,
    Expected,
    Problem,
    Report,
    latest_keys,
    read_manifests,
    read_versions,
)
from pipeline.audit.shards import check_shard, open_parquet
from pipeline.errors import InputError, IntegrityError
from pipeline.files.storage import Storage
from pipeline.results.manifest import Dataset, FileRef

_CHUNK = 1 << 20
_TOKENIZER = re.compile(r".*/tokenizer-([0-9a-f]{8})/meta\.json")


def verify(
    storage: Storage, everything: bool, progress: Callable[[int, int, int], None] | None = None
) -> Report:
    """Check the latest run and every dataset version; with `everything`, all manifests.

    Files of earlier runs' manifests are checked for presence and size. Raises InputError if there
    is nothing to verify.
    """
    report = Report()
    expected: dict[str, Expected] = {}
    latest = latest_keys(storage, report)
    read_manifests(storage, report, expected, None if everything else latest)
    read_versions(storage, report, expected)
    if not report.manifests and not report.versions and not report.problems:
        raise InputError(
            f"{storage.root} holds nothing to verify: no manifest, no dataset. Give the workdir of "
            f"a run, or its configuration."
        )
    _files(storage, report, expected, progress)
    _check_tokenizers(storage, report, expected)
    report.problems.sort(key=lambda problem: (problem.kind, problem.path))
    return report


def verify_dataset(
    storage: Storage, folder: str, progress: Callable[[int, int, int], None] | None = None
) -> Report:
    """Check every version of the dataset in a folder of the storage, wherever it was copied to.

    What its versions list outside of the folder (documents, tables of deduplication) is left out.
    """
    report = Report()
    expected: dict[str, Expected] = {}
    read_versions(storage, report, expected, folder)
    inside = {path: known for path, known in expected.items() if path.startswith(f"{folder}/")}
    _files(storage, report, inside, progress)
    _check_tokenizers(storage, report, inside)
    report.problems.sort(key=lambda problem: (problem.kind, problem.path))
    return report


# --- files -------------------------------------------------------------------------------------


def _files(
    storage: Storage,
    report: Report,
    expected: Mapping[str, Expected],
    progress: Callable[[int, int, int], None] | None,
) -> None:
    """Check every expected file; several at once, since a store answers slowly."""
    names = sorted(expected)
    with ThreadPoolExecutor() as pool:
        answers = pool.map(lambda name: check_file(storage, name, expected[name]), names)
        for done, (name, (found, hashed)) in enumerate(zip(names, answers, strict=True), start=1):
            known = expected[name]
            report.files += 1
            report.num_bytes += hashed
            report.sizes_only += not known.hash_it
            report.shards += known.shard is not None
            for kind, text in found:
                report.problems.append(Problem(name, kind, text, tuple(known.named_by)))
                report.keys_of[name] = known.keys
            if progress:
                progress(done, len(names), report.num_bytes)


def _check_tokenizers(storage: Storage, report: Report, expected: Mapping[str, Expected]) -> None:
    """meta.json is nowhere named by its checksum, but it and tokenizer.json name their folder."""
    for path in sorted(expected):
        found = _TOKENIZER.fullmatch(path)
        pair = (path, path.replace("meta.json", "tokenizer.json"))
        if not found or any(storage.info(name) is None for name in pair):
            continue
        refs = [FileRef(name, _sha256(storage, name)[0], 0) for name in pair]
        if Dataset.of(refs).digest[:8] != found[1] and pair[1] not in report.keys_of:
            text = "it and tokenizer.json are not the contents that name their folder"
            report.problems.append(Problem(path, "damaged", text, tuple(expected[path].named_by)))


def check_file(storage: Storage, path: str, known: Expected) -> tuple[list[tuple[str, str]], int]:
    """([(kind, what was got and expected)], bytes hashed) of one file; [] if it is whole."""
    info = storage.info(path)
    if info is None:
        return [("missing", "no such file")], 0
    if known.num_bytes is not None and info.size != known.num_bytes:
        text = f"{info.size:,} bytes, expected {known.num_bytes:,}"
        return [("damaged", text)], 0
    if not known.hash_it:
        return [], 0
    sha256, size = _sha256(storage, path)
    wanted = known.sha256 or _hex_in_name(path)
    wrong = []
    if wanted is not None and not sha256.startswith(wanted):
        wrong.append(f"sha256 {sha256[:12]}, expected {wanted[:12]}")
    if known.shard is not None:
        wrong += _check_shard(storage, path, known.shard)
    elif known.documents is not None and path.endswith(".parquet") and not wrong:
        rows = pq.ParquetFile(storage.local_path(path) or storage.open(path)).metadata.num_rows
        if rows != known.documents:
            wrong.append(f"{rows:,} documents, expected {known.documents:,}")
    return ([("damaged", "; ".join(wrong))] if wrong else []), size


def _check_shard(storage: Storage, path: str, entry: Mapping[str, Any]) -> list[str]:
    try:
        with open_parquet(storage, path) as file:
            wrong, groups = check_shard(file)
    except (IntegrityError, pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = str(error).partition("as Parquet: ")[2] or str(error)
        return [f"unreadable: {reason.splitlines()[0].partition('. `')[0]}"]
    for name in ("documents", "tokens"):
        total = sum(group[name] for group in groups)
        if total != entry[name]:
            wrong.append(f"{total:,} {name}, its version says {entry[name]:,}")
    return wrong


def _sha256(storage: Storage, path: str) -> tuple[str, int]:
    total, size = hashlib.sha256(), 0
    with storage.open(path) as stream:
        while data := stream.read(_CHUNK):
            total.update(data)
            size += len(data)
    return total.hexdigest(), size


def _hex_in_name(path: str) -> str | None:
    found = re.search(r"-([0-9a-f]{8})\.[a-z.]+$", path)
    return found[1] if found else None


# --- repair ------------------------------------------------------------------------------------


def repair(storage: Storage, report: Report) -> list[str]:
    """Delete what is damaged and the manifests that name it; restore `dataset.json`.

    Returns the paths that were deleted or restored. The caller holds the lease.
    """
    doomed: dict[str, None] = {}
    for problem in report.problems:
        for key in report.keys_of.get(problem.path, ()):
            doomed[f"manifests/{key}.json"] = None
    for problem in report.problems:
        doomed[problem.path] = None
    done = []
    for path in doomed:
        restored = _other_copy(storage, path, report)
        if restored is not None:
            storage.put(path, restored)
            done.append(path)
        elif storage.info(path) is not None:
            storage.delete(path)
            done.append(path)
    return done


def _other_copy(storage: Storage, path: str, report: Report) -> bytes | None:
    """The content of a corrupt version file or dataset.json, from the file that it is a copy of."""
    bad = {problem.path for problem in report.problems}
    found = VERSION.fullmatch(path)
    if found:
        current = f"{found[1]}/dataset.json"
        data = storage.get(current) if current not in bad and storage.info(current) else b"{}"
        return data if orjson.loads(data).get("version") == int(found[2]) else None
    folder = posixpath.dirname(path)
    if posixpath.basename(path) != "dataset.json" or not DATASET.fullmatch(folder):
        return None
    versions = [info.path for info in storage.list(f"{folder}/versions") if info.path not in bad]
    numbers = [int(found[2]) for found in map(VERSION.fullmatch, versions) if found]
    return storage.get(f"{folder}/versions/{max(numbers)}.json") if numbers else None
