"""The language benchmark: its figures by hand, its inputs, one real side, and its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import language, language_table
from benchmarks.language import Text


def test_f1_and_accuracy_are_those_worked_by_hand() -> None:
    gold, answers = ["a", "a", "b", "c"], ["a", "b", "b", "a"]
    assert language.f1_by_language(gold, answers) == {"a": 0.5, "b": 2 / 3, "c": 0.0}
    assert language.accuracy(gold, answers) == 0.5
    made = language.quality(
        ["en", "de", "de"], [("eng_Latn", 0.9), ("de", 0.4), ("en", 0.7)], {"en", "de"}
    )
    assert made["accuracy"] == 0.6667
    assert made["kept_at_65"] == 0.6667
    assert made["right_of_kept"] == 0.5
    assert made["worst"]["de"] == {"f1": 0.667, "taken_for": ["en"]}


def test_the_script_check_is_counted_for_wrong_and_right_answers() -> None:
    texts = [Text("s", "ru", "привет"), Text("s", "ru", "привет"), Text("s", "en", "hello")]
    made = language.script_check(texts, [("en", 1.0), ("ru", 1.0), ("ru", 1.0)])
    assert made == {"wrong": 2, "wrong_dropped": 2, "right_dropped": 0, "accuracy_of_rest": 1.0}


def test_the_sets_are_sentences_joined_ones_and_articles(shared_data: Path) -> None:
    found = language.texts(shared_data)
    of = [one.of for one in found]
    assert (of.count("sentence"), of.count("five")) == (11_250, 2_250)
    assert "und" not in {one.language for one in found}
    pages = language.mixed_pages(found)
    assert len(pages) == 4 * 75
    for name, other, lines in pages:
        assert [code for code, _ in lines].count(other) == 2
        assert [code for code, _ in lines].count(name) == 4


def test_a_side_answers_every_text_and_is_judged(tmp_path: Path, shared_data: Path) -> None:
    found = language.texts(shared_data)[::100]
    side = language.side(language.OURS)
    side.turn(language.written("langid", found, tmp_path))
    made = language.judged(found, side.found)
    assert made["sentence"]["accuracy"] > 0.85
    assert made["five"]["microseconds_a_text"] > made["sentence"]["microseconds_a_text"] > 0


def test_missing_texts_are_an_error_that_says_where(tmp_path: Path) -> None:
    with pytest.raises(language.MeasureError, match="Give the folder with --data"):
        language.texts(tmp_path)


def test_the_table_shows_the_best_of_each_row_in_bold(tmp_path: Path) -> None:
    assert language_table.table(tmp_path) == ""
    part = {
        "texts": 2000, "languages": 9, "known": 8, "accuracy": 0.9, "macro_f1": 0.8,
        "macro_f1_known": 0.85, "kept_at_65": 0.7, "right_of_kept": 0.95,
        "worst": {"bs": {"f1": 0.1, "taken_for": ["hr"]}, "en": {"f1": 0.5, "taken_for": []}},
        "script_check": {"wrong": 9, "wrong_dropped": 4, "right_dropped": 1},
        "microseconds_a_text": 21.4,
    }  # fmt: skip
    other = {**part, "accuracy": 0.8}
    sets = ("sentence", "five", "udhr")
    result = {
        "machine": {"command": "python -m benchmarks language"},
        "input": {"documents": 6000},
        "ours": {
            "quality": dict.fromkeys(sets, part),
            "paragraphs": {"pages": 3, "other_cut": 0.95, "wanted_cut": 0.02},
        },
        "peers": {"lid176": {"quality": dict.fromkeys(sets, other)}},
    }
    (tmp_path / "language.json").write_text(json.dumps(result))
    made = language_table.table(tmp_path)
    assert "| **one sentence** (2,000) |  |  |" in made
    assert "| accuracy | **0.900** | 0.800 |" in made
    assert "drops 4 of 9 wrong, 1 right" in made
    assert "bs 0.10 (hr), en 0.50" in made
    assert "95.0% of the other's bytes are cut, and 2.0% of the wanted one's." in made
