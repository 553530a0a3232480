"""Numbered lines of a stored text file: plain, gzip, zstd or bzip2, as its first bytes say.

Where the compressed stream breaks, the whole lines before the break are given, and `broken_at` says
from where on nothing could be read. No more than one line is held in memory.
"""

from __future__ import annotations

import bz2
import codecs
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from stages.charset import python_codec, to_utf8, whatwg_name
from stages.documents import BatchBuilder

CHUNK = 1 << 20
_SAMPLE = 1 << 20
"""Bytes by which a charset is told. A later line in another charset is refused, not guessed."""
_SKIPPABLE = b"\x2a\x4d\x18"
"""Behind a byte of 0x50 to 0x5f: a skippable zstd frame, with which parallel writers begin."""


def check_encoding(label: str | None) -> None:
    """Raise ValueError if there is no charset of this label."""
    if label is not None and whatwg_name(label) is None:
        raise ValueError(f"no charset '{label}'. Name one as the WHATWG does, such as shift_jis.")


class Unpacked:
    """Decompressed bytes of a stored file, up to the first place that cannot be decompressed.

    Afterwards `broken_at` is the offset in the stored file from which nothing could be read, or
    None, and `reason` says why.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        self.broken_at: int | None = None
        self.reason = ""

    def __iter__(self) -> Iterator[bytes]:
        magic = self.stream.read(4)
        self.stream.seek(0)
        try:
            if magic.startswith(b"\x1f\x8b"):
                yield from self._members(lambda: zlib.decompressobj(31), zlib.error)
            elif magic.startswith(b"BZh"):
                yield from self._members(bz2.BZ2Decompressor, OSError)
            elif magic == b"\x28\xb5\x2f\xfd" or (
                magic[1:] == _SKIPPABLE and 0x50 <= magic[0] <= 0x5F
            ):
                yield from self._zstd()
            else:
                while data := self.stream.read(CHUNK):
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
                    yield from _bounded(member, data)
                except broken as error:
                    self._break(str(error), at)
                    return
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


def _bounded(member: Any, data: bytes) -> Iterator[bytes]:
    """Decompressed pieces of at most 1 MiB: 64 KiB of a bomb would be 64 MiB in one."""
    while True:
        piece = member.decompress(data, CHUNK)
        if piece:
            yield piece
        data = getattr(member, "unconsumed_tail", b"")  # gzip; bzip2 keeps its own
        if member.eof or (not data and len(piece) < CHUNK):
            return


class _Unclosed:
    """A stream that Arrow can read and not close: it belongs to the engine."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read

    def close(self) -> None:
        pass


class Lines:
    """Numbered lines without their line feed; None stands for a line that is too long.

    Blank lines are counted in the numbers and not given, unless `blank` is true. `charset` None
    takes the bytes for UTF-8; `""` tells it by the first bytes; else it is the file's. What is no
    UTF-8 is made UTF-8 with U+FFFD for what cannot be decoded; UTF-8 is given as it is stored.
    Afterwards `charset` is the WHATWG name, `count` the number of lines that are not blank.
    """

    def __init__(
        self,
        stream: BinaryIO,
        max_line_bytes: int,
        charset: str | None = None,
        blank: bool = False,
    ) -> None:
        self.unpacked = Unpacked(stream)
        self.max_line_bytes, self.blank = max_line_bytes, blank
        self._told = charset
        self.charset = charset or "utf-8"
        self.count = 0

    @property
    def broken(self) -> bool:
        """True if the file could not be read to its end."""
        return self.unpacked.broken_at is not None

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        number, parts, held, skipping = 0, [b""], 0, False
        for data in self.chunks():
            start = 0
            while (stop := data.find(b"\n", start)) >= 0:
                line = b"".join((*parts, data[start:stop]))
                yield from self._line(number, line, skipping)
                number, start, parts, held, skipping = number + 1, stop + 1, [], 0, False
            held += len(data) - start
            skipping = skipping or held > self.max_line_bytes
            parts = [] if skipping else [*parts, data[start:]]
        if not self.broken and held:
            yield from self._line(number, b"".join(parts), skipping)

    def _line(self, number: int, line: bytes, too_long: bool) -> Iterator[tuple[int, bytes | None]]:
        if number == 0:
            line = line.removeprefix(codecs.BOM_UTF8)
        filled = too_long or bool(line.strip())
        self.count += filled
        if filled or self.blank:
            yield number, None if too_long else line

    def chunks(self) -> Iterator[bytes]:
        """The file in UTF-8, by pieces; line ends are those of the file."""
        pieces = iter(self.unpacked)
        if self._told is None:
            yield from pieces
            return
        head: list[bytes] = []
        for piece in pieces:
            head.append(piece)
            if sum(map(len, head)) >= _SAMPLE:
                break
        sample = b"".join(head)
        if not self._told:
            # No half character at the end of the sample.
            whole = sample.rfind(b"\n") + 1 if len(sample) >= _SAMPLE else 0
            self.charset = text_charset(sample[: whole or len(sample)])
        yield from _line_fed(sample, _recoded(_chained(sample, pieces), self.charset))

    def note_damage(self, builder: BatchBuilder) -> None:
        """What could not be read, for the report. A non-empty file without a line is damage."""
        size = self.unpacked.size
        if size and not self.count and not builder.done:
            builder.damage(0, size, self.unpacked.reason or "no line in the file")
        elif self.unpacked.broken_at is not None:
            at = self.unpacked.broken_at
            builder.damage(at, max(1, size - at), self.unpacked.reason)


def text_charset(data: bytes) -> str:
    """The WHATWG charset of a text by its bytes alone.

    Where three of four characters beyond ASCII are whole in UTF-8, it is UTF-8 with faults. Legacy
    text never comes near: of 7,500 help pages in 14 legacy charsets the nearest had 1.85 whole ones
    to a broken one (Shift_JIS).
    """
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    whole = len(text) - len(text.encode("ascii", "ignore")) - broken
    if 0 < 3 * broken <= whole and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-8"
    # A `<meta>` in some row does not speak for the table.
    return to_utf8(data.replace(b"<", b" "))[1]


def _chained(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _recoded(pieces: Iterator[bytes], charset: str) -> Iterator[bytes]:
    """The pieces in UTF-8, without a byte order mark."""
    if charset == "utf-8":
        for piece in pieces:
            yield piece.removeprefix(codecs.BOM_UTF8)
            yield from pieces
        return
    decoder = codecs.getincrementaldecoder(python_codec(charset))("replace")
    first = True
    for piece in pieces:
        text = decoder.decode(piece)
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        yield text.encode("utf-8", "replace")
    yield decoder.decode(b"", True).encode("utf-8", "replace")


def _line_fed(sample: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Line feeds where a file has carriage returns alone, as old spreadsheets write them."""
    old = b"\r" in sample and b"\n" not in sample
    for piece in pieces:
        yield piece.replace(b"\r", b"\n") if old else piece
