"""Hosts that are not plain ASCII, in the form that the DNS asks for.

`bücher.example`, `BÜCHER.example`, `b%C3%BCcher.example` and `xn--bcher-kva.example` are one host.
As browsers do it: UTS 46 without its transitional part, by the package `idna`. What that refuses
(symbols, mixed directions, labels that are too long) is lower-cased and encoded label by label, so
that an entry of a list still meets its own host.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pyarrow as pa

_MAX_CHARS = 1024
"""A longer host is left as it is: no name of the DNS has more than 253 bytes."""
_SCHEME = re.compile(r"(?:[A-Za-z0-9+.-]{0,32}:)?[/\\]{2,}")
_NO_HOST = frozenset("/?#\\@:%[]\x7f") | frozenset(map(chr, range(0xD800, 0xE000)))
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")


def ascii_host(host: str) -> str:
    """The host with every label in ASCII. Never raises."""
    import idna

    if "%" in host:
        host = unquote_to_bytes(host).decode("utf-8", "replace")
    host = host.translate(_DOTS).strip(".")
    host = "".join(_visible(c) for c in host)
    if len(host) > _MAX_CHARS:
        host = "".join(c if c.isascii() else "_" for c in host)
    if host.isascii():
        return host.lower()
    try:
        made = idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        made = ".".join(_ascii_label(label) for label in host.lower().split("."))
    return "".join(_visible(c) for c in made.lower()).strip(".")


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    return "xn--" + label.encode("punycode").decode("ascii")


def _visible(character: str) -> str:
    """The character; `_` for one that would end a host, begin another part, or is no text."""
    return "_" if character <= " " or character in _NO_HOST else character


def ascii_url(url: str) -> str:
    """`host/path?query` of a URL whose host is made ASCII; the path is left as it is."""
    rest = url.strip()
    rest = rest[found.end() :] if (found := _SCHEME.match(rest)) else rest
    end = min((at for mark in "/?#\\" if (at := rest.find(mark)) >= 0), default=len(rest))
    host = rest[:end].rpartition("@")[2].partition(":")[0]
    return ascii_host(host) + rest[end:]


def ascii_urls(urls: pa.Array) -> pa.Array:
    """`ascii_url` of a column; bytes that are no UTF-8 become U+FFFD first."""
    raw = urls.cast(pa.large_string()).cast(pa.large_binary()).to_pylist()
    texts = [(value or b"").decode("utf-8", "replace") for value in raw]
    # A surrogate cannot be stored; `decode` makes none, `idna` neither.
    return pa.array([ascii_url(text) for text in texts], pa.large_string())
