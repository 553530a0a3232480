"""URLs against sorted tables of hashes of hosts and paths, in one pass over Arrow buffers.

Lists and URLs go through the same normal form: no scheme, credentials, port, fragment, leading or
trailing dot; ASCII letters in lower case; in the path `\\` is `/` and %XX is its byte, unless that
is one of `/?#&%` or a control character. A host that is not plain ASCII is left to the caller.

The key of an entry is fixed for good (a change is another index):

    domain   mix(FNV-1a 64 over the host's bytes from the last to the first)
    url      mix(FNV-1a 64 over host and path, `www.` left out, closing `/?&` left out) ^ URL_MARK
    gate     mix(FNV-1a 64 over the host alone, `www.` left out) ^ GATE_MARK

Every `url` entry has its host in the table as a gate: paths are looked at only behind one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.jit import inner, jit_bare
from stages.kernels.shingles import FNV_START, hash_byte, mix64, text_buffers

UInt8s = npt.NDArray[np.uint8]
UInt64s = npt.NDArray[np.uint64]
URL_MARK = np.uint64(0x5851F42D4C957F2D)
GATE_MARK = np.uint64(0x14057B7EF767814F)
HOST_ROOM = 1024
"""Only the last so many bytes of a host are looked at; a name of the DNS has 253 at most."""
PATH_ROOM = 4096
"""Only so many bytes of a normal form's path are made: longer entries of lists are refused."""
DOMAIN, URL = 1, 2
"""Kinds of entries."""
NO_CODE = 0

_SLASH, _QUERY, _FRAGMENT, _AND = ord("/"), ord("?"), ord("#"), ord("&")
_BACKSLASH, _AT, _COLON, _DOT, _PERCENT = ord("\\"), ord("@"), ord(":"), ord("."), ord("%")
_OPEN, _CLOSE, _SPACE, _DELETE, _W = ord("["), ord("]"), 0x20, 0x7F, ord("w")
_SCHEME_BYTES = 32
"""No scheme is longer."""


class UrlTable(NamedTuple):
    """Keys of entries in order, and where each bucket of equal leading bits begins."""

    keys: UInt64s
    codes: UInt8s
    """What each entry stands for: 1 the strongest; 0 is none."""
    starts: npt.NDArray[np.uint32]
    shift: np.uint64
    """Bits of a key below those that number its bucket."""
    longest_url: int
    """Bytes of the longest `url` entry, 0 if there is none."""


class UrlHits(NamedTuple):
    """For each URL the entry that it meets. Places are those of its normal form."""

    codes: UInt8s
    kinds: UInt8s
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    foreign: npt.NDArray[np.bool_]
    """True where the host is not plain ASCII: not looked up."""


@inner
def _letter_or_digit(byte: Any) -> Any:
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A


@inner
def _lower(byte: Any) -> Any:
    return byte | 0x20 if 0x41 <= byte <= 0x5A else byte


@inner
def _hex(byte: Any) -> Any:
    """Value of a hexadecimal digit, or -1."""
    if 0x30 <= byte <= 0x39:
        return np.int64(byte) - 0x30
    low = np.int64(byte) | 0x20
    return low - 0x57 if 0x61 <= low <= 0x66 else np.int64(-1)


@inner
def _after_scheme(data: Any, at: Any, stop: Any) -> Any:
    """Where the authority begins: behind `scheme://` or `//`, else at `at`."""
    here = at
    while here < stop and here - at < _SCHEME_BYTES and data[here] != _COLON:
        byte = data[here]
        if not (_letter_or_digit(byte) or byte == 0x2B or byte == 0x2D or byte == _DOT):
            break
        here += 1
    if here < stop and data[here] == _COLON:
        here += 1
    else:
        here = at
    slashes = here
    while slashes < stop and (data[slashes] == _SLASH or data[slashes] == _BACKSLASH):
        slashes += 1
    return slashes if slashes - here >= 2 else at


@inner
def _host_span(data: Any, at: Any, stop: Any) -> Any:
    """(start, end of the host, end of the authority) in data[at:stop], an URL without scheme."""
    start, end = at, at
    while end < stop:
        byte = data[end]
        if byte in (_SLASH, _QUERY, _FRAGMENT, _BACKSLASH):
            break
        if byte <= _SPACE:  # no host has any: what follows an entry of a list is a comment
            break
        end += 1
        if byte == _AT:
            start = end
    authority, close = end, start
    if start < end and data[start] == _OPEN:
        start += 1
        close = start
        while close < end and data[close] != _CLOSE:
            close += 1
    else:
        while close < end and data[close] != _COLON:
            close += 1
    while start < close and data[start] == _DOT:
        start += 1
    while start < close and data[close - 1] == _DOT:
        close -= 1
    return start, close, authority


