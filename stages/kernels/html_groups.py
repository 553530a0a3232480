"""Equal keys get equal numbers: what groups blocks by path or by text, without sorting them."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.jit import leaf

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: its high bits depend on all bits of a key (Knuth, 6.4)."""


def slots_for(num: int) -> int:
    """Slots that `number_groups` needs for so many keys: a power of two, at most half full."""
    return max(4, 1 << (2 * num - 1).bit_length()) if num else 4


@leaf
def number_groups(keys: Any, slots: Any, firsts: Any, groups: Any) -> Any:
    """Give each key its group's number, in the order of their first keys; how many there are.

    `slots` has `slots_for` entries or more, a power of two; `firsts` gets each group's first place.
    """
    used = np.int64(2)
    while used < 2 * len(keys):
        used *= 2
    for k in range(used):
        slots[k] = -1
    mask = np.uint64(used - 1)
    count = np.int64(0)
    for k in range(len(keys)):
        mixed = keys[k] * _SPREAD
        at = (mixed ^ mixed >> np.uint64(32)) & mask
        while slots[at] >= 0 and keys[firsts[slots[at]]] != keys[k]:
            at = (at + np.uint64(1)) & mask
        if slots[at] < 0:
            slots[at] = count
            firsts[count] = k
            count += 1
        groups[k] = slots[at]
    return count
