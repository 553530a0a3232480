"""The default on CUDA: narrow ids gathered into a pinned ring, one copy-engine transfer a batch.

The copy engine takes no multiprocessor from training. Ids travel as they are stored, 2 or 4 bytes
each; the device widens them and makes labels and position ids of the plan's arrays, which travel
behind the ids in the same transfer.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from loader.pieces import LINE, layout_of, runs_of, write_pieces
from loader.plan import Plan
from loader.stream_copy import copy_runs
from loader.torch_cuda import CudaBackend, Filled
from pipeline.errors import ConfigError

SHARE_BYTES = 1 << 19
"""A thread more takes part in a batch for each so many bytes: below, starting it costs more."""
MAX_THREADS = 64


class RingBackend(CudaBackend):
    """`fill(plan)`: gather by `threads` threads, transfer, one kernel on the device."""

    name = "ring"
    blocks = 132

    def __init__(
        self, device: int | None = None, *, threads: int = 1, past_caches: bool = True,
        **options: Any,
    ) -> None:  # fmt: skip
        """`past_caches`: write the ring by non-temporal stores."""
        if not 1 <= threads <= MAX_THREADS:
            raise ConfigError(f"threads = {threads}, expected 1 to {MAX_THREADS}.")
        super().__init__(device, **options)
        self._threads, self._past_caches = threads, past_caches
        self._pool = ThreadPoolExecutor(max(threads - 1, 1), "tokenmill-ring")
        self._copies = torch.cuda.Stream(self.device)

    def fill(self, plan: Plan) -> Filled:
        """Gather the batch and queue the rest. Raises CudaError."""
        runs, layout = runs_of(plan), layout_of(plan)
        offset = -(-runs.num_bytes // 256) * 256
        size = offset + layout.num_bytes
        with self._taken() as slot:
            slot.reserve(size)
            self._gather(runs.runs_R3, slot.host.data_ptr(), runs.num_bytes)
            count = write_pieces(
                plan, runs.addresses_S(slot.device.data_ptr()), layout,
                slot.bytes_of_host[offset:size],
            )  # fmt: skip
            with torch.cuda.stream(self._copies):
                slot.device[:size].copy_(slot.host[:size], non_blocking=True)
                arrived = self._copies.record_event()
            slot.stream.wait_event(arrived)
            batch, whole = self._expand(plan, slot, offset, layout, count)
            slot.done = torch.cuda.Event()
            slot.done.record(slot.stream)
            return Filled(batch, slot.done, whole)

    def _gather(self, runs_R3: Any, address: int, size: int) -> None:
        shares = max(1, min(self._threads, size // SHARE_BYTES))
        step = -(-size // shares // LINE) * LINE
        bounds = [min(number * step, size) for number in range(shares)] + [size]
        waiting = [
            self._pool.submit(
                copy_runs, runs_R3, address, bounds[n], bounds[n + 1], self._past_caches
            )
            for n in range(1, shares)
        ]
        copy_runs(runs_R3, address, bounds[0], bounds[1], self._past_caches)
        for one in waiting:
            one.result()

    def close(self) -> None:
        super().close()
        self._pool.shutdown()
