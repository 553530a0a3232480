"""What all sources share: document ids, and rows gathered into batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import xxhash

from pipeline.schema import TEXT_DOCUMENTS, WEB_DOCUMENTS
from pipeline.stage import Damage, Partition, Source, SourceBatch, knob, location
from stages.columns import TYPES, BadValue, Column, as_timestamp, declared

MAX_BATCH_BYTES = 32 << 20
"""Bytes of html or text in one batch (DESIGN section 4)."""
MAX_BATCH_ROWS = 8192
"""Documents in one batch (DESIGN section 4)."""
MAX_HTML_BYTES = 20_000_000
"""Largest page, in bytes of UTF-8, that is read (DESIGN section 4)."""
MAX_TEXT_BYTES = 100_000_000
"""Largest text document, in bytes of UTF-8, that is read (DESIGN section 4)."""


def document_id(source: str, key: str | bytes) -> bytes:
    """xxh3-128 of (source id, NUL, key): 16 bytes. A step id holds no NUL."""
    tail = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    return xxhash.xxh3_128_digest(source.encode() + b"\0" + tail)


def row_key(fields: Mapping[str, Any]) -> bytes:
    """Canonical bytes of a row without an id: its mapped fields as JSON with sorted names.

    Field order, spacing and the file format do not matter: a JSONL row and a Parquet row with equal
    mapped fields get equal ids.
    """
    present = {name: value for name, value in fields.items() if value is not None}
    return orjson.dumps(present, option=orjson.OPT_SORT_KEYS | orjson.OPT_NAIVE_UTC, default=str)


class BatchBuilder:
    """Gathers rows of one partition; every batch it gives is within the bounds of DESIGN section 4.

    Ends (`done`) after `partition.head` documents; refusals do not count towards it.
    """

    def __init__(self, partition: Partition, schema: pa.Schema, body: str) -> None:
        self.partition = partition
        self.schema = schema
        self.body = body
        self.num_documents = 0
        self._start()

    def _start(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in self.schema.names}
        self._tables: list[pa.Table] = []
        self._rows = self._bytes = 0
        self._refused: list[dict[str, Any]] = []
        self._damage: list[Damage] = []

    @property
    def done(self) -> bool:
        """True once the partition's `head` is reached."""
        head = self.partition.head
        return head is not None and self.num_documents >= head

    def document(
        self, key: str | bytes, body: bytes, beside: int = 0, **columns: Any
    ) -> Iterator[SourceBatch]:
        """Add a document; yields the batch before it if that is full. A text is UTF-8.

        `beside` are the bytes of its further columns, where they may be long.
        """
        size = len(body) + beside
        full = self._bytes + size > MAX_BATCH_BYTES and self._bytes > 0
        if full or self._rows >= MAX_BATCH_ROWS:
            yield self._take()
        row = {
            "doc_id": document_id(self.partition.source, key),
            "source": self.partition.source,
            "file": self.partition.file,
            self.body: body,
            **columns,
        }
        for name, values in self._columns.items():
            values.append(row.get(name))
        self._rows += 1
        self._bytes += size
        self.num_documents += 1

    def documents(self, table: pa.Table, sizes: npt.NDArray[np.int64]) -> Iterator[SourceBatch]:
        """Add the rows of a table of this schema, as `document` adds each; its batches are equal.

        `sizes` are the bytes of their bodies. Memory: the table is kept as it is until its batch
        is given.
        """
        self._close_rows()
        ends, first = np.cumsum(sizes), 0
        while first < table.num_rows:
            before = int(ends[first - 1]) if first else 0
            fits = int(np.searchsorted(ends, before + MAX_BATCH_BYTES - self._bytes, "right"))
            stop = min(fits, first + MAX_BATCH_ROWS - self._rows)
            if stop <= first and self._rows:
                yield self._take()
                continue
            stop = max(stop, first + 1)
            self._tables.append(table.slice(first, stop - first))
            self._rows += stop - first
            self._bytes += int(ends[stop - 1]) - before
            first = stop
        self.num_documents += table.num_rows

    def refuse(
        self, reason: str, offset: int, key: str | bytes, url: str | None = None
    ) -> Iterator[SourceBatch]:
        """Add a refusal; it counts as a document dropped at the source for this reason."""
        if len(self._refused) >= MAX_BATCH_ROWS:
            yield self._take()
        self._refused.append(
            {
                "doc_id": document_id(self.partition.source, key),
                "url": url,
                "file": self.partition.file,
                "offset": offset,
                "reason": reason,
            }
        )

    def damage(self, offset: int, num_bytes: int, reason: str) -> None:
        """Note unreadable bytes of the stored file."""
        self._damage.append(Damage(self.partition.file, num_bytes, offset, reason))

    def rest(self) -> Iterator[SourceBatch]:
        """What is left at the end of the file."""
        if self._rows or self._refused or self._damage:
            yield self._take()

    def _close_rows(self) -> None:
        """Rows added one by one become a table."""
        if self._columns["doc_id"]:
            columns: dict[str, Any] = dict(self._columns)
            columns[self.body] = joined(columns[self.body], self.schema.field(self.body).type)
            self._tables.append(pa.table(columns, schema=self.schema))
            self._columns = {name: [] for name in self.schema.names}

    def _take(self) -> SourceBatch:
        self._close_rows()
        table = pa.concat_tables([self.schema.empty_table(), *self._tables]).combine_chunks()
        batch = SourceBatch(
            table if table.num_rows else None, tuple(self._refused), tuple(self._damage)
        )
        self._start()
        return batch


