"""`whatif` over millions of documents: CPU time of one question, in this process.

A real run over prose of made-up words gives a segment of four filters. Its metrics are then drawn
again, with every value scaled at random, to as many documents as asked for: judged by the stages'
own rules and written by the engine's own writer, as one manifest of a further run. Questions are
asked of that run; beside them stands what a real run takes for a document once a bound has moved.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.measure import Usage
from benchmarks.memory import write_input
from benchmarks.pii import turns_of
from benchmarks.report import Options, Report, our_versions, side_json
from benchmarks.turns import say
from benchmarks.web import FOLDER
from pipeline.audit.estimate import beyond
from pipeline.audit.lookup import Run, open_run
from pipeline.audit.whatif import what_if
from pipeline.execution.runner import Options as RunOptions
from pipeline.execution.runner import run as run_plan
from pipeline.execution.segment import Verdicts
from pipeline.files.local_storage import file_sha256
from pipeline.files.tables import ParquetSink, read_dataset
from pipeline.planning.config import parse_config
from pipeline.planning.plan import make_plan
from pipeline.results.manifest import Dataset, FileRef, Manifest, commit_manifest
from pipeline.stage import RowStage

DOCUMENTS = 20_000
ROWS = 3_000_000
QUICK_ROWS = 300_000
BATCH = 8192
CONFIG = """\
name: whatif
seed: 1
workdir: {folder}/work
steps:
  - read_jsonl: {{paths: ["{folder}/in/*.jsonl"], url: url}}
  - gopher_repetition: {{max_top_2gram_ratio: 0.02}}
  - gopher_quality: {{min_words: 100}}
  - fineweb_quality: {{}}
  - c4_lines: {{}}
  - write_documents: {{}}
"""
LAST = "c4_lines"
QUESTIONS = {
    "first step, looser": ("gopher_repetition", ["max_top_2gram_ratio=1"]),
    "first step, tighter": ("gopher_repetition", ["max_top_2gram_ratio=0.01"]),
    "second step, looser": ("gopher_quality", ["min_words=10"]),
    "second step, tighter": ("gopher_quality", ["min_words=200"]),
    "last step, tighter": ("c4_lines", ["min_sentences=5"]),
}


def drawn_again(run: Run, small: pa.Table, rows: int) -> Iterator[pa.Table]:
    """`rows` documents whose metrics are those of the run, each scaled by .5 to 1.5, with the
    verdicts of the run's rules."""
    draw = np.random.default_rng(7)
    steps = [step for step in run.plan.steps if isinstance(step.stage, RowStage)]
    for start in range(0, rows, BATCH):
        size = min(BATCH, rows - start)
        table = small.take(pa.array(draw.integers(0, small.num_rows, size)))
        columns = {name: table[name].combine_chunks() for name in table.column_names}
        for name in [name for name in columns if "." in name or name == "num_chars"]:
            values = columns[name].to_numpy(zero_copy_only=False) * draw.uniform(0.5, 1.5, size)
            kind = columns[name].type
            whole = np.rint(values) if pa.types.is_integer(kind) else values
            columns[name] = pa.array(whole, from_pandas=True).cast(kind)
        columns["doc_id"] = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), size, [None, pa.py_buffer(draw.bytes(16 * size))]
        )
        numbers = range(start, start + size)
        columns["url"] = pa.array([f"https://site{n % 9973}.example/page/{n}" for n in numbers])
        columns["offset"] = pa.array(numbers, pa.int64())
        verdicts = Verdicts(size)
        for step in steps:
            assert isinstance(step.stage, RowStage)
            for rule in step.stage.rules():
                for reason, hit in rule.broken(columns[f"{step.id}.{rule.metric}"]):
                    verdicts.mark(np.flatnonzero(hit), step.id, f"{step.id}.{reason}")
        columns["drop_step"], columns["drop_reason"] = verdicts.column(0), verdicts.column(1)
        yield pa.table(columns)


def large_run(run: Run, rows: int, folder: Path) -> Run:
    """A run record over one manifest of `rows` documents, beside the run."""
    found = [read_dataset(run.storage, data) for _, data in run.datasets(LAST, "metrics")]
    small = pa.concat_tables(found)
    unit = min(run.keys[LAST])
    sink = ParquetSink(folder / "metrics.parquet", small.schema)
    kept = 0
    for table in drawn_again(run, small, rows):
        kept += table["drop_step"].null_count
        sink.write(table)
    made = sink.close()
    path = f"steps/{LAST}-{rows}/metrics-0/{unit}.parquet"
    run.storage.put(path, made.path)
    ref = FileRef(path, file_sha256(made.path), made.path.stat().st_size, made.rows)
    counters = {"documents_in": rows, "kept": kept, "dropped": {}, "quarantined": 0}
    manifest = Manifest(f"{rows:032x}", LAST, unit, {"metrics": Dataset.of([ref])}, counters)
    commit_manifest(run.storage, manifest)
    return Run(run.storage, {**run.record, "keys": {LAST: {unit: manifest.key}}})


def real_run(folder: Path, *overrides: str) -> tuple[str, float]:
    """(run id, CPU seconds) of the configuration in this process."""
    config = parse_config(CONFIG.format(folder=folder), "whatif.yaml", overrides)
    started = time.process_time()
    result = run_plan(make_plan(config), RunOptions())
    return result.run_id, time.process_time() - started


def ask(run: Run, step: str, knobs: list[str]) -> dict[str, int]:
    """The whole answer; how many documents it changes."""
    answer = what_if(run, step, knobs)
    beyond(run, answer)
    return {
        "newly_kept": answer.newly_kept.documents,
        "newly_dropped": answer.newly_dropped.documents,
        "other_reason": answer.other_reason.documents,
    }


def run(options: Options) -> Report:
    rows = options.pages or (QUICK_ROWS if options.quick else ROWS)
    folder = FOLDER / "whatif"
    shutil.rmtree(folder, ignore_errors=True)
    write_input(folder / "in", DOCUMENTS, 4)
    run_id, _ = real_run(folder)  # compiles
    _, again = real_run(folder, "steps.gopher_quality.min_words=120")
    large = large_run(open_run(f"{folder}/work", run_id), rows, folder)
    questions: dict[str, Any] = {}
    turns: list[Usage] = []
    for name, (step, knobs) in QUESTIONS.items():
        fresh = turns_of(partial(ask, large, step, knobs), options.turns)
        best = min(turn.cpu_seconds for turn in fresh)
        questions[name] = {"cpu_seconds": round(best, 3), **ask(large, step, knobs)}
        say(f"{name}: {json.dumps(questions[name])}")
        turns += fresh
    stored = large.manifest(LAST, min(large.keys[LAST])).outputs["metrics"]
    slowest = max(question["cpu_seconds"] for question in questions.values())
    per_run = again / DOCUMENTS
    digest = hashlib.sha256(stored.digest.encode()).hexdigest()
    size = {"documents": rows, "bytes": stored.num_bytes, "sha256": digest}
    ours = side_json(
        turns, Usage(0.0, 0.0, 0, 0, 0, "process_time", 0), {"processes": 1}, questions=questions,
        run_cpu_seconds_per_million_documents=round(per_run * 1e6, 1),
    )  # fmt: skip
    ratios = {"run_vs_slowest_question_a_document": per_run / (slowest / rows)}
    shutil.rmtree(folder, ignore_errors=True)
    return Report("whatif", size, ours, {}, {}, ratios, our_versions())
