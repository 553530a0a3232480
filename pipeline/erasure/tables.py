"""Every stored file as tables, and written again without some of their rows.

Four kinds: `parquet` (documents, metrics, side tables, shards), `scatter` (bucket-major files of
exchanges), `lines` (JSONL, gzipped or not), `raw` (all else).
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.audit.shards import footer_of, row_group_facts
from pipeline.erasure.pages import Pages
from pipeline.execution.exchange import write_buckets
from pipeline.files.packed import stored_names, unpacked
from pipeline.files.storage import Storage
from pipeline.schema import DOC_ID, SHARD_FOOTER

_LINES = 4096
_LEVELS = {"steps": 1, "documents": 3}
"""zstd levels of the writers of these files, 3 elsewhere. A file does not tell its own."""
_GZIP_LEVEL = 6


def kind_of(storage: Storage, path: str) -> str:
    """`parquet`, `scatter`, `lines` or `raw`."""
    if re.search(r"\.jsonl(\.gz)?$", path):
        return "lines"
    head = storage.get_range(path, 0, 8)
    if head[:4] == b"PAR1":
        return "parquet"
    parts = path.split("/")
    if parts[0] == "steps" and len(parts) == 4 and parts[2].startswith("rows-") and len(head) == 8:
        return "scatter"
    return "raw"


def opened(storage: Storage, path: str) -> pq.ParquetFile:
    local = storage.local_path(path)
    return pq.ParquetFile(local if local is not None else storage.open(path), pre_buffer=False)


def tables_of(
    storage: Storage, path: str, kind: str, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The rows of a file, piece by piece; with `columns` those of them that it has."""
    if kind == "parquet":
        with opened(storage, path) as file:
            wanted = None if columns is None else stored_names(columns, file.schema_arrow)
            for number in range(file.num_row_groups):
                yield unpacked(file.read_row_group(number, columns=wanted, use_threads=False))
    elif kind == "scatter":
        for bucket in buckets_of(storage.get(path)):
            for table in bucket:
                names = table.column_names
                yield table if columns is None else table.select([n for n in columns if n in names])
    elif kind == "lines":
        for _, table in _line_tables(storage, path):
            yield table


def buckets_of(data: bytes) -> list[list[pa.Table]]:
    """The tables of each bucket of a scatter file."""
    count = int(np.frombuffer(data, "<u8", 1)[0]) // 8 - 1
    ends = np.frombuffer(data, "<u8", count + 1).tolist()
    found = []
    for start, end in itertools.pairwise(ends):
        stream = data[start:end]
        found.append([pa.ipc.open_stream(stream).read_all()] if stream else [])
    return found


def _line_tables(storage: Storage, path: str) -> Iterator[tuple[list[bytes], pa.Table]]:
    """Lines as they stand, and what identifies their documents."""
    with storage.open(path) as raw:
        source: Any = gzip.GzipFile(fileobj=raw) if path.endswith(".gz") else raw
        lines: list[bytes] = []
        for line in source:
            lines.append(line)
            if len(lines) == _LINES:
                yield lines, _line_table(lines)
                lines = []
        if lines:
            yield lines, _line_table(lines)


def _line_table(lines: Sequence[bytes]) -> pa.Table:
    rows = [orjson.loads(line) for line in lines]
    columns = {
        "doc_id": pa.array([bytes.fromhex(row["doc_id"]) for row in rows], DOC_ID),
        "url": pa.array([row.get("url") for row in rows], pa.string()),
        "file": pa.array([row.get("file") for row in rows], pa.string()),
        "offset": pa.array([row.get("offset") for row in rows], pa.int64()),
        "text": pa.array([row.get("text") for row in rows], pa.large_string()),
        "line": pa.array(lines, pa.large_binary()),
    }
    return pa.table(columns)


# --- Writing -------------------------------------------------------------------------------------


def rewrite(storage: Storage, path: str, kind: str, target: Path, pages: Pages) -> dict[str, Any]:
    """The file without rows of the pages, at `target`: `rows`; a shard's `tokens`, `row_groups`.

    Rows keep their order, columns their types and codecs, row groups their borders.
    """
    if kind == "parquet":
        return _parquet(storage, path, target, pages)
    if kind == "scatter":
        return _scatter(storage, path, target, pages)
    return _lines(storage, path, target, pages)


def _parquet(storage: Storage, path: str, target: Path, pages: Pages) -> dict[str, Any]:
    with opened(storage, path) as file:
        footer = footer_of(file)
        facts: list[dict[str, Any]] = []
        rows = first = 0
        schema = file.schema_arrow.remove_metadata()
        with pq.ParquetWriter(target, schema, **_layout(file, path)) as writer:
            for number in range(file.num_row_groups):
                table = file.read_row_group(number, use_threads=False)
                table = pages.without(table).replace_schema_metadata()
                if not table.num_rows:
                    continue
                rows += table.num_rows
                if footer is not None:
                    group = row_group_facts(table, footer["dtype"], first)
                    del group["lengths_differ"]
                    facts.append(group)
                    first += group["tokens"]
                writer.write_table(table, row_group_size=table.num_rows)
            if footer is not None:
                footer["xxh3_128"] = [group["checksum"] for group in facts]
                text = json.dumps(footer, sort_keys=True, ensure_ascii=False)
                writer.add_key_value_metadata({SHARD_FOOTER: text.encode()})
    shard = {} if footer is None else {"tokens": first, "row_groups": facts}
    return {"rows": rows, **shard}


def _layout(file: pq.ParquetFile, path: str) -> dict[str, Any]:
    """Options with which the writer makes such a file."""
    if not file.num_row_groups:
        return {"compression": "zstd"}
    group = file.metadata.row_group(0)
    columns = [group.column(at) for at in range(group.num_columns)]
    codecs = {c.path_in_schema: c.compression.lower().replace("uncompressed", "none")
              for c in columns}  # fmt: skip
    level = _LEVELS.get(path.partition("/")[0], 3)
    levels = {name: level for name, codec in codecs.items() if codec == "zstd"}
    delta = {
        c.path_in_schema: "DELTA_BINARY_PACKED"
        for c in columns
        if "DELTA_BINARY_PACKED" in c.encodings
    }
    return {
        "compression": codecs,
        "compression_level": levels or None,
        "use_dictionary": [c.path_in_schema for c in columns if c.has_dictionary_page] or False,
        "write_statistics": [c.path_in_schema for c in columns if c.is_stats_set] or False,
        "column_encoding": delta or None,
    }


def _scatter(storage: Storage, path: str, target: Path, pages: Pages) -> dict[str, Any]:
    buckets = [[pages.without(t) for t in found] for found in buckets_of(storage.get(path))]
    rows = sum(table.num_rows for found in buckets for table in found)
    full = [[table for table in found if table.num_rows] for found in buckets]
    if not rows:  # the first bucket keeps the schema, as where there was never a row
        full[0] = [table for found in buckets for table in found][:1]
    write_buckets(target, lambda number: full[number], len(full))
    return {"rows": rows}


def _lines(storage: Storage, path: str, target: Path, pages: Pages) -> dict[str, Any]:
    rows = 0
    with target.open("wb") as raw:
        sink: BinaryIO = raw
        if path.endswith(".gz"):
            sink = gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0)  # type: ignore[assignment]
        with io.BufferedWriter(sink, 1 << 20) as out:
            for lines, table in _line_tables(storage, path):
                stay = ~pages.rows_in(table)
                rows += int(stay.sum())
                out.writelines(line for line, kept in zip(lines, stay, strict=True) if kept)
    return {"rows": rows}
