"""Span and paragraph dedup through the phase driver."""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import Any

import pyarrow as pa
import pytest
from cpu_time import assert_time_in_proportion
from dedup_documents import doc_id, documents, nodes, placements, scattered, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from phase_driver import run_stage
from test_shingles import slow_normalise

from pipeline.batch import split_words
from stages.dedup.lines import page_hash
from stages.dedup.spans import ParagraphDedup, SpanDedup, without_units
from stages.kernels.sentences import sentence_counts
from stages.kernels.shingles import Normalisation
from stages.kernels.spans import UNITS, cut_units, folded_units
from stages.kernels.unicode_tables import NUM_CODE_POINTS

FREE: dict[str, Any] = {"min_sentences": 0, "min_words": 0}
PIECES = st.sampled_from(["One two.", "ONE, two!", "Three 4.", "Three 5.", "Six?", "***", "東京。"])
TEXTS = st.lists(st.tuples(PIECES, st.sampled_from([" ", "\n", "\n\n", "  \n"])), max_size=8).map(
    lambda parts: "".join(itertools.chain.from_iterable(parts))
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.one_of(st.none(), TEXTS),
            "url": st.sampled_from([None, "http://a.org/", "https://www.a.org", "http://b.org/x"]),
            "doc_id": st.sampled_from([doc_id(i) for i in range(4)]),
            "source": st.sampled_from(["web", "books"]),
        }
    ),
    max_size=6,
)
STAGES = st.builds(
    SpanDedup,
    unit=st.sampled_from(UNITS),
    length=st.integers(1, 3),
    keep=st.sampled_from([(), ("source:books",)]),
    within=st.sampled_from(["corpus", "source"]),
    min_sentences=st.just(0),
    min_words=st.sampled_from([0, 4]),
)


def column(*values: str | None) -> pa.Array:
    return pa.array(values, pa.large_string())


def units_of(text: str, unit: str) -> list[str]:
    """The units of a text, without the white space behind each."""
    (places,) = cut_units(column(text), unit)
    return [text.encode()[a:b].decode().strip() for a, b in places.tolist()]


def folded(text: str) -> str:
    """A unit as it is compared, by the slow definition; digits one by one."""
    switches = Normalisation(digits=False)
    digits = "".join("0" if c.isdecimal() else c for c in text)
    return " ".join(slow_normalise(digits, switches).split())


# --- Units ----------------------------------------------------------------------------------------


def test_a_text_is_cut_where_its_sentences_lines_and_paragraphs_end() -> None:
    text = "  One is here. Dr. Two is!  \n\n \nThree (is too.) Four\nFive.\n"
    assert units_of(text, "sentences") == [
        "One is here.", "Dr. Two is!", "Three (is too.)", "Four", "Five.",
    ]  # fmt: skip
    assert units_of(text, "lines") == ["One is here. Dr. Two is!", "Three (is too.) Four", "Five."]
    assert units_of(text, "paragraphs") == [
        "One is here. Dr. Two is!", "Three (is too.) Four\nFive.",
    ]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.text("aB. ?!\n\u3000É東。」", max_size=30), max_size=4))
def test_units_are_those_of_the_slow_definitions(values: list[str]) -> None:
    plain = [text.replace("。", "") for text in values]
    counts = sentence_counts(column(*plain), newlines_only=True).tolist()
    assert [len(units_of(text, "sentences")) for text in plain] == counts
    wide = [text.translate(dict.fromkeys(map(ord, ".?!"))) for text in values]
    for text in wide:
        lines = [
            re.findall(r"[^。]*。[。」\s]*|[^。]+$", line.strip()) for line in text.split("\n")
        ]
        assert units_of(text, "sentences") == [u.strip() for line in lines for u in line]
    for text in values:
        lines = [line.strip() for line in text.split("\n")]
        assert units_of(text, "lines") == [line for line in lines if line]
        parts = re.split(r"\n(?:[^\S\n]*\n)+", text)
        assert units_of(text, "paragraphs") == [p for part in parts if (p := part.strip())]


