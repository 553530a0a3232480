"""Reads web pages from WARC and ARC files, or texts from WET files, in any container.

Documents are, with `records: pages`, `response` and `resource` records that hold HTML or XHTML with
a 2xx status; with `records: text`, `conversion` records of plain text: Common Crawl's WET files,
which spare the extraction. Every other response, resource, revisit, conversion and segment is a
refusal with a reason; requests, metadata and warcinfo are no documents. What each file is and how
it is packed is told by its content, never by its name.

A revisit says that a page had not changed: its document would be an exact copy, which any
deduplication drops again, so it is refused and counted.

What a damaged file loses, and what vouches for the rest: `stages/archives/walk.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Literal

import pyarrow as pa
import xxhash

from pipeline.files.addresses import is_web
from pipeline.files.uris import open_input
from pipeline.schema import TEXT_DOCUMENTS, WEB_DOCUMENTS
from pipeline.stage import Partition, Side, Source, SourceBatch, knob, location
from stages.archives.engines import UNWANTED, Wanted
from stages.archives.http import (
    Response,
    TooLargeBody,
    UndecodableBody,
    decoded_body,
    response_of,
    tdm_headers,
    x_robots_tag,
)
from stages.archives.records import Lost, Record
from stages.archives.splits import INDEX_SUFFIXES, cut_at, indexed_offsets, record_offsets
from stages.archives.walk import walk
from stages.charset import decode_page
from stages.documents import MAX_HTML_BYTES, BatchBuilder, refusal_key

_HTML_TYPES = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")
_SNIFF = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body|title)\b", re.I | re.S)
_HEADER_BYTES = 1 << 16
"""What the HTTP header may add to a body of `max_document_bytes`."""


@dataclass(frozen=True)
class ReadWarc(Source):
    """Pages of WARC and ARC files, or texts of WET files; `offset` is where the record starts.

    In a gzip member or zstd frame of several records it is the first byte plus the records before.

    2: columns `charset_from`, `x_robots_tag` and `tdm_headers`.
    3: ARC and WET; other offsets in members of several records; in containers without checksums a
    record whose block digest is wrong is damage; a member broken in its middle gives no record
    without a digest.
    4: in a range of a damaged file the last records are proved by what stands behind the range.
    """

    version: ClassVar[int] = 4

    paths: tuple[str, ...] = location()
    base: str | None = location(None)
    records: Literal["pages", "text"] = knob(
        "pages",
        choices=("pages", "text"),
        source="Common Crawl: responses are in WARC files, text in WET files",
        help="pages of responses, or the text of conversions (WET)",
    )
    engine: Literal["auto", "fastwarc", "warcio"] = knob(
        "auto",
        choices=("auto", "fastwarc", "warcio"),
        source="fastwarc is ten times as fast; warcio reads headers that it gives up on",
        help="fastwarc, warcio, or warcio where fastwarc gives up",
    )
    max_document_bytes: int = knob(
        MAX_HTML_BYTES, unit="bytes of UTF-8", source="DESIGN section 4", minimum=1
    )
    split_bytes: int = knob(
        4_000_000_000,
        unit="bytes",
        source="thrice a file of Common Crawl, so that a crawl is not looked through in the plan",
        help="a larger file is several partitions; the documents are the same",
        minimum=1,
        identity=False,
        counts=True,
    )

    libraries: ClassVar[tuple[str, ...]] = ("fastwarc", "resiliparse", "warcio")
    schema: ClassVar[pa.Schema] = WEB_DOCUMENTS

    def document_schema(self) -> pa.Schema:
        return WEB_DOCUMENTS if self.records == "pages" else TEXT_DOCUMENTS

    def ranges(self, partition: Partition) -> Sequence[tuple[int, int]]:
        """Cut at records that an index beside the file names, or that one pass finds.

        A file of a web server without an index stays whole: the pass would fetch it once more.
        """
        if partition.size <= self.split_bytes:
            return super().ranges(partition)
        index = _index_of(partition.path)
        if index is None and is_web(partition.path):
            return super().ranges(partition)
        with self.open(partition) as stream:
            if index is None:
                offsets: Iterable[int] = record_offsets(stream)
            else:
                offsets = indexed_offsets(stream, index, partition.path)
            return cut_at(offsets, partition.size, self.split_bytes)

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        body = "html" if self.records == "pages" else "text"
        builder = BatchBuilder(partition, self.document_schema(), body)
        wanted = Wanted(self.max_document_bytes + _HEADER_BYTES)
        for found in walk(stream, wanted, self.engine, partition.start, partition.stop):
            if builder.done:
                break
            if isinstance(found, Lost):
                builder.damage(found.offset, found.num_bytes, found.reason)
            elif found.kind not in UNWANTED:
                yield from self._add(builder, found)
        yield from builder.rest()

    def _add(self, builder: BatchBuilder, record: Record) -> Iterator[SourceBatch]:
        """Add the record's document, or the reason why it has none."""
        columns = self._columns(record)
        if isinstance(columns, str):
            key = record.id or refusal_key(builder.partition.file, record.offset)
            yield from builder.refuse(columns, record.offset, key, record.url)
            return
        content = columns.pop("content")
        digest = "" if record.id else xxhash.xxh3_128_hexdigest(content)
        yield from builder.document(
            record.id or f"{record.url}\0{record.date_text}\0{digest}",
            content,
            url=record.url,
            offset=record.offset,
            date=record.date,
            **columns,
        )

    def _columns(self, record: Record) -> dict[str, Any] | str:
        """`content` in UTF-8 and further columns of its document, or the reason of the refusal."""
        kind = record.kind
        if kind == "continuation" or record.segmented:
            return "segmented"
        if kind not in ("response", "resource", "revisit", "conversion"):
            return "unknown_type"
        if kind == "revisit":
            return "revisit"
        if (kind == "conversion") != (self.records == "text"):
            return "conversion" if kind == "conversion" else "not_text"
        if record.body is None:
            return "too_large"
        return self._text(record) if kind == "conversion" else self._page(record)

    def _text(self, record: Record) -> dict[str, Any] | str:
        media_type = record.content_type.split(";")[0].strip().lower()
        if media_type not in ("", "text/plain"):
            return "not_text"
        response = response_of(record.head, record.body or b"")
        return self._decoded(response.body, record.content_type, "text/plain")

    def _page(self, record: Record) -> dict[str, Any] | str:
        response = response_of(record.head, record.body or b"")
        declared = response.get(b"content-type")
        if response.status is None:
            if record.kind == "response":
                return "not_http"
            declared = record.content_type
        elif not 200 <= response.status < 300:
            return "http_status"
        if not response.body:
            return "empty"
        media_type = declared.split(";")[0].strip().lower()
        if media_type and media_type not in _HTML_TYPES:
            return "not_html"
        try:
            body = decoded_body(response, self.max_document_bytes)
        except TooLargeBody:
            return "too_large"
        except UndecodableBody:
            return "content_encoding"
        if body and not media_type and not _SNIFF.match(body[:1024]):
            return "empty" if body.isspace() else "not_html"
        return self._decoded(body, declared, media_type or "text/html", response)

    def _decoded(
        self, body: bytes, declared: str, content_type: str, response: Response | None = None
    ) -> dict[str, Any] | str:
        """The body in UTF-8 and what is known of it, or the reason of the refusal."""
        if not body or body.isspace():
            return "empty"
        content, charset, found = decode_page(body, declared)
        if len(content) > self.max_document_bytes:
            return "too_large"
        # `in` is 6 times as fast as `count`, and hardly a page has any.
        if b"\0" in content and content.count(b"\0") > len(content) // 10:
            return "undecodable"
        columns: dict[str, Any] = {
            "content": content,
            "content_type": content_type,
            "charset": charset,
        }
        if response is not None:
            columns["charset_from"] = found
            columns["x_robots_tag"] = x_robots_tag(response)
            columns["tdm_headers"] = tdm_headers(response)
        return columns


def _index_of(path: str) -> str | None:
    """The CDX or CDXJ index beside an archive; None if there is none."""
    stem = re.sub(r"\.(?:warc|arc)(?:\.gz|\.zst)?$", "", path)
    for name in (path + suffix for suffix in INDEX_SUFFIXES):
        if index := _text_of(name):
            return index
    return next(filter(None, (_text_of(stem + suffix) for suffix in INDEX_SUFFIXES)), None)


def _text_of(path: str) -> str | None:
    try:
        with open_input(path) as stream:
            return stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return None
