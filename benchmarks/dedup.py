"""MinHash dedup: ours against datatrove's, signatures alone and from texts to kept documents.

Texts are those of 108,000 real pages (`benchmarks.bulk`). `signatures` is one process a side that
makes the signatures of the same texts; the CPU seconds of the calls alone count. `whole` is both
command lines with 2 workers: read the same 8 Parquet files, 14 x 8 over 5-word shingles, write the
kept documents to Parquet; start-up (8 files of one text) is left out.

As datatrove does, our side of the ratio removes all but one document of a cluster without looking
(`verify: none, closure: transitive`); our default, which removes only what verifies against a kept
document, is run beside it. The two differ in what a word is (spaCy's English tokens there), so the
peer is timed with our words too; in hash functions, so pairs near the threshold fall differently;
in short texts, which ours compares; and in which copy is kept.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bulk import SCHEMA, bulk_texts, packages_of, spread
from benchmarks.measure import MeasureError
from benchmarks.peers import LISTS, peer_environment, pins, python_of
from benchmarks.report import (
    ROOT,
    Options,
    Report,
    input_json,
    our_versions,
    plain_ratio,
    ratio,
    side_json,
)
from benchmarks.turns import Side, pages_for, say
from benchmarks.web import Web

FILES, WORKERS = 8, 2
TRIAL_TEXTS = 500
LEAST_TEXTS = 1_000
SIGNED = 4_000
"""So many texts are enough for the peer's signatures: it takes seconds for a hundred of them."""
TRANSITIVE = "{verify: none, closure: transitive}"
DEFAULT = "{}"


# --- Sides ---------------------------------------------------------------------------------------


def ours(knobs: str, workers: int = WORKERS) -> Side:
    def command(web: Web, out: Path) -> list[str]:
        out.mkdir()
        path, pattern = out / "config.yaml", str(web.folder / "*.parquet")
        path.write_text(
            f"name: dedup\nseed: 1234\nworkdir: {json.dumps(str(out / 'work'))}\nsteps:\n"
            f"  - id: texts\n    read_parquet: {{paths: [{json.dumps(pattern)}], id: id}}\n"
            f"  - minhash_dedup: {knobs}\n  - write_documents: {{format: parquet}}\n"
        )
        return [sys.executable, "-m", "pipeline", "run", str(path), "--workers", str(workers),
                "--quiet"]  # fmt: skip

    return Side(f"ours {knobs}, {workers} workers", command, our_texts)


def datatrove(words: str) -> Side:
    python, script = python_of("datatrove"), LISTS / "datatrove_minhash.py"

    def command(web: Web, out: Path) -> list[str]:
        settings = {"files": FILES, "workers": WORKERS, "words": words}
        return [str(python), str(script), str(web.folder), str(out), json.dumps(settings)]

    return Side(f"datatrove ({words} words)", command, peer_texts, peer_environment())