def joined(values: Sequence[bytes], kind: pa.DataType) -> pa.Array:
    """The values as a large_binary column, or as a large_string one, which they must be UTF-8 for.

    Copied once; Arrow's builder copies as it grows.
    """
    ends = np.cumsum([0, *map(len, values)], dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def refusal_key(file: str, offset: int) -> str:
    """The key of something refused that has no id of its own: where it stands."""
    return f"{file}\0{offset}"


# --- Rows of tables ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Fields:
    """Which field of a row is what. Dots reach into nested fields; None = the source has none."""

    text: str
    html: str | None
    id: str | None
    url: str | None
    date: str | None
    max_bytes: int
    columns: tuple[Column, ...] = ()
    """Further columns that the user declares."""

    @property
    def body(self) -> str:
        """The field that holds the document."""
        return self.html or self.text

    @property
    def schema(self) -> pa.Schema:
        """Schema of the documents: pages if an `html` field is named, else texts."""
        schema = WEB_DOCUMENTS if self.html else TEXT_DOCUMENTS
        return pa.schema([*schema, *((c.name, TYPES[c.type]) for c in self.columns)])

    def names(self) -> list[str]:
        """Every field that is read, each once."""
        wanted = (self.body, self.id, self.url, self.date, *(c.field for c in self.columns))
        return list(dict.fromkeys(name for name in wanted if name))

    def builder(self, partition: Partition) -> BatchBuilder:
        return BatchBuilder(partition, self.schema, "html" if self.html else "text")


def field_of(row: Mapping[str, Any], name: str | None) -> Any:
    """The value of a field; `a.b` is the field of that name, or else field `b` inside `a`."""
    if name is None:
        return None
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def add_row(
    builder: BatchBuilder,
    fields: Fields,
    row: Mapping[str, Any],
    offset: int,
    charset: str = "utf-8",
) -> Iterator[SourceBatch]:
    """Add a row as a document, or refuse it.

    The reasons are `no_text`, `undecodable`, `empty`, `bad_value` (of a declared column) and
    `too_large` (the body, or the declared columns together).
    """
    body, url = field_of(row, fields.body), field_of(row, fields.url)
    url = url if isinstance(url, str) else None
    date = as_timestamp(field_of(row, fields.date))
    reason, text = "", ""
    if isinstance(body, bytes):
        try:
            text = body.decode()
        except UnicodeDecodeError:
            reason = "undecodable"
    elif isinstance(body, str):
        text = body
    else:
        reason = "no_text"
    stored = text.encode()
    if not reason and (not text or text.isspace()):
        reason = "empty"
    try:
        columns = {c.name: c.value(field_of(row, c.field)) for c in fields.columns}
    except BadValue:
        columns = {}
        reason = reason or "bad_value"
    beside = sum(_num_bytes(value) for value in columns.values())
    if max(len(stored), beside) > fields.max_bytes:
        reason = "too_large"
    given = field_of(row, fields.id)
    if reason:
        key = refusal_key(builder.partition.file, offset) if given is None else str(given)
        yield from builder.refuse(reason, offset, key, url)
        return
    key_bytes = (
        row_key({"body": text, "url": url, "date": date}) if given is None else str(given).encode()
    )
    yield from builder.document(
        key_bytes,
        stored,
        beside,
        url=url,
        offset=offset,
        content_type="text/html" if fields.html else "text/plain",
        charset=charset,
        date=date,
        **columns,
    )


def _num_bytes(value: Any) -> int:
    """Bytes that a column's value takes, at most."""
    if isinstance(value, str):
        return 4 * len(value)
    return sum(map(_num_bytes, value)) if isinstance(value, list) else 8


@dataclass(frozen=True)
class MappedSource(Source):
    """A source of rows whose fields or columns the user maps; see `Fields`."""

    paths: tuple[str, ...] = location()
    base: str | None = location(None)
    text: str = knob("text", unit="field", source="field name of C4, Dolma and FineWeb files")
    html: str | None = knob(
        None, unit="field", source="off", help="read pages from this field instead of texts"
    )
    id: str | None = knob(None, unit="field", source="DESIGN section 6: else the row's content")
    url: str | None = knob(None, unit="field", source="off: not every file has one")
    date: str | None = knob(None, unit="field", source="off: not every file has one")
    max_document_bytes: int | None = knob(
        None, unit="bytes of UTF-8", source="DESIGN section 4: 100 MB of text, 20 MB of html"
    )

    columns: Mapping[str, str | Mapping[str, str]] = knob(
        {}, source="DESIGN section 4: schemas are declared, never inferred",
        help="further columns: {name: type} or {name: {field: a.b, type: type}}",
    )  # fmt: skip

    schema: ClassVar[pa.Schema] = TEXT_DOCUMENTS

    def check(self) -> None:
        declared(self.columns)

    def fields(self) -> Fields:
        """What to read of each row."""
        limit = self.max_document_bytes or (MAX_HTML_BYTES if self.html else MAX_TEXT_BYTES)
        columns = declared(self.columns)
        return Fields(self.text, self.html, self.id, self.url, self.date, limit, columns)

    def document_schema(self) -> pa.Schema:
        return self.fields().schema
