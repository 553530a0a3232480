"""The order of samples: permutation, interleaving, epochs, weights."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loader.order import (
    BLOCK,
    Order,
    Permutation,
    Shuffle,
    WeightedOrder,
    block_counts,
    interleaved,
)
from pipeline.errors import ConfigError

SHUFFLES: list[Any] = ["full", "none", {"window": 5}]


@given(st.integers(1, 3000), st.text(max_size=5))
def test_the_permutation_is_a_bijection(size: int, key: str) -> None:
    found = Permutation(size, key)(np.arange(size))
    assert sorted(found.tolist()) == list(range(size))


def test_the_permutation_of_a_trillion_needs_no_memory_and_keys_differ() -> None:
    at = np.arange(1000, dtype=np.int64)
    one, two = Permutation(10**12, "a")(at), Permutation(10**12, "b")(at)
    assert len(set(one.tolist())) == 1000
    assert (one != two).all()
    assert one.min() >= 0
    assert one.max() < 10**12


def test_neighbours_land_anywhere() -> None:
    size = 100_000
    found = Permutation(size, "spread")(np.arange(size))
    assert abs(np.corrcoef(np.arange(size), found)[0, 1]) < 0.02
    tenths, _ = np.histogram(found[: size // 10], bins=10, range=(0, size))
    assert tenths.min() > 900
    assert tenths.max() < 1100


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_interleaving_holds_every_window_once_in_even_spacing(sizes: list[int]) -> None:
    found = [interleaved(sizes, place) for place in range(sum(sizes))]
    expected = sorted(
        ((2 * w + 1) / (2 * size), group, w)
        for group, size in enumerate(sizes)
        for w in range(size)
    )
    assert sorted(found) == sorted((group, w) for _, group, w in expected)
    for group, size in enumerate(sizes):
        assert [w for g, w in found if g == group] == list(range(size))
    places = [(2 * w + 1) / (2 * sizes[g]) for g, w in found]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(places))


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.integers(0, 5),
    st.sampled_from(SHUFFLES),
)
def test_every_epoch_holds_every_window_once(sizes: list[int], epoch: int, shuffle: Any) -> None:
    order = Order(sizes, 3, Shuffle.parse(shuffle))
    total = order.epoch_samples
    found = order.locate(np.arange(epoch * total, (epoch + 1) * total))
    pairs = sorted(zip(found.groups.tolist(), found.windows.tolist(), strict=True))
    assert pairs == [(group, w) for group, size in enumerate(sizes) for w in range(size)]


def test_the_place_of_a_sample_does_not_depend_on_what_is_asked_with_it() -> None:
    for shuffle in SHUFFLES:
        for order in (
            Order([30, 11], 3, Shuffle.parse(shuffle)),
            WeightedOrder([30, 11], 3, Shuffle.parse(shuffle), [BLOCK - 96, 96]),
        ):
            samples = np.arange(0, 9000, 7)
            whole = order.locate(samples)
            for at in range(0, len(samples), 101):
                one = order.locate(samples[at : at + 1])
                assert one.groups[0] == whole.groups[at]
                assert one.windows[0] == whole.windows[at]


def test_every_block_of_a_weighted_order_holds_the_exact_shares() -> None:
    counts = block_counts(["a", "b", "c"], {"a": 3, "b": 1, "c": 0})
    assert counts == [3072, 1024, 0]
    order = WeightedOrder([700, 50, 9], 1, Shuffle("full"), counts)
    for block in (0, 1, 17):
        found = order.locate(np.arange(block * BLOCK, (block + 1) * BLOCK))
        assert np.bincount(found.groups, minlength=3).tolist() == counts
    windows = order.locate(np.arange(4 * BLOCK))
    seen = Counter(windows.windows[windows.groups == 1].tolist())
    assert max(seen.values()) - min(seen.values()) <= 1
    assert len(seen) == 50


def test_weights_name_every_group_of_the_dataset() -> None:
    assert block_counts(["a", "b"], {"a": 1e9, "b": 1e-9}) == [BLOCK - 1, 1]
    with pytest.raises(ConfigError, match="Did you mean 'books'"):
        block_counts(["books"], {"book": 1.0})
    with pytest.raises(ConfigError, match="'b' needs a weight"):
        block_counts(["a", "b"], {"a": 1.0})
