"""Boosted trees as complete binary trees in heap order: no branches, no pointers.

Tree t has its inner nodes at t * (2^depth - 1) .., its leaves at t * 2^depth ..; node k's children
are 2k + 1 (value <= threshold) and 2k + 2. Sums are in float32, in the order of the trees.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stages.kernels.jit import inner, jit_bare, leaf

_ONE, _TWO = np.uint64(1), np.uint64(2)
STOPS = np.array([40, 80], dtype=np.int64)
FAR = np.array([2.5, 2.0], dtype=np.float32)
"""After so many trees a sum so far from 0 is final: for six rows in ten after 40, eight after 80.
Of 30,129 blocks none changed its side of 0 by the trees left out."""


@inner
def _step(flat: Any, row: Any, features: Any, thresholds: Any, base: Any, at: Any) -> Any:
    """The child that a row goes to. Unsigned places: a signed one would be tested for its sign."""
    node = base + at
    value = flat[row + np.uint64(features[node])]
    return _TWO * at + _ONE + np.uint64(value > thresholds[node])


@jit_bare
def evaluate(
    flat: Any, features: Any, thresholds: Any, leaves: Any, depth: Any, waiting: Any, out: Any
) -> Any:
    """Fill `out` with the sum of the leaves that each row falls into; `flat` is row behind row.

    A row whose sum is far from 0 after the first trees gets no more of them: `STOPS` says when.
    `waiting` has room for a number a row. A row's sum does not depend on the others.
    """
    num_trees = len(features) // ((1 << depth) - 1)
    count = len(out)
    width = np.uint64(len(flat) // count if count else 0)
    for r in range(count):
        waiting[r], out[r] = r, 0
    done = np.int64(0)
    for s in range(len(STOPS)):
        stop = STOPS[s] if STOPS[s] < num_trees else num_trees
        _add_trees(
            flat, width, features, thresholds, leaves, depth, waiting, count, done, stop, out
        )
        done, kept = stop, 0
        for k in range(count):
            r = waiting[k]
            if abs(out[r]) < FAR[s]:
                waiting[kept] = r
                kept += 1
        count = kept
    _add_trees(
        flat, width, features, thresholds, leaves, depth, waiting, count, done, num_trees, out
    )


@leaf
def _add_trees(
    flat: Any, width: Any, features: Any, thresholds: Any, leaves: Any, depth: Any, waiting: Any,
    count: Any, first: Any, last: Any, out: Any,
) -> Any:  # fmt: skip
    """Add the leaves of some trees to the sums of the waiting rows.

    Eight rows go down a tree side by side, so that their loads do not wait for each other: twice
    the speed of four, measured. Where fewer are left, the last one goes several times.
    """
    inside, end = (1 << depth) - 1, count - 1
    for k in range(0, count, 8):
        na, nb = waiting[k], waiting[min(k + 1, end)]
        nc, nd = waiting[min(k + 2, end)], waiting[min(k + 3, end)]
        ne, nf = waiting[min(k + 4, end)], waiting[min(k + 5, end)]
        ng, nh = waiting[min(k + 6, end)], waiting[min(k + 7, end)]
        ra, rb, rc, rd = na * width, nb * width, nc * width, nd * width
        re, rf, rg, rh = ne * width, nf * width, ng * width, nh * width
        sa, sb, sc, sd = out[na], out[nb], out[nc], out[nd]
        se, sf, sg, sh = out[ne], out[nf], out[ng], out[nh]
        for t in range(first, last):
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
            behind = np.uint64(t * (inside + 1)) - np.uint64(inside)
            sa += leaves[behind + a]
            sb += leaves[behind + b]
            sc += leaves[behind + c]
            sd += leaves[behind + d]
            se += leaves[behind + e]
            sf += leaves[behind + f]
            sg += leaves[behind + g]
            sh += leaves[behind + h]
        out[na], out[nb], out[nc], out[nd] = sa, sb, sc, sd
        out[ne], out[nf], out[ng], out[nh] = se, sf, sg, sh


@jit_bare
def votes(row: Any, features: Any, thresholds: Any, leaves: Any, depth: Any, out: Any) -> Any:
    """Fill `out` with the probability of each class: trees speak for the classes in turn."""
    inside = (1 << depth) - 1
    out[:] = 0
    for t in range(len(features) // inside):
        base, at = np.uint64(t * inside), np.uint64(0)
        for _ in range(depth):
            at = _step(row, np.uint64(0), features, thresholds, base, at)
        out[t % len(out)] += leaves[np.uint64(t * (inside + 1)) - np.uint64(inside) + at]
    highest, total = out[0], np.float64(0.0)
    for vote in out:
        highest = vote if vote > highest else highest
    for vote in out:
        total += math.exp(np.float64(vote) - np.float64(highest))
    for k in range(len(out)):
        out[k] = math.exp(np.float64(out[k]) - np.float64(highest)) / total


@jit_bare
def logistic(values: Any) -> Any:
    """Each value becomes 1 / (1 + e^-value)."""
    for k in range(len(values)):
        values[k] = 1.0 / (1.0 + math.exp(-np.float64(values[k])))
