"""Undoes what stands between a fetched page and its characters: transfer, compression, charset.

Charset, in this order:

1. A byte order mark.
2. Bytes that are valid UTF-8 and not plain ASCII are UTF-8, whatever a single-byte declaration
   says: legacy text is practically never valid UTF-8 by accident, while servers that send a
   default `charset=iso-8859-1` with UTF-8 pages are common. Against a declared multi-byte charset
   at least `_PROOF` such characters are asked for, as two GBK characters can look like UTF-8.
3. The HTTP header, then `<meta>` or the XML declaration in the first 1,024 bytes, each only if it
   decodes the page with at most `_TOLERANCE` of its non-ASCII bytes broken. Labels are mapped as
   the WHATWG Encoding Standard maps them (iso-8859-1 is windows-1252, gb2312 is gb18030); a meta
   that claims UTF-16 means UTF-8, as the claim itself was readable.
4. Detection by resiliparse (uchardet), under the same tolerance; else windows-1252.

Bytes that the chosen charset cannot decode become U+FFFD.

`Decoded.found` says which it was: `bom`, `utf-8` (the bytes prove it, or would but for what
a cut or a pasted byte breaks), `http`, `meta` (the XML declaration too), `detected`, `default`.
"""

from __future__ import annotations

import codecs
import io
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

_PRESCAN_BYTES = 1024  # WHATWG: user agents look for a declaration in the first 1,024 bytes
_DETECT_BYTES = 32_768
_TOLERANCE = 0.02  # a truncated page, or one pasted byte, must not turn a page into another charset
_PROOF = 4
_NO_LEAD_BYTES = bytes(range(0xC0))  # UTF-8's characters beyond ASCII begin with another byte

# Python's codec name -> WHATWG's name, where a change of the prefix is not enough.
_WHATWG_NAMES = {
    "gbk": "gb18030",
    "euc_jp": "euc-jp",
    "euc_kr": "euc-kr",
    "iso2022_jp": "iso-2022-jp",
    "iso8859-11": "windows-874",
    "cp866": "ibm866",
    "mac-roman": "macintosh",
    "utf-16-le": "utf-16le",
    "utf-16-be": "utf-16be",
}
# WHATWG's name -> the Python codec that decodes what browsers decode; mostly of the same name.
_CODECS = {
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
    "windows-874": "cp874",
}
_MULTI_BYTE = {"gb18030", "big5", "euc-kr", "euc-jp", "shift_jis", "iso-2022-jp"}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16le"),
    (codecs.BOM_UTF16_BE, "utf-16be"),
)
_COMMENT = re.compile(rb"<!--.*?(?:-->|$)", re.DOTALL)
_META = re.compile(rb"<meta[\s/]([^>]*)", re.IGNORECASE)
_ATTRIBUTE = re.compile(rb"""([^\s=/>"']+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""")
_XML = re.compile(rb"""^\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']\s*([\w.:-]+)""")
_LABEL = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)


@lru_cache(maxsize=256)  # pages use a few dozen labels
def whatwg_name(label: str | None) -> str | None:
    """The WHATWG encoding of a label, in lower case; None if there is no such label."""
    if not label:
        return None
    from resiliparse.parse.encoding import map_encoding_to_html5

    codec = map_encoding_to_html5(label.strip(), fallback_utf8=False)  # a Python codec's name
    if codec is None:
        return None
    name = _WHATWG_NAMES.get(codec.lower(), codec.lower())
    return name.replace("iso8859-", "iso-8859-").replace("cp125", "windows-125")


def python_codec(charset: str) -> str:
    """The Python codec that decodes a WHATWG encoding as browsers do."""
    return _CODECS.get(charset, charset)


def header_charset(content_type: str | None) -> str | None:
    """The WHATWG encoding that a Content-Type header declares."""
    found = _LABEL.search(content_type or "")
    return whatwg_name(found.group(1)) if found else None


def meta_charset(page: bytes) -> str | None:
    """The WHATWG encoding that a page declares in its first 1,024 bytes."""
    head = page[:_PRESCAN_BYTES]
    if b"<!--" in head:
        head = _COMMENT.sub(b"", head)
    for found in _META.finditer(head):
        attributes = {
            name.lower(): (a or b or c).decode("ascii", "replace")
            for name, a, b, c in _ATTRIBUTE.findall(found.group(1))
        }
        label = attributes.get(b"charset")
        if not label and attributes.get(b"http-equiv", "").strip().lower() == "content-type":
            declared = _LABEL.search(attributes.get(b"content", ""))
            label = declared.group(1) if declared else None
        if name := _readable(whatwg_name(label)):
            return name
    xml = _XML.search(head)
    return _readable(whatwg_name(xml.group(1).decode("ascii", "replace"))) if xml else None


def _readable(name: str | None) -> str | None:
    """A declaration inside the page was read as ASCII: it cannot be UTF-16."""
    return "utf-8" if name and name.startswith("utf-16") else name


class Decoded(NamedTuple):
    """A page in UTF-8 without a byte order mark."""

    html: bytes
    charset: str
    """Its charset as stored, by WHATWG's name."""
    found: str
    """How the charset was found: `bom`, `utf-8`, `http`, `meta`, `detected` or `default`."""


