"""The extraction section of docs/benchmarks.md is made from the result, and from nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import extraction_table, report
from benchmarks.measure import Usage

FIGURES: dict[str, Any] = {
    "macro": 0.94,
    "origins": {"wcxb": 0.9},
    "page_types": {"forum": 0.88},
    "languages": {"ko": {"pages": 4, "gold_pages": 4, "page_f1": 0.8, "snippet_f1": None}},
}


def result(**ours: Any) -> dict[str, Any]:
    """A result of the shape that the benchmark writes."""
    usage = Usage(12.0, 6.0, 3 << 20, 4 << 20, 2 << 20, "sampling", 0)
    idle = Usage(2.0, 1.0, 1 << 20, 1 << 20, 1 << 20, "sampling", 0)
    speed = {"pages_per_cpu_second": 812.4, "slowest_page_ms": 16.2}
    side = {**report.side_json([usage], idle, {}), **speed}
    peer = {**FIGURES, "macro": 0.91, "origins": {"wcxb": 0.9, "goose3": 0.8}}
    quality = {
        "basis": "5-fold cross-validation by domain",
        "compare_with": "quality_with_large",
        "quality": FIGURES,
        "leave_one_origin_out": {"macro": 0.93, "origins": {"wcxb": 0.85}},
    }
    made = report.Report(
        "extraction",
        {"documents": 3, "bytes": 9, "sha256": "0" * 64},
        {**side, "quality": {**quality, **ours}},
        {
            "trafilatura_fast": {**side, "quality": {}, "quality_with_large": peer},
            "resiliparse": {**side, "quality": {}},
        },
        {"ours_vs_trafilatura_fast": 27.25},
        {"ours_vs_resiliparse": 3.0},
    )
    return made.to_json()


def test_the_table_shows_the_best_of_each_row_in_bold(tmp_path: Path) -> None:
    assert extraction_table.table(tmp_path) == ""
    (tmp_path / "extraction.json").write_text(json.dumps(result()))
    made = extraction_table.table(tmp_path)
    rows = {line.split(" | ")[0].strip("| "): line for line in made.splitlines()}
    assert rows["**macro over origins**"].endswith("| **0.940** | 0.930 | 0.910 | - |")
    assert rows["wcxb"].endswith("| **0.900** | 0.850 | **0.900** | - |")
    assert rows["goose3"].endswith("| - | - | **0.800** | - |")
    assert rows["wcxb, forum"].endswith("| **0.880** | - | **0.880** | - |")
    assert rows["ko (4)"].endswith("| **0.800** | - | **0.800** | - |")
    assert rows["ours is faster by"].endswith("| - | - | 27.2x | 3.0x |")
    assert rows["pages/s of CPU time"].endswith("| 812 | - | 812 | 812 |")
    assert made.startswith("Ours: 5-fold cross-validation by domain.")


def test_the_table_is_made_before_there_is_a_model_of_ours(tmp_path: Path) -> None:
    found = result(quality=None, leave_one_origin_out=None, compare_with="quality_with_large")
    (tmp_path / "extraction.json").write_text(json.dumps(found))
    assert "| **macro over origins** | - | - | **0.910** | - |" in extraction_table.table(tmp_path)


def test_the_page_shows_the_committed_extraction_result() -> None:
    made = extraction_table.table(report.RESULTS)
    assert made in report.PAGE.read_text(), "run `python -m benchmarks table`"
    assert "<!-- end of extraction -->" in report.PAGE.read_text()
