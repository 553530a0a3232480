"""The stage `pii`: precision and recall by type on labelled sentences, and its speed on real texts.

Speed is CPU time of this process, the best of the turns, over the wanted texts of the pages of
`extraction_gold` (no HTML): all of them, those that hold no candidate, and all of them by one type
alone. What phonenumbers takes without our scan is measured on a sample.
"""

from __future__ import annotations

import functools
import hashlib
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks import pii_gold
from benchmarks.measure import MeasureError, Usage
from benchmarks.report import Options, Report, our_versions, side_json
from benchmarks.turns import say
from pipeline.stage import Side, TextBatch
from stages.extract.gold import read_gold
from stages.pii import Pii, phones
from stages.pii.spans import KINDS

REGIONS = (("US",), ("US", "GB", "CH", "FR", "IT", "AU", "DE", "SE"))
"""The default, and regions of the Faker locales of the labelled set's half `dev`."""
LEFT_OUT = ("wcxb-large.jsonl.gz", "trafilatura-eval.jsonl.gz", "goose3.jsonl.gz")
"""Large pages, and origins whose gold is snippets."""
SAMPLE_BYTES = 1_000_000


def texts(data: Path) -> pa.Array:
    """The wanted texts of the gold pages, as a column."""
    files = sorted((data / "extraction_gold").glob("*.jsonl.gz"))
    rows = read_gold([file for file in files if file.name not in LEFT_OUT]) if files else ()
    found = [row["gold_text"] for row in rows if row.get("gold_text")]
    if not found:
        raise MeasureError(f"no gold texts under {data}: give --data DIR with extraction_gold")
    return pa.array(found, pa.large_string())


def column_bytes(column: pa.Array) -> int:
    return sum(len(text.encode()) for text in column.to_pylist())


@functools.cache
def _side() -> Side:
    return Side("pii", 0)


def process(stage: Pii, column: pa.Array) -> None:
    """The stage on a column as on one batch, without what the library remembers."""
    phones.forget()
    stage.process(TextBatch(pa.table({"text": column})), _side())


def turns_of(work: Callable[[], object], turns: int) -> list[Usage]:
    """CPU and wall time of so many turns, after one that is not counted (it compiles)."""
    work()
    found = []
    for _ in range(turns):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        spent, passed = time.process_time() - cpu, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        found.append(Usage(spent, passed, peak, peak, peak, "process_time", 0))
    return found


def speed(column: pa.Array, work: Callable[[], None], turns: int) -> float:
    """MB a CPU second, of the best turn."""
    best = min(turn.cpu_seconds for turn in turns_of(work, turns))
    return round(column_bytes(column) / 1e6 / max(best, 1e-9), 1)


def without_candidates(stage: Pii, column: pa.Array) -> pa.Array:
    """The texts in which no check has anything to do."""
    from stages.kernels.pii_candidates import find_candidates
    from stages.pii.secrets import prefixes_in

    finder = stage.finder
    rows = {int(row[0]) for row in find_candidates(column, finder.candidates, finder.least_digits)}
    return pa.array(
        [
            text
            for row, text in enumerate(column.to_pylist())
            if row not in rows and not prefixes_in(text.encode())
        ],
        pa.large_string(),
    )


def whole_text_matcher(column: pa.Array) -> None:
    """What finding telephone numbers costs when the library reads everything."""
    from phonenumbers import PhoneNumberMatcher

    for text in column.to_pylist():
        for _ in PhoneNumberMatcher(text, "US"):
            pass


def speeds(column: pa.Array, turns: int) -> tuple[list[Usage], dict[str, float]]:
    stage = Pii()
    clean = without_candidates(stage, column)
    whole = turns_of(lambda: process(stage, column), turns)
    best = min(turn.cpu_seconds for turn in whole)
    found = {"all, all pages": round(column_bytes(column) / 1e6 / max(best, 1e-9), 1)}
    found[f"all, clean pages ({len(clean)} of {len(column)})"] = speed(
        clean, lambda: process(stage, clean), turns
    )
    for kind in KINDS:
        work = functools.partial(process, Pii(types=(kind,)), column)
        found[f"{kind}, all pages"] = speed(column, work, turns)
    return whole, found


def run(options: Options) -> Report:
    column = texts(options.data)
    if options.pages:
        column = column.slice(0, options.pages)
    whole, found = speeds(column, options.turns)
    size = column_bytes(column)
    rows = max(1, len(column) * SAMPLE_BYTES // max(size, SAMPLE_BYTES))
    sample = column.slice(0, rows)
    matcher = speed(sample, lambda: whole_text_matcher(sample), 1)
    quality: dict[str, Any] = pii_gold.judged(options.data, REGIONS)
    for kind, scores in quality["US"]["all"].items():
        say(f"{kind}: {scores}")
    digest = hashlib.sha256("\0".join(column.to_pylist()).encode()).hexdigest()
    idle = Usage(0.0, 0.0, 0, 0, 0, "process_time", 0)
    ours = side_json(
        whole, idle, {"processes": 1}, quality=quality, mb_per_cpu_second=found,
        phone_matcher_mb_per_cpu_second=matcher,
    )  # fmt: skip
    return Report(
        "pii",
        {
            "documents": len(column),
            "bytes": size,
            "sha256": digest,
            "source": "extraction_gold, wanted texts",
            "labelled": pii_gold.FILE,
        },
        ours,
        {},
        {},
        {"ours_phone_vs_matcher_on_whole_texts": found["phone, all pages"] / matcher},
        our_versions(),
    )
