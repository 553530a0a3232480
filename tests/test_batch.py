"""Words, lines and the caches over a batch's text."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch import Page, TextBatch, split_words

UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \n\t ", []),
        ("two words", ["two", "words"]),
        ("  line\none\u3000two\u00a0three ", ["line", "one", "two", "three"]),
        ("don't stop - now!", ["don't", "stop", "-", "now!"]),
        ("日本語", ["日", "本", "語"]),
        ("日本go語 x", ["日", "本", "go", "語", "x"]),
        ("ひらカタ", ["ひ", "ら", "カ", "タ"]),
        ("ภาษา", ["ภ", "า", "ษ", "า"]),
        ("ລາວ", ["ລ", "າ", "ວ"]),
        ("ខ្មែរ", ["ខ", "្", "ម", "ែ", "រ"]),
        ("မြန်မာ", ["မ", "ြ", "န", "်", "မ", "ာ"]),
        ("བོད", ["བ", "ོ", "ད"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("\U00020000\U0002a6dfa", ["\U00020000", "\U0002a6df", "a"]),
        ("слово कखग", ["слово", "कखग"]),
    ],
)
def test_a_word_is_a_run_without_space_or_one_character_of_an_unspaced_script(
    text: str, words: list[str]
) -> None:
    assert split_words(text) == words
    assert Page.of(text).words == words


@given(st.text(st.characters(codec="utf-8") | st.sampled_from(" \n\u3000日本ไทยか"), max_size=40))
def test_words_hold_every_character_but_space_once_and_in_order(text: str) -> None:
    words = split_words(text)
    assert "".join(words) == re.sub(r"\s", "", text)
    for word in words:
        assert word
        assert not re.search(r"\s", word)
        if len(word) > 1:
            assert not any(_unspaced(character) for character in word)


def _unspaced(character: str) -> bool:
    """By the character's name, as a check on the ranges: letters of the scripts only."""
    letter = unicodedata.category(character) in ("Lo", "Nd")
    name = unicodedata.name(character, "")
    halfwidth = name.startswith(("HALFWIDTH", "CJK COMPATIBILITY IDEOGRAPH-2F"))
    supplement = character in "\U0001b000" or 0x1AFF0 <= ord(character) <= 0x1B16F
    extended = 0xAA60 <= ord(character) <= 0xAA7F or 0xA9E0 <= ord(character) <= 0xA9FF
    return letter and name.startswith(UNSPACED) and not (halfwidth or supplement or extended)


def test_lines_are_split_at_newlines_only_and_kept_as_they_are() -> None:
    page = Page.of(" one \r\n\ntwo\x0bthree\u2028four\n")
    assert page.lines == [" one \r", "", "two\x0bthree\u2028four", ""]
    assert Page.of("").lines == [""]


def test_a_page_gives_text_url_and_any_column() -> None:
    page = Page.of("text", url="https://x", score=3, nothing=None)
    assert (page.text, page.url, page["score"], page["nothing"]) == ("text", "https://x", 3, None)
    assert Page.of("text", url=None).url == ""
    with pytest.raises(KeyError, match="missing"):
        page["missing"]


def batch(*texts: str | None, **columns: list[Any]) -> TextBatch:
    return TextBatch(pa.table({"text": pa.array(texts, pa.large_string()), **columns}))


def test_a_null_text_counts_as_empty() -> None:
    [page] = batch(None)
    assert (page.text, page.words, page.lines) == ("", [], [""])


def test_pages_of_a_batch_share_one_split() -> None:
    pages = batch("a b", "c")
    first, second = list(pages), list(pages)
    assert first[0].words is second[0].words
    assert first[1].lines is second[1].lines
    assert [page.words for page in first] == [["a", "b"], ["c"]]


def test_a_shared_value_is_computed_once_a_batch_and_name() -> None:
    calls: list[str] = []
    pages = batch("a", "b")

    def compute(name: str) -> int:
        def count(batch: TextBatch) -> int:
            calls.append(name)
            return len(batch) + len(calls)

        return pages.shared(name, count)

    assert [compute("x"), compute("x"), compute("y"), compute("x")] == [3, 3, 4, 3]
    assert calls == ["x", "y"]


def test_caches_outlive_other_columns_but_never_their_text() -> None:
    pages = batch("a b", "c", score=[1, 2])
    words, lines, scores = pages.words, pages.lines, pages.values("score")
    assert pages.shared("count", len) == 2
    same = pages.with_columns({"score": pa.array([3, 4]), "new": pa.array(["x", "y"])})
    assert same.words is words
    assert same.lines is lines
    assert same.shared("count", lambda _: 99) == 2
    assert (same.values("score"), same.values("new"), scores) == ([3, 4], ["x", "y"], [1, 2])
    other = same.with_columns({"text": pa.array(["d e f", ""], pa.large_string())})
    assert [page.words for page in other] == [["d", "e", "f"], []]
    assert [page.lines for page in other] == [["d e f"], [""]]
    assert [page.text for page in other] == ["d e f", ""]
    assert other.shared("count", lambda _: 99) == 99
    assert pages.words == [["a", "b"], ["c"]]


def test_fewer_rows_or_columns_make_a_batch_with_its_own_caches() -> None:
    pages = batch("a", "b b", "c", score=[1, 2, 3])
    assert len(pages.words) == 3
    some = pages.take(pa.array([False, True, True]))
    assert ([page.text for page in some], some.words) == (["b b", "c"], [["b", "b"], ["c"]])
    assert some.values("score") == [2, 3]
    assert pages.without(("score", "missing")).table.column_names == ["text"]
    assert pages.without(("missing",)) is pages


def test_a_column_in_many_chunks_is_one_array() -> None:
    table = pa.concat_tables([batch("a").table, batch("b", "c").table])
    column = TextBatch(table).column("text")
    assert isinstance(column, pa.Array)
    assert column.to_pylist() == ["a", "b", "c"]
    one = batch("a", "b")
    assert (
        one.column("text").buffers()[2].address == one.table["text"].chunk(0).buffers()[2].address
    )


@given(st.lists(st.tuples(st.text(), st.sampled_from([True, False, None]))))
def test_take_is_what_a_filter_gives(rows: list[tuple[str, bool | None]]) -> None:
    table = pa.table({"text": pa.array([text for text, _ in rows], pa.large_string())})
    keep = pa.array([kept for _, kept in rows], pa.bool_())
    assert TextBatch(table).take(keep).table.equals(table.filter(keep))


def test_a_batch_of_which_all_rows_stay_is_not_copied() -> None:
    batch = TextBatch(pa.table({"text": pa.array(["a", "b"], pa.large_string())}))
    assert batch.take(pa.array([True, True])) is batch
