"""Where a large archive may be cut, so that several workers read it: where records begin.

From the offsets of an index beside the file (`x.warc.gz.cdx`, `.cdxj`, or the same without
`.warc.gz`), or else from one pass over the file that unpacks everything and keeps nothing. A file
that is one gzip member, or one zstd frame, cannot be cut.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from stages.archives.containers import (
    ARC_START,
    WARC_START,
    container_of,
    peek,
    unzipped_head,
)
from stages.archives.engines import Wanted
from stages.archives.records import Lost
from stages.archives.walk import walk

INDEX_SUFFIXES = (".cdxj", ".cdx")
_CDX_HEADER = re.compile(r"^.CDX((?: \w)+)\s*$")


def cut_at(offsets: Iterable[int], size: int, split_bytes: int) -> list[tuple[int, int]]:
    """Ranges of at least `split_bytes`, but for the last, that begin at the first fitting offsets.

    `offsets` ascend. One range, the whole file, if it has none to be cut at.
    """
    starts = [0]
    for offset in offsets:
        if offset - starts[-1] >= split_bytes and offset < size:
            starts.append(offset)
    return list(zip(starts, [*starts[1:], size], strict=True))


def record_offsets(stream: BinaryIO) -> Iterator[int]:
    """Offsets at which a member, frame or plain record begins right behind one that was read.

    A place behind damage is left out, so that what is lost never depends on where a file was cut.
    """
    behind_record = False
    for found in walk(stream, Wanted(-1)):
        if behind_record and not isinstance(found, Lost) and _starts_here(stream, found.offset):
            yield found.offset
        behind_record = not isinstance(found, Lost)


def indexed_offsets(stream: BinaryIO, index: str, name: str) -> list[int]:
    """Ascending offsets of the file `name` that a CDX or CDXJ index gives, if records begin there.

    Lines of other files, and offsets at which nothing begins, are passed over.
    """
    size = stream.seek(0, os.SEEK_END)
    found = sorted({offset for offset in _told(index.splitlines(), name) if 0 < offset < size})
    return [offset for offset in found if _starts_here(stream, offset)]


def _told(lines: list[str], name: str) -> Iterator[int]:
    columns: list[str] = []
    for line in lines:
        header = _CDX_HEADER.match(line)
        if header:
            columns = header.group(1).split()
        elif line.rstrip().endswith("}") and "{" in line:
            yield from _of_cdxj(line, name)
        elif columns:
            fields = dict(zip(columns, line.split(), strict=False))
            offset = fields.get("V", fields.get("v", ""))
            if offset.isdigit() and _same_file(fields.get("g"), name):
                yield int(offset)


def _of_cdxj(line: str, name: str) -> Iterator[int]:
    try:
        row = json.loads(line[line.index("{") :])
        if _same_file(row.get("filename"), name):
            yield int(row["offset"])
    except (ValueError, TypeError, KeyError):
        return  # a header line, or one of another kind


def _same_file(told: str | None, name: str) -> bool:
    return told is None or os.path.basename(told) == os.path.basename(name)


def _starts_here(stream: BinaryIO, offset: int) -> bool:
    """Whether a record begins at an offset, by its first bytes and those before it."""
    head = peek(stream, offset, 4096)
    container = container_of(head)
    if container == "zstd":
        return True
    if container == "gzip":
        head = unzipped_head(head)
    elif peek(stream, offset - 1, 1) != b"\n":
        return False
    return bool(WARC_START.match(head) or ARC_START.match(head))
