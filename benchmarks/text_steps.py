"""One step between `read_parquet` and `write_documents`: what it costs above a run without it."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.measure import MeasureError
from benchmarks.report import side_json
from benchmarks.turns import Side
from benchmarks.web import Web


@dataclass(frozen=True)
class Kept:
    """What a run wrote."""

    documents: int
    bytes: int
    """UTF-8 bytes of the texts."""


def step_side(name: str, step: str, workers: int = 0) -> Side:
    """The command line with this step, a line of YAML; without a step where it is empty."""

    def command(web: Web, out: Path) -> list[str]:
        out.mkdir()
        path, pattern = out / "config.yaml", str(web.folder / "*.parquet")
        line = f"  - {step}\n" if step else ""
        path.write_text(
            f"name: step\nseed: 1234\nworkdir: {json.dumps(str(out / 'work'))}\n"
            f"max_drop_ratio: 1.0\nsteps:\n"
            f"  - id: texts\n    read_parquet: {{paths: [{json.dumps(pattern)}], id: id}}\n"
            f"{line}  - write_documents: {{format: parquet}}\n"
        )
        return [sys.executable, "-m", "pipeline", "run", str(path), "--workers", str(workers),
                "--quiet"]  # fmt: skip

    return Side(f"{name}, {workers} workers", command, kept)


def kept(out: Path) -> Kept:
    documents = size = 0
    for path in sorted((out / "work" / "documents").rglob("*.parquet")):
        texts = pq.read_table(path, columns=["text"])["text"]
        documents += len(texts)
        size += pc.sum(pc.binary_length(texts)).as_py() or 0
    return Kept(documents, size)


def run_sides(sides: Mapping[str, Side], web: Web, empty: Web, turns: int) -> None:
    """Start-up of each, then their turns one after the other."""
    for side in sides.values():
        side.start_up(empty)
    for _ in range(turns):
        for side in sides.values():
            side.turn(web)


def seconds(side: Side) -> list[float]:
    """CPU seconds above start-up, turn by turn."""
    return [turn.cpu_seconds - side.startup.cpu_seconds for turn in side.turns]


def step_json(side: Side, without: Side, web: Web, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of a step: MB a CPU second of the step alone, and with reading and writing.

    Raises MeasureError where the step took no time above a run without it.
    """
    alone = [a - b for a, b in zip(seconds(side), seconds(without), strict=True)]
    if min(alone) <= 0:
        raise MeasureError(f"{side.name}: no time above a run without the step: too few texts")
    found: Kept = side.found
    return {
        **side_json(side.turns, side.startup, settings),
        "mb_per_cpu_second": {
            "step": rate(web, alone),
            "with_reading_and_writing": rate(web, seconds(side)),
        },
        "documents_kept": found.documents,
        "bytes_kept": found.bytes,
    }


def rate(web: Web, spent: Sequence[float]) -> float:
    """Median MB a CPU second."""
    return round(statistics.median(web.bytes / 1e6 / value for value in spent), 1)
