"""The rank cut: the documents of each group that meet a target, exactly to one document.

Each document has a rank, `draw("mix", doc_id, copy)`, and those below one node, the **cut**, are
taken. Three small phases over a side table of `SIZES` find it in memory that does not grow with
the corpus:

    totals     documents and size of each (split, group)
    histogram  sizes in 65,536 buckets of the rank; names the one bucket that the target falls in
    cuts       the documents of that bucket in order of (rank, doc_id, file, offset)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.phases import Combine, Tables
from pipeline.sampling import TOTALS, Mixture, Take, TakePlan
from pipeline.schema import DOC_ID

if TYPE_CHECKING:
    from pipeline.stage import Side

BUCKET_BITS = 16
"""The rank's upper bits that choose a bucket of the histogram."""

SIZES = pa.schema(
    [
        ("split", pa.string()),
        ("group", pa.string()),
        ("doc_id", DOC_ID),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),  # tokens or bytes
    ]
)
SIZES_KNOBS = ("mixture.by", "mixture.validation_permille")
"""Knobs that an emit of SIZES reads."""
_COUNTS = pa.schema([*TOTALS, ("bucket", pa.int32())])
_BOUNDARY = pa.schema(
    [
        ("split", pa.string()),
        ("group", pa.string()),
        ("bucket", pa.int32()),  # the bucket that the target falls in
        ("documents", pa.int64()),  # documents below the bucket
        ("size", pa.int64()),  # size below the bucket
    ]
)
_NODES = pa.schema([*SIZES, ("rank", pa.uint64())])
CUTS = pa.schema(
    [
        *TOTALS,
        ("whole", pa.int32()),  # copies 0..whole-1 are taken of every document
        ("target", pa.int64()),  # size wanted of copy number `whole`
        ("last_documents", pa.int64()),  # documents taken of copy number `whole`
        ("last_size", pa.int64()),
        ("rank", pa.uint64()),  # the cut: the first node not taken; null = no copy is cut
        ("doc_id", DOC_ID),
        ("file", pa.string()),
        ("offset", pa.int64()),
    ]
)
"""Result of the phase `cuts`: one row a (split, group), sorted by them."""


def sizes_table(table: pa.Table, size: pa.Array, mixture: Mixture) -> pa.Table:
    """SIZES of a batch of documents: what the emit before a rank cut returns."""
    split, group = mixture.split_and_group(table)
    columns = [split, group, *(table[name] for name in ("doc_id", "file", "offset"))]
    return pa.table([*columns, size.cast(pa.int64())], schema=SIZES)


def rank_cut(plan: TakePlan, *, sizes: str, knobs: tuple[str, ...]) -> tuple[Combine, ...]:
    """The phases `totals`, `histogram` and `cuts` over the emitted table named `sizes`.

    Afterwards `cuts` holds one row of CUTS a (split, group). A cut copy takes the longest run of
    documents in rank order whose size is at most the target.
    """
    return (
        Combine(
            "totals",
            (sizes,),
            each=partial(_totals_each, sizes),
            each_schema=TOTALS,
            merge=_totals_merge,
            schema=TOTALS,
        ),
        Combine(
            "histogram",
            (sizes, "totals"),
            each=partial(_histogram_each, sizes, plan),
            each_schema=_COUNTS,
            merge=partial(_histogram_merge, plan),
            schema=_BOUNDARY,
            knobs=knobs,
        ),
        Combine(
            "cuts",
            (sizes, "totals", "histogram"),
            each=partial(_cuts_each, sizes, plan),
            each_schema=_NODES,
            merge=partial(_cuts_merge, plan),
            schema=CUTS,
            knobs=knobs,
        ),
    )


