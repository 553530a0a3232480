"""What near-duplicate removal says of itself: a table of clusters, the largest ones, and sources.

`inspect RUN minhash_dedup.cluster_table --where documents>100` shows clusters; a weakest edge far
below the similarity of duplicates is a chain, and so is more than one kept document.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import StageError
from pipeline.phases import Tables
from pipeline.schema import DOC_ID
from pipeline.stage import Side
from stages.dedup.clusters import Int64s, group_starts, matching_rows

CLUSTERS = pa.schema(
    [
        ("cluster_id", DOC_ID),
        ("documents", pa.int64()),
        ("kept", pa.int64()),  # more than one: what connects them was not similar enough
        (
            "weakest_edge",
            pa.float64(),
        ),  # least similarity of one that lost and its kept one
        ("doc_ids", pa.list_(DOC_ID)),  # some of them, kept ones first
    ]
)

SOURCES = pa.schema(
    [("source", pa.string()), ("documents", pa.int64()), ("lost", pa.int64())]
)  # `lost` to a kept document: dropped, unless all are kept

SAMPLE = 5
"""Documents that a row of the table names."""
LARGEST = 20
"""Clusters that `inspect RUN minhash_dedup.largest` shows."""
MIN_DOCUMENTS = 1000
"""A smaller source is not judged, as for `max_drop_ratio`."""


# --- Clusters -----------------------------------------------------------------------------------


def route_clusters(tables: Tables, side: Side) -> pa.Table:
    """Every member with its cluster as key, and whether it lost."""
    members = tables["members"]
    lost = members["matched_doc_id"].is_valid().cast(pa.uint8())
    columns = members.select(["doc_id", "similarity"])
    return columns.append_column("key", members["cluster_id"]).append_column("lost", lost)


def cluster_rows(table: pa.Table, side: Side) -> pa.Table:
    """Reduce: members sorted by (cluster, lost, doc_id) -> a row a cluster."""
    if table.num_rows == 0:
        return CLUSTERS.empty_table()
    starts = group_starts(table["key"])
    sizes = np.diff(starts)
    lost = table["lost"].to_numpy().astype(np.int64)
    edges = np.where(lost > 0, table["similarity"].to_numpy(), np.inf)
    weakest = np.minimum.reduceat(edges, starts[:-1])
    shown = np.minimum(sizes, SAMPLE)
    rows = np.repeat(starts[:-1], shown) + _counted(shown)
    offsets = np.concatenate([[0], np.cumsum(shown)]).astype(np.int32)
    doc_ids = table["doc_id"].combine_chunks().take(pa.array(rows))
    return pa.table(
        [
            table["key"].take(pa.array(starts[:-1])),
            pa.array(sizes),
            pa.array(sizes - np.add.reduceat(lost, starts[:-1])),
            pa.array(weakest, mask=~np.isfinite(weakest)),
            pa.ListArray.from_arrays(pa.array(offsets), doc_ids),
        ],
        schema=CLUSTERS,
    )


def _counted(sizes: Int64s) -> Int64s:
    """0, 1, ... sizes[0] - 1, 0, 1, ... sizes[1] - 1, and so on."""
    found: Int64s = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return found


def largest_of(tables: Tables, side: Side) -> pa.Table:
    return largest(tables["cluster_table"], side)


def largest(table: pa.Table, side: Side) -> pa.Table:
    """The clusters of most documents, by cluster_id among equals."""
    order = [("documents", "descending"), ("cluster_id", "ascending")]
    return table.take(pc.sort_indices(table, sort_keys=order)[:LARGEST])


def oversized(table: pa.Table, max_cluster_size: int) -> list[str]:
    """A warning where clusters are larger than the bound, with the largest one's facts."""
    large = table.filter(pc.greater(table["documents"], max_cluster_size)).to_pylist()
    if not large:
        return []
    first = large[0]
    count = f"{len(large)} or more" if len(large) == LARGEST else str(len(large))
    edge = first["weakest_edge"]
    weakest = "nothing was removed" if edge is None else f"its weakest edge is {edge:.2f}"
    return [
        f"{count} cluster(s) above max_cluster_size {max_cluster_size:,} were resolved directly "
        f"and verified; the largest, {first['cluster_id'].hex()}, has {first['documents']:,} "
        f"documents, of which {first['kept']:,} stay, and {weakest}. Boilerplate connects "
        f"documents that have little else in common: look at `inspect RUN <step>.largest`, cut "
        f"boilerplate first, or take longer shingles or more rows a band"
    ]


# --- Sources ------------------------------------------------------------------------------------


def count_sources(tables: Tables, side: Side) -> pa.Table:
    """Documents of each source in one batch, and how many of them lost to a kept one."""
    documents, verdicts = tables["docs"], tables["verdicts"]
    if "against" in verdicts.column_names:  # to have been crawled before is no collapse
        verdicts = verdicts.filter(verdicts["against"].is_null())
    matched = verdicts["matched_doc_id"].combine_chunks().take(matching_rows(documents, verdicts))
    counted = pa.table({"source": documents["source"], "lost": matched.is_valid().cast(pa.int64())})
    return _summed(counted.append_column("documents", pa.array(np.ones(len(counted), np.int64))))


def sum_sources(table: pa.Table, side: Side) -> pa.Table:
    """One row a source, by name."""
    return _summed(table) if table.num_columns else SOURCES.empty_table()


def _summed(table: pa.Table) -> pa.Table:
    sums = table.group_by("source", use_threads=False).aggregate(
        [("documents", "sum"), ("lost", "sum")]
    )
    columns = [sums["source"], sums["documents_sum"], sums["lost_sum"]]
    return pa.table(columns, schema=SOURCES).sort_by("source")


def collapsed(
    table: pa.Table, max_ratio: float, alarm: str, annotates: bool, side: Side
) -> Sequence[str]:
    """Judge each source by its share of lost documents: a warning, or a StageError."""
    found = [
        f"source '{row['source']}' loses {row['lost']:,} of {row['documents']:,} documents "
        f"({row['lost'] / row['documents']:.2%})"
        for row in table.to_pylist()
        if row["documents"] > MIN_DOCUMENTS and row["lost"] > max_ratio * row["documents"]
    ]
    if not found:
        return []
    bound = f"{'; '.join(found)}; above max_source_drop_ratio {max_ratio:.2%}"
    advice = (
        f"Look at what it matches (`inspect RUN {side.step}.largest`, `explain RUN <doc_id>`): "
        f"boilerplate that its pages share must be cut before"
    )
    if alarm == "warning" or annotates:
        return [f"{bound}. {advice}"]
    raise StageError(
        f"step '{side.step}': {bound}. {advice}; if they are true copies, raise "
        f"max_source_drop_ratio or set source_alarm: warning. Nothing was published; what was "
        f"done is kept."
    )
