"""From WARC files to deduplicated documents: ours against datatrove's local executor.

Both sides, with 2 workers: read the same 8 WARC files, extract with the same trafilatura under the
same settings, Gopher repetition, Gopher quality, C4's lines without the end mark rule, FineWeb,
MinHash 14 x 8 over 5-word shingles, write Parquet. Every threshold is datatrove's default, as in
FineWeb. The two differ in what a word is (spaCy's tokens there, DESIGN section 4 here; so the peer
is timed with our words too) and in which copy of a duplicate is kept. Ours also stores every metric
of every page and a sample of the dropped texts, hashes and commits its files; the peer does not. No
language step: the peer's needs a download.

Start-up is a run over 8 files of one small page: the peer starts a process that imports trafilatura
for every file, which is nothing for files of Common Crawl's size and would be much for these.

Once the engine `blocks` exists it is ours; the peer extracts with trafilatura, as it always does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.measure import MeasureError
from benchmarks.peers import LISTS, peer_environment, pins, python_of
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
from benchmarks.web import Web, cached_web, gold_pages, startup_pages
from stages.extract.engines import ENGINES

FILES = 8
WORKERS = 2
TRIAL_PAGES = 100
LEAST_PAGES = 300
SAME = {"favour_precision": False, "deduplicate": False, "fast": True}
"""trafilatura as ours calls it (include_comments is off on both sides)."""
DEFAULTS = {"favour_precision": True, "deduplicate": True}
"""trafilatura as datatrove calls it unless told otherwise; its fallbacks on."""
STEPS = """\
  - gopher_repetition: {}
  - gopher_quality: {}
  - c4_lines: {end_marks: [], min_words_per_line: 3, min_sentences: 5, max_page_chars: 1000000000}
  - fineweb_quality: {}
  - minhash_dedup: {ngram: 5, bands: 14, rows: 8, verify: none, closure: transitive}
  - write_documents: {format: parquet}
"""


def config(web: Web, engine: str, workdir: Path) -> str:
    """Our side as a configuration."""
    return (
        f"name: end_to_end\nseed: 1234\nworkdir: {json.dumps(str(workdir))}\nsteps:\n"
        f"  - id: web\n    read_warc: {{paths: [{json.dumps(web.pattern)}]}}\n"
        f"  - extract: {{engine: {engine}}}\n{STEPS}"
    )


def ours(engine: str, workers: int) -> Side:
    def command(web: Web, out: Path) -> list[str]:
        out.mkdir()
        path = out / "config.yaml"
        path.write_text(config(web, engine, out / "work"))
        return [sys.executable, "-m", "pipeline", "run", str(path), "--workers", str(workers),
                "--quiet"]  # fmt: skip

    return Side(f"ours ({engine}, {workers} workers)", command, our_urls)


def datatrove(extract: dict[str, bool], name: str, words: str = "spacy") -> Side:
    """The peer with these settings of its extractor, and spaCy's words or ours."""
    python, script = python_of("datatrove"), LISTS / "datatrove_pipeline.py"

    def command(web: Web, out: Path) -> list[str]:
        files = len(list(web.folder.glob("*.warc.gz")))
        settings = {"files": files, "workers": WORKERS, "extract": extract, "words": words}
        return [str(python), str(script), str(web.folder), str(out), json.dumps(settings)]

    return Side(name, command, peer_found, peer_environment())


def our_urls(out: Path) -> dict[str, Any]:
    files = sorted((out / "work" / "documents").rglob("*.parquet"))
    urls = [
        url for path in files for url in pq.read_table(path, columns=["url"])["url"].to_pylist()
    ]
    return {"urls": sorted(urls)}


def peer_found(out: Path) -> dict[str, Any]:
    """Kept URLs, and what each of the peer's steps counted."""
    urls: list[str] = []
    for path in sorted((out / "documents").rglob("*.parquet")):
        rows = pq.read_table(path, columns=["metadata"])["metadata"].to_pylist()
        urls += [row["url"] for row in rows]
    counts = {}
    for step in json.loads((out / "logs" / "clean" / "stats.json").read_text()):
        found = {
            name: value["total"] if isinstance(value, dict) else value
            for name, value in step["stats"].items()
            if name != "doc_len" and not name.startswith("line-")
        }
        counts[step["name"].split(": ", 1)[-1]] = found
    return {"urls": sorted(urls), "counts": counts}


def agreement(ours_kept: Iterable[str], peers_kept: Iterable[str]) -> dict[str, int]:
    """How many documents each side kept, and how many URLs both did."""
    mine, theirs = set(ours_kept), set(peers_kept)
    return {
        "ours": len(mine),
        "peer": len(theirs),
        "both": len(mine & theirs),
        "ours_only": len(mine - theirs),
        "peer_only": len(theirs - mine),
    }


