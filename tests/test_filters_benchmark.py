"""The benchmark of filters: its input, its verdicts against datatrove's, causes, its table."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import filters, filters_table
from benchmarks.decisions import compared_with_datatrove
from benchmarks.measure import MeasureError
from benchmarks.own_filter import own_filter_ratio
from benchmarks.peers import environment

TABLE = {
    "machine": {"command": "python -m benchmarks filters --quick"},
    "input": {"documents": 4},
    "ours": {
        "mb_per_cpu_second": 16.0,
        "decisions": {
            "c4_lines": {
                "texts": 4, "dropped_by_ours": 2, "dropped_by_peer": 1, "equal_ratio": 0.75,
                "causes": {"unexplained": 1},
            }
        },
    },
    "peers": {
        "datatrove": {
            "mb_per_cpu_second": 0.08,
            "chain": {"kept_by_both": 2, "texts": 4, "same_fate_ratio": 0.75},
        }
    },
}  # fmt: skip


def script() -> ModuleType:
    """`filter_texts.py`, which is run and never imported elsewhere."""
    spec = importlib.util.spec_from_file_location("filter_texts", filters.SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def first_texts(data: Path, count: int) -> list[str]:
    """Some of the texts, without extraction."""
    rows = filters._rows(data / "quality" / "dclm_human_quality.jsonl.gz")
    return [row["text"] for row in rows][:count]


def test_the_same_verdicts_fall_with_our_words_in_datatrove(
    shared_data: Path, tmp_path: Path
) -> None:
    if not (environment("datatrove") / "complete").exists():
        pytest.skip("the peer's environment is not there: python -m benchmarks filters makes it")
    found = first_texts(shared_data, 60)
    web = filters.written("test", found, tmp_path)
    ours, peer = filters.Timed(filters.OURS), filters.Timed(filters.SAME_WORDS)
    for one in (ours, peer):
        one.turn(web)
    told = compared_with_datatrove(found, ours.side.found["verdicts"], peer.side.found["verdicts"])
    for name, one in told.items():
        assert one["texts"] == len(found)
        assert one["equal"] == len(found), (name, one["differences"])
    assert told["gopher_quality"]["dropped_by_peer"] >= 5
    assert filters.agreement(ours, peer)["equal_ratio"] == 1.0


def test_our_four_are_the_steps_of_the_preset() -> None:
    stages = script().our_stages()
    assert tuple(stages) == filters.FILTERS
    assert (stages["c4_lines"].min_words_per_line, stages["c4_lines"].end_marks) == (3, ())
    assert stages["gopher_quality"].counting == "datatrove"


def test_our_sentences_in_the_peer_are_those_of_the_stage() -> None:
    import pyarrow as pa

    from stages.kernels.sentences import sentence_counts

    lines = [
        "Mr. Hill met J. Stone at 5 p.m. on Monday. He left.", "Really? Yes! Good.", "no mark", "",
        "He paused... Then he went on.", 'She said "Stop." Then she left.', "See Fig. 4. It is it.",
    ]  # fmt: skip
    counts = sentence_counts(pa.array(lines, pa.large_string()), newlines_only=True).tolist()
    assert [len(script().OurSegments().span_tokenize(line)) for line in lines] == counts


def test_a_verdict_is_the_first_broken_rule() -> None:
    stage = script().our_stages()["gopher_quality"]
    metrics: dict[str, Any] = {name: [None, 1.0] for name in stage.metric_types()}
    metrics |= {"word_count": [10, 60], "mean_word_length": [2.0, 2.0]}
    assert script().our_verdicts(stage, metrics, 2) == [
        "word_count_too_low",
        "mean_word_length_too_low",
    ]


def test_no_texts_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="--data"):
        filters.texts(tmp_path)


def test_the_table_shows_verdicts_causes_and_speeds(tmp_path: Path) -> None:
    assert filters_table.table(tmp_path) == ""
    (tmp_path / "filters.json").write_text(json.dumps(TABLE))
    lines = filters_table.table(tmp_path).splitlines()
    assert "`python -m benchmarks filters --quick` on 4 documents; turns: ours 0" in lines[0]
    assert "`--quick` is less input" in lines[0]
    assert "| c4_lines | 4 | 2 | 1 | 75.00% | 1: unexplained |" in lines
    assert "| datatrove | 0.08 | 2 of 4 | 75.0% |" in lines


def test_an_own_filter_measures_what_its_python_does() -> None:
    texts = ["A line of TEXT.", "", "quiet words, said low", "LOUD"] * 200
    assert 0.1 < own_filter_ratio(texts, turns=1) < 3  # the figure is the benchmark's
