"""Lower case and white space, by the committed tables, against Python's."""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels.fold import folded_keys
from stages.kernels.unicode_tables import unicode_table, unicode_version

needs_same_unicode = pytest.mark.skipif(
    unicodedata.unidata_version != unicode_version(),
    reason=f"the tables are Unicode {unicode_version()}, this Python's is another",
)
TEXTS = st.lists(
    st.text(
        st.one_of(
            st.characters(exclude_categories=["Cs"]),
            st.sampled_from("aA \t\n\r\x00\x0b\x1c\x85\xa0\u2028\u3000İßẞςΣÅ\u023a"),
        ),
        max_size=30,
    ),
    max_size=4,
)


def lower(text: str) -> str:
    """Character by character: no context, so that a final sigma is a sigma."""
    return "".join("σ" if char == "ς" else char.lower() for char in text)


def column(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


@needs_same_unicode
@settings(deadline=None)
@given(TEXTS)
def test_texts_are_folded_as_python_would(texts: list[str]) -> None:
    rows, numbers, keys = folded_keys(column(texts), lines=False, collapse=True)
    folded = [" ".join(lower(text).split()) for text in texts]
    assert rows == [row for row, text in enumerate(folded) if text]
    assert keys == [xxhash.xxh3_128_digest(text.encode()) for text in folded if text]
    assert not any(numbers)


@needs_same_unicode
@settings(deadline=None)
@given(TEXTS)
def test_lines_are_folded_as_python_would(texts: list[str]) -> None:
    rows, numbers, keys = folded_keys(column(texts), lines=True, collapse=False)
    expected = [
        (row, number, xxhash.xxh3_128_digest(lower(line).strip().encode()))
        for row, text in enumerate(texts)
        for number, line in enumerate(text.split("\n"))
        if line.strip()
    ]
    assert list(zip(rows, numbers, keys, strict=True)) == expected


def test_lower_case_never_grows_beyond_the_room_that_is_kept() -> None:
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    low = unicode_table(True, False, False, False).entries[codes] & np.uint32(0xFFFFFF)
    for code in np.array(codes)[low != codes].tolist():
        assert len(lower(chr(code)).encode()) <= 2 * len(chr(code).encode())
