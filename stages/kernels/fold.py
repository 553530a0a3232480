"""Lower case and white space folded by the committed Unicode tables, for hashes of text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from stages.kernels.jit import jit
from stages.kernels.shingles import decode, text_buffers
from stages.kernels.unicode_tables import DROPPED, SEPARATOR, SEQUENCE, unicode_table

NEWLINE, SPACE = 0x0A, 0x20
_GROWTH = 3
"""No text grows beyond so many times its bytes: a bad byte becomes U+FFFD (a test for the rest)."""


def folded_keys(
    texts: pa.Array, *, lines: bool, collapse: bool
) -> tuple[list[int], list[int], list[bytes]]:
    """(row, line number, xxh3-128) of every text or line that has content.

    A text is lower-cased and stripped, with `collapse` its inner white space becomes single
    spaces. With `lines` it is cut at newlines first; without, the line number is 0.
    """
    table = unicode_table(lower=True, digits=False, punctuation=False, marks=False)
    data, offsets = text_buffers(texts)
    rows: list[int] = []
    numbers: list[int] = []
    keys: list[bytes] = []
    for row in range(len(texts)):
        size = int(offsets[row + 1] - offsets[row])
        folded = np.empty(_GROWTH * size + 4, dtype=np.uint8)
        ends = np.empty(size + 1 if lines else 1, dtype=np.int64)
        count = fold_text(
            data, offsets[row], offsets[row + 1], table.entries, table.pool, lines, collapse,
            folded, ends,
        )  # fmt: skip
        view, start = folded.data, 0
        for number, end in enumerate(ends[:count].tolist()):
            if end > start:
                rows.append(row)
                numbers.append(number)
                keys.append(xxhash.xxh3_128_digest(view[start:end]))
            start = end
    return rows, numbers, keys


@jit
def put_code(out: Any, at: Any, code: Any) -> Any:
    """Write the UTF-8 bytes of a code point; gives the place after them."""
    if code < 0x80:
        out[at] = code
        return at + 1
    if code < 0x800:
        out[at] = 0xC0 | code >> 6
        out[at + 1] = 0x80 | (code & 0x3F)
        return at + 2
    if code < 0x10000:
        out[at] = 0xE0 | code >> 12
        out[at + 1] = 0x80 | (code >> 6 & 0x3F)
        out[at + 2] = 0x80 | (code & 0x3F)
        return at + 3
    out[at] = 0xF0 | code >> 18
    out[at + 1] = 0x80 | (code >> 12 & 0x3F)
    out[at + 2] = 0x80 | (code >> 6 & 0x3F)
    out[at + 3] = 0x80 | (code & 0x3F)
    return at + 4


@jit
def fold_text(
    data: Any, at: Any, stop: Any, entries: Any, pool: Any, lines: Any, collapse: Any,
    out: Any, ends: Any,
) -> Any:  # fmt: skip
    """Write the folded lines one after the other, and where each ends; gives their number.

    `written` runs ahead of `solid`, the end of the last character that is not white space: what is
    between them is inner white space if more follows, and falls away if nothing does.
    """
    count, start, solid, written = 0, 0, 0, 0
    while at < stop:
        code, size = np.int64(data[at]), np.int64(1)
        if code >= 0x80:
            code, size = decode(data, at, stop)
        at += size
        if lines and code == NEWLINE:
            ends[count] = solid
            count += 1
            start, written = solid, solid
            continue
        entry = np.int64(entries[code])
        kind, value = entry >> 24, entry & 0xFFFFFF
        if kind == SEPARATOR:
            if written > start and not (collapse and written > solid):
                written = put_code(out, written, SPACE if collapse else value)
        elif kind == SEQUENCE:
            for part in range(np.int64(pool[value])):
                entry = np.int64(pool[value + 1 + part])
                if entry >> 24 != SEPARATOR:
                    written = put_code(out, written, entry & 0xFFFFFF)
                    solid = written
                elif written > start and not (collapse and written > solid):
                    written = put_code(out, written, SPACE if collapse else entry & 0xFFFFFF)
        elif kind != DROPPED:
            written = put_code(out, written, value)
            solid = written
    ends[count] = solid
    return count + 1
