"""The rank cut: the documents of each group that meet a target, exactly to one document.

A group is an endless row of **nodes**, one a copy of a document: all nodes of epoch 0 in order of
rank, all of epoch 1, and so on. A document that one epoch holds m times has in epoch e the copies
e*m .. e*m + m - 1, whose ranks are its m draws `draw("mix", doc_id, copy)` in ascending order. A
mixture takes the row's beginning, up to one node, the **cut**; a mixture in stages gives each the
next piece, so that no document comes back before all others have come as often.

Three small phases over a side table of `SIZES` find the cuts in memory that does not grow with the
corpus:

    totals     documents and size of each (split, group)
    histogram  sizes in 65,536 buckets of the rank; names the buckets that targets fall in
    cuts       the nodes of those buckets in order of (rank, doc_id, file, offset, copy)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.mixture.sampling import TOTALS, Mixture, Take, TakePlan
from pipeline.phases import Combine, Tables
from pipeline.schema import DOC_ID

if TYPE_CHECKING:
    from pipeline.stage import Side

Judge = Callable[[pa.Table, "Side"], Sequence[str]]
"""`Combine.judge` of the phase `cuts`."""
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
        ("copies", pa.int64()),  # in one epoch
    ]
)
SIZES_KNOBS = ("mixture.by", "mixture.validation_permille", "mixture.upsample")
"""Knobs that an emit of SIZES reads."""
_COUNTS = pa.schema(
    [
        ("split", pa.string()),
        ("group", pa.string()),
        ("epoch", pa.int32()),
        ("bucket", pa.int32()),
        ("documents", pa.int64()),
        ("size", pa.int64()),
    ]
)
_BOUNDARY = pa.schema(
    [
        ("split", pa.string()),
        ("group", pa.string()),
        ("stage", pa.int32()),
        ("epoch", pa.int32()),
        ("bucket", pa.int32()),  # the bucket that the target falls in
        ("documents", pa.int64()),  # nodes of this epoch below the bucket
        ("size", pa.int64()),  # their size
    ]
)
_NODES = pa.schema([*SIZES, ("epoch", pa.int32()), ("copy", pa.int32()), ("rank", pa.uint64())])
CUTS = pa.schema(
    [
        *TOTALS,
        ("stage", pa.int32()),
        ("wanted", pa.int64()),  # size asked of the group in this stage
        ("whole", pa.int32()),  # at the stage's end epochs 0..whole-1 are taken,
        ("target", pa.int64()),  # and this size is wanted of epoch number `whole`
        ("last_documents", pa.int64()),  # nodes taken of epoch number `whole`
        ("last_size", pa.int64()),
        ("written_documents", pa.int64()),  # nodes taken in this stage
        ("written_size", pa.int64()),
        ("rank", pa.uint64()),  # the cut: the first node not taken; null = no epoch is cut
        ("doc_id", DOC_ID),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("copy", pa.int32()),
    ]
)
"""Result of the phase `cuts`: one row a (split, group, stage), sorted by them."""

Rows = npt.NDArray[np.int64]


def sizes_table(
    table: pa.Table, size: pa.Array, mixture: Mixture, copies: Rows | None = None
) -> pa.Table:
    """SIZES of a batch of documents: what the emit before a rank cut returns.

    Without `copies` one epoch holds each document as often as the mixture says.
    """
    split, group = mixture.split_and_group(table)
    found = mixture.copies(table, split) if copies is None else copies
    columns = [split, group, *(table[name] for name in ("doc_id", "file", "offset"))]
    return pa.table([*columns, size.cast(pa.int64()), pa.array(found)], schema=SIZES)


def rank_cut(
    plan: TakePlan, *, sizes: str, knobs: tuple[str, ...], judge: Judge | None = None
) -> tuple[Combine, ...]:
    """The phases `totals`, `histogram` and `cuts` over the emitted table named `sizes`.

    Afterwards `cuts` holds one row of CUTS a (split, group, stage). A cut epoch takes the longest
    run of nodes in rank order whose size is at most the target.
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
            judge=judge,
        ),
    )


