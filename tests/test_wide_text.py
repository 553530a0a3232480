"""What kernels read of a text 64 bytes at a time is what they would read one at a time."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import slow_measures as slow
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batch import split_words
from stages.c4 import C4Lines, C4Sentences
from stages.counting import solid_characters
from stages.fineweb import FinewebQuality
from stages.gopher import GopherQuality, GopherRepetition
from stages.kernels import wide_text as wide
from stages.kernels.characters import character_flags
from stages.kernels.counting import word_facts
from stages.kernels.jit import jit_bare
from stages.kernels.unicode_tables import unicode_version
from stages.kernels.wide_words import words_at
from stages.kernels.words import word_characters

SPACES = bytes([*range(0x09, 0x0E), *range(0x1C, 0x21)])
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
some_bytes = st.one_of(
    st.binary(min_size=wide.WIDE, max_size=200),
    st.text("aZ0_ #.…\n\r?![é中\x1c\x7f", min_size=wide.WIDE, max_size=200).map(str.encode),
)


def plain_bits(data: bytes, at: int, wanted: bytes) -> int:
    return sum(1 << i for i, byte in enumerate(data[at : at + wide.WIDE]) if byte in wanted)


@jit_bare
def _ask(data: Any, at: Any, out: Any) -> None:
    out[0], out[1], out[2], out[3] = wide.class_bits(data, at)
    out[4], out[5], out[6] = wide.symbol_bits(data, at)
    out[7], out[8] = wide.mark_bits(data, at), wide.break_bits(data, at)
    out[9], out[10] = wide.lead_bits(data, at), wide.newline_bits(data, at)
    out[11], out[12] = wide.bracket_bits(data, at), wide.low_line_bits(data, at)
    out[13] = wide.high_bits(data, at)


@given(some_bytes, st.data())
@settings(max_examples=200, deadline=None)
def test_each_question_marks_the_bytes_that_it_asks_for(data: bytes, draw: Any) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    found = np.zeros(14, np.uint64)
    _ask(np.frombuffer(data, np.uint8), at, found)
    high, leads = bytes(range(0x80, 0x100)), bytes([*range(0x80), *range(0xC0, 0x100)])
    breaks = bytes([*range(0x0A, 0x0E), *range(0x1C, 0x1F), 0xC2, 0xE2])
    kinds = [high, SPACES, LETTERS, LETTERS + b"0123456789", b"#", b".", b"\xe2", b".?!", breaks,
             leads, b"\n", b"[", b"_", high]  # fmt: skip
    assert found.tolist() == [plain_bits(data, at, kind) for kind in kinds]


@jit_bare
def _read(data: Any, at: Any, count: Any, out: Any) -> None:
    out[0] = wide.eight(data, at, count)
    out[1] = wide.count_leads(data, at, at + count)
    out[2] = wide.find_newline(data, at, at + count)
    out[3] = wide.low_bits(count)


@given(some_bytes, st.data())
@settings(max_examples=200, deadline=None)
def test_bytes_and_characters_are_read_up_to_the_last(data: bytes, draw: Any) -> None:
    at = draw.draw(st.integers(0, len(data)))
    count = draw.draw(st.integers(0, len(data) - at))
    found = np.zeros(4, np.uint64)
    _read(np.frombuffer(data, np.uint8), at, count, found)
    part = data[at : at + count]
    assert found.tolist() == [
        int.from_bytes(part[:8], "little"),
        sum(byte & 0xC0 != 0x80 for byte in part),
        at + (part.find(b"\n") if b"\n" in part else count),
        2 ** min(count, 64) - 1,
    ]


@jit_bare
def _same(data: Any, start: Any, end: Any, begin: Any, out: Any) -> None:
    out[0] = wide.same_text(data, start, end, data, begin)


@given(st.text("ab", min_size=wide.WIDE, max_size=90).map(str.encode), st.data())
@settings(max_examples=200, deadline=None)
def test_texts_are_the_same_if_all_their_bytes_are(data: bytes, draw: Any) -> None:
    size = draw.draw(st.integers(0, 20))
    start, begin = (draw.draw(st.integers(0, len(data) - size)) for _ in range(2))
    found = np.zeros(1, np.bool_)
    _same(np.frombuffer(data, np.uint8), start, start + size, begin, found)
    assert found[0] == (data[start : start + size] == data[begin : begin + size])


@jit_bare
def _move(out: Any, at: Any, stop: Any, to: Any, behind: Any) -> None:
    behind[0] = wide.move_bytes(out, at, stop, out, to)


@given(some_bytes, st.data())
@settings(max_examples=100, deadline=None)
def test_bytes_move_within_an_array_whether_or_not_places_overlap(data: bytes, draw: Any) -> None:
    size = draw.draw(st.integers(0, len(data)))
    at, to = (draw.draw(st.integers(0, len(data) - size)) for _ in range(2))
    out, behind = np.frombuffer(data, np.uint8).copy(), np.zeros(1, np.int64)
    _move(out, at, at + size, to, behind)
    assert out.tobytes() == data[:to] + data[at : at + size] + data[to + size :]
    assert behind[0] == to + size


@jit_bare
def _heads(data: Any, at: Any, head: Any, size: Any, out: Any) -> None:
    out[0] = wide.head_bits(data, at, head[0], head[1], head[2], size)


@given(st.text("abAB{[ ", min_size=80, max_size=120).map(str.encode), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_no_place_where_a_phrase_begins_is_missed(data: bytes, size: int) -> None:
    head, found = np.frombuffer(b"abb" if size > 1 else b"{{{", np.uint8), np.zeros(1, np.uint64)
    _heads(np.frombuffer(data, np.uint8), 3, head, size, found)
    small, wanted = data.lower(), head.tobytes()[:size]
    for place in range(wide.WIDE):
        if small[3 + place : 3 + place + size] == wanted:
            assert int(found[0]) >> place & 1


@jit_bare
def _spans(data: Any, at: Any, stop: Any, flags: Any, solids: Any, out: Any) -> Any:
    """(start, end, 1 if it has a solid character) of each word; a long one ends the search."""
    count = 0
    while at < stop:
        length, starts, lasts, _, _, _, solid = words_at(data, at, stop, flags, solids)
        if length == 0:
            break
        while starts != wide.NONE:
            start, end = wide.lowest_bit(starts), wide.lowest_bit(lasts) + 1
            starts, lasts = starts & (starts - wide.ONE), lasts & (lasts - wide.ONE)
            word = wide.low_bits(end) & ~wide.low_bits(start)
            out[count, 0], out[count, 1] = at + start, at + end
            out[count, 2] = solid & word != wide.NONE
            count += 1
        at += length
    return count


# Runs about as long as what is read at a time, of characters of all sizes and kinds.
RUNS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("aé中🙂._-#0\u0301ㅏ"), st.integers(1, 70)).map(
            lambda run: run[0] * run[1]
        ),
        st.sampled_from(
            [" ", " ", "\n", "\u2028", "\x85", "\xa0", "the", "Of,", "...", "…", "[1]"]
        ),
    ),
    max_size=14,
).map("".join)
SHORT_WORDS = st.text("aé中🙂-_ \n\u2003", max_size=200)


@given(SHORT_WORDS)
@settings(max_examples=200, deadline=None)
def test_words_and_their_solid_characters_stand_where_a_plain_split_finds_them(text: str) -> None:
    data, offsets = wide.text_bytes(pa.array([text], pa.large_string()))
    out = np.zeros((len(text) + 1, 3), np.int64)
    count = _spans(data, 0, offsets[1], character_flags(), word_characters(), out)
    found = [(data[start:end].tobytes().decode(), solid) for start, end, solid in out[:count]]
    wanted = split_words(text)
    assert [word for word, _ in found] == wanted[: len(found)]
    assert all(len(word.encode()) > 60 for word in wanted[len(found) : len(found) + 1])
    for word, solid in found:
        assert solid == bool(re.search("[^\\W_]", word))


@pytest.mark.skipif(
    __import__("unicodedata").unidata_version != unicode_version(),
    reason="the tables are of another Unicode than this Python's",
)
@given(st.lists(RUNS, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_long_runs_are_measured_as_the_slow_definitions_do(texts: list[str]) -> None:
    quality, c4 = GopherQuality(stop_words=("the", "of", "é")), C4Lines(max_word_chars=60)
    assert slow.measured_all(quality, texts) == [
        slow.gopher_quality(text, quality.stop_words) for text in texts
    ]
    assert slow.measured_all(GopherRepetition(), texts) == [
        slow.gopher_repetition(text, 1) for text in texts
    ]
    assert slow.measured_all(FinewebQuality(), texts) == [
        slow.fineweb_quality(text, 30) for text in texts
    ]
    expected = [slow.c4_lines(c4, text) for text in texts]
    assert slow.processed(c4, texts).columns["text"].to_pylist() == [one.text for one in expected]
    assert slow.measured_all(c4, texts) == [one.metrics for one in expected]
    assert slow.measured_all(C4Sentences(), texts) == [
        {"sentences": sum(map(slow.count_sentences, text.splitlines()))} for text in texts
    ]


def test_a_table_in_which_a_letter_is_not_solid_is_refused() -> None:
    solid = solid_characters("dclm").copy()
    solid[ord("a")] = False
    with pytest.raises(ValueError, match="not solid"):
        word_facts(pa.array(["a"], pa.large_string()), solid, one_by_one=False, leading=False)
