"""Batches on a CUDA device: what both paths share.

Each plan is filled on streams of the backend's own. `ready` makes the consumer's stream wait, never
its thread. Everything that a fill reads later than its call (pinned blocks, staging, mapped row
groups) stays in its slot until the device has passed the slot's event.
"""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from loader.cuda_driver import CudaError, Function, compiled
from loader.pieces import Layout, layout_of, write_pieces
from loader.plan import Plan
from pipeline.errors import ConfigError

THREADS = 288
"""Of a block of the kernel: CONSUMERS and a warp that requests (loader/expand.cu)."""
WIDE = 4
"""Outputs in 16 bytes, at most."""
DTYPES = {torch.int64: "long long", torch.int32: "int"}


@dataclass(frozen=True)
class CudaBatch:
    """One batch of this process on its device. Shapes as in `loader.Batch`."""

    tokens_BT: torch.Tensor
    labels_BT: torch.Tensor
    position_ids_BT: torch.Tensor | None
    """None where they were not asked for."""
    cu_seqlens: torch.Tensor
    """int32, on the device."""
    max_seqlen: int
    samples_B: npt.NDArray[np.int64]
    groups_B: npt.NDArray[np.int64]
    plan: Plan


@dataclass(frozen=True)
class Filled:
    """A batch whose bytes may still be under way."""

    batch: CudaBatch
    event: torch.cuda.Event
    whole: tuple[torch.Tensor, ...]
    """The tensors that own the batch's memory."""

    def ready(self) -> CudaBatch:
        """The batch, for the calling thread's current stream: it waits, the thread does not."""
        stream = torch.cuda.current_stream(self.batch.tokens_BT.device)
        stream.wait_event(self.event)
        for tensor in self.whole:
            tensor.record_stream(stream)
        return self.batch


@dataclass
class Slot:
    """Memory of one fill under way."""

    host: torch.Tensor
    """Pinned bytes."""
    device: torch.Tensor
    stream: torch.cuda.Stream
    done: torch.cuda.Event
    held: Any = None
    """What the device may still read: kept until `done`."""
    bytes_of_host: npt.NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.bytes_of_host = self.host.numpy()

    def reserve(self, size: int) -> None:
        """Hold at least `size` bytes on both sides."""
        if self.host.numel() < size:
            size = -(-size * 9 // 8 // 4096) * 4096  # batches differ a little in segments
            self.host = torch.empty(size, dtype=torch.uint8, pin_memory=True)
            self.bytes_of_host = self.host.numpy()
            self.device = torch.empty(size, dtype=torch.uint8, device=self.device.device)


class CudaBackend:
    """Slots, the kernel, and its launch. A path says how the ids come to the device."""

    name = ""
    blocks = 0
    """Multiprocessors that the kernel runs on."""

    def __init__(
        self,
        device: int | None = None,
        *,
        dtype: torch.dtype = torch.int64,
        position_ids: bool = True,
        slots: int = 4,
        blocks: int | None = None,
        defines: dict[str, object] | None = None,
    ) -> None:
        """`slots`: batches under way at once. Raises ConfigError, CudaError."""
        if dtype not in DTYPES:
            raise ConfigError(f"dtype = {dtype}, expected torch.int64 or torch.int32.")
        self.device = torch.device(
            "cuda", torch.cuda.current_device() if device is None else device
        )
        self.dtype, self._position_ids = dtype, position_ids
        self.blocks = blocks or self.blocks
        self._defines = defines or {}
        self._functions: dict[int, Function] = {}
        self._lock = threading.Lock()
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        with torch.cuda.device(self.device):
            for _ in range(slots):
                self._free.put(self._slot())

    def _slot(self) -> Slot:
        host = torch.empty(4096, dtype=torch.uint8, pin_memory=True)
        device = torch.empty(4096, dtype=torch.uint8, device=self.device)
        return Slot(host, device, torch.cuda.Stream(self.device), torch.cuda.Event())

    @contextmanager
    def _taken(self) -> Iterator[Slot]:
        """A slot whose last fill the device is done with."""
        slot = self._free.get()
        try:
            slot.done.synchronize()
            slot.held = None
            with torch.cuda.device(self.device), torch.cuda.stream(slot.stream):
                yield slot
        finally:
            self._free.put(slot)

    def function(self, itemsize: int) -> Function:
        """The kernel for ids of 2 or 4 bytes; compiled at first use."""
        with self._lock:
            if itemsize not in self._functions:
                self._functions[itemsize] = self._compile(itemsize)
            return self._functions[itemsize]

    def _compile(self, itemsize: int) -> Function:
        capability = torch.cuda.get_device_capability(self.device)
        if capability < (8, 0):
            raise CudaError(
                f"{torch.cuda.get_device_name(self.device)} has compute capability {capability}; "
                f"the kernel needs 8.0 or later. Use the numpy backend."
            )
        defines = {
            "ID": {2: "unsigned short", 4: "unsigned int"}[itemsize],
            "OUT": DTYPES[self.dtype],
            "BULK": int(capability >= (9, 0)),
            **self._defines,
        }
        source = Path(__file__).with_name("expand.cu").read_text()
        return Function(
            compiled(source, defines, capability, str(torch.version.cuda)), "expand"
        )

    def _expand(
        self, plan: Plan, slot: Slot, offset: int, layout: Layout, count: int
    ) -> tuple[CudaBatch, tuple[torch.Tensor, ...]]:
        """Queue the kernel over a block of arrays at `offset` of the slot's device bytes."""
        size, kinds = plan.rows * plan.seq_len, 3 if self._position_ids else 2
        stride = -(-size // WIDE) * WIDE  # the kernel stores 16 bytes at once
        whole = torch.empty(kinds * stride, dtype=self.dtype, device=self.device)
        outputs = [
            whole[number * stride :][:size].view(plan.rows, plan.seq_len)
            for number in range(kinds)
        ]
        cu_seqlens = torch.empty(layout.segments + 1, dtype=torch.int32, device=self.device)
        base = slot.device.data_ptr() + offset
        starts = slot.device[offset + layout.starts :][: 4 * (layout.segments + 1)]
        cu_seqlens.copy_(starts.view(torch.int32))
        pointers = [output.data_ptr() for output in outputs]
        values = [
            ctypes.c_uint64(base), ctypes.c_int(count), ctypes.c_uint64(base + layout.starts),
            ctypes.c_uint64(base + layout.tails), *(ctypes.c_uint64(p) for p in pointers),
        ]  # fmt: skip
        if not self._position_ids:
            values.append(ctypes.c_uint64(0))
        blocks = min(self.blocks, max(count, 1))
        self.function(plan.itemsize).launch(blocks, THREADS, slot.stream.cuda_stream, values)
        batch = CudaBatch(
            outputs[0], outputs[1], outputs[2] if self._position_ids else None, cu_seqlens,
            plan.max_seqlen, plan.samples_B, plan.groups_B, plan,
        )  # fmt: skip
        return batch, (whole, cu_seqlens)

    def close(self) -> None:
        """Wait for all that is under way."""
        torch.cuda.synchronize(self.device)
