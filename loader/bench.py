"""`python -m loader bench DATASET`: tokens/s of each path against the wire, in one table.

The wire is what `cudaMemcpyAsync` moves from pinned memory to the device, measured in the same run.
A path's share of it counts the bits that ids have in the hot cache. Beside it stand its tokens in
units of what that copy moves of the ids as shards have them, 2 or 4 bytes each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loader.backends import cuda_lacks, made_backend
from loader.dataset import Dataset, open_dataset
from loader.loader import Loader
from loader.plan import PlanningBackend

LIMIT_BYTES = (64 << 20, 256 << 20)
"""Sizes of a pinned copy; the faster one is the limit."""
PLANNERS = 3
"""Launches that are planned at once, at most: more wait for each other in Python."""


def pinned_limit(turns: int = 5) -> float:
    """Bytes a second from pinned memory to the current CUDA device: the best size's median."""
    import torch

    found = []
    for size in LIMIT_BYTES:
        host = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        device = torch.empty(size, dtype=torch.uint8, device="cuda")
        device.copy_(host)
        speeds = []
        for _ in range(turns):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            for _ in range((1 << 30) // size):
                device.copy_(host, non_blocking=True)
            end.record()
            end.synchronize()
            speeds.append((1 << 30) / begin.elapsed_time(end) * 1000)
        found.append(statistics.median(speeds))
    return float(max(found))


def speed(
    loader: Loader, seconds: float, wait: Callable[[], None], warm: int = 8, *,
    lengths: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Tokens and CPU seconds a second of an endless loader under way, for at least `seconds`.

    `wait` returns when the batches taken so far are there. It is called at the end alone: while it
    waited at the beginning, batches would be made ahead that no second is counted for. What was
    made before the first one was taken is taken before the clock starts, twice over.
    `lengths`: every batch's cu_seqlens and max_seqlen are asked for too.
    """
    size = loader.batch_size // loader.world_size * loader.seq_len
    batches = iter(loader)

    def take(count: int) -> None:
        for _ in range(count):
            batch = next(batches)
            batch.tokens_BT, batch.labels_BT, batch.position_ids_BT  # noqa: B018 (made on demand)
            if lengths:
                batch.cu_seqlens, batch.max_seqlen  # noqa: B018

    take(warm + 2 * loader.ahead)
    cpu, begin, count = time.process_time(), time.perf_counter(), 0
    while count == 0 or time.perf_counter() - begin < seconds:
        take(warm)
        count += warm
    wait()
    wall = time.perf_counter() - begin
    return {
        "tokens_per_second": count * size / wall,
        "microseconds_per_batch": wall / count * 1e6,
        "cpu_cores": (time.process_time() - cpu) / wall,
        "batches": count,
    }


def path_speed(
    dataset: Dataset, path: str, seq_len: int, batch_size: int, *, threads: int, seconds: float,
    prefetch: int | None = None, cache: str | None = None, backend: dict[str, Any] | None = None,
    lengths: bool = False, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """One row of the table."""
    made = made_backend(path, slots=threads + 3, threads=threads, **(backend or {}))
    with Loader(
        dataset, seq_len, batch_size, epochs=None, backend=made, threads=threads,
        prefetch=prefetch or prefetched(threads, made, seq_len, batch_size), cache=cache, **options,
    ) as loader:  # fmt: skip
        touch_all(loader)
        found = speed(loader, seconds, _nothing if path == "numpy" else consumed, lengths=lengths)
    shape = {"seq_len": seq_len, "rows": batch_size}
    bits = {"bits": loader.line.bits, "stored_bits": 8 * dataset.dtype.itemsize}
    return {"path": path, "threads": threads, **shape, **bits, **found}


def shares(row: Mapping[str, Any], limit: float) -> dict[str, float]:
    """Of a copy that moves `limit` bytes a second: the wire's share, and tokens of its tokens."""
    ids = row["tokens_per_second"] / 8 / limit
    return {"of_the_wire": ids * row["bits"], "of_stored_ids": ids * row["stored_bits"]}


def consumed() -> None:
    """Wait for what the calling thread's CUDA stream waits for."""
    import torch

    torch.cuda.current_stream().synchronize()


def _nothing() -> None:
    pass


def prefetched(threads: int, backend: Any, seq_len: int, rows: int) -> int:
    """Two launches a thread that plans."""
    planners = min(threads, PLANNERS) if isinstance(backend, PlanningBackend) else threads
    return 2 * planners * max(1, int(backend.rows_at_once(seq_len)) // rows)


def touch_all(loader: Loader) -> None:
    """Every row group decoded and mapped: what follows measures a warm cache."""
    import numpy as np

    for number in range(len(loader.line.edges_R) - 1):
        loader.line.hold(np.array([number]))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns 0 or raises PipelineError."""
    args = _parser().parse_args(argv)
    dataset = open_dataset(args.dataset)
    lacks = cuda_lacks()
    limit = None if lacks else pinned_limit()
    rows = []
    for path in args.paths or (["numpy"] if lacks else ["numpy", "ring", "gather"]):
        for threads in args.threads:
            row = path_speed(
                dataset, path, args.seq_len, args.batch_size, threads=threads,
                seconds=args.seconds, cache=args.cache, split=args.split,
            )  # fmt: skip
            rows.append({**row, **(shares(row, limit) if limit else {})})
    if args.json:
        print(json.dumps({"wire_bytes_per_second": limit, "device": _device(lacks), "rows": rows}))
    else:
        print(table(rows, limit, _device(lacks)))
    return 0


def _device(lacks: str) -> str:
    if lacks:
        return f"no CUDA: {lacks}"
    import torch

    return str(torch.cuda.get_device_name())


def table(rows: Sequence[dict[str, Any]], limit: float | None, device: str) -> str:
    """The rows as text."""
    wire = f", pinned copies {limit / 1e9:.1f} GB/s" if limit else ""
    lines = [f"{device}{wire}"]
    head = ("path", "threads", "rows x length", "M tokens/s", "us/batch", "cores", "bits")
    more = ("of the wire", "of a copy of the ids")
    lines.append("{:<8} {:>7} {:>14} {:>11} {:>9} {:>6} {:>4} {:>11} {:>20}".format(*head, *more))
    for row in rows:
        found = [row.get(name) for name in ("of_the_wire", "of_stored_ids")]
        said = [f"{share:.1%}" if share is not None else "-" for share in found]
        lines.append(
            f"{row['path']:<8} {row['threads']:>7} {row['rows']:>6} x {row['seq_len']:<5} "
            f"{row['tokens_per_second'] / 1e6:>11,.1f} {row['microseconds_per_batch']:>9,.0f} "
            f"{row['cpu_cores']:>6.2f} {row['bits']:>4} {said[0]:>11} {said[1]:>20}"
        )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loader bench",
        description="Tokens/s of each path of the loader against the measured wire, shuffled.",
    )
    parser.add_argument("dataset", help="folder of dataset.json, or its URI")
    parser.add_argument("--paths", nargs="+", choices=("numpy", "ring", "gather"))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--seq-len", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=64, help="rows (default 64)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each row (default 2)")
    parser.add_argument("--split", default="train")
    parser.add_argument("--cache", help="folder of the hot cache, or 'memory'")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
