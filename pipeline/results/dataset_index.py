"""The index of a dataset, and the joining of a new run's files to an earlier version's."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.files.storage import Storage
from pipeline.results.manifest import FileRef

INDEX = pa.schema(
    [
        ("file", pa.string()),  # relative to the dataset's folder
        ("split", pa.string()),
        ("group", pa.string()),
        ("row_group", pa.int32()),
        ("first_token", pa.int64()),  # tokens of this file before the row group
        ("tokens", pa.int64()),
        ("documents", pa.int64()),
        ("checksum", pa.string()),  # xxh3-128 of the row group's decoded token bytes, hex
    ]
)
STAGE = pa.field("stage", pa.int32())
"""A further column where the mixture has stages: the stage's number from 0; null = in none."""

_SUMMED = (
    "documents", "tokens", "epoch_documents", "epoch_tokens", "left_out", "wanted_tokens",
    "target_tokens", "written_documents", "written_tokens", "shortfall_tokens", "cut_documents",
    "cut_tokens", "shards", "erased_documents", "erased_tokens",
)  # fmt: skip


def shard_order(ref: FileRef) -> tuple[Any, ...]:
    """Order of shards in a version: (split, group, stage, number)."""
    info = ref.info
    return info["split"], info["group"], info.get("stage_number", 0), info["shard"]


def index_of(shards: Sequence[FileRef], folder: str) -> pa.Table:
    """The index of a run's shards, in their order; one row a row group."""
    rows = [
        {
            "file": posixpath.relpath(ref.path, folder),
            "split": ref.info["split"],
            "group": ref.info["group"],
            "stage": ref.info.get("stage_number"),
            "row_group": number,
            **{name: group[name] for name in ("first_token", "tokens", "documents", "checksum")},
        }
        for ref in shards
        for number, group in enumerate(ref.info["row_groups"])
    ]
    staged = any(row["stage"] is not None for row in rows)
    return pa.Table.from_pylist(rows, INDEX.append(STAGE) if staged else INDEX)


def append_to(
    earlier: Mapping[str, Any],
    body: dict[str, Any],
    index: pa.Table,
    storage: Storage,
    folder: str,
) -> pa.Table:
    """Add an earlier version's files to `body`; gives the index of both.

    `parts` then holds mixture and totals of each run, `totals` their sums. A run whose shards are
    all listed already leaves the earlier version as it is. Raises ConfigError where the two do not
    fit together, or where only some of the shards are new.
    """
    own, before = ({entry["file"] for entry in listed["shards"]} for listed in (body, earlier))
    old_index = pq.read_table(io.BytesIO(storage.get(f"{folder}/{earlier['index']}")))
    if own <= before:
        body.clear()
        body.update({name: value for name, value in earlier.items() if name != "version"})
        return old_index
    if again := sorted(own & before):
        raise ConfigError(
            f"write_shards: append: version {earlier['version']} lists {again[0]} already, and "
            f"{len(own - before)} other shards of this run are new. Expected documents that no "
            f"earlier version holds: name only the inputs of the new dump, or leave `append` out."
        )
    _check_fits(earlier, body)
    parts = earlier.get("parts") or [_part(earlier)]
    body["parts"] = [*parts, _part(body)]
    body["totals"] = _summed([*earlier["totals"], *body["totals"]])
    both = pa.concat_tables([old_index, index], promote_options="default")
    both = _in_order(both)
    place = {file: at for at, file in enumerate(both["file"].to_pylist())}
    for kind in ("shards", "documents", "dedup"):
        listed = {entry["file"]: entry for entry in (*earlier.get(kind, ()), *body.get(kind, ()))}
        if listed or kind != "dedup":
            body[kind] = sorted(
                listed.values(), key=lambda e: (place.get(e["file"], -1), e["file"])
            )
    return both


def _in_order(index: pa.Table) -> pa.Table:
    number = [int(file.rsplit("-", 2)[1]) for file in index["file"].to_pylist()]
    keys = ["split", "group", *(["stage"] if "stage" in index.column_names else [])]
    order = [(key, "ascending") for key in (*keys, "shard", "file", "row_group")]
    return index.append_column("shard", pa.array(number)).sort_by(order).drop_columns(["shard"])


def _part(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("recipe_fingerprint", "mixture", "totals")}


def _check_fits(earlier: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Raises ConfigError unless readers can treat the shards of both as one dataset."""
    for name in ("format_version", "dtype", "shuffle_seed"):
        _check_equal(name, earlier.get(name), body[name])
    for name in ("sha256", "vocab_size", "special_tokens"):
        _check_equal(f"tokenizer {name}", earlier["tokenizer"].get(name), body["tokenizer"][name])
    for name in ("by", "validation_permille"):
        _check_equal(f"mix {name}", earlier["mixture"].get(name), body["mixture"][name])
    names = [[stage["name"] for stage in of["mixture"].get("stages", ())] for of in (earlier, body)]
    _check_equal("mix stages", *names)


def _check_equal(name: str, before: Any, now: Any) -> None:
    if before != now:
        raise ConfigError(
            f"write_shards: append: {name} is {now!r}, the version in force has {before!r}. Shards "
            f"of one dataset need the same tokenizer (`use_tokenizer` with the file in its "
            f"folder), dtype, groups, split rule and seed. Change that, or give another workdir."
        )


def _summed(totals: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The totals of several runs by (split, group, stage). Copies and epochs: the run with most."""
    rows: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in totals:
        rows.setdefault((row["split"], row["group"], row.get("stage", "")), []).append(row)
    found = []
    for _, same in sorted(rows.items()):
        row = dict(same[0])
        row |= {n: sum(of.get(n, 0) for of in same) for n in _SUMMED if any(n in of for of in same)}
        row |= {name: max(of[name] for of in same) for name in ("copies", "epochs")}
        found.append(row)
    return found
