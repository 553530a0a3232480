"""Forests: which documents candidates connect, in 24 bytes a document.

A node stands for a document: the hash of (doc_id, file, offset) and the first 8 bytes of the id of
its partition. Two documents of one partition whose hashes are equal would count as one node: among
a million documents of clusters in one partition the odds are 1 to 37 million. What
such a node would connect is still compared before anything is removed for it (`closure: direct`).

A forest lists the documents of buckets with at least two of them. Forests merge two by two, in any
order, to the same forest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from pipeline.errors import StageError
from pipeline.stage import Side
from stages.dedup.clusters import Int64s, first_of_group, group_starts

FOREST = pa.schema(
    [
        ("node", pa.binary(16)),  # ascending; two little-endian uint64: hash, partition
        ("root", pa.int64()),  # row of the smallest node that it is connected with
    ]
)

CLUSTERED = pa.schema(
    [
        ("node", pa.uint64()),  # the hash of `node_hashes`
        ("partition", pa.binary(8)),  # first half of the partition's id
        ("cluster", pa.binary(16)),  # the root's node: names the cluster until it is walked
    ]
)

MERGE_BYTES = 160
"""Memory a document while clusters merge. Two forests of the same documents take 2 x 24, their
places 2 x 8, the result 24, and what reading a forest takes. Measured: 129 to 139 (a test);
the rest is a margin."""

UInt64s = npt.NDArray[np.uint64]
_NO_FILE = b"\0no file"


# --- Nodes --------------------------------------------------------------------------------------


def node_hashes(table: pa.Table) -> UInt64s:
    """A 64-bit hash of (doc_id, file, offset) of each row."""
    high, low = halves(table["doc_id"])
    offset = table["offset"].fill_null(np.iinfo(np.int64).min).to_numpy().view(np.uint64)
    file = table["file"].combine_chunks().dictionary_encode()
    file = file.combine_chunks() if isinstance(file, pa.ChunkedArray) else file
    names = [_NO_FILE, *(name.encode() for name in file.dictionary.to_pylist())]
    codes = file.indices.fill_null(-1).to_numpy() + 1
    files = np.array([xxhash.xxh3_64_intdigest(name) for name in names], dtype=np.uint64)[codes]
    found = _mixed(high)
    for part in (low, files, offset):
        found = _mixed(found ^ part)
    return found


def _mixed(values: UInt64s) -> UInt64s:
    """MurmurHash3's 64-bit finaliser."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


def halves(ids: pa.ChunkedArray) -> tuple[UInt64s, UInt64s]:
    """16-byte ids as two numbers of 64 bits that order as the bytes do."""
    pairs = _pairs(ids)
    return pairs[:, 0].byteswap(), pairs[:, 1].byteswap()


def _pairs(ids: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """16-byte values as rows of two little-endian numbers; no copy of a column in one piece.

    Read-only whatever the buffer is, so that kernels are compiled for one kind of array."""
    array = ids
    if isinstance(ids, pa.ChunkedArray):
        array = ids.chunk(0) if ids.num_chunks == 1 else ids.combine_chunks()
    raw = np.frombuffer(array.buffers()[1] or b"", dtype="<u8")
    raw.flags.writeable = False
    return raw[2 * array.offset : 2 * (array.offset + len(array))].reshape(-1, 2)


def _as_binary(values: npt.NDArray[Any], width: int) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.binary(width), len(values), [None, data])


# --- Forests ------------------------------------------------------------------------------------


