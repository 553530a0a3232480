"""The fast lane: a kernel reads the ids where the hot cache mapped them, over the bus.

The mapped row groups are registered with CUDA once. No byte is copied on the host; the plan's own
arrays, about 1 % of the ids' bytes, go ahead of each batch.
"""

from __future__ import annotations

import mmap
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

from loader.cuda_driver import CudaError, reads_registered_memory, register, unregister
from loader.device_kernels import queue_gather
from loader.pieces import layout_of, piece_ids, table_of
from loader.plan import Mapped, Plan
from loader.torch_cuda import THREADS, CudaBackend, Launch, Slot
from loader.torch_rows import DeviceTable, RowLaunches, queue
from loader.windows import LineTable, Windows


class Registered:
    """Row groups registered with CUDA for all devices, each for as long as it lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, int] = {}

    @property
    def num_bytes(self) -> int:
        return sum(self._known.values())

    def add(self, held: Iterable[Mapped], device: int) -> None:
        """Register what is not yet. Raises CudaError where the system refuses."""
        for mapped in held:
            if mapped.address in self._known:
                continue
            with self._lock:
                if mapped.address not in self._known:
                    self._register(mapped, device)

    def _register(self, mapped: Mapped, device: int) -> None:
        address, size = mapped.address, -(-mapped.num_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        try:
            register(address, size, device)
        except CudaError as error:
            raise CudaError(
                f"{error}. Raise the limit of locked memory (`ulimit -l`), or use the ring."
            ) from error
        self._known[address] = size
        weakref.finalize(mapped, self._forget, address)

    def _forget(self, address: int) -> None:
        # Nothing reads the pages now: a slot holds its row groups until the device is done.
        unregister(address)
        del self._known[address]


REGISTERED = Registered()
"""Of this process: pages can be registered once only."""


class GatherBackend(CudaBackend):
    """`fill(plan)`: one kernel, no host copy."""

    name = "gather"
    blocks = 24
    """On LANES at once; more fill the wire no better (docs/notes/loader.md, section 5)."""

    def __init__(self, device: int | None = None, **options: Any) -> None:
        super().__init__(device, **options)
        if not reads_registered_memory(self.device.index):
            raise CudaError(
                "kernels of this device cannot read registered memory by the process's own "
                "addresses. Use the ring."
            )

    def _queued(self, plans: Sequence[Plan], slot: Slot, function: int) -> Launch:
        layout, first = layout_of(plans), plans[0]
        self._register(plans)
        host = slot.reserve(layout.num_bytes)
        whole, stride, block = self._outputs(plans, slot, layout.num_bytes)
        starts = block[layout.starts // 4 :][: layout.segments]
        launch = Launch(self.context, plans, whole, self.kinds, stride, starts)
        self.check(
            queue_gather(
                self.calls, self.context.handle, slot.before, table_of(plans),
                first.rows * first.seq_len, first.bits, piece_ids(first.bits),
                layout.pieces, layout.segments, host, block.data_ptr(), layout.num_bytes,
                launch.longest_K, function, slot.values, slot.pointers, self.blocks, THREADS,
                slot.lane.cuda_stream, launch.event,
            )
        )  # fmt: skip
        return launch

    def _register(self, plans: Sequence[Plan]) -> None:
        done: Any = None
        for plan in plans:
            if plan.held is not done:  # plans made together share it
                REGISTERED.add(plan.held, self.device.index)
                done = plan.held

    def _reach(self, table: LineTable) -> None:
        REGISTERED.add(table.held, self.device.index)

    def _queued_rows(
        self, windows: Windows, slot: Slot, table: DeviceTable, step: int
    ) -> RowLaunches:
        return queue(self, windows, slot, table, step)
