"""The order's closed forms, compiled: point by point, no memory, no GIL.

Numba's own cache on disk goes by the time stamp of a kernel's file, so a file's kernels call none
of another file.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
UInts = npt.NDArray[np.uint64]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _network(value: Any, half: Any, keys: UInts) -> Any:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = value >> half, value & mask
    for key in keys:
        mixed = right ^ key  # MurmurHash3's fmix64
        mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
        mixed ^= mixed >> np.uint64(33)
        left, right = right, left ^ (mixed & mask)
    return (left << half) | right


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def permute(indices: Ints, size: int, half: int, keys: UInts) -> Ints:
    """The keyed permutation of 0..size-1 at each index: a Feistel network with cycle walking."""
    found = np.empty(len(indices), np.int64)
    for at in range(len(indices)):
        value = _network(np.uint64(indices[at]), np.uint64(half), keys)
        while value >= np.uint64(size):
            value = _network(value, np.uint64(half), keys)
        found[at] = np.int64(value)
    return found


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _before(sizes: Ints, group: int, window: int) -> int:
    """Windows of all groups that stand before window `window` of `group`."""
    before = window
    for other in range(len(sizes)):
        if other != group:
            bound = (2 * window + 1) * sizes[other] + (1 if other < group else 0)
            odd = -(-bound // sizes[group])
            before += min(max(odd // 2, 0), sizes[other])
    return before


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
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
