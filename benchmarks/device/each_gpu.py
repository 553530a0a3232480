"""Two GPUs of one host: each process its own rows, and how fast they are together.

torchrun --nproc-per-node N -m benchmarks.device.each_gpu DATASET CACHE OUT
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import xxhash

from loader.backends import made_backend
from loader.bench import PLANNERS, consumed, pinned_limit, prefetched, touch_all
from loader.dataset import open_dataset
from loader.loader import Loader

T, ROWS, STEPS = 2048, 512, 20_000
CHECKED = 20
THREADS = {"ring": 8, "gather": 2}


def _digests(loader: Loader) -> list[tuple[int, str]]:
    """(sample, digest of its tokens, labels and position ids) of the first batches' rows."""
    found = []
    for _ in range(CHECKED):
        batch = next(loader)
        parts = torch.stack([batch.tokens_BT, batch.labels_BT, batch.position_ids_BT], 1).cpu()
        for sample, row in zip(batch.samples_B.tolist(), parts.numpy(), strict=True):
            found.append((sample, xxhash.xxh3_128_hexdigest(row.tobytes())))
    return found


def _loader(folder: str, cache: str, path: str, rank: int, world: int) -> Loader:
    threads = THREADS[path]
    backend = made_backend(path, slots=PLANNERS + 3, threads=threads)
    loader = Loader(
        open_dataset(folder), T, ROWS * world, epochs=None, cache=cache, rank=rank,
        world_size=world, threads=threads, backend=backend,
        prefetch=prefetched(threads, backend, T, ROWS),
    )  # fmt: skip
    touch_all(loader)
    return loader


def _own_cores(rank: int, world: int) -> None:
    """This process's share of the machine's cores, as a launcher that binds would give it."""
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // world
    os.sched_setaffinity(0, cores[rank * each : (rank + 1) * each])


def _speed(loader: Loader, barrier: Any) -> float:
    """Tokens a second of this process, all of them under way together."""
    for _ in range(2 * loader.ahead):
        next(loader)
    barrier()
    begin = time.perf_counter()
    for _ in range(STEPS):
        batch = next(loader)
        batch.tokens_BT, batch.labels_BT, batch.position_ids_BT  # noqa: B018
    consumed()
    wall = time.perf_counter() - begin
    barrier()
    return STEPS * ROWS * T / wall


def main(folder: str, cache: str, out: str) -> None:
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    _own_cores(rank, world)
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", device_id=torch.device("cuda", rank))
    found: dict[str, Any] = {"world": world, "device": torch.cuda.get_device_name()}
    for path in ("ring", "gather"):
        with _loader(folder, cache, path, rank, world) as loader:
            mine = _digests(loader)
        everyone: list[Any] = [None] * world
        dist.all_gather_object(everyone, mine)
        alone = 0.0
        with Loader(
            open_dataset(folder), T, ROWS * world, epochs=None, cache=cache,
            backend=made_backend(path),
        ) as single:  # fmt: skip
            whole = _digests(single) if rank == 0 else []
        dist.barrier()
        if rank == 0:  # one process, the other idle
            with _loader(folder, cache, path, 0, 1) as loader:
                alone = _speed(loader, lambda: None)
        dist.barrier()
        limit = pinned_limit(3)
        with _loader(folder, cache, path, rank, world) as loader:
            speed = _speed(loader, dist.barrier)
        speeds: list[Any] = [None] * world
        dist.all_gather_object(speeds, (speed, limit))
        together = [row for rows in everyone for row in rows]
        found[path] = {
            "rows_compared": len(together),
            "disjoint": len({sample for sample, _ in together}) == len(together),
            "union_is_the_one_rank_order": sorted(together) == sorted(whole),
            "one_alone_tokens_per_second": alone,
            "together_tokens_per_second": sum(one for one, _ in speeds),
            "together_vs_one": sum(one for one, _ in speeds) / alone if alone else None,
            "wire_bytes_per_second_both_at_once": [limit for _, limit in speeds],
        }
    if rank == 0:
        Path(out).write_text(json.dumps(found))
        print(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
