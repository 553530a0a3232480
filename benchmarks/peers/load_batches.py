"""One side of the benchmark of loaders: batches for some seconds, in this process.

python load_batches.py NAME FOLDER OUT SETTINGS

FOLDER holds `dataset` (as published), `raw.bin` (its tokens, uint16) and what `prepare` wrote for
the peers. OUT becomes a folder with `about.json`. Every side gives B = 64 rows of T = 2,048 tokens,
shuffled, as int64 inputs and labels; the clock runs from a batch after the warm-up to the last.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

B, T = 64, 2048
WARM = 40
PARTS = 8


def ours(folder: Path, settings: dict[str, Any]) -> Iterator[Any]:
    from loader import Loader, open_dataset

    knobs = {key: settings[key] for key in ("packing", "prefetch") if key in settings}
    dataset = open_dataset(str(folder / "dataset"))
    loader = Loader(dataset, T, B, epochs=None, cache=folder / "hot", **knobs)
    for batch in loader:
        if settings.get("positions"):
            yield batch.tokens_BT, batch.labels_BT, batch.position_ids_BT, batch.cu_seqlens
        else:
            yield batch.tokens_BT, batch.labels_BT


def torch(folder: Path, settings: dict[str, Any]) -> Iterator[Any]:
    from torch import from_numpy
    from torch.utils.data import DataLoader, Dataset

    class Windows(Dataset):  # type: ignore[misc]
        """As nanoGPT takes its windows, each once an epoch."""

        def __init__(self) -> None:
            self.tokens = np.memmap(folder / "raw.bin", np.uint16, "r")

        def __len__(self) -> int:
            return (len(self.tokens) - 1) // T

        def __getitem__(self, window: int) -> Any:
            first = window * T
            inputs = self.tokens[first : first + T].astype(np.int64)
            labels = self.tokens[first + 1 : first + 1 + T].astype(np.int64)
            return from_numpy(inputs), from_numpy(labels)

    while True:
        yield from DataLoader(
            Windows(), batch_size=B, shuffle=True, num_workers=settings["workers"], drop_last=True
        )


def without_pictures() -> None:
    """Stand-ins for torchvision: streaming imports its picture data sets, which are not used."""
    for used in ("feature_extraction_utils", "tokenization_utils_base"):
        importlib.import_module(f"transformers.{used}")  # looks for torchvision itself
    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms.functional"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.VisionDataset = module.to_tensor = object  # type: ignore[attr-defined]
        sys.modules[name] = module


def mds(folder: Path, settings: dict[str, Any]) -> Iterator[Any]:
    without_pictures()
    from streaming import StreamingDataset
    from torch import from_numpy
    from torch.utils.data import DataLoader

    class Windows(StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, at: int) -> Any:
            found = super().__getitem__(at)["tokens"].astype(np.int64)
            return from_numpy(found[:-1]), from_numpy(found[1:])

    windows = Windows(local=str(folder / "mds"), shuffle=True, batch_size=B)
    while True:
        yield from DataLoader(
            windows, batch_size=B, num_workers=settings["workers"], drop_last=True
        )


def litdata(folder: Path, settings: dict[str, Any]) -> Iterator[Any]:
    from litdata import StreamingDataLoader, StreamingDataset, TokensLoader

    windows = StreamingDataset(
        str(folder / "litdata"), item_loader=TokensLoader(block_size=T + 1), shuffle=True,
        drop_last=True,
    )  # fmt: skip
    while True:
        for found in StreamingDataLoader(
            windows, batch_size=B, num_workers=settings["workers"], drop_last=True
        ):
            long = found.long()
            yield long[:, :-1], long[:, 1:]


def prepare_mds(folder: Path, settings: dict[str, Any]) -> None:
    without_pictures()
    from streaming import MDSWriter

    tokens = np.memmap(folder / "raw.bin", np.uint16, "r")
    with MDSWriter(out=str(folder / "mds"), columns={"tokens": "ndarray:uint16"}) as out:
        for first in range(0, len(tokens) - T, T):
            out.write({"tokens": np.array(tokens[first : first + T + 1])})


def prepare_litdata(folder: Path, settings: dict[str, Any]) -> None:
    from litdata import TokensLoader, optimize

    parts = [(str(folder / "raw.bin"), part) for part in range(PARTS)]
    optimize(
        _part, parts, str(folder / "litdata"), chunk_size=(T + 1) * 8012,
        item_loader=TokensLoader(), num_workers=1,
    )  # fmt: skip


def _part(given: tuple[str, int]) -> Iterator[Any]:
    from torch import from_numpy

    tokens = np.memmap(given[0], np.uint16, "r")
    size = -(-len(tokens) // PARTS)
    yield from_numpy(tokens[given[1] * size : (given[1] + 1) * size].astype(np.int32))


SIDES: dict[str, Callable[[Path, dict[str, Any]], Iterator[Any]]] = {
    "ours": ours, "torch": torch, "mds": mds, "litdata": litdata,
}  # fmt: skip
PREPARE = {"mds": prepare_mds, "litdata": prepare_litdata}


def main(name: str, folder: str, out: str, given: str) -> None:
    settings = json.loads(given)
    Path(out).mkdir(parents=True)
    if settings.get("prepare"):
        PREPARE[name](Path(folder), settings)
        Path(out, "about.json").write_text("{}")
        return
    began = time.monotonic()
    batches = SIDES[name](Path(folder), settings)
    inputs, labels = next(batches)[:2]
    first = time.monotonic() - began
    assert inputs.shape == labels.shape == (B, T)
    assert str(inputs.dtype).endswith("int64")
    assert str(labels.dtype).endswith("int64")
    for _ in itertools.islice(batches, WARM):
        pass
    count, began, cpu = 0, time.monotonic(), time.process_time()
    while time.monotonic() - began < settings["seconds"]:
        inputs, labels = next(batches)[:2]
        assert inputs[0, 0] >= 0  # as the least that a step does with a batch
        count += 1
    wall, cpu = time.monotonic() - began, time.process_time() - cpu
    tokens = count * B * T
    about = {
        "tokens": tokens, "wall_seconds": wall, "cpu_seconds": cpu,
        "mtokens_per_second": tokens / wall / 1e6, "first_batch_seconds": first,
    }  # fmt: skip
    Path(out, "about.json").write_text(json.dumps(about))
    os._exit(0)  # workers are the system's to end


if __name__ == "__main__":
    main(*sys.argv[1:])
