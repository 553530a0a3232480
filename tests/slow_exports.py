"""Slow definitions for exports: the stored order, and each format read by its description.

None of this is shared with `loader/`. Sources of the formats, all read in their own repositories:
nanoGPT `train.py` (np.memmap of uint16); Megatron-LM `core/datasets/indexed_dataset.py`; datatrove
`pipeline/tokens/tokenizer.py` (`TokenizedFile`); mosaicml-streaming, guide "Dataset Format" and
`base/format/mds`; litdata `streaming/writer.py` (`_create_chunk`) and `TokensLoader`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipeline.draw import draw

Documents = list[list[int]]


def stored_documents(dataset: Path, split: str, version: int | None = None) -> Documents:
    """Tokens of each document of a split: all rows of all shards, sorted (DESIGN section 7)."""
    name = "dataset.json" if version is None else f"versions/{version}.json"
    facts = json.loads((dataset / name).read_text())
    index = pq.read_table(dataset / facts["index"]).to_pylist()
    rows = []
    for file, stage in sorted(
        {(r["file"], r.get("stage") or 0) for r in index if r["split"] == split}
    ):
        for row in pq.read_table(dataset / file).to_pylist():
            h = draw(facts["shuffle_seed"], "shuffle", row["doc_id"], row["copy"])
            key = [stage, h, row["doc_id"], row["copy"], row["file"], row["offset"]]
            rows.append(([(v is not None, v if v is not None else 0) for v in key], row["tokens"]))
    return [tokens for _, tokens in sorted(rows, key=lambda row: row[0])]


def read_bin(out: Path, split: str) -> Documents:
    """One document: the format has no bounds."""
    about = json.loads((out / f"{split}.json").read_text())
    return [np.memmap(out / f"{split}.bin", dtype=about["dtype"], mode="r").tolist()]


def read_megatron(out: Path, split: str) -> Documents:
    index, data = (out / f"{split}.idx").read_bytes(), (out / f"{split}.bin").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, bounds = struct.unpack("<QBQQ", index[9:34])
    assert version == 1
    size, letter = {8: (2, "H"), 4: (4, "i")}[code]
    lengths = struct.unpack_from(f"<{sequences}i", index, 34)
    pointers = struct.unpack_from(f"<{sequences}q", index, 34 + 4 * sequences)
    documents = struct.unpack_from(f"<{bounds}q", index, 34 + 12 * sequences)
    assert len(index) == 34 + 12 * sequences + 8 * bounds
    assert list(documents) == list(range(sequences + 1))
    assert sum(lengths) * size == len(data)
    return [
        list(struct.unpack_from(f"<{length}{letter}", data, pointer))
        for length, pointer in zip(lengths, pointers, strict=True)
    ]


def read_ds(out: Path, split: str) -> Documents:
    folder = out / split
    name, tokens, _ = (folder / f"{split}.ds.metadata").read_text().split("\n")
    size = int(name.split("|")[-1])
    data, index = ((folder / f"{split}{s}").read_bytes() for s in (".ds", ".ds.index"))
    ids = struct.unpack(f"<{len(data) // size}{'H' if size == 2 else 'I'}", data)
    assert len(ids) == int(tokens)
    ends = struct.unpack(f"<{len(index) // 8}Q", index)
    assert ends[-1] == len(ids)
    return [list(ids[a:b]) for a, b in zip((0, *ends), ends, strict=False)]


def read_mds(out: Path, split: str) -> Documents:
    found: Documents = []
    for shard in json.loads((out / split / "index.json").read_text())["shards"]:
        assert (shard["column_names"], shard["column_encodings"]) == (["tokens"], ["ndarray:int32"])
        data = (out / split / shard["raw_data"]["basename"]).read_bytes()
        assert len(data) == shard["raw_data"]["bytes"]
        for sample in chunk_samples(data, shard["samples"]):
            (size,) = struct.unpack_from("<I", sample)
            assert size == len(sample) - 4
            axes, width = sample[4] >> 2, 1 << (sample[4] & 3)
            assert axes == 1
            length = int.from_bytes(sample[5 : 5 + width], "little")
            found.append(list(struct.unpack(f"<{length}i", sample[5 + width :])))
    return found


def chunk_samples(data: bytes, count: int) -> list[bytes]:
    """The samples of an MDS shard or a litdata chunk, by the offsets at its head."""
    assert struct.unpack_from("<I", data) == (count,)
    offsets = struct.unpack_from(f"<{count + 1}I", data, 4)
    assert offsets[-1] == len(data)
    return [data[a:b] for a, b in pairwise(offsets)]


def read_litdata(out: Path, split: str) -> Documents:
    index = json.loads((out / split / "index.json").read_text())
    assert index["config"]["item_loader"] == "TokensLoader"
    found: Documents = []
    for chunk in index["chunks"]:
        data = (out / split / chunk["filename"]).read_bytes()
        assert len(data) == chunk["chunk_bytes"]
        samples = chunk_samples(data, chunk["chunk_size"])
        documents = [list(struct.unpack(f"<{len(s) // 4}i", s)) for s in samples]
        assert sum(map(len, documents)) == chunk["dim"]
        found += documents
    return found


def read_hf(out: Path, split: str) -> Documents:
    found: Documents = []
    for path in sorted(out.glob(f"{split}-*.parquet")):
        found += pq.read_table(path)["input_ids"].to_pylist()
    return found


READERS: dict[str, Callable[[Path, str], Documents]] = {
    "bin": read_bin, "megatron": read_megatron, "ds": read_ds,
    "mds": read_mds, "litdata": read_litdata, "hf": read_hf,
}  # fmt: skip


def joined(documents: Documents) -> list[int]:
    return [token for tokens in documents for token in tokens]


def same(name: str, out: Path, split: str, expected: Documents) -> Any:
    """Raises AssertionError unless the export holds these documents; `bin` their ids."""
    found = READERS[name](out, split)
    assert (joined(found) if name == "bin" else found) == (
        joined(expected) if name == "bin" else expected
    )
