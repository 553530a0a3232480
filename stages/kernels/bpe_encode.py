"""Byte-level BPE: UTF-8 texts -> ids, those of Hugging Face `tokenizers`.

A text is cut into pieces (`pieces`). A piece that was met before has its ids in the cache, where
its bytes are compared, never a hash alone; another one is joined (`bpe_join`). Ids depend on the
piece alone, so what the cache holds changes none.

Bounds. A piece gives at most as many ids as it has bytes. The cache is looked up in PROBES rows at
most, and made empty only after pieces of a fixed share of its size came in. So each byte takes a
bounded time, but for the logarithm in `bpe_join`, whatever the text.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stages.kernels.bpe_join import merged, word
from stages.kernels.jit import inner, jit_bare, leaf
from stages.kernels.pieces import piece_end
from stages.kernels.wide_pieces import WIDE, ask_for, load8, store_two, word_end

CACHED = 256
"""Bytes of the longest piece that the cache takes."""
IN_ROW = 15
"""Bytes of the longest piece that stands in its row."""
PROBES = 8
BLOCK = 64
"""Pieces cut before the first of them is looked up."""
SPARE = 3
"""Places behind the ids in `out`: three are written at once."""
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_OTHER_PRIME = np.uint64(0xC2B2AE3D27D4EB4F)
_FIRST = np.array([(1 << 8 * min(size, 8)) - 1 for size in range(IN_ROW + 1)], np.uint64)
_SECOND = np.array([(1 << 8 * max(size - 8, 0)) - 1 for size in range(IN_ROW + 1)], np.uint64)
"""Size -> the bits of two numbers of 8 bytes that are the piece's."""
_SIZE, _LONG_SIZE, _LONG = np.uint64(56), np.uint64(40), np.uint64(1 << 63)
_PLACE = np.uint64((1 << 40) - 1)


class Cache(NamedTuple):
    """Pieces met before.

    A row of `rows` is (key, key, ids, ids), empty where the second key is 0. Of a piece of up to
    IN_ROW bytes the keys are the bytes themselves and, in the highest byte, how many; of a longer
    one a hash, then its size << 40 with the highest bit and where it stands in `text`. The last
    two are (id, id << 32) and (number of ids, id << 32); of more than three ids the first of the
    two is their place in `ids`.
    """

    rows: Any
    text: Any
    ids: Any
    used: Any
    """[bytes of `text`, places of `ids`] in use."""


@leaf
def _remember(
    cache: Any, row: Any, first: Any, second: Any, text: Any, at: Any, end: Any, ids: Any,
    number: Any,
) -> None:  # fmt: skip
    """Put a piece into the row of the cache, in place of what stands there.

    A cache that has no room for the piece is made empty; an empty one that has none stays so.
    """
    size, places = end - at, number if number > 3 else 0
    kept = size if size > IN_ROW else 0
    if cache.used[0] + kept > len(cache.text) or cache.used[1] + places > len(cache.ids):
        if kept > len(cache.text) or places > len(cache.ids):
            return
        cache.rows[:, 1] = 0
        cache.used[0] = cache.used[1] = 0
    if kept:
        second |= np.uint64(cache.used[0])
        for step in range(size):
            cache.text[cache.used[0] + step] = text[at + step]
        cache.used[0] += size
    held, more = np.uint64(ids[0]), np.uint64(number)
    if places:
        held = np.uint64(cache.used[1])
        for step in range(number):
            cache.ids[cache.used[1] + step] = ids[step]
        cache.used[1] += number
    elif number > 1:
        held |= np.uint64(ids[1]) << _HALF
        if number > 2:
            more |= np.uint64(ids[2]) << _HALF
    cache.rows[row, 0], cache.rows[row, 1] = first, second
    cache.rows[row, 2], cache.rows[row, 3] = held, more


@leaf
def _long_hash(text: Any, at: Any, end: Any) -> Any:
    """A hash of a piece of more than IN_ROW bytes. Its value reaches no output."""
    value = np.uint64(end - at)
    while at + 8 < end:
        value = (value ^ load8(text, at)) * _PRIME
        value ^= value >> _HALF
        at += 8
    value = (value ^ load8(text, end - 8)) * _PRIME
    return value ^ value >> _HALF


@leaf
def _same(text: Any, at: Any, size: Any, other: Any, begin: Any) -> Any:
    """True if so many bytes, more than IN_ROW, are the same."""
    last = size - 8
    step = np.int64(0)
    while step < last:
        if load8(text, at + step) != load8(other, begin + step):
            return False
        step += 8
    return load8(text, at + last) == load8(other, begin + last)


@inner
def _keys(text: Any, at: Any, size: Any) -> Any:
    """The keys of a piece, but for its place in the cache's text; 0 where it is not cached."""
    if size <= IN_ROW:
        if at + 16 <= len(text):
            first, second = load8(text, at) & _FIRST[size], load8(text, at + 8) & _SECOND[size]
        else:
            first, second = word(text, at, min(size, 8)), word(text, at + 8, max(size - 8, 0))
        return first, second | np.uint64(size) << _SIZE
    if size <= CACHED:
        return _long_hash(text, at, at + size), _LONG | np.uint64(size) << _LONG_SIZE
    return np.uint64(0), np.uint64(0)


