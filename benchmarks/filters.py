"""Gopher repetition, Gopher quality, C4 and FineWeb: ours against datatrove's, verdict by verdict.

Texts are real: the wanted texts of `extraction_gold` and what our extractor makes of its pages,
`text` and `quality`; at most 10,000, in the order of a hash, so that the first N are a fair sample.
Every side is one process that runs the same loop over them (`peers/filter_texts.py`).

Speed is the CPU seconds of the calls alone: reading, start-up and compilation are left out of both
sides. The peer runs as a chain, so a text that it drops costs it nothing more; ours measure every
text with all four.

Decisions are compared with `counting: datatrove` and the peer given our words and sentences, every
filter on every text as it came; a verdict is the reason or that there is none (`decisions`).
`benchmarks verdicts` does so on more texts, and with Dolma and DCLM too.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.decisions import compared_with_datatrove
from benchmarks.measure import MeasureError
from benchmarks.own_filter import own_filter_ratio
from benchmarks.peers import LISTS, peer_environment, pins, python_of
from benchmarks.report import ROOT, Options, Report, input_json, our_versions, side_json
from benchmarks.turns import Side, say
from benchmarks.web import FOLDER, Web

SCRIPT = LISTS / "filter_texts.py"
OURS, PEER, SAME_WORDS = "ours", "datatrove", "datatrove_our_words"
FILTERS = ("gopher_repetition", "gopher_quality", "c4_lines", "fineweb_quality")
MOST_TEXTS = 10_000
QUICK = 4
"""With --quick one text in four."""
SPACY_TEXTS = 300
"""So many texts are enough of the peer with spaCy's words: it takes a minute for 600 of them."""


# --- Input ---------------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _all_texts(data: Path) -> Iterator[str]:
    from stages.charset import to_utf8
    from stages.extract.engines import load_engine

    extract = load_engine("blocks")
    for path in sorted((data / "extraction_gold").glob("*.jsonl.gz")):
        for row in _rows(path):
            yield row.get("gold_text") or ""
            yield extract(to_utf8(row["html"].encode("utf-8", "replace"))[0], row["url"] or "").text
    for folder in ("text", "quality"):
        for path in sorted((data / folder).glob("*.jsonl.gz")):
            for row in _rows(path):
                yield row["text"]


def texts(data: Path, most: int = MOST_TEXTS) -> list[str]:
    """The texts, each once, none blank. Raises MeasureError."""
    found = {text.encode("utf-8", "replace").decode(): None for text in _all_texts(data)}
    ordered = sorted(
        (text for text in found if text.strip()),
        key=lambda text: hashlib.sha256(text.encode()).digest(),
    )
    if not ordered:
        raise MeasureError(f"no texts under {data}. Give the folder with --data.")
    return ordered[:most]


def written(name: str, found: Sequence[str], root: Path = FOLDER) -> Web:
    """The texts as `filter_texts.py` reads them."""
    data = "".join(json.dumps(text) + "\n" for text in found).encode()
    digest = hashlib.sha256(data).hexdigest()
    folder = root / f"{name}-filters-{digest[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "texts.jsonl").write_bytes(data)
    return Web(folder, len(found), sum(len(text.encode()) for text in found), digest)


# --- Sides ---------------------------------------------------------------------------------------


