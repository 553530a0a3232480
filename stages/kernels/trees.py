"""Boosted trees as complete binary trees in heap order: no branches, no pointers.

Tree t has its inner nodes at t * (2^depth - 1) .., its leaves at t * 2^depth ..; node k's children
are 2k + 1 (value <= threshold) and 2k + 2. Sums are in float32, in the order of the trees.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stages.kernels.jit import inner, jit_bare, leaf
from stages.kernels.tree_lanes import (
    LANES,
    TILE,
    add_root,
    fork_of_leaves,
    fork_of_nodes,
    root_of_two,
    turn_tile,
)

FEW = 8
"""So few rows walk: on twice as many both ways take as long."""
MAX_DEPTH = 12
NODE_ROOM = ((1 << MAX_DEPTH) + 2) * LANES
"""Numbers: what each node of a tree says of each row, and a sum a row."""

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
    flat: Any, used: Any, features: Any, thresholds: Any, leaves: Any, depth: Any, waiting: Any,
    columns: Any, room: Any, out: Any,
) -> Any:  # fmt: skip
    """Fill `out` with the sum of the leaves that each row falls into; `flat` is row behind row.

    A row whose sum is far from 0 after the first trees gets no more of them: `STOPS` says when. A
    row's sum does not depend on the others. The trees look at the first `used` columns only.
    Room: `waiting` a number a row, `columns` `LANES` a column, `room` `NODE_ROOM`.
    """
    num_trees = len(features) // ((1 << depth) - 1)
    count = len(out)
    width = np.int64(len(flat) // count if count else 0)
    for r in range(count):
        waiting[r], out[r] = r, 0
    done = np.int64(0)
    for s in range(len(STOPS)):
        stop = STOPS[s] if STOPS[s] < num_trees else num_trees
        _add_trees(
            flat, width, used, features, thresholds, leaves, depth, waiting, count, done, stop,
            columns, room, out,
        )  # fmt: skip
        done, kept = stop, 0
        for k in range(count):
            r = waiting[k]
            if abs(out[r]) < FAR[s]:
                waiting[kept] = r
                kept += 1
        count = kept
    _add_trees(
        flat, width, used, features, thresholds, leaves, depth, waiting, count, done, num_trees,
        columns, room, out,
    )  # fmt: skip


@leaf
def _add_trees(
    flat: Any, width: Any, used: Any, features: Any, thresholds: Any, leaves: Any, depth: Any,
    waiting: Any, count: Any, first: Any, last: Any, columns: Any, room: Any, out: Any,
) -> Any:  # fmt: skip
    """Add the leaves of some trees to the sums of the waiting rows, `LANES` of them at a time."""
    inside, sums = np.int64((1 << depth) - 1), np.int64((1 << depth) + 1)
    if first >= last:
        return
    for k in range(0, count, LANES):
        rows = waiting[k : min(k + LANES, count)]
        if len(rows) <= FEW:
            _walk(flat, width, features, thresholds, leaves, depth, rows, first, last, out)
            continue
        _side_by_side(flat, width, used, rows, columns)
        for lane in range(len(rows)):
            room[sums * LANES + lane] = out[rows[lane]]
        for t in range(first, last):
            base = t * inside
            _ask(columns, features, thresholds, base, leaves, base + t - inside, depth, room)
            add_root(room, sums)
        for lane in range(len(rows)):
            out[rows[lane]] = room[sums * LANES + lane]


@leaf
def _walk(
    flat: Any, width: Any, features: Any, thresholds: Any, leaves: Any, depth: Any, rows: Any,
    first: Any, last: Any, out: Any,
) -> Any:  # fmt: skip
    """Add the leaves of some trees to the sums of up to eight rows.

    They go down a tree side by side, so that their loads do not wait for each other; where fewer
    are left, the last one goes several times.
    """
    inside, end, wide = (1 << depth) - 1, len(rows) - 1, np.uint64(width)
    na, nb, nc, nd = rows[0], rows[min(1, end)], rows[min(2, end)], rows[min(3, end)]
    ne, nf, ng, nh = rows[min(4, end)], rows[min(5, end)], rows[min(6, end)], rows[min(7, end)]
    ra, rb, rc, rd = na * wide, nb * wide, nc * wide, nd * wide
    re, rf, rg, rh = ne * wide, nf * wide, ng * wide, nh * wide
    sa, sb, sc, sd, se, sf, sg, sh = (
        out[na], out[nb], out[nc], out[nd], out[ne], out[nf], out[ng], out[nh]
    )  # fmt: skip
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


@inner
def _side_by_side(flat: Any, width: Any, used: Any, rows: Any, columns: Any) -> Any:
    """The first columns of some rows. Lanes without a row hold what they held, or the last row."""
    if used < TILE:
        for lane in range(len(rows)):
            for column in range(used):
                columns[column * LANES + lane] = flat[np.int64(rows[lane]) * width + column]
        return
    end = len(rows) - 1
    for lane in range(0, len(rows), TILE):
        starts = (
            np.int64(rows[lane]) * width,
            np.int64(rows[min(lane + 1, end)]) * width,
            np.int64(rows[min(lane + 2, end)]) * width,
            np.int64(rows[min(lane + 3, end)]) * width,
            np.int64(rows[min(lane + 4, end)]) * width,
            np.int64(rows[min(lane + 5, end)]) * width,
            np.int64(rows[min(lane + 6, end)]) * width,
            np.int64(rows[min(lane + 7, end)]) * width,
        )
        for column in range(0, used, TILE):  # the last tile ends with the last column
            turn_tile(flat, starts, min(column, used - TILE), columns, lane)


@inner
def _ask(
    columns: Any, features: Any, thresholds: Any, base: Any, leaves: Any, behind: Any, depth: Any,
    room: Any,
) -> Any:  # fmt: skip
    """Put the leaf of each row into the root's place: two levels at a time, from the leaves up."""
    level = depth - 2
    if level < 0:
        for lane in range(LANES):
            room[LANES + lane] = leaves[behind + 1]
            room[2 * LANES + lane] = leaves[behind + 2]
    else:
        for node in range((1 << level) - 1, (2 << level) - 1):
            fork_of_leaves(columns, features, thresholds, base, leaves, behind, node, room)
        level -= 2
    while level >= 0:
        for node in range((1 << level) - 1, (2 << level) - 1):
            fork_of_nodes(columns, features, thresholds, base, node, room)
        level -= 2
    if level == -1:
        root_of_two(columns, features, thresholds, base, room)


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
