"""`counting`: the kernels against the definitions of the pipelines that they follow."""

from __future__ import annotations

from typing import Any

import pytest
import slow_counting as other
import slow_measures as slow
from hypothesis import given, settings
from test_measures import C4_TEXTS, HOSTILE, REPETITIVE, TEXTS, needs_same_unicode

from pipeline.stage import RowStage
from stages.c4 import C4Lines
from stages.counting import DATATROVE_PUNCTUATION
from stages.gopher import STOP_WORDS, GopherQuality, GopherRepetition

QUALITY = {
    "datatrove": other.datatrove_quality,
    "dclm": other.dclm_quality,
    "dolma": other.dolma_quality,
}
REPETITION = {"dclm": other.dclm_repetition, "dolma": other.dolma_repetition}
WORDS = ("the", "a", "ab", "b'a", "é", "中", "")
COUNTINGS = tuple(QUALITY)


def close(found: list[dict[str, Any]], wanted: list[Any]) -> None:
    for one, two in zip(found, wanted, strict=True):
        assert set(one) == set(two)
        for name, value in two.items():
            assert one[name] == value, name


@needs_same_unicode
@pytest.mark.parametrize("counting", COUNTINGS)
@settings(max_examples=200, deadline=None)
@given(texts=TEXTS)
def test_quality_is_counted_as_that_pipeline_counts(counting: Any, texts: list[str]) -> None:
    stage = GopherQuality(stop_words=WORDS, counting=counting)
    close(slow.measured_all(stage, texts), [QUALITY[counting](text, WORDS) for text in texts])


@needs_same_unicode
@pytest.mark.parametrize("counting", list(REPETITION))
@settings(max_examples=200, deadline=None)
@given(texts=TEXTS)
def test_repetition_is_counted_as_that_pipeline_counts(counting: Any, texts: list[str]) -> None:
    found = slow.measured_all(GopherRepetition(counting=counting), texts)
    close(found, [REPETITION[counting](text) for text in texts])


@needs_same_unicode
@settings(max_examples=100, deadline=None)
@given(REPETITIVE)
def test_datatrove_and_the_paper_count_copies_alike(text: str) -> None:
    assert slow.measured(GopherRepetition(), text) == slow.measured(
        GopherRepetition(counting="datatrove"), text
    )


@needs_same_unicode
def test_real_texts_are_counted_as_those_pipelines_count(real_texts: list[dict[str, Any]]) -> None:
    texts = [row["text"] for row in real_texts[:150]]
    for name, quality in QUALITY.items():
        stage: RowStage = GopherQuality(counting=name)  # type: ignore[arg-type]
        close(slow.measured_all(stage, texts), [quality(text, STOP_WORDS) for text in texts])
    for name, repetition in REPETITION.items():
        stage = GopherRepetition(counting=name)  # type: ignore[arg-type]
        close(slow.measured_all(stage, texts), [repetition(text) for text in texts])


def test_datatroves_punctuation_has_its_281_characters() -> None:
    assert len(DATATROVE_PUNCTUATION) == 281
    assert set(".,!?;:'\"-…—。、「」１\x85\x1f") <= DATATROVE_PUNCTUATION
    assert not set("aé1中 \t\n") & DATATROVE_PUNCTUATION - {"\t"}


@pytest.mark.parametrize(
    ("counting", "text", "metric", "value"),
    [
        ("datatrove", "The cat, of -- all", "word_count", 4),
        ("datatrove", "The of, of", "stop_word_count", 1),
        ("datatrove", "• a\n\n* b\n- c", "bullet_line_ratio", 0.5),
        ("dclm", 'The "cat" (sat) _on_ 3 mats, ___', "word_count", 3),
        ("dclm", "# a . . . b", "symbol_word_ratio", 2 / 6),
        ("dclm", "The the of, THE", "stop_word_count", 3),
        ("dclm", "a\n\n* b", "bullet_line_ratio", 0.5),
        ("dolma", "a bb ccccccccc dd", "mean_word_length", 2.0),
        ("dolma", "a…b ##x c", "symbol_word_ratio", 2 / 3),
        ("dolma", " - a\n- b\nc…\nd...", "bullet_line_ratio", 0.25),
        ("dolma", " - a\n- b\nc…\nd...", "ellipsis_line_ratio", 0.25),
        ("dolma", "the The the", "stop_word_count", 2),
    ],
)
def test_the_pipelines_differ_where_the_table_says(
    counting: Any, text: str, metric: str, value: float
) -> None:
    assert slow.measured(GopherQuality(counting=counting), text)[metric] == value


