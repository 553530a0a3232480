"""One side of the benchmark of encoding: every text through one encoder, in this process alone.

python encode_texts.py NAME FOLDER OUT PATTERN...

FOLDER holds `texts.parquet` (doc_id, text) and `<pattern>/tokenizer.json` for each PATTERN. NAME is
`ours` (the whole stage tokenize: Arrow in, Arrow out, checks and end ids included), `tokenizers` or
`tiktoken` (their calls alone, on Python strings that are there already). OUT becomes a folder with
`about.json` (CPU seconds and the library by pattern) and `<pattern>.npy`, a 64-bit digest of each
text's ids.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

os.environ["TOKENIZERS_PARALLELISM"] = "false"
MAX_ROWS, MAX_BYTES = 8192, 32_000_000

Encode = Callable[[pa.Table], tuple[float, Sequence[Any]]]
"""Batch -> CPU seconds and the ids of each text."""


def ours(path: Path) -> tuple[Encode, dict[str, Any]]:
    from pipeline.stage import Side, TextBatch
    from stages.tokenize import Tokenize, load_encoder

    began = time.process_time()
    encoder = load_encoder(path, "auto")
    about = {"library": encoder.backend.label, "choice_seconds": time.process_time() - began}
    stage, side = Tokenize(), Side("tokenize", 1, artefacts={"tokenizer": path})

    def encode(table: pa.Table) -> tuple[float, Sequence[Any]]:
        batch = TextBatch(table)
        if "sample_seconds" not in about:  # once a process, in the first batch
            began = time.process_time()
            encoder.check_sample(batch.column("text"))
            about["sample_seconds"] = time.process_time() - began
        began = time.process_time()
        tokens = stage.process(batch, side).columns["tokens"]
        spent = time.process_time() - began
        offsets, values = tokens.offsets.to_numpy(), tokens.values.to_numpy()
        return spent, [values[a : b - 1] for a, b in itertools.pairwise(offsets)]

    return encode, about


def tokenizers(path: Path) -> tuple[Encode, dict[str, Any]]:
    from stages.encoders.backends import Tokenizers
    from stages.encoders.source import Source

    tokenizer = Tokenizers(Source(path / "tokenizer.json")).tokenizer

    def encode(table: pa.Table) -> tuple[float, Sequence[Any]]:
        texts = table["text"].to_pylist()
        began = time.process_time()
        found = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        spent = time.process_time() - began
        return spent, [np.array(one.ids, np.uint32) for one in found]

    return encode, {"library": "tokenizers.encode_batch_fast"}


def tiktoken(path: Path) -> tuple[Encode, dict[str, Any]]:
    import tiktoken

    from stages.encoders.backends import tiktoken_numbers
    from stages.encoders.source import Source

    source = Source(path / "tokenizer.json")
    encoding = tiktoken.Encoding(
        "peer", pat_str=source.pattern or "", mergeable_ranks=tiktoken_numbers(source),
        special_tokens={},
    )  # fmt: skip

    def encode(table: pa.Table) -> tuple[float, Sequence[Any]]:
        texts = table["text"].to_pylist()
        began = time.process_time()
        found = [encoding.encode_ordinary(text) for text in texts]
        spent = time.process_time() - began
        return spent, [np.array(one, np.uint32) for one in found]

    return encode, {"library": "tiktoken.encode_ordinary"}


SIDES = {"ours": ours, "tokenizers": tokenizers, "tiktoken": tiktoken}


def batches(table: pa.Table) -> Iterator[pa.Table]:
    """As a run makes them: at most 8,192 rows and 32 MB."""
    rows = max(1, min(MAX_ROWS, table.num_rows * MAX_BYTES // max(table.nbytes, 1)))
    for at in range(0, table.num_rows, rows):
        yield table.slice(at, rows).combine_chunks()


def main(name: str, folder: str, out: str, *patterns: str) -> None:
    table = pq.read_table(Path(folder, "texts.parquet"), columns=["doc_id", "text"])
    Path(out).mkdir(parents=True)
    about: dict[str, Any] = {}
    for pattern in patterns:
        encode, known = SIDES[name](Path(folder, pattern))
        seconds, digests = 0.0, []
        for batch in batches(table):
            spent, ids = encode(batch)
            seconds += spent
            digests += [xxhash.xxh3_64_intdigest(one.tobytes()) for one in ids]
        np.save(Path(out, f"{pattern}.npy"), np.array(digests, np.uint64))
        about[pattern] = {**known, "seconds": seconds}
    Path(out, "about.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main(*sys.argv[1:])
