"""Launches of rows that the device plans itself: `loader.windows` on CUDA.

The line's table lies on the device, uploaded once. How many documents a batch has is known there
alone. Plans are made on a stream of their own, ahead of the launches that wait, and how many follow
them to the host: `cu_seqlens` and `max_seqlen` wait for the plan, never for the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from loader.pieces import bytes_of_row, piece_ids
from loader.plan import Plan
from loader.row_kernels import queue_rows
from loader.windows import LineTable, Windows

if TYPE_CHECKING:
    from loader.copy_crew import CopyCrew
    from loader.torch_cuda import CudaBackend, Slot


class RowBatch:
    """One batch of this process on its device, as `loader.torch_cuda.CudaBatch`."""

    __slots__ = ("_number", "_unit", "labels_BT", "position_ids_BT", "tokens_BT")

    def __init__(self, unit: RowLaunches, number: int) -> None:
        self.tokens_BT, self.labels_BT = unit.views[0][number], unit.views[1][number]
        self.position_ids_BT = unit.views[2][number] if len(unit.views) > 2 else None
        """None where they were not asked for."""
        self._unit, self._number = unit, number

    @property
    def cu_seqlens(self) -> torch.Tensor:
        """int32, on the device. Waits for the plan: its length is known there alone."""
        return self._unit.lists[self._number]

    @property
    def max_seqlen(self) -> int:
        """Length of the longest segment. Waits for the plan."""
        return self._unit.facts[1 + self._unit.windows.batches + self._number]

    @property
    def plan(self) -> Plan:
        """Made by the host when it is asked for."""
        return self._unit.windows.plan(self._number)

    @property
    def samples_B(self) -> npt.NDArray[np.int64]:
        """Sample index of each row; -1 for the rows that fill up the last batch."""
        return self._of_rows(self._unit.windows.samples_R)

    @property
    def groups_B(self) -> npt.NDArray[np.int64]:
        """Number of each row's group in `Loader.groups`; -1 where samples_B is."""
        return self._of_rows(self._unit.windows.groups_R)

    def _of_rows(self, values_R: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        rows = self._unit.windows.rows
        return values_R[self._number * rows : (self._number + 1) * rows]


class RowLaunches:
    """Batches under way in launches of `step` batches, one after the other on one stream."""

    def __init__(
        self, backend: CudaBackend, windows: Windows, table: DeviceTable, step: int,
        whole: torch.Tensor, stride: int, starts: torch.Tensor, facts: npt.NDArray[np.int32],
    ) -> None:  # fmt: skip
        """`table` is kept while launches read it; `whole` owns the memory; `starts`, on the device,
        and `facts`, pinned: int32, as in loader/rows.cu."""
        self._context, self._device = backend.context, backend.device
        self.windows, self.step, self._starts = windows, step, starts
        self.planned = self._context.event()
        self.event_L = np.array(
            [self._context.event() for _ in range(-(-windows.batches // step))], np.int64
        )
        self._table = table
        self._whole, self._facts, self._stride = whole, facts, stride
        self._kinds = backend.kinds
        self._waits = [-1] * len(self.event_L)

    @property
    def event(self) -> int:
        """Of the last launch."""
        return int(self.event_L[-1])

    @cached_property
    def views(self) -> list[tuple[torch.Tensor, ...]]:
        """Of each kind of output the batches."""
        windows, size = self.windows, self.windows.rows * self.windows.seq_len
        shape = (self._kinds, windows.batches, windows.rows, windows.seq_len)
        strides = (windows.batches * self._stride, self._stride, windows.seq_len, 1)
        assert size <= self._stride
        return [kind.unbind(0) for kind in self._whole.as_strided(shape, strides).unbind(0)]

    def ready(self, number: int) -> RowBatch:
        """A batch for the calling thread's current stream: it waits, the thread does not."""
        launch = number // self.step
        stream = torch._C._cuda_getCurrentRawStream(self._device.index)
        if self._waits[launch] != stream:
            self._context.wait(stream, int(self.event_L[launch]))
            if stream not in self._waits:
                self._whole.record_stream(torch.cuda.current_stream(self._device))
            self._waits[launch] = stream
        return RowBatch(self, number)

    @cached_property
    def facts(self) -> list[int]:
        """First segment of each batch, and all | longest segment of each | first piece of each, and
        all. Waits for the plan."""
        self._context.passed(self.planned)
        found: list[int] = self._facts[: 2 + 3 * self.windows.batches].tolist()
        return found

    @cached_property
    def lists(self) -> Sequence[torch.Tensor]:
        """cu_seqlens of each batch. Waits for the plan."""
        edges = self.facts[: self.windows.batches + 1]
        sizes = [end - first for first, end in pairwise(edges)]
        found: Sequence[torch.Tensor] = self._starts[: edges[-1]].split(sizes)
        return found

    def __del__(self) -> None:
        # The slot of these launches has let go of them: the device is done with all of it.
        self._context.unpinned(self._facts)
        for event in (self.planned, *self.event_L.tolist()):
            self._context.forget(event)


_NOBODY = np.empty(0, np.int64)
"""Copies rows for the fast lane."""


class DeviceTable:
    """A line's table on a device."""

    def __init__(self, table: LineTable, device: torch.device) -> None:
        self.of = table
        arrays = (table.edges_G, table.addresses_G.view(np.int64), table.documents_D)
        self._kept = [torch.from_numpy(array).to(device) for array in arrays]
        self.edges, self.addresses, self.documents = (one.data_ptr() for one in self._kept)
        torch.cuda.synchronize(device)


def queue(
    backend: CudaBackend, windows: Windows, slot: Slot, table: DeviceTable, step: int,
    crew: CopyCrew | None = None,
) -> RowLaunches:  # fmt: skip
    """Wait until the slot is free, and queue launches of `step` batches: by the ring, whose rows a
    crew copies, or reading the line's row groups where they are. Raises CudaError."""
    rows, batches, t = len(windows.samples_R), windows.batches, windows.seq_len
    limit = piece_ids(windows.bits)
    segments, groups = table.of.most(t)
    row_bytes = bytes_of_row(t, windows.bits) if crew else 0
    # A row has padding at most once, and a batch one segment and one piece behind it.
    segments = rows * (segments + 1) + batches
    pieces = rows * (-(-t // limit) + 1 + 2 * groups) + batches
    numbers = 32 * rows + 512
    host = slot.reserve(numbers, rows * row_bytes + numbers, backend.device)
    assert slot.staging is not None
    state = crew.ready(slot.job, row_bytes) if crew else _NOBODY
    scratch = slot.scratch_on_device(16 * rows + 16 * pieces + 4 * segments, backend.device)
    size = 4 * (segments + 2 + 3 * batches)
    # The plan writes to it without waiting for the lane: a slot keeps its last launches until the
    # device is done with them, so memory that comes back to the lane is not in use there.
    whole, stride, starts = backend.outputs(batches, windows.rows * t, size)
    facts = backend.context.pinned(2 + 3 * batches)
    unit = RowLaunches(backend, windows, table, step, whole, stride, starts, facts)
    first, apart = whole.data_ptr(), stride * batches * whole.element_size()
    int32s = starts.data_ptr()
    work = slot.work
    work[4:12] = (
        rows, windows.rows, t, table.edges, table.addresses, len(table.of.addresses_G),
        table.documents, len(table.of.documents_D) - 1,
    )  # fmt: skip
    work[13:24] = (
        row_bytes, scratch, scratch + 8 * rows, scratch + 16 * rows, int32s,
        scratch + 16 * rows + 16 * pieces, int32s + 4 * segments, first, first + apart,
        first + 2 * apart if backend.kinds == 3 else 0, stride,
    )  # fmt: skip
    backend.check(
        queue_rows(
            backend.calls, backend.context.handle, slot.before, windows.begins_R,
            windows.lengths_R, windows.stops_R, table.of.edges_G, table.of.addresses_G,
            windows.bits, host, slot.staging.data_ptr(), work, slot.work_pointer,
            backend.row_functions(windows.bits), backend.blocks,
            crew.stream if crew else 0, slot.copied, backend.plans.cuda_stream, unit.planned,
            facts.ctypes.data, slot.lane.cuda_stream, unit.event_L, step, state, slot.job,
        )
    )  # fmt: skip
    return unit
