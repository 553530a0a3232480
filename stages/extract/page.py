"""A scanned page: what the kernel of `stages.kernels.html_scan` found, as views of its arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.kernels import html_text as h
from stages.kernels.html_scan import scan
from stages.kernels.html_survey import survey
from stages.kernels.html_tags import FACT, html_tables

_KEEP_ROOM = 4 << 20
"""Pages up to so many bytes share a room; a larger one has its own, which is let go."""


@dataclass(frozen=True)
class ScannedPage:
    """Blocks in page order and the tree above them. Arrays are valid until the next scan."""

    html: bytes
    """Valid UTF-8."""
    text: npt.NDArray[np.uint8]
    nodes: npt.NDArray[np.int32]
    blocks: npt.NDArray[np.int32]
    tokens: npt.NDArray[np.uint32]
    facts: npt.NDArray[np.int64]
    """(kind, start, end): ranges of `html`, in page order."""
    cut: bool
    """True if a bound (nodes, blocks, depth) was reached: structure was lost, no text."""

    def block_text(self, row: int) -> str:
        """The text of one block, white space collapsed unless it is preformatted."""
        start, end = self.blocks[row, h.START], self.blocks[row, h.END]
        return self.text[start:end].tobytes().decode("utf-8", "replace")

    @cached_property
    def spans(self) -> dict[int, list[tuple[int, int]]]:
        """Kind of fact -> its ranges of `html`, in page order."""
        found: dict[int, list[tuple[int, int]]] = {}
        for kind, start, end in self.facts.tolist():
            found.setdefault(kind, []).append((start, end))
        return found

    def facts_of(self, name: str) -> list[str]:
        """The raw values of a fact (`html_tags.FACTS`), in page order; entities as they stand."""
        return [
            self.html[start:end].decode("utf-8", "replace")
            for start, end in self.spans.get(FACT[name], ())
        ]


class Scanner:
    """Scans pages one after the other in one reused room. Not for several threads at once."""

    def __init__(self) -> None:
        self._room: h.Room | None = None
        self._size = self._tags = 0

    def scan(self, html: bytes) -> ScannedPage:
        """Read a page; bytes that are no UTF-8 become U+FFFD."""
        num_tags, valid = survey(html)
        if not valid:
            html = valid_utf8(html)  # which makes no `<` and loses none
        return scan_page(html, self._room_for(len(html), num_tags))

    def _room_for(self, size: int, num_tags: int) -> h.Room:
        if size > _KEEP_ROOM:
            return h.room_for(size, num_tags)
        if self._room is None or size > self._size or num_tags > self._tags:
            self._size = max(2 * size, self._size, 1 << 18)
            self._tags = max(2 * num_tags, self._tags, 1 << 13)
            self._room = h.room_for(self._size, self._tags)
        return self._room


def scan_page(html: bytes, room: h.Room) -> ScannedPage:
    """Read a page of valid UTF-8 in this room, which is large enough for it (`room_for`)."""
    scan(np.frombuffer(html, dtype=np.uint8), html_tables(), room)
    st: Any = room.state
    return ScannedPage(
        html,
        room.text[: st[h.TEXT]],
        room.nodes[: st[h.NODES]],
        room.blocks[: st[h.BLOCKS]],
        room.tokens[: st[h.TOKENS]],
        room.facts[: st[h.FACTS]],
        bool(st[h.CUT]),
    )


def valid_utf8(html: bytes) -> bytes:
    """The page as valid UTF-8: as it stands, or with U+FFFD for each broken sequence."""
    try:
        html.decode()
        return html
    except UnicodeDecodeError:
        return html.decode("utf-8", "replace").encode()
