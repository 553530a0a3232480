"""A small run of two sources, every word of which says which document it is of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from conftest import write_jsonl

from pipeline.execution.runner import Options, RunResult, run
from pipeline.planning.config import parse_config
from pipeline.planning.plan import make_plan

PER_FILE = 20
FILES = 2


def url_of(name: str) -> str:
    return f"https://www.{name[0]}.example/page/{name}?x=1"


def text_of(name: str) -> str:
    """Four sentences of words that no other document has, between some that all have."""
    lines = []
    for number in range(4):
        words = " ".join(f"{name}q{number}w{word}" for word in range(9))
        lines.append(f"It was said of {words}, and it was said in all the papers.")
    return "\n".join(lines)


def sentences(name: str) -> list[str]:
    """What is nowhere but in this document."""
    return [f"{name}q{number}w{word} {name}q{number}w{word + 1}" for number in range(4)
            for word in range(8)]  # fmt: skip


def names(source: str) -> list[str]:
    return [f"{source}{at}k" for at in range(PER_FILE * FILES)]


def write_inputs(folder: Path) -> None:
    """Two sources of two files; two documents are copies of the one with their number less one."""
    for source in ("a", "b"):
        rows: list[dict[str, Any]] = [
            {"id": name, "url": url_of(name), "text": text_of(name)} for name in names(source)
        ]
        rows[1]["text"], rows[31]["text"] = rows[0]["text"], rows[30]["text"]
        rows[5]["text"] = "too short"
        for file in range(FILES):
            part = rows[file * PER_FILE : (file + 1) * PER_FILE]
            write_jsonl(folder / source / f"part-{file}.jsonl", part)


def config_text(folder: Path, shard: int = 1500) -> str:
    return f"""
name: erased
seed: 5
steps:
  - id: a
    read_jsonl: {{paths: ["{folder}/a/*.jsonl"], id: id, url: url}}
  - id: b
    read_jsonl: {{paths: ["{folder}/b/*.jsonl"], id: id, url: url}}
  - inputs: [a, b]
    gopher_quality: {{min_words: 10}}
  - exact_dedup: {{}}
  - line_dedup: {{min_sentences: 1}}
  - write_documents: {{}}
  - id: lines
    write_documents: {{format: jsonl}}
  - mix: {{weights: {{a: 0.7, b: 0.3}}, max_epochs: 3, validation_permille: 100}}
  - train_tokenizer: {{vocab_size: 400}}
  - tokenize: {{}}
  - write_shards: {{tokens_per_shard: {shard}}}
"""


def run_it(folder: Path, workdir: Path, *overrides: str, **options: Any) -> RunResult:
    config = parse_config(config_text(folder), "erased.yaml", [f"workdir={workdir}", *overrides])
    return run(make_plan(config), Options(**options))


def version_of(workdir: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((workdir / "dataset" / "dataset.json").read_text())
    return found


def rows_of(workdir: Path, kind: str = "shards") -> dict[str, list[dict[str, Any]]]:
    """File of the version in force -> its rows."""
    return {
        entry["file"]: pq.read_table(workdir / "dataset" / entry["file"]).to_pylist()
        for entry in version_of(workdir)[kind]
        if entry["file"].endswith(".parquet")
    }
