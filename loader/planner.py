"""Samples -> plan: order, packing, row groups, segments."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from loader.order import Order
from loader.packing import Concat, Packing, Runs
from loader.plan import IGNORED, Plan
from loader.plan_kernels import runs_row_groups, segments
from loader.row_group_line import RowGroupLine

Ints = npt.NDArray[np.int64]


class Planner:
    """Plans batches; used by several threads at once."""

    def __init__(
        self, line: RowGroupLine, order: Order, packing: Packing, seq_len: int, across: bool
    ) -> None:
        self._line, self._order, self._packing = line, order, packing
        self._seq_len, self._across = seq_len, across
        self._follows = across and isinstance(packing, Concat)
        self._room = 64
        """Segments that the largest batch so far had, and some."""

    def row_groups(self, samples: Ints) -> Ints:
        """The row groups that these samples need; reads nothing."""
        located = self._order.locate(samples)
        return self._packing.row_groups(located.groups, located.windows)

    def plan(self, samples_B: Ints) -> Plan:
        """The plan of these rows; -1 for a row without a sample. Waits for row groups.

        Raises InputError or IntegrityError where a row group cannot be had.
        """
        real = np.flatnonzero(samples_B >= 0)
        groups_B = np.full(len(samples_B), -1, np.int64)
        none = np.empty(0, np.int64)
        runs, ends_N = Runs(none, none, none), none
        if len(real):
            located = self._order.locate(samples_B[real])
            groups_B[real] = located.groups
            runs = self._packing.runs(real, located.groups, located.windows)
            ends_N = runs.begins_N + runs.lengths_N
            if self._follows:
                ends_N = self._line.first_tokens[located.groups + 1]
        numbers = runs_row_groups(runs.begins_N, runs.lengths_N, ends_N, self._line.edges_R)
        held = self._line.hold(numbers)
        facts = np.array([one.facts for one in held], np.uint64).reshape(-1, 3)
        while True:
            room = self._room
            arrays: list[npt.NDArray[Any]] = [np.empty(room, np.uint64)]
            arrays += [np.empty(room, np.int64) for _ in range(4)]
            count = segments(
                *runs, ends_N, len(samples_B), self._seq_len, self._line.dataset.dtype.itemsize,
                self._line.edges_R, numbers, facts[:, 0].copy(), facts[:, 1].copy(),
                facts[:, 2].astype(np.int64), self._across, IGNORED, *arrays,
            )  # fmt: skip
            if count <= room:
                break
            self._room = max(self._room, count + count // 4)
        addresses_S, starts_S, tails_S, row_groups_S, documents_S = (
            array[:count] for array in arrays
        )
        return Plan(
            len(samples_B), self._seq_len, self._line.dataset.dtype.itemsize, addresses_S,
            starts_S, tails_S, row_groups_S, documents_S, samples_B, groups_B, tuple(held),
        )  # fmt: skip
