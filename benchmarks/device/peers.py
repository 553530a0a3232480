"""B = 64, T = 2048, int64 on the device, shuffled: ours against what trainers use today.

Each peer reads the same tokens from its own format on the same disk, warm, and each of its numbers
of workers is tried; the best one stands in the ratio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from loader.bench import path_speed
from loader.dataset import open_dataset

T, B = 2048, 64
WORKERS = (0, 1, 2, 4, 8, 16)
SECONDS = 1.0
PEER_TOKENS = 160_000_000
"""Of mosaicml-streaming and litdata: no epoch ends, and no worker starts, while it is measured."""


class _Windows(Dataset[Any]):  # type: ignore[misc]
    """Windows of a memmap, as nanoGPT and others read them."""

    def __init__(self, path: str) -> None:
        self._path, self._size = path, Path(path).stat().st_size // 2
        self._data: Any = None

    def __len__(self) -> int:
        return (self._size - 1) // T

    def __getitem__(self, at: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self._data is None:
            self._data = np.memmap(self._path, np.uint16, "r")
        window = torch.from_numpy(self._data[at * T : at * T + T + 1].astype(np.int64))
        return window[:-1], window[1:]


def flat_file(folder: str, path: Path) -> Path:
    """All tokens of a dataset as one file of uint16."""
    import pyarrow.parquet as pq

    dataset = open_dataset(folder)
    files = dict.fromkeys(f for stream in dataset.streams("train") for f in stream.files)
    with path.open("wb") as out:
        for file in files:
            tokens = pq.read_table(dataset.path(file), columns=["tokens"])["tokens"]
            out.write(tokens.combine_chunks().flatten().to_numpy().astype("<u2").tobytes())
    return path


def _rate(batches: Iterator[Any], seconds: float = SECONDS) -> float:
    """Tokens a second; the first batches, which start workers, are not counted."""
    for _ in range(40):
        next(batches)
    torch.cuda.synchronize()
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        for _ in range(8):
            next(batches)
        count += 8
    torch.cuda.synchronize()
    return count * B * T / (time.perf_counter() - begin)


def _endless(made: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    while True:
        yield from made()


def _on_device(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        yield [part.to("cuda", non_blocking=True) for part in batch]


def torch_dataloader(path: Path) -> dict[str, float]:
    """Workers -> tokens/s of DataLoader over a memmap, pinned."""
    found = {}
    for workers in WORKERS:
        loader = DataLoader(
            _Windows(str(path)), B, shuffle=True, num_workers=workers, pin_memory=True,
            drop_last=True, persistent_workers=workers > 0, prefetch_factor=4 if workers else None,
        )  # fmt: skip
        found[str(workers)] = _rate(_on_device(_endless(lambda loader=loader: loader)))  # type: ignore[misc]
        del loader
    return found


def nanogpt(path: Path) -> dict[str, float]:
    """nanoGPT's get_batch: random windows of a memmap stacked, pinned, sent."""

    def batches() -> Iterator[Any]:
        while True:
            data = np.memmap(path, np.uint16, "r")
            places = torch.randint(len(data) - T, (B,)).tolist()
            x = torch.stack([torch.from_numpy(data[i : i + T].astype(np.int64)) for i in places])
            y = torch.stack(
                [torch.from_numpy(data[i + 1 : i + 1 + T].astype(np.int64)) for i in places]
            )
            yield (
                x.pin_memory().to("cuda", non_blocking=True),
                y.pin_memory().to("cuda", non_blocking=True),
            )

    return {"0": _rate(batches())}


def mosaicml(path: Path, folder: Path) -> dict[str, float]:
    """mosaicml-streaming over local MDS shards, shuffled (py1e)."""
    from streaming import MDSWriter, StreamingDataset

    data = np.memmap(path, np.uint16, "r")[:PEER_TOKENS]
    with MDSWriter(out=str(folder), columns={"tokens": "ndarray:uint16"}) as out:
        for at in range((len(data) - 1) // T):
            out.write({"tokens": data[at * T : at * T + T + 1]})

    def together(rows: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        window = torch.from_numpy(np.stack([row["tokens"] for row in rows]).astype(np.int64))
        return window[:, :-1], window[:, 1:]

    found = {}
    for workers in (0, 4, 8, 16):
        dataset = StreamingDataset(
            local=str(folder), shuffle=True, shuffle_algo="py1e", batch_size=B
        )
        loader = DataLoader(
            dataset, B, num_workers=workers, pin_memory=True, drop_last=True, collate_fn=together
        )
        found[str(workers)] = _rate(_on_device(_endless(lambda loader=loader: loader)))  # type: ignore[misc]
        del loader, dataset
    return found


def litdata(path: Path, folder: Path) -> dict[str, float]:
    """litdata's TokensLoader over local chunks, shuffled."""
    from litdata import StreamingDataLoader, StreamingDataset, TokensLoader
    from litdata.streaming.writer import BinaryWriter

    data = np.memmap(path, np.uint16, "r")[:PEER_TOKENS]
    folder.mkdir()
    out = BinaryWriter(str(folder), chunk_size=T * 4096, item_loader=TokensLoader(T))
    for number, at in enumerate(range(0, len(data), 1 << 16)):
        out[number] = torch.from_numpy(data[at : at + (1 << 16)].astype(np.int32))
    out.done()
    out.merge(1)
    found = {}
    for workers in (0, 4, 8):
        dataset = StreamingDataset(str(folder), item_loader=TokensLoader(T), shuffle=True)
        loader = StreamingDataLoader(dataset, batch_size=B, num_workers=workers, pin_memory=True)
        batches = ([batch.long()] for batch in _endless(lambda loader=loader: loader))  # type: ignore[misc]
        found[str(workers)] = _rate(_on_device(batches))
        del loader, dataset
    return found


def ours(folder: str, cache: str) -> list[dict[str, Any]]:
    """Ours by path and threads."""
    dataset = open_dataset(folder)
    return [
        path_speed(dataset, path, T, B, threads=threads, seconds=SECONDS, cache=cache)
        for path in ("gather", "ring")
        for threads in (1, 2)
    ]
