"""Batches on a CUDA device: what both paths share.

Several batches are filled by one launch, on streams of the backend's own. `ready` makes the
consumer's stream wait, never its thread. Everything that a launch reads later than its call (pinned
blocks, staging, mapped row groups) stays in its slot until the device has passed the slot's event.
"""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from loader.copy_crew import Semaphore
from loader.cuda_driver import Context, CudaError, addresses, check, compiled, driver
from loader.device_kernels import CALLS
from loader.pieces import MOST_BATCHES
from loader.plan import Plan
from loader.row_kernels import FIELDS, JOB, KERNELS
from loader.torch_rows import DeviceTable, RowBatch, RowLaunches
from loader.windows import LineTable, Windows
from pipeline.errors import ConfigError

THREADS = 288
"""Of a block of the kernel: CONSUMERS and a warp that requests (loader/expand.cu)."""
WIDE = 4
"""Outputs in the kernel's 16-byte stores, at most."""
DTYPES = {torch.int64: "long long", torch.int32: "int"}
LAUNCH_TOKENS = 1 << 22
"""Small batches share a launch up to so many tokens: 100 MB of int64 outputs."""
PLANNED_TOKENS = 1 << 25
"""Planned together by one thread. Threads wait for each other in Python's share of it."""
LANES = 3
"""Streams: while one launch ends, the next are on their way."""


class CudaBatch:
    """One batch of this process on its device. Shapes as in `loader.Batch`."""

    __slots__ = (
        "cu_seqlens", "labels_BT", "max_seqlen", "plan", "position_ids_BT", "tokens_BT"
    )  # fmt: skip

    def __init__(
        self, views: Sequence[torch.Tensor], cu_seqlens: torch.Tensor, max_seqlen: int, plan: Plan
    ) -> None:
        self.tokens_BT, self.labels_BT = views[0], views[1]
        self.position_ids_BT = views[2] if len(views) > 2 else None
        """None where they were not asked for."""
        self.cu_seqlens = cu_seqlens
        """int32, on the device."""
        self.max_seqlen, self.plan = max_seqlen, plan

    @property
    def samples_B(self) -> npt.NDArray[np.int64]:
        """Sample index of each row; -1 for the rows that fill up the last batch."""
        return self.plan.samples_B

    @property
    def groups_B(self) -> npt.NDArray[np.int64]:
        """Number of each row's group in `Loader.groups`; -1 where samples_B is."""
        return self.plan.groups_B


class Launch:
    """Batches under way, and what the device may still read for them."""

    def __init__(
        self, context: Context, plans: Sequence[Plan], whole: torch.Tensor, kinds: int, stride: int,
        starts: torch.Tensor,
    ) -> None:  # fmt: skip
        """`whole` owns the memory; `starts`: int32, the batches' cu_seqlens behind each other."""
        self._context, self.event, self.plans = context, context.event(), plans
        self.longest_K = np.zeros(len(plans), np.int64)
        self._whole, self._waits = whole, -1
        size = plans[0].rows, plans[0].seq_len
        strides = (stride, stride * len(plans), size[1], 1)
        self._views = whole.as_strided((len(plans), kinds, *size), strides).unbind(0)
        self._starts = starts.split([len(plan.starts_S) + 1 for plan in plans])

    def ready(self, number: int) -> CudaBatch:
        """A batch for the calling thread's current stream: it waits, the thread does not."""
        stream = torch.cuda.current_stream(self._whole.device)
        if self._waits != stream.cuda_stream:
            self._context.wait(stream.cuda_stream, self.event)
            self._whole.record_stream(stream)
            self._waits = stream.cuda_stream
        views, longest = self._views[number].unbind(0), int(self.longest_K[number])
        return CudaBatch(views, self._starts[number], longest, self.plans[number])

    def __del__(self) -> None:
        self._context.forget(self.event)


Filled = tuple[Launch | RowLaunches, int]
"""A batch that may still be under way."""