def side(name: str) -> Side:
    python = Path(sys.executable) if name == OURS else python_of("datatrove")

    def command(web: Web, out: Path) -> list[str]:
        return [str(python), str(SCRIPT), name, str(web.folder / "texts.jsonl"), str(out)]

    def look(out: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((out / "about.json").read_text())
        return found

    return Side(name, command, look, {**peer_environment(), "PYTHONPATH": str(ROOT)})


class Timed:
    """A side and the CPU seconds of its filters, turn by turn."""

    def __init__(self, name: str) -> None:
        self.side = side(name)
        self.seconds: list[dict[str, float]] = []

    def turn(self, web: Web) -> None:
        self.side.turn(web)
        self.seconds.append(self.side.found["seconds"])

    def totals(self) -> list[float]:
        return [sum(turn.values()) for turn in self.seconds]

    def by_filter(self) -> dict[str, float]:
        return {
            name: round(statistics.median(turn[name] for turn in self.seconds), 3)
            for name in FILTERS
        }


def ratio(peer: Timed, ours: Timed) -> float:
    """Median over turns of peer / ours; the last turn of the side with fewer stands in."""
    above, below = peer.totals(), ours.totals()
    if min(below) <= 0:
        raise MeasureError("a turn took no CPU time: the input is too small to say anything")
    count = max(len(above), len(below))
    pairs = [(above[min(i, len(above) - 1)], below[min(i, len(below) - 1)]) for i in range(count)]
    return statistics.median(a / b for a, b in pairs)


# --- Decisions -----------------------------------------------------------------------------------


def agreement(ours: Timed, peer: Timed) -> dict[str, Any]:
    """The verdicts of the whole chain."""
    mine, theirs = ours.side.found["chain"], peer.side.found["chain"]
    pairs = list(zip(mine, theirs, strict=True))
    return {
        "texts": len(pairs),
        "equal_ratio": round(sum(a == b for a, b in pairs) / max(len(pairs), 1), 6),
        "same_fate_ratio": round(
            sum((a is None) == (b is None) for a, b in pairs) / max(len(pairs), 1), 6
        ),
        "kept_by_ours": sum(a is None for a in mine),
        "kept_by_peer": sum(b is None for b in theirs),
        "kept_by_both": sum(a is None and b is None for a, b in pairs),
    }


# --- The run -------------------------------------------------------------------------------------


def _shown(one: Timed, web: Web, **more: Any) -> dict[str, Any]:
    spent = statistics.median(one.totals())
    return side_json(
        one.side.turns,
        one.side.startup,
        {"engine": one.side.name, "processes": 1},
        filter_cpu_seconds=one.by_filter(),
        filter_cpu_turns=[round(total, 3) for total in one.totals()],
        mb_per_cpu_second=round(web.bytes / 1e6 / max(spent, 1e-9), 3),
        **more,
    )


def run(options: Options) -> Report:
    found = texts(options.data)
    found = found[: options.pages or (len(found) // QUICK if options.quick else len(found))]
    empty, web = written("startup", found[:1]), written("real", found)
    few = written("few", found[:SPACY_TEXTS])
    say(f"{web.documents} texts, {web.bytes / 1e6:.1f} MB")
    ours, same = Timed(OURS), Timed(SAME_WORDS)
    ours_few, peer = Timed(OURS), Timed(PEER)
    for one in (ours, same, ours_few, peer):
        one.side.start_up(empty, warm=one is not ours_few)
    for at in range(options.turns):
        ours.turn(web)
        ours_few.turn(few)
        if at < options.peer_turns:
            peer.turn(few)
        if at == 0:  # a few minutes: its speed is a side note
            same.turn(web)
    decisions = compared_with_datatrove(
        found, ours.side.found["verdicts"], same.side.found["verdicts"]
    )
    for name, one in decisions.items():
        say(f"{name}: {one['equal']} of {one['texts']} verdicts equal {one['causes'] or ''}")
    shown = ("datatrove", "spacy", "numpy")
    return Report(
        "filters",
        input_json(web, source="extraction_gold (wanted and extracted), text, quality"),
        _shown(ours, web, decisions=decisions),
        {
            PEER: _shown(peer, few, documents=few.documents, chain=agreement(ours_few, peer)),
            SAME_WORDS: _shown(same, web, chain=agreement(ours, same)),
        },
        {"ours_vs_datatrove_four_filters": ratio(peer, ours_few)},
        {
            "ours_vs_datatrove_our_words": ratio(same, ours),
            "own_filter_vs_plain_python": own_filter_ratio(found),
        },
        {
            **our_versions(),
            **{f"peer {name}": at for name, at in pins("datatrove").items() if name in shown},
        },
    )
