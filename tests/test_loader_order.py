"""The order of samples: permutation, interleaving, epochs, weights."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from loader.order import (
    BLOCK,
    PACKED_ROWS,
    ROUNDS,
    Order,
    Permutation,
    Shuffle,
    WeightedOrder,
    block_counts,
    interleaved,
    interleaved_all,
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


QUALITY_SIZES = (97, 1000, 4096, 65_537)


@pytest.mark.parametrize("size", QUALITY_SIZES)
def test_images_are_uniform(size: int) -> None:
    """Chi square of (third of the places, cell of the image) over 40 keys, 8 cells: 14 degrees."""
    statistics = []
    for key in range(40):
        found = Permutation(size, f"uniform/{key}")(np.arange(size))
        counts = np.array(
            [np.bincount(part * 8 // size, minlength=8) for part in np.array_split(found, 3)]
        )
        expected = counts.sum(1, keepdims=True) * counts.sum(0) / size
        statistics.append(((counts - expected) ** 2 / expected).sum())
    # Mean 14, standard deviation 5.3 each; of 40 the mean has 0.84.
    assert 14 - 4 * 0.84 < np.mean(statistics) < 14 + 4 * 0.84
    assert max(statistics) < 50


@pytest.mark.parametrize("size", QUALITY_SIZES)
def test_an_image_says_nothing_of_the_next_ones(size: int) -> None:
    """Serial correlation at lags 1..32, in standard deviations of a random permutation's."""
    worst = []
    for key in range(20):
        found = Permutation(size, f"serial/{key}")(np.arange(size)).astype(float)
        scaled = (found - found.mean()) / found.std()
        for lag in range(1, 33):
            correlation = float(np.mean(scaled[lag:] * scaled[:-lag]))
            worst.append((correlation + 1 / size) * np.sqrt(size - lag))
    assert abs(np.mean(worst)) < 4 / np.sqrt(len(worst))
    assert 0.85 < np.std(worst) < 1.15
    assert np.abs(worst).max() < 5.5


@pytest.mark.parametrize("size", QUALITY_SIZES)
def test_cycles_are_as_long_as_chance_makes_them(size: int) -> None:
    """A random permutation of n has on average 1/k cycles of length k, and H(n) in all."""
    keys, short, cycles = 30, np.zeros(4), []
    for key in range(keys):
        found = Permutation(size, f"cycles/{key}")(np.arange(size))
        power = found
        returned = [np.count_nonzero(power == np.arange(size))]
        for _ in range(3):
            power = found[power]
            returned.append(np.count_nonzero(power == np.arange(size)))
        short += returned
        cycles.append(count_cycles(found.tolist()))
    # Points with period dividing k: as many as k has divisors. Fixed points are Poisson(1).
    divisors = np.array([1, 2, 2, 3])
    assert (np.abs(short / keys - divisors) < 5 * np.sqrt(np.array([1, 3, 4, 7]) / keys)).all()
    harmonic = np.log(size) + 0.5772
    assert abs(np.mean(cycles) - harmonic) < 5 * np.sqrt(harmonic / keys)


def count_cycles(images: list[int]) -> int:
    seen, count = bytearray(len(images)), 0
    for start in range(len(images)):
        if not seen[start]:
            count += 1
            at = start
            while not seen[at]:
                seen[at] = 1
                at = images[at]
    return count


def test_every_order_of_few_windows_comes_up_equally_often() -> None:
    """Chi square over the 24 orders of 4 places, 2,400 keys: 23 degrees of freedom."""
    counts = Counter(
        tuple(Permutation(4, f"orders/{key}")(np.arange(4)).tolist()) for key in range(2400)
    )
    assert len(counts) == 24
    assert sum((count - 100) ** 2 / 100 for count in counts.values()) < 60


def test_blocks_move_whole_and_rows_move_within_them() -> None:
    order = Order([5000, 2048, 700], 3, Shuffle("blocks"))
    found = order.locate(np.arange(order.epoch_samples))
    for group, size in enumerate(order.sizes):
        windows = found.windows[found.groups == group]
        assert sorted(windows.tolist()) == list(range(size))
        at = np.flatnonzero(found.groups == group)
        spans = [np.ptp(at[windows // PACKED_ROWS == block]) for block in range(-(-size // 1024))]
        # A block's rows come within some 2,048 samples of its group, whose share these are of all;
        # the first block is cut by the turn of the whole, and comes again at the end.
        share = size / order.epoch_samples
        assert sum(span * share > 3 * PACKED_ROWS for span in spans) <= 1
        assert (np.diff(windows[: size // 2]) < 0).mean() > 0.4
    # Groups come in their shares all along.
    for part in np.array_split(found.groups, 4):
        shares = np.bincount(part, minlength=3) / len(part)
        assert np.abs(shares - np.array(order.sizes) / order.epoch_samples).max() < 0.02
    other = Order([5000, 2048, 700], 4, Shuffle("blocks")).locate(np.arange(5000))
    assert (other.windows != found.windows[:5000]).any()


@given(
    st.lists(st.integers(1, 10**9), min_size=2, max_size=5),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=5),
)
def test_compiled_interleaving_is_the_exact_one(sizes: list[int], places: list[int]) -> None:
    wanted = [place % sum(sizes) for place in places]
    groups, windows = interleaved_all(sizes, np.array(wanted))
    pairs = list(zip(groups.tolist(), windows.tolist(), strict=True))
    assert pairs == [interleaved(sizes, place) for place in wanted]


@given(st.integers(1, (1 << 62) - 1), st.integers(0, 1 << 62), st.text(max_size=3))
def test_the_compiled_permutation_is_that_of_whole_numbers(size: int, at: int, key: str) -> None:
    """The definition in Python's integers: what a state of an older version was made with."""
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask, wide = (1 << half) - 1, (1 << 64) - 1

    def mixed(value: int) -> int:
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            value = (value ^ (value >> 33)) * factor & wide
        return value ^ (value >> 33)

    value = at % size
    while True:
        left, right = value >> half, value & mask
        for number in range(8):
            salt = xxhash.xxh3_64_intdigest(f"{key}/{number}".encode())
            left, right = right, left ^ (mixed(right ^ salt) & mask)
        value = (left << half) | right
        if value < size:
            break
    assert Permutation(size, key)(np.array([at % size])).tolist() == [value]


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
    with pytest.raises(ConfigError, match="'b' needs a finite weight"):
        block_counts(["a", "b"], {"a": 1.0})


@given(st.integers(1, 5000), st.text(max_size=4), st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_the_permutation_is_the_network_of_its_definition(size: int, key: str, count: int) -> None:
    permutation, mask64 = Permutation(size, key), (1 << 64) - 1
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    keys = [xxhash.xxh3_64_intdigest(f"{key}/{number}".encode()) for number in range(ROUNDS)]

    def place(value: int) -> int:
        while True:
            left, right = value >> half, value & ((1 << half) - 1)
            for one in keys:
                mixed = right ^ one
                mixed = (mixed ^ mixed >> 33) * 0xFF51AFD7ED558CCD & mask64
                mixed = (mixed ^ mixed >> 33) * 0xC4CEB9FE1A85EC53 & mask64
                mixed ^= mixed >> 33
                left, right = right, left ^ (mixed & ((1 << half) - 1))
            value = left << half | right
            if value < size:
                return value

    indices = np.arange(count) * 7 % size
    assert permutation(indices).tolist() == [place(index) for index in indices.tolist()]