def taken_rows(
    table: pa.Table, split: pa.Array, group: pa.Array, cuts: pa.Table, side: Side
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Row numbers of a batch's taken copies and their copy numbers, ascending by (row, copy)."""
    rows: list[npt.NDArray[np.int64]] = []
    copies: list[npt.NDArray[np.uint8]] = []
    for at, cut in _rows_by_take(split, group, cuts.to_pylist()):
        for copy in range(cut["whole"]):
            rows.append(at)
            copies.append(np.full(len(at), copy, np.uint8))
        if cut["rank"] is not None:
            below = at[_below_cut(table.take(at), cut, side)]
            rows.append(below)
            copies.append(np.full(len(below), cut["whole"], np.uint8))
    if not rows:
        return np.empty(0, np.int64), np.empty(0, np.uint8)
    row, copy_number = np.concatenate(rows), np.concatenate(copies)
    order = np.lexsort((copy_number, row))
    return row[order], copy_number[order]


def _rows_by_take(
    split: Any, group: Any, takes: Sequence[Mapping[str, Any]]
) -> Iterable[tuple[npt.NDArray[np.int64], Mapping[str, Any]]]:
    """Row numbers of each (split, group) that has rows here, with its take."""
    if not len(split):
        return
    names = pa.array([f"{take['split']}/{take['group']}" for take in takes], pa.string())
    found = pc.index_in(pc.binary_join_element_wise(split, group, "/"), value_set=names)
    number = found.to_numpy(zero_copy_only=False)
    for take in np.unique(number):
        yield np.flatnonzero(number == take), takes[int(take)]


def _below_cut(table: pa.Table, cut: Mapping[str, Any], side: Side) -> npt.NDArray[np.bool_]:
    """True for documents whose node in the cut copy stands before the cut."""
    rank = side.draw("mix", table["doc_id"], cut["whole"])
    below: npt.NDArray[np.bool_] = rank < np.uint64(cut["rank"])
    for row in np.flatnonzero(rank == np.uint64(cut["rank"])):
        node = {name: table[name][int(row)].as_py() for name in ("doc_id", "file", "offset")}
        below[row] = _node_key(node) < _node_key(cut)
    return below


def _node_key(node: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sort key of (doc_id, file, offset), nulls first."""
    file, offset = node["file"], node["offset"]
    return (node["doc_id"], file is not None, file or "", offset is not None, offset or 0)


def _sum_by(table: pa.Table, keys: list[str], schema: pa.Schema) -> pa.Table:
    """`documents` and `size` summed by the keys, sorted by them."""
    if not table.num_rows:
        return schema.empty_table()
    sums = table.group_by(keys, use_threads=False).aggregate(
        [("documents", "sum"), ("size", "sum")]
    )
    named = sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names])
    return named.select(schema.names).sort_by([(key, "ascending") for key in keys]).cast(schema)


def _totals_each(sizes: str, tables: Tables, side: Side) -> pa.Table:
    ones = pa.array(np.ones(tables[sizes].num_rows, np.int64))
    return _totals_merge(tables[sizes].append_column("documents", ones), side)


def _totals_merge(table: pa.Table, side: Side) -> pa.Table:
    return _sum_by(table, ["split", "group"], TOTALS)


def _ranked(
    sizes: pa.Table, takes: Sequence[Take], side: Side
) -> Iterable[tuple[pa.Table, npt.NDArray[np.uint64], Take]]:
    """The documents of each group that has a cut copy, with their ranks in it."""
    by_name = [vars(take) for take in takes]
    for at, found in _rows_by_take(sizes["split"], sizes["group"], by_name):
        take = Take(**found)
        if take.target > 0:
            rows = sizes.take(at)
            yield rows, side.draw("mix", rows["doc_id"], take.whole), take


def _histogram_each(sizes: str, plan: TakePlan, tables: Tables, side: Side) -> pa.Table:
    parts = [_COUNTS.empty_table()]
    for rows, rank, take in _ranked(tables[sizes], plan(side.tables["totals"], side), side):
        bucket, slot = np.unique(rank >> np.uint64(64 - BUCKET_BITS), return_inverse=True)
        size, documents = np.zeros(len(bucket), np.int64), np.zeros(len(bucket), np.int64)
        # Integer sums: bincount with weights would add in float64.
        np.add.at(size, slot, rows["size"].to_numpy())
        np.add.at(documents, slot, 1)
        names = ([name] * len(bucket) for name in (take.split, take.group))
        columns = [*names, documents, size, bucket.astype(np.int32)]
        parts.append(pa.table(columns, schema=_COUNTS))
    return pa.concat_tables(parts)


def _histogram_merge(plan: TakePlan, table: pa.Table, side: Side) -> pa.Table:
    counts = _sum_by(table, ["split", "group", "bucket"], _COUNTS) if table.num_rows else table
    takes = [vars(take) for take in plan(side.tables["totals"], side)]
    rows = []
    if counts.num_rows:
        for at, take in _rows_by_take(counts["split"], counts["group"], takes):
            found = counts.take(at)
            size = np.cumsum(found["size"].to_numpy())
            documents = np.cumsum(found["documents"].to_numpy())
            # The first bucket that does not fit; it exists, for the target is below the total.
            first = int(np.searchsorted(size, take["target"], side="right"))
            row = {"split": take["split"], "group": take["group"]}
            row["bucket"] = found["bucket"][first].as_py()
            row["documents"] = int(documents[first - 1]) if first else 0
            row["size"] = int(size[first - 1]) if first else 0
            rows.append(row)
    return pa.Table.from_pylist(rows, schema=_BOUNDARY)


def _cuts_each(sizes: str, plan: TakePlan, tables: Tables, side: Side) -> pa.Table:
    boundary = {(r["split"], r["group"]): r for r in side.tables["histogram"].to_pylist()}
    parts = [_NODES.empty_table()]
    for rows, rank, take in _ranked(tables[sizes], plan(side.tables["totals"], side), side):
        bucket = boundary[take.split, take.group]["bucket"]
        inside = np.flatnonzero(rank >> np.uint64(64 - BUCKET_BITS) == np.uint64(bucket))
        nodes = rows.select(SIZES.names).take(inside)
        parts.append(nodes.append_column("rank", pa.array(rank[inside])).cast(_NODES))
    return pa.concat_tables(parts)


def _cuts_merge(plan: TakePlan, table: pa.Table, side: Side) -> pa.Table:
    boundary = {(r["split"], r["group"]): r for r in side.tables["histogram"].to_pylist()}
    nodes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for node in table.to_pylist():
        nodes.setdefault((node["split"], node["group"]), []).append(node)
    rows = []
    for take in plan(side.tables["totals"], side):
        row = {**vars(take), "last_documents": 0, "last_size": 0}
        if take.target > 0:
            below = boundary[take.split, take.group]
            row["last_documents"], row["last_size"] = below["documents"], below["size"]
            found = nodes[take.split, take.group]
            for node in sorted(found, key=lambda n: (n["rank"], *_node_key(n))):
                if row["last_size"] + node["size"] > take.target:
                    row.update({name: node[name] for name in ("rank", "doc_id", "file", "offset")})
                    break
                row["last_documents"] += 1
                row["last_size"] += node["size"]
        rows.append(row)
    rows.sort(key=lambda row: (row["split"], row["group"]))
    return pa.Table.from_pylist(rows, schema=CUTS)