@inner
def _home(first: Any, second: Any) -> Any:
    """A hash of the keys. Its value reaches no output."""
    value = first * _PRIME ^ (second + (first >> _HALF)) * _OTHER_PRIME
    value = (value ^ value >> _HALF) * _PRIME
    return value >> _HALF


@inner
def _holds(cache: Any, row: Any, first: Any, second: Any, text: Any, at: Any, size: Any) -> Any:
    """True if the row holds the piece."""
    if cache.rows[row, 0] != first:
        return False
    held = cache.rows[row, 1]
    if size <= IN_ROW:
        return held == second
    if held >> _LONG_SIZE != second >> _LONG_SIZE:
        return False
    return _same(text, at, size, cache.text, np.int64(held & _PLACE))


@inner
def _copied(cache: Any, row: Any, out: Any, written: Any) -> Any:
    """Write the ids that a row holds; how many are written then. Touches SPARE places behind."""
    held, more = cache.rows[row, 2], cache.rows[row, 3]
    number = np.int64(more & _LOW)
    if number > 3:
        for step in range(number):
            out[written + step] = cache.ids[np.int64(held) + step]
        return written + number
    store_two(out, written, held)
    out[written + 2] = np.uint32(more >> _HALF)
    return written + number


@leaf
def _encode_piece(
    text: Any, at: Any, end: Any, home: Any, first: Any, second: Any, merges: Any, cache: Any,
    work: Any, out: Any, written: Any,
) -> Any:  # fmt: skip
    """Write the ids of a piece that its first row may not hold; how many are written then."""
    size = end - at
    mask = np.uint64(len(cache.rows) - 1)
    chosen = (home ^ (first >> np.uint64(7) & np.uint64(PROBES - 1))) & mask
    if size <= CACHED:
        for probe in range(PROBES):
            row = (home ^ np.uint64(probe)) & mask
            if cache.rows[row, 1] == 0:
                chosen = row
                break
            if _holds(cache, row, first, second, text, at, size):
                return _copied(cache, row, out, written)
    number = merged(text, at, end, merges, work)
    for step in range(number):
        out[written + step] = work.ids[step]
    if size <= CACHED:
        _remember(cache, chosen, first, second, text, at, end, work.ids, number)
    return written + number


@inner
def _cut(
    text: Any, at: Any, stop: Any, classes: Any, cut: Any, rows: Any, mask: Any, block: Any
) -> Any:
    """The next pieces, at most as many as `block` has rows; their number.

    They are cut and their rows of the cache asked for before one is looked up: so the processor
    waits for many rows at a time.
    """
    number = 0
    while at < stop and number < BLOCK:
        end = at
        if at + WIDE <= len(text):
            end = word_end(text, at, stop, classes, cut)
        if end == at:
            end = piece_end(text, at, stop, classes, cut)
        first, second = _keys(text, at, end - at)
        home = _home(first, second) & mask
        ask_for(rows, np.int64(home << np.uint64(2)))
        block[number, 0], block[number, 1] = first, second
        block[number, 2], block[number, 3] = home, np.uint64(end)
        number, at = number + 1, end
    return number


@jit_bare
def encode(
    text: Any, offsets: Any, classes: Any, cut: Any, merges: Any, cache: Any, work: Any,
    block: Any, end_id: Any, out: Any, lengths: Any, state: Any,
) -> Any:  # fmt: skip
    """Ids of texts text[offsets[i]:offsets[i + 1]] in a row in `out`, and how many each has.

    `out` has room for an id a byte of all texts, for `end_id` behind each unless it is negative,
    and SPARE more. `block` has BLOCK rows of four. `state` is [text to go on with, its bytes done,
    ids written, ids written before it], zeros at first. Returns 0 when all is done; else the bytes
    of a piece that `work` is too small for: call again with more room.
    """
    row, done, written, began = state[0], state[1], state[2], state[3]
    mask = np.uint64(len(cache.rows) - 1)
    while row < len(lengths):
        at, stop = offsets[row] + done, offsets[row + 1]
        while at < stop:
            for piece in range(_cut(text, at, stop, classes, cut, cache.rows, mask, block)):
                first, second, home = block[piece, 0], block[piece, 1], block[piece, 2]
                end = np.int64(block[piece, 3])
                alike = cache.rows[home, 0] == first and cache.rows[home, 1] == second
                if alike and end - at <= IN_ROW:
                    written = _copied(cache, home, out, written)
                elif end - at <= len(work.ids):
                    written = _encode_piece(
                        text, at, end, home, first, second, merges, cache, work, out, written
                    )
                else:
                    state[0], state[1] = row, at - offsets[row]
                    state[2], state[3] = written, began
                    return end - at
                at = end
        if end_id >= 0:
            out[written] = np.uint32(end_id)
            written += 1
        lengths[row] = written - began
        row, done, began = row + 1, np.int64(0), written
    state[0], state[1], state[2], state[3] = row, done, written, began
    return np.int64(0)
