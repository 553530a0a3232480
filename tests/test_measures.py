"""The kernels of the filters against their slow definitions, on hostile Unicode and real texts."""

from __future__ import annotations

import re
import sys
import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import slow_measures as slow
from cpu_time import assert_time_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batch import TextBatch
from pipeline.stage import Side
from stages.c4 import C4Lines, C4Paragraphs, C4Sentences
from stages.fineweb import FinewebQuality
from stages.gopher import GopherQuality, GopherRepetition
from stages.kernels import make_unicode_tables as make
from stages.kernels.characters import character_flags, lower_codes
from stages.kernels.lines import line_counts, mark_counts
from stages.kernels.repetition import repetition_counts
from stages.kernels.sentences import sentence_counts
from stages.kernels.unicode_tables import DOTTED_I, raw_tables, unicode_version
from stages.kernels.words import distinct_words_of, word_counts, word_set

needs_same_unicode = pytest.mark.skipif(
    unicodedata.unidata_version != unicode_version(),
    reason=f"the tables are Unicode {unicode_version()}, this Python's is another",
)
HOSTILE = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("aab  \n\n\n..…#•●-*\t\r\x0b\x1c\x85\xa0\u2028\u3000。！?"),
        st.sampled_from("中文かกำ한국\u0301\u0345ΣσςİK'’_٣³Ⓐªßſ\x00\ufeff🙂\U000f0000"),
    ),
    max_size=80,
)
REPETITIVE = st.lists(
    st.sampled_from(["a", "b", "ab", " ", " ", "\n", "\n\n", "中", "é", "..."]), max_size=120
).map("".join)
TEXTS = st.lists(st.one_of(HOSTILE, REPETITIVE), min_size=1, max_size=4)
STOP_WORDS = ("the", "a", "ab", "b'a", "σ", "ας", "ασ", "k", "i", "i\u0307a", "é", "中", "")


@needs_same_unicode
@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_gopher_quality_is_what_the_slow_definition_says(texts: list[str]) -> None:
    found = slow.measured_all(GopherQuality(stop_words=STOP_WORDS), texts)
    assert found == [slow.gopher_quality(text, STOP_WORDS) for text in texts]


@needs_same_unicode
@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(1, 3))
def test_gopher_repetition_is_what_the_slow_definition_says(texts: list[str], least: int) -> None:
    found = slow.measured_all(GopherRepetition(min_top_count=least), texts)
    assert found == [slow.gopher_repetition(text, least) for text in texts]


@needs_same_unicode
@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(0, 9))
def test_fineweb_quality_is_what_the_slow_definition_says(texts: list[str], short: int) -> None:
    found = slow.measured_all(FinewebQuality(short_line_chars=short), texts)
    assert found == [slow.fineweb_quality(text, short) for text in texts]


C4_TEXTS = st.one_of(
    HOSTILE,
    st.lists(
        st.sampled_from(
            ["lorem ipsum", "JavaScript", "{", "Use CooKies", "use of cooKies", "privacy policy",
             "[12]", "[٣]", "[]", "[edit]", "[citation needed]", "[", "]", "[1", "...", ".", "?",
             "!", '"', "”", ")", "Mr", "e.g", "J", "İ", "K", "figs", "ab", "Ab", "ª", " ", "\n",
             "\r\n", "\r", "\x0b", "\x85", "\u2028", "\x1c", "\xa0", "é", "中", "-"]
        ),
        max_size=60,
    ).map("".join),
)  # fmt: skip
C4_STAGES = st.builds(
    C4Lines,
    min_words_per_line=st.integers(0, 4),
    max_word_chars=st.integers(1, 20),
    end_marks=st.sampled_from([(), (".", "?", "!", '"'), ("ab", "”", "中"), ("",)]),
)


@needs_same_unicode
@settings(max_examples=600, deadline=None)
@given(st.lists(C4_TEXTS, min_size=1, max_size=3), C4_STAGES)
def test_c4_cleans_lines_as_the_slow_definition_does(texts: list[str], stage: C4Lines) -> None:
    expected = [slow.c4_lines(stage, text) for text in texts]
    made = slow.processed(stage, texts)
    assert made.columns["text"].to_pylist() == [one.text for one in expected]
    assert slow.measured_all(stage, texts) == [one.metrics for one in expected]


@needs_same_unicode
@settings(max_examples=600, deadline=None)
@given(C4_TEXTS)
def test_sentences_are_what_the_slow_definition_counts(text: str) -> None:
    lines = text.splitlines()
    assert slow.measured(C4Sentences(), text) == {
        "sentences": sum(map(slow.count_sentences, lines))
    }
    column = pa.array([text], pa.large_string())
    whole = sum(map(slow.count_sentences, text.split("\n")))
    assert sentence_counts(column, newlines_only=True).tolist() == [whole]


@settings(deadline=None)
@given(HOSTILE, st.integers(0, 5))
def test_long_lines_are_counted_as_they_stand(text: str, least: int) -> None:
    found = slow.measured(C4Paragraphs(min_paragraph_chars=least), text)
    assert found == {"long_lines": sum(len(line) >= least for line in text.split("\n"))}


