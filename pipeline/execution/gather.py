"""Rows of a table in another order, where Arrow's own `take` is slow.

Arrow takes a list of numbers value by value. As one run of bytes a row, the ids of documents are
copied ten times as fast; the exchange does so with every token twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
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


class RowsInOrder:
    """Rows of a table in another order, copied when they are asked for: beside the table only what
    is asked for stands in memory, where a sorted table would stand there twice."""

    def __init__(self, table: pa.Table, rows: npt.NDArray[np.int64]) -> None:
        """Row i of these is row rows[i] of the table."""
        self._rows, self._names = rows, table.column_names
        columns = zip(table.column_names, table.columns, strict=True)
        self._columns = {name: _kept(column) for name, column in columns}

    @classmethod
    def of(cls, table: pa.Table) -> RowsInOrder:
        """A table's rows as they stand."""
        return cls(table, np.arange(table.num_rows))

    @property
    def num_rows(self) -> int:
        return len(self._rows)

    def slice(self, start: int, length: int, names: Sequence[str] = ()) -> pa.Table:
        """So many rows from `start` on, or those there are; all columns, or those of `names`."""
        rows, names = self._rows[start : start + length], names or self._names
        at = pa.array(rows)
        found = {}
        for name in names:
            column = self._columns[name]
            found[name] = column.take(rows) if isinstance(column, _Chunks) else column.take(at)
        return pa.table(found)


def _kept(column: pa.ChunkedArray) -> _Chunks | pa.ChunkedArray:
    if _is_runs(column):
        return _Chunks(column)
    joined = column.combine_chunks()  # else each `take` would join them
    return joined if isinstance(joined, pa.ChunkedArray) else pa.chunked_array([joined])


class _Chunks:
    """Lists of numbers that stay in the chunks in which they came."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._kind = column.type
        self._runs = [_runs(chunk) for chunk in column.chunks]
        self._starts = np.cumsum([0, *map(len, self._runs)])

    def take(self, rows: npt.NDArray[np.int64]) -> pa.ListArray:
        """The lists of these rows. Raises OverflowError for 2^31 numbers or more."""
        if len(self._runs) == 1:
            return _lists(self._runs[0].take(pa.array(rows)), self._kind)
        chunk = np.searchsorted(self._starts, rows, side="right") - 1
        by_chunk = np.argsort(chunk, kind="stable")
        edges = np.searchsorted(chunk[by_chunk], np.arange(len(self._runs) + 1))
        parts = [
            self._runs[number].take(pa.array(rows[by_chunk[a:b]] - self._starts[number]))
            for number, (a, b) in enumerate(pairwise(edges))
        ]
        places = np.empty(len(rows), np.int64)
        places[by_chunk] = np.arange(len(rows))
        joined = pa.concat_arrays(parts) if parts else pa.array([], pa.large_binary())
        return _lists(joined.take(pa.array(places)), self._kind)


def _taken(column: pa.ChunkedArray, at: pa.Array) -> Any:
    if not _is_runs(column):
        return column.take(at)
    lists = column.combine_chunks()
    del column
    if isinstance(lists, pa.ChunkedArray):  # too long for one array
        return lists.take(at)
    runs = _runs(lists).take(at)
    return _lists(runs, lists.type) if _fits(runs, lists.type) else lists.take(at)


def _is_runs(column: pa.ChunkedArray) -> bool:
    """Whether all rows are lists of numbers, none of them null: runs of bytes."""
    kind = column.type
    if not pa.types.is_list(kind) or column.null_count:
        return False
    value = kind.value_type
    if not (pa.types.is_integer(value) or pa.types.is_floating(value)):
        return False
    return not any(chunk.values.null_count for chunk in column.chunks)


def _runs(lists: pa.ListArray) -> pa.Array:
    """The bytes of each list, as large_binary; only where they begin is copied."""
    values = lists.values
    width = lists.type.value_type.bit_width // 8
    ends = (lists.offsets.to_numpy().astype(np.int64) + values.offset) * width
    buffers = [None, pa.py_buffer(ends), values.buffers()[1] or pa.py_buffer(b"")]
    return pa.Array.from_buffers(pa.large_binary(), len(lists), buffers)


def _ends(runs: pa.Array, kind: pa.DataType) -> npt.NDArray[np.int64]:
    """Where in the data each list begins and the last one ends, in numbers."""
    offsets = np.frombuffer(runs.buffers()[1] or bytes(8), np.int64)
    ends = offsets[runs.offset : runs.offset + len(runs) + 1]
    return np.asarray(ends // (kind.value_type.bit_width // 8), np.int64)


def _fits(runs: pa.Array, kind: pa.DataType) -> bool:
    """Whether one array of lists has room for so many numbers."""
    return int(_ends(runs, kind)[-1]) <= np.iinfo(np.int32).max


def _lists(runs: pa.Array, kind: pa.DataType) -> pa.ListArray:
    """`_runs` undone. Raises OverflowError for 2^31 numbers or more."""
    if not _fits(runs, kind):
        raise OverflowError(f"{len(runs):,} lists have more numbers than one array holds, 2^31 - 1")
    ends, data = _ends(runs, kind), runs.buffers()[2] or pa.py_buffer(b"")
    items = pa.Array.from_buffers(kind.value_type, int(ends[-1]), [None, data])
    return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), items, type=kind)
