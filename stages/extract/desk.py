"""From a scanned page and the model to the page's main text, in one room for all pages."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from stages.extract.comments import comment_names
from stages.extract.model import BlocksModel
from stages.extract.page import ScannedPage
from stages.extract.related import related_names
from stages.extract.render import written
from stages.kernels.html_choice import Lists, choose_main
from stages.kernels.html_columns import NUM_FEATURES
from stages.kernels.html_context import KINDS
from stages.kernels.html_judge import Desk, desk_for, judge
from stages.kernels.html_tags import FACT

_TITLE, _DESCRIPTION = FACT["title"], FACT["meta_description"]
_NONE = ((0, 0),)
_KEEP_TEXT, _KEEP_NODES = 4 << 20, 1 << 15
"""Pages up to so many bytes of text and nodes share a room; a larger one has its own, which is let
go."""


@lru_cache(maxsize=1)
def _lists() -> Lists:
    return Lists(*comment_names(), *related_names())


class Writer:
    """Judges pages and writes them down, one after the other. Not for several threads at once."""

    def __init__(self) -> None:
        self._desk: Desk | None = None
        self._rows = self._nodes = self._size = 0
        self._out = np.empty(1 << 18, dtype=np.uint8)

    def main_text(
        self, page: ScannedPage, model: BlocksModel, flags: int, options: int, markdown: bool
    ) -> tuple[str, float, str]:
        """(main text, expected F1, kind) of a page with at least one block.

        `flags`: `kind.page_flags`. `options`: bits of `html_choice`.
        """
        desk = self.judged(page, model, flags)
        expected = chosen(page, desk, options)
        text = self.written(page, desk, markdown)
        return text, expected, KINDS[int(desk.kinds.argmax())]

    def judged(self, page: ScannedPage, model: BlocksModel, flags: int) -> Desk:
        """The room in which the model's answers about a page stand."""
        desk = self._desk_for(page)
        spans = page.spans
        written = judge(
            np.frombuffer(page.html, dtype=np.uint8), page.text, page.nodes, page.blocks,
            page.tokens, spans.get(_TITLE, _NONE)[0], spans.get(_DESCRIPTION, _NONE)[0], flags,
            model.odds, model.first, model.second, model.kind, desk,
        )  # fmt: skip
        if written != NUM_FEATURES:
            raise ValueError(f"the kernel writes {written} columns, FEATURES names {NUM_FEATURES}")
        return desk

    def written(self, page: ScannedPage, desk: Desk, markdown: bool) -> str:
        """The blocks of `desk.kept`, on a page whose layout is in `desk.layout`."""
        text, out = written(
            (
                page.text, page.nodes, page.blocks, desk.kept[: len(page.blocks)], markdown,
                desk.layout, desk.ranges, desk.seen, desk.chain, desk.state,
            ),
            self._out,
        )  # fmt: skip
        if len(out) <= _KEEP_TEXT:
            self._out = out
        return text

    def _desk_for(self, page: ScannedPage) -> Desk:
        rows, nodes, size = len(page.blocks), len(page.nodes), len(page.text)
        if size > _KEEP_TEXT or max(rows, nodes) > _KEEP_NODES:
            return desk_for(rows, nodes, size)
        if self._desk is None or rows > self._rows or nodes > self._nodes or size > self._size:
            self._rows = max(2 * rows, self._rows, 1 << 11)
            self._nodes = max(2 * nodes, self._nodes, 1 << 12)
            self._size = max(2 * size, self._size, 1 << 17)
            self._desk = desk_for(self._rows, self._nodes, self._size)
        return self._desk


def chosen(page: ScannedPage, desk: Desk, options: int) -> float:
    """Choose blocks of a judged page: they are in `desk.kept`. Gives the expected F1."""
    found: float = choose_main(
        page.text, page.nodes, page.blocks, page.tokens, _lists(), options, desk
    )
    return found
