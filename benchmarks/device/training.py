"""Step time of GPT-2 124M with the loader against one batch that lies on the device.

Sides take turns in blocks of steps; a difference is between neighbouring blocks of one round.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from loader.backends import made_backend
from loader.dataset import open_dataset
from loader.loader import Loader

ROOT = Path(__file__).resolve().parents[2]
ROWS, T = 32, 1024
BLOCK, ROUNDS = 8, 60
T95 = 1.671
"""One-sided 95 % quantile of Student's t at 59 degrees of freedom."""


def step_time(folder: str, cache: str) -> dict[str, Any]:
    """Milliseconds a step, the paired differences, and CPU cores used beyond the fixed batch's."""
    sys.path.insert(0, str(ROOT / "examples"))
    trainer: Any = importlib.import_module("train_gpt")

    config = trainer.Config()
    bare = trainer.GPT(config).cuda()
    model = torch.compile(bare)
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-4, fused=True)
    dataset = open_dataset(folder)
    loaders = {
        name: Loader(
            dataset, T, ROWS, epochs=None, cache=cache, threads=1, prefetch=8,
            backend=made_backend(name, slots=4),
        )
        for name in ("ring", "gather")
    }  # fmt: skip
    first = next(loaders["ring"])
    fixed = tuple(
        part.clone() for part in (first.tokens_BT, first.labels_BT, first.position_ids_BT)
    )

    def parts(loader: Loader) -> Any:
        batch = next(loader)
        return batch.tokens_BT, batch.labels_BT, batch.position_ids_BT

    sides: dict[str, Callable[[], Any]] = {
        "fixed": lambda: fixed,
        "ring": lambda: parts(loaders["ring"]),
        "gather": lambda: parts(loaders["gather"]),
        "fixed_again": lambda: fixed,
    }

    def block(side: str) -> tuple[float, float]:
        """(seconds, CPU seconds) a step."""
        torch.cuda.synchronize()
        cpu, begin = time.process_time(), time.perf_counter()
        for _ in range(BLOCK):
            tokens, labels, places = sides[side]()
            with torch.autocast("cuda", torch.bfloat16):
                loss = model(tokens, labels, places)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        spent = time.perf_counter() - begin
        return spent / BLOCK, (time.process_time() - cpu) / BLOCK

    for side in [*sides, *sides]:
        block(side)
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    cpu: dict[str, list[float]] = {side: [] for side in sides}
    names = list(sides)
    for turn in range(ROUNDS):
        for side in names[turn % 4 :] + names[: turn % 4]:
            one = block(side)
            seconds[side].append(one[0])
            cpu[side].append(one[1])
    base = statistics.median(seconds["fixed"])
    found: dict[str, Any] = {"rows": ROWS, "seq_len": T, "rounds": ROUNDS, "steps_a_block": BLOCK}
    found["fixed_milliseconds"] = base * 1000
    found["tokens_per_second"] = ROWS * T / base
    found["mfu_of_989_tflops"] = ROWS * T / base * trainer.flops_per_token(bare, config) / 989e12
    for side in ("ring", "gather", "fixed_again"):
        pairs = [a / b - 1 for a, b in zip(seconds[side], seconds["fixed"], strict=True)]
        mean, error = statistics.mean(pairs), statistics.stdev(pairs) / ROUNDS**0.5
        extra = [a - b for a, b in zip(cpu[side], cpu["fixed"], strict=True)]
        found[side] = {
            "difference": mean,
            "upper_bound_95": mean + T95 * error,
            "median_difference": statistics.median(pairs),
            "cpu_cores_beyond_fixed": statistics.median(extra) / base,
        }
    for loader in loaders.values():
        loader.close()
    return found
