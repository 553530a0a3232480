"""The section on filters of docs/benchmarks.md, from `results/filters.json` alone."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.run_line import run_line


def table(folder: Path) -> str:
    """Equal verdicts by filter, then speeds, as Markdown; empty while there is no result."""
    path = folder / "filters.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    lines = [
        run_line(found),
        "",
        "| filter | texts | dropped by ours | by datatrove | equal verdicts | the others |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in found["ours"]["decisions"].items():
        causes = "; ".join(f"{count}: {cause}" for cause, count in one["causes"].items()) or "-"
        lines.append(
            f"| {name} | {one['texts']:,} | {one['dropped_by_ours']:,} | "
            f"{one['dropped_by_peer']:,} | {one['equal_ratio']:.2%} | {causes} |"
        )
    lines += [
        "",
        "| side | MB a CPU second | kept by both of all | same fate |",
        "|---|---|---|---|",
    ]
    lines.append(f"| ours | {found['ours']['mb_per_cpu_second']:.1f} | | |")
    for name, peer in found["peers"].items():
        chain = peer["chain"]
        lines.append(
            f"| {name.replace('_', ' ')} | {peer['mb_per_cpu_second']:.2f} | "
            f"{chain['kept_by_both']:,} of {chain['texts']:,} | {chain['same_fate_ratio']:.1%} |"
        )
    return "\n".join(lines) + "\n"