@dataclass(frozen=True)
class Taken:
    """The taken nodes of a batch, ascending by (row, copy)."""

    rows: Rows
    copies: npt.NDArray[np.uint8]
    stages: npt.NDArray[np.int32]


def taken_nodes(
    table: pa.Table, split: pa.Array, group: pa.Array, copies: Rows, cuts: pa.Table, side: Side
) -> Taken:
    """Which copies of a batch's documents are taken, and in which stage."""
    found = [Taken(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int32))]
    for at, stages in _rows_by_group(split, group, cuts.to_pylist()):
        last = stages[-1]
        documents = table.take(pa.array(at))
        for epoch in range(last["whole"] + (last["rank"] is not None)):
            cut_here = any(cut["whole"] == epoch and cut["rank"] is not None for cut in stages)
            nodes = _nodes(documents, copies[at], epoch, side if cut_here else None)
            stage = np.zeros(len(nodes.rows), np.int32)
            for cut in stages:
                stage += ~_below(nodes, documents, epoch, cut)
            kept = stage < len(stages)
            copy = nodes.copies[kept].astype(np.uint8)
            found.append(Taken(at[nodes.rows[kept]], copy, stage[kept]))
    rows, copy_numbers, stage_numbers = (
        np.concatenate([getattr(part, name) for part in found])
        for name in ("rows", "copies", "stages")
    )
    order = np.lexsort((copy_numbers, rows))
    return Taken(rows[order], copy_numbers[order], stage_numbers[order])


def taken_rows(
    table: pa.Table, split: pa.Array, group: pa.Array, cuts: pa.Table, side: Side
) -> tuple[Rows, npt.NDArray[np.uint8]]:
    """`taken_nodes` where one epoch holds each document once: rows and copies."""
    taken = taken_nodes(table, split, group, np.ones(table.num_rows, np.int64), cuts, side)
    return taken.rows, taken.copies


@dataclass(frozen=True)
class _Nodes:
    """Nodes of one epoch: row in their table, copy, rank."""

    rows: Rows
    copies: Rows
    ranks: npt.NDArray[np.uint64]


def _nodes(table: pa.Table, copies: Rows, epoch: int, side: Side | None) -> _Nodes:
    """All nodes of an epoch; a document's copies go to its ranks in ascending order.

    Without a side, where the whole epoch is taken, all ranks are 0: draws cost most of the time.
    """
    rows, numbers, ranks = [], [], []
    for count in np.unique(copies[copies > 0]).tolist():
        at = np.flatnonzero(copies == count)
        first = epoch * count
        if side is None:
            ranks.append(np.zeros(len(at) * count, np.uint64))
        else:
            doc_ids = table["doc_id"].take(pa.array(at))
            drawn = [side.draw("mix", doc_ids, copy) for copy in range(first, first + count)]
            ranks.append(np.sort(np.stack(drawn, axis=1), axis=1).ravel())
        rows.append(np.repeat(at, count))
        numbers.append(np.tile(np.arange(first, first + count), len(at)))
    if not rows:
        return _Nodes(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64))
    return _Nodes(np.concatenate(rows), np.concatenate(numbers), np.concatenate(ranks))


def _rows_by_group(
    split: Any, group: Any, takes: Sequence[Mapping[str, Any]]
) -> Iterable[tuple[Rows, list[Mapping[str, Any]]]]:
    """Row numbers of each (split, group) that has rows here, with its takes in order of stage."""
    if not len(split):
        return
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for take in takes:
        stages.setdefault(f"{take['split']}/{take['group']}", []).append(take)
    names = pa.array(list(stages), pa.string())
    found = pc.index_in(pc.binary_join_element_wise(split, group, "/"), value_set=names)
    number = found.to_numpy(zero_copy_only=False)
    ordered = list(stages.values())
    for name in np.unique(number):
        of_group = sorted(ordered[int(name)], key=lambda take: int(take["stage"]))
        yield np.flatnonzero(number == name), of_group


