"""Lists of token ids as they stand on disk: bytes, one run a row.

Parquet packs a list number by number, with two levels each. As bytes a row's ids are written and
read in a third of the time (docs/notes/documents-to-shards.md). The lower two bytes of each id
stand in `<column>#low`, the upper two in `<column>#high`, which is null where all are zero: as
they are with most tokenizers. Tables in memory have lists, as their schemas say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.schema import TOKENS

_LOW, _HIGH = "#low", "#high"
_STORED = np.dtype("<u2")


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of the file in which tables of this one are stored."""
    fields: list[pa.Field] = []
    for field in schema:
        if field.type.equals(TOKENS):
            fields += [pa.field(field.name + end, pa.large_binary()) for end in (_LOW, _HIGH)]
        else:
            fields.append(field)
    return pa.schema(fields, schema.metadata)


def table_schema(stored: pa.Schema) -> pa.Schema:
    """The schema of the tables of a file: undoes `stored_schema`."""
    fields = []
    for field in stored:
        if field.name.endswith(_LOW):
            fields.append(pa.field(field.name.removesuffix(_LOW), TOKENS))
        elif not field.name.endswith(_HIGH):
            fields.append(field)
    return pa.schema(fields, stored.metadata)


def stored_names(columns: Sequence[str], stored: pa.Schema) -> list[str]:
    """The columns of a file that hold those of `columns` that it has."""
    names = [name for column in columns for name in (column, column + _LOW, column + _HIGH)]
    return [name for name in names if name in stored.names]


def packed(table: pa.Table) -> pa.Table:
    """The table as it is stored."""
    columns: list[pa.ChunkedArray] = []
    for column in table.columns:
        columns += _halves(column) if column.type.equals(TOKENS) else [column]
    return pa.table(columns, schema=stored_schema(table.schema))


def unpacked(stored: pa.Table) -> pa.Table:
    """The table as it was before it was stored."""
    columns = []
    for name in stored.column_names:
        if name.endswith(_LOW):
            columns.append(_lists(stored[name], stored[name.removesuffix(_LOW) + _HIGH]))
        elif not name.endswith(_HIGH):
            columns.append(stored[name])
    return pa.table(columns, schema=table_schema(stored.schema))


def _halves(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The lower and the upper two bytes of the ids of each row."""
    low, high = [], []
    parts = [_ids(chunk) for chunk in column.chunks]
    wide = any(len(ids) and int(ids.max()) >> 16 for ids, _ in parts)
    for chunk, (ids, ends) in zip(column.chunks, parts, strict=True):
        low.append(_bytes(ids.astype(_STORED), ends, chunk))
        upper = pa.nulls(len(chunk), pa.large_binary())
        high.append(_bytes((ids >> 16).astype(_STORED), ends, chunk) if wide else upper)
    return pa.chunked_array(low, pa.large_binary()), pa.chunked_array(high, pa.large_binary())


def _ids(lists: pa.ListArray) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The ids of a chunk in a row, and where each of its rows begins and ends in them."""
    ends = lists.offsets.to_numpy().astype(np.int64)
    return lists.values.to_numpy()[ends[0] : ends[-1]], ends - ends[0]


def _bytes(values: npt.NDArray[np.uint16], ends: npt.NDArray[np.int64], of: pa.Array) -> pa.Array:
    buffers = [None, pa.py_buffer(ends * _STORED.itemsize), pa.py_buffer(values)]
    found = pa.Array.from_buffers(pa.large_binary(), len(of), buffers)
    return pc.if_else(of.is_valid(), found, None) if of.null_count else found


def _lists(low: pa.ChunkedArray, high: pa.ChunkedArray) -> pa.ChunkedArray:
    """The ids of each row, from its two halves."""
    lower, upper = _joined(low), _joined(high)
    values, ends = _values(lower)
    ids = values.astype(np.uint32)
    if upper.null_count < len(upper):
        has = np.repeat(upper.is_valid().to_numpy(False), np.diff(ends))
        ids[has] |= _values(upper)[0].astype(np.uint32) << 16
    mask = lower.is_null() if lower.null_count else None
    offsets = pa.array(ends, pa.int32())  # an error above 2^31 ids, which no bounded batch has
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, pa.array(ids), TOKENS, mask=mask)])


def _joined(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _values(column: pa.Array) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
    """Numbers of all rows, and where each row begins and ends in them."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    if data is None or not len(column):
        return np.empty(0, _STORED), np.zeros(len(column) + 1, np.int64)
    return np.frombuffer(data, np.uint8)[ends[0] : ends[-1]].view(_STORED), (ends - ends[0]) // 2
