"""What the second model sees besides: the first one's probabilities around a block.

`CONTEXT` names the columns in order. Means are weighted by words.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_nodes import P_BLOCK, P_UP
from stages.kernels.html_text import NODE
from stages.kernels.jit import jit

KINDS = ("article", "collection", "documentation", "forum", "listing", "product", "service")
STEPS = (-4, -3, -2, -1, 1, 2, 3, 4)
LEVELS = 5
CONTEXT: tuple[str, ...] = (
    "prob",
    *(f"prob{k:+d}" for k in STEPS),
    "before",
    "after",
    "window",
    *(f"up{k}_prob" for k in range(LEVELS)),
    *(f"up{k}_ratio" for k in range(LEVELS)),
    "path_prob",
    "up_path_prob",
    "page_prob",
    "page_words",
    "page_best",
    "page_sure",
    "page_unsure",
    "ratio_to_best",
    *(f"kind_{name}" for name in KINDS),
)
NUM_CONTEXT = len(CONTEXT)
_STEPS = np.array(STEPS, dtype=np.int64)
_DECAY = np.float32(0.6)
"""Share of the running mean that a block of average length leaves of what came before it."""


@jit
def context_features(
    rows: Any, prob: Any, words: Any, blocks: Any, places: Any, paths: Any, kind: Any
) -> Any:
    """`rows` with the context's columns behind them."""
    num, width = rows.shape
    out = np.empty((num, width + NUM_CONTEXT), dtype=np.float32)
    out[:, :width] = rows
    out[:, width:] = 0
    mass = np.empty(num, dtype=np.float32)
    for b in range(num):
        mass[b] = prob[b] * words[b]
    _along(out, width, prob, words, mass)
    at = _up_the_tree(out, width + 12, prob, words, mass, blocks, places)
    at = _by_path(out, at, words, mass, blocks, places, paths)
    total, wanted = max(words.sum(), np.float32(1.0)), mass.sum()
    best, sure, unsure = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for b in range(num):
        best = max(best, prob[b])
        sure += words[b] if prob[b] >= 0.8 else 0
        unsure += words[b] if 0.2 <= prob[b] < 0.8 else 0
    for b in range(num):
        row = out[b]
        row[at] = wanted / total
        row[at + 1] = np.log1p(wanted)
        row[at + 2] = best
        row[at + 3] = sure / total
        row[at + 4] = unsure / total
        row[at + 5] = prob[b] / max(best, np.float32(1e-6))
        for k in range(len(kind)):
            row[at + 6 + k] = kind[k]
    return out


@jit
def _along(out: Any, at: Any, prob: Any, words: Any, mass: Any) -> Any:
    """Own probability, those of neighbours, running means from both sides, a window's mean."""
    num = len(prob)
    before, after = np.float32(0.0), np.float32(0.0)
    for b in range(num):
        row = out[b]
        row[at] = prob[b]
        for k in range(len(_STEPS)):
            other = b + _STEPS[k]
            row[at + 1 + k] = prob[other] if 0 <= other < num else -1
        row[at + 9] = before
        weight = min(words[b] / np.float32(40.0), np.float32(1.0)) * (1 - _DECAY)
        before += weight * (prob[b] - before)
        some, all_ = np.float32(0.0), np.float32(1e-6)
        for other in range(max(b - 8, 0), min(b + 9, num)):
            some += mass[other]
            all_ += words[other]
        row[at + 11] = some / all_
    for b in range(num - 1, -1, -1):
        out[b, at + 10] = after
        weight = min(words[b] / np.float32(40.0), np.float32(1.0)) * (1 - _DECAY)
        after += weight * (prob[b] - after)


@jit
def _up_the_tree(
    out: Any, at: Any, prob: Any, words: Any, mass: Any, blocks: Any, places: Any
) -> Any:
    """Mean probability under the nearest block-level elements, and how their text compares."""
    num_nodes = len(places)
    some = np.zeros(num_nodes, dtype=np.float32)
    all_ = np.zeros(num_nodes, dtype=np.float32)
    for b in range(len(prob)):
        node = places[blocks[b, NODE], P_BLOCK]
        some[node] += mass[b]
        all_[node] += words[b]
    for n in range(num_nodes - 1, 0, -1):
        if places[n, P_BLOCK] == n:
            up = places[n, P_UP]
            if up != n:
                some[up] += some[n]
                all_[up] += all_[n]
    most = max(some[0], np.float32(1.0))
    for b in range(len(prob)):
        node = places[blocks[b, NODE], P_BLOCK]
        for k in range(LEVELS):
            out[b, at + k] = some[node] / max(all_[node], np.float32(1e-6))
            out[b, at + LEVELS + k] = some[node] / most
            node = places[node, P_UP]
    return at + 2 * LEVELS


@jit
def _by_path(out: Any, at: Any, words: Any, mass: Any, blocks: Any, places: Any, paths: Any) -> Any:
    num = len(words)
    keys = np.empty(num, dtype=np.uint64)
    for which in range(2):
        for b in range(num):
            node = blocks[b, NODE]
            keys[b] = paths[places[node, P_UP] if which else node]
        order = np.argsort(keys, kind="mergesort")
        first = 0
        while first < num:
            last, some, all_ = first, np.float32(0.0), np.float32(1e-6)
            while last < num and keys[order[last]] == keys[order[first]]:
                some += mass[order[last]]
                all_ += words[order[last]]
                last += 1
            for k in range(first, last):
                out[order[k], at + which] = some / all_
            first = last
    return at + 2


@jit
def column_means(rows: Any, words: Any) -> Any:
    """The mean of each column, then each mean weighted by words; summed block after block."""
    num, width = rows.shape
    plain = np.zeros(width, dtype=np.float32)
    weighted = np.zeros(width, dtype=np.float32)
    total = np.float32(0.0)
    for b in range(num):
        total += words[b]
        for k in range(width):
            plain[k] += rows[b, k]
            weighted[k] += rows[b, k] * words[b]
    plain /= np.float32(max(num, 1))
    weighted /= max(total, np.float32(1.0))
    return np.concatenate((plain, weighted))
