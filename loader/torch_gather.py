"""The fast lane: a kernel reads the ids where the hot cache mapped them, over the bus.

The mapped row groups are registered with CUDA once. No byte is copied on the host; the plan's own
arrays, about 1 % of the ids' bytes, go ahead of each batch.
"""

from __future__ import annotations

import mmap
import threading
import weakref
from collections.abc import Iterable
from typing import Any

import torch

from loader.cuda_driver import CudaError, reads_registered_memory, register, unregister
from loader.pieces import layout_of, write_pieces
from loader.plan import Mapped, Plan
from loader.torch_cuda import CudaBackend, Filled


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
    blocks = 32

    def __init__(self, device: int | None = None, **options: Any) -> None:
        super().__init__(device, **options)
        if not reads_registered_memory(self.device.index):
            raise CudaError(
                "kernels of this device cannot read registered memory by the process's own "
                "addresses. Use the ring."
            )

    def fill(self, plan: Plan) -> Filled:
        """Queue the batch. Waits only for a free slot. Raises CudaError."""
        layout = layout_of(plan)
        with self._taken() as slot:
            REGISTERED.add(plan.held, self.device.index)
            slot.reserve(layout.num_bytes)
            block = slot.bytes_of_host[: layout.num_bytes]
            count = write_pieces(plan, plan.addresses_S, layout, block)
            slot.held = plan
            slot.device[: layout.num_bytes].copy_(
                slot.host[: layout.num_bytes], non_blocking=True
            )
            batch, whole = self._expand(plan, slot, 0, layout, count)
            slot.done = torch.cuda.Event()
            slot.done.record(slot.stream)
            return Filled(batch, slot.done, whole)
