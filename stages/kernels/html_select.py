"""Which blocks are kept: the set that the model expects to score best, each text once."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_text as h
from stages.kernels.jit import jit

SURE = 0.8
"""Where the best set is expected to reach so much F1, no block below `FLOOR` is in it."""
FLOOR = 0.5
REPEATED_BYTES = 30
"""A text of so many bytes that is kept under another parent too is kept once."""


@jit
def choose_blocks(prob: Any, words: Any, blocks: Any, parents: Any, hashes: Any) -> Any:
    """(kept, expected F1). Blocks by falling probability, cut where expected F1 is highest.

    Expected F1 of a set = 2 E[words kept that are main] / (words kept + E[main words]): the ratio
    of expectations stands for the expectation of the ratio.
    """
    num = len(prob)
    kept = np.zeros(num, dtype=np.bool_)
    order = np.argsort(-prob, kind="mergesort")
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
        score = 2 * hit / max(taken + wanted, 1e-9)
        if score > best:
            best, cut = score, prob[b]
        if prob[b] >= FLOOR and score > sure_best:
            sure_best, sure_cut = score, prob[b]
    if best >= SURE and sure_cut <= 1:
        cut = sure_cut
    for b in range(num):
        kept[b] = prob[b] >= cut
    _drop_repeats(kept, blocks, parents, hashes)
    return kept, best


@jit
def _drop_repeats(kept: Any, blocks: Any, parents: Any, hashes: Any) -> Any:
    """Of kept blocks with the same words under different parents all but the first are dropped."""
    order = np.argsort(hashes, kind="mergesort")
    first = 0
    for k in range(1, len(order)):
        if hashes[order[k]] != hashes[order[first]]:
            first = k
            continue
        a, b = order[first], order[k]
        if not kept[a]:
            first = k
        elif blocks[b, h.END] - blocks[b, h.START] >= REPEATED_BYTES and parents[a] != parents[b]:
            kept[b] = False
