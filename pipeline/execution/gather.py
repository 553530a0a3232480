"""Rows of a table in another order, where Arrow's own `take` is slow.

Arrow takes a list of numbers value by value. As one run of bytes a row, the ids of documents are
copied ten times as fast; the exchange does so with every token twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def gathered(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    """`table.take(rows)`; the table itself where that are all of its rows as they stand."""
    return gathered_last([table], rows)


def gathered_last(held: list[pa.Table], rows: npt.NDArray[np.int64]) -> pa.Table:
    """`gathered` of the one table in `held`, which lets go of it: each of its columns is freed
    before the next is gathered, where nothing else holds it."""
    table = held.pop()
    if len(rows) == table.num_rows and np.array_equal(rows, np.arange(len(rows))):
        return table
    at, schema, columns = pa.array(rows), table.schema, table.columns
    del table
    columns.reverse()
    return pa.table([_taken(columns.pop(), at) for _ in schema], schema=schema)


def _taken(column: pa.ChunkedArray, at: pa.Array) -> Any:
    kind = column.type
    if not pa.types.is_list(kind) or column.null_count:
        return column.take(at)
    value = kind.value_type
    if not (pa.types.is_integer(value) or pa.types.is_floating(value)):
        return column.take(at)
    lists = column.combine_chunks()
    if isinstance(lists, pa.ChunkedArray) or lists.values.null_count:
        return column.take(at)
    del column
    width, values = value.bit_width // 8, lists.values
    ends = (lists.offsets.to_numpy().astype(np.int64) + values.offset) * width
    buffers = [None, pa.py_buffer(ends), values.buffers()[1] or pa.py_buffer(b"")]
    whole = pa.Array.from_buffers(pa.large_binary(), len(lists), buffers).take(at)
    _, offsets, data = whole.buffers()
    found = np.frombuffer(offsets, np.int64)[whole.offset : whole.offset + len(whole) + 1] // width
    if len(found) and found[-1] > np.iinfo(np.int32).max:
        return lists.take(at)
    size = int(found[-1]) if len(found) else 0
    items = pa.Array.from_buffers(value, size, [None, data or pa.py_buffer(b"")])
    return pa.ListArray.from_arrays(pa.array(found.astype(np.int32)), items, type=kind)
