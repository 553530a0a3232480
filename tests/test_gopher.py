"""Gopher's quality and repetition metrics: a table of texts, values and verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_measures import duplicate_ngram_chars, measured, top_ngram_chars

from pipeline.stage import RowStage
from stages.gopher import GopherQuality, GopherRepetition

PROSE = " ".join(
    f"The boat number {n} came to the harbour and that was all they had to see." for n in range(12)
)


def reasons(stage: RowStage, metrics: dict[str, Any]) -> set[str]:
    broken = set()
    for rule in stage.rules():
        value = metrics[rule.metric]
        if value is not None and rule.minimum is not None and value < rule.minimum:
            broken.add(rule.reasons()[0])
        if value is not None and rule.maximum is not None and value > rule.maximum:
            broken.add(rule.reasons()[1])
    return broken


@pytest.mark.parametrize(
    ("text", "metric", "value"),
    [
        ("one two three", "word_count", 3),
        ("中文 ab", "word_count", 3),
        ("ab abcd", "mean_word_length", 3.0),
        ("# a # b", "symbol_word_ratio", 0.5),
        ("a... b… # c", "symbol_word_ratio", 0.5),
        ("- a\n\n  • b\nc\n* d", "bullet_line_ratio", 0.75),
        ("a...\nb… \nc", "ellipsis_line_ratio", 2 / 3),
        ("a1 22 -- b", "alpha_word_ratio", 0.5),
        ("The (of) to-be and, and", "stop_word_count", 3),
        ("", "word_count", 0),
        ("", "mean_word_length", None),
        ("", "bullet_line_ratio", None),
    ],
)
def test_quality_metrics_have_these_values(text: str, metric: str, value: float | None) -> None:
    assert measured(GopherQuality(), text)[metric] == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROSE, None),
        ("the and of to be " * 9, "word_count_too_low"),
        ("the and of to be " * 20_001, "word_count_too_high"),
        ("a to be of " * 40, "mean_word_length_too_low"),
        ("incomprehensibilities the unquestionably and " * 30, "mean_word_length_too_high"),
        (PROSE + " #tag" * 30, "symbol_word_ratio_too_high"),
        (PROSE + "\n" + "...\n" * 10, "ellipsis_line_ratio_too_high"),
        ("\n".join("- " + PROSE[:70] for _ in range(12)), "bullet_line_ratio_too_high"),
        (PROSE + " 1234" * 60, "alpha_word_ratio_too_low"),
        ("Katzen laufen schnell durch alle Gassen. " * 12, "stop_word_count_too_low"),
    ],
)
def test_a_text_breaks_the_quality_rule(text: str, reason: str | None) -> None:
    broken = reasons(GopherQuality(), measured(GopherQuality(), text))
    assert (reason in broken) if reason else not broken


def test_more_stop_words_wanted_than_named_is_refused() -> None:
    with pytest.raises(ValueError):
        GopherQuality(stop_words=("der",)).check()


def test_ngram_counts_match_examples_worked_by_hand() -> None:
    words = ["a", "b", "a", "b", "a", "b", "c"]
    assert top_ngram_chars(words, 2, 1) == 9  # "a b" three times
    assert top_ngram_chars(words, 3, 1) == 10  # "a b a" twice, before "b a b"
    assert top_ngram_chars(["a", "b", "c"], 2, 1) == 3
    assert top_ngram_chars(["a", "b", "c"], 2, 2) == 0
    assert top_ngram_chars(["a"], 2, 1) == 0
    # a b | b a | (a b) found, skipped over | a b again -> 4 characters
    assert duplicate_ngram_chars(words, 2) == 4
    assert duplicate_ngram_chars(["x", "y", "z"], 5) == 0


@pytest.mark.parametrize(
    ("text", "metric", "value"),
    [
        ("a\nb\na\na", "duplicate_line_ratio", 0.5),
        ("aa\nb\naa", "duplicate_line_char_ratio", 2 / 7),
        ("aa\n\nb\n\n\naa", "duplicate_paragraph_ratio", 1 / 3),
        ("aa\n\nb\n\naa", "duplicate_paragraph_char_ratio", 2 / 9),
        ("a b a b", "top_2gram_ratio", 6 / 7),
        ("v w x y z v w x y z", "duplicate_5gram_ratio", 5 / 19),
        ("", "duplicate_line_ratio", None),
    ],
)
def test_repetition_metrics_have_these_values(text: str, metric: str, value: float | None) -> None:
    assert measured(GopherRepetition(), text)[metric] == value


def test_repetitive_texts_are_dropped_and_prose_is_kept() -> None:
    stage = GopherRepetition()
    varied = " ".join(f"word{n} stands{n} here{n}" for n in range(60))
    assert reasons(stage, measured(stage, varied)) == set()
    spam = measured(stage, "Buy now and save a lot of money today. " * 30)
    assert {"top_4gram_ratio", "duplicate_5gram_ratio", "duplicate_10gram_ratio"} <= reasons(
        stage, spam
    )
    menu = measured(stage, "\n".join(["home", "about us", "home", "about us", "home"]))
    assert "duplicate_line_ratio" in reasons(stage, menu)


def test_every_rule_has_a_metric_in_every_measure() -> None:
    for stage in (GopherQuality(), GopherRepetition()):
        for text in ("", " ", "\n", "word", PROSE):
            assert set(measured(stage, text)) == set(stage.metric_types())


@settings(deadline=None)  # the first call compiles
@given(st.text(alphabet="ab \n", max_size=60))
def test_repetition_ratios_lie_between_zero_and_one(text: str) -> None:
    for name, value in measured(GopherRepetition(), text).items():
        # Copies of a top n-gram may overlap: its share alone can pass 1.
        assert value is None or 0 <= value <= (10 if name.startswith("top_") else 1)


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 6))
def test_duplicate_ngrams_never_cover_more_than_the_words(words: list[str], size: int) -> None:
    chars = duplicate_ngram_chars(words, size)
    assert chars % size == 0  # whole n-grams of one-letter words
    assert chars <= len(words)
