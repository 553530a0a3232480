"""URL, span and paragraph dedup and decontamination in whole runs: killed, resumed, changed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from conftest import ROOT, RunConfig, write_jsonl

from pipeline.audit.lookup import open_run
from pipeline.audit.targets import find_target
from pipeline.files.uris import open_storage
from pipeline.results.publish import published_sha256

CONFIG = """\
seed: 3
workdir: {folder}/work
steps:
  - id: help
    read_jsonl: {{paths: ["{folder}/in/*.jsonl"], id: id, url: url}}
  - exact_dedup: {{by: url}}
  - span_dedup: {{min_words: 20}}
  - paragraph_dedup: {{min_chars: 50}}
  - decontaminate: {{benchmarks: ["{folder}/benchmarks/*.jsonl"], action: mask}}
  - write_documents: {{}}
"""
PATIENCE_SECONDS = 120


def made(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """The configuration over real texts, of which some are copies and some stand in a benchmark."""
    copies = [{**row, "id": f"copy-{row['id']}"} for row in rows[::5]]
    joined = [
        {"id": f"{a['id']}-{b['id']}", "text": f"{a['text']}\n\n{b['text']}", "url": None}
        for a, b in zip(rows[::4], rows[1::4], strict=False)
    ]
    documents = [*rows, *copies, *joined]
    for number in range(3):
        write_jsonl(folder / "in" / f"{number}.jsonl", documents[number::3])
    examples = [{"question": row["text"][:400]} for row in rows[::10]]
    write_jsonl(folder / "benchmarks" / "help.jsonl", examples)
    config = folder / "line.yaml"
    config.write_text(CONFIG.format(folder=folder))
    return config


def start(config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--workers", "0", "--quiet"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(config: Path) -> str:
    process = start(config)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors.decode()
    return published_sha256(open_storage(str(config.parent / "work")))


def manifests(config: Path) -> int:
    return sum(1 for _ in (config.parent / "work" / "manifests").glob("*.json"))


def kill_after(config: Path, works: int) -> None:
    """Start a run and kill it once so many works are committed."""
    process = start(config)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline and manifests(config) < works:
        time.sleep(0.01)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_run_killed_twice_publishes_the_same_and_says_what_it_removed(
    tmp_path: Path, real_texts: list[dict[str, Any]]
) -> None:
    rows = real_texts[:60]
    whole = made(tmp_path / "whole", rows)
    expected = finished(whole)
    killed = made(tmp_path / "killed", rows)
    points = random.Random(7)
    for share in (points.uniform(0.1, 0.5), points.uniform(0.5, 0.9)):
        kill_after(killed, round(share * manifests(whole)))
    assert finished(killed) == expected
    run = open_run(str(tmp_path / "killed" / "work"))
    (row,) = find_target(run, "decontaminate.benchmarks").read(9, None, ()).rows
    assert row["examples_found"] > 0
    assert row["examples_found_after"] == 0
    assert find_target(run, "span_dedup.lost_spans").read(1, None, ()).total > 0
    assert find_target(run, "paragraph_dedup.lost_spans").read(1, None, ()).total > 0
    dropped = find_target(run, "exact_dedup.metrics").read(999, None, ()).rows
    reasons = [row["drop_reason"] for row in dropped]
    assert reasons.count("exact_dedup.duplicate_url") == len(rows[::5])


def test_another_benchmark_looks_for_its_examples_and_dedups_nothing_anew(
    tmp_path: Path, real_texts: list[dict[str, Any]], run_yaml: RunConfig
) -> None:
    config = made(tmp_path, real_texts[:24]).read_text()
    first = run_yaml(config)
    assert run_yaml(config).executed == 0
    examples = [{"question": row["text"][:400]} for row in real_texts[:24:3]]
    write_jsonl(tmp_path / "benchmarks" / "more.jsonl", examples)
    second = run_yaml(config)
    run = open_run(str(tmp_path / "work"))
    names = find_target(run, "decontaminate.benchmarks").read(9, None, ()).rows
    assert [row["benchmark"] for row in names] == ["help", "more"]
    done = {n for n, keys in second.keys.items() if second.executed_keys & set(keys.values())}
    assert "decontaminate.found" in done
    exchanges = {n for n in first.keys if n.startswith(("exact_dedup.", "span_dedup."))}
    assert {"exact_dedup.losers", "span_dedup.lost_spans"} <= exchanges
    assert not done & exchanges
