"""Exports read by the libraries that they were made for, in this process alone.

python read_export.py FOLDER SPLIT OUT FORMAT...

FOLDER holds a folder by the name of each format. OUT becomes a JSON file: format -> list of lists
of ids, a document each, or a list of one where the reader gives no documents. Nothing of ours is
used.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

BLOCK = 32
"""Ids of a window, where the reader gives windows."""

Documents = list[list[int]]


def megatron(folder: Path, split: str) -> Documents:
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    found = IndexedDataset(str(folder / split), mmap=True)
    bounds = found.document_indices.tolist()
    assert bounds == list(range(len(found) + 1))
    return [found[number].tolist() for number in range(len(found))]


def ds(folder: Path, split: str) -> Documents:
    """datatrove's merger, unshuffled, copies by the index; its dataset must read the same ids."""
    from datatrove.pipeline.tokens.merger import DocumentTokenizerMerger, load_doc_ends
    from datatrove.utils.dataset import DatatroveFolderDataset

    with tempfile.TemporaryDirectory() as merged:
        merger = DocumentTokenizerMerger(
            str(folder / split), merged, "all", shuffle=False, progress=False
        )
        merger.run()
        (path,) = Path(merged).glob("*.ds")
        name = path.with_name(f"{path.name}.metadata").read_text().splitlines()[0]
        size = int(name.split("|")[1])
        with path.with_name(f"{path.name}.index").open("rb") as index:
            ends = [int(end) for end in load_doc_ends(index)]
        windows = DatatroveFolderDataset(
            merged, seq_len=0, token_size=size, filename_pattern="*.ds"
        )
        ids = [int(windows[at]["input_ids"][0]) for at in range(len(windows))]
    original = DatatroveFolderDataset(
        str(folder / split), seq_len=BLOCK - 1, token_size=size, filename_pattern="*.ds"
    )
    for number in range(len(original)):
        part = ids[number * BLOCK : (number + 1) * BLOCK]
        assert original[number]["input_ids"].tolist() == part
    return [ids[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def mds(folder: Path, split: str) -> Documents:
    _without_pictures()
    from streaming import StreamingDataset

    found = StreamingDataset(
        local=str(folder), split=split, shuffle=False, batch_size=1, validate_hash="sha1"
    )
    return [found[number]["tokens"].tolist() for number in range(len(found))]


def _without_pictures() -> None:
    """Stand-ins for torchvision: the package imports its picture data sets, which are not used."""
    for used in ("feature_extraction_utils", "tokenization_utils_base"):
        importlib.import_module(f"transformers.{used}")  # looks for torchvision itself
    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms.functional"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.VisionDataset = module.to_tensor = object  # type: ignore[attr-defined]
        sys.modules[name] = module


def litdata(folder: Path, split: str) -> Documents:
    """Windows of one id: the loader cuts windows out of chunks and leaves out a short rest."""
    from litdata import StreamingDataset, TokensLoader

    with tempfile.TemporaryDirectory() as cache:
        found = StreamingDataset(
            str(folder / split), item_loader=TokensLoader(block_size=1), cache_dir=cache
        )
        return [[int(found[at][0]) for at in range(len(found))]]


def hf(folder: Path, split: str) -> Documents:
    from datasets import load_dataset

    with tempfile.TemporaryDirectory() as cache:
        files = {split: sorted(map(str, folder.glob(f"{split}-*.parquet")))}
        found = load_dataset("parquet", data_files=files, cache_dir=cache)[split]
        assert found.column_names == ["input_ids"]
        return [list(ids) for ids in found["input_ids"]]


def main(folder: str, split: str, out: str, *names: str) -> None:
    readers = {"megatron": megatron, "ds": ds, "mds": mds, "litdata": litdata, "hf": hf}
    found = {name: readers[name](Path(folder, name), split) for name in names}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