@inner
def _put_path(data: Any, at: Any, stop: Any, out: Any, size: Any, room: Any) -> Any:
    """Append the path and query in their normal form, at most `room` bytes; gives the new size."""
    limit = size + room
    if at < stop and data[at] == _QUERY and size < limit:
        out[size] = _SLASH
        size += 1
    while at < stop and size < limit:
        byte = data[at]
        if byte == _FRAGMENT:
            break
        at += 1
        if byte == _PERCENT and at + 1 < stop:
            high, low = _hex(data[at]), _hex(data[at + 1])
            value = np.uint8(high << 4 | low)
            shown = value > _SPACE and value != _DELETE
            special = value in (_SLASH, _QUERY, _FRAGMENT, _AND, _PERCENT)
            if high >= 0 and low >= 0 and shown and not special:
                byte = value
                at += 2
        elif byte == _BACKSLASH:
            byte = np.uint8(_SLASH)
        out[size] = _lower(byte)
        size += 1
    return size


@inner
def _put_host(data: Any, at: Any, stop: Any, out: Any) -> Any:
    """Write the host of data[at:stop]; gives (its bytes, start, end of the path, is foreign)."""
    while at < stop and data[at] <= _SPACE:
        at += 1
    while at < stop and data[stop - 1] <= _SPACE:
        stop -= 1
    at = _after_scheme(data, at, stop)
    start, end, authority = _host_span(data, at, stop)
    if end - start > HOST_ROOM:
        start = end - HOST_ROOM
    foreign = False
    for i in range(start, end):
        foreign |= data[i] >= 0x80 or data[i] == _PERCENT
        out[i - start] = _lower(data[i])
    host = end - start
    return host, authority, stop, foreign


@inner
def _url_start(out: Any, host: Any) -> Any:
    """Where a `url` entry begins: behind a `www.` that is not all of the host."""
    www = host > 4 and out[0] == _W and out[1] == _W and out[2] == _W and out[3] == _DOT
    return 4 if www else 0


@inner
def _find(table: Any, key: Any) -> Any:
    """Code of the entry with this key, or NO_CODE."""
    bucket = np.int64(key >> table.shift)
    for i in range(np.int64(table.starts[bucket]), np.int64(table.starts[bucket + 1])):
        if table.keys[i] == key:
            return np.int64(table.codes[i])
    return np.int64(NO_CODE)


@inner
def _best_domain(out: Any, host: Any, table: Any) -> Any:
    """(code, start) of the strongest parent domain, of equals the longest; code 0 if none."""
    best, place, value = np.int64(NO_CODE), 0, FNV_START
    for i in range(host - 1, -1, -1):
        value = hash_byte(value, out[i])
        if i == 0 or out[i - 1] == _DOT:
            code = _find(table, mix64(value))
            if code != NO_CODE and (best == NO_CODE or code <= best):
                best, place = code, i
    return best, place


@inner
def _border(byte: Any) -> Any:
    return byte in (_SLASH, _QUERY, _AND)


@inner
def _hash_from(out: Any, start: Any, end: Any) -> Any:
    value = FNV_START
    for i in range(start, end):
        value = hash_byte(value, out[i])
    return value


@inner
def _best_url(data: Any, at: Any, stop: Any, out: Any, host: Any, table: Any) -> Any:
    """(code, end) of the strongest prefix of host and path, of equals the longest.

    The path is data[at:stop]; `out` holds the host.
    """
    start = _url_start(out, host)
    value = _hash_from(out, start, host)
    if table.longest_url == 0 or _find(table, mix64(value) ^ GATE_MARK) == NO_CODE:
        return np.int64(NO_CODE), 0
    size = _put_path(data, at, stop, out, host, table.longest_url + 1)
    best, end = np.int64(NO_CODE), 0
    for i in range(host, size + 1):
        if (i == size or _border(out[i])) and not _border(out[i - 1]):
            code = _find(table, mix64(value) ^ URL_MARK)
            if code != NO_CODE and (best == NO_CODE or code <= best):
                best, end = code, i
        if i < size:
            value = hash_byte(value, out[i])
    return best, end


@jit_bare
def _match(data: Any, offsets: Any, table: Any, out: Any, hits: Any) -> None:
    for row in range(len(offsets) - 1):
        host, at, stop, foreign = _put_host(data, offsets[row], offsets[row + 1], out)
        hits.foreign[row] = foreign
        if host == 0 or foreign:
            continue
        code, place = _best_domain(out, host, table)
        kind, end = DOMAIN, host
        other, other_end = _best_url(data, at, stop, out, host, table)
        if other != NO_CODE and (code == NO_CODE or other < code):
            code, kind, end = other, URL, other_end
            place = _url_start(out, host)
        if code != NO_CODE:
            hits.codes[row], hits.kinds[row] = code, kind
            hits.starts[row], hits.ends[row] = place, end


