"""The bridge between a scanned page and the kernels of the model: it makes the room they write in.

Arrays are made here by numpy: each allocation inside a kernel costs it a third of a second to
compile, and the counting of references to all its arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.extract.page import ScannedPage
from stages.kernels.html_columns import (
    GROUP,
    NAMES,
    NUM_FEATURES,
    SET_SLOTS,
    SHARES,
    LogOdds,
)
from stages.kernels.html_context import NUM_CONTEXT, context_features
from stages.kernels.html_features import page_features
from stages.kernels.html_groups import slots_for
from stages.kernels.html_nodes import PLACE_COLUMNS, SUM_COLUMNS
from stages.kernels.html_tags import FACT
from stages.kernels.html_words import COUNT_COLUMNS, WORDS

_TITLE, _DESCRIPTION = FACT["title"], FACT["meta_description"]
_NONE = ((0, 0),)


class PageFeatures(NamedTuple):
    """What the kernel says of a page."""

    table: Any
    """float32, a row a block: the columns of `FEATURES`, and room for those of `CONTEXT`."""
    hashes: Any
    """uint64, of each block's words."""
    places: Any
    """int32, of each node: `html_nodes.P_BLOCK`, `P_UP`, `P_DEPTH`."""
    paths: Any
    """uint64, of each node: the names on the way to the root."""
    words: Any
    """float32, words of each block."""

    @property
    def rows(self) -> npt.NDArray[np.float32]:
        """The columns of `FEATURES` alone."""
        return self.table[:, :NUM_FEATURES]  # type: ignore[no-any-return]


def features_of(page: ScannedPage, odds: LogOdds) -> PageFeatures:
    """Features of every block of a page."""
    num, num_nodes = len(page.blocks), len(page.nodes)
    counts = np.empty((num, COUNT_COLUMNS), dtype=np.int64)
    hashes = np.empty(num, dtype=np.uint64)
    places = np.empty((num_nodes, PLACE_COLUMNS), dtype=np.int32)
    paths = np.empty(num_nodes, dtype=np.uint64)
    table = np.empty((num, NUM_FEATURES + NUM_CONTEXT), dtype=np.float32)
    written = page_features(
        np.frombuffer(page.html, dtype=np.uint8), page.text, page.nodes, page.blocks,
        page.tokens, page.spans.get(_TITLE, _NONE)[0], page.spans.get(_DESCRIPTION, _NONE)[0],
        odds, counts, hashes,
        np.empty(len(page.text) + 1, dtype=np.uint32), places, paths,
        np.empty((num_nodes, SUM_COLUMNS), dtype=np.float32),
        np.empty(num_nodes, dtype=np.int32), np.empty((num_nodes, NAMES), dtype=np.float32),
        np.empty((num, SHARES), dtype=np.float32), np.empty(num, dtype=np.uint64),
        np.empty(slots_for(num), dtype=np.int32), np.empty(num, dtype=np.int32),
        np.empty(num, dtype=np.int32), np.empty((num, GROUP), dtype=np.float32),
        np.empty((3, SET_SLOTS), dtype=np.uint32), table,
    )  # fmt: skip
    if written != NUM_FEATURES:
        raise ValueError(f"the kernel writes {written} columns, FEATURES names {NUM_FEATURES}")
    return PageFeatures(table, hashes, places, paths, counts[:, WORDS].astype(np.float32))


def context_of(
    found: PageFeatures, prob: Any, blocks: npt.NDArray[np.int32], kinds: Any
) -> npt.NDArray[np.float32]:
    """What the second model sees: the features, with the first one's answers around each block.

    It is `found.table`, whose last columns are filled here.
    """
    num = len(found.table)
    context_features(
        found.table, prob, found.words, blocks, found.places, found.paths, kinds,
        np.empty(num, dtype=np.float32),
        np.empty((max(num, len(found.places)), 2), dtype=np.float32),
        np.empty(num, dtype=np.uint64), np.empty(slots_for(num), dtype=np.int32),
        np.empty(num, dtype=np.int32), np.empty(num, dtype=np.int32),
    )  # fmt: skip
    return found.table  # type: ignore[no-any-return]
