"""Training a BPE of 32,000 tokens: ours on counted pieces against Hugging Face's trainer.

Both sides are processes of their own that read the same 60 MB of real text (`benchmarks.bulk`, at
most 10,000 bytes of a page) from one Parquet file, train and write `tokenizer.json`; the bytes of
both have to be equal. The peer runs without threads, which takes it the least CPU. A third run
trains on 1 GB for its peak memory: all pages whole, as often as that takes, each time with the
ASCII letters rotated by one more, so that pieces stay as distinct as in new text.
"""

from __future__ import annotations

import hashlib
import string
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bulk import bulk_texts
from benchmarks.measure import MeasureError, Usage, measure
from benchmarks.report import ROOT, Options, Report, our_versions, ratio, side_json
from benchmarks.turns import say
from pipeline.stage import Side
from pipeline.texts.bounded import capped_texts
from tokenizer_training import counts
from tokenizer_training.train import TrainTokenizer

SAMPLE_BYTES, BIG_BYTES = 60_000_000, 1_000_000_000
MAX_DOCUMENT_BYTES = 10_000
ROWS = 2000
SIDES = {"ours": "counts", "tokenizers": "tokenizers", "big": "counts"}


def write_sample(source: Path, target: Path, most: int) -> tuple[int, int]:
    """The first pages of the file, cut, up to `most` bytes: (documents, bytes)."""
    documents = size = 0
    with pq.ParquetWriter(target, pa.schema([("text", pa.large_string())])) as file:
        for batch in pq.ParquetFile(source).iter_batches(ROWS, columns=["text"]):
            texts = capped_texts(batch["text"], MAX_DOCUMENT_BYTES)
            lengths = [len(text.encode()) for text in texts.to_pylist()]
            rows = 0
            while rows < len(lengths) and size + lengths[rows] <= most:
                size, rows = size + lengths[rows], rows + 1
            file.write_table(pa.table({"text": texts.slice(0, rows)}))
            documents += rows
            if rows < len(lengths):
                break
    return documents, size


def _batches(path: Path, most: int) -> Iterator[pa.Table]:
    """Batches of `text` and `group`, round after round until there are `most` bytes."""
    size = turn = 0
    letters = string.ascii_lowercase
    while size < most:
        rotated = letters[turn:] + letters[:turn]
        table = str.maketrans(letters + letters.upper(), rotated + rotated.upper())
        for batch in pq.ParquetFile(path).iter_batches(ROWS, columns=["text"]):
            texts = batch["text"]
            if turn:
                rows = [text.translate(table) for text in texts.to_pylist()]
                texts = pa.array(rows, pa.large_string())
            yield pa.table({"text": texts, "group": pa.array(["all"] * len(texts))})
            size += texts.nbytes
            if size >= most:
                return
        turn += 1
        if not size or most <= BIG_BYTES // 2:
            return


def train(side: str, path: Path, out: Path) -> None:
    """What one measured process does."""
    stage = TrainTokenizer(trainer=SIDES[side])
    most = BIG_BYTES if side == "big" else SAMPLE_BYTES
    batches = _batches(path, most)
    if side == "tokenizers":
        made = stage.train_texts(batches, Side("train", 1))
    else:
        options = stage.options
        counts.require_kernel("train")
        tables = (counts.counted(table, options.cut, options.expression) for table in batches)
        made = stage.train_counted(counts.added_up(tables), Side("train", 1))
    out.write_bytes(made["tokenizer.json"])
    print(made["meta.json"].decode())


def _usage(side: str, path: Path, out: Path) -> Usage:
    command = [sys.executable, "-m", "benchmarks.tokens_training", side, str(path), str(out)]
    env = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    used = measure(command, cwd=ROOT, env=env, log=out.with_suffix(".log"))
    peak = used.peak_process_rss_bytes >> 20
    say(f"{side}: {used.cpu_seconds:.1f} s CPU, {used.wall_seconds:.1f} s wall, {peak} MB")
    return used


def run(options: Options) -> Report:
    source = bulk_texts()
    with tempfile.TemporaryDirectory(prefix="tokenmill-benchmark-") as name:
        folder = Path(name)
        sample, few = folder / "sample.parquet", folder / "few.parquet"
        documents, size = write_sample(source, sample, SAMPLE_BYTES)
        write_sample(source, few, 100_000)
        names = ("ours", "tokenizers")
        startup = {}
        for side in names:
            _usage(side, few, folder / "first")  # compiles, warms disks
            startup[side] = _usage(side, few, folder / "first")
        turns: dict[str, list[Usage]] = {side: [] for side in names}
        for at in range(options.turns):
            for side in names:
                if side == "ours" or at < options.peer_turns:
                    turns[side].append(_usage(side, sample, folder / side))
        made = [(folder / side).read_bytes() for side in names]
        if made[0] != made[1]:
            raise MeasureError("the trainers' tokenizer.json differ")
        big = None if options.quick else _usage("big", source, folder / "big")
        digest = hashlib.sha256(sample.read_bytes()).hexdigest()
    better = ratio(turns["tokenizers"], startup["tokenizers"], turns["ours"], startup["ours"])
    sides = {
        side: side_json(turns[side], startup[side], {"trainer": SIDES[side], "vocab_size": 32_000})
        for side in names
    }
    memory = {} if big is None else {"peak_bytes_of_1_gb": big.peak_process_rss_bytes,
                                     "cpu_seconds_of_1_gb": round(big.cpu_seconds, 1)}  # fmt: skip
    return Report(
        "tokens_training",
        {"documents": documents, "bytes": size, "sha256": digest, "source": source.parent.name},
        {**sides["ours"], **memory, "tokenizer_sha256": hashlib.sha256(made[0]).hexdigest()},
        {"tokenizers": sides["tokenizers"]},
        {},
        {"ours_vs_tokenizers_training_cpu": better},
        our_versions(),
    )


if __name__ == "__main__":
    train(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
