"""Paths of the loader against the pinned copy of the same run; every row is shuffled."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from loader.backends import made_backend
from loader.bench import path_speed, pinned_limit, shares
from loader.dataset import open_dataset
from loader.loader import Loader
from loader.plan import Plan

TURNS, SECONDS = 5, 1.0
LARGE = [(2048, 2048), (8192, 512), (2048, 512), (8192, 128)]
"""(T, B): 4 M tokens a batch twice, 1 M twice."""
GATHER: list[dict[str, Any]] = [
    {"threads": 2},
    {"threads": 2, "lengths": True},
    {"threads": 2, "backend": {"position_ids": False}},
    {"threads": 2, "backend": {"launch_tokens": 1 << 24}},
    {"threads": 2, "backend": {"packed": False}},
]
RING: list[dict[str, Any]] = [
    {"threads": 8}, {"threads": 4}, {"threads": 1}, {"threads": 8, "backend": {"packed": False}},
]  # fmt: skip
"""What `path_speed` is asked for; others are compared with the first."""


def _measured(makes: Sequence[Callable[[], dict[str, Any]]]) -> list[dict[str, Any]]:
    """The sides in turn, TURNS times, each between two measured limits: of each its median.

    `beside_first`: median of its tokens/s over those of the first side in the same turn.
    """
    turns = [[_between_limits(make) for make in makes] for _ in range(TURNS)]
    found = []
    for number in range(len(makes)):
        rows = sorted((turn[number] for turn in turns), key=lambda row: float(row["of_stored_ids"]))
        pairs = [(turn[number], turn[0]) for turn in turns]
        ratios = [one["tokens_per_second"] / first["tokens_per_second"] for one, first in pairs]
        median = {**rows[TURNS // 2], "beside_first": round(statistics.median(ratios), 4)}
        found.append({**median, "turns": [round(row["of_stored_ids"], 4) for row in rows]})
    return found


def _between_limits(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    before = pinned_limit(3)
    row = make()
    limit = (before + pinned_limit(3)) / 2
    torch.cuda.empty_cache()
    return {**row, "wire_bytes_per_second": limit, **shares(row, limit)}


def _said(name: str, row: dict[str, Any], *more: Any) -> None:
    speed, share = row["tokens_per_second"] / 1e6, 100 * row["of_the_wire"]
    said = f"{speed:,.0f} M/s {share:.1f} % of the wire, {100 * row['of_stored_ids']:.1f} %"
    cores = row.get("cpu_cores", 0.0)
    print(name, row["seq_len"], row["rows"], *more, row["bits"], said, row["turns"],
          row["beside_first"],
          f"{cores:.2f} cores", flush=True)  # fmt: skip


def launches(folder: str, cache: str) -> list[dict[str, Any]]:
    """The fast lane over plans that are there already: launches of one batch each, one thread."""
    found = []
    dataset = open_dataset(folder)
    for t, b in LARGE[:2]:
        backends = [made_backend("gather", slots=6, position_ids=ids) for ids in (True, False)]
        with Loader(
            dataset, t, b, epochs=None, cache=cache, prefetch=0, backend=backends[0]
        ) as loader:
            plans = [loader.plan(number * b) for number in range(16)]
            stored = {"stored_bits": 8 * dataset.dtype.itemsize}
            sides = [partial(_launched, backend, plans, stored) for backend in backends]
            for row, ids in zip(_measured(sides), (True, False), strict=True):
                found.append({**row, "position_ids": ids})
                _said("launches", row, ids)
    return found


def _launched(
    backend: Any, plans: Sequence[Plan], stored: dict[str, int], count: int = 200
) -> dict[str, Any]:
    for number in range(24):
        backend.give(backend.fill(plans[number % len(plans)]))
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for number in range(count):
        backend.give(backend.fill(plans[number % len(plans)]))
    torch.cuda.synchronize()
    speed = count * plans[0].rows * plans[0].seq_len / (time.perf_counter() - begin)
    shape = {"rows": plans[0].rows, "seq_len": plans[0].seq_len, "bits": plans[0].bits}
    return {"tokens_per_second": speed, **shape, **stored}


def fast_lane(folder: str, cache: str) -> list[dict[str, Any]]:
    """The whole loader on the fast lane: planned ahead, shuffled, from a warm cache."""
    return _in_turn(folder, cache, "gather", LARGE, GATHER)


def ring(folder: str, cache: str) -> list[dict[str, Any]]:
    """The whole loader on the pinned ring, by threads."""
    return _in_turn(folder, cache, "ring", LARGE[:2], RING)


def _in_turn(
    folder: str, cache: str, path: str, shapes: Sequence[tuple[int, int]],
    sides: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:  # fmt: skip
    """Every side of every shape; the sides of one shape are measured in turn."""
    found = []
    dataset = open_dataset(folder)
    for t, b in shapes:
        makes = [
            partial(path_speed, dataset, path, t, b, seconds=SECONDS, cache=cache, **side)
            for side in sides
        ]
        for row, side in zip(_measured(makes), sides, strict=True):
            said = {"cu_seqlens": side.get("lengths", False), **side.get("backend", {})}
            found.append({**row, **said})
            _said(path, row, row["threads"], said)
    return found
