"""Launches of rows that the device plans itself: `loader.windows` on CUDA.

The line's table lies on the device, uploaded once. How many documents a batch has is known there
alone, so `cu_seqlens` and `max_seqlen` are fetched when they are asked for, once a launch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from loader.pieces import LINE, PIECE_BYTES
from loader.plan import Plan
from loader.row_kernels import queue_rows
from loader.windows import LineTable, Windows

if TYPE_CHECKING:
    from loader.torch_cuda import CudaBackend, Slot


class RowBatch:
    """One batch of this process on its device, as `loader.torch_cuda.CudaBatch`."""

    __slots__ = ("_launch", "_number", "labels_BT", "position_ids_BT", "tokens_BT")

    def __init__(self, views: Sequence[torch.Tensor], launch: RowLaunch, number: int) -> None:
        self.tokens_BT, self.labels_BT = views[0], views[1]
        self.position_ids_BT = views[2] if len(views) > 2 else None
        """None where they were not asked for."""
        self._launch, self._number = launch, number

    @property
    def cu_seqlens(self) -> torch.Tensor:
        """int32, on the device. Waits for the launch: its length is known there alone."""
        facts = self._launch.facts
        first, end = facts[1 + self._number : 3 + self._number].tolist()
        return self._launch.starts[first:end]

    @property
    def max_seqlen(self) -> int:
        """Length of the longest segment. Waits for the launch."""
        facts = self._launch.facts
        return int(facts[2 + self._launch.windows.batches + self._number])

    @property
    def plan(self) -> Plan:
        """Made by the host when it is asked for."""
        return self._launch.windows.plan(self._number)

    @property
    def samples_B(self) -> npt.NDArray[np.int64]:
        """Sample index of each row; -1 for the rows that fill up the last batch."""
        return self._of_rows(self._launch.windows.samples_R)

    @property
    def groups_B(self) -> npt.NDArray[np.int64]:
        """Number of each row's group in `Loader.groups`; -1 where samples_B is."""
        return self._of_rows(self._launch.windows.groups_R)

    def _of_rows(self, values_R: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        rows = self._launch.windows.rows
        return values_R[self._number * rows : (self._number + 1) * rows]


class RowLaunch:
    """Batches under way."""

    def __init__(
        self, backend: CudaBackend, windows: Windows, whole: torch.Tensor, stride: int,
        starts: torch.Tensor, facts: torch.Tensor,
    ) -> None:  # fmt: skip
        """`whole` owns the memory; `starts`, `facts`: int32, as in loader/rows.cu."""
        self._context, self.event = backend.context, backend.context.event()
        self.windows, self.starts = windows, starts
        self._whole, self._facts, self._waits = whole, facts, -1
        batches, size = windows.batches, (windows.rows, windows.seq_len)
        strides = (stride, stride * batches, size[1], 1)
        views = whole.as_strided((batches, backend.kinds, *size), strides)
        self._views = views.unbind(0)

    def ready(self, number: int) -> RowBatch:
        """A batch for the calling thread's current stream: it waits, the thread does not."""
        stream = torch.cuda.current_stream(self._whole.device)
        if self._waits != stream.cuda_stream:
            self._context.wait(stream.cuda_stream, self.event)
            self._whole.record_stream(stream)
            self._waits = stream.cuda_stream
        return RowBatch(self._views[number].unbind(0), self, number)

    @cached_property
    def facts(self) -> npt.NDArray[np.int32]:
        """Pieces | first segment of each batch, and all | longest segment of each batch."""
        found: npt.NDArray[np.int32] = self._facts.cpu().numpy()
        return found

    def __del__(self) -> None:
        self._context.forget(self.event)


class DeviceTable:
    """A line's table on a device."""

    def __init__(self, table: LineTable, device: torch.device) -> None:
        self.of = table
        arrays = (table.edges_G, table.addresses_G.view(np.int64), table.documents_D)
        self._kept = [torch.from_numpy(array).to(device) for array in arrays]
        self.edges, self.addresses, self.documents = (one.data_ptr() for one in self._kept)
        torch.cuda.synchronize(device)


def queue(
    backend: CudaBackend, windows: Windows, slot: Slot, table: DeviceTable, *, ring: bool,
    past_caches: bool, copies: int,
) -> RowLaunch:  # fmt: skip
    """Wait until the slot is free, and queue a launch. Raises CudaError."""
    rows, batches, t = len(windows.samples_R), windows.batches, windows.seq_len
    limit = PIECE_BYTES // windows.itemsize
    segments, groups = table.of.most(t)
    row_bytes = -(-t * windows.itemsize // LINE) * LINE if ring else 0
    # A row has padding at most once, and a batch one segment and one piece behind it.
    segments = rows * (segments + 1) + batches
    pieces = rows * (-(-t // limit) + 1 + groups) + batches
    size = rows * (row_bytes + 32) + 256
    host = slot.reserve(size, backend.device)
    assert slot.staging is not None
    scratch = slot.scratch_on_device(16 * rows + 16 * pieces + 4 * segments, backend.device)
    whole, stride, behind = backend.outputs(
        batches, windows.rows * t, 4 * (segments + 2 * batches + 2)
    )
    starts, facts = behind[:segments], behind[segments : segments + 2 + 2 * batches]
    launch = RowLaunch(backend, windows, whole, stride, starts, facts)
    first, step = whole.data_ptr(), stride * batches * whole.element_size()
    work = slot.work
    work[4:12] = (
        rows, windows.rows, t, table.edges, table.addresses, len(table.of.addresses_G),
        table.documents, len(table.of.documents_D) - 1,
    )  # fmt: skip
    tails = scratch + 16 * rows + 16 * pieces
    work[13:] = (
        row_bytes, scratch, scratch + 8 * rows, scratch + 16 * rows, starts.data_ptr(), tails,
        facts.data_ptr(), first, first + step, first + 2 * step if backend.kinds == 3 else 0,
        stride,
    )  # fmt: skip
    backend.check(
        queue_rows(
            backend.calls, backend.context.handle, slot.before, windows.begins_R,
            windows.lengths_R, windows.stops_R, table.of.edges_G, table.of.addresses_G,
            windows.itemsize, past_caches, host, slot.staging.data_ptr(), work, slot.work_pointer,
            backend.row_functions(windows.itemsize), backend.blocks, copies, slot.copied,
            slot.lane.cuda_stream, launch.event,
        )
    )  # fmt: skip
    return launch
