"""The scan for places of personal data finds what its slow definition finds, in any company."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_pii import candidates

from stages.kernels.pii_candidates import find_candidates

ALL = frozenset(range(5))
PIECES = st.one_of(
    st.sampled_from(
        [
            "anna@harbour.example",
            "415-555-0198",
            "+44 20 7946 0958",
            "8.8.4.4",
            "1.2.3.4.5",
            " / ".join(["415-555-0198"] * 8),
            "12 345 " * 20,
            "2001:4860::8888",
            "DE89 3704 0044 0532 0130 00",
            "4111 1111 1111 1111",
            "word",
            "é–\u00a0",
            "漢字",
            "@",
            "a.b",
            "\n",
        ]
    ),
    st.text(alphabet="0123456789 -.()/+@:abAB\u2013\u00a0", max_size=12),
    st.integers(0, 70).map(lambda n: " " * n),
    st.integers(0, 70).map(lambda n: "x" * n),
)
TEXTS = st.lists(st.lists(PIECES, max_size=12).map("".join), min_size=1, max_size=4)


def slow(texts: list[str], least: int) -> list[tuple[int, ...]]:
    """Rows of (text, kind, start, end), places counted over all texts."""
    rows: list[tuple[int, ...]] = []
    base = 0
    for number, text in enumerate(texts):
        data = text.encode()
        rows += [(number, k, base + s, base + e) for k, s, e in candidates(data, least)]
        base += len(data)
    return sorted(rows)


@settings(deadline=None, max_examples=120)
@given(TEXTS, st.sampled_from([7, 10, 12]))
def test_the_scan_equals_its_slow_definition(texts: list[str], least: int) -> None:
    found = find_candidates(pa.array(texts, pa.large_string()), ALL, least)
    assert sorted(map(tuple, found.tolist())) == slow(texts, least)


def test_more_candidates_than_there_is_room_are_all_found() -> None:
    texts = ["a@b.c " * 5000]
    assert len(find_candidates(pa.array(texts, pa.large_string()), ALL, 10)) == 5000


def test_a_slice_of_a_column_with_nulls_is_scanned_alone() -> None:
    column = pa.array(["a@b.c", None, "no", "d@e.f", "g@h.i"], pa.large_string())
    found = find_candidates(column.slice(1, 3), ALL, 10)
    assert found[:, 0].tolist() == [2]


@pytest.mark.parametrize("least", [7, 10])
def test_real_pages_have_the_candidates_of_the_slow_definition(
    real_texts: list[dict[str, str]], least: int
) -> None:
    texts = [row["text"] for row in real_texts]
    found = find_candidates(pa.array(texts, pa.large_string()), ALL, least)
    assert sorted(map(tuple, found.tolist())) == slow(texts, least)
