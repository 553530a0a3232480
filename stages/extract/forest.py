"""Asking boosted trees: the room that their kernel needs, and what sums of leaves mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.kernels import trees as kernels
from stages.kernels.tree_lanes import LANES

Floats = npt.NDArray[np.float32]


class Trees(NamedTuple):
    """Complete trees as `stages.kernels.trees` reads them."""

    features: Any
    thresholds: Any
    leaves: Any
    depth: int


def sums(rows: Floats, trees: Trees) -> Floats:
    """The sum of leaves of each row; trees that cannot matter any more are left out (`STOPS`)."""
    out = np.empty(len(rows), dtype=np.float32)
    waiting = np.empty(len(rows), dtype=np.uint64)
    columns = np.empty(rows.shape[1] * LANES, dtype=np.float32)
    room = np.empty(kernels.NODE_ROOM, dtype=np.float32)
    flat, used = rows.reshape(-1), rows.shape[1]
    kernels.evaluate(flat, used, *trees, waiting, columns, room, out)
    return out


def probabilities(rows: Floats, trees: Trees) -> Floats:
    """The logistic function of the sums of leaves, by the C library: numpy's exponential differs
    between processors."""
    out = sums(rows, trees)
    kernels.logistic(out)
    return out


def shares(row: Floats, trees: Trees, classes: int) -> Floats:
    """The probability of each class, where tree i speaks for class i mod `classes`; sum 1."""
    out = np.empty(classes, dtype=np.float32)
    kernels.votes(row, *trees, out)
    return out