class Slot:
    """Memory of one launch under way; its launch must not be forgotten before it is done."""

    def __init__(self, context: Context, lane: torch.cuda.Stream) -> None:
        self.lane, self._context = lane, context
        self.launch: Launch | RowLaunches | None = None
        self.copied, self._never = context.event(), context.event()
        self.values = np.zeros(8, np.int64)
        """The kernel's arguments, and where they are: set by loader.device_kernels."""
        self.pointers = self.values.ctypes.data + 8 * np.arange(8, dtype=np.int64)
        self.scratch = np.empty((0, 4), np.int64)
        self.work = np.zeros(len(FIELDS), np.int64)
        """`Work` of loader/rows.cu, and where it is."""
        self.work_pointer = np.array([self.work.ctypes.data], np.int64)
        self._device_scratch: torch.Tensor | None = None
        self.host: torch.Tensor | None = None
        self.staging: torch.Tensor | None = None
        self.finished = Semaphore()
        self.job = np.zeros(len(JOB), np.int64)
        """What a crew is told of the launch's rows (loader.copy_crew)."""
        self.job[JOB.index("finished")] = self.finished.address

    @property
    def before(self) -> int:
        """Event of the slot's last launch."""
        return self.launch.event if self.launch else self._never

    def room(self, segments: int) -> npt.NDArray[np.int64]:
        """Four numbers a segment. Kept: memory fresh from the system costs more than filling it."""
        if len(self.scratch) < segments:
            self.scratch = np.empty((-(-segments * 5 // 4), 4), np.int64)
        return self.scratch

    def scratch_on_device(self, size: int, device: torch.device) -> int:
        """Address of at least `size` bytes that this slot's launches use in turn."""
        if self._device_scratch is None or self._device_scratch.numel() < size:
            self.lane.synchronize()  # what is given up here may still be read
            self._device_scratch = torch.empty(size, dtype=torch.uint8, device=device)
            # Plans are made on another stream: what was here before is done first.
            self.lane.synchronize()
        return int(self._device_scratch.data_ptr())

    def reserve(self, size: int, staging: int = 0, device: torch.device | None = None) -> int:
        """Address of at least `size` pinned bytes; `staging` bytes on `device`."""
        # Batches differ a little in segments: room for more, so that new memory is rare. What is
        # given up may still be read: it waits.
        if self.host is None or self.host.numel() < size:
            self.lane.synchronize()
            self.host = torch.empty(-(-size * 5 // 4), dtype=torch.uint8, pin_memory=True)
        if staging and (self.staging is None or self.staging.numel() < staging):
            self.lane.synchronize()
            room = -(-staging * 5 // 4)
            self.staging = torch.empty(room, dtype=torch.uint8, device=device)
            # Transfers are on another stream: what was here before is done first.
            self.lane.synchronize()
        return int(self.host.data_ptr())


class CudaBackend(ABC):
    """Slots, the kernel, and its launch. A path says how the ids come to the device."""

    name = ""
    blocks = 0
    """Multiprocessors that the kernel runs on."""

    def __init__(
        self, device: int | None = None, *, dtype: torch.dtype = torch.int64,
        position_ids: bool = True, slots: int = 4,
        launch_tokens: int = LAUNCH_TOKENS, blocks: int | None = None, packed: bool = True,
        defines: dict[str, object] | None = None,
    ) -> None:  # fmt: skip
        """`slots`: launches under way at once. `launch_tokens`: small batches share a launch up to
        so many. `packed`: as in `loader.plan.Backend`. Raises ConfigError, CudaError."""
        if dtype not in DTYPES:
            raise ConfigError(f"dtype = {dtype}, expected torch.int64 or torch.int32.")
        number = torch.cuda.current_device() if device is None else device
        self.device = torch.device("cuda", number)
        self.dtype, self.kinds = dtype, 3 if position_ids else 2
        self.blocks, self.packed = blocks or self.blocks, packed
        self._defines, self._launch_tokens = defines or {}, launch_tokens
        self._functions: dict[int, npt.NDArray[np.int64]] = {}
        self._table: DeviceTable | None = None
        self._lock = threading.Lock()
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        with torch.cuda.device(self.device):
            torch.empty(1, device=self.device)  # PyTorch makes the context
            self.context = Context(number)
            self.context.use()
            self.calls = np.array(addresses(CALLS), np.int64)
            # Ahead of what is queued: what a batch's cu_seqlens are must not wait for launches.
            self.plans = torch.cuda.Stream(self.device, priority=-1)
            lanes = [torch.cuda.Stream(self.device) for _ in range(LANES)]
            for slot in range(slots):
                self._free.put(Slot(self.context, lanes[slot % LANES]))

    def rows_at_once(self, seq_len: int) -> int:
        """Rows planned together: several launches, so that Python's share of each is small."""
        return max(1, max(PLANNED_TOKENS, self._launch_tokens) // seq_len)

    def give(self, filled: Filled) -> CudaBatch | RowBatch:
        """The batch, for the calling thread's current stream."""
        return filled[0].ready(filled[1])

    def fill(self, plan: Plan) -> Filled:
        """Queue one batch. Waits only for a free slot. Raises CudaError."""
        return self._filled([plan])[0]

    def fill_all(self, plans: Sequence[Plan]) -> Iterator[Filled]:
        """Queue batches of one shape, `launch_tokens` or one batch a launch. Raises CudaError."""
        step = self._step(plans[0].rows * plans[0].seq_len)
        for first in range(0, len(plans), step):
            yield from self._filled(plans[first : first + step])

    def _filled(self, plans: Sequence[Plan]) -> list[Filled]:
        self.context.use()  # a thread that has not called CUDA yet has none
        function = self.function(plans[0].bits)
        with self._taken() as slot:
            slot.launch = self._queued(plans, slot, function)
            return [(slot.launch, number) for number in range(len(plans))]

    @abstractmethod
    def _queued(self, plans: Sequence[Plan], slot: Slot, function: int) -> Launch:
        """Wait until the slot is free, and queue a launch. Raises CudaError."""

    @contextmanager
    def _taken(self) -> Iterator[Slot]:
        """A slot; PyTorch allocates for its stream."""
        slot = self._free.get()
        try:
            with torch.cuda.stream(slot.lane):  # of this device, which it makes current too
                yield slot
        finally:
            self._free.put(slot)

    def fill_windows(self, windows: Windows) -> list[Filled]:
        """Queue batches that the device plans, `launch_tokens` or one batch a launch. Raises
        CudaError."""
        self.context.use()
        with self._lock:
            if self._table is None or self._table.of is not windows.table:
                self._reach(windows.table)
                self._table = DeviceTable(windows.table, self.device)
            table = self._table
        step = min(self._step(windows.rows * windows.seq_len), windows.batches)
        with self._taken() as slot:
            slot.launch = unit = self._queued_rows(windows, slot, table, step)
        return [(unit, number) for number in range(windows.batches)]

    def _reach(self, table: LineTable) -> None:  # noqa: B027  # the ring copies on the host
        """Make the line's row groups readable where this path reads them. Raises CudaError."""

    @abstractmethod
    def _queued_rows(
        self, windows: Windows, slot: Slot, table: DeviceTable, step: int
    ) -> RowLaunches:
        """Wait until the slot is free, and queue launches of `step` batches. Raises CudaError."""

    def _step(self, batch_tokens: int) -> int:
        """Batches of a launch."""
        return min(MOST_BATCHES, max(1, self._launch_tokens // batch_tokens))

    def function(self, bits: int) -> int:
        """The kernel for ids of so many bits; compiled at first use."""
        return int(self._compiled(bits)[0])

    def row_functions(self, bits: int) -> npt.NDArray[np.int64]:
        """The kernels of loader/rows.cu in their order."""
        return self._compiled(bits)[1:]

    def _compiled(self, bits: int) -> npt.NDArray[np.int64]:
        with self._lock:
            if bits not in self._functions:
                self._functions[bits] = self._compile(bits)
            return self._functions[bits]

    def _compile(self, bits: int) -> npt.NDArray[np.int64]:
        capability = torch.cuda.get_device_capability(self.device)
        if capability < (8, 0):
            raise CudaError(
                f"{torch.cuda.get_device_name(self.device)} has compute capability {capability}; "
                f"the kernel needs 8.0 or later. Use the numpy backend."
            )
        defines = {
            "BITS": bits,
            "OUT": DTYPES[self.dtype],
            "BULK": int(capability >= (9, 0)),
            **self._defines,
        }
        files = (Path(__file__).with_name(name) for name in ("expand.cu", "rows.cu"))
        source = "\n".join(file.read_text() for file in files)
        code = compiled(source, defines, capability, str(torch.version.cuda))
        return np.array(self.context.functions(code, ("expand", *KERNELS)), np.int64)

    def outputs(
        self, batches: int, positions: int, block_bytes: int
    ) -> tuple[torch.Tensor, int, torch.Tensor]:
        """Memory of the batches and a block behind it: (tensor, stride, the block's int32 view).

        Outputs of one kind follow each other, `stride` elements a batch.
        """
        stride = -(-positions // WIDE) * WIDE
        before = -(-self.kinds * batches * stride // 32) * 32
        size = before + -(-block_bytes // self.dtype.itemsize)
        whole = torch.empty(size, dtype=self.dtype, device=self.device)
        return whole, stride, whole[before:].view(torch.int32)

    def _outputs(
        self, plans: Sequence[Plan], slot: Slot, block_bytes: int
    ) -> tuple[torch.Tensor, int, torch.Tensor]:
        """`outputs` of these plans, which are the kernel's."""
        positions = plans[0].rows * plans[0].seq_len
        whole, stride, block = self.outputs(len(plans), positions, block_bytes)
        step = stride * len(plans) * self.dtype.itemsize
        first, values = whole.data_ptr(), slot.values
        values[4], values[5], values[7] = first, first + step, stride
        values[6] = first + 2 * step if self.kinds == 3 else 0
        return whole, stride, block

    def check(self, result: int) -> None:
        if result:
            check(driver(), result, f"{self.name}: launch")

    def close(self) -> None:
        """Wait for all that is under way."""
        torch.cuda.synchronize(self.device)

    def __del__(self) -> None:
        # What launches under way read goes with the slots. At the end of the process CUDA may be
        # gone.
        with suppress(RuntimeError, AttributeError):
            self.close()
