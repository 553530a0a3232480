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
from stages.documents import BatchBuilder, Fields, MappedSource, add_row

_BATCH_ROWS = 512


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
        except (pa.ArrowInvalid, OSError) as error:
            if size:
                builder.damage(0, size, _one_line(error))
            yield from builder.rest()
            return
        _check_columns(partition, file.schema_arrow, fields.names())
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
        batches = file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=fields.names())
        for batch in batches:
            for values in batch.to_pylist():
                if builder.done:
                    return
                yield from add_row(builder, fields, values, row)
                row += 1
    except (pa.ArrowInvalid, OSError) as error:
        pages = file.metadata.row_group(group)
        columns = [pages.column(i) for i in range(pages.num_columns)]
        start = min(c.dictionary_page_offset or c.data_page_offset for c in columns)
        length = sum(c.total_compressed_size for c in columns)
        builder.damage(start, max(1, length), _one_line(error))


def _check_columns(partition: Partition, schema: pa.Schema, wanted: Sequence[str]) -> None:
    """Raise InputError if a column, or the first part of a dotted one, is not in the file."""
    for name in wanted:
        if name not in schema.names and name.split(".")[0] not in schema.names:
            raise InputError(
                f"{partition.path}: source '{partition.source}' reads column '{name}', "
                f"but the file has only {', '.join(schema.names)}.{nearest(name, schema.names)} "
                f"Name the right column in the step's knobs."
            )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
