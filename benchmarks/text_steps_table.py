"""The sections on growth, spans and decontamination of docs/benchmarks.md, from their results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def _read(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def scale(folder: Path) -> str:
    """Time and memory by the number of documents, as Markdown; empty without a result."""
    found = _read(folder, "dedup_scale")
    if found is None:
        return ""
    ours = found["ours"]
    lines = [
        "| documents | MB | kept | µs of CPU a document | peak MB of the one process | turns |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['documents']:,} | {row['bytes'] / 1e6:.1f} | {row['kept']:,} | "
        f"{row['cpu_microseconds_a_document']:.0f} | {row['peak_process_rss_bytes'] / 1e6:.0f} | "
        f"{len(row['turns'])} |"
        for row in ours["sizes"]
    ]
    two, sizes = ours["two_workers"], [f"{row['documents']:,}" for row in ours["sizes"]]
    small, large = (two["peak_pss_bytes"][name] / 1e6 for name in ("smallest", "largest"))
    lines += [
        "",
        f"Two workers with Ray, all processes: {two['startup']['peak_pss_bytes'] / 1e6:,.0f} MB at "
        f"start-up, {small:,.0f} MB at {sizes[0]} documents, {large:,.0f} MB at {sizes[-1]}: "
        f"{two['bytes_a_document']:.0f} bytes a document more.",
    ]
    return "\n".join(lines) + "\n"


def spans(folder: Path) -> str:
    """Speeds of span, line and paragraph dedup, as Markdown; empty without a result."""
    found = _read(folder, "spans")
    if found is None:
        return ""
    given = found["input"]
    lines = [
        "| step | texts | MB | MB a CPU second | with reading and writing | documents kept | "
        "bytes kept |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, step in found["ours"]["steps"].items():
        speed = step["mb_per_cpu_second"]
        lines.append(
            f"| {name} | {given['documents']:,} | {given['bytes'] / 1e6:.1f} | {speed['step']:.1f} "
            f"| {speed['with_reading_and_writing']:.1f} | {step['documents_kept']:,} | "
            f"{step['bytes_kept'] / given['bytes']:.1%} |"
        )
    return "\n".join(lines) + "\n"


def decontaminate(folder: Path) -> str:
    """Speed, and what is found on clean pages, as Markdown; empty without a result."""
    found = _read(folder, "decontaminate")
    if found is None:
        return ""
    ours, given = found["ours"], found["input"]
    speed, examples = ours["mb_per_cpu_second"], ours["examples"]
    lines = [
        f"{sum(examples.values()):,} examples of {len(examples)} benchmarks looked for in "
        f"{given['documents']:,} texts ({given['bytes'] / 1e6:.1f} MB): {speed['step']:.1f} MB a "
        f"CPU second for the step, {speed['with_reading_and_writing']:.1f} with reading and "
        f"writing, {speed['search']:.1f} for the scan of the texts alone.",
        "",
        "| clean pages | pages | MB | found on, any run | half of an example | 0.8 of it | "
        "of a million, any run |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, told in ours["clean_pages"].items():
        any_run, half, most = told["pages_by_share"].values()
        lines.append(
            f"| {kind} | {told['pages']:,} | {told['bytes'] / 1e6:.1f} | {any_run} | {half} | "
            f"{most} | {any_run / told['pages'] * 1e6:,.0f} |"
        )
    lines += ["", "| clean pages | benchmark | example | share of its words | on pages |",
              "|---|---|---|---|---|"]  # fmt: skip
    for kind, told in ours["clean_pages"].items():
        lines += [
            f"| {kind} | {row['benchmark']} | {row['example']} | {row['share']:.2f} | "
            f"{row['pages']} |"
            for row in told["examples"]
        ]
    return "\n".join(lines) + "\n"
