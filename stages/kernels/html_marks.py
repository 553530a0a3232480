"""Blocks under elements whose names say what they are: readers' comments."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stages.kernels.html_text import NODE, PARENT, TOKENS_FROM, TOKENS_TO
from stages.kernels.jit import inner, jit_bare

LOW_BITS = np.uint32(4095)


def sieve_of(names: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """A flag for each value of the low bits that a name has."""
    sieve = np.zeros(int(LOW_BITS) + 1, dtype=np.bool_)
    sieve[names & LOW_BITS] = True
    return sieve


@jit_bare
def under_names(
    nodes: Any, blocks: Any, tokens: Any, names: Any, sieve: Any, marked: Any, found: Any
) -> Any:
    """Set for each block whether an element above it has a token of `names`, which is sorted.

    `sieve` (`sieve_of`) says at once of most tokens that they are none. `marked` is room, a flag a
    node.
    """
    marked[0] = False
    for n in range(1, len(nodes)):
        marked[n] = False
        if marked[nodes[n, PARENT]]:
            marked[n] = True
            continue
        for k in range(nodes[n, TOKENS_FROM], nodes[n, TOKENS_TO]):
            if sieve[tokens[k] & LOW_BITS] and is_in(names, tokens[k]):
                marked[n] = True
                break
    for b in range(len(blocks)):
        found[b] = marked[blocks[b, NODE]]


@inner
def is_in(names: Any, token: Any) -> Any:
    low, high = np.int64(0), np.int64(len(names))
    while low < high:
        middle = (low + high) // 2
        if names[middle] < token:
            low = middle + 1
        else:
            high = middle
    return low < len(names) and names[low] == token
