"""Texts cut to a size: the longest prefix of whole characters, and its bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.texts.bounded import capped_sizes, capped_texts

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=30)), max_size=8)


def longest_prefix(text: str, limit: int) -> str:
    """By definition: character by character, while it fits."""
    found = ""
    for character in text:
        if len((found + character).encode()) > limit:
            break
        found += character
    return found


@given(TEXTS, st.integers(1, 12), st.integers(0, 3), st.booleans())
def test_a_capped_text_is_the_longest_prefix_of_whole_characters(
    texts: list[str | None], limit: int, start: int, chunked: bool
) -> None:
    kind = pa.string() if chunked else pa.large_string()
    column = pa.array(texts, kind).slice(start)
    expected = [longest_prefix(text or "", limit) for text in texts[start:]]
    given_column = pa.chunked_array([column.slice(0, 2), column.slice(2)]) if chunked else column
    capped = capped_texts(given_column, limit)
    assert capped.to_pylist() == expected
    assert capped.type == pa.large_string()
    capped.validate(full=True)
    sizes = capped_sizes(given_column, limit).tolist()
    assert sizes == [len(text.encode()) for text in expected]


@pytest.mark.parametrize("character", ["a", "é", "語", "😀"])
def test_a_text_counts_by_the_bytes_that_are_left_of_it(character: str) -> None:
    width = len(character.encode())
    column = pa.array([character * 4], pa.large_string())
    for limit in range(1, 4 * width + 2):
        assert capped_sizes(column, limit)[0] == min(limit // width, 4) * width
