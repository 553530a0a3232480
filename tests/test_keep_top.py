"""keep_top against sorting the whole corpus, for any partitioning, and in a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import RunConfig, split_files
from hypothesis import given, settings
from hypothesis import strategies as st
from phase_driver import run_stage
from token_phase_driver import TEXTS, parts

from pipeline.draw import draw
from pipeline.errors import ConfigError
from stages.keep_top import KeepTop, order_keys

VALUES = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from([0.0, -0.0, 0.5, 0.9999, 1.0, math.nan, math.inf, -math.inf]),
        st.floats(width=32),
        st.integers(0, 3).map(float),
    ),
    max_size=60,
)


def corpus(values: Sequence[float | None], kind: pa.DataType) -> pa.Table:
    """Documents whose lengths differ; every third shares its doc_id with the one before."""
    rows = [
        {
            "doc_id": (at - (at % 3 == 1)).to_bytes(16, "big"),
            "source": "web",
            "file": "a.jsonl",
            "offset": at,
            "text": "é" * (at % 7),
        }
        for at in range(len(values))
    ]
    table = pa.Table.from_pylist(rows, schema=TEXTS)
    return table.append_column("score", pa.array(values, kind))


def by_definition(docs: pa.Table, stage: KeepTop) -> set[int]:
    """Offsets of what is kept: sort everything, take while it fits."""
    rows = docs.to_pylist()

    def place(row: dict[str, Any]) -> tuple[Any, ...]:
        value = row["score"]
        missing = value is None or math.isnan(value)
        signed = 0 if missing else -value if stage.best == "highest" else value
        return (
            missing,
            signed,
            draw(0, "keep_top", row["doc_id"]) >> 1,
            row["doc_id"],
            row["offset"],
        )

    def size(row: dict[str, Any]) -> int:
        return len(row["text"].encode()) if stage.of == "bytes" else 1

    left = int(Fraction(str(stage.share)) * sum(map(size, rows)))
    if left >= sum(map(size, rows)):
        return {row["offset"] for row in rows}
    kept = set()
    for row in sorted(rows, key=place):
        left -= size(row)
        if left < 0:
            break
        kept.add(row["offset"])
    return kept


@settings(max_examples=40, deadline=None)
@given(
    VALUES,
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.999, 1.0]),
    st.sampled_from(["documents", "bytes"]),
    st.sampled_from(["highest", "lowest"]),
    st.integers(1, 5),
    st.integers(0, 9),
)
def test_what_is_kept_is_the_start_of_the_sorted_corpus_for_any_partitioning(
    values: list[float | None], share: float, of: Any, best: Any, count: int, seed: int
) -> None:
    docs = corpus(values, pa.float32())
    stage = KeepTop(by="score", share=share, of=of, best=best)
    out = run_stage(stage, parts(docs, count, seed), batch_rows=5, shuffle=seed)
    assert set(out.kept["offset"].to_pylist()) == by_definition(docs, stage)
    assert set(out.dropped["reason"].to_pylist()) <= {"not_top"}


@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=30))
def test_whole_numbers_keep_their_order_beyond_the_precision_of_floats(values: list[int]) -> None:
    array = pa.array(values, pa.int64())
    for highest in (False, True):
        keys, _ = order_keys(array, highest, "top")
        order = sorted(range(len(values)), key=lambda at: int(keys[at]))
        assert [values[at] for at in order] == sorted(values, reverse=highest)


def test_numbers_that_are_missing_stand_last_at_either_end() -> None:
    array = pa.array([None, 1.0, math.nan, -math.inf], pa.float64())
    for highest in (False, True):
        keys, missing = order_keys(array, highest, "top")
        assert keys[0] == keys[2] == np.uint64(2**64 - 1)
        assert max(keys[1], keys[3]) < keys[0]
        assert missing.tolist() == [True, False, True, False]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([pa.uint64(), pa.int64(), pa.uint8(), pa.bool_()]),
    st.lists(st.one_of(st.none(), st.sampled_from(["least", "most", "small"])), max_size=40),
    st.sampled_from([0.1, 0.25, 0.5, 0.75]),
    st.sampled_from(["highest", "lowest"]),
)
def test_documents_without_a_number_stand_behind_the_last_number_of_any_type(
    kind: pa.DataType, names: list[str | None], share: float, best: Any
) -> None:
    least, most = {
        pa.uint64(): (0, 2**64 - 1), pa.int64(): (-(2**63), 2**63 - 1), pa.uint8(): (0, 255)
    }.get(kind, (False, True))  # fmt: skip
    number = {None: None, "least": least, "most": most, "small": kind == pa.bool_() or 3}
    docs = corpus([number[name] for name in names], kind)
    stage = KeepTop(by="score", share=share, best=best)
    out = run_stage(stage, parts(docs, 3, 1), batch_rows=5)
    assert set(out.kept["offset"].to_pylist()) == by_definition(docs, stage)


def test_a_column_of_words_is_refused() -> None:
    with pytest.raises(ConfigError, match="`by` names a column of string, expected numbers"):
        order_keys(pa.array(["a"]), True, "top")


CONFIG = """
name: top
seed: 3
steps:
  - id: docs
    read_jsonl: {{paths: ["{files}"], id: id}}
  - gopher_quality: {{min_words: 0, min_mean_word_length: 0, max_mean_word_length: 1000,
      max_symbol_word_ratio: 1000, max_bullet_line_ratio: 1, max_ellipsis_line_ratio: 1,
      min_alpha_word_ratio: 0, min_stop_words: 0}}
  - keep_top: {{by: gopher_quality.word_count, share: 0.25, of: {of}}}
  - write_documents: {{}}
"""


@pytest.mark.parametrize("of", ["documents", "bytes"])
def test_a_run_keeps_the_best_by_a_metric_whatever_the_files(
    of: str, tmp_path: Path, run_yaml: RunConfig, real_texts: list[dict[str, Any]]
) -> None:
    rows, kept = real_texts[:150], []
    for files in (1, 4):
        folder = tmp_path / str(files)
        split_files(folder, rows if files == 1 else rows[::-1], files)
        run_yaml(CONFIG.format(files=f"{folder}/*.jsonl", of=of), folder / "work")
        kept.append(kept_ids(folder / "work"))
    assert kept[0] == kept[1]
    assert 0 < len(kept[0]) < 75


def kept_ids(workdir: Path) -> list[bytes]:
    paths = sorted((workdir / "documents").rglob("*.parquet"))
    return sorted(i for p in paths for i in pq.read_table(p)["doc_id"].to_pylist())
