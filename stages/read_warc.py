"""Reads web pages from WARC files (plain, gzip, zstd), and says what it could not read.

Documents are `response` and `resource` records that hold HTML or XHTML with a 2xx status. Every
other response, resource, revisit, conversion (WET) and segment is a refusal with a reason;
requests, metadata and warcinfo are no documents. Block digests are not judged: many are wrong in
the wild.

Damage: a record counts only when all of it was read: in a gzip file its member's checksum held, in
a plain file its block has the declared length and is followed by a blank line or the file's end.
After damage, reading goes on at the next place where a record starts; the bytes between are
reported. In a file compressed as one gzip member an error ends the reading of that member, and
`offset` is the member's start.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa
import xxhash

from pipeline.schema import WEB_DOCUMENTS
from pipeline.stage import Partition, Side, Source, SourceBatch, knob, location
from stages.charset import (
    Decoded,
    Response,
    TooLargeBody,
    UndecodableBody,
    decode_page,
    decoded_body,
    parse_response,
    tdm_headers,
    x_robots_tag,
)
from stages.documents import MAX_HTML_BYTES, BatchBuilder, refusal_key

_HTML_TYPES = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")
_NO_PAGES = {"request", "metadata", "warcinfo"}
_SNIFF = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body|title)\b", re.I | re.S)
_GZIP_MAGIC = b"\x1f\x8b\x08"
_GZIP_START = re.compile(re.escape(_GZIP_MAGIC))
_PLAIN_START = re.compile(rb"WARC/[01]\.\d")
_ANY_START = re.compile(_GZIP_START.pattern + b"|" + _PLAIN_START.pattern)
_HEADER_BYTES = 1 << 16
"""No record header is looked for beyond this many bytes; IIPC writers stay far below."""


@dataclass(frozen=True)
class Page:
    """A page, and the response that brought it."""

    decoded: Decoded
    content_type: str
    response: Response


@dataclass(frozen=True)
class ReadWarc(Source):
    """HTML pages of WARC files. `offset` is the byte where the record starts in the stored file.

    2: columns `charset_from`, `x_robots_tag` and `tdm_headers`.
    """

    version: ClassVar[int] = 2

    paths: tuple[str, ...] = location()
    base: str | None = location(None)
    max_document_bytes: int = knob(
        MAX_HTML_BYTES, unit="bytes of UTF-8", source="DESIGN section 4", minimum=1
    )

    libraries: ClassVar[tuple[str, ...]] = ("fastwarc", "resiliparse")
    schema: ClassVar[pa.Schema] = WEB_DOCUMENTS

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        builder = BatchBuilder(partition, self.schema, "html")
        for found in walk(stream, self.max_document_bytes):
            if builder.done:
                break
            if isinstance(found, Lost):
                builder.damage(found.offset, found.num_bytes, found.reason)
            elif found.kind not in _NO_PAGES:
                yield from self._add(builder, found)
        yield from builder.rest()

    def _add(self, builder: BatchBuilder, record: Record) -> Iterator[SourceBatch]:
        """Add the record's page, or the reason why it has none."""
        page = self._page(record)
        if isinstance(page, str):
            key = record.id or refusal_key(builder.partition.file, record.offset)
            yield from builder.refuse(page, record.offset, key, record.url)
            return
        html = page.decoded.html
        digest = "" if record.id else xxhash.xxh3_128_hexdigest(html)
        yield from builder.document(
            record.id or f"{record.url}\0{record.date_text}\0{digest}",
            html,
            url=record.url,
            offset=record.offset,
            content_type=page.content_type,
            charset=page.decoded.charset,
            charset_from=page.decoded.found,
            x_robots_tag=x_robots_tag(page.response),
            tdm_headers=tdm_headers(page.response),
            date=record.date,
        )

    def _page(self, record: Record) -> Page | str:
        """The page, or the reason of the refusal."""
        if record.kind in ("revisit", "conversion"):
            return record.kind
        if record.kind == "continuation" or record.segmented:
            return "segmented"
        if record.kind not in ("response", "resource"):
            return "unknown_type"
        if record.block is None:
            return "too_large"
        response = parse_response(record.block)
        declared = response.headers.get("content-type", "")
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
        if not body or body.isspace():
            return "empty"
        if not media_type and not _SNIFF.match(body[:1024]):
            return "not_html"
        decoded = decode_page(body, declared)
        html = decoded.html
        if len(html) > self.max_document_bytes:
            return "too_large"
        # `in` is 6 times as fast as `count`, and hardly a page has any.
        if b"\0" in html and html.count(b"\0") > len(html) // 10:
            return "undecodable"
        return Page(decoded, media_type or "text/html", response)


