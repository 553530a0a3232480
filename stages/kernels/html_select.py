"""Which blocks are kept: the set that the model expects to score best, each text once."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_text as h
from stages.kernels.html_groups import number_groups
from stages.kernels.jit import jit_bare, leaf

SURE = 0.8
"""Where the best set is expected to reach so much F1, no block below `FLOOR` is in it."""
FLOOR = 0.5
REPEATED_BYTES = 30
"""A text of so many bytes that is kept under another parent too is kept once."""
_LEAST = np.float64(1e-9)


@jit_bare
def choose_blocks(
    prob: Any, words: Any, nodes: Any, blocks: Any, hashes: Any, order: Any, slots: Any,
    groups: Any, firsts: Any, kept: Any,
) -> Any:  # fmt: skip
    """Fill `kept`; gives the expected F1. `order`: blocks by falling probability, then by place.

    The cut is where the expected F1 is highest. That of a set = 2 E[words kept that are main] /
    (words kept + E[main words]): the ratio of expectations stands for the expectation of the ratio.
    """
    num = len(prob)
    wanted = np.float64(0.0)
    for b in range(num):
        wanted += prob[b] * words[b]
    hit, taken, best, cut = np.float64(0.0), np.float64(0.0), np.float64(0.0), np.float32(2.0)
    sure_best, sure_cut = np.float64(0.0), np.float32(2.0)
    for k in range(num):
        b = order[k]
        hit += prob[b] * words[b]
        taken += words[b]
        if k + 1 < num and prob[order[k + 1]] == prob[b]:
            continue
        both = taken + wanted
        score = 2 * hit / (both if both > _LEAST else _LEAST)
        if score > best:
            best, cut = score, prob[b]
        if prob[b] >= FLOOR and score > sure_best:
            sure_best, sure_cut = score, prob[b]
    if best >= SURE and sure_cut <= 1:
        cut = sure_cut
    for b in range(num):
        kept[b] = prob[b] >= cut
    _drop_repeats(kept, nodes, blocks, groups, firsts, number_groups(
        hashes, slots, firsts, groups
    ))  # fmt: skip
    return best


@leaf
def _drop_repeats(kept: Any, nodes: Any, blocks: Any, groups: Any, firsts: Any, count: Any) -> Any:
    """Of kept blocks with the same words under different parents all but the first are dropped."""
    for g in range(count):
        firsts[g] = -1
    for b in range(len(kept)):
        if not kept[b]:
            continue
        first = firsts[groups[b]]
        if first < 0:
            firsts[groups[b]] = b
        elif blocks[b, h.END] - blocks[b, h.START] >= REPEATED_BYTES and (
            nodes[blocks[first, h.NODE], h.PARENT] != nodes[blocks[b, h.NODE], h.PARENT]
        ):
            kept[b] = False
