"""What a workdir must hold: every file that a manifest or a dataset version names, and by whom.

A manifest, run record or version that cannot be read, or that contradicts another, is a problem by
itself; what the files hold is `verify`'s business.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.audit.shards import first_line
from pipeline.errors import IntegrityError
from pipeline.files.storage import Storage
from pipeline.results.manifest import Dataset, Manifest, parse_manifest
from pipeline.results.publish import fingerprint_of, listed_files
from pipeline.results.records import runs_of

DATASET = re.compile(r"dataset(?:-limit-\d+)?")
"""Folders of the workdir that hold a dataset."""
_VERSION_FILE = re.compile(r"versions/(\d+)\.json")
VERSION = re.compile(f"({DATASET.pattern})/{_VERSION_FILE.pattern}")


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
    in_force: list[str] = field(default_factory=list)
    """The version of each dataset that `dataset.json` is a copy of."""


def latest_keys(storage: Storage, report: Report) -> set[str] | None:
    """Work keys of the newest run; None if there is no readable run, so that all count."""
    for path in runs_of(storage):
        try:
            units = orjson.loads(storage.get(path))["keys"].values()
            return {key for keys in units for key in keys.values()}
        except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
            report.problems.append(Problem(path, "corrupt", f"no run record: {error}"))
    return None


def read_manifests(
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


def read_versions(
    storage: Storage, report: Report, expected: dict[str, Expected], only: str | None = None
) -> None:
    """Every version of every dataset, and `dataset.json`, with the files that they list.

    `only`: of the dataset in this folder, whatever its name is.
    """
    folders: dict[str, dict[int, str]] = {}
    for info in storage.list(only or ""):
        folder, _, inside = info.path.partition("/")
        if only is not None:
            folder, inside = only, info.path.removeprefix(f"{only}/")
        elif not DATASET.fullmatch(folder):
            continue
        found = _VERSION_FILE.fullmatch(inside)
        if found:
            folders.setdefault(folder, {})[int(found[1])] = info.path
        elif inside == "dataset.json":
            folders.setdefault(folder, {})
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
        if fingerprint_of(body) != body["fingerprint"]:
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


def _check_current(
    storage: Storage, folder: str, bodies: Mapping[int, Any], report: Report
) -> None:
    """`dataset.json` is a copy of one version."""
    path = f"{folder}/dataset.json"
    body = _version(storage, path, None, report)
    in_force = body["version"] if body is not None else max(bodies, default=0)
    report.in_force.append(f"{folder} version {in_force}")
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
    for entry in listed_files(body):
        path = posixpath.normpath(f"{folder}/{entry['file']}")
        known = expected.setdefault(path, Expected(entry["sha256"], entry["num_bytes"]))
        known.hash_it = True
        known.named_by.append(name)
        known.documents = entry["documents"]  # rows of a table of dedup
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
        _expect_tokenizer(folder, body["tokenizer"], name, expected)


def _expect_tokenizer(
    folder: str, tokenizer: Mapping[str, Any], name: str, expected: dict[str, Expected]
) -> None:
    """Both files of the tokenizer's folder, whose name is the digest of their contents."""
    at = f"{folder}/{tokenizer['folder']}"
    for file in ("meta.json", "tokenizer.json"):
        known = expected.setdefault(f"{at}/{file}", Expected(hash_it=True))
        known.named_by.append(name)
        if file == "tokenizer.json":
            known.sha256 = tokenizer["sha256"]


def _check_index(
    storage: Storage, folder: str, path: str, body: Mapping[str, Any], report: Report
) -> None:
    """The index adds up to what the version says of each shard."""
    try:
        data = storage.get(path)
        if hashlib.sha256(data).hexdigest()[:8] != path.removesuffix(".parquet")[-8:]:
            return  # its checksum is reported, what it says is worth nothing
        rows = pq.read_table(io.BytesIO(data)).to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid, OSError):
        return  # reported as a file
    name = f"{folder} version {body['version']}"
    for entry in body["shards"]:
        own = [row for row in rows if row["file"] == entry["file"]]
        sums = {name: sum(row[name] for row in own) for name in ("documents", "tokens")}
        for name, total in sums.items():
            if total != entry[name]:
                text = f"{entry['file']}: {total:,} {name} in the index, {entry[name]:,} listed"
                report.problems.append(
                    Problem(path, "damaged", text, (f"{folder} version {body['version']}",))
                )
    unlisted = {row["file"] for row in rows} - {entry["file"] for entry in body["shards"]}
    for file in sorted(unlisted):
        report.problems.append(Problem(path, "damaged", f"{file} is in the index alone", (name,)))


def _check_totals(folder: str, number: int, body: Mapping[str, Any], report: Report) -> None:
    """The totals by group are the sums over the shards."""
    for name in ("documents", "tokens"):
        listed = sum(entry[name] for entry in body["shards"])
        total = sum(group[f"written_{name}"] for group in body.get("totals", []))
        if listed != total:
            text = f"its shards hold {listed:,} {name}, its totals say {total:,}"
            report.problems.append(Problem(f"{folder}/versions/{number}.json", "corrupt", text))
