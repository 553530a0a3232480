"""The section on classifiers of docs/benchmarks.md, from `results/classifiers.json` alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SHARES = (0.1, 0.2, 0.5)
THRESHOLDS = (0.25, 0.5, 0.75)


def table(folder: Path) -> str:
    """Areas, precision at kept shares and thresholds, speeds; empty while there is no result."""
    path = folder / "classifiers.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text())["ours"]
    shares = " | ".join(f"precision of the best {share:.0%}" for share in SHARES)
    lines = [f"| set | documents | model | ROC AUC (least, largest) | {shares} |"]
    lines.append("|---|---|---|---|" + "---|" * len(SHARES))
    for name, models in found["quality"].items():
        for model, figures in models.items():
            lines.append(_quality_row(name, model, figures))
    head = " | ".join(f"at {threshold:g}" for threshold in THRESHOLDS)
    lines += ["", f"| set | model: precision / recall | {head} |"]
    lines.append("|---|---|" + "---|" * len(THRESHOLDS))
    for name, models in found["quality"].items():
        for model, figures in models.items():
            rows = {row["threshold"]: row for row in figures["at_threshold"]}
            cells = [
                f"{_cell(rows[t]['precision'])} / {_cell(rows[t]['recall'])}" for t in THRESHOLDS
            ]
            lines.append(f"| {name} | {model} | {' | '.join(cells)} |")
    lines += ["", "| model | `classify`, MB/s of a core |", "|---|---|"]
    lines += [f"| {model} | {speed:,.1f} |" for model, speed in found["mb_per_cpu_second"].items()]
    return "\n".join(lines) + "\n"


def _quality_row(name: str, model: str, figures: dict[str, Any]) -> str:
    rows = {row["kept_share"]: row["precision"] for row in figures["at_kept_share"]}
    least, largest = figures["roc_auc_least"], figures["roc_auc_largest"]
    area = f"{figures['roc_auc']:.3f} ({least:.3f}, {largest:.3f})"
    documents = f"{figures['documents']:,}, {figures['positives']:,} positive"
    cells = [name, documents, model, area, *(_cell(rows[share]) for share in SHARES)]
    return f"| {' | '.join(cells)} |"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
