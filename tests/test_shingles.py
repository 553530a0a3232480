"""The shingle kernel against its slow definition, on hostile Unicode."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batch import split_words
from stages.kernels import make_unicode_tables
from stages.kernels.shingles import SLACK, Normalisation, shingle_hashes
from stages.kernels.unicode_tables import (
    ALONE,
    KIND_SHIFT,
    SEPARATOR,
    SEQUENCE,
    raw_tables,
    unicode_table,
    unicode_version,
)

BITS = 2**64 - 1
TERM = 0x9E3779B97F4A7C15
SAME_UNICODE = unicodedata.unidata_version == unicode_version()
needs_same_unicode = pytest.mark.skipif(
    not SAME_UNICODE, reason=f"the tables are Unicode {unicode_version()}, this Python's is another"
)

HOSTILE = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(
            "aAzZ019 .,\t\n\r\x00\x0b\x1c\x85\xa0­​ſKİıßẞςσΣÅéÉ٣３中あがกำ한글각ཀ་🙂\U000f0000"
        ),
        st.sampled_from("\u0301\u0344\u1e69\ufeff\u2028\u0f73\U0001d15e\u0e33\u0e50\u3000"),
    ),
    max_size=60,
)
SWITCHES = st.builds(Normalisation, *[st.booleans()] * 5)


def slow_mix(value: int) -> int:
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & BITS
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & BITS
    return value ^ value >> 33


def slow_normalise(text: str, switches: Normalisation) -> str:
    """Normalisation as a reader would write it, character by character."""
    if switches.lower:
        text = "".join("σ" if char == "ς" else char.lower() for char in text)
    if switches.marks:
        text = "".join(unicodedata.normalize("NFD", char) for char in text)
        text = "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
    if switches.digits:
        runs = itertools.groupby(text, key=lambda c: unicodedata.category(c) == "Nd")
        text = "".join("0" if is_digit else "".join(run) for is_digit, run in runs)
    if switches.punctuation:
        text = "".join(" " if is_punctuation(c) else c for c in text)
    return text


def is_punctuation(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "PS" or (category == "Cc" and not char.isspace())


def slow_words(text: str, switches: Normalisation) -> list[str]:
    text = slow_normalise(text, switches)
    return re.findall(r"\w+", text) if switches.alphanumeric else split_words(text)


def slow_characters(text: str, switches: Normalisation) -> list[str]:
    """Characters between which only separators were have one space between them."""
    pattern = r"\W+" if switches.alphanumeric else r"\s+"
    return list(re.sub(pattern, " ", slow_normalise(text, switches)).strip(" "))


def slow_word_hash(word: str) -> int:
    value = 0xCBF29CE484222325
    for byte in word.encode():
        value = (value ^ byte) * 0x100000001B3 & BITS
    return slow_mix(value)


def slow_shingles(
    text: str, ngram: int, switches: Normalisation, characters: bool = False
) -> list[int]:
    units = slow_characters if characters else slow_words
    words = [slow_word_hash(unit) for unit in units(text, switches)]
    size = min(ngram, len(words))
    if not size:
        return []
    windows = [words[i : i + size] for i in range(len(words) - size + 1)]
    return [
        slow_mix(sum(w * pow(TERM, size - 1 - i, 2**64) for i, w in enumerate(window)) & BITS)
        for window in windows
    ]


def column(texts: Sequence[str | None]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def hashes_of(text: str, ngram: int = 5, switches: Normalisation | None = None) -> list[int]:
    hashes, _ = shingle_hashes(column([text]), ngram, switches or Normalisation())
    return [int(value) for value in hashes]


@needs_same_unicode
@settings(max_examples=300, deadline=None)
@given(st.lists(HOSTILE, min_size=1, max_size=4), st.integers(1, 7), SWITCHES, st.booleans())
def test_the_kernel_hashes_what_the_slow_definition_says(
    texts: list[str], ngram: int, switches: Normalisation, characters: bool
) -> None:
    hashes, starts = shingle_hashes(column(texts), ngram, switches, characters)
    sets, set_starts = shingle_hashes(column(texts), ngram, switches, characters, distinct=True)
    for row, text in enumerate(texts):
        got = [int(value) for value in hashes[starts[row] : starts[row + 1]]]
        expected = slow_shingles(text, ngram, switches, characters)
        assert got == expected
        assert sets[set_starts[row] : set_starts[row + 1]].tolist() == sorted(set(expected))


@needs_same_unicode
@pytest.mark.parametrize(
    "switches",
    [
        Normalisation(),
        Normalisation(False, False, False, False),
        Normalisation(alphanumeric=True),
        Normalisation(True, False, False, False, True),
    ],
)
def test_every_character_of_unicode_is_normalised_as_defined(switches: Normalisation) -> None:
    planes = [*range(0xD800), *range(0xE000, 0x20000), *range(0x2F800, 0x2FA20)]
    characters = [*planes, 0x20000, 0x2A6DF, 0x30000, 0xE0001, 0xE0100, 0x10FFFF]
    texts = [f"a{chr(c)}b" for c in characters]
    hashes, starts = shingle_hashes(column(texts), 9, switches)
    assert (np.diff(starts) == 1).all()
    memo: dict[str, int] = {}
    for row, text in enumerate(texts):
        normal = " ".join(slow_words(text, switches))
        if normal not in memo:
            memo[normal] = slow_shingles(text, 9, switches)[0]
        assert int(hashes[row]) == memo[normal], hex(characters[row])


@needs_same_unicode
def test_the_committed_table_is_what_its_generator_writes() -> None:
    stored = raw_tables()
    assert stored["lower"] == make_unicode_tables.lower_runs()
    assert stored["nfd"] == make_unicode_tables.decompositions()
    assert stored["mark"] == make_unicode_tables.ranges(make_unicode_tables.is_mark)
    assert stored["punct"] == make_unicode_tables.ranges(make_unicode_tables.is_punctuation)
    assert stored["unspaced"] == make_unicode_tables.ranges(make_unicode_tables.is_unspaced)


def test_hashes_are_the_same_for_ever() -> None:
    english, mixed = "The quick brown fox jumps over 12 dogs", "Ärger, 東京 über 1999!"
    assert hashes_of(english) == [
        0x61F621FF729CCA54, 0xE5C6B960E1450C70, 0xF6A064BBC0BAD325, 0xAEBB77F950BC4CBC
    ]  # fmt: skip
    assert hashes_of(mixed, 2) == [
        0xBEF940EBEF01C610, 0x3A75C803582BEB2E, 0xF71EF8BA786C2CC6, 0xE374B90651ACF83B
    ]  # fmt: skip


def test_no_code_point_makes_more_words_than_a_scan_keeps_room_for() -> None:
    for switches in itertools.product([False, True], repeat=5):
        table = unicode_table(*switches)
        for code in np.flatnonzero(table.entries >> KIND_SHIFT == SEQUENCE).tolist():
            first = int(table.entries[code]) & 0xFFFFFF
            parts = table.pool[first + 1 : first + 1 + int(table.pool[first])] >> KIND_SHIFT
            words = int((parts == ALONE).sum())
            assert words + 2 <= SLACK
            # As characters: each part, a space before it; `_hashes_of` has a slot a byte.
            assert 2 * len(parts) <= SLACK
            assert len(parts) <= len(chr(code).encode())
            assert words <= len(chr(code).encode())
            assert words == 0 or int((parts == SEPARATOR).sum()) == 0


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Hello, WORLD!", "hello world"),
        ("in 1999 and 2024", "IN 7 AND 12"),
        ("cafe\u0301 crème", "Café CREME"),
        ("co\u00adoperate\ufeff now", "cooperate now"),
        ("ΟΔΟΣ", "οδος"),
        ("İstanbul", "istanbul"),
        ("각", "\u1100\u1161\u11a8"),
        ("東京都", "東 京 都"),
        ("٣ and ３", "1 and 2"),
    ],
)
def test_normalised_texts_have_equal_hashes(left: str, right: str) -> None:
    assert hashes_of(left) == hashes_of(right)


@needs_same_unicode
def test_alphanumeric_words_are_those_of_the_regular_expression() -> None:
    text = "Don't re-enter snake_case 3.14 caf\u00e9 \u6771\u4eac \u00a9 2001, na\u00efve"
    switches = Normalisation(True, False, False, False, True)
    assert hashes_of(text, 1, switches) == [
        slow_mix(slow_word_hash(word)) for word in re.findall(r"\w+", text.lower())
    ]


def test_shingles_of_characters_know_where_words_end_but_not_how_far_apart_they_are() -> None:
    def characters(text: str) -> list[int]:
        hashes, _ = shingle_hashes(column([text]), 4, Normalisation(), characters=True)
        return [int(value) for value in hashes]

    assert characters("  Hello,\n\t world! ") == characters("hello world")
    assert characters("hello world") != characters("helloworld")
    assert len(characters("hello world")) == 11 - 3
    assert len(characters("ab")) == 1
    assert characters(" ?! ") == []


def test_each_switch_makes_a_difference() -> None:
    text = "Café, in 1999"
    everything = hashes_of(text)
    for name in ("lower", "digits", "punctuation", "marks"):
        assert hashes_of(text, 5, Normalisation(**{name: False})) != everything


def test_a_text_without_words_has_no_shingle_and_a_short_one_has_one() -> None:
    texts = column(["", " \n\t", None, "... !!", "\u0301\u0301", "one", "one two three four"])
    _, starts = shingle_hashes(texts, 5, Normalisation())
    assert np.diff(starts).tolist() == [0, 0, 0, 0, 0, 1, 1]


def test_a_slice_of_a_column_hashes_like_the_same_texts_alone() -> None:
    texts = column(["first of all", "second come", None, "last by far"])
    whole, starts = shingle_hashes(texts, 2, Normalisation())
    part, _ = shingle_hashes(texts.slice(1, 3), 2, Normalisation())
    assert part.tolist() == whole[starts[1] :].tolist()


def test_bytes_that_are_no_utf8_are_survived() -> None:
    for raw in (b"\xff\xfe\xc3", b"a \xe4\xb8", b"\xf4\xbf\xbf\xbf z", b"\xc0\x80\x80"):
        offsets = pa.py_buffer(np.array([0, len(raw)], dtype=np.int64))
        texts = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(raw)])
        shingle_hashes(texts, 5, Normalisation())
