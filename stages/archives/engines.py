"""Reads the records of an archive in order: by fastwarc, which is fast, or lenient warcio.

Both keep one contract: they yield (position, record), or (position, reason) for a record that ends
before its declared length, and raise OSError where no record can be read. What they yield is whole
as far as they saw; `walk.py` proves it. An engine judges no checksum, no digest and no length.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from fastwarc.warc import ArchiveIterator, WarcRecordType

from stages.archives.containers import HEADER_BYTES
from stages.archives.http import split_head
from stages.archives.records import Record

Found = tuple[int, Record | str]
Announced = tuple[int, Callable[[], Record | str]]
"""A position, and what reads the record there: at most once, before the next one is asked for."""
_SMALL = 1 << 12  # bytes of a block that are faster copied than read line by line
TRUNCATED = "truncated record"
_LENGTHLESS = "record without a length"
UNWANTED = frozenset({"request", "metadata", "warcinfo", "unwanted"})
"""Kinds of records that are never documents; `unwanted` is one of the others, not looked at."""
_UNWANTED_TYPES = int(WarcRecordType.request | WarcRecordType.metadata | WarcRecordType.warcinfo)
_LOWER = {
    name: name.lower()
    for name in (
        "WARC-Type", "WARC-Record-ID", "WARC-Target-URI", "WARC-Date", "Content-Type",
        "Content-Length", "WARC-Segment-Number", "WARC-Block-Digest", "WARC-Payload-Digest",
        "WARC-IP-Address", "WARC-Concurrent-To", "WARC-Warcinfo-ID", "WARC-Truncated",
        "WARC-Identified-Payload-Type", "WARC-Refers-To", "WARC-Profile", "WARC-Filename",
        "WARC-Protocol", "WARC-Cipher-Suite",
    )
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """Which blocks are read into memory: those up to `max_block_bytes`, of documents or of all."""

    max_block_bytes: int
    all_kinds: bool = False

    def wants(self, record: Record) -> bool:
        """Whether a record's block is to be read."""
        if record.length > self.max_block_bytes:
            return False
        return self.all_kinds or record.kind not in UNWANTED


Engine = Callable[[io.RawIOBase, Wanted, bool], Iterator[Found]]
"""A reader of records; see the module's docstring."""


def by_fastwarc(window: io.RawIOBase, wanted: Wanted, bare_lf: bool) -> Iterator[Found]:
    """Records by fastwarc, from any container; `bare_lf` where header lines end in a bare LF.

    Positions are those of the member after the record's own, for all records of a gzip member but
    its first.
    """
    for position, read in announced(window, wanted, bare_lf):
        yield position, read()


def announced(window: io.RawIOBase, wanted: Wanted, bare_lf: bool) -> Iterator[Announced]:
    """The same, each record announced before its block is read.

    What is proved by a record's position can so be given away before the next block takes memory.
    """
    skipped = 0 if wanted.all_kinds else _UNWANTED_TYPES
    # `quirks_mode` reads headers that end in a bare LF, but would not be strict with others.
    for raw in ArchiveIterator(window, parse_http=False, quirks_mode=bare_lf, fsspec_args=False):
        unwanted = bool(skipped & int(raw.record_type))
        yield raw.stream_pos, partial(_skipped if unwanted else _read, raw, wanted)


def _skipped(raw: Any, wanted: Wanted) -> Record | str:
    """A record that is never looked at, as far as its length goes."""
    length = raw.content_length
    if raw.reader.consume() != length:
        return TRUNCATED
    return Record(raw.stream_pos, "unwanted", length=length)


def _read(raw: Any, wanted: Wanted) -> Record | str:
    """A record of fastwarc's with its block, if it is wanted."""
    # One call for all headers: `get` costs as much for each as parsing them all.
    headers = _by_name(raw.headers.items())
    declared = headers.get("content-length", "").strip()
    if not declared.isdigit():
        return _LENGTHLESS
    record = _record(headers, raw.stream_pos, int(declared))
    if wanted.wants(record):
        record.head, record.body = _block(raw.reader, record.length)
        whole = len(record.head) + len(record.body) == record.length
    else:
        whole = raw.reader.consume() == record.length
    return record if whole else TRUNCATED


def _by_name(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by their names in lower case; of a repeated one the first."""
    lower = _LOWER.get
    return {lower(name) or name.lower(): value for name, value in reversed(list(items))}


def _block(reader: Any, length: int) -> tuple[bytes, bytes]:
    """(header, body) of an HTTP block, (empty, block) of another."""
    # What is asked for by its size is not collected piece by piece.
    if length <= _SMALL:
        return split_head(reader.read(length))
    # A large body is read apart from its header, which spares a copy of it.
    line = reader.readline()
    if not line.startswith(b"HTTP/"):
        return b"", line + reader.read(length - len(line))
    lines = [line]
    size = len(line)
    while line not in (b"\r\n", b"\n", b"") and size < HEADER_BYTES:
        line = reader.readline()
        lines.append(line)
        size += len(line)
    if line not in (b"\r\n", b"\n"):
        return split_head(b"".join(lines) + reader.read(length - size))
    return b"".join(lines), reader.read(length - size)


def _record(headers: Mapping[str, str], position: int, length: int) -> Record:
    """A record without its block, of headers by their names in lower case."""
    get = headers.get
    return Record(
        position,
        get("warc-type", "").strip().lower(),
        get("warc-record-id", "").strip("<> \t\r\n") or None,
        get("warc-target-uri", "").strip("<> \t\r\n") or None,
        get("warc-date", ""),
        get("content-type", ""),
        "warc-segment-number" in headers,
        get("warc-block-digest"),
        length,
    )


def by_warcio(window: io.RawIOBase, wanted: Wanted, bare_lf: bool) -> Iterator[Found]:
    """WARC records by warcio, from unpacked bytes: folded headers, any case, no length."""
    from warcio.archiveiterator import WARCIterator

    # warcio tells its troubles to the standard error, where they would stand without a file's name.
    with contextlib.redirect_stderr(io.StringIO()):
        reader = WARCIterator(window, no_record_parse=True)
    while True:
        with contextlib.redirect_stderr(io.StringIO()):
            found = _next_of_warcio(reader, wanted)
        if found is None:
            return
        yield found


def _next_of_warcio(reader: Any, wanted: Wanted) -> Found | None:
    from warcio.exceptions import ArchiveLoadFailed

    position, errors = reader.offset, reader.err_count
    try:
        raw = next(reader)
        headers = _by_name(raw.rec_headers.headers)
        declared = headers.get("content-length", "").strip()
        if not declared:
            # Without a length the record is believed if nothing else is left.
            whole = not raw.raw_stream.read().strip()
            record = _record(headers, position, 0)
            record.body = b"" if wanted.wants(record) else None
            return position, record if whole else _LENGTHLESS
        if not declared.isdigit():
            return position, _LENGTHLESS
        record = _record(headers, position, int(declared))
        if wanted.wants(record):
            record.head, record.body = split_head(raw.raw_stream.read() if record.length else b"")
        _skip(raw.raw_stream)
        if raw.raw_stream.limit:
            return position, TRUNCATED
        reader.read_to_end()
    except StopIteration:
        return None
    except (ArchiveLoadFailed, AttributeError, ValueError, TypeError) as error:
        raise OSError(f"invalid WARC record ({type(error).__name__})") from error
    if reader.err_count > errors:
        raise OSError("the block is not followed by a blank line")
    return position, record


def _skip(stream: BinaryIO) -> None:
    while stream.read(1 << 16):
        pass