# --- Records and damage ------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """A WARC record read whole. `block` is None where it is larger than the bound."""

    offset: int
    kind: str
    id: str | None
    url: str | None
    date_text: str
    content_type: str
    segmented: bool
    block: bytes | None

    @property
    def date(self) -> datetime | None:
        """WARC-Date as UTC; shortened dates (a year, a day) mean their first second."""
        text = self.date_text.strip().removesuffix("Z")
        if re.fullmatch(r"\d{4}(-\d\d)?", text):
            text += "-01-01" if len(text) == 4 else "-01"
        try:
            date = datetime.fromisoformat(text)
        except ValueError:
            return None
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        return date.replace(microsecond=0)


@dataclass(frozen=True)
class Lost:
    """Stored bytes that hold no readable record."""

    offset: int
    num_bytes: int
    reason: str


def walk(stream: BinaryIO, max_block_bytes: int) -> Iterator[Record | Lost]:
    """Every whole record of a file in order, and what lies between them if it cannot be read."""
    size = stream.seek(0, os.SEEK_END)
    start, lost_from, reason, seen = 0, -1, "", 0
    while start < size:
        segment = _Segment(stream, start, size, max_block_bytes)
        for found in segment.records():
            if lost_from >= 0 and isinstance(found, Record):
                yield Lost(lost_from, found.offset - lost_from, reason)
                lost_from = -1
            if isinstance(found, Record):
                seen += 1
                yield found
            elif lost_from < 0:
                lost_from, reason = found.offset, found.reason
        if segment.end == size:
            break
        if lost_from < 0:
            lost_from, reason = segment.end, segment.reason
        # A file whose very first bytes are damaged does not show whether it is compressed.
        pattern = _ANY_START if not seen else _GZIP_START if segment.gzip else _PLAIN_START
        start = _next_start(stream, max(segment.end, start + 1), size, pattern)
    if not seen and size:
        yield Lost(0, size, _why_nothing(stream))
    elif lost_from >= 0:
        yield Lost(lost_from, size - lost_from, reason)


class _Segment:
    """Reads records from `start` until the end of the file or the first error.

    Afterwards `end` is the offset up to which everything was read or judged, and `reason` says what
    is wrong there; `end == size` means that nothing is left.
    """

    def __init__(self, stream: BinaryIO, start: int, size: int, max_block_bytes: int) -> None:
        self.stream, self.start, self.size = stream, start, size
        self.max_block_bytes = max_block_bytes
        head = _peek(stream, start, 64)
        self.gzip = head.startswith(b"\x1f\x8b")
        self.zstd = head.startswith(b"\x28\xb5\x2f\xfd")
        text = _unzipped_head(_peek(stream, start, 4096)) if self.gzip else head
        # fastwarc reads headers that end in a bare LF only when asked to be lenient.
        self.bare_lf = b"\n" in text and b"\r\n" not in text
        self.one_member = False
        self.end = start
        self.reason = "unreadable record"

    def records(self) -> Iterator[Record | Lost]:
        from fastwarc.warc import ArchiveIterator

        held: Record | Lost | None = None
        last, count, broken = self.start, 0, False
        self.stream.seek(self.start)
        try:
            for raw in ArchiveIterator(
                self.stream, parse_http=False, quirks_mode=self.bare_lf, fsspec_args=False
            ):
                # Reaching the next record proves the one before it: its checksum held.
                if held is not None:
                    yield held
                    held = None
                last, count = raw.stream_pos, count + 1
                if count == 2 and self.gzip:
                    self.one_member = _peek(self.stream, last, 2) != b"\x1f\x8b"
                held = self._whole(raw, self.start if self.one_member else last)
        except OSError as error:
            broken = True
            self.reason = str(error).lower() or "unreadable record"
        if count == 0 and not broken and not self.zstd:
            broken, self.reason = True, "no WARC record"
        if self._judge_tail(last, count, broken) and held is not None:
            yield held

    def _judge_tail(self, last: int, count: int, broken: bool) -> bool:
        """True if the last record is whole. Sets `end` behind it, or else at its start."""
        if self.zstd:
            self.end = last if broken else self.size
            return not broken
        at = self.start if self.one_member else last
        if self.gzip:
            end, whole = _member_end(self.stream, at, self.size)
        else:
            behind = _plain_end(self.stream, last, self.size) if count else None
            end, whole = behind or last, behind is not None
        if not whole:
            self.reason = self.reason if broken else "truncated record"
            # Without a checksum to go by, what is left of a single member is given up.
            self.end = max(at, min(end, self.size - 1)) if self.one_member else at
            return False
        rest = _peek(self.stream, end, min(self.size - end, 1 << 20)) if end < self.size else b""
        self.end = self.size if not rest.strip(b"\0\r\n \t") else end
        if self.end < self.size and not broken:
            self.reason = "bytes after the last record"
        return True

    def _whole(self, raw: Any, offset: int) -> Record | Lost:
        """The record with its block, or Lost if its length is not what its header says."""
        headers = raw.headers
        declared = (headers.get("Content-Length") or "").strip()
        if not declared.isdigit():
            return Lost(offset, 0, "record without a length")
        kind = (headers.get("WARC-Type") or "").strip().lower()
        block: bytes | None = None
        if kind not in _NO_PAGES and int(declared) <= self.max_block_bytes + _HEADER_BYTES:
            block = raw.reader.read()
            if len(block) != int(declared):
                return Lost(offset, 0, "truncated record")
        return Record(
            offset=offset,
            kind=kind,
            id=(headers.get("WARC-Record-ID") or "").strip("<> \t") or None,
            url=(headers.get("WARC-Target-URI") or "").strip("<> \t") or None,
            date_text=headers.get("WARC-Date") or "",
            content_type=headers.get("Content-Type") or "",
            segmented=headers.get("WARC-Segment-Number") is not None,
            block=block,
        )


