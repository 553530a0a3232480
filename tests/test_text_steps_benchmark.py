"""Benchmarks of the growth of dedup, of span dedup and decontamination: inputs, figures, tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import bulk, decontaminate, dedup_scale, report, text_steps, text_steps_table
from benchmarks.measure import MeasureError, Usage
from stages.decontaminate.stage import Decontaminate

LAMP = "The lamp on the old harbour wall was lit when the whole fleet came home again"


def usage(cpu: float) -> Usage:
    return Usage(cpu, cpu, 10**9, 10**9, 10**8, "sampling", 0)


def rows(*texts: str) -> pa.Table:
    ids = [f"page/{number}" for number in range(len(texts))]
    return pa.table([pa.array(ids), pa.array(texts, pa.large_string())], schema=bulk.SCHEMA)


# --- Growth ---------------------------------------------------------------------------------------


def test_two_documents_of_ten_are_copies_whatever_the_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dedup_scale, "ARTICLES", 60)
    known = dedup_scale.sentences()
    assert len(known) == len(set(known)) > 500
    for count in (500, 1_003):
        texts = list(dedup_scale.documents(known, count))
        assert len(texts) == count
        originals = {text for n, text in enumerate(texts) if n % 10 < 8}
        assert len(originals) > 0.78 * count
        assert {text for n, text in enumerate(texts) if n % 10 == 8} <= originals
        near = [text for n, text in enumerate(texts) if n % 10 == 9]
        starts = tuple(originals)
        assert all(text.startswith(starts) and text not in originals for text in near)
    web = dedup_scale.web_of(40, tmp_path)
    assert web == dedup_scale.web_of(40, tmp_path)
    assert sum(pq.read_metadata(p).num_rows for p in web.folder.glob("*.parquet")) == 40


def test_time_a_document_leaves_start_up_out() -> None:
    turns = [usage(3.0), usage(9.0), usage(4.0)]
    assert dedup_scale.microseconds(turns, usage(2.0), 1_000) == 2_000.0
    with pytest.raises(MeasureError, match="too few"):
        dedup_scale.microseconds(turns, usage(5.0), 1_000)


# --- Steps ----------------------------------------------------------------------------------------


def test_a_step_is_measured_above_a_run_without_it(tmp_path: Path) -> None:
    line, other = LAMP, " ".join(LAMP.split()[::-1])
    web = bulk.spread(rows(f"{line}\n{other}", f"{line}\nMore.", other), "few", 2, tmp_path)
    sides = {
        "without": text_steps.step_side("without", ""),
        "line_dedup": text_steps.step_side("line_dedup", "line_dedup: {min_sentences: 0}"),
    }
    for side in sides.values():
        side.turn(web)
    assert sides["without"].found == text_steps.Kept(3, web.bytes)
    assert sides["line_dedup"].found.documents == 2
    assert sides["line_dedup"].found.bytes == web.bytes - len(line) - len(other) - 2 + 1


def test_rates_are_of_the_step_alone_and_of_the_whole(tmp_path: Path) -> None:
    web = bulk.spread(rows("x" * 2_000_000), "few", 1, tmp_path)
    step, without = text_steps.step_side("step", "x: {}"), text_steps.step_side("without", "")
    step.turns, step._startup, step.found = [usage(7.0)], usage(1.0), text_steps.Kept(1, 5)
    without.turns, without._startup = [usage(3.0)], usage(1.0)
    made = text_steps.step_json(step, without, web, {})
    assert made["mb_per_cpu_second"] == {"step": 0.5, "with_reading_and_writing": 0.3}
    assert (made["documents_kept"], made["bytes_kept"]) == (1, 5)
    without.turns = [usage(8.0)]
    with pytest.raises(MeasureError, match="too few texts"):
        text_steps.step_json(step, without, web, {})


# --- Decontamination ------------------------------------------------------------------------------


def test_what_is_found_on_clean_pages_is_counted_without_their_text(tmp_path: Path) -> None:
    path = tmp_path / "lamps.jsonl"
    others = " ".join(f"word{n}" for n in range(40))
    path.write_text("\n".join(json.dumps({"q": q}) for q in (others, LAMP)) + "\n")
    stage = Decontaminate((str(path),))
    part = " ".join(others.split()[3:16])
    pages = rows("Nothing here.", f"Behold: {LAMP}!", f"{part} x", f"y {part}")
    found = decontaminate.found_on(pages, stage)
    assert [(one["example"], one["page"]) for one in found] == [
        (1, "page/1"), (0, "page/2"), (0, "page/3"),
    ]  # fmt: skip
    assert "[[The lamp" in found[0]["excerpt"]
    told = decontaminate.summed(pages, found)
    assert told["pages_by_share"] == {"0.0": 3, "0.5": 1, "0.8": 1}
    assert told["examples"][0] == {
        "benchmark": "lamps", "example": 0, "pages": 2, "share": 0.325, "page": "page/2",
    }  # fmt: skip
    assert "lamp on" not in json.dumps(told)
    assert "word4" not in json.dumps(told)


def test_no_benchmarks_are_an_error_that_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="--data"):
        decontaminate.benchmark_paths(tmp_path)


# --- Tables ---------------------------------------------------------------------------------------


def test_tables_show_the_figures_of_the_results(tmp_path: Path) -> None:
    made = (text_steps_table.scale, text_steps_table.spans, text_steps_table.decontaminate)
    assert [table(tmp_path) for table in made] == ["", "", ""]
    size: dict[str, Any] = {
        "documents": 10_000, "bytes": 4_000_000, "kept": 8_000, "turns": [1, 2],
        "cpu_microseconds_a_document": 61.4, "peak_process_rss_bytes": 200 * 10**6,
    }  # fmt: skip
    two = {
        "startup": {"peak_pss_bytes": 7 * 10**8}, "bytes_a_document": 123.4,
        "peak_pss_bytes": {"smallest": 8 * 10**8, "largest": 10**9},
    }  # fmt: skip
    scale = {"ours": {"sizes": [size, {**size, "documents": 10**6}], "two_workers": two}}
    given = {"documents": 60_000, "bytes": 10**8}
    step = {
        "mb_per_cpu_second": {"step": 30.0, "with_reading_and_writing": 20.0, "search": 90.0},
        "documents_kept": 50_000, "bytes_kept": 5 * 10**7,
    }  # fmt: skip
    example = {"benchmark": "lamps", "example": 7, "pages": 2, "share": 0.33, "page": "p"}
    clean = {
        "pages": 60_000, "bytes": 10**8, "pages_by_share": {"0.0": 3, "0.5": 1, "0.8": 0},
        "examples": [example],
    }  # fmt: skip
    results = {
        "dedup_scale": scale,
        "spans": {"input": given, "ours": {"steps": {"span_dedup": step}}},
        "decontaminate": {
            "input": given,
            "ours": {**step, "examples": {"lamps": 9}, "clean_pages": {"manuals": clean}},
        },
    }
    for name, found in results.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    growth, spans, found = (table(tmp_path) for table in made)
    assert "| 1,000,000 | 4.0 | 8,000 | 61 | 200 | 2 |" in growth
    assert "1,000 MB at 1,000,000: 123 bytes a document more" in growth
    assert "| span_dedup | 60,000 | 100.0 | 30.0 | 20.0 | 50,000 | 50.0% |" in spans
    assert "| manuals | 60,000 | 100.0 | 3 | 1 | 0 | 50 |" in found
    assert "| manuals | lamps | 7 | 0.33 | 2 |" in found
    assert {"dedup_scale", "spans", "decontaminate"} <= {*report.RATIOS} & {*report.TABLES}
