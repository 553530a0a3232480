"""`python -m benchmarks.device DATASET OUT [--tokens N] [--parts ...]`: what needs a GPU.

Multiplies DATASET's documents to N tokens, then measures each part in a process of its own, so that
one that fails loses nothing of the others. OUT gets one JSON object after every part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PARTS = {
    "comparisons": 120,
    "launches": 60,
    "fast_lane": 300,
    "ring": 150,
    "small_batch": 60,
    "torch_dataloader": 120,
    "nanogpt": 30,
    "litdata": 90,
    "mosaicml": 120,
    "step_time": 300,
    "ranks": 150,
    "train": 120,
    "train_two": 120,
}
"""Part -> seconds after which it is ended."""


KEEP = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
"""glibc gives no memory back in between: arrays of plans are above its default of 128 KB."""


def _part(name: str, folder: str, work: Path) -> Any:
    from benchmarks.device import compared, paths, peers, training

    cache, flat = str(work / "hot"), work / "tokens.bin"
    if name == "comparisons":
        return compared.compared(folder, cache)
    if name in ("launches", "fast_lane", "ring"):
        return getattr(paths, name)(folder, cache)
    if name == "small_batch":
        return peers.ours(folder, cache)
    if name == "step_time":
        return training.step_time(folder, cache)
    if not flat.exists():
        peers.flat_file(folder, flat)
    if name in ("torch_dataloader", "nanogpt"):
        return getattr(peers, name)(flat)
    return getattr(peers, name)(flat, work / name)


def _command(name: str, folder: str, work: Path, out: Path) -> list[str]:
    python = [sys.executable, "-m"]
    launcher = [*python, "torch.distributed.run", "--standalone", "--nproc-per-node"]
    trainer = Path(__file__).resolve().parents[2] / "examples" / "train_gpt.py"
    args = [str(trainer), folder, "--out", str(work / name), "--steps", "60", "--log-every", "10"]
    args += ["--cache", str(work / "hot"), "--save-every", "1000"]
    if name == "ranks":
        return [
            *launcher,
            "2",
            "-m",
            "benchmarks.device.each_gpu",
            folder,
            str(work / "hot"),
            str(out),
        ]
    if name == "train":
        return [sys.executable, *args]
    if name == "train_two":
        return [*launcher, "2", *args, "--batch", "64"]
    return [*python, "benchmarks.device", folder, str(out), "--part", name, "--work", str(work)]


def _ran(name: str, folder: str, work: Path) -> Any:
    """The part's result, or what went wrong."""
    out = work / f"{name}.json"
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            _command(name, folder, work, out), timeout=PARTS[name], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env={**os.environ, **KEEP},
        )  # fmt: skip
        said = done.stdout
    except subprocess.TimeoutExpired as error:
        said = f"ended after {PARTS[name]} s\n" + (error.stdout or b"").decode()[-1500:]
    print(f"--- {name}: {time.perf_counter() - begin:.0f} s\n{said[-2500:]}", flush=True)
    if name.startswith("train"):
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return lines or {"error": said[-1500:]}
    return json.loads(out.read_text()) if out.exists() else {"error": said[-1500:]}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("torch", "numpy", "numba", "pyarrow", "litdata", "mosaicml-streaming"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device")
    parser.add_argument("dataset", help="a published dataset; with --part one as large as wanted")
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=int, default=300_000_000)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--wide", action="store_true", help="128,000 ids, in uint32 shards")
    parser.add_argument("--work", type=Path, default=Path("runs/device"))
    parser.add_argument("--part", choices=PARTS, help="measure one part over DATASET as it is")
    args = parser.parse_args()
    if args.part:
        args.out.write_text(json.dumps(_part(args.part, args.dataset, args.work)))
        return 0
    import torch

    from benchmarks.device.enlarged import enlarge

    folder = args.work / "dataset"
    if not folder.exists():
        enlarge(args.dataset, folder, args.tokens, os.cpu_count() or 1, wide=args.wide)
    names = [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]
    found: dict[str, Any] = {
        "name": "loader_device",
        "machine": {
            "command": " ".join(["python -m benchmarks.device", *sys.argv[1:]]),
            "devices": names, "driver": _driver(), "cores": os.cpu_count(),
            "cuda": torch.version.cuda,
        },
        "versions": _versions(),
        "input": {"tokens": args.tokens, "dtype": "uint32" if args.wide else "uint16"},
        "environment": KEEP,
        "parts": {},
    }  # fmt: skip
    for name in args.parts:
        found["parts"][name] = _ran(name, str(folder), args.work)
        args.out.write_text(json.dumps(found, indent=1))
    return 0


def _driver() -> str:
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.split()[0]


if __name__ == "__main__":
    sys.exit(main())