def to_utf8(page: bytes, content_type: str | None = None) -> tuple[bytes, str]:
    """The page in UTF-8 without a byte order mark, and the WHATWG name of its charset."""
    return decode_page(page, content_type)[:2]


def decode_page(page: bytes, content_type: str | None = None) -> Decoded:
    """The page in UTF-8, its charset and how that was found; see the module's docstring."""
    for mark, name in _BOMS:
        if page.startswith(mark):
            return Decoded(_recode(page[len(mark) :], name), name, "bom")
    sources = (("http", header_charset(content_type)), ("meta", meta_charset(page)))
    guesses = [(name, found) for found, name in sources if name]
    declared = [name for name, _ in guesses]
    if page.isascii() and not _needs_decoding(declared):
        name, found = guesses[0] if guesses else ("utf-8", "utf-8")
        return Decoded(page, name, found)
    if _proves_utf8(page, declared):
        return Decoded(page, "utf-8", "utf-8")
    for name, found in (*guesses, ("utf-8", "utf-8")):
        if _damage_ratio(page, name) <= _TOLERANCE:
            return Decoded(_recode(page, name), name, found)
    detected = _detected(page)
    if detected and _damage_ratio(page, detected) <= _TOLERANCE:
        return Decoded(_recode(page, detected), detected, "detected")
    return Decoded(_recode(page, "windows-1252"), "windows-1252", "default")


def _needs_decoding(declared: list[str]) -> bool:
    """Charsets in which bytes below 128 are not ASCII."""
    return bool(declared) and declared[0] in {"iso-2022-jp", "utf-16le", "utf-16be"}


def _proves_utf8(page: bytes, declared: list[str]) -> bool:
    """True if the bytes can be nothing but UTF-8."""
    if _needs_decoding(declared) or not is_utf8(page):
        return False
    if declared and declared[0] in _MULTI_BYTE:
        return len(page.translate(None, delete=_NO_LEAD_BYTES)) >= _PROOF
    return True


def is_utf8(page: bytes) -> bool:
    """True if the bytes are valid UTF-8.

    Arrow's check takes a third of the time of decoding, which would make a string to throw away.
    """
    ends = pa.py_buffer(np.array([0, len(page)], dtype=np.int64))
    column = pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(page)])
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _damage_ratio(page: bytes, name: str) -> float:
    """Broken sequences per non-ASCII byte (per character for charsets that are not ASCII based)."""
    try:
        codec = codecs.lookup(_CODECS.get(name, name)).name
        page.decode(codec)
        return 0.0
    except LookupError:
        return 1.0
    except UnicodeDecodeError:
        broken = page.decode(codec, "replace").count("\ufffd")
        foreign = len(page) - len(page.translate(None, delete=bytes(range(128, 256))))
        return broken / max(foreign, 1)


def _detected(page: bytes) -> str | None:
    from resiliparse.parse.encoding import detect_encoding

    return whatwg_name(detect_encoding(page, max_len=_DETECT_BYTES))


def _recode(page: bytes, name: str) -> bytes:
    if name == "utf-8" and is_utf8(page):
        return page
    return page.decode(_CODECS.get(name, name), "replace").encode("utf-8", "replace")


# --- HTTP ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Response:
    """A stored HTTP response: status (None = no status line), header, raw body.

    Names in lower case. `headers` has the first of a repeated header, `lines` has all.
    """

    status: int | None
    headers: dict[str, str]
    body: bytes
    lines: tuple[tuple[str, str], ...] = ()

    def values(self, name: str) -> list[str]:
        """Every value of a header that may stand several times, empty ones left out."""
        if name not in self.headers:
            return []
        return [value for found, value in self.lines if found == name and value]


_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?\s+(\d{3})")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


def parse_response(block: bytes) -> Response:
    """Read the header of an HTTP response."""
    status = _STATUS.match(block)
    if not status:
        return Response(None, {}, block)
    blank = _BLANK_LINE.search(block)
    head, body = (block[: blank.start()], block[blank.end() :]) if blank else (block, b"")
    lines = []
    # By line feeds alone: `splitlines` would end a header's value at a byte such as 0x85.
    for line in head.decode("latin-1").split("\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            lines.append((name.strip().lower(), value.strip()))
    return Response(int(status.group(1)), dict(reversed(lines)), body, tuple(lines))


def x_robots_tag(response: Response) -> str | None:
    """All X-Robots-Tag headers, joined by ", " as RFC 9110 joins them; None without one."""
    return ", ".join(response.values("x-robots-tag")) or None


def tdm_headers(response: Response) -> str | None:
    """`tdm-reservation: 1; tdm-policy: https://...`; None if there is neither header.

    Source: the names of the TDM Reservation Protocol, https://www.w3.org/2022/tdmrep/#sec-tdm-header.
    """
    names = ("tdm-reservation", "tdm-policy")
    told = [f"{name}: {value}" for name in names for value in response.values(name)]
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
    if "chunked" in response.headers.get("transfer-encoding", "").lower():
        body = _dechunked(body)
    encodings = [e.strip() for e in response.headers.get("content-encoding", "").lower().split(",")]
    for encoding in reversed(encodings):
        body = _decompressed(body, encoding, max_bytes)
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
