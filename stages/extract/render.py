"""The kept blocks of a scanned page as text or Markdown, and which of them only go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stages.extract.page import ScannedPage
from stages.kernels.html_layout import CELL_ROOM, LAYOUT_COLUMNS, MAX_LEVELS, keep_whole, layout
from stages.kernels.html_lines import STATE
from stages.kernels.html_render import write_blocks

Format = Literal["text", "markdown"]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """What each node and block is on its page (`stages.kernels.html_layout`)."""

    nodes: npt.NDArray[np.int32]
    groups: npt.NDArray[np.int32]
    """Of each block the node of the code or data table that it is part of, else -1."""


def lay_out(page: ScannedPage) -> Layout:
    """The layout of a page, all text counted, kept or not."""
    found = np.empty((len(page.nodes), LAYOUT_COLUMNS), dtype=np.int32)
    groups = np.empty(len(page.blocks), dtype=np.int32)
    room = np.empty(CELL_ROOM, dtype=np.uint32)
    layout(page.text, page.nodes, page.blocks, room, found, groups)
    return Layout(found, groups)


def whole_groups(laid_out: Layout, prob: Floats, words: Floats, kept: Flags) -> Flags:
    """`kept`, with whole code blocks and whole data tables kept or dropped as one.

    A group is kept if at least half of its words are; one without a word (symbols only) if the mean
    of its blocks' probabilities is at least a half. All arrays have a value a block.
    """
    whole = kept.copy()
    sums = np.empty((len(laid_out.nodes), 4), dtype=np.float64)
    keep_whole(laid_out.groups, prob, words, sums, whole)
    return whole


def render_page(
    page: ScannedPage, kept: Flags, format: Format, laid_out: Layout | None = None
) -> str:
    """The kept blocks in page order (`html_render` says how); "" if there are none.

    No line ends in white space, no control character but line end and tab is in it. The same for
    the same page and blocks, always.
    """
    kept = np.ascontiguousarray(kept, dtype=np.bool_)
    if len(kept) != len(page.blocks):
        raise ValueError(f"a flag for each of {len(page.blocks)} blocks expected, got {len(kept)}")
    at = (laid_out or lay_out(page)).nodes.copy()
    room = (
        page.text, page.nodes, page.blocks, kept, format == "markdown", at,
        np.empty((len(kept), 2), dtype=np.int32), np.empty(len(at), dtype=np.int32),
        np.empty(MAX_LEVELS, dtype=np.int64), np.empty(STATE, dtype=np.int64),
    )  # fmt: skip
    return written(room, np.empty(2 * len(page.text) + 4_096, dtype=np.uint8))[0]


def written(room: tuple[Any, ...], out: Bytes) -> tuple[str, Bytes]:
    """What `write_blocks` writes of all but its last argument; `out`, or the longer one needed."""
    write: Any = write_blocks
    size = write(*room, out)
    if size < 0:
        out = np.empty(-size, dtype=np.uint8)
        size = write(*room, out)
    return str(out[:size].data, "utf-8"), out
