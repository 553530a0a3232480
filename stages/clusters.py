"""Documents as nodes: matching rows of side tables to documents, and connected components.

A node is (doc_id, file, offset, partition), in that order: doc_id alone may repeat, and one
document may reach a step through two of its inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.phases import Tables
from pipeline.schema import DOC_ID, NODE
from pipeline.stage import Side

NODE_ORDER = ("doc_id", "file", "offset", "partition")

LINKS = pa.schema([*NODE, *(pa.field(f"to_{field.name}", field.type) for field in NODE)])
"""Star edges: a node and the smallest node of a bucket that it stands in, itself included."""

ASSIGNED = pa.schema([*NODE, ("cluster_id", DOC_ID)])
"""Nodes of clusters of at least two; cluster_id is the smallest doc_id of the cluster."""

Int64s = npt.NDArray[np.int64]


# --- Matching ---------------------------------------------------------------------------------


def deliver(table: pa.Table, side: Side) -> pa.Table:
    """The reduce of an exchange that only brings rows back to their partition."""
    return table


def node_keys(table: pa.Table) -> pa.Array:
    """(doc_id, file, offset) of each row as one binary value."""
    offset = table["offset"].cast(pa.string()).fill_null("-").cast(pa.binary())
    parts = [
        table["doc_id"].cast(pa.binary()),
        offset,
        table["file"].fill_null("").cast(pa.binary()),
    ]
    keys = pc.binary_join_element_wise(*parts, pa.scalar(b"\0", pa.binary()))
    return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys


def matching_rows(documents: pa.Table, rows: pa.Table) -> pa.Array:
    """For each document the index of its row in `rows`; null where there is none."""
    return pc.index_in(node_keys(documents), value_set=node_keys(rows))


def group_starts(keys: pa.ChunkedArray) -> Int64s:
    """Where each run of equal keys begins in a sorted column; the number of rows ends it."""
    keys = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    if len(keys) == 0:
        return np.zeros(1, dtype=np.int64)
    changes = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1))
    inner = np.flatnonzero(changes.to_numpy(zero_copy_only=False)) + 1
    return np.concatenate([[0], inner, [len(keys)]]).astype(np.int64)


def first_of_group(starts: Int64s) -> Int64s:
    """For each row the index of the first row of its group."""
    return np.repeat(starts[:-1], np.diff(starts))


# --- Components -------------------------------------------------------------------------------


def star_links(table: pa.Table, side: Side) -> pa.Table:
    """Reduce of a bucket: every member of a group of at least two, with the group's first node."""
    starts = group_starts(table["key"])
    large = np.repeat(np.diff(starts) > 1, np.diff(starts))
    nodes = table.select(NODE.names)
    members = nodes.filter(pa.array(large))
    centres = nodes.take(pa.array(first_of_group(starts)[large]))
    return pa.table([*members.columns, *centres.columns], schema=LINKS)


def forest(tables: Tables, side: Side) -> pa.Table:
    """The links of one bucket, reduced to one a node: the root of its component."""
    links = tables["buckets"]
    nodes, roots = _components(links)
    ends = nodes.take(pa.array(roots))
    return pa.table([*nodes.columns, *ends.columns], schema=LINKS)


def merge_forests(links: pa.Table, side: Side) -> pa.Table:
    """All nodes that links connect, each with the smallest doc_id of its component."""
    nodes, roots = _components(links)
    cluster = nodes["doc_id"].take(pa.array(roots))
    return pa.table([*nodes.columns, cluster], schema=ASSIGNED)


def _components(links: pa.Table) -> tuple[pa.Table, Int64s]:
    """The distinct nodes in order, and for each the index of the smallest one of its component."""
    if links.num_rows == 0:
        return NODE.empty_table(), np.empty(0, dtype=np.int64)
    from stages.kernels.unionfind import components

    left = links.select(NODE.names)
    right = links.select([f"to_{name}" for name in NODE.names]).rename_columns(NODE.names)
    both = pa.concat_tables([left, right])
    order, numbers = number_nodes(both)
    half = links.num_rows
    roots = components(len(order), numbers[:half], numbers[half:])
    return both.take(pa.array(order)), roots


def number_nodes(nodes: pa.Table) -> tuple[Int64s, Int64s]:
    """Rows of the distinct nodes, ascending, and the place of each row's node among them."""
    columns = _sortable(nodes)
    order = np.lexsort(columns[::-1])
    new = np.zeros(len(order), dtype=np.bool_)
    new[:1] = True
    for column in columns:
        new[1:] |= column[order[1:]] != column[order[:-1]]
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.cumsum(new) - 1
    return order[new], numbers


def _sortable(nodes: pa.Table) -> list[npt.NDArray[Any]]:
    """Numpy columns whose lexicographic order is the order of nodes, strongest first."""
    offset = nodes["offset"].fill_null(np.iinfo(np.int64).min).to_numpy()
    file = nodes["file"].combine_chunks().dictionary_encode()
    file = file.combine_chunks() if isinstance(file, pa.ChunkedArray) else file
    # Bytes order like Arrow's strings: by UTF-8. Rank 0 is a null file.
    ranks = np.empty(len(file.dictionary), dtype=np.int64)
    ranks[pc.sort_indices(file.dictionary).to_numpy()] = np.arange(1, len(ranks) + 1)
    codes = file.indices.fill_null(-1).to_numpy()
    ranked = np.where(codes >= 0, ranks[codes] if len(ranks) else 0, 0)
    return [*_halves(nodes["doc_id"]), ranked, offset, *_halves(nodes["partition"])]


def _halves(ids: pa.ChunkedArray) -> list[npt.NDArray[np.uint64]]:
    """16-byte ids as two numbers of 64 bits that order as the bytes do."""
    array = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    raw = np.frombuffer(array.buffers()[1] or b"", dtype=">u8")
    pairs = raw[2 * array.offset : 2 * (array.offset + len(array))].reshape(-1, 2)
    return [pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)]
