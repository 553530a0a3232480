"""A plan in the form that the device kernel (`loader/expand.cu`) reads.

The kernel works by **pieces**: at most PIECE_BYTES of ids that follow each other in memory and in
the batch, whichever documents they are of. Numba's own cache on disk goes by the time stamp of a
kernel's file, so a file's kernels call none of another file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from loader.plan import Plan

PIECE_BYTES = 4096
"""As in loader/expand.cu: bytes of ids that a block asks for at once."""
LINE = 64
"""Bytes of a cache line: where a run begins in a ring's slot, so that whole lines are written."""
MORE = np.uint64(1) << np.uint64(63)
"""Set in a piece's address where the label of its last position is the id behind it."""


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _cut(
    addresses_S: Any, starts_S: Any, tails_S: Any, total: int, itemsize: int, limit: int,
    pieces_P2: Any, starts: Any, tails: Any,
) -> int:  # fmt: skip
    count, filled, expected = 0, limit, np.uint64(0)
    for s in range(len(starts_S)):
        at, address = starts_S[s], addresses_S[s]
        end = starts_S[s + 1] if s + 1 < len(starts_S) else total
        begin = at
        starts[s], tails[s] = begin, tails_S[s]
        if address != 0 and address == expected and filled < limit:
            step = min(end - at, limit - filled)
            filled, at = filled + step, at + step
            if at < end:
                pieces_P2[count - 1, 0] |= MORE
        while at < end:
            filled = min(end - at, limit)
            source = np.uint64(0)
            if address != 0:
                source = address + np.uint64((at - begin) * itemsize)
                if at + filled < end:
                    source |= MORE
            pieces_P2[count, 0] = source
            pieces_P2[count, 1] = np.uint64(at) | np.uint64(s) << np.uint64(32)
            count, at = count + 1, at + filled
        expected = address + np.uint64((end - begin) * itemsize) if address != 0 else np.uint64(0)
    pieces_P2[count, 0] = np.uint64(0)
    pieces_P2[count, 1] = np.uint64(total) | np.uint64(len(starts_S)) << np.uint64(32)
    starts[len(starts_S)], tails[len(starts_S)] = total, 0
    return count


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _place(
    addresses_S: Any, starts_S: Any, total: int, itemsize: int, line: int,
    placed_S: Any, runs_R3: Any,
) -> tuple[int, int]:  # fmt: skip
    count, cursor, expected = 0, 0, np.uint64(0)
    for s in range(len(starts_S)):
        address = addresses_S[s]
        end = starts_S[s + 1] if s + 1 < len(starts_S) else total
        size = (end - starts_S[s]) * itemsize
        if address == 0:
            placed_S[s], expected = -1, np.uint64(0)
            continue
        if address != expected:
            cursor = -(-cursor // line) * line
            runs_R3[count, 0], runs_R3[count, 1] = np.int64(address), cursor
            runs_R3[count, 2] = 0
            count += 1
        placed_S[s] = cursor
        cursor += size
        runs_R3[count - 1, 2] += size
        expected = address + np.uint64(size)
    return count, cursor


@dataclass(frozen=True)
class Runs:
    """Where a plan's ids lie in memory, and where they go to in a ring's slot."""

    placed_S: npt.NDArray[np.int64]
    """Offset of each segment in the slot; -1 for padding."""
    runs_R3: npt.NDArray[np.int64]
    """Of each run: address, offset in the slot (a multiple of LINE), bytes."""
    num_bytes: int
    """Of the slot, from its begin to the last id."""

    def addresses_S(self, slot: int) -> npt.NDArray[np.uint64]:
        """Addresses of the segments once the slot's bytes are at address `slot`."""
        found = np.where(self.placed_S >= 0, self.placed_S + slot, 0)
        return found.astype(np.uint64)


def runs_of(plan: Plan) -> Runs:
    """The plan's ids as runs that are contiguous in memory, packed into a slot."""
    segments, total = len(plan.starts_S), plan.rows * plan.seq_len
    placed_S = np.empty(segments, np.int64)
    runs_R3 = np.empty((segments, 3), np.int64)
    count, size = _place(
        plan.addresses_S, plan.starts_S, total, plan.itemsize, LINE, placed_S, runs_R3
    )
    return Runs(placed_S, runs_R3[:count], size)


@dataclass(frozen=True)
class Layout:
    """Places of the kernel's arrays in one block of bytes, each at a multiple of 256.

    Pieces (16 bytes each, one more than there are), starts of the segments and B * T (int32), labels
    of the segments' last positions and a zero (int32).
    """

    segments: int
    pieces: int
    """At most so many, the one at the end included."""

    @property
    def starts(self) -> int:
        return _up(16 * self.pieces)

    @property
    def tails(self) -> int:
        return self.starts + _up(4 * (self.segments + 1))

    @property
    def num_bytes(self) -> int:
        return self.tails + _up(4 * (self.segments + 1))


def _up(size: int) -> int:
    return -(-size // 256) * 256


def layout_of(plan: Plan) -> Layout:
    """Where the arrays of a plan's pieces go. Raises ValueError above 2^31 - 1 positions."""
    total, segments = plan.rows * plan.seq_len, len(plan.starts_S)
    if total >= 1 << 31:
        raise ValueError(f"{plan.rows} x {plan.seq_len} positions in a batch, expected below 2^31")
    # A segment begins at most one piece; a full piece ends at most one more.
    return Layout(segments, segments + total // (PIECE_BYTES // plan.itemsize) + 1)


def write_pieces(
    plan: Plan, addresses_S: npt.NDArray[np.uint64], layout: Layout, block: npt.NDArray[np.uint8]
) -> int:
    """Put the arrays into the block; gives the number of pieces without the one at the end.

    `addresses_S` are the plan's own or those of a copy of its ids; runs stay runs.
    """
    ends = 16 * layout.pieces, layout.starts + 4 * (layout.segments + 1)
    pieces_P2 = block[: ends[0]].view(np.uint64).reshape(-1, 2)
    starts = block[layout.starts : ends[1]].view(np.int32)
    tails = block[layout.tails : layout.tails + 4 * (layout.segments + 1)].view(np.int32)
    count: int = _cut(
        addresses_S, plan.starts_S, plan.tails_S, plan.rows * plan.seq_len, plan.itemsize,
        PIECE_BYTES // plan.itemsize, pieces_P2, starts, tails,
    )  # fmt: skip
    return count
