"""The extraction section of docs/benchmarks.md, from `results/extraction.json` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NAMES = {
    "trafilatura_fast": "trafilatura fast",
    "trafilatura": "trafilatura",
    "trafilatura_precision": "trafilatura precision",
    "trafilatura_recall": "trafilatura recall",
    "resiliparse": "resiliparse",
    "readability_lxml": "readability-lxml",
}
"""Peer -> the head of its column."""
Json = Mapping[str, Any]


def table(folder: Path) -> str:
    """Quality and speed of every side as Markdown; empty while there is no result."""
    path = folder / "extraction.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    # Peers are shown on the very pages that our figure is of.
    pages = found["ours"]["quality"].get("compare_with", "quality")
    peers = {
        name: side.get(pages) for name in NAMES if (side := found["peers"].get(name)) is not None
    }
    ours = found["ours"]["quality"]
    columns = [ours.get("quality"), ours.get("leave_one_origin_out"), *peers.values()]
    heads = ["ours", "ours, origin left out", *(NAMES[name] for name in peers)]
    lines = [_row(["", *heads]), _row(["---"] * (len(heads) + 1))]
    lines += _quality_rows(columns)
    lines += _speed_rows(found, list(peers))
    return f"Ours: {ours['basis']}.\n\n" + "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _quality_rows(columns: Sequence[Json | None]) -> list[str]:
    """Macro, then origins, page types and languages (pages with gold) that have a figure."""
    lines = [_row(["**macro over origins**", *_cells([_at(c, "macro") for c in columns])])]
    for key, label in (("origins", "{}"), ("page_types", "wcxb, {}")):
        for name in _names(columns, key):
            values = [_at(column, key, name) for column in columns]
            lines.append(_row([label.format(name), *_cells(values)]))
    for name in _names(columns, "languages"):
        groups = [_at(column, "languages", name) for column in columns]
        counts = [group.get("gold_pages", 0) for group in groups if isinstance(group, Mapping)]
        values = [g.get("page_f1") if isinstance(g, Mapping) else g for g in groups]
        if any(counts):
            lines.append(_row([f"{name} ({max(counts)})", *_cells(values)]))
    return lines


def _names(columns: Sequence[Json | None], key: str) -> list[str]:
    found: dict[str, None] = {}
    for column in columns:
        found.update(dict.fromkeys((column or {}).get(key, {})))
    return sorted(found) if key != "languages" else list(found)


def _at(column: Json | None, *keys: str) -> Any:
    """The value below these keys; None where there is none."""
    value: Any = column
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _cells(values: Sequence[float | None]) -> list[str]:
    """Three decimals, the best of the row in bold; a dash for what was not measured."""
    # What is compared is what is shown, so that equals are all bold.
    shown = [None if value is None else f"{value:.3f}" for value in values]
    best = max((cell for cell in shown if cell is not None), default=None)
    return ["-" if cell is None else f"**{cell}**" if cell == best else cell for cell in shown]


def _speed_rows(found: Json, peers: Sequence[str]) -> list[str]:
    """Speeds of one process, on the timed pages."""
    sides = [found["ours"], None, *(found["peers"][name] for name in peers)]
    ratios = {**found["other_ratios"], **found["ratios"]}
    times = [None, None, *(ratios.get(f"ours_vs_{name}") for name in peers)]

    def each(label: str, key: str, form: str) -> str:
        values = ["-" if side is None else form.format(side[key]) for side in sides]
        return _row([label, *values])

    return [
        each("pages/s of CPU time", "pages_per_cpu_second", "{:.0f}"),
        _row(["ours is faster by", *("-" if t is None else f"{t:.1f}x" for t in times)]),
        each("slowest page, ms", "slowest_page_ms", "{:.0f}"),
    ]
