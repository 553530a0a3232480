"""Peak memory of one process as its input grows tenfold in one file, with the bounds that ship.

The line runs in this process (workers 0): read JSONL, Gopher quality, exact dedup, MinHash, write
documents, mix, train a tokenizer, tokenise, write shards. The small input already reaches the
engine's bounds (batches, runs and buckets of 32 MB), so what still grows is what is held whole.
Shards are of 10 M tokens: a worker holds the shard that it sorts, whatever the user lets it be.

The input is prose of made-up words; one document in ten repeats the one before, exactly or nearly.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path

from benchmarks.report import Options, Report, our_versions, side_json
from benchmarks.turns import Side, say
from benchmarks.web import FOLDER, Web

DOCUMENTS = 87_000
"""About 87 MB: 14 bands a document fill more than one bucket of 32 MB."""
TIMES = 10
STEPS = """\
  - gopher_quality: {}
  - exact_dedup: {}
  - minhash_dedup: {}
  - write_documents: {}
  - mix: {validation_permille: 5}
  - train_tokenizer: {vocab_size: 600, sample_bytes: 2_000_000}
  - tokenize: {}
  - write_shards: {tokens_per_shard: 10_000_000}
"""


def write_input(folder: Path, documents: int, files: int) -> None:
    """`files` JSONL files with `documents` documents of about 1 kB in all, dealt in turn."""
    draw = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(8000)]
    words += ["the", "of", "and", "to"] * 500
    folder.mkdir(parents=True)
    parts = [(folder / f"{number}.jsonl").open("w") for number in range(files)]
    text = ""
    for number in range(documents):
        kind = draw.randrange(20)
        if kind == 0 and text:
            text += " With one more line."
        elif kind > 1 or not text:
            text = "\n".join(" ".join(draw.choices(words, k=55)) + "." for _ in range(3))
        row = {
            "id": str(number),
            "text": text,
            "url": f"https://site{number % 99}.example/{number}",
        }
        parts[number % files].write(json.dumps(row) + "\n")
    for part in parts:
        part.close()


def _web(documents: int) -> Web:
    folder = FOLDER / f"prose-{documents}"
    if not folder.exists():
        fresh = folder.with_suffix(".part")
        write_input(fresh, documents, 1)
        fresh.rename(folder)
    with (folder / "0.jsonl").open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    size = (folder / "0.jsonl").stat().st_size
    return Web(folder, documents, size, sha256)


def _side() -> Side:
    def command(web: Web, out: Path) -> list[str]:
        out.mkdir()
        path = out / "config.yaml"
        paths = json.dumps(str(web.folder / "*.jsonl"))
        path.write_text(
            f"seed: 1\nworkdir: {json.dumps(str(out / 'work'))}\nsteps:\n"
            f"  - read_jsonl: {{paths: [{paths}], id: id, url: url}}\n{STEPS}"
        )
        return [sys.executable, "-m", "pipeline", "run", str(path), "--workers", "0", "--quiet"]

    return Side("ours (in process)", command, lambda out: None)


def run(options: Options) -> Report:
    """One turn of each size: the peak of one process does not swing as its time does."""
    documents = options.pages or DOCUMENTS
    small, large = _web(documents), _web(TIMES * documents)
    side = _side()
    side.start_up(_web(100), warm=False)
    first, second = side.turn(small), side.turn(large)
    ratio = first.peak_process_rss_bytes / second.peak_process_rss_bytes
    for web, usage in ((small, first), (large, second)):
        say(f"{web.bytes / 1e6:.0f} MB of input: {usage.peak_process_rss_bytes / 1e6:.0f} MB")
    return Report(
        "memory",
        {**large.to_json(), "small": small.to_json()},
        side_json([first, second], side.startup, {"steps": STEPS.splitlines()}),
        {},
        {"peak_at_1x_vs_10x": ratio},
        {},
        our_versions(),
    )
