"""The walk through clusters of near-duplicates: who is kept, and who loses to whom.

Members of a cluster meet in keep order, with their signatures, or with `verify: exact` with the
ascending distinct hashes of their shingles, from which the signatures are made again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import StageError
from pipeline.schema import DOC_ID, NODE
from pipeline.stage import Processed, Side, TextBatch
from stages.dedup.clusters import Int64s, first_of_group, group_starts, matching_rows
from stages.dedup.forests import halves, node_hashes

VERDICTS = pa.schema(
    [
        *NODE,
        ("cluster_id", DOC_ID),  # smallest doc_id of the cluster
        ("cluster_size", pa.int64()),
        ("matched_doc_id", DOC_ID),  # null = kept
        ("similarity", pa.float64()),  # Jaccard with the matched document, or its estimate
        ("copies", pa.int64()),  # documents that the kept one stands for, itself included
    ]
)


ANNOTATIONS: dict[str, pa.DataType] = {
    "cluster_size": pa.int64(),
    "copies": pa.int64(),
    "duplicate_of": DOC_ID,
}
"""Columns of `action: annotate` besides cluster_id; null where a document has no candidate:
documents of the cluster; documents that the same kept one stands for, itself included; the doc_id
of that one, null for itself."""


WALK_ROWS = 1 << 16
"""Members that are walked at once, some 60 MB; a larger cluster goes alone."""


@dataclass(frozen=True)
class Walk:
    """The knobs that the walk reads, as `MinhashDedup` explains them."""

    bands: int
    rows: int
    num_hashes: int
    hash_seed: int
    verify: str
    threshold: float
    transitive: bool
    max_cluster_size: int
    max_tries: int
    keep_copies: int
    cluster_memory: int
    scheme: str

    def verdicts(self, table: pa.Table, side: Side) -> pa.Table:
        """Members sorted by (cluster, keep order) -> a verdict a member.

        Raises StageError if a cluster needs more than `cluster_memory`.
        """
        starts = group_starts(table["key"])
        self._check_memory(table, starts, side)
        parts = [
            self._walked(
                table.slice(starts[a], starts[b] - starts[a]), starts[a : b + 1] - starts[a]
            )
            for a, b in pieces(starts, WALK_ROWS)
        ]
        return pa.concat_tables([VERDICTS.empty_table(), *parts])

    def _walked(self, table: pa.Table, starts: Int64s) -> pa.Table:
        """The verdicts of some whole clusters, in bounded memory unless one is large."""
        sizes = np.repeat(np.diff(starts), np.diff(starts))
        winner, similarity = self._winners(table, starts, sizes)
        lost = winner >= 0
        stands = np.where(lost, winner, np.arange(len(winner)))
        copies = np.bincount(stands, minlength=len(winner))[stands]
        smallest = _smallest_of_group(table["doc_id"], starts)
        return pa.table(
            [
                *table.select(NODE.names).columns,
                table["doc_id"].take(pa.array(smallest)),
                pa.array(sizes),
                table["doc_id"].take(pa.array(winner, mask=~lost)),
                pa.array(np.where(lost, similarity, np.nan), from_pandas=True),
                pa.array(copies),
            ],
            schema=VERDICTS,
        )

    def _winners(self, table: pa.Table, starts: Int64s, sizes: Int64s) -> tuple[Any, Any]:
        """The kept member that each member loses to (-1 = kept), and their similarity."""
        from stages.kernels.minhash import band_keys, permutations, sign_sets
        from stages.kernels.unionfind import similarities, walk

        if self.verify == "exact":
            sets, set_starts = as_sets(table["shingles"])
            factors = permutations(self.num_hashes, self.hash_seed, self.scheme)
            values = sign_sets(sets, set_starts, *factors)
        else:
            sets, set_starts = np.empty(0, np.uint64), np.empty(0, np.int64)
            values = as_matrix(table["signature"], self.scheme)
        keys = band_keys(values, self.bands, self.rows)
        distinct, slots = np.unique(keys.ravel(), return_inverse=True)
        winner, similarity = walk(
            values, sets, set_starts, slots.reshape(keys.shape), len(distinct),
            self._least(sizes), self.max_tries, self.keep_copies,
        )  # fmt: skip
        if self.transitive:
            first = first_of_group(starts)
            place = np.arange(len(first)) - first
            closed = sizes <= self.max_cluster_size
            winner = np.where(closed, np.where(place < self.keep_copies, -1, first), winner)
            nearest = similarities(values, sets, set_starts, first)
            similarity = np.where(closed, nearest, similarity)
        return winner, similarity

    def _least(self, sizes: Int64s) -> npt.NDArray[np.float64]:
        """The similarity from which on each member is a duplicate."""
        estimated = math.ceil(self.threshold * self.num_hashes - 1e-9) / self.num_hashes
        if self.verify == "none":
            return np.where(sizes > self.max_cluster_size, estimated, 0.0)
        return np.full(len(sizes), self.threshold if self.verify == "exact" else estimated)

    def _signature_bytes(self) -> int:
        return signature_bytes(self.num_hashes, self.scheme)

    def _check_memory(self, table: pa.Table, starts: Int64s, side: Side) -> None:
        if self.verify != "exact" or not table.num_rows:
            return
        ends = np.concatenate([[0], np.cumsum(_lengths(table["shingles"]))])
        needed = np.diff(ends[starts]) + np.diff(starts) * self._signature_bytes()
        worst = int(needed.argmax())
        if needed[worst] > self.cluster_memory:
            raise StageError(
                f"a cluster of {int(np.diff(starts)[worst]):,} documents needs "
                f"{int(needed[worst]):,} bytes for their shingles, above cluster_memory "
                f"{self.cluster_memory:,}. Raise cluster_memory, set verify: signature "
                f"({self._signature_bytes()} bytes a document), or take more rows a band."
            )


def pieces(starts: Int64s, rows: int) -> list[tuple[int, int]]:
    """Runs of whole groups (first, behind the last) of at most so many rows, or of one group."""
    found, first = [], 0
    while first < len(starts) - 1:
        fitting = int(np.searchsorted(starts, starts[first] + rows, side="right")) - 1
        last = max(fitting, first + 1)
        found.append((first, last))
        first = last
    return found


def keys_of(
    signatures: pa.Table, bands: int, rows: int, scheme: str = "affine32"
) -> npt.NDArray[np.uint64]:
    """The band keys of a table with signatures: a row a document."""
    from stages.kernels.minhash import band_keys

    values = as_matrix(signatures["signature"], scheme)
    found: npt.NDArray[np.uint64] = band_keys(values, bands, rows)
    return found


def cluster_of(documents: pa.Table, assigned: pa.Table) -> pa.Array:
    """The cluster of each document; null where it has none. `assigned` is sorted by node."""
    nodes, known = node_hashes(documents), assigned["node"].to_numpy()
    if not len(known):
        return pa.nulls(len(nodes), assigned.schema.field("cluster").type)
    at = np.minimum(np.searchsorted(known, nodes), len(known) - 1)
    found = pa.array(at, mask=known[at] != nodes)
    return assigned["cluster"].combine_chunks().take(found)


def judged(batch: TextBatch, rows: pa.Table, annotate: bool) -> Processed:
    """Columns, metrics and, unless `annotate`, the removal of the documents that lost."""
    found = matching_rows(batch.table, rows)
    names = ("cluster_id", "cluster_size", "similarity", "copies", "matched_doc_id", "against")
    values = {n: rows[n].combine_chunks().take(found) for n in names if n in rows.column_names}
    columns, matched = {"cluster_id": values.pop("cluster_id")}, values.pop("matched_doc_id")
    if annotate:
        columns |= {name: values[name] for name in ("cluster_size", "copies")}
        return Processed({**columns, "duplicate_of": matched}, values)
    return Processed(columns, values, pc.is_valid(matched), "near_duplicate", matched)


# --- Columns ------------------------------------------------------------------------------------


VALUE_BYTES = {"affine32": 4, "affine64": 8}
"""Scheme -> bytes of a value of a signature."""


def signature_bytes(num_hashes: int, scheme: str) -> int:
    return num_hashes * VALUE_BYTES[scheme]


def as_binary(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """A matrix of unsigned numbers as fixed-size binary, little-endian, one value a row."""
    data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(data)])


def as_matrix(column: pa.ChunkedArray, scheme: str = "affine32") -> npt.NDArray[Any]:
    """Fixed-size binary signatures as a matrix of uint32, or of uint64 (`affine64`)."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = array.type.byte_width // VALUE_BYTES[scheme]
    raw = np.frombuffer(array.buffers()[1] or b"", dtype=f"<u{VALUE_BYTES[scheme]}")
    return raw[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)


def from_sets(hashes: npt.NDArray[np.uint64], starts: Int64s) -> pa.Array:
    """Sets of 64-bit hashes as binary values, little-endian."""
    offsets, data = pa.py_buffer(8 * starts), pa.py_buffer(np.ascontiguousarray(hashes, "<u8"))
    return pa.Array.from_buffers(pa.large_binary(), len(starts) - 1, [None, offsets, data])


def as_sets(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.uint64], Int64s]:
    """The inverse of `from_sets`: all hashes, and where each set's begin."""
    array = column.combine_chunks()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int64)
    offsets = offsets[array.offset : array.offset + len(array) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    data = np.frombuffer(array.buffers()[2] or b"", np.uint8, last - first, first)
    return data.view("<u8"), (offsets - first) // 8


def _lengths(column: pa.ChunkedArray) -> Int64s:
    found: Int64s = pc.binary_length(column).to_numpy()
    return found


def _smallest_of_group(doc_ids: pa.ChunkedArray, starts: Int64s) -> Int64s:
    """For each row the row of the smallest doc_id of its group."""
    high, low = halves(doc_ids)
    groups = first_of_group(starts)
    order = np.lexsort((low, high, groups))
    return np.repeat(order[starts[:-1]], np.diff(starts))
