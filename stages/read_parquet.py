"""Reads documents from Parquet files, only the columns that it needs.

A file whose footer cannot be read is damage of the whole file; a row group whose pages cannot be
read is damage of that group, and reading goes on behind it. A missing column is an InputError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa

from pipeline.errors import InputError, nearest
from pipeline.stage import Partition, Side, SourceBatch
from stages.documents import BatchBuilder, Fields, MappedSource, add_row, refusal_key
from stages.plain_rows import plain_texts

_BATCH_ROWS = 512
_BATCH_BYTES = 16 << 20
"""Rows of long texts are read by fewer at once, by the mean of their row group."""
BROKEN = (pa.ArrowException, OSError, ValueError, LookupError, MemoryError, OverflowError)
"""What Arrow raises for bytes that are no table."""


@dataclass(frozen=True)
class ReadParquet(MappedSource):
    """One document a row. `offset` is the row's number in the file, the first row being 0.

    2: pages from `html` have the columns that pages of archives have.
    """

    version: ClassVar[int] = 2

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        import pyarrow.parquet as pq

        fields = self.fields()
        builder = fields.builder(partition)
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        try:
            file = pq.ParquetFile(stream)
        except BROKEN as error:
            if size:
                builder.damage(0, size, one_line(error))
            yield from builder.rest()
            return
        check_columns(partition, file.schema_arrow, fields.names())
        row = 0
        for group in range(file.num_row_groups):
            if builder.done:
                break
            yield from _read_group(builder, fields, file, group, row)
            row += file.metadata.row_group(group).num_rows
        yield from builder.rest()


def _read_group(
    builder: BatchBuilder, fields: Fields, file: Any, group: int, row: int
) -> Iterator[SourceBatch]:
    """Add the documents of one row group, or note its damage."""
    try:
        mean = file.metadata.row_group(group).total_byte_size // max(
            1, file.metadata.row_group(group).num_rows
        )
        rows = min(_BATCH_ROWS, max(1, _BATCH_BYTES // max(1, mean)))
        batches = file.iter_batches(rows, row_groups=[group], columns=fields.names())
        for batch in batches:
            yield from add_rows(builder, fields, batch, row)
            if builder.done:
                return
            row += batch.num_rows
    except BROKEN as error:
        pages = file.metadata.row_group(group)
        columns = [pages.column(i) for i in range(pages.num_columns)]
        start = min(c.dictionary_page_offset or c.data_page_offset for c in columns)
        length = sum(c.total_compressed_size for c in columns)
        builder.damage(max(0, start), max(1, length), one_line(error))


def add_rows(
    builder: BatchBuilder, fields: Fields, batch: pa.RecordBatch, first: int
) -> Iterator[SourceBatch]:
    """Add the rows of a batch. One that Python cannot hold is refused alone: `undecodable`, or
    `bad_value`, such as a date in the year 20000."""
    plain = plain_texts(builder, fields, batch, first)
    if plain is not None:
        yield from builder.documents(*plain)
        return
    try:
        rows: list[Any] = _in_microseconds(batch).to_pylist()
    except BROKEN:
        rows = [_alone(batch, at) for at in range(batch.num_rows)]
    for at, values in enumerate(rows, first):
        if builder.done:
            return
        if isinstance(values, str):
            yield from builder.refuse(values, at, refusal_key(builder.partition.file, at))
        else:
            yield from add_row(builder, fields, values, at)


def _alone(batch: pa.RecordBatch, at: int) -> dict[str, Any] | str:
    """One row, or why there is none."""
    try:
        row: dict[str, Any] = _in_microseconds(batch.slice(at, 1)).to_pylist()[0]
    except UnicodeDecodeError:
        return "undecodable"
    except BROKEN:
        return "bad_value"
    return row


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Python's dates have no nanoseconds, and Arrow refuses to drop them by itself."""
    for at, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            cut = batch.column(at).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(at, field.name, cut)
    return batch


def check_columns(partition: Partition, schema: pa.Schema, wanted: Sequence[str]) -> None:
    """Raise InputError if a column, or the first part of a dotted one, is not in the file."""
    for name in wanted:
        if name not in schema.names and name.split(".")[0] not in schema.names:
            raise InputError(
                f"{partition.path}: source '{partition.source}' reads column '{name}', "
                f"but the file has only {', '.join(schema.names)}.{nearest(name, schema.names)} "
                f"Name the right column in the step's knobs."
            )


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
