"""A plan in the form that the device kernel (`loader/expand.cu`) reads.

The kernel works by **pieces**: at most PIECE_BYTES of ids that follow each other in memory and in
the batch, whichever documents they are of. Numba's own cache on disk goes by the time stamp of a
kernel's file, so a file's kernels call none of another file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
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
    addresses_S: Any, starts_S: Any, tails_S: Any, shift: int, total: int, itemsize: int, limit: int,
    batch: int, first: int, pieces_P2: Any, count: int, starts: Any, tails: Any,
) -> tuple[int, int]:  # fmt: skip
    """Add a batch's pieces from piece `count` and from segment `first` on.

    Gives the number of pieces with them, and the length of the batch's longest segment. `shift` is
    added to addresses.
    """
    mark = np.uint64(batch) << np.uint64(48)
    filled, expected, longest = limit, np.uint64(0), 0
    for s in range(len(starts_S)):
        at, address = starts_S[s], addresses_S[s]
        if address != 0:
            address += np.uint64(shift)
        end = starts_S[s + 1] if s + 1 < len(starts_S) else total
        begin = at
        longest = max(longest, end - begin)
        starts[first + s], tails[first + s] = begin, tails_S[s]
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
            pieces_P2[count, 0] = source | mark
            pieces_P2[count, 1] = np.uint64(at) | np.uint64(first + s) << np.uint64(32)
            count, at = count + 1, at + filled
        expected = address + np.uint64((end - begin) * itemsize) if address != 0 else np.uint64(0)
    last = first + len(starts_S)
    pieces_P2[count, 0] = mark
    pieces_P2[count, 1] = np.uint64(total) | np.uint64(last) << np.uint64(32)
    starts[last], tails[last] = total, 0
    return count + 1, longest


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _place(
    addresses_S: Any, starts_S: Any, total: int, itemsize: int, line: int, cursor: int,
    offsets_S: Any, runs_R3: Any,
) -> tuple[int, int]:  # fmt: skip
    count, expected = 0, np.uint64(0)
    for s in range(len(starts_S)):
        address = addresses_S[s]
        end = starts_S[s + 1] if s + 1 < len(starts_S) else total
        size = (end - starts_S[s]) * itemsize
        if address == 0:
            offsets_S[s], expected = np.uint64(0), np.uint64(0)
            continue
        if address != expected:
            cursor = -(-cursor // line) * line
            runs_R3[count, 0], runs_R3[count, 1] = np.int64(address), cursor
            runs_R3[count, 2] = 0
            count += 1
        offsets_S[s] = np.uint64(cursor + 1)
        cursor += size
        runs_R3[count - 1, 2] += size
        expected = address + np.uint64(size)
    return count, cursor


@dataclass(frozen=True)
class Runs:
    """Where some plans' ids lie in memory, and where they go to in a ring's slot."""

    offsets: list[npt.NDArray[np.uint64]]
    """Of each plan: 1 + the offset of each segment in the slot, 0 for padding."""
    runs_R3: list[npt.NDArray[np.int64]]
    """Of each plan, of each run: address, offset in the slot (a multiple of LINE), bytes."""
    num_bytes: int
    """Of the slot, from its begin to the last id."""


def runs_of(plans: Sequence[Plan]) -> Runs:
    """The plans' ids as runs that are contiguous in memory, packed into a slot."""
    offsets, runs, cursor = [], [], 0
    for plan in plans:
        segments, total = len(plan.starts_S), plan.rows * plan.seq_len
        offsets_S = np.empty(segments, np.uint64)
        runs_R3 = np.empty((segments, 3), np.int64)
        count, cursor = _place(
            plan.addresses_S, plan.starts_S, total, plan.itemsize, LINE, cursor, offsets_S, runs_R3
        )
        offsets.append(offsets_S)
        runs.append(runs_R3[:count])
    return Runs(offsets, runs, cursor)


@dataclass(frozen=True)
class Layout:
    """Places of the kernel's arrays in one block of bytes, each at a multiple of 256.

    Pieces (16 bytes each), starts of the segments with B * T behind each batch's (int32), labels of
    the segments' last positions with a zero behind each batch's (int32).
    """

    bounds: list[int]
    """Index of each batch's first start, and last the number of all."""
    pieces: int
    """At most so many."""

    @property
    def starts(self) -> int:
        return _up(16 * self.pieces)

    @property
    def tails(self) -> int:
        return self.starts + _up(4 * self.bounds[-1])

    @property
    def num_bytes(self) -> int:
        return self.tails + _up(4 * self.bounds[-1])


def _up(size: int) -> int:
    return -(-size // 256) * 256


def layout_of(plans: Sequence[Plan]) -> Layout:
    """Where the arrays of these batches, all of one shape, go. Raises ValueError if too large."""
    total = plans[0].rows * plans[0].seq_len
    if total >= 1 << 31 or len(plans) >= 1 << 15:
        raise ValueError(f"{len(plans)} batches of {total} positions, expected below 2^15 and 2^31")
    bounds = [0, *accumulate(len(plan.starts_S) + 1 for plan in plans)]
    # A segment begins at most one piece; a full piece ends at most one more; one behind each batch.
    full = total // (PIECE_BYTES // plans[0].itemsize)
    return Layout(bounds, bounds[-1] + len(plans) * full)


def write_pieces(
    plans: Sequence[Plan], layout: Layout, block: npt.NDArray[np.uint8],
    runs: Runs | None = None, slot: int = 0,
) -> tuple[int, list[int]]:  # fmt: skip
    """Put the arrays into the block; gives the number of pieces for the kernel, and of each batch
    the length of its longest segment.

    The ids are where the plans say, or where `runs` put them in the slot at address `slot`.
    """
    segments = layout.bounds[-1]
    pieces_P2 = block[: 16 * layout.pieces].view(np.uint64).reshape(-1, 2)
    starts = block[layout.starts : layout.starts + 4 * segments].view(np.int32)
    tails = block[layout.tails : layout.tails + 4 * segments].view(np.int32)
    count, lengths = 0, []
    for number, plan in enumerate(plans):
        count, longest = _cut(
            runs.offsets[number] if runs else plan.addresses_S, plan.starts_S, plan.tails_S,
            slot - 1 if runs else 0, plan.rows * plan.seq_len, plan.itemsize,
            PIECE_BYTES // plan.itemsize, number, layout.bounds[number], pieces_P2, count,
            starts, tails,
        )  # fmt: skip
        lengths.append(longest)
    return count - 1, lengths
