"""Boosted trees as complete binary trees in heap order: no branches, no pointers.

Tree t has its inner nodes at t * (2^depth - 1) .., its leaves at t * 2^depth ..; node k's children
are 2k + 1 (value <= threshold) and 2k + 2. Sums are in float32, in the order of the trees.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stages.kernels.jit import inner, jit

_ONE, _TWO = np.uint64(1), np.uint64(2)


@inner
def _step(flat: Any, row: Any, features: Any, thresholds: Any, base: Any, at: Any) -> Any:
    """The child that a row goes to. Unsigned places: a signed one would be tested for its sign."""
    node = base + at
    value = flat[row + np.uint64(features[node])]
    return _TWO * at + _ONE + np.uint64(value > thresholds[node])


@jit
def evaluate(rows: Any, features: Any, thresholds: Any, leaves: Any, depth: Any) -> Any:
    """The sum of the leaves that each row falls into.

    Eight rows go down a tree side by side, so that their loads do not wait for each other: twice
    the speed of four, measured.
    """
    num_rows, inside = len(rows), (1 << depth) - 1
    num_trees = len(features) // inside
    out = np.zeros(num_rows, dtype=np.float32)
    flat, width = rows.ravel(), np.uint64(rows.shape[1])
    r = 0
    while r < num_rows:
        if r + 8 > num_rows:
            _one_row(flat, r, width, features, thresholds, leaves, depth, out)
            r += 1
            continue
        ra = np.uint64(r) * width
        rb, rc, rd = ra + width, ra + _TWO * width, ra + np.uint64(3) * width
        re, rf, rg = rd + width, rd + _TWO * width, rd + np.uint64(3) * width
        rh = rg + width
        for t in range(num_trees):
            base = np.uint64(t * inside)
            a = b = c = d = e = f = g = h = np.uint64(0)
            for _ in range(depth):
                a = _step(flat, ra, features, thresholds, base, a)
                b = _step(flat, rb, features, thresholds, base, b)
                c = _step(flat, rc, features, thresholds, base, c)
                d = _step(flat, rd, features, thresholds, base, d)
                e = _step(flat, re, features, thresholds, base, e)
                f = _step(flat, rf, features, thresholds, base, f)
                g = _step(flat, rg, features, thresholds, base, g)
                h = _step(flat, rh, features, thresholds, base, h)
            leaf = np.uint64(t * (inside + 1)) - np.uint64(inside)
            out[r] += leaves[leaf + a]
            out[r + 1] += leaves[leaf + b]
            out[r + 2] += leaves[leaf + c]
            out[r + 3] += leaves[leaf + d]
            out[r + 4] += leaves[leaf + e]
            out[r + 5] += leaves[leaf + f]
            out[r + 6] += leaves[leaf + g]
            out[r + 7] += leaves[leaf + h]
        r += 8
    return out


@inner
def _one_row(
    flat: Any, r: Any, width: Any, features: Any, thresholds: Any, leaves: Any, depth: Any,
    out: Any,
) -> Any:  # fmt: skip
    inside, row = (1 << depth) - 1, np.uint64(r) * width
    for t in range(len(features) // inside):
        at = np.uint64(0)
        for _ in range(depth):
            at = _step(flat, row, features, thresholds, np.uint64(t * inside), at)
        out[r] += leaves[np.uint64(t * (inside + 1)) - np.uint64(inside) + at]


@jit
def votes(row: Any, features: Any, thresholds: Any, leaves: Any, depth: Any, classes: Any) -> Any:
    """The sum of leaves of each class, of trees that speak for the classes in turn."""
    inner = (1 << depth) - 1
    out = np.zeros(classes, dtype=np.float32)
    for t in range(len(features) // inner):
        base, i = t * inner, np.int64(0)
        for _ in range(depth):
            i = 2 * i + 1 + (row[features[base + i]] > thresholds[base + i])
        out[t % classes] += leaves[t * (inner + 1) - inner + i]
    return out


@jit
def logistic(raw: Any) -> Any:
    """1 / (1 + e^-x), by the C library: numpy's own exponential differs between processors."""
    out = np.empty(len(raw), dtype=np.float32)
    for k in range(len(raw)):
        out[k] = 1.0 / (1.0 + math.exp(-np.float64(raw[k])))
    return out


@jit
def softmax(raw: Any) -> Any:
    """Shares of e^x, summing to 1; by the C library's exponential too."""
    out = np.empty(len(raw), dtype=np.float64)
    for k in range(len(raw)):
        out[k] = math.exp(np.float64(raw[k]) - np.float64(raw.max()))
    return (out / out.sum()).astype(np.float32)
