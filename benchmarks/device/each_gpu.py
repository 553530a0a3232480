"""Two GPUs of one host: each process its own rows, and how fast they are together.

torchrun --nproc-per-node N -m benchmarks.device.each_gpu DATASET CACHE OUT
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import xxhash

from loader.backends import made_backend
from loader.bench import PLANNERS, consumed, pinned_limit, prefetched, touch_all
from loader.dataset import open_dataset
from loader.loader import Loader

T, ROWS = 2048, 512
TURNS, SECONDS, CHECKED = 5, 1.0, 20
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


def _speed(loader: Loader) -> float:
    """Bytes of ids a second of this process, over the wire; it begins with a full line."""
    for _ in range(2 * loader.ahead):
        next(loader)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < SECONDS:
        for _ in range(16):
            batch = next(loader)
            batch.tokens_BT, batch.labels_BT, batch.position_ids_BT  # noqa: B018
        count += 16
    consumed()
    return count * ROWS * T * loader.line.bits / 8 / (time.perf_counter() - begin)


def _alone_and_together(measure: Callable[[], float]) -> dict[str, list[float]]:
    """Each GPU's figure while the others idle, and its figure while all are at it."""
    rank, world = dist.get_rank(), dist.get_world_size()
    alone = 0.0
    for turn in range(world):
        dist.barrier()
        if turn == rank:
            alone = measure()
    dist.barrier()
    both: list[Any] = [None] * world
    dist.all_gather_object(both, (alone, measure()))
    return {"alone": [one for one, _ in both], "together": [one for _, one in both]}


def _ratio(turn: dict[str, list[float]]) -> float:
    """All GPUs together, in units of one alone."""
    return sum(turn["together"]) / statistics.mean(turn["alone"])


def _same_rows(folder: str, cache: str, path: str, loader: Loader) -> dict[str, Any]:
    """Are the ranks' first rows disjoint, and together those of one rank in its order?"""
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, _digests(loader))
    whole: list[tuple[int, str]] = []
    if dist.get_rank() == 0:
        with Loader(
            open_dataset(folder), T, loader.batch_size, epochs=None, cache=cache,
            backend=made_backend(path),
        ) as single:  # fmt: skip
            whole = _digests(single)
    together = [row for rows in everyone for row in rows]
    return {
        "rows_compared": len(together),
        "disjoint": len({sample for sample, _ in together}) == len(together),
        "union_is_the_one_rank_order": sorted(together) == sorted(whole),
    }


def main(folder: str, cache: str, out: str) -> None:
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    _own_cores(rank, world)
    torch.cuda.set_device(rank)
    dist.init_process_group("gloo")  # NCCL's barrier would be work on the GPU
    found: dict[str, Any] = {"world": world, "device": torch.cuda.get_device_name()}
    for path in THREADS:
        with _loader(folder, cache, path, rank, world) as loader:
            rows, bits = _same_rows(folder, cache, path, loader), loader.line.bits
            turns = [
                {
                    "wire": _alone_and_together(lambda: pinned_limit(3)),
                    "loader": _alone_and_together(lambda one=loader: _speed(one)),  # type: ignore[misc]
                }
                for _ in range(TURNS)
            ]
        found[path] = {
            **rows,
            "bits": bits,
            "threads": THREADS[path],
            "together_vs_one": statistics.median(_ratio(turn["loader"]) for turn in turns),
            "wire_together_vs_one": statistics.median(_ratio(turn["wire"]) for turn in turns),
            "of_the_wire_together": statistics.median(
                sum(turn["loader"]["together"]) / sum(turn["wire"]["together"]) for turn in turns
            ),
            "bytes_per_second": turns,
        }
    if rank == 0:
        Path(out).write_text(json.dumps(found))
        print(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