@settings(deadline=None)
@given(
    st.text(
        st.one_of(
            st.characters(exclude_categories=["Cs"]),
            st.sampled_from("aA1 -\u0301\u0344\U0001d1bb\U0001d15e\u226eÉß东한\u0130"),
        ),
        max_size=40,
    )
)
def test_units_are_folded_as_the_slow_definition_says(text: str) -> None:
    ((data, places),) = folded_units(column(text), "lines", Normalisation())
    found = [bytes(data[a:b]).decode() for a, b in places]
    assert found == [folded(line) for line in units_of(text, "lines")]


def test_no_character_outgrows_the_room_it_is_folded_into() -> None:
    surrogates = range(0xD800, 0xE000)
    every = [chr(code) for code in range(1, NUM_CODE_POINTS) if code not in surrogates]
    for marks in (False, True):
        ((data, places),) = folded_units(
            column("".join(every)), "paragraphs", Normalisation(marks=marks)
        )
        assert places[-1][1] < len(data)
    changed = [c for c in every if unicodedata.normalize("NFD", c.lower()) != c]
    longest = max(len(folded(c).encode()) / len(c.encode()) for c in changed)
    assert longest <= 3


# --- Spans ----------------------------------------------------------------------------------------


def test_three_sentences_in_a_row_stay_on_one_page_and_two_are_no_span() -> None:
    shared = "The gate opens at nine. It is made of oak. Nobody has the key."
    one, two = sorted(("http://a.org", "http://b.org"), key=lambda url: page_hash(url, b""))
    table = documents(
        [
            {"url": two, "text": f"Own words of the second. {shared.upper()} The end of it."},
            {"url": one, "text": f"Own words of the first. {shared}"},
            {"url": "http://c.org", "text": "The gate opens at nine. It is made of oak. Own end."},
        ]
    )
    outcome = run_stage(SpanDedup(**FREE), [table])
    assert outcome.kept["text"].to_pylist() == [
        "Own words of the second. The end of it.",
        f"Own words of the first. {shared}",
        "The gate opens at nine. It is made of oak. Own end.",
    ]
    assert outcome.metrics["units_removed"].to_pylist() == [3, 0, 0]
    assert outcome.metrics["spans_lost"].to_pylist() == [1, 0, 0]
    assert outcome.metrics["sentences_left"].to_pylist() == [2, None, None]
    (lost,) = [t for t in outcome.tables["lost_spans"].values() if t.num_rows]
    assert lost["matched_doc_id"].to_pylist() == [doc_id(1)]


def test_the_policy_says_who_keeps_a_span() -> None:
    table = documents([{"text": "One. Two. Three.", "source": s} for s in ("web", "books")])
    outcome = run_stage(SpanDedup(**FREE, keep=("source:books",)), [table])
    assert outcome.kept["source"].to_pylist() == ["books"]
    assert outcome.dropped["reason"].to_pylist() == ["too_few_chars"]
    assert run_stage(SpanDedup(**FREE, within="source"), [table]).dropped.num_rows == 0


def test_copies_that_overlap_the_kept_one_lose_only_the_rest() -> None:
    outcome = run_stage(SpanDedup(**FREE), [texts("Ha. Ha. Ha. Ha. Ha.")])
    assert outcome.kept["text"].to_pylist() == ["Ha. Ha. Ha."]


def test_paragraphs_are_compared_as_ccnet_does() -> None:
    pages = texts("Published 3 May 2021!\nCafé.\nOwn line", "published — 4 May 1999\nCafe\n* * *")
    outcome = run_stage(ParagraphDedup(min_chars=1), [pages])
    assert sorted(outcome.metrics["units_removed"].to_pylist()) == [0, 1]
    same_accents = run_stage(ParagraphDedup(min_chars=1, marks=True), [pages])
    assert sorted(same_accents.metrics["units_removed"].to_pylist()) == [0, 2]


