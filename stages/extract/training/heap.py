"""LightGBM's trees in the layout of `stages.kernels.trees`: complete binary trees in heap order.

A leaf above the last level is repeated below; the tests there compare with +infinity, which any
feature passes to the left. LightGBM compares in float64: the largest float32 that is not above
its threshold decides equally for every float32 feature. What LightGBM starts from (its average)
is already in the leaves of the first tree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stages.extract.forest import Trees


def trees_of(booster: Any, depth: int) -> Trees:
    """The trees of a booster, in its order. Raises ValueError at one that does not fit."""
    found = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    inner = (1 << depth) - 1
    features = np.zeros((len(found), inner), dtype=np.uint16)
    thresholds = np.full((len(found), inner), np.inf, dtype=np.float32)
    leaves = np.zeros((len(found), inner + 1), dtype=np.float32)
    for at, root in enumerate(found):
        _fill(root, features[at], thresholds[at], leaves[at])
    return Trees(features.ravel(), thresholds.ravel(), leaves.ravel(), depth)


def _fill(
    root: dict[str, Any],
    features: npt.NDArray[np.uint16],
    thresholds: npt.NDArray[np.float32],
    leaves: npt.NDArray[np.float32],
) -> None:
    inner, waiting = len(features), [(root, 0)]
    while waiting:
        node, at = waiting.pop()
        if "split_feature" not in node:
            first, last = at, at
            while first < inner:
                first, last = 2 * first + 1, 2 * last + 2
            leaves[first - inner : last - inner + 1] = node["leaf_value"]
            continue
        if at >= inner:
            raise ValueError(f"a tree is deeper than {(inner + 1).bit_length() - 1} levels")
        if node["decision_type"] != "<=":
            raise ValueError(f"a split by {node['decision_type']!r}: expected '<='")
        features[at] = node["split_feature"]
        thresholds[at] = floor_float32(node["threshold"])
        waiting += ((node["left_child"], 2 * at + 1), (node["right_child"], 2 * at + 2))


def floor_float32(value: float) -> np.float32:
    """The largest float32 that is not above the value."""
    near = np.float32(value)
    return near if float(near) <= value else np.nextafter(near, np.float32(-np.inf))
