"""What the engine costs: our runs on Ray against a bare pool of forked processes, the same work.

Both sides, with 2 workers: read WARC, extract (trafilatura), Gopher repetition, Gopher quality, C4
lines, FineWeb, exact dedup, write Parquet, by the same stage objects and the same `run_segment`.
The pool fuses everything up to the hashes into one pass and keeps no promise: no manifest, hash,
fsync, plan or retry (`bare_pool`). So the ratio counts against us: Ray and its daemons, scheduling,
commits, the file stored after the extraction, the exchange through files, the document files
written from stored documents.

One exact dedup is the global step: it has every part of an exchange (emit, scatter, reduce,
deliver, apply), and its work is small, so that what it costs is the engine. The input is the real
pages, repeated under other URLs until the pool takes --minutes CPU minutes, about 15 s a file; so
most documents are exact duplicates and travel through the exchange.

Both must keep the same doc_ids, else there is no result.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.measure import MeasureError
from benchmarks.report import (
    Options,
    Report,
    input_json,
    our_versions,
    plain_ratio,
    ratio,
    side_json,
)
from benchmarks.turns import Side, alternate, pages_for, say
from benchmarks.web import (
    STARTUP_FILES,
    Web,
    cached_web,
    copies,
    gold_pages,
    startup_pages,
)

WORKERS = 2
TRIAL_PAGES = 200
FILE_SECONDS = 15
STEPS = """\
  - extract: {engine: trafilatura}
  - gopher_repetition: {}
  - gopher_quality: {}
  - c4_lines: {end_marks: []}
  - fineweb_quality: {}
  - exact_dedup: {}
  - write_documents: {format: parquet}
"""


def config(web: Web, out: Path) -> Path:
    """Both sides read this configuration."""
    out.mkdir()
    path = out / "config.yaml"
    path.write_text(
        f"name: engine\nseed: 1234\nworkdir: {json.dumps(str(out / 'work'))}\n"
        f"steps:\n  - id: web\n    read_warc: {{paths: [{json.dumps(web.pattern)}]}}\n{STEPS}"
    )
    return path


def pool_side() -> Side:
    def command(web: Web, out: Path) -> list[str]:
        path = config(web, out)
        return [sys.executable, "-m", "benchmarks.bare_pool", str(path), str(WORKERS),
                str(out / "work")]  # fmt: skip

    def look(out: Path) -> Any:
        return json.loads((out / "work" / "kept.json").read_text())

    return Side("bare pool", command, look)


def our_side(workers: int) -> Side:
    def command(web: Web, out: Path) -> list[str]:
        return [sys.executable, "-m", "pipeline", "run", str(config(web, out)), "--workers",
                str(workers), "--quiet"]  # fmt: skip

    def look(out: Path) -> Any:
        files = sorted((out / "work" / "documents").rglob("*.parquet"))
        tables = [pq.read_table(path, columns=["doc_id"]) for path in files]
        return sorted(value.hex() for table in tables for value in table["doc_id"].to_pylist())

    return Side(f"ours ({workers} workers)", command, look)


def run(options: Options) -> Report:
    empty = cached_web("startup", startup_pages(), STARTUP_FILES)
    pool, main, in_process = pool_side(), our_side(WORKERS), our_side(0)
    pool.start_up(empty)
    pages = gold_pages(options.data)
    wanted = options.pages
    if wanted is None:
        trial = cached_web("gold", pages[:TRIAL_PAGES], WORKERS)
        wanted = pages_for(pool, trial, options.minutes * 60, len(pages) // 5)
    files = max(2 * WORKERS, math.ceil(options.minutes * 60 / FILE_SECONDS))
    web = cached_web("copies", list(copies(pages, wanted)), files)
    say(f"{web.documents} pages, {web.bytes / 1e6:.1f} MB in {files} files")
    main.start_up(empty)
    alternate(pool, options.peer_turns, main, options.turns, web)
    in_process.start_up(empty, warm=False)
    in_process.turn(web)
    if not pool.found == main.found == in_process.found:
        raise MeasureError(
            f"the sides kept different documents: pool {len(pool.found)}, ours "
            f"{len(main.found)}, in process {len(in_process.found)}"
        )
    return _report(options, web, files, pool, main, in_process)


def _report(
    options: Options, web: Web, files: int, pool: Side, main: Side, in_process: Side
) -> Report:
    settings = {"workers": WORKERS, "steps": STEPS.splitlines()}
    value = ratio(pool.turns, pool.startup, main.turns, main.startup)
    alone = ratio(pool.turns, pool.startup, in_process.turns, in_process.startup)
    return Report(
        "engine",
        input_json(web, files=files, source="extraction_gold, repeated"),
        side_json(
            main.turns, main.startup, settings, kept=len(main.found),
            in_process=side_json(in_process.turns, in_process.startup, {"workers": 0}),
        ),
        {"pool": side_json(pool.turns, pool.startup, settings, kept=len(pool.found))},
        {"ours_vs_pool": value},
        {
            "ours_in_process_vs_pool": alone,
            "ours_vs_pool_cpu_with_startup": plain_ratio(pool.turns, main.turns, "cpu_seconds"),
            "ours_vs_pool_memory": plain_ratio(pool.turns, main.turns, "peak_pss_bytes"),
        },
        our_versions(),
    )  # fmt: skip