def test_the_first_copy_of_a_line_counts_for_dclm_and_dolma_alone() -> None:
    text = "aa\naa\nbb\ncc"
    ratios = {
        name: slow.measured(GopherRepetition(counting=name), text)["duplicate_line_ratio"]
        for name in ("paper", "datatrove", "dclm", "dolma")
    }
    assert ratios == {"paper": 0.25, "datatrove": 0.25, "dclm": 0.5, "dolma": 0.5}


def test_a_word_of_dclm_that_begins_with_a_mark_is_in_no_ngram() -> None:
    text = "(so a b" + " c" * 9  # `a b` and nine of `c`, of which the `c` repeat
    ratios = {
        name: slow.measured(GopherRepetition(counting=name), text)["duplicate_5gram_ratio"]
        for name in ("dclm", "dolma")
    }
    assert ratios == {"dclm": 9 / 11, "dolma": 25 / 42}


def test_datatrove_judges_paragraphs_before_lines() -> None:
    names = [rule.name for rule in GopherRepetition(counting="datatrove").rules()]
    assert names[:3] == [
        "duplicate_paragraph_ratio",
        "duplicate_paragraph_char_ratio",
        "duplicate_line_ratio",
    ]
    assert set(names) == {rule.name for rule in GopherRepetition().rules()}


def test_a_count_that_a_counting_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="min_top_count"):
        GopherRepetition(counting="dclm", min_top_count=2).check()


# --- C4 ----------------------------------------------------------------------------------------


def dolma_lines(stage: C4Lines, text: str) -> list[str]:
    """Dolma's c4_v2: the lines that its replication mixer leaves."""
    kept = []
    for raw in text.split("\n"):
        line = raw.strip()
        marked = not stage.end_marks or line.endswith(stage.end_marks)
        if marked and len(line.split()) >= stage.min_words_per_line:
            kept.append(line)
    return kept


@settings(max_examples=200, deadline=None)
@given(C4_TEXTS)
def test_dolma_condemns_pages_whatever_becomes_of_the_line(text: str) -> None:
    stage = C4Lines(counting="dolma", min_words_per_line=2, min_sentences=0)
    made = slow.rewritten(stage, text)
    lower = text.lower()
    for phrase, metric in (("{", "curly_brackets"), ("lorem ipsum", "lorem_ipsum"),
                           ("javascript", "lines_javascript")):  # fmt: skip
        wanted = sum(phrase in line for line in lower.split("\n"))
        assert made.metrics[metric] == wanted
    assert made.text == "\n".join(dolma_lines(stage, text)).strip()


def test_a_line_of_dolma_ends_at_a_newline_alone() -> None:
    text = "One two.\u2028Three four\x0bfive\nsix seven eight."
    dolma = C4Lines(counting="dolma", min_words_per_line=3, min_sentences=0)
    assert slow.rewritten(dolma, text).text == "six seven eight."
    text = text.replace("five", "five.")
    assert slow.rewritten(dolma, text).text == text
    assert slow.rewritten(C4Lines(min_words_per_line=3), text).text == "six seven eight."


def test_datatrove_counts_a_lines_words_before_its_citations_are_cut() -> None:
    text = "One two three [1] [2]."
    assert slow.rewritten(C4Lines(min_words_per_line=5), text).metrics["lines_too_short"] == 1
    stage = C4Lines(min_words_per_line=5, counting="datatrove")
    made = slow.rewritten(stage, text)
    assert made.metrics["lines_too_short"] == 0
    assert made.text == "One two three  ."


def test_a_javascript_line_is_a_reason_for_dolma_alone() -> None:
    assert "javascript" in {rule.name for rule in C4Lines(counting="dolma").rules()}
    assert "javascript" not in {rule.name for rule in C4Lines().rules()}


@settings(max_examples=100, deadline=None)
@given(HOSTILE)
def test_without_citations_datatrove_and_tfds_read_lines_alike(text: str) -> None:
    if "[" in text:
        return
    ours, theirs = C4Lines(min_words_per_line=2), C4Lines(2, counting="datatrove")
    assert slow.rewritten(ours, text).text == slow.rewritten(theirs, text).text
