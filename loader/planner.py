"""Samples -> plan: order, packing, row groups, segments."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from loader.hot_cache import HotRowGroup
from loader.numpy_backend import Buffers
from loader.order import Order
from loader.packing import Concat, Packing, Runs
from loader.plan import IGNORED, Plan
from loader.plan_kernels import runs_row_groups, segments
from loader.row_group_line import RowGroupLine
from loader.windows import LineTable, Windows, table_of_line

Ints = npt.NDArray[np.int64]
_NONE = np.empty(0, np.int64)
PLANS_KEPT = 32
"""Arrays of plans, for as many under way at once; memory fresh from the system is slow."""


class Planner:
    """Plans batches; used by several threads at once."""

    def __init__(
        self, line: RowGroupLine, order: Order, packing: Packing, seq_len: int, across: bool
    ) -> None:
        self._line, self._order, self._packing = line, order, packing
        self._seq_len, self._across = seq_len, across
        self._follows = across and isinstance(packing, Concat)
        self._buffers = Buffers(PLANS_KEPT)
        self._room = 64
        """Segments that the largest batch so far had, and some."""
        self._turn, self._looked = threading.Lock(), False
        self._table: LineTable | None = None

    def row_groups(self, samples: Ints) -> Ints:
        """The row groups that these samples need; reads nothing."""
        located = self._order.locate(samples)
        return self._packing.row_groups(located.groups, located.windows)

    def plans(self, samples_B: Ints, count: int) -> list[Plan]:
        """Plans of `count` batches of equal size whose rows' samples follow each other; -1 for a
        row without a sample. Waits for row groups.

        Several at once cost little more than one. Raises InputError or IntegrityError where a row
        group cannot be had.
        """
        groups_B, runs, ends_N = self._runs(samples_B)
        numbers = runs_row_groups(runs.begins_N, runs.lengths_N, ends_N, self._line.edges_R)
        held = tuple(self._line.hold(numbers))
        arrays = self._segments(len(samples_B), runs, ends_N, numbers, held)
        rows, starts = len(samples_B) // count, arrays[1]
        size = rows * self._seq_len
        cuts = np.searchsorted(starts, size * np.arange(count + 1)).tolist()
        found = []
        for at in range(count):
            of = slice(cuts[at], cuts[at + 1])
            here = slice(at * rows, (at + 1) * rows)
            addresses_S, starts_S, tails_S, row_groups_S, documents_S = (
                array[of] for array in arrays
            )
            found.append(
                Plan(
                    rows, self._seq_len, self._line.bits, addresses_S,
                    starts_S - at * size, tails_S, row_groups_S, documents_S,
                    samples_B[here], groups_B[here], held,
                )
            )  # fmt: skip
        return found

    @property
    def table(self) -> LineTable | None:
        """What windows need, once all row groups are in memory; None for a packing of several runs
        a row, and where the line is not fit for it."""
        if not isinstance(self._packing, Concat):
            return None
        with self._turn:  # made once: backends keep what they make of it
            if not self._looked:
                numbers = np.arange(len(self._line.edges_R) - 1)
                held = tuple(self._line.hold(numbers))
                self._table, self._looked = table_of_line(self._line.edges_R, held), True
        return self._table

    def windows(self, table: LineTable, samples_R: Ints, rows: int) -> Windows:
        """Batches of `rows` rows by their windows; -1 for a row without a sample."""
        groups_R, runs, ends_N = self._runs(samples_R)
        begins_R, lengths_R, stops_R = runs.begins_N, runs.lengths_N, ends_N
        if len(runs.rows_N) < len(samples_R):
            begins_R, lengths_R, stops_R = np.zeros((3, len(samples_R)), np.int64)
            begins_R[runs.rows_N], lengths_R[runs.rows_N] = runs.begins_N, runs.lengths_N
            stops_R[runs.rows_N] = ends_N
        return self._windows(table, rows, samples_R, groups_R, begins_R, lengths_R, stops_R)

    def windows_of_epoch(
        self, table: LineTable, first: int, apart: int, rows: int, count: int
    ) -> Windows | None:
        """`windows` of `count` batches, `apart` samples from each other, in one compiled call; None
        where that is not possible."""
        found = self._order.rows_of_epoch(
            first, apart, rows, count, self._line.first_tokens, self._seq_len
        )
        return None if found is None else self._windows(table, rows, *found)

    def _windows(
        self, table: LineTable, rows: int, samples_R: Ints, groups_R: Ints, begins_R: Ints,
        lengths_R: Ints, stops_R: Ints,
    ) -> Windows:  # fmt: skip
        if int(lengths_R.min()) == self._seq_len:
            lengths_R = _NONE
        return Windows(
            table, rows, self._seq_len, self._line.bits, samples_R, groups_R,
            begins_R, lengths_R, stops_R if self._follows else _NONE, self._one,
        )  # fmt: skip

    def _one(self, samples_B: Ints) -> list[Plan]:
        return self.plans(samples_B, 1)

    def _runs(self, samples_B: Ints) -> tuple[Ints, Runs, Ints]:
        """(groups, runs, where what follows a run ends)."""
        if len(samples_B) and samples_B.min() >= 0:
            real = np.arange(len(samples_B))
        else:
            real = np.flatnonzero(samples_B >= 0)
        groups_B = np.full(len(samples_B), -1, np.int64)
        if not len(real):
            none = np.empty(0, np.int64)
            return groups_B, Runs(none, none, none), none
        located = self._order.locate(samples_B[real])
        groups_B[real] = located.groups
        runs = self._packing.runs(real, located.groups, located.windows)
        if self._follows:
            return groups_B, runs, self._line.first_tokens[located.groups + 1]
        return groups_B, runs, runs.begins_N + runs.lengths_N

    def _segments(
        self, rows: int, runs: Runs, ends_N: Ints, numbers: Ints, held: Sequence[HotRowGroup]
    ) -> list[npt.NDArray[Any]]:
        """addresses_S, starts_S, tails_S, row_groups_S, documents_S of the plan."""
        facts = np.array([one.facts for one in held], np.uint64).reshape(-1, 3)
        while True:
            room = self._room
            block = self._buffers.take(5 * room, np.dtype(np.int64)).reshape(5, room)
            arrays: list[npt.NDArray[Any]] = [block[0].view(np.uint64), *block[1:]]
            count = segments(
                *runs, ends_N, rows, self._seq_len, self._line.bits,
                self._line.edges_R, numbers, facts[:, 0].copy(), facts[:, 1].copy(),
                facts[:, 2].astype(np.int64), self._across, IGNORED, *arrays,
            )  # fmt: skip
            if count <= room:
                return [array[:count] for array in arrays]
            self._room = max(self._room, count + count // 4)