def bucket_forest(table: pa.Table, side: Side) -> pa.Table:
    """Reduce of an exchange: the nodes that share a key with another one -> a forest.

    The columns are `key`, `node` and `partition`; rows are sorted by key.
    """
    from stages.kernels.unionfind import components

    starts = group_starts(table["key"])
    shared = np.repeat(np.diff(starts) > 1, np.diff(starts))
    nodes = np.empty((table.num_rows, 2), dtype=np.uint64)
    nodes[:, 0] = table["node"].to_numpy()
    nodes[:, 1] = _pairs(table["partition"])[:, 0]
    rows = np.flatnonzero(shared)
    distinct, numbers = _numbered(nodes[rows])
    place = np.zeros(table.num_rows, dtype=np.int64)
    place[rows] = numbers
    roots = components(len(distinct), numbers, place[first_of_group(starts)[rows]])
    return pa.table([_as_binary(distinct, 16), pa.array(roots)], schema=FOREST)


def compile_kernels() -> None:
    """Make and merge forests of nothing: after that none waits for a compiler."""
    nothing = pa.table(
        [pa.array([], pa.uint64()), pa.array([], pa.uint64()), pa.array([], pa.binary(8))],
        ["key", "node", "partition"],
    )
    forest = bucket_forest(nothing, Side("warm_up", 0))
    merged(forest, forest, union_size(forest, forest))


def _numbered(nodes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], Int64s]:
    """The distinct nodes, ascending, and the place of each node among them."""
    order = np.lexsort((nodes[:, 1], nodes[:, 0]))
    ascending = nodes[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (ascending[1:] != ascending[:-1]).any(axis=1)
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.cumsum(new) - 1
    return ascending[new], numbers


def union_size(left: pa.Table, right: pa.Table) -> int:
    """How many nodes two forests have together."""
    from stages.kernels.unionfind import count_union

    return int(count_union(_pairs(left["node"]), _pairs(right["node"])))


def merged(left: pa.Table, right: pa.Table, size: int) -> pa.Table:
    """The forest of two forests, which have `size` nodes together."""
    from stages.kernels.unionfind import join_forests

    nodes, roots = join_forests(
        _pairs(left["node"]), _roots(left), _pairs(right["node"]), _roots(right), size
    )
    return pa.table([_as_binary(nodes, 16), pa.array(roots)], schema=FOREST)


def _roots(forest: pa.Table) -> Int64s:
    found: Int64s = forest["root"].combine_chunks().to_numpy()
    return found


def largest_tree(forest: pa.Table) -> int:
    """Documents of the largest cluster; 0 where there is none."""
    roots = _roots(forest)
    return int(np.bincount(roots).max()) if len(roots) else 0


def clustered(forest: pa.Table) -> pa.Table:
    """Each node with its partition and its cluster."""
    nodes = _pairs(forest["node"])
    columns = [
        pa.array(np.ascontiguousarray(nodes[:, 0])),
        _as_binary(nodes[:, 1], 8),
        forest["node"].take(forest["root"]),
    ]
    return pa.table(columns, schema=CLUSTERED)


@dataclass(frozen=True)
class Merging:
    """Merges forests, and stops the run where one would need more than `cluster_memory` bytes."""

    cluster_memory: int
    signature_bytes: int

    def fold(self, left: pa.Table, right: pa.Table, side: Side) -> pa.Table:
        """Two forests as one. Raises StageError."""
        size = union_size(left, right)
        self._check(size, size * MERGE_BYTES)
        return merged(left, right, size)

    def clusters(self, forest: pa.Table, side: Side) -> pa.Table:
        """The members of all clusters. Raises StageError."""
        if not forest.num_columns:
            return CLUSTERED.empty_table()
        self._check(forest.num_rows, forest.num_rows * MERGE_BYTES)
        most = largest_tree(forest)
        self._check(most, most * self.signature_bytes, "one duplicate cluster")
        return clustered(forest)

    def _check(self, documents: int, needed: int, what: str = "duplicate clusters") -> None:
        if needed > self.cluster_memory:
            raise StageError(
                f"{documents:,} documents stand in {what} and need {needed:,} bytes of memory, "
                f"above cluster_memory {self.cluster_memory:,}. Raise cluster_memory, or take "
                f"more rows a band or longer shingles: fewer documents become candidates."
            )
