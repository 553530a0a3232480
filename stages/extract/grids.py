"""Pages that are collections: an entry is as likely main text as the entries beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stages.extract.features import PageFeatures
from stages.kernels.html_context import KINDS
from stages.kernels.html_nodes import P_UP
from stages.kernels.html_text import NODE

SURE = 0.7
"""From this probability of `collection` on. Listings gain nothing: their side columns are lists
too (docs/notes/extraction-trials.md)."""
SHARED = np.float32(0.6)
"""How much the group counts: .3 and 1 were tried."""
_COLLECTION = KINDS.index("collection")

Floats = npt.NDArray[np.float32]


def with_neighbours(found: PageFeatures, prob: Floats, blocks: Any, kinds: Floats) -> Floats:
    """`prob`; on a collection each block's is mixed with its group's mean, weighted by words.

    A group is what stands under parents with the same path of names: the entries of a grid, and
    all their lines.
    """
    if kinds[_COLLECTION] < SURE:
        return prob
    keys = found.paths[found.places[blocks[:, NODE], P_UP]]
    _, group = np.unique(keys, return_inverse=True)
    words = found.words.astype(np.float64)
    mean = np.bincount(group, prob * words) / np.maximum(np.bincount(group, words), 1e-6)
    mixed = (1 - SHARED) * prob + SHARED * mean[group]
    return mixed.astype(np.float32)
