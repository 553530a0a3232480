"""Text as it stands between the tags of a page: runs of characters, references, plain text.

White space, control and invisible characters are sorted out here; `html_text` takes the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_text as h
from stages.kernels.html_text import (
    IN_PRE,
    TEXT,
    begin_text,
    count_bytes,
    decode_utf8,
    find_value,
    is_letter,
    is_space,
    put_text,
    white,
)
from stages.kernels.html_wide import (
    WIDE,
    bits_of,
    bits_of_special,
    copy_wide,
    lowest_bit,
    num_bits,
    skip_blank,
)
from stages.kernels.jit import inner, leaf

_BANG, _QUESTION, _BLANK = 0x21, 0x3F, np.int64(0x20)
_ONE = np.uint64(1)
_LONGEST_NAME = 32
"""`&CounterClockwiseContourIntegral;`, semicolon included."""
_LONGEST_BARE_NAME = 6
"""Of the names that need no semicolon, as `&frac12`."""

_WINDOWS_1252 = np.array(
    [ord(bytes([b]).decode("cp1252", "ignore") or "\0") or b for b in range(0x80, 0xA0)],
    dtype=np.int64,
)
"""What browsers show for `&#128;` to `&#159;`; the five that it lacks are control characters.

The characters U+0080 to U+009F themselves mean the same: they come from pages of that charset that
were decoded as latin-1.
"""


@inner
def read_text(data: Any, i: Any, n: Any, plain: Any, tables: Any, room: Any) -> Any:
    """Text up to the next `<` that opens markup; gives its place. At `data[i]` it does not.

    In `plain` text `&` and `<` stand for themselves.
    """
    start = i
    while i < n:
        c = np.int64(data[i])
        if c == h._LT and i > start and not plain and _opens_markup(data, i, n):
            return i
        if c == h._AMP and not plain:
            i = _read_reference(data, i, n, tables, room)
        elif c <= 0x20:
            i += 1
            # The newline behind a carriage return speaks for both.
            line_end = c == h._RETURN and i < n and data[i] == h._NEWLINE
            if (is_space(c) or c == 0x0B) and not line_end:
                white(room, c)
                if not room.state[IN_PRE]:
                    i = skip_blank(data, i, n)  # one blank stands for all of them
        elif c == 0x7F:
            i += 1
        else:
            if c == 0xC2 or c == 0xE2 or c == 0xEF:
                code, width = _read_special(data, i, n)
                if width > 0:
                    put_text(room, code)
                    i += width
                    continue
            begin_text(room)
            i = _copy_run(data, i, n, room)
    return i


@inner
def _opens_markup(data: Any, i: Any, n: Any) -> Any:
    """True if the `<` here may begin more than text."""
    if i + 1 >= n:
        return False
    c = np.int64(data[i + 1])
    return is_letter(c) or c == h._SLASH or c in (_BANG, _QUESTION)


@leaf
def _read_special(data: Any, i: Any, n: Any) -> Any:
    """(code point, bytes) of a character of U+0080 to U+00A0, or of one that shows nothing.

    0 bytes if it is neither.
    """
    if i + 1 < n and data[i] == 0xC2:
        code = np.int64(data[i + 1])  # with the lead byte C2 it is the character's number
        if code <= 0xA0 or code == 0xAD:
            return _WINDOWS_1252[code & 31] if code < 0xA0 else code, np.int64(2)
    elif i + 2 < n:
        code, width = decode_utf8(data, i, n)
        if code == 0x200B or code == 0x2028 or code == 0x2029 or code == 0xFEFF:
            return code, width
    return np.int64(0), np.int64(0)


@inner
def _copy_run(data: Any, i: Any, n: Any, room: Any) -> Any:
    """Copy bytes that need no look: at least one, up to white space, markup or a special lead.

    A single blank between two others is copied too. There is room for the 32 bytes that are copied
    at once: so far at most 1.5 bytes were written for each that was read.
    """
    st = room.state
    start, out, blanks = st[TEXT], st[TEXT], np.int64(0)
    not_first = ~_ONE
    while i < n:
        special = bits_of_special(data, i) & not_first
        blank = bits_of(data, i, _BLANK)
        length = min(np.int64(WIDE), n - i)
        # What follows the last of these bytes is not known: as if it were special.
        last = _ONE << np.uint64(length - 1)
        special |= blank & ((blank | special) >> _ONE | last)
        length = min(lowest_bit(special), length)
        if i + WIDE <= len(data):
            copy_wide(data, i, room.text, out)
        else:
            for k in range(length):
                room.text[out + k] = data[i + k]
        blanks += num_bits(blank & ((_ONE << np.uint64(length)) - _ONE))
        out += length
        i += length
        if length < WIDE:
            break
        not_first = ~np.uint64(0)
    st[TEXT] = out
    count_bytes(st, out - start - blanks)
    return i


@inner
def _read_reference(data: Any, i: Any, n: Any, tables: Any, room: Any) -> Any:
    """A character reference at `&`, or the `&` itself; gives the place behind it.

    The longest name counts: `&notit;` is a `&not` and `it;`.
    """
    code, end, at, stop = np.int64(h._AMP), i + 1, np.int64(0), np.int64(0)
    if end < n and data[end] == 0x23:
        code, end = _numeric(data, i, n)
    else:
        found, name_end = _named(data, i, n, tables.entities)
        if found >= 0:
            at, stop, end = found >> 8, (found >> 8) + (found & 255), name_end
    while True:  # one character, or those that the name stands for
        if at < stop:
            code, width = decode_utf8(tables.entity_pool, at, stop)
            at += width
        put_text(room, code)
        if at >= stop:
            return end


@leaf
def _named(data: Any, i: Any, n: Any, entities: Any) -> Any:
    """(place and size in the pool, place behind) of the name at `&`; the first is -1 for none."""
    value = h._FNV
    best, best_end = np.int64(-1), i + 1
    j = i + 1
    while j < n and j - i <= _LONGEST_NAME:
        c = np.int64(data[j])
        if c != 0x3B and not is_letter(c) and not 0x30 <= c <= 0x39:
            break
        value = (value ^ np.uint64(c)) * h._FNV_PRIME
        j += 1
        if c == 0x3B or j - i - 1 <= _LONGEST_BARE_NAME:
            found = find_value(entities, value)
            if found >= 0:
                best, best_end = found, j
        if c == 0x3B:
            break
    return best, best_end


@leaf
def _numeric(data: Any, i: Any, n: Any) -> Any:
    """(code point, place behind) of the number at `&#`; a plain `&` if there is none."""
    j = i + 2
    hexadecimal = j < n and (data[j] | 0x20) == 0x78
    if hexadecimal:
        j += 1
    start, code = j, np.int64(0)
    while j < n:
        c = np.int64(data[j])
        if 0x30 <= c <= 0x39:
            digit = c - 0x30
        elif hexadecimal and 0x61 <= (c | 0x20) <= 0x66:
            digit = (c | 0x20) - 0x57
        else:
            break
        code = min(code * (16 if hexadecimal else 10) + digit, np.int64(0x110000))
        j += 1
    if j == start:
        return np.int64(h._AMP), i + 1
    if j < n and data[j] == 0x3B:
        j += 1
    if 0x80 <= code < 0xA0:
        code = _WINDOWS_1252[code - 0x80]
    if code == 0 or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        code = np.int64(0xFFFD)
    return code, j