def run(options: Options) -> Report:
    engines = list(ENGINES)
    empty = cached_web("startup", startup_pages(FILES), FILES)
    peer = datatrove(SAME, "datatrove")
    peer.start_up(empty)
    pages = gold_pages(options.data, options.pages)
    if options.quick and len(pages) > LEAST_PAGES:
        trial = cached_web("gold", pages[:TRIAL_PAGES], FILES)
        wanted = pages_for(peer, trial, options.minutes * 60, LEAST_PAGES)
        pages = pages[:wanted]
    web = cached_web("gold", pages, FILES)
    say(f"{web.documents} pages, {web.bytes / 1e6:.1f} MB in {FILES} files")

    main = ours(engines[0], WORKERS)
    main.start_up(empty)
    alternate(main, options.turns, peer, options.peer_turns, web)
    others = {
        **{f"ours_{name}": ours(name, WORKERS) for name in engines[1:]},
        "ours_in_process": ours(engines[0], 0),
    }
    for side in others.values():
        side.start_up(empty, warm=False)
        for _ in range(options.peer_turns):
            side.turn(web)
    peers = {
        "datatrove": peer,
        "datatrove_our_words": datatrove(SAME, "datatrove with our words", "ours"),
    }
    if not options.quick:
        peers["datatrove_defaults"] = datatrove(DEFAULTS, "datatrove, its own extract settings")
    for side in list(peers.values())[1:]:
        side.start_up(empty, warm=False)
        side.turn(web)
    return _report(options, web, engines, main, others, peers)


def _report(
    options: Options,
    web: Web,
    engines: list[str],
    main: Side,
    others: dict[str, Side],
    peers: dict[str, Side],
) -> Report:
    peer = peers["datatrove"]

    def against(side: Side, other: Side, what: str = "cpu_seconds") -> float:
        return ratio(other.turns, other.startup, side.turns, side.startup, what)

    other_ratios = {
        "ours_vs_datatrove_memory": plain_ratio(peer.turns, main.turns, "peak_pss_bytes"),
        "ours_vs_datatrove_cpu_with_startup": plain_ratio(peer.turns, main.turns, "cpu_seconds"),
    }
    wanted: dict[str, tuple[Side, Side, str]] = {
        "ours_vs_datatrove_wall": (main, peer, "wall_seconds"),
        **{
            f"{name}_vs_datatrove_cpu": (side, peer, "cpu_seconds") for name, side in others.items()
        },
    }
    for name, other in list(peers.items())[1:]:
        wanted[f"ours_vs_{name}_cpu"] = (main, other, "cpu_seconds")
    for name, (side, other, what) in wanted.items():
        try:
            other_ratios[name] = against(side, other, what)
        except MeasureError as error:  # a side note must not cost the result
            say(f"{name} left out: {error}")
    in_process = others["ours_in_process"].found["urls"]
    if in_process != main.found["urls"]:
        say("WARNING: 0 workers and 2 workers kept different documents")
    settings = {"workers": WORKERS, "engine": engines[0], "steps": STEPS.splitlines()}
    shown = ("datatrove", "trafilatura", "lxml", "spacy")
    theirs = {f"peer {k}": v for k, v in pins("datatrove").items() if k in shown}
    return Report(
        "end_to_end",
        input_json(web, files=FILES, source="extraction_gold without wcxb-large"),
        {
            **_side(main, settings),
            "kept": {
                name: agreement(main.found["urls"], side.found["urls"])
                for name, side in peers.items()
            },
            "others": {name: _side(side, {}) for name, side in others.items()},
        },
        {
            name: _side(
                side,
                {
                    "executor": f"LocalPipelineExecutor, {WORKERS} workers, forkserver",
                    "trafilatura": DEFAULTS if name == "datatrove_defaults" else SAME,
                    "timeout": "60 s a page (its default of 1 s drops pages on a busy machine)",
                    "words": "ours" if name == "datatrove_our_words" else "spaCy tokens",
                    "filters": "defaults; C4QualityFilter(filter_no_terminal_punct=False)",
                    "between_and_out": "Parquet, its defaults",
                },
                counts=side.found["counts"],
                kept=len(side.found["urls"]),
            )
            for name, side in peers.items()
        },
        {"ours_vs_datatrove_cpu": against(main, peer)},
        other_ratios,
        {**our_versions(), **theirs},
    )


def _side(side: Side, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return side_json(side.turns, side.startup, settings, **more)
