"""A dataset of real tokens for the benchmark of loaders, and the same tokens as one raw file.

Texts of `bulk` (real pages in 30 languages) in the ids of a tokenizer trained on others of them,
in shards as `write_shards` makes them; where more is needed, the same documents in other orders.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import tokens_input
from benchmarks.turns import say
from benchmarks.web import FOLDER, Web
from loader.dataset import INDEX
from pipeline.schema import DOC_ID, FORMAT_VERSION, TOKENS
from pipeline.stage import Side, TextBatch
from stages.shard_writer import ShardName, TokenizerFacts, write_shard
from stages.tokenize import Tokenize

PATTERN = "llama3"


def dataset(text_bytes: int, orders: int) -> Web:
    """`dataset/`, `raw.bin` and about.json in a folder, written once."""
    trained = tokens_input.tokenizers()
    rows = tokens_input.bulk(text_bytes)
    whole = hashlib.sha256(f"{orders}".encode())
    for _, text in rows:
        whole.update(text.encode())
    folder = FOLDER / f"loader-{whole.hexdigest()[:8]}"
    if not (folder / "about.json").exists():
        say("tokenising the texts and writing shards, once")
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "dataset" / "shards").mkdir(parents=True)
        table = _encoded(rows, trained / PATTERN)
        about = _write(table, orders, folder, TokenizerFacts.read(trained / PATTERN))
        (folder / "about.json").write_text(json.dumps(about))
    about = json.loads((folder / "about.json").read_text())
    return Web(folder, about["documents"], about["bytes"], whole.hexdigest())


def about(web: Web) -> dict[str, Any]:
    """documents, tokens, and stored bytes of the shards."""
    found: dict[str, Any] = json.loads((web.folder / "about.json").read_text())
    return found


def _encoded(rows: list[tokens_input.Row], tokenizer: Path) -> pa.Table:
    """The rows as `write_shards` takes them."""
    stage, side = Tokenize(), Side("tokenize", 1, artefacts={"tokenizer": tokenizer})
    parts = []
    for first in range(0, len(rows), 2000):
        texts = pa.array([text for _, text in rows[first : first + 2000]], pa.large_string())
        ids = [number.to_bytes(16, "big") for number in range(first, first + len(texts))]
        batch = TextBatch(pa.table({"doc_id": pa.array(ids, DOC_ID), "text": texts}))
        columns = stage.process(batch, side).columns
        parts.append(pa.table({"doc_id": pa.array(ids, DOC_ID), **columns}))
    table = pa.concat_tables(parts).combine_chunks()
    count = table.num_rows
    urls = pa.array([f"https://page.invalid/{number}" for number in range(count)])
    for name, column in {
        "copy": pa.array(np.zeros(count, np.uint8)),
        "source": pa.array(["bulk"] * count),
        "url": urls,
        "file": pa.array(["bulk"] * count),
        "offset": pa.array(np.arange(count)),
    }.items():
        table = table.append_column(name, column)
    return table


def _write(table: pa.Table, orders: int, folder: Path, facts: TokenizerFacts) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    stored = tokens = 0
    with (folder / "raw.bin").open("wb") as raw:
        for number in range(orders):
            rows = table.take(pa.array(np.random.default_rng(number).permutation(len(table))))
            rows = rows.set_column(
                rows.column_names.index("tokens"), "tokens", rows["tokens"].cast(TOKENS)
            )
            part = folder / "dataset" / "shards" / "part"
            info = write_shard(part, rows, ShardName("train", "web", number, orders), facts)
            digest = hashlib.sha256(part.read_bytes()).hexdigest()[:8]
            name = f"shards/train-web-{number}-{digest}.parquet"
            stored += part.stat().st_size
            part.rename(folder / "dataset" / name)
            of_file = {"file": name, "group": "web", "split": "train"}
            listed += [
                {**of_file, "row_group": at, **group} for at, group in enumerate(info["row_groups"])
            ]
            tokens += info["tokens"]
            values = rows["tokens"].combine_chunks().flatten().to_numpy()
            raw.write(values.astype(facts.dtype).tobytes())
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(listed, schema=INDEX), out)
    index = f"index-{hashlib.sha256(out.getvalue()).hexdigest()[:8]}.parquet"
    (folder / "dataset" / index).write_bytes(out.getvalue())
    said = {"format_version": FORMAT_VERSION, "dtype": facts.dtype, "index": index}
    said["fingerprint"] = hashlib.sha256(out.getvalue()).hexdigest()[:32]
    (folder / "dataset" / "dataset.json").write_text(json.dumps(said))
    return {"documents": orders * len(table), "tokens": tokens, "bytes": stored}
