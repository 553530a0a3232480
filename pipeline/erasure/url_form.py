"""The canonical form of a URL, in which a takedown names a page; and the digests that stand for it.

Two spellings of one address must be one: a takedown that misses a page is worse than one that hits
its twin. So scheme (http or https), `www.`, credentials, a default port, a fragment, the case and
final dot of the host, dot segments, a slash at the end of the path, an empty query and the spelling
of percent escapes make no difference; the path's case, the query and its order do.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

_PORTS = {80, 443, None}
_BLANKS = re.compile(r"[\t\n\r]")
"""Taken out of URLs by the URL Standard, 4.4."""
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_AS_IT_IS = "".join(chr(c) for c in range(0x21, 0x7F))
DIGEST_CHARS = 32
"""Hex digits of a digest: 128 bits of sha256."""


def canonical_url(url: str) -> str:
    """`host/path?query` for http and https; other schemes keep their name. Never raises."""
    text = _BLANKS.sub("", url).partition("#")[0].strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # `http://[`, a port that is no number
        return text
    if parts.scheme and parts.scheme not in ("http", "https"):
        return parts.geturl()
    if not host:
        return text
    end = "" if port in _PORTS else f":{port}"
    path = _without_dots(_escaped(parts.path)).rstrip("/")
    query = f"?{_escaped(parts.query)}" if parts.query else ""
    return f"{canonical_host(host)}{end}{path}{query}"


def canonical_host(host: str) -> str:
    """Lower case, ASCII, without `www.` and the dot at the end."""
    if "%" in host:
        host = unquote_to_bytes(host).decode("utf-8", "replace")
    if not host.isascii():
        import idna

        # A host that no DNS knows is compared as it stands.
        with contextlib.suppress(idna.IDNAError, UnicodeError):
            host = idna.encode(host, uts46=True).decode("ascii")
    return host.lower().rstrip(".").removeprefix("www.")


def _escaped(part: str) -> str:
    """RFC 3986, 6.2.2: escapes in upper case, none for what needs none, all else escaped."""
    if "%" in part:
        part = _ESCAPE.sub(_escape, part)
    if part.isascii() and part.isprintable() and " " not in part:
        return part
    return quote(part, _AS_IT_IS, "utf-8", "replace")


def _escape(found: re.Match[str]) -> str:
    byte = int(found.group()[1:], 16)
    return chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4."""
    if "/." not in path:
        return path
    kept: list[str] = []
    for name in path.split("/")[1:]:
        if name == "..":
            del kept[-1:]
        elif name != ".":
            kept.append(name)
    return "/" + "/".join(kept)


def url_entry(url: str) -> str:
    """The entry of an exclusion list that stands for a page: `u:` and a digest."""
    return f"u:{_digest(canonical_url(url))}"


def domain_entry(domain: str) -> str:
    """The entry that stands for a domain and all below it: `d:` and a digest.

    Raises ValueError if it is no domain.
    """
    name = domain.strip().removeprefix("*.").strip(".")
    if not name or re.search(r"[\s/@:?#]", name):
        raise ValueError(f"'{domain.strip()}' is no domain")
    return f"d:{_digest(canonical_host(name))}"


def domain_entries(url: str) -> list[str]:
    """The entries of the host of a URL and of every domain above it."""
    try:
        host = canonical_host(urlsplit(_BLANKS.sub("", url.strip())).hostname or "")
    except ValueError:
        return []
    labels = host.split(".")
    return [f"d:{_digest('.'.join(labels[at:]))}" for at in range(len(labels)) if labels[at]]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:DIGEST_CHARS]
