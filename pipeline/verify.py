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
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError, IntegrityError
from pipeline.fingerprint import digest
from pipeline.lookup import runs_of
from pipeline.manifest import Dataset, FileRef, Manifest, parse_manifest
from pipeline.shards import check_shard, first_line, open_parquet
from pipeline.storage import Storage

DATASET = re.compile(r"dataset(?:-limit-\d+)?")
"""Folders of the workdir that hold a dataset."""
_VERSION = re.compile(r"(dataset(?:-limit-\d+)?)/versions/(\d+)\.json")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it was written."""

    path: str
    kind: str
    """`damaged`, `missing`, `corrupt` (unreadable manifest, record or version)."""
    found: str
    """What was got, and what was expected."""
    named_by: tuple[str, ...] = ()
    """Works and dataset versions that need the file."""


@dataclass
class Expected:
    """What is known of one stored file from all that name it."""

    sha256: str | None = None
    """None where only the name's 8 hex digits are known."""
    num_bytes: int | None = None
    hash_it: bool = False
    shard: Mapping[str, Any] | None = None
    """A version's entry of a shard."""
    documents: int | None = None
    named_by: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """Manifests that name it."""


@dataclass
class Report:
    """What was looked at and what was found."""

    problems: list[Problem] = field(default_factory=list)
    manifests: int = 0
    files: int = 0
    num_bytes: int = 0
    """Hashed."""
    sizes_only: int = 0
    """Files of earlier runs of which only presence and size were checked."""
    shards: int = 0
    versions: int = 0
    keys_of: dict[str, list[str]] = field(default_factory=dict)
    """Damaged or missing file -> manifests that name it."""


def verify(
    storage: Storage, everything: bool, progress: Callable[[int, int, int], None] | None = None
) -> Report:
    """Check the latest run and every dataset version; with `everything`, all manifests.

    Files of earlier runs' manifests are checked for presence and size. Raises InputError if there
    is nothing to verify.
    """
    report = Report()
    expected: dict[str, Expected] = {}
    latest = _latest_keys(storage, report)
    _manifests(storage, report, expected, None if everything else latest)
    _versions(storage, report, expected)
    if not report.manifests and not report.versions and not report.problems:
        raise InputError(
            f"{storage.root} holds nothing to verify: no manifest, no dataset. Give the workdir of "
            f"a run, or its configuration."
        )
    _files(storage, report, expected, progress)
    report.problems.sort(key=lambda problem: (problem.kind, problem.path))
    return report


# --- what is named -----------------------------------------------------------------------------


def _latest_keys(storage: Storage, report: Report) -> set[str] | None:
    """Work keys of the newest run; None if there is no readable run, so that all count."""
    for path in runs_of(storage):
        try:
            units = orjson.loads(storage.get(path))["keys"].values()
            return {key for keys in units for key in keys.values()}
        except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
            report.problems.append(Problem(path, "corrupt", f"no run record: {error}"))
    return None


def _manifests(
    storage: Storage, report: Report, expected: dict[str, Expected], hashed: set[str] | None
) -> None:
    """Every manifest parsed; the files of those in `hashed` (None = all) marked for hashing."""
    seen = set()
    paths = [info.path for info in storage.list("manifests") if info.path.endswith(".json")]
    paths = [path for path in paths if not posixpath.basename(path).startswith(".")]
    with ThreadPoolExecutor() as pool:
        for path, data in zip(paths, pool.map(storage.get, paths), strict=True):
            report.manifests += 1
            seen.add(posixpath.basename(path).removesuffix(".json"))
            try:
                manifest = parse_manifest(data, path)
            except IntegrityError as error:
                wrong = str(error).partition(": ")[2].partition(". Run `")[0]
                report.problems.append(Problem(path, "corrupt", f"no manifest: {wrong}"))
                continue
            wanted = hashed is None or manifest.key in hashed
            _expect_files(report, expected, manifest, path, wanted)
    for key in sorted((hashed or set()) - seen):
        text = "the latest run names it, the next run makes it again"
        report.problems.append(Problem(f"manifests/{key}.json", "missing", text))


def _expect_files(
    report: Report, expected: dict[str, Expected], manifest: Manifest, path: str, hash_it: bool
) -> None:
    for name, dataset in manifest.outputs.items():
        if Dataset.of(dataset.files).digest != dataset.digest:
            text = f"the digest of its output '{name}' is not that of its files"
            report.problems.append(Problem(path, "corrupt", text))
        for ref in dataset.files:
            known = expected.setdefault(ref.path, Expected(ref.sha256, ref.num_bytes))
            known.hash_it = known.hash_it or hash_it
            known.keys.append(manifest.key)
            known.named_by.append(f"{manifest.node}, unit {manifest.unit[:12]}")
            if (known.sha256, known.num_bytes) != (ref.sha256, ref.num_bytes):
                text = f"it and another manifest disagree on {ref.path}"
                report.problems.append(Problem(path, "corrupt", text))


def _versions(storage: Storage, report: Report, expected: dict[str, Expected]) -> None:
    """Every version of every dataset, and `dataset.json`, with the files that they list."""
    folders = {}
    for info in storage.list(""):
        found = _VERSION.fullmatch(info.path)
        if found:
            folders.setdefault(found[1], {})[int(found[2])] = info.path
        elif DATASET.fullmatch(info.path.partition("/")[0]) and info.path.endswith("/dataset.json"):
            folders.setdefault(posixpath.dirname(info.path), {})
    for folder, versions in sorted(folders.items()):
        bodies: dict[int, Any] = {}
        for number, path in sorted(versions.items()):
            report.versions += 1
            body = _version(storage, path, number, report)
            if body is not None:
                bodies[number] = body
                _expect_version(storage, folder, number, body, report, expected)
        _check_current(storage, folder, bodies, report)


