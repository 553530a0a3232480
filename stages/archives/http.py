"""A stored HTTP response: its status, its headers, its body with chunks and encodings undone."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator


class Response:
    """A stored HTTP response: status (None = no status line), the header's bytes, raw body."""

    __slots__ = ("_low", "body", "head", "status")

    def __init__(self, status: int | None, head: bytes, body: bytes) -> None:
        self.status, self.head, self.body = status, head, body
        self._low = head.lower()

    def lines(self) -> Iterator[tuple[str, str]]:
        """Every header, its name in lower case."""
        # By line feeds alone: `splitlines` would end a header's value at a byte such as 0x85.
        for line in self.head.decode("latin-1").split("\n")[1:]:
            name, colon, value = line.partition(":")
            if colon:
                yield name.strip().lower(), value.strip()

    def values(self, name: bytes) -> list[str]:
        """Every value of a header (its name in lower case) that may stand several times."""
        # Most headers that are asked for are not there: this costs a tenth of parting the lines.
        if name not in self._low:
            return []
        return [value for found, value in self.lines() if found == name.decode()]

    def get(self, name: bytes) -> str:
        """The first header of this name (in lower case), empty if there is none."""
        values = self.values(name)
        return values[0] if values else ""


_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?\s+(\d{3})")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


def parse_response(block: bytes) -> Response:
    """The response that a record's block holds."""
    return response_of(*split_head(block))


def split_head(block: bytes) -> tuple[bytes, bytes]:
    """(header with its blank line, body) of an HTTP block; an empty header if it is none."""
    if not block.startswith(b"HTTP/"):
        return b"", block
    blank = _BLANK_LINE.search(block)
    return (block[: blank.end()], block[blank.end() :]) if blank else (block, b"")


def response_of(head: bytes, body: bytes) -> Response:
    """The response of a header and a body that were already parted."""
    status = _STATUS.match(head)
    if not status:
        return Response(None, b"", head + body if head else body)
    return Response(int(status.group(1)), head, body)


def x_robots_tag(response: Response) -> str | None:
    """All X-Robots-Tag headers, joined by ", " as RFC 9110 joins them; None without one."""
    return ", ".join(filter(None, response.values(b"x-robots-tag"))) or None


def tdm_headers(response: Response) -> str | None:
    """`tdm-reservation: 1; tdm-policy: https://...`; None if there is neither header.

    Source: names of the TDM Reservation Protocol, https://www.w3.org/2022/tdmrep/#sec-tdm-header.
    """
    names = (b"tdm-reservation", b"tdm-policy")
    told = [
        f"{name.decode()}: {value}" for name in names for value in response.values(name) if value
    ]
    return "; ".join(told) or None


class UndecodableBody(ValueError):
    """The body is not in the content encoding that its header names."""


class TooLargeBody(ValueError):
    """The decoded body is larger than the bound."""


def decoded_body(response: Response, max_bytes: int) -> bytes:
    """The body with chunks and content encodings undone.

    Crawlers often store the body decoded and leave the headers: a body that does not look encoded
    is taken as it is. A compressed body that ends early gives what it holds.
    Raises UndecodableBody, or TooLargeBody above `max_bytes`.
    """
    body = response.body
    if "chunked" in response.get(b"transfer-encoding").lower():
        body = _dechunked(body)
    if encodings := response.get(b"content-encoding").lower():
        for encoding in reversed(encodings.split(",")):
            body = _decompressed(body, encoding.strip(), max_bytes)
    if len(body) > max_bytes:
        raise TooLargeBody
    return body


_CHUNK_HEAD = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")


def _dechunked(body: bytes) -> bytes:
    """The chunks of a body joined; a body that does not start with a chunk is left alone."""
    parts: list[bytes] = []
    at = 0
    while found := _CHUNK_HEAD.match(body, at):
        length = int(found.group(1), 16)
        if length == 0:
            return b"".join(parts)
        parts.append(body[found.end() : found.end() + length])
        at = found.end() + length
        while body[at : at + 1] in (b"\r", b"\n"):
            at += 1
    # Cut off in the middle, or not chunked at all: only a body that was chunked to its end is
    # trusted, everything else is kept as stored unless the first chunk was whole.
    return b"".join(parts) if parts and at >= len(body) else body


def _decompressed(body: bytes, encoding: str, max_bytes: int) -> bytes:
    if not body or encoding in ("", "identity", "none", "utf-8", "utf8"):
        return body
    try:
        if encoding in ("gzip", "x-gzip"):
            return _inflated(body, 31, max_bytes) if body.startswith(b"\x1f\x8b") else body
        if encoding == "deflate":
            return _inflate_any(body, max_bytes)
        if encoding in ("br", "zstd"):
            return _unpacked(body, encoding, max_bytes)
    except (zlib.error, OSError) as error:
        if _looks_plain(body):
            return body
        raise UndecodableBody(encoding) from error
    if _looks_plain(body):
        return body
    raise UndecodableBody(encoding)


def _inflated(body: bytes, window: int, max_bytes: int) -> bytes:
    data = zlib.decompressobj(window).decompress(body, max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLargeBody
    return data


def _inflate_any(body: bytes, max_bytes: int) -> bytes:
    """`deflate` is zlib by the standard and raw deflate in practice."""
    try:
        return _inflated(body, 15, max_bytes)
    except zlib.error:
        return _inflated(body, -15, max_bytes)


def _unpacked(body: bytes, encoding: str, max_bytes: int) -> bytes:
    from fastwarc.stream_io import BrotliReader, ZstdReader

    reader = (BrotliReader if encoding == "br" else ZstdReader)(io.BytesIO(body))
    parts: list[bytes] = []
    size = 0
    while part := reader.read(1 << 16):
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise TooLargeBody
    return b"".join(parts)


def _looks_plain(body: bytes) -> bool:
    """True if a body starts like markup, so that its content encoding was already undone."""
    return body[:256].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"
