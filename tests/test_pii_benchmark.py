"""The benchmark of personal data: halves, scores, the bounds of quality, its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import pii, pii_gold, pii_table, report


def test_a_template_is_in_one_half_and_both_halves_are_used(shared_data: Path) -> None:
    rows = pii_gold.rows(shared_data)
    halves: dict[int, set[str]] = {}
    for row in rows:
        halves.setdefault(row["template_id"], set()).add(pii_gold.half(row))
    assert all(len(found) == 1 for found in halves.values())
    assert 250 < sum(pii_gold.half(row) == "dev" for row in rows) < 600


def test_scores_count_exact_spans_and_touched_ones() -> None:
    wanted = {(0, 0, 9, "email"), (0, 20, 30, "phone"), (1, 0, 5, "ip")}
    got = {(0, 0, 9, "email"), (0, 22, 30, "phone"), (2, 0, 5, "phone")}
    found = pii_gold.scores(wanted, got)
    assert (found["email"]["precision"], found["email"]["recall"]) == (1.0, 1.0)
    assert (found["phone"]["both"], found["phone"]["touched"]) == (0, 1)
    assert (found["phone"]["precision"], found["phone"]["recall"]) == (0.0, 0.0)
    assert (found["ip"]["precision"], found["ip"]["recall"]) == (None, 0.0)
    assert (found["iban"]["precision"], found["iban"]["recall"]) == (None, None)


def test_addresses_reach_the_bounds_of_quality(shared_data: Path) -> None:
    found = pii_gold.judged(shared_data, [("US",)])["US"]
    for half in ("all", *pii_gold.HALVES):
        for kind in ("email", "ip", "iban"):
            scores = found[half][kind]
            if scores["labelled"]:
                assert scores["precision"] >= 0.95, (half, kind)
                assert scores["recall"] >= 0.90, (half, kind)
    assert found["all"]["email"]["labelled"] == 36
    assert found["all"]["credit_card"]["precision"] >= 0.95


def test_the_benchmark_runs_and_its_table_shows_what_it_found(
    shared_data: Path, tmp_path: Path
) -> None:
    made = pii.run(report.Options(quick=True, data=shared_data, turns=1, pages=60))
    found = made.to_json()
    assert found["input"]["documents"] == 60
    assert all(speed > 0 for speed in found["ours"]["mb_per_cpu_second"].values())
    assert pii_table.table(tmp_path) == ""
    (tmp_path / "pii.json").write_text(json.dumps(found))
    lines = pii_table.table(tmp_path).splitlines()
    assert "| US | email | held out | 30 | 30 | 1.000 | 1.000 |" in lines
    assert "| US | ip | held out | 0 | 0 | - | - |" in lines
    assert any(line.startswith("| US+GB") and "| phone | all |" in line for line in lines)
    assert any(line.startswith("| secret | all pages |") for line in lines)


def test_no_texts_are_an_error_that_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(report.MeasureError, match="--data"):
        pii.texts(tmp_path)