@needs_same_unicode
def test_real_texts_are_cleaned_as_the_slow_definition_does(
    real_texts: list[dict[str, Any]],
) -> None:
    texts = [row["text"] for row in real_texts]
    for stage in (C4Lines(), C4Lines(end_marks=(), min_words_per_line=3, min_sentences=5)):
        expected = [slow.c4_lines(stage, text) for text in texts]
        made = slow.processed(stage, texts).columns["text"].to_pylist()
        assert made == [one.text for one in expected]
        assert slow.measured_all(stage, texts) == [one.metrics for one in expected]


@needs_same_unicode
def test_on_real_texts_every_metric_is_what_the_slow_definitions_say(
    real_texts: list[dict[str, Any]],
) -> None:
    texts = [row["text"] for row in real_texts]
    texts += [text.upper() for text in texts[:50]] + [text + "\n" + text for text in texts[:50]]
    quality, repetition, fineweb = GopherQuality(), GopherRepetition(), FinewebQuality()
    assert slow.measured_all(quality, texts) == [
        slow.gopher_quality(text, quality.stop_words) for text in texts
    ]
    assert slow.measured_all(repetition, texts) == [slow.gopher_repetition(t, 1) for t in texts]
    assert slow.measured_all(fineweb, texts) == [slow.fineweb_quality(t, 30) for t in texts]


@needs_same_unicode
@settings(max_examples=300, deadline=None)
@given(
    st.text("aΣσς'\u0301\u0345\u00adİiKk.-中1_", max_size=10), st.text("aσς'iİ\u0307k", max_size=5)
)
def test_a_stop_word_is_found_as_str_lower_would_find_it(word: str, other: str) -> None:
    bare = slow.AROUND_WORD.sub("", word.lower())
    for wanted in {bare, other}:
        words = slow.split_words(word)
        expected = {slow.AROUND_WORD.sub("", w.lower()) for w in words} & {wanted}
        found = distinct_words_of(pa.array([word], pa.large_string()), word_set([wanted]))
        assert found.tolist() == [len(expected)]


@needs_same_unicode
def test_the_flags_of_every_character_are_those_of_python() -> None:
    stored, flags = raw_tables(), character_flags()
    assert stored["alpha"] == make.ranges(str.isalpha)
    assert stored["word"] == make.ranges(lambda char: re.match(r"\w", char) is not None)
    assert stored["lowercase"] == make.ranges(str.islower)
    assert stored["cased"] == make.ranges(make.is_cased)
    assert stored["ignorable"] == make.ranges(make.is_ignorable)
    assert stored["digit"] == make.ranges(lambda char: re.match(r"\d", char) is not None)
    assert stored["space"] == make.ranges(str.isspace)
    assert len(flags) == sys.maxunicode + 1


@needs_same_unicode
def test_lower_case_changes_neither_letters_nor_word_characters() -> None:
    lower = lower_codes()
    for code in make.code_points():
        char = chr(code)
        if code != DOTTED_I:
            assert chr(lower[code]) == char.lower()
            assert re.match(r"\w", char) is None or re.match(r"\w", char.lower())
            assert re.match(r"\w", char) is not None or not re.match(r"\w", char.lower())
            assert char.isalpha() == char.lower().isalpha()


def test_bytes_that_are_no_utf8_are_survived() -> None:
    for raw in (
        b"\xff\xfe\xc3",
        b"a \xe4\xb8\n\xe4",
        b"\xf4\xbf\xbf\xbf z",
        b"\x80" * 50,
        b"\n\xf0",
    ):
        offsets = pa.py_buffer(np.array([0, len(raw)], dtype=np.int64))
        texts = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(raw)])
        word_counts(texts)
        repetition_counts(texts, 1)
        mark_counts(texts, "-")
        line_counts(texts, np.zeros(0x110000, dtype=np.bool_), 30)
        distinct_words_of(texts, word_set(STOP_WORDS))
        sentence_counts(texts, newlines_only=False)
        C4Lines(end_marks=(), min_words_per_line=0).process(
            TextBatch(pa.table({"text": texts})), Side("test", 0)
        )


def test_a_slice_of_a_column_is_measured_like_the_same_texts_alone() -> None:
    texts = pa.array(["first a a", "b b b b\nb b b b", None, "c\n\nc"], pa.large_string())
    whole, part = repetition_counts(texts, 1), repetition_counts(texts.slice(1, 3), 1)
    assert {name: values[1:].tolist() for name, values in whole.items()} == {
        name: values.tolist() for name, values in part.items()
    }


@pytest.mark.parametrize(
    "text",
    ["a " * 500_000, "中" * 400_000, "\n" * 1_000_000, "x" * 1_000_000, "a\n\n" * 300_000,
     " ".join(str(n) for n in range(150_000)), "Σ'" * 300_000, "." * 1_000_000, "\xa0" * 500_000],
)  # fmt: skip
def test_measuring_takes_time_in_proportion_to_the_text(text: str) -> None:
    stages = (GopherQuality(), GopherRepetition(), FinewebQuality())
    for stage in stages:
        assert_time_in_proportion(lambda part, stage=stage: slow.measured(stage, part), text)