def test_a_document_with_too_little_left_is_dropped_with_its_reason() -> None:
    shared = "One of these. Two of these. Three of these."
    table = documents(
        [
            {"source": "books", "text": shared},
            {"source": "web", "text": f"{shared} Four words are left. Five. Six."},
            {"source": "web", "text": "Short. But. Whole."},
        ]
    )
    keep = {"keep": ("source:books",)}
    for knobs, reason in (
        ({"min_sentences": 4, "min_words": 0}, "too_few_sentences"),
        ({"min_sentences": 0, "min_words": 7}, "too_few_words"),
        ({**FREE, "min_chars": 100}, "too_few_chars"),
    ):
        outcome = run_stage(SpanDedup(**keep, **knobs), [table])  # type: ignore[arg-type]
        assert outcome.dropped["reason"].to_pylist() == [reason]
    assert run_stage(SpanDedup(**FREE, keep=("source:books",)), [table]).dropped.num_rows == 0


def test_spans_of_few_words_are_none_if_so_asked() -> None:
    pages = texts("Yes. No. Maybe.", "Yes. No. Maybe.")
    assert run_stage(SpanDedup(**FREE, min_span_words=4), [pages]).dropped.num_rows == 0
    assert run_stage(SpanDedup(**FREE, min_span_words=3), [pages]).dropped.num_rows == 1


def test_a_bad_policy_is_refused_while_planning() -> None:
    with pytest.raises(ValueError, match="'date' is no preference"):
        SpanDedup(keep=("date",)).check()
    assert SpanDedup(keep=("-date",), within="source").reads == ("text", "url", "source", "date")


@settings(deadline=None)
@given(TEXTS, st.sampled_from(UNITS), st.data())
def test_what_is_cut_leaves_all_other_units_as_they_were(
    text: str, unit: str, data: st.DataObject
) -> None:
    units = units_of(text, unit)
    if not units:
        return
    gone = data.draw(st.sets(st.sampled_from(range(len(units)))))
    (places,) = cut_units(column(text), unit)
    left = without_units(text, places.tolist(), gone)
    expected = [u for n, u in enumerate(units) if n not in gone]
    assert units_of(left, unit) == expected
    if not gone:
        assert left == text


def test_cutting_takes_time_in_proportion_to_the_text() -> None:
    def cut(text: str) -> None:
        (places,) = cut_units(column(text), "lines")
        without_units(text, places.tolist(), set(range(0, len(places), 2)))

    assert_time_in_proportion(cut, "a b\n" * 400_000)


@settings(max_examples=60, deadline=None)
@given(st.data(), ROWS, STAGES, st.integers(1, 5), st.integers(0, 9))
def test_partitions_buckets_and_order_change_nothing(
    data: st.DataObject, rows: list[dict[str, Any]], stage: SpanDedup, buckets: int, shuffle: int
) -> None:
    table = documents(rows)
    places = data.draw(placements(len(rows)))
    one = run_stage(stage, [table], buckets=1)
    many = run_stage(stage, scattered(table, places), buckets, batch_rows=3, shuffle=shuffle)
    assert sorted(map(str, many.kept.to_pylist())) == sorted(map(str, one.kept.to_pylist()))
    assert nodes(many.dropped) == nodes(one.dropped)
    assert len(rows) == one.kept.num_rows + one.dropped.num_rows


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from(UNITS), st.integers(1, 3))
def test_each_unit_stays_somewhere_and_no_span_of_the_corpus_stays_twice(
    rows: list[dict[str, Any]], unit: Any, length: int
) -> None:
    stage = SpanDedup(unit=unit, length=length, **FREE)
    outcome = run_stage(stage, [documents(rows)])
    before = {folded(u) for row in rows for u in units_of(row["text"] or "", unit)}
    after = {
        folded(u) for text in outcome.kept["text"].to_pylist() for u in units_of(text or "", unit)
    }
    assert before - {""} == after - {""}
    if length == 1:
        left = [
            folded(u)
            for text in outcome.kept["text"].to_pylist()
            for u in units_of(text or "", unit)
        ]
        assert sorted(u for u in left if u) == sorted(before - {""})


def test_words_of_what_is_left_are_those_of_the_pipeline() -> None:
    pages = texts("東京。 東京。 東京。 東京。 left here")
    outcome = run_stage(SpanDedup(**FREE, length=1), [pages])
    (left,) = outcome.kept["text"].to_pylist()
    assert outcome.metrics["words_left"].to_pylist() == [len(split_words(left))]
