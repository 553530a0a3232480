"""The section on personal data of docs/benchmarks.md, from `results/pii.json` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def table(folder: Path) -> str:
    """Quality by type and half, then speeds, as Markdown; empty while there is no result."""
    path = folder / "pii.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text())["ours"]
    lines = [
        "| regions | type | half | labelled | found | precision | recall |",
        "|---|---|---|---|---|---|---|",
    ]
    for regions, halves in found["quality"].items():
        for kind in halves["all"]:
            if regions != "US" and kind != "phone":
                continue  # regions change nothing else
            for half, scores in halves.items():
                lines.append(_quality_row(regions, kind, half, scores[kind]))
    lines += ["", "| types | texts | MB/s of a core |", "|---|---|---|"]
    for name, speed in found["mb_per_cpu_second"].items():
        types, _, texts = name.partition(", ")
        lines.append(f"| {types} | {texts} | {speed:,.0f} |")
    return "\n".join(lines) + "\n"


def _quality_row(regions: str, kind: str, half: str, scores: Mapping[str, Any]) -> str:
    shown = [
        "-" if scores[name] is None else f"{scores[name]:.3f}" for name in ("precision", "recall")
    ]
    cells = [regions, kind, half.replace("_", " "), scores["labelled"], scores["found"], *shown]
    return f"| {' | '.join(map(str, cells))} |"