def _below(
    nodes: _Nodes, table: pa.Table, epoch: int, cut: Mapping[str, Any]
) -> npt.NDArray[np.bool_]:
    """True for the nodes of an epoch that stand before a cut."""
    if cut["whole"] != epoch or cut["rank"] is None:
        return np.full(len(nodes.rows), cut["whole"] > epoch)
    edge = np.uint64(cut["rank"])
    below: npt.NDArray[np.bool_] = nodes.ranks < edge
    for at in np.flatnonzero(nodes.ranks == edge):
        row = int(nodes.rows[at])
        node = {name: table[name][row].as_py() for name in ("doc_id", "file", "offset")}
        below[at] = _node_key({**node, "copy": int(nodes.copies[at])}) < _node_key(cut)
    return below


def _node_key(node: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sort key of (doc_id, file, offset, copy), nulls first."""
    file, offset = node["file"], node["offset"]
    place = (file is not None, file or "", offset is not None, offset or 0)
    return (node["doc_id"], *place, node["copy"])


def _sum_by(table: pa.Table, keys: list[str], schema: pa.Schema) -> pa.Table:
    """The other columns of `schema` summed by the keys, sorted by them."""
    if not table.num_rows:
        return schema.empty_table()
    values = [name for name in schema.names if name not in keys]
    sums = table.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in values])
    named = sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names])
    return named.select(schema.names).sort_by([(key, "ascending") for key in keys]).cast(schema)


def _totals_each(sizes: str, tables: Tables, side: Side) -> pa.Table:
    table = tables[sizes]
    copies = table["copies"].to_numpy()
    columns = {
        "documents": np.ones(table.num_rows, np.int64),
        "epoch_documents": copies,
        "epoch_size": copies * table["size"].to_numpy(),
        "left_out": (copies == 0).astype(np.int64),
    }
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return _totals_merge(table, side)


def _totals_merge(table: pa.Table, side: Side) -> pa.Table:
    return _sum_by(table, ["split", "group"], TOTALS)


def _ranked(
    sizes: pa.Table, takes: Sequence[Take], side: Side
) -> Iterable[tuple[pa.Table, _Nodes, str, str, int]]:
    """The documents of each group, with the nodes of each epoch that is cut: the epoch last."""
    for at, stages in _rows_by_group(sizes["split"], sizes["group"], [vars(t) for t in takes]):
        rows = sizes.take(pa.array(at))
        copies = rows["copies"].to_numpy()
        for epoch in sorted({take["whole"] for take in stages if take["target"] > 0}):
            nodes = _nodes(rows, copies, epoch, side)
            yield rows, nodes, stages[0]["split"], stages[0]["group"], epoch


def _bucket(ranks: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return ranks >> np.uint64(64 - BUCKET_BITS)


def _histogram_each(sizes: str, plan: TakePlan, tables: Tables, side: Side) -> pa.Table:
    parts = [_COUNTS.empty_table()]
    takes = plan(side.tables["totals"], side)
    for rows, nodes, split, group, epoch in _ranked(tables[sizes], takes, side):
        bucket, slot = np.unique(_bucket(nodes.ranks), return_inverse=True)
        size, documents = np.zeros(len(bucket), np.int64), np.zeros(len(bucket), np.int64)
        # Integer sums: bincount with weights would add in float64.
        np.add.at(size, slot, rows["size"].to_numpy()[nodes.rows])
        np.add.at(documents, slot, 1)
        names = ([name] * len(bucket) for name in (split, group, epoch))
        columns = [*names, bucket.astype(np.int32), documents, size]
        parts.append(pa.table(columns, schema=_COUNTS))
    return pa.concat_tables(parts)


def _histogram_merge(plan: TakePlan, table: pa.Table, side: Side) -> pa.Table:
    counts = table
    if table.num_rows:
        counts = _sum_by(table, ["split", "group", "epoch", "bucket"], _COUNTS)
    takes = [vars(take) for take in plan(side.tables["totals"], side)]
    rows = []
    for at, stages in _rows_by_group(counts["split"], counts["group"], takes) if takes else ():
        found = counts.take(pa.array(at))
        for take in stages:
            if take["target"] == 0:
                continue
            epoch = found.filter(pc.equal(found["epoch"], take["whole"]))
            size = np.cumsum(epoch["size"].to_numpy())
            documents = np.cumsum(epoch["documents"].to_numpy())
            # The first bucket that does not fit; it exists, for the target is below the total.
            first = int(np.searchsorted(size, take["target"], side="right"))
            row = {name: take[name] for name in ("split", "group", "stage")}
            row |= {"epoch": take["whole"], "bucket": epoch["bucket"][first].as_py()}
            row["documents"] = int(documents[first - 1]) if first else 0
            row["size"] = int(size[first - 1]) if first else 0
            rows.append(row)
    return pa.Table.from_pylist(rows, schema=_BOUNDARY)


def _cuts_each(sizes: str, plan: TakePlan, tables: Tables, side: Side) -> pa.Table:
    wanted: dict[tuple[str, str, int], set[int]] = {}
    for row in side.tables["histogram"].to_pylist():
        wanted.setdefault((row["split"], row["group"], row["epoch"]), set()).add(row["bucket"])
    parts = [_NODES.empty_table()]
    takes = plan(side.tables["totals"], side)
    for rows, nodes, split, group, epoch in _ranked(tables[sizes], takes, side):
        buckets = np.array(sorted(wanted[split, group, epoch]), np.uint64)
        inside = np.flatnonzero(np.isin(_bucket(nodes.ranks), buckets))
        found = rows.select(SIZES.names).take(pa.array(nodes.rows[inside]))
        added = {
            "epoch": np.full(len(inside), epoch),
            "copy": nodes.copies[inside],
            "rank": nodes.ranks[inside],
        }
        for name, values in added.items():
            found = found.append_column(name, pa.array(values))
        parts.append(found.cast(_NODES))
    return pa.concat_tables(parts)


def _cuts_merge(plan: TakePlan, table: pa.Table, side: Side) -> pa.Table:
    boundary = {
        (r["split"], r["group"], r["stage"]): r for r in side.tables["histogram"].to_pylist()
    }
    nodes: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for node in sorted(table.to_pylist(), key=lambda n: (n["rank"], *_node_key(n))):
        bucket = node["rank"] >> (64 - BUCKET_BITS)
        key = (node["split"], node["group"], node["epoch"], bucket)
        nodes.setdefault(key, []).append(node)
    rows: list[dict[str, Any]] = []
    before = {"split": "", "group": "", "documents": 0, "size": 0}
    for take in plan(side.tables["totals"], side):
        row = {**vars(take), "last_documents": 0, "last_size": 0}
        if take.target > 0:
            edge = boundary[take.split, take.group, take.stage]
            row["last_documents"], row["last_size"] = edge["documents"], edge["size"]
            for node in nodes[take.split, take.group, take.whole, edge["bucket"]]:
                if row["last_size"] + node["size"] > take.target:
                    names = ("rank", "doc_id", "file", "offset", "copy")
                    row.update({name: node[name] for name in names})
                    break
                row["last_documents"] += 1
                row["last_size"] += node["size"]
        if (take.split, take.group) != (before["split"], before["group"]):
            before = {"split": take.split, "group": take.group, "documents": 0, "size": 0}
        for name in ("documents", "size"):
            taken = take.whole * row[f"epoch_{name}"] + row[f"last_{name}"]
            row[f"written_{name}"] = taken - before[name]
            before[name] = taken
        rows.append(row)
    rows.sort(key=lambda row: (row["split"], row["group"], row["stage"]))
    return pa.Table.from_pylist(rows, schema=CUTS)
