"""How often each distinct piece stands in a column of texts, as flat arrays.

Counts are 64 bits. The table grows; pieces keep the order in which they were first met.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.kernels.jit import inner, jit
from stages.kernels.pieces import piece_end

_PRIME = np.uint64(0x9E3779B97F4A7C15)


class PieceCounts(NamedTuple):
    """Distinct pieces: piece i is data[ends[i]:ends[i + 1]] and was met counts[i] times."""

    data: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


class _Table(NamedTuple):
    """Pieces while they are counted, in an open table at most half full."""

    slots: Any
    hashes: Any
    counts: Any
    ends: Any
    data: Any
    size: Any
    """Number of pieces, in an array of one."""


@inner
def hash_piece(data: Any, start: Any, end: Any) -> Any:
    """A 64-bit hash of data[start:end]. Its value reaches no output."""
    value = np.uint64(end - start)
    for at in range(start, end):
        value = (value ^ np.uint64(data[at])) * _PRIME
        value ^= value >> np.uint64(29)
    return value


@inner
def copy(values: Any, start: Any, end: Any, to: Any, at: Any) -> None:
    """values[start:end] written to `to` from `at` on.

    With slices numba compiles the message of an error of shapes first: 2 seconds for each type.
    """
    for place in range(end - start):
        to[at + place] = values[start + place]


@jit
def _larger(array: Any, wanted: Any) -> Any:
    """A copy with room for twice as many, and for `wanted`."""
    found = np.empty(max(np.int64(wanted), np.int64(2 * len(array))), array.dtype)
    copy(array, 0, len(array), found, 0)
    return found


@jit
def _larger_slots(hashes: Any, number: Any) -> Any:
    """A table for twice as many, at most a third full."""
    slots = np.full(4 * len(hashes), -1, np.int32)
    mask = np.uint64(len(slots) - 1)
    for piece in range(number):
        at = hashes[piece] & mask
        while slots[at] >= 0:
            at = (at + np.uint64(1)) & mask
        slots[at] = piece
    return slots


@inner
def same_piece(data: Any, start: Any, end: Any, other: Any, begin: Any) -> Any:
    """True if data[start:end] stands in `other` at `begin`."""
    at = 0
    while start + at < end and data[start + at] == other[begin + at]:
        at += 1
    return start + at == end


@inner
def _slot(table: Any, value: Any, text: Any, at: Any, end: Any) -> Any:
    """Where the piece text[at:end] of that hash stands, or the free place for it."""
    mask = np.uint64(len(table.slots) - 1)
    slot = value & mask
    piece = table.slots[slot]
    while piece >= 0:
        begin = table.ends[piece]
        alike = table.hashes[piece] == value and table.ends[piece + 1] - begin == end - at
        if alike and same_piece(text, at, end, table.data, begin):
            break
        slot = (slot + np.uint64(1)) & mask
        piece = table.slots[slot]
    return slot


@jit
def _with_piece(table: Any, value: Any, text: Any, at: Any, end: Any) -> Any:
    """The table with a new piece that counts 0: the last one. Grows it where it is full."""
    slots, hashes, counts, ends, data, size = table
    number = size[0]
    used = ends[number]
    if used + end - at > len(data):
        data = _larger(data, used + end - at)
    if number == len(counts):
        counts, hashes, ends = _larger(counts, 0), _larger(hashes, 0), _larger(ends, 0)
        slots = _larger_slots(hashes, number)
    slots[_slot(_Table(slots, hashes, counts, ends, data, size), value, text, at, end)] = number
    hashes[number] = value
    counts[number] = 0
    copy(text, at, end, data, used)
    ends[number + 1] = used + end - at
    size[0] += 1
    return _Table(slots, hashes, counts, ends, data, size)


@jit
def count_pieces(text: Any, offsets: Any, classes: Any, cut: Any, weights: Any) -> Any:
    """(data, ends, counts) of the pieces of texts text[offsets[i]:offsets[i + 1]].

    With `weights` each text is one piece that counts so often.
    """
    table = _Table(
        np.full(1024, -1, np.int32), np.empty(256, np.uint64), np.empty(256, np.int64),
        np.zeros(257, np.int64), np.empty(4096, np.uint8), np.zeros(1, np.int64),
    )  # fmt: skip
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            end, count = stop, np.int64(1)
            if len(weights):
                count = weights[row]
            else:
                end = piece_end(text, at, stop, classes, cut)
            value = hash_piece(text, at, end)
            piece = table.slots[_slot(table, value, text, at, end)]
            if piece < 0:
                table = _with_piece(table, value, text, at, end)
                piece = np.int32(table.size[0] - 1)
            table.counts[piece] += count
            at = end
    size = table.size[0]
    used = table.ends[size]
    return table.data[:used].copy(), table.ends[: size + 1].copy(), table.counts[:size].copy()
