"""MinHash dedup from 10,000 to a million documents: CPU time a document, and peak memory.

Text to kept documents (`read_parquet`, `minhash_dedup` as it comes, `write_documents`) of generated
documents, 8 files at every size. Time is that of one process (workers 0), whose start-up is small
enough to be told from 10,000 documents; memory that of two workers, Ray and all.

A document is four to six sentences of the articles of the sample web (`samples`), drawn at random,
so that two share few. Of ten documents one is an exact copy of one drawn from all, one is such a
copy with a further sentence.
"""

from __future__ import annotations

import json
import random
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import dedup
from benchmarks.bulk import SCHEMA, spread
from benchmarks.measure import MeasureError, Usage
from benchmarks.report import Options, Report, input_json, our_versions, side_json, usage_json
from benchmarks.turns import Side, say
from benchmarks.web import FOLDER, Web

SIZES = (10_000, 100_000, 1_000_000)
SEED, ARTICLES = 7, 4_000
FEW_TURNS = 5
"""Turns of the smaller sizes at least: they take seconds, of which start-up is a good part."""
_CHUNK = 20_000


def sentences() -> list[str]:
    """The sentences of the paragraphs of English articles, each once, in their order."""
    from samples.article import write_article

    found: dict[str, None] = {}
    for number in range(ARTICLES):
        article = write_article(f"{SEED}/scale/{number}", "en")
        for kind, rows in article.blocks:
            if kind == "p":
                found.update(dict.fromkeys(re.split(r"(?<=[.!?]) (?=[A-Z])", rows[0])))
    return list(found)


def documents(known: list[str], count: int) -> Iterator[str]:
    """The texts; the first of a larger number are other ones only in what they copy."""

    def own(number: int) -> list[str]:
        draw = random.Random(f"{SEED}/{number}")
        return [known[int(draw.random() * len(known))] for _ in range(4 + number % 3)]

    for number in range(count):
        if number % 10 < 8:
            yield " ".join(own(number))
            continue
        draw = random.Random(f"{SEED}/copy/{number}").random()
        original = int(draw * (count // 10)) * 10 + number % 8
        copied = own(original) if original < count else own(number)
        yield " ".join([*copied, *own(number)[:1]] if number % 10 == 9 else copied)


def web_of(count: int, root: Path = FOLDER) -> Web:
    """The documents as Parquet files, written once."""
    folder = root / f"scale-{count}"
    about = folder / "about.json"
    if about.exists():
        known = json.loads(about.read_text())
        return Web(folder, known["documents"], known["bytes"], known["sha256"])
    say(f"writing {count:,} documents, once")
    ids = [f"scale/{number}" for number in range(count)]
    texts = pa.array(documents(sentences(), count), pa.large_string())
    rows = pa.table([pa.array(ids), texts], schema=SCHEMA)
    web = spread(rows, "scale", dedup.FILES, root)
    web.folder.rename(folder)
    found = Web(folder, web.documents, web.bytes, web.sha256)
    about.write_text(json.dumps(found.to_json()))
    return found


def counted(workers: int) -> Side:
    """The default dedup; what is looked at is how many documents it keeps."""
    side = dedup.ours(dedup.DEFAULT, workers)

    def kept(out: Path) -> int:
        files = (out / "work" / "documents").rglob("*.parquet")
        return sum(pq.read_metadata(path).num_rows for path in files)

    return Side(side.name, side.command, kept)


def microseconds(turns: list[Usage], startup: Usage, documents: int) -> float:
    """CPU time a document above start-up, the median turn. Raises MeasureError."""
    spent = statistics.median(turn.cpu_seconds for turn in turns) - startup.cpu_seconds
    if spent <= 0:
        raise MeasureError(f"{documents:,} documents took no more than start-up: too few")
    return spent / documents * 1e6


def run(options: Options) -> Report:
    most = options.pages or SIZES[-1]
    webs = [web_of(size) for size in sorted({*(s for s in SIZES if s < most), most})]
    empty = dedup.start_up_input()
    one, two = counted(0), counted(2)
    starts = [one.start_up(empty, warm=at == 0) for at in range(3)]
    startup = sorted(starts, key=lambda usage: usage.cpu_seconds)[1]
    rows: list[dict[str, Any]] = []
    for web in webs:
        one.turns = []
        turns = 1 if options.quick else options.turns
        for _ in range(turns if web is webs[-1] else max(turns, FEW_TURNS)):
            one.turn(web)
        spent = microseconds(one.turns, startup, web.documents)
        rows.append(
            {
                **web.to_json(), "kept": one.found,
                "cpu_microseconds_a_document": round(spent, 2),
                "peak_process_rss_bytes": max(t.peak_process_rss_bytes for t in one.turns),
                "turns": [usage_json(turn) for turn in one.turns],
            }
        )  # fmt: skip
    last, main = webs[-1], one.turns
    two.start_up(empty, warm=False)
    for web in (webs[0], last):
        two.turn(web)
    peaks = [turn.peak_pss_bytes for turn in two.turns]
    times = [row["cpu_microseconds_a_document"] for row in rows]
    grown = (peaks[1] - peaks[0]) / max(last.documents - webs[0].documents, 1)
    return Report(
        "dedup_scale",
        input_json(last, files=dedup.FILES, source="sentences of the sample web's articles"),
        {
            **side_json(main, startup, {"workers": 0, "minhash_dedup": dedup.DEFAULT}),
            "sizes": rows,
            "two_workers": {
                "startup": usage_json(two.startup),
                "turns": [usage_json(turn) for turn in two.turns],
                "peak_pss_bytes": dict(zip(("smallest", "largest"), peaks, strict=True)),
                "bytes_a_document": round(grown, 1),
            },
        },
        {},
        {"time_a_document_smallest_vs_largest": times[0] / times[-1]},
        {"time_a_document_slowest_size_vs_largest": max(times) / times[-1]},
        our_versions(),
    )