def _peek(stream: BinaryIO, offset: int, num_bytes: int) -> bytes:
    """Bytes at `offset`; the stream stands where it stood before."""
    before = stream.tell()
    stream.seek(offset)
    data = stream.read(num_bytes)
    stream.seek(before)
    return data


def _unzipped_head(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(data, 4096)
    except zlib.error:
        return b""


def _member_end(stream: BinaryIO, offset: int, size: int) -> tuple[int, bool]:
    """(where the gzip member at `offset` ends, True), or (where it breaks, False)."""
    member = zlib.decompressobj(31)
    stream.seek(offset)
    at = offset
    while not member.eof:
        data = stream.read(1 << 16)
        if not data:
            return at, False
        try:
            member.decompress(data)
        except zlib.error:
            return at, False
        at += len(data)
    return at - len(member.unused_data), True


def _plain_end(stream: BinaryIO, offset: int, size: int) -> int | None:
    """Where the plain record at `offset` ends, blank lines included; None if it is not whole."""
    head = _peek(stream, offset, _HEADER_BYTES)
    blank = re.search(rb"\r?\n\r?\n", head)
    length = re.search(rb"\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r?\n", head, re.I)
    if not _PLAIN_START.match(head) or not blank or not length or length.end() > blank.end():
        return None
    end = offset + blank.end() + int(length.group(1))
    if end > size:
        return None
    after = _peek(stream, end, 64)
    stripped = after.lstrip(b"\r\n")
    gap = len(after) - len(stripped)
    if stripped and (gap == 0 or not _PLAIN_START.match(stripped)):
        # Something else follows: the length is to be believed only behind a proper blank line.
        return end + gap if after.startswith(b"\r\n\r\n") else None
    return end + gap


def _next_start(stream: BinaryIO, offset: int, size: int, pattern: re.Pattern[bytes]) -> int:
    """The first offset from `offset` on where a record seems to start; `size` if there is none."""
    chunk = 1 << 20
    while offset < size:
        for found in pattern.finditer(_peek(stream, offset, chunk + 64)):
            here = offset + found.start()
            if found.start() >= chunk:
                break
            if found.group() != _GZIP_MAGIC or _unzipped_head(_peek(stream, here, 4096)).startswith(
                b"WARC/"
            ):
                return here
        offset += chunk
    return size


def _why_nothing(stream: BinaryIO) -> str:
    """Why a file gave no record at all."""
    head = _peek(stream, 0, 4096)
    head = _unzipped_head(head) if head.startswith(b"\x1f\x8b") else head
    if head.startswith(b"filedesc://"):
        return "no WARC record; looks like an ARC file"
    return "no readable WARC record"
