"""The benchmark of classifiers: its sets, one real run, its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import classifiers, classifiers_table
from benchmarks.pii import texts


def test_wikitext_reads_like_text_again() -> None:
    marked = " = = Heading = = \nIt weighs 4 @.@ 5 kg ( 10 lb ) , and a well @-@ known <unk> .\n"
    found = classifiers.detokenised(marked)
    assert found.splitlines()[1] == "It weighs 4.5 kg (10 lb), and a well-known."


def test_the_sets_hold_documents_of_both_classes(shared_data: Path) -> None:
    sizes = {name: classifiers.labelled(shared_data, name) for name in classifiers.SETS}
    assert [len(rows) for rows in sizes.values()] == [263, 323, 491, 3728]
    for rows in sizes.values():
        assert {positive for _, positive in rows} == {True, False}
    assert not any("<unk>" in text for text, _ in sizes["articles"])


def test_a_model_is_judged_on_documents_that_it_has_not_seen(
    shared_data: Path, tmp_path: Path
) -> None:
    rows = classifiers.labelled(shared_data, "toxicity")
    found = classifiers.quality(rows, "fasttext", 1, tmp_path)
    assert (found["documents"], found["positives"]) == (491, sum(p for _, p in rows))
    assert 110 < found["held_out"] < 190
    assert found["roc_auc_least"] == found["roc_auc"] > 0.65


def test_the_speed_of_the_stage_is_measured(shared_data: Path, tmp_path: Path) -> None:
    rows = classifiers.labelled(shared_data, "toxicity")[::8]
    folder = classifiers.trained(rows, "linear", 0, tmp_path / "speed")
    usage, speed = classifiers.speed(folder, texts(shared_data)[:20], 1)
    assert speed > 0
    assert usage[0].cpu_seconds > 0


def test_missing_documents_are_an_error_that_says_where(tmp_path: Path) -> None:
    with pytest.raises(classifiers.MeasureError, match="Give the folder with --data"):
        classifiers.labelled(tmp_path, "human")


def test_the_table_shows_areas_precision_and_speed(tmp_path: Path) -> None:
    assert classifiers_table.table(tmp_path) == ""
    figures = {
        "documents": 1200,
        "positives": 400,
        "roc_auc": 0.9,
        "roc_auc_least": 0.85,
        "roc_auc_largest": 0.95,
        "at_kept_share": [{"kept_share": s, "precision": s} for s in (0.1, 0.2, 0.5)],
        "at_threshold": [
            {"threshold": t, "precision": None, "recall": t} for t in (0.25, 0.5, 0.75)
        ],
    }
    ours = {"quality": {"human": {"linear": figures}}, "mb_per_cpu_second": {"linear": 71.25}}
    (tmp_path / "classifiers.json").write_text(json.dumps({"ours": ours}))
    lines = classifiers_table.table(tmp_path).splitlines()
    row = "| human | 1,200, 400 positive | linear | 0.900 (0.850, 0.950) | 0.10 | 0.20 | 0.50 |"
    assert row in lines
    assert "| human | linear | - / 0.25 | - / 0.50 | - / 0.75 |" in lines
    assert "| linear | 71.2 |" in lines
