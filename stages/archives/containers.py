"""Where gzip members, zstd frames and plain records begin and end in a stored file."""

from __future__ import annotations

import io
import re
import zlib
from functools import lru_cache
from typing import Any, BinaryIO, Literal, cast

HEADER_BYTES = 1 << 16
"""No record header is looked for beyond this many bytes; IIPC writers stay far below."""
GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
DICTIONARY_MAGIC = b"\x5d\x2a\x4d\x18"
"""The frame that holds the dictionary, first in its file (IIPC, Zstandard Compression for WARC)."""

_CHUNK = 1 << 20
_FIRST_CHUNK = 1 << 12
_OVERLAP = 1 << 14  # longer than what any start is told by
# A version, and behind it a field or the header's end.
_WARC_LINE = rb"WARC/[01]\.\d{1,2}[ \t]*\r?\n(?=[^\r\n:]{1,100}:|\r?\n)"
# Field names of the ARC format, IA 1996: URL, IP address, date, content type, (five more), length.
_ARC_LINE = (
    rb"[A-Za-z][A-Za-z0-9+.-]{0,31}:[^\n]{0,8192} \S+ \d{12,18} (?:[^\n]{1,2048} )?\d{1,12}\r?\n"
)
WARC_START = re.compile(_WARC_LINE, re.I)
ARC_START = re.compile(_ARC_LINE)
_HEAD_OF_RECORD = re.compile(
    rb"(?:\r?\n)*(?:" + _WARC_LINE + rb"|filedesc://|" + _ARC_LINE + rb")", re.I
)
_STARTS = {
    "gzip": re.compile(re.escape(GZIP_MAGIC)),
    "zstd": re.compile(re.escape(ZSTD_MAGIC)),
    "plain": re.compile(_WARC_LINE, re.I),
    "arc": re.compile(rb"(?<=\n)" + _ARC_LINE),
}
_STARTS["unknown"] = re.compile(
    b"|".join(_STARTS[name].pattern for name in ("gzip", "zstd", "plain")), re.I
)

Container = Literal["gzip", "zstd", "plain"]


class _ByRead(io.RawIOBase):
    """A stream that fills buffers with what its `read` gives."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Window(_ByRead):
    """A stream's bytes from `start` to `stop`, behind `prefix`; positions are those of the file."""

    def __init__(self, stream: BinaryIO, start: int, stop: int, prefix: bytes = b"") -> None:
        super().__init__()
        self._stream, self._at, self._stop = stream, start, stop
        self._prefix = prefix

    def read(self, size: int = -1) -> bytes:
        if self._prefix:
            cut = len(self._prefix) if size < 0 else size
            data, self._prefix = self._prefix[:cut], self._prefix[cut:]
            return data
        left = self._stop - self._at
        self._stream.seek(self._at)
        data = self._stream.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def tell(self) -> int:
        return self._at - len(self._prefix)


def peek(stream: BinaryIO, offset: int, num_bytes: int) -> bytes:
    """Bytes at `offset`, fewer at the end of the file."""
    stream.seek(offset)
    return stream.read(num_bytes)


def container_of(head: bytes) -> Container:
    """How the bytes at a record's start are packed."""
    if head.startswith(GZIP_MAGIC[:2]):
        return "gzip"
    return "zstd" if head.startswith((ZSTD_MAGIC, DICTIONARY_MAGIC)) else "plain"


def unzipped_head(data: bytes, num_bytes: int = 4096) -> bytes:
    """The first bytes of a gzip member; empty if it is none."""
    try:
        return zlib.decompressobj(31).decompress(data, num_bytes)
    except zlib.error:
        return b""


def member_end(stream: BinaryIO, offset: int, stop: int) -> tuple[int, str]:
    """(end, "whole"), or where reading a gzip member ends: (position, "cut" or "broken").

    It is whole if its checksum and length hold, cut if the file ends before it, broken otherwise.
    """
    member = zlib.decompressobj(31)
    at = offset
    while at < stop:
        data = peek(stream, at, min(1 << 16, stop - at))
        if not data:
            break
        try:
            rest = data
            while rest and not member.eof:
                member.decompress(rest, 1 << 20)
                rest = member.unconsumed_tail
        except zlib.error:
            return at, "broken"
        at += len(data)
        if member.eof:
            return at - len(member.unused_data), "whole"
    return stop, "cut"


def header_at(stream: BinaryIO, offset: int, stop: int) -> tuple[bytes, int]:
    """The first bytes of a plain record, and the length of its header with the blank line; 0 if
    it has no end."""
    head = peek(stream, offset, min(4096, stop - offset))
    length = _header_length(head)
    if not length and len(head) == 4096:
        head = peek(stream, offset, min(HEADER_BYTES, stop - offset))
        length = _header_length(head)
    return head, length


def _header_length(head: bytes) -> int:
    ends = [(head.find(blank), len(blank)) for blank in (b"\n\r\n", b"\n\n")]
    return min((at + length for at, length in ends if at >= 0), default=0)


def plain_end(stream: BinaryIO, offset: int, stop: int) -> tuple[int, str]:
    """(end, "") of the plain WARC record at `offset`, blank lines included; or (offset, reason).

    It is whole if what follows the declared length is a blank line, another record or the end.
    """
    head, length = header_at(stream, offset, stop)
    if not WARC_START.match(head):
        return offset, "no WARC record"
    if not length:
        return offset, "record header without an end"
    unfolded = re.sub(rb"\r?\n[ \t]+", b" ", head[:length])
    lengths = re.findall(rb"\ncontent-length:[ \t]*([^\r\n]*)", unfolded, re.I)
    declared = lengths[0].strip() if lengths else b""
    if declared and not re.fullmatch(rb"\d{1,18}", declared):
        return offset, "record without a length"
    end = offset + length + int(declared or 0)
    if end > stop:
        return offset, "truncated record"
    after = peek(stream, end, min(4096, stop - end))
    stripped = after.lstrip(b"\r\n")
    gap = len(after) - len(stripped)
    if not stripped or (gap and WARC_START.match(stripped)):
        return end + gap, ""
    if not declared:
        return offset, "record without a length"
    # Something else follows: the length is to be believed only before a proper blank line.
    return (end + gap, "") if after.startswith(b"\r\n\r\n") else (offset, "wrong length")


