"""Paths of the loader against the pinned copy of the same run; every row is shuffled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
GATHER = [(2, 22, True, True), (2, 24, True, True), (2, 22, False, True), (2, 22, True, False)]
"""(threads, log2 of the tokens that share a launch, position ids, packed ids)."""
RING = [(1, True), (4, True), (8, True), (8, False)]
"""(threads, packed ids)."""


def _measured(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Beside a limit of its own: the (lower) median of TURNS, each between two measured limits."""
    turns = []
    for _ in range(TURNS):
        before = pinned_limit(3)
        row = make()
        limit = (before + pinned_limit(3)) / 2
        row["wire_bytes_per_second"] = limit
        row |= shares(row, limit)
        turns.append(row)
        torch.cuda.empty_cache()
    turns.sort(key=lambda row: float(row["of_the_wire"]))
    return {**turns[(TURNS - 1) // 2], "turns": [round(row["of_stored_ids"], 4) for row in turns]}


def _said(name: str, row: dict[str, Any], *more: Any) -> None:
    speed, share = row["tokens_per_second"] / 1e6, 100 * row["of_the_wire"]
    said = f"{speed:,.0f} M/s {share:.1f} % of the wire, {100 * row['of_stored_ids']:.1f} %"
    cores = row.get("cpu_cores", 0.0)
    print(name, row["seq_len"], row["rows"], *more, row["bits"], said, row["turns"],
          f"{cores:.2f} cores", flush=True)  # fmt: skip


def launches(folder: str, cache: str) -> list[dict[str, Any]]:
    """The fast lane over plans that are there already: launches of one batch each, one thread."""
    found = []
    dataset = open_dataset(folder)
    for t, b in LARGE[:2]:
        for ids in (True, False):
            backend = made_backend("gather", slots=6, position_ids=ids)
            with Loader(
                dataset, t, b, epochs=None, cache=cache, prefetch=0, backend=backend
            ) as loader:
                plans = [loader.plan(number * b) for number in range(16)]
                stored = 8 * dataset.dtype.itemsize
                row = _measured(
                    lambda b=backend, p=plans, s=stored: {"stored_bits": s, **_launched(b, p)}  # type: ignore[misc]
                )
                found.append({**row, "position_ids": ids})
                _said("launches", row, ids)
    return found


def _launched(backend: Any, plans: Sequence[Plan], count: int = 200) -> dict[str, Any]:
    for number in range(24):
        backend.give(backend.fill(plans[number % len(plans)]))
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for number in range(count):
        backend.give(backend.fill(plans[number % len(plans)]))
    torch.cuda.synchronize()
    wall = time.perf_counter() - begin
    rows, t = plans[0].rows, plans[0].seq_len
    speed = count * rows * t / wall
    return {"tokens_per_second": speed, "rows": rows, "seq_len": t, "bits": plans[0].bits}


def fast_lane(folder: str, cache: str) -> list[dict[str, Any]]:
    """The whole loader on the fast lane: planned ahead, shuffled, from a warm cache."""
    found = []
    dataset = open_dataset(folder)
    for t, b in LARGE:
        for threads, log2, ids, packed in GATHER:
            backend = {"position_ids": ids, "launch_tokens": 1 << log2, "packed": packed}
            for lengths in (False, True) if ids and packed and log2 == 22 else (False,):
                row = _measured(
                    lambda t=t, b=b, n=threads, with_=backend, lengths=lengths: path_speed(  # type: ignore[misc]
                        dataset, "gather", t, b, threads=n, seconds=SECONDS, cache=cache,
                        lengths=lengths, backend=with_,
                    ),
                )  # fmt: skip
                found.append(
                    {**row, "position_ids": ids, "cu_seqlens": lengths, "launch_tokens": 1 << log2}
                )
                _said("gather", row, threads, log2, ids, lengths)
    return found


def ring(folder: str, cache: str) -> list[dict[str, Any]]:
    """The whole loader on the pinned ring, by threads."""
    found = []
    dataset = open_dataset(folder)
    for t, b in LARGE[:2]:
        for threads, packed in RING:
            row = _measured(
                lambda t=t, b=b, n=threads, p=packed: path_speed(  # type: ignore[misc]
                    dataset, "ring", t, b, threads=n, seconds=SECONDS, cache=cache,
                    backend={"packed": p},
                )
            )  # fmt: skip
            found.append(row)
            _said("ring", row, threads)
    return found