def _version(storage: Storage, path: str, number: int | None, report: Report) -> Any:
    """The content of a version's file; None and a problem if it is corrupt."""
    try:
        body = orjson.loads(storage.get(path))
        names = [posixpath.basename(e["file"]) for e in _listed(body)]
        if digest(sorted(names)) != body["fingerprint"]:
            raise ValueError("its fingerprint is not that of the files it lists")
        if number is not None and body["version"] != number:
            raise ValueError(f"it says version {body['version']}")
        return body
    except FileNotFoundError:
        report.problems.append(Problem(path, "missing", "the copy of the version in force"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"no version: {first_line(error)}"
        report.problems.append(Problem(path, "corrupt", text))
    return None


def _listed(body: Mapping[str, Any]) -> list[Any]:
    return [*body.get("shards", []), *body.get("documents", [])]


def _check_current(
    storage: Storage, folder: str, bodies: Mapping[int, Any], report: Report
) -> None:
    """`dataset.json` is a copy of one version."""
    path = f"{folder}/dataset.json"
    body = _version(storage, path, None, report)
    if body is not None and body["version"] in bodies and bodies[body["version"]] != body:
        text = f"it is no copy of versions/{body['version']}.json"
        report.problems.append(Problem(path, "corrupt", text))


def _expect_version(
    storage: Storage,
    folder: str,
    number: int,
    body: Mapping[str, Any],
    report: Report,
    expected: dict[str, Expected],
) -> None:
    name = f"{folder} version {number}"
    for entry in _listed(body):
        path = posixpath.normpath(f"{folder}/{entry['file']}")
        known = expected.setdefault(path, Expected(entry["sha256"], entry["num_bytes"]))
        known.hash_it = True
        known.named_by.append(name)
        known.documents = entry["documents"]
        if entry in body.get("shards", []):
            known.shard = entry
        if known.sha256 != entry["sha256"]:
            text = f"{name} and a manifest disagree on {path}"
            report.problems.append(Problem(path, "corrupt", text, tuple(known.named_by)))
    if "index" in body:
        index = f"{folder}/{body['index']}"
        expected.setdefault(index, Expected(hash_it=True)).named_by.append(name)
        _check_index(storage, folder, index, body, report)
        _check_totals(folder, number, body, report)
        _expect_tokenizer(storage, folder, body["tokenizer"], name, report, expected)


def _expect_tokenizer(
    storage: Storage,
    folder: str,
    tokenizer: Mapping[str, Any],
    name: str,
    report: Report,
    expected: dict[str, Expected],
) -> None:
    """Both files of the tokenizer's folder; its name is the digest of their contents."""
    at = f"{folder}/{tokenizer['folder']}"
    refs = []
    for file in ("meta.json", "tokenizer.json"):
        path = f"{at}/{file}"
        sha256 = tokenizer["sha256"] if file == "tokenizer.json" else None
        expected.setdefault(path, Expected(sha256, hash_it=True)).named_by.append(name)
        if storage.info(path) is not None:
            refs.append(FileRef(path, _sha256(storage, path)[0], 0))
    if len(refs) == 2 and not at.endswith(f"-{Dataset.of(refs).digest[:8]}"):
        text = "it and tokenizer.json are not the contents that name their folder"
        report.problems.append(Problem(f"{at}/meta.json", "damaged", text, (name,)))


def _check_index(
    storage: Storage, folder: str, path: str, body: Mapping[str, Any], report: Report
) -> None:
    """The index adds up to what the version says of each shard."""
    if storage.info(path) is None:
        return  # reported as a file
    try:
        with open_parquet(storage, path) as file:
            rows = file.read(use_threads=False).to_pylist()
    except (IntegrityError, pa.ArrowInvalid, OSError):
        return  # its checksum is reported
    for entry in body["shards"]:
        own = [row for row in rows if row["file"] == entry["file"]]
        sums = {name: sum(row[name] for row in own) for name in ("documents", "tokens")}
        for name, total in sums.items():
            if total != entry[name]:
                text = f"{entry['file']}: {total:,} {name} in the index, {entry[name]:,} listed"
                report.problems.append(Problem(path, "damaged", text, (f"{folder} index",)))
    unlisted = {row["file"] for row in rows} - {entry["file"] for entry in body["shards"]}
    for name in sorted(unlisted):
        report.problems.append(Problem(path, "damaged", f"{name} is in the index alone"))


def _check_totals(folder: str, number: int, body: Mapping[str, Any], report: Report) -> None:
    """The totals by group are the sums over the shards."""
    for name in ("documents", "tokens"):
        listed = sum(entry[name] for entry in body["shards"])
        total = sum(group[f"written_{name}"] for group in body.get("totals", []))
        if listed != total:
            text = f"its shards hold {listed:,} {name}, its totals say {total:,}"
            report.problems.append(Problem(f"{folder}/versions/{number}.json", "corrupt", text))


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
    found = _VERSION.fullmatch(path)
    if found:
        current = f"{found[1]}/dataset.json"
        data = storage.get(current) if current not in bad and storage.info(current) else b"{}"
        return data if orjson.loads(data).get("version") == int(found[2]) else None
    folder = posixpath.dirname(path)
    if posixpath.basename(path) != "dataset.json" or not DATASET.fullmatch(folder):
        return None
    versions = [info.path for info in storage.list(f"{folder}/versions") if info.path not in bad]
    numbers = [int(found[2]) for found in _matches(versions)]
    return storage.get(f"{folder}/versions/{max(numbers)}.json") if numbers else None


def _matches(paths: Iterable[str]) -> Sequence[re.Match[str]]:
    return [found for found in map(_VERSION.fullmatch, paths) if found]