@jit_bare
def _keys(data: Any, offsets: Any, urls: Any, out: Any, keys: Any, gates: Any, sizes: Any) -> None:
    """Key and bytes of each entry; bytes -1: foreign, -2: too long, 0: nothing there."""
    for row in range(len(offsets) - 1):
        host, at, stop, foreign = _put_host(data, offsets[row], offsets[row + 1], out)
        sizes[row] = 0
        if host == 0:
            continue
        if foreign:
            sizes[row] = -1
            continue
        if not urls:
            value = FNV_START
            for i in range(host - 1, -1, -1):
                value = hash_byte(value, out[i])
            keys[row], sizes[row] = mix64(value), host
            continue
        size = _put_path(data, at, stop, out, host, PATH_ROOM)
        if size - host >= PATH_ROOM:
            sizes[row] = -2
            continue
        start = _url_start(out, host)
        while size > host and _border(out[size - 1]):
            size -= 1
        keys[row] = mix64(_hash_from(out, start, size)) ^ URL_MARK
        gates[row] = mix64(_hash_from(out, start, host)) ^ GATE_MARK
        sizes[row] = size - start


@jit_bare
def _entries(
    data: Any, offsets: Any, rows: Any, out: Any, hits: Any, found: Any, ends: Any
) -> None:
    """The bytes of the entries that these rows met, one behind the other."""
    size = 0
    for i in range(len(rows)):
        row = rows[i]
        host, at, stop, _ = _put_host(data, offsets[row], offsets[row + 1], out)
        _put_path(data, at, stop, out, host, PATH_ROOM)
        for place in range(hits.starts[row], hits.ends[row]):
            found[size] = out[place]
            size += 1
        ends[i + 1] = size


@jit_bare
def _normal(data: Any, out: Any) -> Any:
    host, at, stop, _ = _put_host(data, 0, len(data), out)
    return host, _put_path(data, at, stop, out, host, PATH_ROOM)


def _room() -> UInt8s:
    """Where a normal form is written."""
    return np.empty(HOST_ROOM + PATH_ROOM + 4, dtype=np.uint8)


def match_urls(urls: pa.Array, table: UrlTable) -> UrlHits:
    """The entry of the table that each URL meets: of the smallest code, then the longest."""
    data, offsets = text_buffers(urls)
    length = len(urls)
    hits = UrlHits(
        np.zeros(length, np.uint8),
        np.zeros(length, np.uint8),
        np.zeros(length, np.int32),
        np.zeros(length, np.int32),
        np.zeros(length, np.bool_),
    )
    _match(data, offsets, table, _room(), hits)
    return hits


def hit_entries(urls: pa.Array, hits: UrlHits) -> list[str | None]:
    """For each URL the entry that it met, in its normal form; None if it met none."""
    data, offsets = text_buffers(urls)
    rows = np.flatnonzero(hits.codes)
    found = np.empty(int((hits.ends[rows] - hits.starts[rows]).sum()), np.uint8)
    ends = np.zeros(len(rows) + 1, np.int64)
    _entries(data, offsets, rows, _room(), hits, found, ends)
    entries: list[str | None] = [None] * len(urls)
    for row, start, end in zip(rows.tolist(), ends.tolist(), ends[1:].tolist(), strict=False):
        entries[row] = found[start:end].tobytes().decode("utf-8", "replace")
    return entries


class EntryKeys(NamedTuple):
    """Keys of the entries of a list."""

    keys: UInt64s
    gates: UInt64s
    """Keys of the gates; 0 for domains."""
    sizes: npt.NDArray[np.int32]
    """Bytes of an entry; -1: its host is not ASCII, -2: it is too long, 0: nothing there."""


def entry_keys(entries: pa.Array, *, urls: bool) -> EntryKeys:
    """Keys of list entries, as `url` entries or as domains."""
    data, offsets = text_buffers(entries)
    found = EntryKeys(
        np.zeros(len(entries), np.uint64),
        np.zeros(len(entries), np.uint64),
        np.zeros(len(entries), np.int32),
    )
    _keys(data, offsets, urls, _room(), *found)
    return found


def normal_form(url: str) -> tuple[str, int]:
    """The normal form of a URL (its path cut to PATH_ROOM) and the bytes of its host."""
    out = _room()
    data = np.frombuffer(url.encode("utf-8", "surrogatepass") or b" ", dtype=np.uint8)
    host, size = _normal(data, out)
    return out[:size].tobytes().decode("utf-8", "replace"), int(host)
