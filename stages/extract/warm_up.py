"""Each kernel that extraction needs, asked for by a page of nothing (`execution/warm_up.py`)."""

from __future__ import annotations

import numpy as np

from pipeline.execution.warm_up import Call
from stages.extract.desk import Writer, chosen
from stages.extract.model import load_model
from stages.extract.page import ScannedPage, Scanner
from stages.kernels.html_judge import desk_for
from stages.kernels.html_text import BLOCK_COLUMNS, NODE_COLUMNS, PARENT


def scanner_kernels() -> tuple[Call, ...]:
    """What reads a page, for every engine's metadata."""
    return (lambda: Scanner().scan(b"<p>One page, long enough to be surveyed by the kernel.</p>"),)


def engine_kernels() -> tuple[Call, ...]:
    """What the engine `blocks` does with a scanned page, the longest to compile first."""
    page, model = _page_of_nothing(), load_model()
    return (
        lambda: Writer().judged(page, model, 0),
        lambda: chosen(page, desk_for(0, 1, 0), 0),
        lambda: Writer().written(page, desk_for(0, 1, 0), False),
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
