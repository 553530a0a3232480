"""The charset of a page, and the page in UTF-8.

The charset is looked for in this order:

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
import re
import struct
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa

_PRESCAN_BYTES = 1024  # WHATWG: user agents look for a declaration in the first 1,024 bytes
_DETECT_BYTES = 32_768
_TOLERANCE = 0.02  # a truncated page, or one pasted byte, must not turn a page into another charset
_PROOF = 4
_ENDS = struct.Struct("=qq")
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
        if name := _declared(found.group(1)):
            return name
    xml = _XML.search(head)
    return _readable(whatwg_name(xml.group(1).decode("ascii", "replace"))) if xml else None


@lru_cache(maxsize=1024)  # most pages write theirs as thousands of others do
def _declared(tag: bytes) -> str | None:
    """The encoding that a meta tag with these attributes declares."""
    attributes = {
        name.lower(): (a or b or c).decode("ascii", "replace")
        for name, a, b, c in _ATTRIBUTE.findall(tag)
    }
    label = attributes.get(b"charset")
    if not label and attributes.get(b"http-equiv", "").strip().lower() == "content-type":
        declared = _LABEL.search(attributes.get(b"content", ""))
        label = declared.group(1) if declared else None
    return _readable(whatwg_name(label))


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
    ends = pa.py_buffer(_ENDS.pack(0, len(page)))
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
