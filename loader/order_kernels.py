"""The order's closed forms, compiled: point by point, no memory, no GIL.

Numba's own cache on disk goes by the time stamp of a kernel's file, so a file's kernels call none
of another file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loader.jit import jit

Ints = npt.NDArray[np.int64]
UInts = npt.NDArray[np.uint64]


TOGETHER = 64
"""Indices that go through a round together; alone each would wait for its own products."""


@jit
def permute(indices: Ints, size: int, half: int, keys: UInts) -> Ints:
    """The keyed permutation of 0..size-1 at each index: a Feistel network with cycle walking."""
    found = np.empty(len(indices), np.int64)
    shift, bound = np.uint64(half), np.uint64(size)
    mask = (np.uint64(1) << shift) - np.uint64(1)
    left, right = np.empty(TOGETHER, np.uint64), np.empty(TOGETHER, np.uint64)
    places = np.empty(TOGETHER, np.int64)
    for first in range(0, len(indices), TOGETHER):
        count = min(TOGETHER, len(indices) - first)
        for at in range(count):
            value = np.uint64(indices[first + at])
            left[at], right[at], places[at] = value >> shift, value & mask, first + at
        while count:
            for key in keys:
                for at in range(count):
                    mixed = right[at] ^ key  # MurmurHash3's fmix64
                    mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
                    mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
                    mixed ^= mixed >> np.uint64(33)
                    left[at], right[at] = right[at], left[at] ^ (mixed & mask)
            outside = 0  # those walk on
            for at in range(count):
                value = (left[at] << shift) | right[at]
                if value < bound:
                    found[places[at]] = np.int64(value)
                else:
                    left[outside], right[outside] = left[at], right[at]
                    places[outside] = places[at]
                    outside += 1
            count = outside
    return found


@jit
def full_rows(
    first: int, apart: int, rows: int, count: int, epoch_first: int, size: int, half: int,
    keys: UInts, firsts_G: Ints, first_tokens_G: Ints, seq_len: int,
) -> tuple[Ints, Ints, Ints, Ints, Ints]:  # fmt: skip
    """Rows of batches, `apart` samples from each other, of one epoch of windows shuffled as one.

    (samples, groups, first tokens on the line, numbers of tokens, ends of the groups) of each row.
    firsts_G: windows before each group; first_tokens_G: tokens before each; both with all at last.
    """
    samples = np.empty(rows * count, np.int64)
    for batch in range(count):
        for row in range(rows):
            samples[batch * rows + row] = first + batch * apart + row
    places = permute(samples - epoch_first, size, half, keys)
    groups, begins = np.empty_like(samples), np.empty_like(samples)
    lengths, stops = np.empty_like(samples), np.empty_like(samples)
    for row in range(len(samples)):
        group = 0
        while firsts_G[group + 1] <= places[row]:
            group += 1
        groups[row], stops[row] = group, first_tokens_G[group + 1]
        begins[row] = first_tokens_G[group] + (places[row] - firsts_G[group]) * seq_len
        lengths[row] = min(seq_len, stops[row] - begins[row])
    return samples, groups, begins, lengths, stops


@jit
def _before(sizes: Ints, group: int, window: int) -> int:
    """Windows of all groups that stand before window `window` of `group`."""
    before = window
    for other in range(len(sizes)):
        if other != group:
            bound = (2 * window + 1) * sizes[other] + (1 if other < group else 0)
            odd = -(-bound // sizes[group])
            before += min(max(odd // 2, 0), sizes[other])
    return before


@jit
def interleave(sizes: Ints, places: Ints) -> tuple[Ints, Ints]:
    """`loader.order.interleaved` at each place; exact while 2 * max(sizes)^2 is below 2^62."""
    groups, windows = np.full(len(places), -1, np.int64), np.empty(len(places), np.int64)
    for at in range(len(places)):
        for group in range(len(sizes)):
            low, high = 0, sizes[group]
            while low < high:
                middle = (low + high) // 2
                if _before(sizes, group, middle) < places[at]:
                    low = middle + 1
                else:
                    high = middle
            if low < sizes[group] and _before(sizes, group, low) == places[at]:
                groups[at], windows[at] = group, low
                break
    return groups, windows
