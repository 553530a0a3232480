"""The section on verdicts of docs/benchmarks.md, from `results/verdicts.json` alone."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.run_line import run_line


def table(folder: Path) -> str:
    """Equal verdicts by peer and filter, as Markdown; empty while there is no result."""
    path = folder / "verdicts.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    lines = [
        run_line(found),
        "",
        "| peer | filter | texts | dropped by ours | by the peer | equal | the others |",
        "|---|---|---|---|---|---|---|",
    ]
    for peer, filters in found["ours"]["decisions"].items():
        for name, one in filters.items():
            causes = "; ".join(f"{count}: {cause}" for cause, count in one["causes"].items()) or "-"
            lines.append(
                f"| {peer} | {name} | {one['texts']:,} | {one['dropped_by_ours']:,} | "
                f"{one['dropped_by_peer']:,} | {one['equal']:,} | {causes} |"
            )
    return "\n".join(lines) + "\n"
