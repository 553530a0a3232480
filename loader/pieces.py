"""Plans in the form that the device kernel (`loader/expand.cu`) reads.

The kernel works by **pieces**: at most PIECE_BYTES of ids that follow each other in memory and in
the batch, whichever documents they are of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loader.plan import Plan

PIECE_BYTES = 4352
"""As in loader/expand.cu: bytes of ids that a block asks for at once, at most: 2,048 of 17 bits."""
LINE = 64
"""Bytes of a cache line: where a run begins in a ring's slot, so that whole lines are written."""
MOST_BATCHES = 4095
"""Of a launch: a piece's address leaves 12 bits for the number of its batch."""


def piece_ids(bits: int) -> int:
    """Ids of a piece, at most: so many fill whole lines of 128 bytes, as in loader/expand.cu."""
    unit = 1024 // (bits & -bits)
    return 8 * PIECE_BYTES // bits // unit * unit


def bytes_of_row(seq_len: int, bits: int) -> int:
    """Bytes between rows in a ring's slot. Where bytes do not end with ids a row begins at any bit
    of its first byte, as its ids do in the hot cache."""
    return -(-(seq_len * bits + (7 if bits % 8 else 0)) // (8 * LINE)) * LINE


@dataclass(frozen=True)
class Layout:
    """Places of the kernel's arrays in one block of bytes, each at a multiple of 256.

    Pieces (16 bytes each), starts of the segments with B * T behind each batch's (int32), labels of
    the segments' last positions with a zero behind each batch's (int32).
    """

    segments: int
    """Starts, with one more for each batch."""
    pieces: int
    """At most so many."""

    @property
    def starts(self) -> int:
        return _up(16 * self.pieces)

    @property
    def num_bytes(self) -> int:
        return self.starts + 2 * _up(4 * self.segments)


def _up(size: int) -> int:
    return -(-size // 256) * 256


def layout_of(plans: Sequence[Plan]) -> Layout:
    """Where the arrays of these batches, all of one shape, go. Raises ValueError if too large."""
    total = plans[0].rows * plans[0].seq_len
    if total >= 1 << 31 or len(plans) > MOST_BATCHES:
        raise ValueError(
            f"{len(plans)} batches of {total} positions, expected at most {MOST_BATCHES} and "
            f"positions below 2^31"
        )
    segments = sum(len(plan.starts_S) for plan in plans) + len(plans)
    # A segment begins at most one piece; a full piece ends at most one more; one behind each batch.
    full = total // piece_ids(plans[0].bits)
    return Layout(segments, segments + len(plans) * full)


def table_of(plans: Sequence[Plan]) -> npt.NDArray[np.int64]:
    """Of each plan the addresses of its addresses_S, starts_S and tails_S, and S."""
    return np.array(
        [
            (
                plan.addresses_S.__array_interface__["data"][0],
                plan.starts_S.__array_interface__["data"][0],
                plan.tails_S.__array_interface__["data"][0],
                len(plan.starts_S),
            )
            for plan in plans
        ],
        np.int64,
    )
