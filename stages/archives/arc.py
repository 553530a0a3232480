"""Records of ARC files, version 1 and 2 (Internet Archive, ARC file format, 1996).

A record is a line of fields and a block of the length that the last field says. The first record,
`filedesc://`, names the fields: five in version 1, ten in version 2. A block is the stored answer
of the server. Libraries read version 1 alone, and not what stands between damaged records.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from stages.archives.containers import HEADER_BYTES
from stages.archives.engines import Found, Wanted
from stages.archives.http import split_head
from stages.archives.records import Record

_LINE = re.compile(
    rb"(?P<url>[A-Za-z][A-Za-z0-9+.-]{0,31}:.*) (?P<ip>\S+) (?P<date>\d{12,18}) (?P<type>.*?)"
    # Version 2 has five more fields: result code, checksum, location, offset, file name.
    rb"(?: (?P<more>(?:\d{3}|-) \S+ \S+ (?:\d+|-) \S+))? (?P<length>\d{1,12})\r?\n"
)


def arc_head(line: bytes) -> re.Match[bytes] | None:
    """The fields of an ARC record's line; None if it is none."""
    return _LINE.fullmatch(line)


def by_arc(content: io.RawIOBase, wanted: Wanted, bare_lf: bool = False) -> Iterator[Found]:
    """ARC records from unpacked bytes, by the contract of `engines.py`.

    A record is followed by a line feed, another record or the end; anything else is an OSError, as
    the length before it cannot be believed.
    """
    reader = io.BufferedReader(content, 1 << 16)
    position = 0
    while True:
        line = reader.readline(HEADER_BYTES)
        blank = 0
        while line and not line.strip():
            blank += len(line)
            line = reader.readline(HEADER_BYTES)
        position += blank
        if not line:
            return
        head = arc_head(line)
        if head is None:
            raise OSError("invalid ARC header")
        length = int(head["length"])
        record = Record(
            offset=position,
            kind="warcinfo" if head["url"].startswith(b"filedesc:") else "response",
            url=head["url"].decode("utf-8", "replace"),
            date_text=_iso(head["date"].decode()),
            content_type=head["type"].decode("latin-1"),
            length=length,
        )
        block = _block(reader, length, wanted.wants(record))
        if block is None:
            yield position, "truncated record"
            return
        record.head, record.body = block
        yield position, record
        after = reader.peek(1)[:1]
        if after not in (b"", b"\n", b"\r"):
            # Some writers leave out the line feed: then a record's line must follow at once.
            ahead = reader.peek(HEADER_BYTES).split(b"\n", 1)[0] + b"\n"
            if arc_head(ahead) is None:
                raise OSError("the block is not followed by a record")
        position += len(line) + length


def _block(
    reader: io.BufferedReader[Any], length: int, wanted: bool
) -> tuple[bytes, bytes | None] | None:
    """(HTTP header, body), the body None if it is skipped; None if the block ends early."""
    if wanted:
        block = reader.read(length)
        return split_head(block) if len(block) == length else None
    left = length
    while left:
        part = reader.read(min(left, 1 << 16))
        if not part:
            return None
        left -= len(part)
    return b"", None


def _iso(date: str) -> str:
    """`20080430204825` as `2008-04-30T20:48:25Z`; what stands beyond the seconds is left out."""
    date = date.ljust(14, "0")
    day, time = date[:8], date[8:14]
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}Z"
