"""What a batch is made of, before a token of it is copied.

A batch is first planned, then filled. The plan lists **segments**: runs of one document, or of
padding, inside one row. Every packing ends in this form, so that a backend (numpy, pinned ring,
gather kernel) needs nothing but the plan, and all give the same bits.

Shapes: B rows, T = seq_len, S segments. A position is b * T + t, flattened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

IGNORED = -100
"""Label of a position without a loss: torch.nn.functional.cross_entropy's ignore_index."""
PAD = 0
"""Input id where there is no token; its label is always IGNORED."""


class Mapped(Protocol):
    """A verified row group in this process's memory."""

    @property
    def address(self) -> int:
        """Of its first token; a multiple of the page size."""

    @property
    def num_bytes(self) -> int:
        """Bytes from `address` on that stay readable while this object lives."""


@dataclass(frozen=True)
class Plan:
    """One batch of this rank. Arrays are not written to after it is made."""

    rows: int
    seq_len: int
    bits: int
    """Of an id in memory: ids follow each other without gaps, each with its lowest bit first. 16 or
    32 are arrays of little-endian numbers."""
    addresses_S: npt.NDArray[np.uint64]
    """Address in this process of the segment's first bit: eight times that of the byte it is in,
    and its place there; 0 for padding."""
    starts_S: npt.NDArray[np.int64]
    """Position at which the segment begins, ascending; it ends where the next begins, the last one
    at B * T. A row begins with a segment."""
    tails_S: npt.NDArray[np.int64]
    """Label of the segment's last position: the next token of its document where a row's end cut
    it, else IGNORED; with `cross_document_labels` the first token of what follows."""
    row_groups_S: npt.NDArray[np.int64]
    """Number of the segment's row group among all of the loader's streams; -1 for padding."""
    documents_S: npt.NDArray[np.int64]
    """Number of the segment's document in that row group; -1 for padding."""
    samples_B: npt.NDArray[np.int64]
    """Sample index of each row; -1 for the rows that fill up the last batch."""
    groups_B: npt.NDArray[np.int64]
    """Number of each row's group in `Loader.groups`; -1 where samples_B is."""
    held: tuple[Mapped, ...]
    """The row groups that addresses_S point into: they stay mapped while the plan lives."""

    @cached_property
    def cu_seqlens(self) -> npt.NDArray[np.int32]:
        """Starts of all segments, and B * T: what flash-attn takes."""
        return np.append(self.starts_S, self.rows * self.seq_len).astype(np.int32)

    @cached_property
    def max_seqlen(self) -> int:
        """Length of the longest segment."""
        return int(np.diff(self.cu_seqlens).max())


class Backend(Protocol):
    """What makes batches of plans.

    Labels: inside a segment the token after, at its last position `tails_S`. Padding has the token
    PAD and the label IGNORED. The id of a position is its distance from its segment's start.
    """

    packed: bool
    """Whether ids come in as few bits as hold them; else in the 16 or 32 of the shards."""

    def rows_at_once(self, seq_len: int) -> int:
        """Rows that are best planned and filled together, where a batch has fewer."""

    def fill(self, plan: Plan) -> Any:
        """The batch, perhaps still under way: `give` says when it can be used."""

    def fill_all(self, plans: Sequence[Plan]) -> Iterable[Any]:
        """Batches of one shape. Called from several threads; the loader gives results in order."""

    def give(self, filled: Any) -> Any:
        """What the loader gives out, in the thread that asks for it."""


@runtime_checkable
class PlanningBackend(Backend, Protocol):
    """One that plans segments itself, where the host has the windows alone."""

    def fill_windows(self, windows: Any) -> Iterable[Any]:
        """As `fill_all`, of `loader.windows.Windows`."""
