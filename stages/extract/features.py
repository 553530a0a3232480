"""Features of a scanned page: the bridge between `ScannedPage` and the kernel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.extract.page import ScannedPage
from stages.kernels.html_features import LogOdds, page_features
from stages.kernels.html_tags import FACT

_TITLE, _DESCRIPTION = FACT["title"], FACT["meta_description"]
_NONE = np.zeros(2, dtype=np.int64)


class PageFeatures(NamedTuple):
    """What the kernel says of a page."""

    rows: Any
    """float32, a row a block with the columns of `FEATURES`."""
    hashes: Any
    """uint64, of each block's words."""
    places: Any
    """int32, of each node: `html_nodes.P_BLOCK`, `P_UP`, `P_DEPTH`."""
    paths: Any
    """uint64, of each node: the names on the way to the root."""
    words: Any
    """float32, words of each block."""


def features_of(page: ScannedPage, odds: LogOdds) -> PageFeatures:
    """Features of every block of a page."""
    return PageFeatures(
        *page_features(
            np.frombuffer(page.html, dtype=np.uint8), page.text, page.nodes, page.blocks,
            page.tokens, _first(page, _TITLE), _first(page, _DESCRIPTION), odds,
        )
    )  # fmt: skip


def _first(page: ScannedPage, kind: int) -> npt.NDArray[np.int64]:
    for row in page.facts:
        if row[0] == kind:
            return np.ascontiguousarray(row[1:])
    return _NONE
