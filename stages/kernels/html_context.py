"""What the second model sees besides: the first one's probabilities around a block.

`CONTEXT` names the columns in order. Means are weighted by words.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stages.kernels.html_columns import NUM_FEATURES, mass_or_one
from stages.kernels.html_groups import number_groups
from stages.kernels.html_nodes import P_BLOCK, P_UP
from stages.kernels.html_text import NODE
from stages.kernels.jit import inner, jit_bare, leaf

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
_FIRST = np.int64(NUM_FEATURES)
_STEPS = np.array(STEPS, dtype=np.int64)
_DECAY = np.float32(0.6)
"""Share of the running mean that a block of `_WHOLE` words leaves of what came before it."""
_WHOLE = np.float32(40.0)
_LEAST = np.float32(1e-6)


@jit_bare
def context_features(
    out: Any, prob: Any, words: Any, blocks: Any, places: Any, paths: Any, kind: Any, mass: Any,
    sums: Any, keys: Any, slots: Any, groups: Any, firsts: Any,
) -> Any:  # fmt: skip
    """Fill the context's columns of `out`, which stand behind the features.

    Room: `mass` a value a block, `sums` two a node and at least two a block, the rest as
    `html_groups.number_groups` takes it.
    """
    num = len(out)
    for b in range(num):
        mass[b] = prob[b] * words[b]
    _along(out, _FIRST, prob, words, mass)
    at = _up_the_tree(out, _FIRST + 12, prob, words, mass, blocks, places, sums)
    for which in range(2):
        for b in range(num):
            node = np.int64(blocks[b, NODE])
            keys[b] = paths[places[node, P_UP] if which else node]
        count = number_groups(keys, slots, firsts, groups)
        _mean_of_groups(out, at + which, count, groups, words, mass, sums)
    _of_page(out, at + 2, prob, words, mass, kind)


@leaf
def _of_page(out: Any, at: Any, prob: Any, words: Any, mass: Any, kind: Any) -> Any:
    total, wanted = np.float32(0.0), np.float32(0.0)
    best, sure, unsure = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for b in range(len(prob)):
        total += words[b]
        wanted += mass[b]
        if prob[b] > best:
            best = prob[b]
        if prob[b] >= 0.8:
            sure += words[b]
        elif prob[b] >= 0.2:
            unsure += words[b]
    total = mass_or_one(total)
    log_wanted = np.float32(math.log1p(np.float64(wanted)))
    most = best if best > np.float32(1e-6) else np.float32(1e-6)
    for b in range(len(prob)):
        row = out[b]
        row[at] = wanted / total
        row[at + 1] = log_wanted
        row[at + 2] = best
        row[at + 3] = sure / total
        row[at + 4] = unsure / total
        row[at + 5] = prob[b] / most
        for k in range(len(kind)):
            row[at + 6 + k] = kind[k]


@leaf
def _along(out: Any, at: Any, prob: Any, words: Any, mass: Any) -> Any:
    """Own probability, those of neighbours, running means from both sides, a window's mean."""
    num = len(prob)
    before, after = np.float32(0.0), np.float32(0.0)
    for b in range(num):
        row = out[b]
        row[at] = prob[b]
        for k in range(len(_STEPS)):
            other = b + _STEPS[k]
            row[at + 1 + k] = prob[other] if 0 <= other < num else np.float32(-1.0)
        row[at + 9] = before
        before += _weight(words[b]) * (prob[b] - before)
        some, all_ = np.float32(0.0), np.float32(1e-6)
        for other in range(b - 8 if b > 8 else 0, b + 9 if b + 9 < num else num):
            some += mass[other]
            all_ += words[other]
        row[at + 11] = some / all_
    for b in range(num - 1, -1, -1):
        out[b, at + 10] = after
        after += _weight(words[b]) * (prob[b] - after)


@inner
def _weight(words: Any) -> Any:
    """How much a block moves the running mean: by its length, up to `_WHOLE` words."""
    share = words / _WHOLE
    return (share if share < np.float32(1.0) else np.float32(1.0)) * (np.float32(1.0) - _DECAY)


@leaf
def _up_the_tree(
    out: Any, at: Any, prob: Any, words: Any, mass: Any, blocks: Any, places: Any, sums: Any
) -> Any:
    """Mean probability under the nearest block-level elements, and how their text compares."""
    for n in range(len(places)):
        sums[n, 0] = sums[n, 1] = 0
    for b in range(len(prob)):
        node = np.int64(places[blocks[b, NODE], P_BLOCK])
        sums[node, 0] += mass[b]
        sums[node, 1] += words[b]
    for n in range(len(places) - 1, 0, -1):
        up = np.int64(places[n, P_UP])
        if places[n, P_BLOCK] == n and up != n:
            sums[up, 0] += sums[n, 0]
            sums[up, 1] += sums[n, 1]
    most = mass_or_one(sums[0, 0])
    for b in range(len(prob)):
        node = np.int64(places[blocks[b, NODE], P_BLOCK])
        for k in range(LEVELS):
            all_ = sums[node, 1]
            out[b, at + k] = sums[node, 0] / (all_ if all_ > _LEAST else _LEAST)
            out[b, at + LEVELS + k] = sums[node, 0] / most
            node = np.int64(places[node, P_UP])
    return at + 2 * LEVELS


@leaf
def _mean_of_groups(
    out: Any, at: Any, count: Any, groups: Any, words: Any, mass: Any, sums: Any
) -> Any:
    for g in range(count):
        sums[g, 0], sums[g, 1] = np.float32(0.0), _LEAST
    for b in range(len(groups)):
        sums[groups[b], 0] += mass[b]
        sums[groups[b], 1] += words[b]
    for b in range(len(groups)):
        out[b, at] = sums[groups[b], 0] / sums[groups[b], 1]


@jit_bare
def column_means(rows: Any, words: Any, out: Any) -> Any:
    """Fill `out`: the mean of each of the first columns, then each weighted by words.

    Summed block by block. There are as many columns as half of `out` has room for.
    """
    num, width = len(rows), len(out) // 2
    out[:] = 0
    total = np.float32(0.0)
    for b in range(num):
        total += words[b]
        for k in range(width):
            out[k] += rows[b, k]
        for k in range(width):
            out[width + k] += rows[b, k] * words[b]
    blocks, total = np.float32(num if num > 0 else 1), mass_or_one(total)
    for k in range(width):
        out[k] /= blocks
        out[width + k] /= total
