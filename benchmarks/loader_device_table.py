"""The section on GPUs of docs/benchmarks.md, from `results/loader_device*.json` alone."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

PEERS = ("torch_dataloader", "nanogpt", "mosaicml", "litdata")
HEAD = """\
| what | rows x length | setting | G tokens/s | of the wire | of a copy of the ids | beside the first | turns | cores |
|---|---|---|---|---|---|---|---|---|"""  # noqa: E501


def table(folder: Path) -> str:
    """Each path's share of the pinned copy of its own run; empty while there is no result."""
    lines = []
    for path in sorted(folder.glob("loader_device*.json")):
        found = json.loads(path.read_text())
        device = ", ".join(sorted(set(found["machine"]["devices"])))
        lines += ["", f"`{found['machine']['command']}` on {device}:"]
        wire = found.get("wire_bytes_per_second")
        shown = [line for part, rows in found["parts"].items() for line in _lines(part, rows, wire)]
        lines += ["", HEAD, *shown] if shown else []
        parts = found["parts"]
        checks = found.get("comparisons_with_the_definition") or parts.get("comparisons", {})
        lines += _sentences(parts)
        if checks:
            equal, all_of = (
                sum(one[key] for one in checks.values()) for key in ("equal", "compared")
            )
            lines += [
                "",
                f"Batches compared with the plain definition: {equal:,} of {all_of:,} equal.",
            ]
    return "\n".join(lines[1:]) + "\n" if lines else ""


def _lines(part: str, rows: Any, wire: float | None) -> list[str]:
    """Rows of the table for one part; none for what has sentences instead."""
    if "error" in rows or part in ("comparisons", "step_time", "train", "train_two"):
        return []
    if part == "ranks":
        return [_of_two_gpus(name, rows[name]) for name in ("ring", "gather")]
    if isinstance(rows, list):
        return [_row(part, row, wire) for row in _shown(part, rows)]
    return [
        f"| {part} | 64 x 2048 | {workers} workers | {speed / 1e9:.3f} | | | | | |"
        for workers, speed in rows.items()
    ]


def _sentences(parts: dict[str, Any]) -> list[str]:
    """What the table has no columns for."""
    lines = []
    peers = {name: parts[name] for name in PEERS if name in parts and "error" not in parts[name]}
    if "small_batch" in parts and peers:
        ours = max(row["tokens_per_second"] for row in parts["small_batch"])
        ratios = [
            f"{ours / max(speeds.values()):.1f} times {name}" for name, speeds in peers.items()
        ]
        lines += ["", f"64 x 2048, our best against each one's best: {', '.join(ratios)}."]
    steps = parts.get("step_time", {})
    if "fixed_milliseconds" in steps:
        said = [
            f"{side} {100 * steps[side]['difference']:+.2f} % (95 % bound "
            f"{100 * steps[side]['upper_bound_95']:+.2f} %, "
            f"{steps[side]['cpu_cores_beyond_fixed']:.2f} cores more)"
            for side in ("ring", "gather", "fixed_again")
        ]
        lines += [
            "",
            f"GPT-2 124M, {steps['rows']} x {steps['seq_len']}, against one fixed batch of "
            f"{steps['fixed_milliseconds']:.1f} ms a step ({steps['rounds']} rounds of "
            f"{steps['steps_a_block']} steps, paired): {'; '.join(said)}.",
        ]
    for name in ("train", "train_two"):
        if name in parts and "error" not in parts[name]:
            last = parts[name][-1]
            lines += [
                "",
                f"`examples/train_gpt.py` ({name}): {last['step']} steps, "
                f"{last['tokens_per_second']:,} tokens/s, MFU {last['mfu']:.1%}, "
                f"{last['waited']:.2%} of the time waiting for data, loss {last['loss']:.2f}.",
            ]
    lines += [
        "" if at % 2 == 0 else f"{name} gave no result."
        for name, rows in parts.items()
        if "error" in rows
        for at in range(2)
    ]
    return lines


def _shown(part: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the kernel's many settings the default, and fewer and more blocks beside it."""
    if part != "kernel":
        return rows
    of_default = [row for row in rows if row["defines"] == "{'BULK': 1}" and row["position_ids"]]
    return [row for row in of_default if row["streams"] == 2 and row["blocks"] in (8, 16, 132)]


def _of_two_gpus(path: str, found: dict[str, Any]) -> str:
    same = found["disjoint"] and found["union_is_the_one_rank_order"]
    what = f"{found['rows_compared']:,} rows {'as' if same else 'NOT as'} one rank gives them"
    turns = [turn["loader"] for turn in found["bytes_per_second"]]
    ratios = [sum(one["together"]) / statistics.mean(one["alone"]) for one in turns]
    speed = statistics.median(sum(one["together"]) for one in turns) * 8 / found["bits"]
    return (
        f"| two GPUs | 512 x 2048 each | {path}, **{found['together_vs_one']:.2f} times one "
        f"alone** (pinned copies {found['wire_together_vs_one']:.2f}); {what} | "
        f"{speed / 1e9:.2f} | {100 * found['of_the_wire_together']:.1f} % | | | "
        f"{', '.join(f'{ratio:.2f}' for ratio in ratios)} | |"
    )


def _row(part: str, row: dict[str, Any], wire: float | None) -> str:
    share = row.get("of_the_wire")
    speed = row.get("tokens_per_second") or (share or 0) * (wire or 0) / 2
    said = [f"{row['path']}"] if "path" in row else []
    said += [f"{row['threads']} threads"] if "threads" in row else []
    said += [f"{row['blocks']} blocks, {row['streams']} streams"] if "blocks" in row else []
    said += [f"{row['launch_tokens'] >> 20} M a launch"] if "launch_tokens" in row else []
    said += [f"{row['bits']} bits"] if "bits" in row else []
    said += ["with cu_seqlens"] if row.get("cu_seqlens") else []
    said += ["without position ids"] if row.get("position_ids") is False else []
    turns = " ".join(f"{turn:.3f}" for turn in row.get("turns", ()))
    cores = f"{row['cpu_cores']:.1f}" if "cpu_cores" in row else ""
    stored = f"**{row['of_stored_ids']:.1%}**" if "of_stored_ids" in row else ""
    beside = f"{row['beside_first']:.3f}" if "beside_first" in row else ""
    return (
        f"| {part} | {row['rows']} x {row['seq_len']} | {', '.join(said)} | {speed / 1e9:.2f} | "
        f"{f'{share:.1%}' if share is not None else ''} | {stored} | {beside} | {turns} | {cores} |"
    )
