"""The version in force without the pages: a new one, of the same files but those that held them."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.audit.expected import DATASET, VERSION
from pipeline.erasure.files import Rewritten
from pipeline.files.storage import Storage
from pipeline.results.manifest import FileRef
from pipeline.results.publish import (
    Written,
    fingerprint_of,
    listed_files,
    put_index,
    put_version,
    read_version,
    reconcile,
)

_OF_FILE = ("file", "sha256", "num_bytes")


def datasets_of(storage: Storage) -> list[str]:
    """Folders of the workdir that hold a dataset."""
    tops = {info.path.partition("/")[0] for info in storage.list("")}
    return sorted(top for top in tops if DATASET.fullmatch(top))


def republish(storage: Storage, folder: str, rewritten: Rewritten) -> int | None:
    """Publish the version in force without the pages; its number, None if it did not hold them."""
    current = read_version(storage, folder)
    if current is None or not _names(current, folder, rewritten.held):
        return None
    body: dict[str, Any] = orjson.loads(orjson.dumps(current))
    del body["version"]
    places: dict[str, FileRef | None] = {}
    for kind in ("shards", "documents", "dedup"):
        if kind in body:
            body[kind] = _listed(body[kind], folder, rewritten, places)
    if "index" in body:
        index = pq.read_table(io.BytesIO(storage.get(f"{folder}/{body['index']}")))
        index = _index(index, folder, places)
        reconcile(body, _written(index, body))
        body["index"] = put_index(index, storage, folder)
    body["fingerprint"] = fingerprint_of(body)
    return put_version(body, storage, folder)[0]


def files_of(body: Mapping[str, Any], folder: str) -> set[str]:
    """Paths in the workdir of the files that a version lists."""
    return {posixpath.normpath(f"{folder}/{entry['file']}") for entry in listed_files(body)}


def versions_of(storage: Storage, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and content of every version of a dataset."""
    for info in list(storage.list(f"{folder}/versions")):
        if VERSION.fullmatch(info.path):
            yield info.path, orjson.loads(storage.get(info.path))


def _names(body: Mapping[str, Any], folder: str, held: Mapping[str, str]) -> bool:
    return not files_of(body, folder).isdisjoint(held)


def _listed(
    entries: list[dict[str, Any]],
    folder: str,
    rewritten: Rewritten,
    places: dict[str, FileRef | None],
) -> list[dict[str, Any]]:
    found = []
    for entry in entries:
        path = posixpath.normpath(f"{folder}/{entry['file']}")
        info = {name: value for name, value in entry.items() if name not in _OF_FILE}
        old = FileRef(path, entry["sha256"], entry["num_bytes"], entry["documents"], info)
        new = rewritten.ref(old)
        if path in rewritten.held:
            places[entry["file"]] = rewritten.made[path]
        if new is not None:
            file = posixpath.relpath(new.path, folder)
            of_file = {"file": file, "sha256": new.sha256, "num_bytes": new.num_bytes}
            found.append({**of_file, **new.info})
    return found


def _index(index: pa.Table, folder: str, places: Mapping[str, FileRef | None]) -> pa.Table:
    """The index with the row groups that the new files have."""
    rows: list[dict[str, Any]] = []
    done: set[str] = set()
    for row in index.to_pylist():
        if row["file"] not in places:
            rows.append(row)
        elif row["file"] not in done:
            done.add(row["file"])
            new = places[row["file"]]
            for number, group in enumerate(new.info["row_groups"] if new else ()):
                assert new is not None
                file = posixpath.relpath(new.path, folder)
                rows.append({**row, "file": file, "row_group": number, **group})
    return pa.Table.from_pylist(rows, index.schema.remove_metadata())


def _written(index: pa.Table, body: Mapping[str, Any]) -> Written:
    names = [stage["name"] for stage in body["mixture"].get("stages", ())]
    found: Written = {}
    for row in index.to_pylist():
        stage = row.get("stage")
        key = (row["split"], row["group"], "" if stage is None else names[stage])
        before = found.get(key, (0, 0))
        found[key] = (before[0] + row["documents"], before[1] + row["tokens"])
    return found


def versions_holding(storage: Storage, held: Mapping[str, str]) -> list[str]:
    """Paths of the versions that name a file that held the pages."""
    return [
        path
        for folder in datasets_of(storage)
        for path, body in versions_of(storage, folder)
        if _names(body, folder, held)
    ]


def unlisted(storage: Storage) -> list[str]:
    """Indices and tokenizers of datasets that no version names."""
    found = []
    for folder in datasets_of(storage):
        bodies = [body for _, body in versions_of(storage, folder)]
        bodies.append(dict(read_version(storage, folder) or {}))
        named = {body.get("index") for body in bodies}
        named |= {(body.get("tokenizer") or {}).get("folder") for body in bodies}
        for info in storage.list(folder):
            top = info.path.split("/")[1]
            if top.startswith(("index-", "tokenizer-")) and top not in named:
                found.append(info.path)
    return found
