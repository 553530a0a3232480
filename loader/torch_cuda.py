"""Batches on a CUDA device: what both paths share.

Several batches are filled by one launch, on streams of the backend's own. `ready` makes the
consumer's stream wait, never its thread. Everything that a launch reads later than its call (pinned
blocks, staging, mapped row groups) stays in its slot until the device has passed the slot's event.
"""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from loader.cuda_driver import CudaError, Function, compiled
from loader.pieces import Layout
from loader.plan import Plan
from pipeline.errors import ConfigError

THREADS = 288
"""Of a block of the kernel: CONSUMERS and a warp that requests (loader/expand.cu)."""
WIDE = 4
"""Outputs in the kernel's 16-byte stores, at most."""
DTYPES = {torch.int64: "long long", torch.int32: "int"}
LAUNCH_TOKENS = 1 << 22
"""Small batches share a launch up to so many tokens: 100 MB of int64 outputs."""
LANES = 2
"""Streams: while one launch ends, the next is on its way."""


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
    plan: Plan

    @property
    def samples_B(self) -> npt.NDArray[np.int64]:
        """Sample index of each row; -1 for the rows that fill up the last batch."""
        return self.plan.samples_B

    @property
    def groups_B(self) -> npt.NDArray[np.int64]:
        """Number of each row's group in `Loader.groups`; -1 where samples_B is."""
        return self.plan.groups_B


@dataclass(frozen=True)
class Filled:
    """A batch whose bytes may still be under way."""

    batch: CudaBatch
    event: torch.cuda.Event
    whole: torch.Tensor
    """What owns the batch's memory."""

    def ready(self) -> CudaBatch:
        """The batch, for the calling thread's current stream: it waits, the thread does not."""
        stream = torch.cuda.current_stream(self.whole.device)
        stream.wait_event(self.event)
        self.whole.record_stream(stream)
        return self.batch


@dataclass
class Slot:
    """Memory of one launch under way."""

    stream: torch.cuda.Stream
    done: torch.cuda.Event
    held: Any = None
    """What the device may still read: kept until `done`."""
    host: torch.Tensor | None = None
    """Pinned bytes."""
    staging: torch.Tensor | None = None
    """As many on the device."""

    def pinned(self, size: int) -> tuple[torch.Tensor, npt.NDArray[np.uint8]]:
        """At least `size` pinned bytes, as PyTorch and as numpy see them."""
        if self.host is None or self.host.numel() < size:
            # Batches differ a little in segments: room for more, so that this is rare.
            self.host = torch.empty(-(-size * 5 // 4), dtype=torch.uint8, pin_memory=True)
        return self.host, self.host.numpy()

    def staged(self, device: torch.device) -> torch.Tensor:
        """As many bytes on the device as are pinned."""
        assert self.host is not None
        if self.staging is None or self.staging.numel() < self.host.numel():
            self.staging = torch.empty(self.host.numel(), dtype=torch.uint8, device=device)
        return self.staging


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
        """`slots`: launches under way at once. Raises ConfigError, CudaError."""
        if dtype not in DTYPES:
            raise ConfigError(f"dtype = {dtype}, expected torch.int64 or torch.int32.")
        self.device = torch.device(
            "cuda", torch.cuda.current_device() if device is None else device
        )
        self.dtype, self._kinds = dtype, 3 if position_ids else 2
        self.blocks = blocks or self.blocks
        self._defines = defines or {}
        self._functions: dict[int, Function] = {}
        self._lock = threading.Lock()
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        with torch.cuda.device(self.device):
            lanes = [torch.cuda.Stream(self.device) for _ in range(LANES)]
            for number in range(slots):
                self._free.put(Slot(lanes[number % LANES], torch.cuda.Event()))

    def rows_at_once(self, seq_len: int) -> int:
        """Rows of one launch, where a batch has fewer."""
        return max(1, LAUNCH_TOKENS // seq_len)

    def give(self, filled: Filled) -> CudaBatch:
        return filled.ready()

    def fill(self, plan: Plan) -> Filled:
        """Queue one batch. Waits only for a free slot. Raises CudaError."""
        return self.fill_all([plan])[0]

    def fill_all(self, plans: Sequence[Plan]) -> list[Filled]:
        """Queue batches of one shape by one launch. Raises CudaError."""
        raise NotImplementedError

    @contextmanager
    def _taken(self) -> Iterator[Slot]:
        """A slot whose last launch the device is done with; its stream is the current one."""
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
        return Function(compiled(source, defines, capability, str(torch.version.cuda)), "expand")

    def _outputs(self, plans: Sequence[Plan], block_bytes: int) -> tuple[torch.Tensor, int, int]:
        """Memory of the batches and a block behind it: (tensor, stride, elements before the block).

        Outputs of one kind follow each other, `stride` elements a batch.
        """
        stride = -(-plans[0].rows * plans[0].seq_len // WIDE) * WIDE
        before = -(-self._kinds * len(plans) * stride // 32) * 32
        size = before + -(-block_bytes // self.dtype.itemsize)
        return torch.empty(size, dtype=self.dtype, device=self.device), stride, before

    def _launch(
        self, slot: Slot, block: int, layout: Layout, count: int, itemsize: int,
        outputs: int, stride: int,
    ) -> torch.cuda.Event:  # fmt: skip
        """Queue the kernel over the arrays at device address `block`; the event behind it."""
        step = stride * (len(layout.bounds) - 1) * self.dtype.itemsize
        kinds = [outputs + step * number for number in range(self._kinds)]
        addresses = [block + layout.starts, block + layout.tails, *kinds, *[0] * (3 - self._kinds)]
        values = [
            ctypes.c_uint64(block), ctypes.c_int(count),
            *(ctypes.c_uint64(value) for value in addresses), ctypes.c_uint64(stride),
        ]  # fmt: skip
        blocks = min(self.blocks, max(count, 1))
        self.function(itemsize).launch(blocks, THREADS, slot.stream.cuda_stream, values)
        slot.done = torch.cuda.Event()
        slot.done.record(slot.stream)
        return slot.done

    def _given(
        self, plans: Sequence[Plan], whole: torch.Tensor, stride: int, starts: torch.Tensor,
        lengths: Sequence[int], event: torch.cuda.Event,
    ) -> list[Filled]:  # fmt: skip
        """The batches as views. `starts`: int32, each batch's cu_seqlens behind each other."""
        rows, seq_len = plans[0].rows, plans[0].seq_len
        strides = (stride * len(plans), stride, seq_len, 1)
        views = whole.as_strided((self._kinds, len(plans), rows, seq_len), strides).unbind(1)
        seqlens = starts.split([len(plan.starts_S) + 1 for plan in plans])
        found = []
        for number, plan in enumerate(plans):
            tokens, labels, *more = views[number].unbind(0)
            batch = CudaBatch(
                tokens, labels, more[0] if more else None, seqlens[number], lengths[number], plan
            )
            found.append(Filled(batch, event, whole))
        return found

    def close(self) -> None:
        """Wait for all that is under way."""
        torch.cuda.synchronize(self.device)
