"""Paths of the loader against the pinned copy of the same run; every row is shuffled."""

from __future__ import annotations

from typing import Any

import torch

from loader.bench import path_speed, pinned_limit
from loader.dataset import open_dataset

TURNS = 3
GATHER_THREADS = (1, 2, 3)
RING_THREADS = (1, 2, 4, 6, 8)
FAST = [(2048, 2048), (8192, 512), (2048, 512), (8192, 128), (2048, 64)]
"""(T, B): 4 M tokens twice, 1 M twice, and the small batch."""


def _measured(folder: str, cache: str, path: str, t: int, b: int, **options: Any) -> dict[str, Any]:
    """Beside a limit of its own: the median of TURNS, each between two measured limits."""
    dataset = open_dataset(folder)
    turns = []
    for _ in range(TURNS):
        before = pinned_limit(3)
        row = path_speed(dataset, path, t, b, seconds=0.5, cache=cache, **options)
        limit = (before + pinned_limit(3)) / 2
        row["wire_bytes_per_second"] = limit
        row["of_the_wire"] = row["tokens_per_second"] * dataset.dtype.itemsize / limit
        turns.append(row)
        torch.cuda.empty_cache()
    turns.sort(key=lambda row: row["of_the_wire"])
    return {**turns[TURNS // 2], "turns": [round(row["of_the_wire"], 4) for row in turns]}


def fast_lane(folder: str, cache: str) -> list[dict[str, Any]]:
    """The gather kernel with position ids and without, by size and threads."""
    found = []
    for t, b in FAST:
        for threads in GATHER_THREADS:
            for ids in (True, False):
                row = _measured(
                    folder, cache, "gather", t, b, threads=threads, backend={"position_ids": ids}
                )
                found.append({**row, "position_ids": ids})
                print(row["path"], t, b, threads, ids, row["turns"], flush=True)
    return found


def ring(folder: str, cache: str) -> list[dict[str, Any]]:
    """The pinned ring by threads."""
    found = []
    for t, b in FAST:
        for threads in RING_THREADS:
            row = _measured(folder, cache, "ring", t, b, threads=threads)
            found.append(row)
            print(row["path"], t, b, threads, row["turns"], f"{row['cpu_cores']:.1f}", flush=True)
    return found