def arc_end(stream: BinaryIO, offset: int, stop: int) -> tuple[int, str]:
    """(end, "") of the plain ARC record at `offset`, line feeds included; or (offset, reason)."""
    line = peek(stream, offset, min(HEADER_BYTES, stop - offset)).split(b"\n", 1)[0] + b"\n"
    head = ARC_START.match(line)
    if not head:
        return offset, "no ARC record"
    end = offset + len(line) + int(line.split()[-1])
    if end > stop:
        return offset, "truncated record"
    after = peek(stream, end, min(HEADER_BYTES, stop - end))
    stripped = after.lstrip(b"\r\n")
    if not stripped or ARC_START.match(stripped):
        return end + len(after) - len(stripped), ""
    return offset, "wrong length"


def next_start(stream: BinaryIO, offset: int, stop: int, kind: str, prefix: bytes = b"") -> int:
    """The first offset from `offset` on where a record seems to start; `stop` if there is none.

    `kind` is the container, `arc` for plain ARC files, or `unknown`. `prefix` is the dictionary
    frame of zstd.
    """
    pattern = _STARTS[kind]
    chunk = _FIRST_CHUNK  # where much is damaged, the next record is often near
    while offset < stop:
        data = peek(stream, max(offset - 1, 0), min(chunk + _OVERLAP, stop - offset + 1))
        before = offset - max(offset - 1, 0)
        for found in pattern.finditer(data, before):
            if found.start() - before >= chunk:
                break
            here = offset - before + found.start()
            if _is_start(stream, here, stop, found.group(), prefix):
                return here
        offset += chunk
        chunk = min(2 * chunk, _CHUNK)
    return stop


def _is_start(stream: BinaryIO, here: int, stop: int, found: bytes, prefix: bytes) -> bool:
    """Whether what is packed here begins as a record does."""
    if found == GZIP_MAGIC:
        head = unzipped_head(peek(stream, here, min(4096, stop - here)))
    elif found == ZSTD_MAGIC:
        head = unpacked_zstd(stream, here, stop, prefix)
    else:
        return True
    return bool(begins_record(head))


def begins_record(head: bytes) -> bool | None:
    """Whether unpacked bytes begin as a record does; None if they are none, or packed once more."""
    if not head or head.startswith((GZIP_MAGIC, ZSTD_MAGIC)):
        return None
    return bool(_HEAD_OF_RECORD.match(head))


def unpacked_zstd(stream: BinaryIO, start: int, stop: int, prefix: bytes) -> bytes:
    """The first bytes of the zstd frame at `start`; empty if it is none."""
    try:
        return unpacked(Window(stream, start, stop), "zstd", prefix).read(4096) or b""
    except (OSError, ValueError):
        return b""


@lru_cache(maxsize=4)
def _dictionary(prefix: bytes) -> bytes | None:
    """The dictionary of a file's first frame, which may be packed itself."""
    from fastwarc.stream_io import ZstdReader

    content = prefix[8:]
    if not content.startswith(ZSTD_MAGIC):
        return content or None
    reader, parts = ZstdReader(io.BytesIO(content)), []
    while part := reader.read(1 << 16):
        parts.append(part)
    return b"".join(parts)


def dictionary_frame(stream: BinaryIO, size: int) -> bytes:
    """The frame at a file's begin that holds the dictionary of its zstd frames; empty if none."""
    head = peek(stream, 0, 8)
    if not head.startswith(DICTIONARY_MAGIC) or len(head) < 8:
        return b""
    length = 8 + int.from_bytes(head[4:], "little")
    return peek(stream, 0, length) if length <= min(size, 1 << 30) else b""


# --- Unpacked bytes --------------------------------------------------------------------------


def unpacked(window: io.RawIOBase, container: Container, prefix: bytes = b"") -> io.RawIOBase:
    """The bytes inside a member or frame, as a stream that warcio and `by_arc` can read."""
    from fastwarc.stream_io import GzipReader, ZstdReader

    stored = cast(BinaryIO, window)
    if container == "zstd":
        return _Readable(ZstdReader(stored, dictionary=_dictionary(prefix)))
    return _Readable(GzipReader(stored))


class _Readable(_ByRead):
    """Sequential reading of what a decompressor of fastwarc gives."""

    def __init__(self, reader: Any) -> None:
        super().__init__()
        self._reader, self._told = reader, 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._reader.read(1 << 16 if size < 0 else size)
        self._told += len(data)
        return data

    def tell(self) -> int:
        return self._told


class UntilBroken(_Readable):
    """What a gzip member holds before the place where it breaks off."""

    def __init__(self, window: io.RawIOBase) -> None:
        super().__init__(window)
        self._member = zlib.decompressobj(31)
        self._packed = b""

    def read(self, size: int = -1) -> bytes:
        size = 1 << 16 if size < 0 else size
        data = b""
        try:
            while not data and not self._member.eof:
                self._packed = self._packed or self._reader.read(1 << 14)
                if not self._packed:
                    break
                data = self._member.decompress(self._packed, min(size, 1 << 12))
                self._packed = self._member.unconsumed_tail
        except zlib.error:
            return b""
        self._told += len(data)
        return data
