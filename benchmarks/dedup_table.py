"""The section on dedup of docs/benchmarks.md, from `results/dedup.json` alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def table(folder: Path) -> str:
    """Signatures, then whole runs, then who kept what, as Markdown; empty without a result."""
    path = folder / "dedup.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    ours, peers = found["ours"], found["peers"]
    lines = ["| signatures | texts | MB | MB a CPU second |", "|---|---|---|---|"]
    lines += [
        _signed("ours, all texts", ours["signatures"]["all"]),
        _signed("ours", ours["signatures"]["few"]),
        _signed("datatrove", peers["datatrove"]["signatures"]),
        _signed("datatrove, our words", ours["peers_with_our_words"]),
        "",
        "| texts to kept documents | CPU s above start-up | wall s | peak MB | µs a document |",
        "|---|---|---|---|---|",
    ]
    sides = {
        "ours, as datatrove (`verify: none, closure: transitive`)": ours,
        "ours, default": ours["default"],
        **{_name(name): peer for name, peer in peers.items()},
    }
    documents = found["input"]["documents"]
    lines += [_run(name, side, documents) for name, side in sides.items()]
    lines += [
        "",
        "| kept of all | ours | peer | texts of both | of ours only | of the peer only |",
        "|---|---|---|---|---|---|",
    ]
    for name, kept in ours["kept"].items():
        lines.append(
            f"| {name.replace('_', ' ')} ({kept['documents']:,}) | {kept['ours']:,} | "
            f"{kept['peer']:,} | {kept['texts_of_both']:,} | {kept['texts_of_ours_only']:,} | "
            f"{kept['texts_of_peer_only']:,} |"
        )
    return "\n".join(lines) + "\n"


def _name(name: str) -> str:
    return name.replace("_", " ")


def _signed(name: str, told: dict[str, Any]) -> str:
    size, rate = told["bytes"] / 1e6, told["mb_per_cpu_second"]
    return f"| {name} | {told['texts']:,} | {size:.1f} | {rate:.2f} |"


def _run(name: str, side: dict[str, Any], documents: int) -> str:
    spent = side["cpu_seconds"] - side["startup"]["cpu_seconds"]
    peak = side["peak_pss_bytes"] / 1e6
    return (
        f"| {name} | {spent:.1f} | {side['wall_seconds']:.1f} | {peak:,.0f} | "
        f"{spent / documents * 1e6:.0f} |"
    )
