"""Tokens: our stage `tokenize` against the libraries that it may use, and the ids of all compared.

Each side is one process (`peers/encode_texts.py`). Speed is the CPU seconds of the calls alone:
reading and start-up are left out. Of ours start-up is the choice of the library with its check
(`choice_cpu_seconds`: of the first process of a machine, and of a later one, which finds its
verdict) and the comparison of the first 200 kB (`sample_cpu_seconds`). The rest is the whole stage
from Arrow to Arrow, with its check of one document in N; of the others it is the call that makes
ids of Python strings. Every pattern starts with an empty cache of words, as a worker does.

`tokens_shards` adds whole runs to it. Without --quick the ids of all three patterns are compared on
every text of `text` and `langid` and on 100,000 hostile strings.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import tokens_input, tokens_shards
from benchmarks.bulk import bulk_texts
from benchmarks.measure import MeasureError
from benchmarks.peers import LISTS, peer_environment
from benchmarks.report import ROOT, Options, Report, input_json, our_versions, side_json
from benchmarks.tokens_input import PATTERNS
from benchmarks.turns import Side, say
from benchmarks.web import Web

SCRIPT = LISTS / "encode_texts.py"
OURS, TOKENIZERS, TIKTOKEN = "ours", "tokenizers", "tiktoken"
MAIN = "llama3"
WHOLE_BYTES, QUICK_BYTES = 200_000_000, 100_000_000
"""Of the bulk texts: a worker encodes GBs, so the first pieces should not count much. With --quick
the main pattern alone is measured and compared."""


class Encoding:
    """A side, and what it said turn by turn."""

    def __init__(self, name: str) -> None:
        self.patterns: Sequence[str] = PATTERNS
        self.seconds: dict[str, list[float]] = {pattern: [] for pattern in PATTERNS}
        self.about: dict[str, Any] = {}
        self.digests: dict[str, Any] = {}
        self.first: dict[str, Any] = {}
        """What the first process of all said."""
        self.cache = tempfile.TemporaryDirectory(prefix="tokenmill-benchmark-")
        environment = {
            **peer_environment(), "PYTHONPATH": str(ROOT), "TOKENMILL_CACHE": self.cache.name,
        }  # fmt: skip
        self.side = Side(name, self._command, self._look, environment)

    def _command(self, web: Web, out: Path) -> Sequence[str]:
        folder = str(web.folder)
        return [sys.executable, str(SCRIPT), self.side.name, folder, str(out), *self.patterns]

    def _look(self, out: Path) -> dict[str, Any]:
        self.digests = {name: np.load(out / f"{name}.npy") for name in self.patterns}
        found: dict[str, Any] = json.loads((out / "about.json").read_text())
        self.first = self.first or found
        return found

    def turn(self, web: Web, patterns: Sequence[str]) -> None:
        self.patterns = patterns
        self.side.turn(web)
        self.about.update(self.side.found)
        for pattern in patterns:
            self.seconds[pattern].append(self.side.found[pattern]["seconds"])

    def compared(self, web: Web, patterns: Sequence[str]) -> Mapping[str, Any]:
        """Digests of the ids of every text, by pattern; no turn."""
        self.patterns = patterns
        self.side.trial(web)
        return dict(self.digests)


def ratio(peer: Encoding, ours: Encoding, pattern: str) -> float:
    """Median over turns of peer / ours; the last turn of the side with fewer stands in."""
    above, below = peer.seconds[pattern], ours.seconds[pattern]
    if min(below) <= 0:
        raise MeasureError("a turn took no CPU time: the input is too small to say anything")
    count = max(len(above), len(below))
    return statistics.median(
        above[min(at, len(above) - 1)] / below[min(at, len(below) - 1)] for at in range(count)
    )


def equality(
    sides: Sequence[Encoding], web: Web, patterns: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Pattern and set -> texts, and those whose ids differ from those of `tokenizers`."""
    of = np.array(pq.read_table(web.folder / "texts.parquet", columns=["set"])["set"].to_pylist())
    digests = {one.side.name: one.compared(web, patterns) for one in sides}
    found: dict[str, dict[str, Any]] = {}
    for pattern, wanted in digests[TOKENIZERS].items():
        for name in dict.fromkeys(of.tolist()):
            here = of == name
            differ = {
                side: int(np.count_nonzero(ids[pattern][here] != wanted[here]))
                for side, ids in digests.items()
                if side != TOKENIZERS
            }
            found[f"{pattern}, {name}"] = {"texts": int(here.sum()), "differ": differ}
            say(f"{pattern}, {name}: {here.sum():,} texts, other ids: {differ}")
    return found


