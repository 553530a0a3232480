"""The default on CUDA: narrow ids gathered into a pinned ring, which the copy engine empties.

The copy engine takes no multiprocessor from training. Ids travel as they are stored, 2 or 4 bytes
each; the device widens them and makes labels and position ids of the plans' arrays, which travel
behind the ids. Rows that the device plans are copied by threads of the
backend's own (`loader.copy_crew`); plans of the host by the thread that brings them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from loader.copy_crew import CHUNK_BYTES, CopyCrew
from loader.device_kernels import queue_ring
from loader.pieces import LINE, layout_of, piece_ids, table_of
from loader.plan import Plan
from loader.torch_cuda import THREADS, CudaBackend, Launch, Slot
from loader.torch_rows import DeviceTable, RowLaunches, queue
from loader.windows import Windows


class RingBackend(CudaBackend):
    """`fill(plan)`: gather, transfer, one kernel on the device."""

    name = "ring"
    blocks = 64

    def __init__(
        self, device: int | None = None, *, threads: int = 2, slots: int = 4,
        chunk_bytes: int = CHUNK_BYTES, **options: Any,
    ) -> None:  # fmt: skip
        """`threads` copy the rows of batches that the device plans, in chunks of pinned memory."""
        super().__init__(device, slots=slots, **options)
        self._copies = torch.cuda.Stream(self.device)
        stream = self._copies.cuda_stream
        self._crew = CopyCrew(self.context, self.calls, stream, threads, slots, chunk_bytes)

    def _queued(self, plans: Sequence[Plan], slot: Slot, function: int) -> Launch:
        layout, first = layout_of(plans), plans[0]
        total = first.rows * first.seq_len
        room = len(plans) * total * first.bits // 8 + 2 * LINE * layout.segments
        size = room + layout.num_bytes + 256
        host = slot.reserve(size, size, self.device)
        assert slot.staging is not None
        whole, stride, block = self._outputs(plans, slot, 4 * layout.segments)
        starts = block[: layout.segments]
        launch = Launch(self.context, plans, whole, self.kinds, stride, starts)
        self.check(
            queue_ring(
                self.calls, self.context.handle, slot.before, table_of(plans), total,
                first.bits, piece_ids(first.bits), layout.pieces, layout.segments,
                host, slot.staging.data_ptr(), layout.num_bytes, launch.longest_K, function,
                slot.values, slot.pointers, self.blocks, THREADS, slot.lane.cuda_stream,
                launch.event, LINE, self._copies.cuda_stream, slot.copied,
                starts.data_ptr(), slot.room(layout.segments),
            )
        )  # fmt: skip
        return launch

    def _queued_rows(
        self, windows: Windows, slot: Slot, table: DeviceTable, step: int
    ) -> RowLaunches:
        return queue(self, windows, slot, table, step, self._crew)

    def close(self) -> None:
        super().close()
        self._crew.close()
