"""The kept blocks of a scanned page as text or Markdown, and which of them only go together."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stages.extract.page import ScannedPage
from stages.kernels.html_layout import find_groups
from stages.kernels.html_render import render

Format = Literal["text", "markdown"]
Flags = npt.NDArray[np.bool_]

_SURE = 0.5


def whole_groups(
    page: ScannedPage, prob: npt.NDArray[Any], words: npt.NDArray[Any], kept: Flags
) -> Flags:
    """`kept`, with whole code blocks and whole data tables (`html_layout`) kept or dropped as one.

    A group is kept if at least half of its words are; one without a word (symbols only) if the mean
    of its blocks' probabilities is at least a half. All arrays have a value a block.
    """
    groups = find_groups(page.text, page.nodes, page.blocks)
    inside = groups >= 0
    if not inside.any():
        return kept.copy()
    owner = groups[inside]
    total, taken, likely, num_blocks = (
        np.bincount(owner, weights=weights, minlength=len(page.nodes))
        for weights in (words[inside], (words * kept)[inside], prob[inside], np.ones(len(owner)))
    )
    keep = np.where(total > 0, 2 * taken >= total, likely >= _SURE * num_blocks)
    whole = kept.copy()
    whole[inside] = keep[owner]
    return whole


def render_page(page: ScannedPage, kept: Flags, format: Format) -> str:
    """The kept blocks in page order (`html_render` says how); "" if there are none.

    No line ends in white space, no control character but line end and tab is in it. The same for
    the same page and blocks, always.
    """
    kept = np.ascontiguousarray(kept, dtype=np.bool_)
    if len(kept) != len(page.blocks):
        raise ValueError(f"a flag for each of {len(page.blocks)} blocks expected, got {len(kept)}")
    out = render(page.text, page.nodes, page.blocks, kept, format == "markdown")
    return str(out.tobytes(), "utf-8")