def _shown(one: Encoding, web: Web, **more: Any) -> dict[str, Any]:
    seconds = {name: statistics.median(of) for name, of in one.seconds.items() if of}
    return side_json(
        one.side.turns,
        one.side.startup,
        {"processes": 1, "libraries": {name: at["library"] for name, at in one.about.items()}},
        encode_cpu_seconds={name: round(of, 3) for name, of in seconds.items()},
        encode_cpu_turns={n: [round(one, 3) for one in of] for n, of in one.seconds.items()},
        mb_per_cpu_second={name: round(web.bytes / 1e6 / of, 2) for name, of in seconds.items()},
        **more,
    )


def _rounded(about: Mapping[str, Any], name: str) -> dict[str, float]:
    return {pattern: round(found[name], 3) for pattern, found in about.items()}


def encoding_part(options: Options) -> Report:
    """Encoding alone."""
    trained = tokens_input.tokenizers()
    rows = tokens_input.bulk(QUICK_BYTES if options.quick else WHOLE_BYTES)
    web = tokens_input.written("bulk", rows[: options.pages], trained)
    empty = tokens_input.written("startup", rows[:1], trained)
    same = tokens_input.written("compared", tokens_input.compared(options.data), trained)
    say(f"{web.documents:,} texts, {web.bytes / 1e6:.1f} MB")
    known = (MAIN,) if options.quick else PATTERNS
    ours, slow, middle = (Encoding(name) for name in (OURS, TOKENIZERS, TIKTOKEN))
    sides = (ours, slow, middle)
    for one in sides:
        one.side.start_up(empty)
    for at in range(options.turns):
        # The main pattern in every turn, the others once: they are side notes.
        patterns = known if at == 0 else (MAIN,)
        ours.turn(web, known)
        if at < options.peer_turns:
            slow.turn(web, patterns)
            middle.turn(web, patterns)
    equal = equality(sides, same, known)
    start = {
        "choice_cpu_seconds_first_process": _rounded(ours.first, "choice_seconds"),
        "choice_cpu_seconds": _rounded(ours.about, "choice_seconds"),
        "sample_cpu_seconds": _rounded(ours.about, "sample_seconds"),
    }
    say(f"start-up of ours: {start}")
    return Report(
        "tokens",
        input_json(web, source=f"the first texts of {bulk_texts().parent.name}"),
        _shown(ours, web, equality=equal, **start),
        {TOKENIZERS: _shown(slow, web), TIKTOKEN: _shown(middle, web)},
        {"ours_vs_tokenizers_encode": ratio(slow, ours, MAIN)},
        {
            f"ours_vs_{peer.side.name}_encode_{pattern}": ratio(peer, ours, pattern)
            for peer in (slow, middle)
            for pattern in known
            if (peer, pattern) != (slow, MAIN)
        },
        our_versions(),
    )


def run(options: Options) -> Report:
    """All parts in one report: `encoding_part` gives its frame, further parts add to it."""
    report = encoding_part(options)
    for part in PARTS:
        extra, peers, ratios = part(options)
        report = replace(
            report,
            ours={**report.ours, **extra},
            peers={**report.peers, **peers},
            other_ratios={**report.other_ratios, **ratios},
        )
    return report


PARTS: Sequence[Any] = (tokens_shards.part,)
"""Functions of the options that give (figures of ours, peers, other ratios)."""
