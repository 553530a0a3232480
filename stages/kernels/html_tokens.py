"""Tokens of class, id, role and itemprop: hashes of their names and of the parts of these.

Half of the bytes of a usual page are such names, and three in four stand there again and again. So
the tokens of a name are computed once a page: `Room.names` knows up to 512 names of up to 32
bytes with the place of their tokens. A name is compared whole, so that what is known gives what
would be computed; one that falls on another's row takes it over.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_tags as tags
from stages.kernels import html_text as h
from stages.kernels.html_attributes import _PART_SALT
from stages.kernels.html_text import (
    A_CLASS,
    A_ID,
    A_ITEMPROP,
    A_ROLE,
    KNOWN_NAMES,
    TOKENS,
    is_space,
)
from stages.kernels.html_wide import WIDE, find_space, words_of
from stages.kernels.jit import inner

# Columns of the known names: their bytes, attribute and length, hash, and the range of tokens.
_WORD0, _WORD1, _WORD2, _WORD3, KEY, _HASH, _FROM, _TO = range(8)

_LONGEST_VALUE = 400
_FACTOR, _OTHER_FACTOR = (np.uint64(factor) for factor in tags.NAME_FACTORS)
_HALF, _SLOTS = np.uint64(32), np.uint64(KNOWN_NAMES - 1)
_LOW = np.uint64(0xFFFFFFFF)

# What a byte is to a name: itself in lower case, and these bits.
_DIGIT, _WORD, _CAPITAL, _SMALL = (1 << bit for bit in range(8, 12))
_KINDS = np.array(
    [
        (b | 0x20 if 0x41 <= b <= 0x5A else b)
        | (_DIGIT if 0x30 <= b <= 0x39 else 0)
        | (_WORD if 0x61 <= b | 0x20 <= 0x7A or b >= 0x80 else 0)
        | (_CAPITAL if 0x41 <= b <= 0x5A else 0)
        | (_SMALL if 0x61 <= b <= 0x7A else 0)
        for b in range(256)
    ],
    dtype=np.int64,
)


@inner
def put_tokens(data: Any, room: Any) -> Any:
    """Hashes of the names in class, id, role and itemprop; gives a signature of the class.

    Each name counts whole, runs of digits as one `0`, and by its parts: `postBody-2` is
    `postbody-0`, `post` and `body`. Parts are salted, so that the class `post` is not the part
    `post`.
    """
    r = room.ranges
    signature = h._FNV
    for which in (A_CLASS, A_ID, A_ROLE, A_ITEMPROP):
        i, stop = r[2 * which], r[2 * which + 1]
        if i < 0:
            continue
        stop = min(stop, i + _LONGEST_VALUE)
        while i < stop:
            if is_space(np.int64(data[i])):
                i += 1
                continue
            end = find_space(data, i, stop)
            if end - i <= WIDE and i + WIDE <= len(data):
                value = _known_name(data, i, end, room, which)
            else:
                value = _put_name(data, i, end, room, which)
            if which == A_CLASS:
                signature = (signature ^ value) * h._FNV_PRIME
            i = end
    return np.int32(signature & np.uint64(0x7FFFFFFF))


@inner
def _known_name(data: Any, i: Any, end: Any, room: Any, which: Any) -> Any:
    """The tokens of a name of at most 32 bytes, copied if it is known; gives its hash."""
    a, b, c, d = words_of(data, i, end - i)
    key = np.uint64((end - i) << 8 | which)
    slot = ((a ^ key) * _FACTOR ^ (b ^ c >> _HALF) * _OTHER_FACTOR ^ c ^ d * _FACTOR) * _FACTOR
    row = room.names[(slot >> _HALF) & _SLOTS]
    first = room.state[TOKENS]
    if (
        row[KEY] == key and row[_WORD0] == a and row[_WORD1] == b and row[_WORD2] == c
        and row[_WORD3] == d
    ):  # fmt: skip
        at = np.int64(row[_FROM])
        num = min(np.int64(row[_TO]) - at, len(room.tokens) - first)
        for k in range(num):
            room.tokens[first + k] = room.tokens[at + k]
        room.state[TOKENS] = first + num
        return row[_HASH]
    value = _put_name(data, i, end, room, which)
    row[_WORD0], row[_WORD1], row[_WORD2], row[_WORD3], row[KEY] = a, b, c, d, key
    row[_HASH], row[_FROM], row[_TO] = value, np.uint64(first), np.uint64(room.state[TOKENS])
    return value


@inner
def _put_name(data: Any, i: Any, end: Any, room: Any, which: Any) -> Any:
    """The tokens of one name; gives its hash."""
    value = h._FNV ^ np.uint64(which)
    part, letters, before = h._FNV, 0, np.int64(0)
    while i < end:
        kind = _KINDS[data[i]]
        small = np.uint64(kind & 0xFF)
        if not kind & _DIGIT:
            value = (value ^ small) * h._FNV_PRIME
        elif not before & _DIGIT:
            value = (value ^ np.uint64(0x30)) * h._FNV_PRIME
        if letters and (not kind & _WORD or (kind & _CAPITAL and before & _SMALL)):
            if letters > 1:
                _put_token(room, part ^ _PART_SALT)
            part, letters = h._FNV, 0
        if kind & _WORD:
            part = (part ^ small) * h._FNV_PRIME
            letters += 1
        before = kind
        i += 1
    if letters > 1:
        _put_token(room, part ^ _PART_SALT)
    _put_token(room, value)
    return value


@inner
def _put_token(room: Any, value: Any) -> Any:
    at = room.state[TOKENS]
    if at < len(room.tokens):
        room.tokens[at] = np.uint32((value ^ value >> _HALF) & _LOW)
        room.state[TOKENS] = at + 1
