"""Publish a run: index, version, and last `dataset.json`, the only file ever replaced.

Shards and documents already stand under their content names; a version lists the files of its run.
Order of puts: tokenizer, index, `versions/<n>.json` (if absent), `dataset.json`. A crash between
leaves the earlier version in force.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import IntegrityError
from pipeline.execution.schedule import Schedule
from pipeline.files.storage import AlreadyExists, Storage
from pipeline.planning.fingerprint import digest
from pipeline.planning.lowering import phase_key
from pipeline.planning.nodes import OutputNode, ReduceNode
from pipeline.planning.plan import Plan, Step
from pipeline.results.dataset_index import append_to, index_of, shard_order
from pipeline.results.manifest import FileRef
from pipeline.schema import FORMAT_VERSION


def dataset_folder(limit: int | None) -> str:
    """`dataset`, or `dataset-limit-N` for a run cut by `--limit N`."""
    return "dataset" if limit is None else f"dataset-limit-{limit}"


def fingerprint_of(body: Mapping[str, Any]) -> str:
    """The dataset fingerprint: H(sorted shard names), of documents where there are no shards."""
    listed = body.get("shards") or body["documents"] or body.get("dedup", ())
    return digest(sorted(posixpath.basename(entry["file"]) for entry in listed))


def recipe_fingerprint(plan: Plan) -> str:
    """H(step keys, seed): equal recipes on any input."""
    keys = [phase_key(step, plan, None) for step in plan.steps]
    return digest([keys, plan.config.seed])


def listed_files(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The entries of all files that a version lists, `file` relative to the dataset's folder."""
    return [entry for kind in ("shards", "documents", "dedup") for entry in body.get(kind, ())]


def publish(
    plan: Plan, schedule: Schedule, storage: Storage, limit: int | None
) -> tuple[int | None, dict[str, Any]]:
    """Publish the run's files as a version of the dataset; an equal latest version is kept.

    Returns (version number, content of dataset.json); (None, {}) for a plan without outputs.
    """
    shards, documents, dedup = _finished_files(schedule)
    writer = _shard_step(plan)
    if writer is None and not documents and not dedup:
        return None, {}
    folder = dataset_folder(limit)
    body: dict[str, Any] = {"format_version": FORMAT_VERSION, "name": plan.config.name}
    body["recipe_fingerprint"] = recipe_fingerprint(plan)
    if writer is not None:
        body |= _dataset_part(writer, schedule, storage)
        written: Written = {}
        for ref in shards:
            group = ref.info["split"], ref.info["group"], ref.info.get("stage", "")
            before = written.get(group, (0, 0))
            written[group] = (before[0] + ref.info["documents"], before[1] + ref.info["tokens"])
        reconcile(body, written)
        body["tokenizer"] |= {"folder": _put_tokenizer(writer, schedule, storage, folder)}
        body["shards"] = [
            {"file": posixpath.relpath(ref.path, folder), "sha256": ref.sha256,
             "num_bytes": ref.num_bytes, "documents": ref.info["documents"],
             "tokens": ref.info["tokens"]}
            for ref in shards
        ]  # fmt: skip
    body["documents"] = [
        {"file": posixpath.relpath(ref.path, folder), "sha256": ref.sha256,
         "num_bytes": ref.num_bytes, "documents": ref.rows}
        for ref in documents
    ]  # fmt: skip
    if dedup:
        body["dedup"] = [
            {"file": posixpath.relpath(ref.path, folder), "sha256": ref.sha256,
             "num_bytes": ref.num_bytes, **ref.info}
            for ref in dedup
        ]  # fmt: skip
    if writer is not None:
        index = index_of(shards, folder)
        earlier = read_version(storage, folder) if getattr(writer.stage, "append", False) else None
        if earlier is not None:
            index = append_to(earlier, body, index, storage, folder)
        body["index"] = put_index(index, storage, folder)
    body["fingerprint"] = fingerprint_of(body)
    return put_version(body, storage, folder)


Written = dict[tuple[str, str, str], tuple[int, int]]
"""(split, group, stage) -> documents and tokens in the listed shards."""


def reconcile(body: dict[str, Any], written: Written) -> None:
    """Make the totals those of shards of which pages were erased since their cut was made.

    The cut stays as it was: documents x copies = written + cut + erased.
    """
    for row in body["totals"]:
        got = written.get((row["split"], row["group"], row.get("stage", "")), (0, 0))
        for name, now in zip(("documents", "tokens"), got, strict=True):
            erased = row[f"written_{name}"] + row.get(f"erased_{name}", 0) - now
            row[f"written_{name}"] = now
            if erased:
                row[f"erased_{name}"] = erased
    for stage in body["mixture"].get("stages", ()):
        of = [row for row in body["totals"] if row.get("stage") == stage["name"]]
        stage["written_tokens"] = sum(row["written_tokens"] for row in of)


