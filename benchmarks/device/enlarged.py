"""A published dataset multiplied: its documents again and again, each time in another order.

Real text in any amount on a machine that nothing can be fetched to. Shards are written as
`write_shards` writes them, so that the loader reads them like any others.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from loader.dataset import INDEX, open_dataset

ROW_GROUP_TOKENS = 4_000_000
SHARD_TOKENS = 32_000_000
VOCABULARY = 32_000
"""Of the benchmark's input (benchmarks/loader_input.py)."""
WIDER = 4


def _documents(source: str) -> pa.Table:
    dataset = open_dataset(source)
    files = dict.fromkeys(f for stream in dataset.streams("train") for f in stream.files)
    return pa.concat_tables([pq.read_table(dataset.path(file)) for file in files]).combine_chunks()


def _shard(given: tuple[str, str, int, int, bool]) -> list[dict[str, Any]]:
    """Write shard `number` of about `tokens` tokens; its index rows."""
    source, folder, number, tokens, wide = given
    documents = _documents(source)
    if wide:
        documents = _widened(documents)
    lengths = documents["num_tokens"].to_numpy()
    draw = np.random.default_rng(number)
    order: list[int] = []
    while lengths[order].sum() < tokens:
        order += draw.permutation(len(lengths)).tolist()
    order = order[: int(np.searchsorted(np.cumsum(lengths[order]), tokens)) + 1]
    name = f"shards/train-web-{number}-{number:08x}.parquet"
    rows: list[dict[str, Any]] = []
    first, at = 0, 0
    with pq.ParquetWriter(
        Path(folder, name), documents.schema, compression="zstd", compression_level=1,
        use_dictionary=["source", "file"],
    ) as writer:  # fmt: skip
        while at < len(order):
            ends = np.cumsum(lengths[order[at:]])
            count = max(1, int(np.searchsorted(ends, ROW_GROUP_TOKENS)))
            table = documents.take(pa.array(order[at : at + count])).combine_chunks()
            writer.write_table(table, row_group_size=count)
            values = table["tokens"].combine_chunks().flatten().to_numpy()
            rows.append(
                {
                    "file": name, "group": "web", "split": "train", "row_group": len(rows),
                    "first_token": first, "tokens": len(values), "documents": count,
                    "checksum": xxhash.xxh3_128_hexdigest(np.ascontiguousarray(values).data),
                }
            )  # fmt: skip
            first, at = first + len(values), at + count
    return rows


def _widened(documents: pa.Table) -> pa.Table:
    """Ids of a vocabulary four times as large: those of each fourth document move up alike."""
    lists = documents["tokens"].combine_chunks()
    ids = lists.flatten().to_numpy().astype("<u4")
    turn = np.repeat(np.arange(len(lists)) % WIDER, lists.value_lengths().to_numpy())
    wide = pa.ListArray.from_arrays(lists.offsets, pa.array(ids + turn * VOCABULARY, pa.uint32()))
    at = documents.schema.get_field_index("tokens")
    return documents.set_column(at, "tokens", wide)


def enlarge(source: str, folder: Path, tokens: int, processes: int, *, wide: bool = False) -> Path:
    """Write a dataset of about `tokens` tokens; its folder. `wide`: of a vocabulary four times as
    large, in uint32."""
    (folder / "shards").mkdir(parents=True)
    shards = [
        (source, str(folder), number, min(SHARD_TOKENS, tokens - number * SHARD_TOKENS), wide)
        for number in range(-(-tokens // SHARD_TOKENS))
    ]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        rows = [row for found in pool.map(_shard, shards, chunksize=1) for row in found]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), out)
    digest = hashlib.sha256(out.getvalue()).hexdigest()
    index = f"index-{digest[:8]}.parquet"
    (folder / index).write_bytes(out.getvalue())
    facts = json.loads(Path(source, "dataset.json").read_text())
    facts |= {"index": index, "fingerprint": digest[:32], "mixture": {}}
    facts["dtype"] = "uint32" if wide else "uint16"
    facts["tokenizer"] = {"max_id": (WIDER if wide else 1) * VOCABULARY - 1}
    (folder / "dataset.json").write_text(json.dumps(facts))
    return folder
