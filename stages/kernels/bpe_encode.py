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

from stages.kernels.bpe_join import long_hash, merged, same, word
from stages.kernels.jit import inner, jit_bare
from stages.kernels.pieces import piece_end

CACHED = 256
"""Bytes of the longest piece that the cache takes."""
PROBES = 8
BLOCK = 64
"""Pieces cut before the first of them is looked up."""
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_OTHER_PRIME = np.uint64(0xC2B2AE3D27D4EB4F)


class Cache(NamedTuple):
    """Pieces met before.

    A row of `rows` is (key, key, bytes << 32 | number of ids, ids). Of a piece of up to 16 bytes
    the keys are the bytes themselves; of a longer one a hash, and where it stands in `text`. Up to
    two ids stand in the row, more of them in `ids` at the place that the row tells.
    """

    rows: Any
    text: Any
    ids: Any
    used: Any
    """[bytes of `text`, places of `ids`] in use."""


@inner
def _remember(
    cache: Any, row: Any, first: Any, second: Any, text: Any, at: Any, end: Any, ids: Any,
    number: Any,
) -> None:  # fmt: skip
    """Put a piece into the row of the cache, in place of what stands there.

    An empty cache that has no room for the piece stays as it is.
    """
    size, places = end - at, number if number > 2 else 0
    kept = size if size > 16 else 0
    if cache.used[0] + kept > len(cache.text) or cache.used[1] + places > len(cache.ids):
        if kept > len(cache.text) or places > len(cache.ids):
            return
        cache.rows[:, 2] = 0
        cache.used[0] = cache.used[1] = 0
    if kept:
        second = np.uint64(cache.used[0])
        for step in range(size):
            cache.text[cache.used[0] + step] = text[at + step]
        cache.used[0] += size
    if places:
        held = np.uint64(cache.used[1])
        for step in range(number):
            cache.ids[cache.used[1] + step] = ids[step]
        cache.used[1] += number
    else:
        held = np.uint64(ids[0]) | (np.uint64(ids[1]) << _HALF if number > 1 else np.uint64(0))
    cache.rows[row, 0], cache.rows[row, 1] = first, second
    cache.rows[row, 2] = np.uint64(size) << _HALF | np.uint64(number)
    cache.rows[row, 3] = held


@inner
def _home(first: Any, second: Any, size: Any) -> Any:
    """A hash of the keys. Its value reaches no output."""
    value = first * _PRIME + second * _OTHER_PRIME + np.uint64(size)
    value = (value ^ value >> _HALF) * _PRIME
    return value >> _HALF


@inner
def _holds(cache: Any, row: Any, first: Any, second: Any, text: Any, at: Any, size: Any) -> Any:
    """True if the row holds the piece."""
    if cache.rows[row, 2] >> _HALF != np.uint64(size) or cache.rows[row, 0] != first:
        return False
    if size <= 16:
        return cache.rows[row, 1] == second
    return same(text, at, size, cache.text, np.int64(cache.rows[row, 1]))


@inner
def _copied(cache: Any, row: Any, out: Any, written: Any) -> Any:
    """Write the ids that a row holds; how many are written then."""
    number, held = np.int64(cache.rows[row, 2] & _LOW), cache.rows[row, 3]
    if number > 2:
        for step in range(number):
            out[written + step] = cache.ids[np.int64(held) + step]
        return written + number
    out[written] = np.uint32(held & _LOW)
    if number == 2:
        out[written + 1] = np.uint32(held >> _HALF)
    return written + number


@inner
def _encode_piece(
    text: Any, at: Any, end: Any, home: Any, first: Any, second: Any, merges: Any, cache: Any,
    work: Any, out: Any, written: Any,
) -> Any:  # fmt: skip
    """Write the ids of a piece that is not in its first row; how many are written then."""
    size = end - at
    mask = np.uint64(len(cache.rows) - 1)
    chosen = (home + (first & np.uint64(PROBES - 1))) & mask
    if size <= CACHED:
        for probe in range(PROBES):
            row = (home + np.uint64(probe)) & mask
            if cache.rows[row, 2] == 0:
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
def _word_end(text: Any, at: Any, stop: Any) -> Any:
    """Where a piece ends that is a blank or none, a capital or none, and small ASCII letters.

    That is a piece to all expressions, if ASCII follows that is neither letter nor apostrophe. `at`
    where it is not so. Most pieces of most languages in Latin letters are found here.
    """
    end = at + 1 if text[at] == 0x20 else at
    if end < stop and np.uint8(text[end] - np.uint8(0x41)) < 26:
        end += 1
    begin = end
    while end < stop and np.uint8(text[end] - np.uint8(0x61)) < 26:
        end += 1
    if end == begin:
        return at
    if end < stop:
        following = text[end]
        if following >= 0x80 or following == 0x27 or np.uint8(following - np.uint8(0x41)) < 26:
            return at
    return end


@inner
def _cut(text: Any, at: Any, stop: Any, classes: Any, cut: Any, cache: Any, block: Any) -> Any:
    """The next pieces, at most as many as `block` has rows; their number.

    They are cut and their rows of the cache asked for before one is looked up: so the processor
    waits for many rows at a time.
    """
    number, mask = 0, np.uint64(len(cache.rows) - 1)
    while at < stop and number < BLOCK:
        end = _word_end(text, at, stop)
        if end == at:
            end = piece_end(text, at, stop, classes, cut)
        size = end - at
        first, second = np.uint64(0), np.uint64(0)
        if size <= 16:
            first = word(text, at, min(size, 8))
            if size > 8:
                second = word(text, at + 8, size - 8)
        elif size <= CACHED:
            first = long_hash(text, at, end)
        home = _home(first, second, size) & mask
        block[number, 0], block[number, 1], block[number, 2] = first, second, home
        block[number, 3] = np.uint64(end)
        block[number, 4] = cache.rows[home, 2]
        number, at = number + 1, end
    return number


@jit_bare
def encode(
    text: Any, offsets: Any, classes: Any, cut: Any, merges: Any, cache: Any, work: Any,
    block: Any, end_id: Any, out: Any, lengths: Any, state: Any,
) -> Any:  # fmt: skip
    """Ids of texts text[offsets[i]:offsets[i + 1]] in a row in `out`, and how many each has.

    `out` has room for an id a byte of all texts, and for `end_id` behind each unless it is
    negative. `block` has BLOCK rows of five. `state` is [text to go on with, its bytes done, ids
    written, ids written before it], zeros at first. Returns 0 when all is done; else the bytes of a
    piece that `work` is too small for: call again with more room.
    """
    row, done, written, began = state[0], state[1], state[2], state[3]
    while row < len(lengths):
        at, stop = offsets[row] + done, offsets[row + 1]
        while at < stop:
            for piece in range(_cut(text, at, stop, classes, cut, cache, block)):
                first, second, home = block[piece, 0], block[piece, 1], block[piece, 2]
                end = np.int64(block[piece, 3])
                if end - at <= CACHED and _holds(cache, home, first, second, text, at, end - at):
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
