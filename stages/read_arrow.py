"""Reads documents from Arrow IPC files and streams (Feather version 2), by their first bytes.

Only the columns that are needed are read, one record batch at a time, and checked before use. Where
a batch of a file cannot be read, it is damage and reading goes on behind it; where a stream breaks,
the batches before are kept. A file whose footer is lost is read as the stream that it holds.
A missing column is an InputError.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

from pipeline.stage import Partition, Side, SourceBatch
from stages.documents import BatchBuilder, Fields, MappedSource
from stages.read_parquet import BROKEN, add_rows, check_columns, one_line

_MAGIC = b"ARROW1"
_STREAM_AT = 8
"""Where a file's stream begins: behind the magic and its padding."""
_SLICE_ROWS = 512


@dataclass(frozen=True)
class ReadArrow(MappedSource):
    """One document a row. `offset` is the row's number in the file, the first row being 0."""

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        fields = self.fields()
        builder = fields.builder(partition)
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        is_file = stream.read(len(_MAGIC)) == _MAGIC
        batches: Iterable[pa.RecordBatch | None] | None = None
        if is_file:
            with contextlib.suppress(*BROKEN):  # without its footer
                batches = _of_file(stream, partition, fields)
        if batches is None:
            batches = _of_stream(stream, _STREAM_AT if is_file else 0, partition, fields)
        yield from _read(builder, fields, batches, stream, size)
        yield from builder.rest()


def _of_file(
    stream: BinaryIO, partition: Partition, fields: Fields
) -> Iterator[pa.RecordBatch | None]:
    """The batches of a file by its footer."""
    stream.seek(0)
    schema = pa.ipc.open_file(stream).schema
    stream.seek(0)
    file = pa.ipc.open_file(stream, options=_options(schema, partition, fields))
    return (_get(file, number) for number in range(file.num_record_batches))


def _get(file: Any, number: int) -> pa.RecordBatch | None:
    """One batch; None if its bytes are none, which the others need not be."""
    try:
        return file.get_batch(number)
    except BROKEN:
        return None


def _of_stream(
    stream: BinaryIO, at: int, partition: Partition, fields: Fields
) -> Iterator[pa.RecordBatch]:
    """The batches of a stream, up to its end."""
    stream.seek(at)
    schema = pa.ipc.open_stream(stream).schema
    options = _options(schema, partition, fields)
    stream.seek(at)
    yield from pa.ipc.open_stream(stream, options=options)


def _options(schema: pa.Schema, partition: Partition, fields: Fields) -> Any:
    """Read options for the columns that are needed. Raises InputError if one is missing."""
    wanted = fields.names()
    check_columns(partition, schema, wanted)
    names = {name if name in schema.names else name.split(".")[0] for name in wanted}
    included = [at for at, name in enumerate(schema.names) if name in names]
    return pa.ipc.IpcReadOptions(included_fields=included, use_threads=False)


def _read(
    builder: BatchBuilder,
    fields: Fields,
    batches: Iterable[pa.RecordBatch | None],
    stream: BinaryIO,
    size: int,
) -> Iterator[SourceBatch]:
    """Add the rows of all batches, or note the damage of those that cannot be read."""
    row, whole = 0, 0
    try:
        for batch in batches:
            if builder.done:
                return
            before, whole = whole, max(whole, min(stream.tell(), size - 1))
            if batch is None or not _is_sound(batch):
                builder.damage(before, max(1, whole - before), "broken record batch")
                continue
            for start in range(0, batch.num_rows, _SLICE_ROWS):
                piece = batch.slice(start, _SLICE_ROWS)
                yield from add_rows(builder, fields, piece, row + start)
            row += batch.num_rows
    except BROKEN as error:
        builder.damage(whole, max(1, size - whole), one_line(error))


def _is_sound(batch: pa.RecordBatch) -> bool:
    """True if its buffers can be read: a wrong offset would be taken as an address.

    A text that is no UTF-8 is no such fault; its row is refused later.
    """
    try:
        batch.validate(full=True)
    except BROKEN:
        bytes_for = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
        try:
            for column in batch.columns:
                column.view(bytes_for.get(column.type, column.type)).validate(full=True)
        except BROKEN:
            return False
    return True
