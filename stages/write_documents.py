"""write_documents: the cleaned documents as files, one a partition. A leaf on the side."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.stage import Output, OutputFile, Side, knob
from stages.shard_writer import row_groups

ROW_GROUP_BYTES = 32 << 20
"""A Parquet row group closes with the document that reaches this much text."""
ROW_BYTES = 4096
"""What a row counts besides its text, so that short documents close a row group at 8,192 rows."""
GZIP_LEVEL = 6
ZSTD_LEVEL = 3


@dataclass(frozen=True)
class WriteDocuments(Output):
    """`documents/<step id>/<partition id>-<8 hex>.<format>`: all columns of the documents."""

    reads: ClassVar[tuple[str, ...]] = ("doc_id",)

    format: str = knob(
        "parquet",
        unit="file format",
        source="DESIGN section 3",
        choices=("parquet", "jsonl"),
    )
    compression: str = knob(
        "auto",
        unit="codec",
        source="what readers of the format expect: parquet zstd, jsonl gzip",
        choices=("auto", "zstd", "gzip", "none"),
    )

    def check(self) -> None:
        if self.format == "jsonl" and self.compression == "zstd":
            raise ValueError("jsonl is written with gzip or none; zstd needs format: parquet.")

    def write(self, batches: Iterator[pa.Table], partition: str, side: Side) -> OutputFile | None:
        path = side.scratch / f"documents-{partition}"
        write = self._parquet if self.format == "parquet" else self._jsonl
        documents = write((batch for batch in batches if batch.num_rows), path)
        if not documents:
            return None
        gzipped = self.format == "jsonl" and self.compression != "none"
        suffix = f"{self.format}.gz" if gzipped else self.format
        publish_as = f"documents/{side.step}/{partition}-{{checksum}}.{suffix}"
        return OutputFile(path, publish_as, {"documents": documents, "format": self.format})

    def _parquet(self, batches: Iterator[pa.Table], path: Path) -> int:
        """Write the batches in row groups that do not depend on where batches end."""
        codec = "zstd" if self.compression == "auto" else self.compression
        level = {"zstd": ZSTD_LEVEL, "gzip": GZIP_LEVEL}.get(codec)
        writer: pq.ParquetWriter | None = None
        waiting: list[pa.Table] = []
        documents = 0
        for batch in batches:
            if writer is None:
                writer = pq.ParquetWriter(
                    path,
                    batch.schema,
                    compression=codec,
                    compression_level=level,
                    use_dictionary=["source", "file", "lang"],
                )
            documents += batch.num_rows
            waiting.append(batch)
            table = pa.concat_tables(waiting)
            sizes = _sizes(table)
            done = 0
            for start, stop in row_groups(sizes, ROW_GROUP_BYTES):
                if sizes[start:stop].sum() >= ROW_GROUP_BYTES:
                    writer.write_table(
                        table.slice(start, stop - start), row_group_size=stop - start
                    )
                    done = stop
            waiting = [table.slice(done)]
        if writer is not None:
            rest = pa.concat_tables(waiting)
            if rest.num_rows:
                writer.write_table(rest, row_group_size=rest.num_rows)
            writer.close()
        return documents

    def _jsonl(self, batches: Iterator[pa.Table], path: Path) -> int:
        """One JSON object a line, keys in column order; ids as hex, times as RFC 3339."""
        documents = 0
        with path.open("wb") as raw:
            sink: BinaryIO = raw
            if self.compression != "none":
                # No name and no time in the header: equal documents give equal bytes.
                sink = gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0)  # type: ignore[assignment]
            with io.BufferedWriter(sink, 1 << 20) as out:
                for batch in batches:
                    documents += batch.num_rows
                    for row in batch.to_pylist():
                        out.write(orjson.dumps(row, _hex, _JSON_OPTIONS))
        return documents


_JSON_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


def _hex(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def _sizes(table: pa.Table) -> npt.NDArray[np.int64]:
    """What each row counts against ROW_GROUP_BYTES."""
    sizes = np.full(table.num_rows, ROW_BYTES, np.int64)
    if "text" in table.column_names:
        sizes += pc.fill_null(pc.binary_length(table["text"]), 0).to_numpy().astype(np.int64)
    return sizes
