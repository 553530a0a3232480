"""The section on GPUs of docs/benchmarks.md, from `results/loader_device*.json` alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HEAD = "| what | rows x length | setting | G tokens/s | of the wire | turns | cores |"


def table(folder: Path) -> str:
    """Each path's share of the pinned copy of its own run; empty while there is no result."""
    lines = []
    for path in sorted(folder.glob("loader_device*.json")):
        found = json.loads(path.read_text())
        device = ", ".join(sorted(set(found["machine"]["devices"])))
        lines += ["", f"`{found['machine']['command']}` on {device}:", "", HEAD]
        lines.append("|---|---|---|---|---|---|---|")
        wire = found.get("wire_bytes_per_second")
        for part, rows in found["parts"].items():
            if isinstance(rows, list):
                lines += [_row(part, row, wire) for row in _shown(part, rows)]
            elif part == "ranks":
                lines += [_of_two_gpus(name, rows[name]) for name in ("ring", "gather")]
            else:
                lines += [
                    f"| {part} | 64 x 2048 | {workers} workers | {speed / 1e9:.3f} | | | |"
                    for workers, speed in rows.items()
                ]
        checks = found.get("comparisons_with_the_definition", {})
        if checks:
            equal, all_of = (
                sum(one[key] for one in checks.values()) for key in ("equal", "compared")
            )
            lines += [
                "",
                f"Batches compared with the plain definition: {equal:,} of {all_of:,} equal.",
            ]
    return "\n".join(lines[1:]) + "\n" if lines else ""


def _shown(part: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the kernel's many settings the default, and fewer and more blocks beside it."""
    if part != "kernel":
        return rows
    of_default = [row for row in rows if row["defines"] == "{'BULK': 1}" and row["position_ids"]]
    return [row for row in of_default if row["streams"] == 2 and row["blocks"] in (8, 16, 132)]


def _of_two_gpus(path: str, found: dict[str, Any]) -> str:
    alone, together = found["one_alone_tokens_per_second"], found["together_tokens_per_second"]
    same = found["disjoint"] and found["union_is_the_one_rank_order"]
    what = f"{found['rows_compared']:,} rows {'as' if same else 'NOT as'} one rank gives them"
    return (
        f"| two GPUs | | {path}, {together / alone:.2f} times one alone; {what} | "
        f"{together / 1e9:.2f} | | | |"
    )


def _row(part: str, row: dict[str, Any], wire: float | None) -> str:
    share = row.get("of_the_wire")
    speed = row.get("tokens_per_second") or (share or 0) * (wire or 0) / 2
    said = [f"{row['path']}"] if "path" in row else []
    said += [f"{row['threads']} threads"] if "threads" in row else []
    said += [f"{row['blocks']} blocks, {row['streams']} streams"] if "blocks" in row else []
    said += [f"{row['launch_tokens'] >> 20} M a launch"] if "launch_tokens" in row else []
    said += ["without position ids"] if row.get("position_ids") is False else []
    turns = " ".join(f"{turn:.3f}" for turn in row.get("turns", ()))
    cores = f"{row['cpu_cores']:.1f}" if "cpu_cores" in row else ""
    return (
        f"| {part} | {row['rows']} x {row['seq_len']} | {', '.join(said)} | {speed / 1e9:.2f} | "
        f"{f'{share:.1%}' if share is not None else ''} | {turns} | {cores} |"
    )
