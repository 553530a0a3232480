"""`python -m stages.extract predict GOLD --engine E --out PREDS.jsonl.gz`: text of every gold page.

Writes {"id", "text"} a line in the order of GOLD; equal texts give equal bytes. The way of a page
is the pipeline's: bytes, charset (`stages.charset`, the reader's part), engine. Two speeds are
printed, of the engine alone and of both, in pages a second of this process's CPU time. Start-up
(imports, models, compiling) is paid on a page of our own before the first and stated apart.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from stages.charset import to_utf8
from stages.extract.gold import Row, gold_files, page_bytes, read_gold
from stages.extract.result import Extracted

Engine = Callable[[bytes, str | None], Extracted]
"""(page in UTF-8, URL) -> its text."""

ENGINES = ("blocks", "trafilatura", "resiliparse")
LEVEL = 6
_WARM_UP = (
    b"<!doctype html><html lang=en><head><meta charset=windows-1252><title>A page</title></head>"
    b"<body><nav><ul><li><a href=/>Start</a><li><a href=/a>About</a></ul></nav><article><h1>A page"
    b"</h1><p>Before the first page is timed, an engine loads its model, and its kernels are "
    b"compiled or read from disk. This page pays for that, so that no page of the input does.</p>"
    b"<ul><li>One entry of a list &amp; an entity</li><li>Another</li></ul><pre>code = 1</pre>"
    b"<table><tr><td>A cell</td><td>\x93Quoted\x94</td></tr></table></article></body></html>"
)
"""A page of our own, in windows-1252 so that the decoder is loaded too."""


@dataclass
class Speed:
    """What the pages took, in CPU seconds of this process."""

    start_up: float = 0.0
    charset: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    empty: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    """Error of the engine -> pages; their text is empty, as in the stage."""

    def lines(self) -> Iterator[str]:
        """The figures for people."""
        both = [a + b for a, b in zip(self.charset, self.engine, strict=True)]
        pages = len(both)
        yield f"{pages:,} pages, {self.empty} without text, {sum(self.failed.values())} failed"
        for error, count in sorted(self.failed.items()):
            yield f"  failed with {error}: {count}"
        if pages:
            yield f"engine alone:  {_rate(self.engine):8.1f} pages/s of CPU time"
            yield f"with charset:  {_rate(both):8.1f} pages/s of CPU time"
            yield (
                f"a page: median {statistics.median(both) * 1e3:.2f} ms, "
                f"slowest {max(both) * 1e3:.1f} ms"
            )
        yield f"start-up, compiling included: {self.start_up:.2f} s"


def _rate(seconds: list[float]) -> float:
    return len(seconds) / max(sum(seconds), 1e-9)


def extracted(rows: Iterable[Row], load: Callable[[], Engine], speed: Speed) -> Iterator[str]:
    """The text of each row, in order; `speed` is filled on the way."""
    clock = time.process_time
    began = clock()
    engine = load()
    engine(to_utf8(_WARM_UP)[0], None)
    speed.start_up = clock() - began
    for row in rows:
        page, url = page_bytes(row), row.get("url")
        began = clock()
        html, _ = to_utf8(page)
        decoded = clock()
        text = ""
        try:
            text = engine(html, url).text
        except MemoryError:
            raise
        except Exception as error:
            # A library's error on a page is that page's fate, as in the stage; counted and shown.
            kind = type(error).__name__
            speed.failed[kind] = speed.failed.get(kind, 0) + 1
        speed.engine.append(clock() - decoded)
        speed.charset.append(decoded - began)
        speed.empty += not text.strip()
        yield text


@contextlib.contextmanager
def prediction_lines(path: Path) -> Iterator[Callable[[str, str], None]]:
    """A function that appends (id, text) to a file that is there only once it is whole."""
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.ExitStack() as stack:
            raw: Any = stack.enter_context(part.open("wb"))
            if path.name.endswith(".gz"):
                # No name and no time in the header: equal texts must give equal bytes.
                raw = stack.enter_context(gzip.GzipFile("", "wb", LEVEL, raw, mtime=0))
            out = stack.enter_context(io.TextIOWrapper(raw, "ascii", newline="\n"))

            def add(number: str, text: str) -> None:
                # ASCII, as a text could hold lone surrogates, which no encoding can write.
                out.write(json.dumps({"id": number, "text": text}) + "\n")

            yield add
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def predict(gold: Path, out: Path, load: Callable[[], Engine]) -> Speed:
    """Write the texts of all gold pages. Raises InputError."""
    if not out.name.endswith((".jsonl", ".jsonl.gz")):
        raise InputError(f"--out {out}: expected a name that ends in .jsonl or .jsonl.gz")
    files = gold_files(gold)
    speed = Speed()
    ids: list[str] = []

    def rows() -> Iterator[Row]:
        for row in read_gold(files):
            ids.append(row["id"])
            yield row

    with prediction_lines(out) as add:
        for text in extracted(rows(), load, speed):
            add(ids[-1], text)
    return speed


def add_predict_command(commands: Any) -> None:
    """`predict` and its options, into the subcommands of `python -m stages.extract`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "predict", help="text of every gold page", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("gold", type=Path, metavar="GOLD", help="a .jsonl(.gz) file, or a folder")
    parser.add_argument("--engine", choices=ENGINES, default="blocks")
    parser.add_argument("--out", type=Path, required=True, metavar="PREDS.jsonl.gz")
    parser.add_argument(
        "--favor", choices=("none", "precision", "recall"), help="trafilatura only (default none)"
    )
    parser.add_argument("--comments", choices=("drop", "keep"), help="default drop")
    parser.add_argument("--related", choices=("drop", "keep"), help="blocks only (default drop)")
    parser.add_argument(
        "--fallback", action="store_true", help="trafilatura with its fallbacks, not `fast`"
    )
    parser.set_defaults(run=_run)


def engine_options(args: argparse.Namespace) -> Mapping[str, Any]:
    """Only what was asked for: an engine's own defaults hold otherwise."""
    found: dict[str, Any] = {}
    for name in ("favor", "comments", "related"):
        if (value := getattr(args, name)) is not None:
            found[name] = value
    if args.fallback:
        found["fast"] = False
    return found


def _run(args: argparse.Namespace) -> int:
    from stages.extract.engines import load_engine

    options = engine_options(args)
    speed = predict(args.gold, args.out, lambda: load_engine(args.engine, **options))
    for line in speed.lines():
        print(line)
    print(f"wrote {args.out}")
    return 0
