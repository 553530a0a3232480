"""Documents as nodes: matching rows of side tables to documents, groups of sorted rows.

A node is (doc_id, file, offset, partition), in that order: doc_id alone may repeat, and one
document may reach a step through two of its inputs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.stage import Side

NODE_ORDER = ("doc_id", "file", "offset", "partition")

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
