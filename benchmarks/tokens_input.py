"""Texts and tokenizers of the benchmark of tokens, written once.

Speed is measured on the first texts of `bulk` (real pages in 30 languages, in the order of a hash),
ids are compared on every text of `text` and `langid` and on hostile strings. The tokenizers are
trained on texts from the end of `bulk`, which no speed is measured on.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bulk import bulk_texts
from benchmarks.measure import MeasureError
from benchmarks.turns import say
from benchmarks.web import FOLDER, Web

PATTERNS = ("llama3", "gpt2", "o200k")
VOCABULARY = 32_000
SAMPLE_BYTES = 20_000_000
FUZZ = 100_000
FIRST_FUZZ = 1_000_000
"""Of other numbers than the strings that the stage itself checks with."""
SCHEMA = pa.schema([("doc_id", pa.binary(16)), ("set", pa.string()), ("text", pa.large_string())])

Row = tuple[str, str]
"""(set, text)"""


def bulk(most_bytes: int) -> list[Row]:
    """The first texts, up to so many bytes of UTF-8."""
    rows, left = [], most_bytes
    file = pq.ParquetFile(bulk_texts())
    for batch in file.iter_batches(1000, columns=["text"]):
        for text in batch["text"].to_pylist():
            rows.append(("bulk", text))
            left -= len(text.encode())
            if left <= 0:
                return rows
    return rows


def compared(data: Path) -> list[Row]:
    """Every text of `text` and `langid` (HTML as it stands), and the hostile strings."""
    from pipeline.texts.hostile import hostile_strings

    rows = []
    for name in ("text", "langid"):
        paths = sorted((data / name).glob("*.jsonl.gz"))
        if not paths:
            raise MeasureError(f"no texts at {data / name}. Give the folder with --data.")
        for path in paths:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                for line in lines:
                    row = json.loads(line)
                    text = row.get("text") or row.get("html") or ""
                    rows.append((name, text.encode("utf-8", "replace").decode()))
    return [*rows, *(("fuzz", text) for text in hostile_strings(FUZZ, first=FIRST_FUZZ))]


def tokenizers() -> Path:
    """A folder with `<pattern>/tokenizer.json` and meta.json, trained once."""
    from tokenizer_training.bpe import BpeOptions, artefact, train_on_texts

    source = bulk_texts()
    said = f"{source.parent.name} {VOCABULARY} {SAMPLE_BYTES}".encode()
    folder = FOLDER / f"tokenizers-{hashlib.sha256(said).hexdigest()[:8]}"
    for pattern in PATTERNS:
        if (folder / pattern / "meta.json").exists():
            continue
        say(f"training a tokenizer with the pattern {pattern}, once")
        options = BpeOptions(VOCABULARY, pattern, special_tokens=("<|endoftext|>",))
        made = train_on_texts(_sample(source), options)
        (folder / pattern).mkdir(parents=True, exist_ok=True)
        for name, data in artefact(made.to_str().encode(), {}).items():
            (folder / pattern / name).write_bytes(data)
    return folder


def _sample(source: Path) -> Iterator[str]:
    file, left = pq.ParquetFile(source), SAMPLE_BYTES
    for text in file.read_row_group(file.num_row_groups - 1, columns=["text"])["text"]:
        left -= len(text.as_py().encode())
        if left <= 0:
            return
        yield text.as_py()


def written(name: str, rows: Sequence[Row], trained: Path) -> Web:
    """The texts and the tokenizers in one folder, as `encode_texts.py` reads them."""
    whole, size = hashlib.sha256(), 0
    for _, text in rows:
        data = text.encode()
        size += len(data)
        whole.update(len(data).to_bytes(8, "big") + data)
    folder = FOLDER / f"tokens-{name}-{whole.hexdigest()[:8]}"
    web = Web(folder, len(rows), size, whole.hexdigest())
    if (folder / "complete").exists():
        return web
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(trained, folder)
    ids = [at.to_bytes(16, "big") for at in range(len(rows))]
    columns = [pa.array(ids, pa.binary(16)), *map(pa.array, zip(*rows, strict=True))]
    table = pa.table(columns, names=SCHEMA.names).cast(SCHEMA)
    pq.write_table(table, folder / "texts.parquet", compression="zstd", row_group_size=8192)
    (folder / "complete").touch()
    return web