def _finished_files(schedule: Schedule) -> tuple[list[FileRef], list[FileRef], list[FileRef]]:
    """Token shards, documents, tables for later runs; each in a fixed order."""
    shards: list[FileRef] = []
    documents: list[FileRef] = []
    dedup: list[FileRef] = []
    for name, node in schedule.nodes.items():
        if not isinstance(node, ReduceNode | OutputNode):
            continue
        for manifest in schedule.results[name].values():
            for ref in manifest.outputs["files"].files if "files" in manifest.outputs else ():
                into = documents if isinstance(node, OutputNode) else shards
                (dedup if "table" in ref.info else into).append(ref)
    shards.sort(key=shard_order)
    for found in (documents, dedup):
        found.sort(key=lambda ref: ref.path)
    return shards, documents, dedup


def _shard_step(plan: Plan) -> Step | None:
    """The step that writes shards: the one with a tokenizer that yields no documents."""
    found = [s for s in plan.steps if s.schema is None and "tokenizer" in s.references]
    return found[-1] if found else None


def _dataset_part(step: Step, schedule: Schedule, storage: Storage) -> dict[str, Any]:
    made = schedule.results[schedule.lowering.artefacts[step.id]]["all"]
    for ref in made.outputs["artefact"].files:
        if posixpath.basename(ref.path) == "dataset.json":
            part: dict[str, Any] = json.loads(storage.get(ref.path))
            return part
    raise AssertionError(f"{step.id} made no dataset.json")


def _put_tokenizer(step: Step, schedule: Schedule, storage: Storage, folder: str) -> str:
    made = schedule.lowering.artefacts[step.references["tokenizer"]]
    artefact = schedule.results[made]["all"].outputs["artefact"]
    name = f"tokenizer-{artefact.digest[:8]}"
    for ref in artefact.files:
        target = f"{folder}/{name}/{posixpath.basename(ref.path)}"
        _put_once(storage, target, storage.get(ref.path))
    return name


def put_index(index: pa.Table, storage: Storage, folder: str) -> str:
    """Put the index under its content name, which is returned."""
    out = io.BytesIO()
    pq.write_table(index, out, compression="zstd")
    data = out.getvalue()
    name = f"index-{hashlib.sha256(data).hexdigest()[:8]}.parquet"
    _put_once(storage, f"{folder}/{name}", data)
    return name


def _put_once(storage: Storage, path: str, data: bytes) -> None:
    try:
        storage.put(path, data, if_absent=True)
    except AlreadyExists:
        if storage.get(path) != data:
            raise IntegrityError(
                f"{path} exists with other content than its name says. Delete it and run again."
            ) from None


def read_version(storage: Storage, folder: str = "dataset") -> Mapping[str, Any] | None:
    """The dataset in force, or None. Raises IntegrityError if its file is corrupt."""
    try:
        data = storage.get(f"{folder}/dataset.json")
        found: Mapping[str, Any] = orjson.loads(data)
        return found
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError as error:
        raise IntegrityError(
            f"{storage.root}/{folder}/dataset.json is corrupt: {error}. Copy the latest file of "
            f"{folder}/versions over it."
        ) from error


def put_version(body: dict[str, Any], storage: Storage, folder: str) -> tuple[int, dict[str, Any]]:
    """Put a version in force, unless it is the one that is; its number and content."""
    current = read_version(storage, folder)
    if current is not None and _same(current, body):
        return int(current["version"]), dict(current)
    number = max((n for n in _versions(storage, folder)), default=0) + 1
    while True:
        body["version"] = number
        data = orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        try:
            storage.put(f"{folder}/versions/{number}.json", data, if_absent=True)
            break
        except AlreadyExists:
            if storage.get(f"{folder}/versions/{number}.json") == data:
                break  # our own put, whose answer was lost and which was tried again
            number += 1
    storage.put(f"{folder}/dataset.json", data)
    return number, body


def _same(current: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    known = {key: value for key, value in current.items() if key != "version"}
    return bool(known == orjson.loads(orjson.dumps(body)))


def _versions(storage: Storage, folder: str) -> list[int]:
    names = [posixpath.basename(info.path) for info in storage.list(f"{folder}/versions")]
    return [int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()]


def published_sha256(storage: Storage, folder: str = "dataset") -> str:
    """One sha256 over the names and contents of all files that the version in force lists."""
    current = read_version(storage, folder)
    total = hashlib.sha256()
    for entry in listed_files(current or {}):
        path = posixpath.normpath(f"{folder}/{entry['file']}")
        total.update(posixpath.basename(path).encode() + b"\0")
        total.update(hashlib.sha256(storage.get(path)).digest())
    return total.hexdigest()
