"""Reading WARC files: ours against fastwarc iterating with `parse_http` and every body read.

Both sides read the same files in this process, in turn; CPU seconds of the best turn of each, since
what disturbs a turn of some tenths of a second only adds. Ours is what `read_warc` does up to the
page: records proved, damage looked for, headers of HTTP read, chunks and content encodings undone;
of requests, metadata and warcinfo it reads no blocks. The charset is timed apart, and so is the
whole source with its Arrow batches.

Pages are those of `extraction_gold` in one gzip file, a member each as in Common Crawl. The crawled
files of shared/data/warc follow: small, with many requests and images, gzip and plain. Nothing but
its digest vouches for a plain block, so ours checks it; `plain_verifying` is fastwarc doing so.
"""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastwarc.warc import ArchiveIterator

from benchmarks.measure import MeasureError, Usage
from benchmarks.report import Options, Report, our_versions, side_json
from benchmarks.turns import say
from benchmarks.web import cached_web, gold_pages
from pipeline.stage import Partition, Side
from stages.archives.engines import Wanted
from stages.archives.http import decoded_body, response_of
from stages.archives.records import Lost, Record
from stages.archives.walk import walk
from stages.charset import decode_page
from stages.read_warc import ReadWarc

QUICK_PAGES = 300
MAX_BYTES = 20_000_000
NO_STARTUP = Usage(0.0, 0.0, 0, 0, 0, "process_time", 0)
CRAWLED = {
    "crawled": (
        "netarchivesuite__jwat/IAH-20080430204825-00000-blackbook.warc.gz",
        "oduwsdl__ipwb/sample-1.warc.gz",
        "ukwa__webarchive-discovery/flashfrozen-jwat-recompressed.warc.gz",
        "allenai__dolma/sample-0000.warc.gz",
    ),
    "plain": ("chatnoir-eu__chatnoir-resiliparse/warcfile.warc",),
}
"""Set -> files of shared/data/warc: the largest that both readers read whole."""


def by_fastwarc(paths: Sequence[Path], verify_digests: bool = False) -> int:
    """Bytes of all bodies; those of records whose block digest holds, with `verify_digests`."""
    size = 0
    for path in paths:
        with path.open("rb") as stream:
            for record in ArchiveIterator(
                stream, parse_http=True, verify_digests=verify_digests, fsspec_args=False
            ):
                size += len(record.reader.read())
    return size


def bodies(paths: Sequence[Path]) -> list[tuple[bytes, str]]:
    """(body, content type) of every response."""
    found = []
    for path in paths:
        with path.open("rb") as stream:
            for record in walk(stream, Wanted(MAX_BYTES)):
                if isinstance(record, Record) and record.body is not None:
                    response = response_of(record.head, record.body)
                    content_type = response.get(b"content-type")
                    found.append((decoded_body(response, MAX_BYTES), content_type))
    return found


def by_ours(paths: Sequence[Path]) -> int:
    """Bytes of all bodies that documents may be made of."""
    size = 0
    for path in paths:
        with path.open("rb") as stream:
            for record in walk(stream, Wanted(MAX_BYTES)):
                if isinstance(record, Lost):
                    raise MeasureError(f"{path} is damaged at {record.offset}: {record.reason}")
                if record.body is not None:
                    size += len(decoded_body(response_of(record.head, record.body), MAX_BYTES))
    return size


def as_source(paths: Sequence[Path]) -> int:
    """Documents of the whole source, batches included."""
    count = 0
    for path in paths:
        partition = Partition("web", str(path), path.name, path.stat().st_size, "")
        with path.open("rb") as stream:
            for batch in ReadWarc((str(path),)).read(partition, stream, Side("web", 1)):
                count += batch.documents.num_rows if batch.documents is not None else 0
    return count


def in_turn(work: Mapping[str, Callable[[], object]], turns: int) -> dict[str, list[Usage]]:
    """CPU time of each, one after the other in every turn, after one that is not counted."""
    found: dict[str, list[Usage]] = {name: [] for name in work}
    for number in range(turns + 1):
        for name, call in work.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            spent, passed = time.process_time() - cpu, time.perf_counter() - wall
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            if number:
                found[name].append(Usage(spent, passed, peak, peak, peak, "process_time", 0))
    return found


def best(turns: Sequence[Usage]) -> float:
    return min(turn.cpu_seconds for turn in turns)


def measured(paths: Sequence[Path], turns: int) -> dict[str, list[Usage]]:
    """Turns of both sides, of the charset alone and of the whole source."""
    pages = bodies(paths)

    def charset() -> None:
        for body, content_type in pages:
            decode_page(body, content_type)

    work: dict[str, Callable[[], object]] = {
        "fastwarc": lambda: by_fastwarc(paths),
        "fastwarc_verifying": lambda: by_fastwarc(paths, verify_digests=True),
        "ours": lambda: by_ours(paths),
        "charset": charset,
        "source": lambda: as_source(paths),
    }
    return in_turn(work, turns)


def run(options: Options) -> Report:
    limit = options.pages or (QUICK_PAGES if options.quick else None)
    web = cached_web("warc", gold_pages(options.data, limit), 1)
    sets = {"gold": sorted(web.folder.glob("*.warc.gz"))}
    for name, files in CRAWLED.items():
        sets[name] = [options.data / "warc" / file for file in files]
        if missing := [path for path in sets[name] if not path.exists()]:
            raise MeasureError(f"no file {missing[0]}. Give the folder with --data.")
    turns = 10 * options.turns  # a turn takes a tenth of a second
    others: dict[str, float] = {}
    figures: dict[str, Any] = {}
    found: dict[str, list[Usage]] = {}
    for name, paths in sets.items():
        times = measured(paths, turns)
        found = found or times
        size = sum(path.stat().st_size for path in paths)
        figures[name] = {
            "files": len(paths), "stored_bytes": size, "bodies": len(bodies(paths)),
            **{f"{side}_cpu_seconds": round(best(times[side]), 4) for side in times},
        }  # fmt: skip
        if name != "gold":
            others[f"ours_vs_fastwarc_{name}"] = best(times["fastwarc"]) / best(times["ours"])
        if name == "plain":
            verifying = best(times["fastwarc_verifying"])
            others["ours_vs_fastwarc_plain_verifying"] = verifying / best(times["ours"])
        others[f"fastwarc_vs_charset_{name}"] = best(times["fastwarc"]) / best(times["charset"])
        say(f"{name}: {figures[name]}")
    settings = {"processes": 1, "turns": turns, "best_of_turns": True}
    ours = side_json(found["ours"], NO_STARTUP, settings, sets=figures)
    peers = {"fastwarc": side_json(found["fastwarc"], NO_STARTUP, settings)}
    ratios = {"ours_vs_fastwarc": best(found["fastwarc"]) / best(found["ours"])}
    digest = hashlib.sha256(web.sha256.encode()).hexdigest()
    size_of = {"documents": web.documents, "bytes": web.bytes, "sha256": digest}
    return Report("warc", size_of, ours, peers, ratios, others, our_versions())
