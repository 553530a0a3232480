"""Each kernel that extraction needs, asked for by a page of nothing (`execution/warm_up.py`)."""

from __future__ import annotations

import numpy as np

from pipeline.execution.warm_up import Call
from stages.extract.comments import comment_blocks
from stages.extract.features import best_blocks, context_of, features_of
from stages.extract.forest import probabilities, shares
from stages.extract.json_ld import JsonLd
from stages.extract.kind import page_vector
from stages.extract.model import load_model
from stages.extract.page import ScannedPage, Scanner
from stages.extract.related import related_blocks
from stages.extract.render import lay_out, render_page, whole_groups
from stages.kernels.html_columns import NUM_FEATURES
from stages.kernels.html_context import KINDS
from stages.kernels.html_text import BLOCK_COLUMNS, NODE_COLUMNS, PARENT


def scanner_kernels() -> tuple[Call, ...]:
    """What reads a page, for every engine's metadata."""
    return (lambda: Scanner().scan(b"<p>One page, long enough to be surveyed by the kernel.</p>"),)


def engine_kernels() -> tuple[Call, ...]:
    """What the engine `blocks` does with a scanned page, the longest to compile first."""
    page, model = _page_of_nothing(), load_model()
    none, words = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32)
    kinds = np.zeros(len(KINDS), dtype=np.float32)

    def context() -> None:
        found = features_of(page, model.odds)
        context_of(found, none, page.blocks, kinds)

    def choice() -> None:
        best_blocks(none, words, page, np.zeros(0, dtype=np.uint64))

    def forest() -> None:
        rows = np.zeros((0, NUM_FEATURES), dtype=np.float32)
        probabilities(rows, model.first)
        shares(page_vector(rows, words, JsonLd(), None), model.kind, len(KINDS))

    return (
        lambda: features_of(page, model.odds),
        lambda: render_page(page, np.zeros(0, dtype=np.bool_), "text"),
        lambda: whole_groups(lay_out(page), none, none, np.zeros(0, dtype=np.bool_)),
        context,
        choice,
        forest,
        lambda: comment_blocks(page),
        lambda: related_blocks(page, words, features_of(page, model.odds).places),
    )


def _page_of_nothing() -> ScannedPage:
    """A root without text, in arrays of the types that the scanner gives."""
    nodes = np.zeros((1, NODE_COLUMNS), dtype=np.int32)
    nodes[0, PARENT] = -1
    return ScannedPage(
        b" ",
        np.zeros(0, dtype=np.uint8),
        nodes,
        np.zeros((0, BLOCK_COLUMNS), dtype=np.int32),
        np.zeros(0, dtype=np.uint32),
        np.zeros((0, 3), dtype=np.int64),
        False,
    )