def signing(engine: str) -> Side:
    python = Path(sys.executable) if engine == "ours" else python_of("datatrove")

    def command(web: Web, out: Path) -> list[str]:
        return [str(python), str(LISTS / "sign_texts.py"), engine, str(web.folder), str(out)]

    def look(out: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((out / "about.json").read_text())
        return found

    return Side(
        f"signatures, {engine}", command, look, {**peer_environment(), "PYTHONPATH": str(ROOT)}
    )


def our_texts(out: Path) -> list[str]:
    return _column(sorted((out / "work" / "documents").rglob("*.parquet")), "text")


def peer_texts(out: Path) -> list[str]:
    return _column(sorted((out / "documents").rglob("*.parquet")), "text")


def _column(paths: list[Path], name: str) -> list[str]:
    return [v for path in paths for v in pq.read_table(path, columns=[name])[name].to_pylist()]


# --- Figures -------------------------------------------------------------------------------------


class Signed:
    """A side that signs, and what its turns told."""

    def __init__(self, engine: str) -> None:
        self.side = signing(engine)
        self.told: list[dict[str, float]] = []

    def turn(self, web: Web) -> None:
        self.side.turn(web)
        self.told.append(self.side.found)

    def rates(self) -> list[float]:
        """MB a CPU second, turn by turn."""
        return [told["bytes"] / 1e6 / told["seconds"] for told in self.told]

    def to_json(self) -> dict[str, Any]:
        return {
            "mb_per_cpu_second": round(statistics.median(self.rates()), 3),
            "turns_mb_per_cpu_second": [round(rate, 3) for rate in self.rates()],
            "texts": self.told[-1]["texts"],
            "bytes": self.told[-1]["bytes"],
            "signatures": self.told[-1]["signatures"],
        }


def rate_ratio(ours: Signed, peer: Signed) -> float:
    """Median over turns of the two sides' MB/s; a side's last turn stands in for missing ones."""
    above, below = ours.rates(), peer.rates()
    count = max(len(above), len(below))
    pairs = [(above[min(i, len(above) - 1)], below[min(i, len(below) - 1)]) for i in range(count)]
    return statistics.median(a / b for a, b in pairs)


def agreement(mine: list[str], theirs: list[str], texts: int) -> dict[str, int]:
    """How many documents each side kept; texts (not copies) that both, or one alone, kept."""
    ours, peers = set(mine), set(theirs)
    return {
        "documents": texts, "ours": len(mine), "peer": len(theirs),
        "texts_of_both": len(ours & peers), "texts_of_ours_only": len(ours - peers),
        "texts_of_peer_only": len(peers - ours),
    }  # fmt: skip


# --- The run -------------------------------------------------------------------------------------


def start_up_input() -> Web:
    rows = [(f"startup/{n}", " ".join(f"word{n}x{i}" for i in range(20))) for n in range(FILES)]
    ids, texts = zip(*rows, strict=True)
    table = pa.table([pa.array(ids), pa.array(texts, pa.large_string())], schema=SCHEMA)
    return spread(table, "startup-dedup", FILES)


def wanted_texts(peer: Side, rows: pa.Table, options: Options) -> int:
    """All texts, or with --quick as many as the peer does in its minutes."""
    if options.pages or not options.quick:
        return options.pages or int(rows.num_rows)
    trial = spread(rows.slice(0, TRIAL_TEXTS), "dedup", FILES)
    count = pages_for(peer, trial, options.minutes * 60, LEAST_TEXTS)
    return min(count, int(rows.num_rows))


def run(options: Options) -> Report:
    path = bulk_texts()
    rows = pq.read_table(path)
    empty, peer = start_up_input(), datatrove("spacy")
    peer.start_up(empty)
    rows = rows.slice(0, wanted_texts(peer, rows, options))
    web = spread(rows, "dedup", FILES)
    few = spread(rows.slice(0, SIGNED), "dedup", FILES)
    say(f"{web.documents:,} texts, {web.bytes / 1e6:.1f} MB")

    signs = {name: Signed(name) for name in ("ours", "datatrove", "datatrove_our_words")}
    for one in signs.values():
        one.side.start_up(empty)
    all_signed = Signed("ours")
    all_signed.side.start_up(empty, warm=False)
    main, default, same_words = ours(TRANSITIVE), ours(DEFAULT), datatrove("ours")
    for side in (main, default, same_words):
        side.start_up(empty, warm=side is main)
    for at in range(options.turns):
        all_signed.turn(web)
        for name, one in signs.items():
            if name == "ours" or at < options.peer_turns:
                one.turn(few)
        main.turn(web)
        if at < options.peer_turns:
            peer.turn(web)
        default.turn(web)
    if not options.quick:  # as long again as the peer, for a side note
        same_words.turn(web)
    return _report(options, path, web, (main, default, peer, same_words), (signs, all_signed))


def _report(
    options: Options,
    path: Path,
    web: Web,
    sides: tuple[Side, Side, Side, Side],
    signed: tuple[dict[str, Signed], Signed],
) -> Report:
    main, default, peer, same_words = sides
    signs, all_signed = signed
    other = {
        "ours_vs_datatrove_signatures_our_words": rate_ratio(
            signs["ours"], signs["datatrove_our_words"]
        ),
        "ours_vs_datatrove_memory": plain_ratio(peer.turns, main.turns, "peak_pss_bytes"),
        "ours_vs_datatrove_whole_with_startup": plain_ratio(peer.turns, main.turns, "cpu_seconds"),
    }
    pairs = {
        "ours_vs_datatrove_whole_wall": (main, peer, "wall_seconds"),
        "ours_vs_datatrove_whole_our_words": (main, same_words, "cpu_seconds"),
        "ours_default_vs_datatrove_whole": (default, peer, "cpu_seconds"),
    }
    for name, (mine, theirs, what) in pairs.items():
        if not theirs.turns:
            continue
        try:
            other[name] = ratio(theirs.turns, theirs.startup, mine.turns, mine.startup, what)
        except MeasureError as error:  # a side note must not cost the result
            say(f"{name} left out: {error}")

    def shown(side: Side, **settings: Any) -> dict[str, Any]:
        return side_json(side.turns, side.startup, {"workers": WORKERS, **settings})

    kept = {
        "datatrove": agreement(main.found, peer.found, web.documents),
        "our_default": agreement(default.found, peer.found, web.documents),
    }
    peers = {"datatrove": {**shown(peer, words="spaCy tokens (English)"),
                           "signatures": signs["datatrove"].to_json()}}  # fmt: skip
    if same_words.turns:
        kept["datatrove_our_words"] = agreement(main.found, same_words.found, web.documents)
        peers["datatrove_our_words"] = shown(same_words, words="ours")

    return Report(
        "dedup",
        input_json(web, files=FILES, source="texts of Debian's documentation packages",
                   packages=packages_of(path)),
        {
            **shown(main, minhash_dedup=TRANSITIVE),
            "signatures": {"all": all_signed.to_json(), "few": signs["ours"].to_json()},
            "default": shown(default, minhash_dedup=DEFAULT),
            "kept": kept,
            "peers_with_our_words": signs["datatrove_our_words"].to_json(),
        },
        peers,
        {
            "ours_vs_datatrove_signatures": rate_ratio(signs["ours"], signs["datatrove"]),
            "ours_vs_datatrove_whole": ratio(peer.turns, peer.startup, main.turns, main.startup),
        },
        other,
        {
            **our_versions(),
            **{f"peer {k}": v for k, v in pins("datatrove").items()
               if k in ("datatrove", "spacy", "numpy")},
        },
    )  # fmt: skip
