"""MinHash against theory: unbiased, of the variance of k permutations, candidates by the S-curve.

Texts are made of random words of 7 letters with `ngram: 1`, so that the similarity of a pair is set
exactly. Several hash seeds stand for several draws of the permutations; everything is fixed,
so that a test that passes once passes always.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from stages.dedup.minhash_notes import candidate_probability
from stages.kernels.minhash import band_keys, kernel_signatures, permutations, sign_sets
from stages.kernels.shingles import Normalisation, shingle_hashes

NUM_HASHES = 112
LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", np.uint8)
TWENTIETHS = range(1, 20)


def word_matrix(generator: np.random.Generator, texts: int, words: int) -> npt.NDArray[np.uint8]:
    """Texts of so many random words of 7 letters, as bytes; 8 bytes a word."""
    found = LETTERS[generator.integers(0, 26, (texts, words, 8), dtype=np.uint8)]
    found[:, :, 7] = ord(" ")
    return found


def as_column(words: npt.NDArray[np.uint8]) -> pa.Array:
    texts, size = len(words), words[0].size
    offsets = np.arange(texts + 1, dtype=np.int64) * size
    data = pa.py_buffer(np.ascontiguousarray(words))
    return pa.Array.from_buffers(pa.large_string(), texts, [None, pa.py_buffer(offsets), data])


def pairs(
    generator: np.random.Generator, count: int, common: int, own: int, seed: int, hashes: int
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Signatures of pairs of texts that share `common` words and have `own` words each besides."""
    shared = word_matrix(generator, count, common)
    sides = []
    for _ in range(2):
        words = np.concatenate([shared, word_matrix(generator, count, own)], axis=1)
        column = as_column(words)
        sides.append(kernel_signatures(column, 1, hashes, seed, Normalisation())[0])
    return sides[0], sides[1]


def estimates(
    similarity: float, total: int, count: int, seeds: int, first_seed: int = 1
) -> tuple[npt.NDArray[np.float64], float]:
    """Estimates of `count` pairs whose sets have `total` words together, and their similarity."""
    common = round(similarity * total)
    own = (total - common) // 2
    exact = common / (common + 2 * own)
    found = []
    for seed in range(first_seed, first_seed + seeds):
        generator = np.random.default_rng([seed, common, own])
        left, right = pairs(generator, count // seeds, common, own, seed, NUM_HASHES)
        found.append((left == right).mean(axis=1))
    return np.concatenate(found), exact


def check_estimates(found: npt.NDArray[np.float64], exact: float) -> None:
    """Mean error within 2 standard errors, variance within 1.1 times theory."""
    variance = exact * (1 - exact) / NUM_HASHES
    assert abs(found.mean() - exact) < 2 * math.sqrt(variance / len(found)), exact
    assert found.var() < 1.1 * variance, exact


@pytest.mark.parametrize("twentieth", [4, 10, 15, 18])
def test_the_estimate_is_unbiased_with_the_variance_of_theory(twentieth: int) -> None:
    check_estimates(*estimates(twentieth / 20, 200, 5_000, 50))


@pytest.mark.slow
@pytest.mark.parametrize("total", [60, 200, 1000])
def test_the_estimate_is_unbiased_at_every_similarity(total: int) -> None:
    deviations = []
    for twentieth in TWENTIETHS:
        found, exact = estimates(twentieth / 20, total, 10_000, 100)
        variance = exact * (1 - exact) / NUM_HASHES
        assert found.var() < 1.1 * variance, exact
        deviations.append((found.mean() - exact) / math.sqrt(variance / len(found)))
    # Of 19 true means one lies beyond 2 standard errors by chance; none beyond 3.
    assert max(map(abs, deviations)) < 3
    assert sum(abs(value) > 2 for value in deviations) <= 2
    assert sum(value**2 for value in deviations) < 36.2  # chi squared, 19 degrees, 1 %


@pytest.mark.slow
def test_the_estimate_is_unbiased_for_documents_of_a_million_shingles() -> None:
    common, own, seeds, count = 1_000_000, 125_000, 50, 5_000
    starts = np.array([0, common, common + own, common + 2 * own])
    found = []
    for seed in range(1, seeds + 1):
        generator = np.random.default_rng([seed, common])
        factors = permutations(NUM_HASHES, seed)
        for _ in range(count // seeds):
            hashes = generator.integers(0, 1 << 64, common + 2 * own, dtype=np.uint64)
            # A document is what both have and what it has alone: its minima are the lower ones.
            both, left, right = sign_sets(hashes, starts, *factors)
            found.append((np.minimum(both, left) == np.minimum(both, right)).mean())
    check_estimates(np.array(found), 0.8)


def test_a_text_of_a_million_words_is_signed_as_its_set_of_shingles() -> None:
    column = as_column(word_matrix(np.random.default_rng(5), 1, 1_000_000))
    signature, _ = kernel_signatures(column, 5, NUM_HASHES, 1, Normalisation())
    hashes, starts = shingle_hashes(column, 5, Normalisation(), distinct=True)
    assert starts[-1] == 999_996
    assert np.array_equal(signature, sign_sets(hashes, starts, *permutations(NUM_HASHES, 1)))


def check_candidates(twentieth: int, count: int, bands: int, rows: int) -> None:
    """Within one point of the S-curve; `count` makes a point some four standard errors."""
    common = twentieth * 10
    own = (200 - common) // 2
    exact = common / (common + 2 * own)
    hits, seeds = 0, 50
    for seed in range(1, seeds + 1):
        generator = np.random.default_rng([seed, twentieth, bands])
        left, right = pairs(generator, count // seeds, common, own, seed, bands * rows)
        keys = band_keys(left, bands, rows), band_keys(right, bands, rows)
        hits += int((keys[0] == keys[1]).any(axis=1).sum())
    assert abs(hits / count - candidate_probability(exact, bands, rows)) < 0.01, exact


@pytest.mark.parametrize("twentieth", [12, 15, 17])
def test_candidates_are_within_a_point_of_the_s_curve(twentieth: int) -> None:
    check_candidates(twentieth, 10_000, 14, 8)


@pytest.mark.slow
@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (20, 13), (9, 13)])
def test_candidates_are_within_a_point_of_the_s_curve_at_every_similarity(
    bands: int, rows: int
) -> None:
    for twentieth in TWENTIETHS:
        check_candidates(twentieth, 40_000, bands, rows)
