"""The default on CUDA: narrow ids gathered into a pinned ring, one copy-engine transfer a launch.

The copy engine takes no multiprocessor from training. Ids travel as they are stored, 2 or 4 bytes
each; the device widens them and makes labels and position ids of the plans' arrays, which travel
behind the ids in the same transfer. Several threads may fill at once, each its own batches; copying
holds no lock of Python's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from loader.pieces import layout_of, runs_of, write_pieces
from loader.plan import Plan
from loader.stream_copy import copy_runs
from loader.torch_cuda import CudaBackend, Filled


class RingBackend(CudaBackend):
    """`fill_all(plans)`: gather, transfer, one kernel on the device."""

    name = "ring"
    blocks = 64

    def __init__(
        self, device: int | None = None, *, past_caches: bool = True, **options: Any
    ) -> None:
        """`past_caches`: write the ring by non-temporal stores."""
        super().__init__(device, **options)
        self._past_caches = past_caches
        self._copies = torch.cuda.Stream(self.device)

    def fill_all(self, plans: Sequence[Plan]) -> list[Filled]:
        """Gather batches of one shape and queue the rest. Raises CudaError."""
        runs, layout = runs_of(plans), layout_of(plans)
        offset = -(-runs.num_bytes // 256) * 256
        size = offset + layout.num_bytes
        with self._taken() as slot:
            host, bytes_of_host = slot.pinned(size)
            staging = slot.staged(self.device)
            for runs_R3 in runs.runs_R3:
                copy_runs(runs_R3, host.data_ptr(), 0, runs.num_bytes, self._past_caches)
            base = staging.data_ptr()
            count, lengths = write_pieces(plans, layout, bytes_of_host[offset:size], runs, base)
            with torch.cuda.stream(self._copies):
                staging[:size].copy_(host[:size], non_blocking=True)
                arrived = self._copies.record_event()
            slot.stream.wait_event(arrived)
            whole, stride, before = self._outputs(plans, 4 * layout.bounds[-1])
            starts = whole[before:].view(torch.int32)[: layout.bounds[-1]]
            staged = staging[offset + layout.starts :][: 4 * layout.bounds[-1]]
            starts.copy_(staged.view(torch.int32))
            event = self._launch(
                slot, base + offset, layout, count, plans[0].itemsize, whole.data_ptr(), stride
            )
            return self._given(plans, whole, stride, starts, lengths, event)
