"""Reads documents from JSON Lines files: plain, gzip, zstd or bzip2, as their first bytes say.

A line that is no JSON object (or not UTF-8) is refused as `bad_line`, one without a string in the
text field as `no_text`. Where the compressed stream breaks, the whole lines before it are read and
the rest of the file is damage. A non-empty file without any line is damage.
"""

from __future__ import annotations

import bz2
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import orjson
import pyarrow as pa

from pipeline.stage import Partition, Side, SourceBatch
from stages.documents import MappedSource, add_row, refusal_key

_CHUNK = 1 << 20


@dataclass(frozen=True)
class ReadJsonl(MappedSource):
    """One document a line. `offset` is the line's number in the file, the first line being 0.

    2: pages from `html` have the columns that pages of archives have.
    """

    version: ClassVar[int] = 2

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        fields = self.fields()
        builder = fields.builder(partition)
        # JSON escapes take up to six bytes a character; nothing longer can hold a document.
        lines = _Lines(stream, max_line_bytes=6 * fields.max_bytes + _CHUNK)
        for number, line in lines:
            if builder.done:
                break
            if line is None:
                key = refusal_key(partition.file, number)
                yield from builder.refuse("too_large", number, key)
                continue
            row = _parsed(line)
            if row is None:
                yield from builder.refuse("bad_line", number, refusal_key(partition.file, number))
            else:
                yield from add_row(builder, fields, row, number)
        if lines.size and not lines.count and not builder.done:
            builder.damage(0, lines.size, lines.reason or "no line in the file")
        elif lines.broken_at is not None:
            builder.damage(lines.broken_at, max(1, lines.size - lines.broken_at), lines.reason)
        yield from builder.rest()


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line; None if it holds none."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


class _Lines:
    """Numbered lines of a possibly compressed stream; None stands for a line that is too long.

    Blank lines are counted in the numbers and not given. Afterwards `broken_at` is the offset in
    the stored file from which nothing could be read, or None.
    """

    def __init__(self, stream: BinaryIO, max_line_bytes: int) -> None:
        self.stream, self.max_line_bytes = stream, max_line_bytes
        self.size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        self.count = 0
        self.broken_at: int | None = None
        self.reason = ""

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        number, parts, held, skipping = 0, [b""], 0, False
        for data in self._chunks():
            start = 0
            while (stop := data.find(b"\n", start)) >= 0:
                line = b"".join((*parts, data[start:stop]))
                yield from self._line(number, line, skipping)
                number, start, parts, held, skipping = number + 1, stop + 1, [], 0, False
            held += len(data) - start
            skipping = skipping or held > self.max_line_bytes
            parts = [] if skipping else [*parts, data[start:]]
        if self.broken_at is None and held:
            yield from self._line(number, b"".join(parts), skipping)

    def _line(self, number: int, line: bytes, too_long: bool) -> Iterator[tuple[int, bytes | None]]:
        if number == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if too_long or line.strip():
            self.count += 1
            yield number, None if too_long else line

    def _chunks(self) -> Iterator[bytes]:
        """Decompressed bytes; ends at the first place that cannot be decompressed."""
        magic = self.stream.read(4)
        self.stream.seek(0)
        try:
            if magic.startswith(b"\x1f\x8b"):
                yield from self._members(lambda: zlib.decompressobj(31), zlib.error)
            elif magic.startswith(b"BZh"):
                yield from self._members(bz2.BZ2Decompressor, OSError)
            elif magic == b"\x28\xb5\x2f\xfd":
                yield from self._zstd()
            else:
                while data := self.stream.read(_CHUNK):
                    yield data
        except (OSError, pa.ArrowInvalid) as error:
            self._break(str(error) or "unreadable")

    def _members(self, fresh: Any, broken: type[Exception]) -> Iterator[bytes]:
        """Decompress member after member of a gzip or bzip2 file."""
        member, at, started = fresh(), 0, False
        while data := self.stream.read(1 << 16):
            while data:
                if not started and not data.strip(b"\0"):
                    break  # zero padding behind the last member
                try:
                    started = True
                    out = member.decompress(data)
                except broken as error:
                    self._break(str(error), at)
                    return
                if out:
                    yield out
                data = b""
                if member.eof:
                    data, member, started = member.unused_data, fresh(), False
            at = self.stream.tell()
        if started:
            self._break("compressed stream ends early")

    def _zstd(self) -> Iterator[bytes]:
        source = pa.PythonFile(_Unclosed(self.stream), "r")
        with pa.CompressedInputStream(source, "zstd") as unpacked:
            # A read that meets the break gives nothing: small ones lose little before it.
            while data := unpacked.read(1 << 14):
                yield data

    def _break(self, reason: str, at: int | None = None) -> None:
        self.broken_at = min(self.stream.tell() if at is None else at, max(self.size - 1, 0))
        self.reason = reason


class _Unclosed:
    """A stream that Arrow can read and not close: it belongs to the engine."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read

    def close(self) -> None:
        pass
