"""Decontamination: MB/s of a core, and what is found on pages that hold no example.

Benchmarks are all files of `<data>/benchmarks`. Pages are texts of Debian's documentation packages
(`benchmarks.bulk`; 60,000 by default), and the wanted texts of the web pages of `extraction_gold`:
manuals and articles, in which an example can stand only by accident. What is found on them all the
same is listed by benchmark and number of the example, with the share of its words and the page's
id, and shown with an excerpt on standard error; no text is in the result.

The step runs in one process (workers 0, `action: drop`); a run that reads and writes the same texts
without it is taken off. Its start-up holds the index of all examples. `search` is the scan of the
texts alone, called in this process.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import dedup, pii
from benchmarks.bulk import SCHEMA, bulk_texts, packages_of, spread
from benchmarks.measure import MeasureError
from benchmarks.report import Options, Report, input_json, our_versions
from benchmarks.text_steps import run_sides, step_json, step_side
from benchmarks.turns import say
from stages.decontaminate.report import benchmark_numbers, judged
from stages.decontaminate.stage import Decontaminate, excerpt

DOCUMENTS = 60_000
SHARES = (0.0, 0.5, 0.8)
"""Shares of an example's words from which on a page is counted: any run, half, Llama 2's dirty."""


def benchmark_paths(data: Path) -> list[str]:
    """The files of benchmarks. Raises MeasureError."""
    found = sorted(map(str, (data / "benchmarks").glob("*.jsonl.gz")))
    if not found:
        raise MeasureError(f"no benchmarks at {data}/benchmarks/*.jsonl.gz: give --data DIR")
    return found


def web_texts(data: Path) -> pa.Table:
    """Wanted texts of `extraction_gold`; an id is a digest of the text."""
    texts = pii.texts(data)
    ids = [f"gold/{hashlib.sha256(t.encode()).hexdigest()[:16]}" for t in texts.to_pylist()]
    return pa.table([pa.array(ids), texts], schema=SCHEMA)


def found_on(rows: pa.Table, stage: Decontaminate) -> list[dict[str, Any]]:
    """A row for each page and example of which it holds a run; the excerpt is for people alone."""
    from stages.kernels.grams import gram_hits

    index, found = stage.index(), []
    texts = rows["text"].combine_chunks()
    for row, hits in sorted(gram_hits(texts, index.grams).items()):
        data = texts[row].as_py().encode()
        pairs = judged(hits.gram * 0, hits.gram, index, 0.0)
        numbers = benchmark_numbers(index, pairs.example).tolist()
        for number, example, share, first in zip(
            numbers, pairs.example.tolist(), pairs.share.tolist(), pairs.first_hit.tolist(),
            strict=True,
        ):  # fmt: skip
            found.append(
                {
                    "benchmark": index.benchmarks[number].name,
                    "example": example - int(index.first_example[number]),
                    "share": round(share, 3),
                    "page": rows["id"][row].as_py(),
                    "excerpt": excerpt(data, int(hits.start[first]), int(hits.end[first])),
                }
            )
    return found


def summed(rows: pa.Table, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is found on pages of one kind, without any text."""
    at_least = {
        str(share): len({one["page"] for one in found if one["share"] >= share}) for share in SHARES
    }
    counts = Counter((one["benchmark"], one["example"]) for one in found)
    best: dict[tuple[str, int], dict[str, Any]] = {}
    for one in found:
        key = (one["benchmark"], one["example"])
        if key not in best or one["share"] > best[key]["share"]:
            best[key] = one
    examples = [
        {
            "benchmark": name, "example": number, "pages": pages,
            "share": best[name, number]["share"], "page": best[name, number]["page"],
        }
        for (name, number), pages in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]  # fmt: skip
    size = sum(len(text.encode()) for text in rows["text"].to_pylist())
    return {"pages": rows.num_rows, "bytes": size, "pages_by_share": at_least, "examples": examples}


def search_rate(rows: pa.Table, stage: Decontaminate, turns: int) -> float:
    """MB a CPU second of the scan alone, the best turn."""
    from stages.kernels.grams import gram_hits

    texts, grams = rows["text"].combine_chunks(), stage.index().grams
    gram_hits(texts.slice(0, 10), grams)
    spent = []
    for _ in range(turns):
        begun = time.process_time()
        gram_hits(texts, grams)
        spent.append(time.process_time() - begun)
    size = sum(len(text.encode()) for text in texts.to_pylist())
    return round(size / 1e6 / min(spent), 1)


def run(options: Options) -> Report:
    paths = benchmark_paths(options.data)
    stage = Decontaminate(tuple(paths))
    path = bulk_texts()
    rows = pq.read_table(path).slice(0, options.pages or DOCUMENTS)
    web, empty = spread(rows, "dedup", dedup.FILES), dedup.start_up_input()
    say(f"{web.documents:,} texts, {web.bytes / 1e6:.1f} MB")
    files = "[" + ", ".join(map(repr, paths)) + "]"
    side = step_side("decontaminate", f"decontaminate: {{benchmarks: {files}}}")
    without = step_side("without", "")
    turns = 1 if options.quick else options.turns
    run_sides({"without": without, "decontaminate": side}, web, empty, turns)
    kinds = {"documentation": rows, "web pages": web_texts(options.data)}
    clean = {}
    for kind, pages in kinds.items():
        found = found_on(pages, stage)
        for one in found:
            say(f"{kind}: {one['benchmark']} {one['example']} {one['share']:.2f} {one['excerpt']}")
        clean[kind] = summed(pages, found)
    settings = {"workers": 0, "action": "drop", "ngram": stage.ngram}
    told = step_json(side, without, web, settings)
    dropped = clean["documentation"]["pages_by_share"]["0.0"]
    lost = web.documents - told["documents_kept"]
    if lost != dropped:
        raise MeasureError(f"the step dropped {lost} pages, the scan finds {dropped}")
    told["mb_per_cpu_second"]["search"] = search_rate(rows, stage, turns)
    examples = {b.name: b.examples for b in stage.index().benchmarks}
    return Report(
        "decontaminate",
        input_json(web, files=dedup.FILES, source="texts of Debian's documentation packages",
                   packages=packages_of(path)),
        {**told, "examples": examples, "clean_pages": clean},
        {},
        {},
        {},
        our_versions(),
    )  # fmt: skip
