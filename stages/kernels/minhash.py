"""MinHash signatures, equal value for value to datasketch 2.0 with its schemes of the same names.

`affine32`: a shingle's 64-bit hash (`shingles`) is folded to its low 32 bits; they are mixed once
by MurmurHash3's fmix32 and permuted by K maps a*h + b mod 2^32 with odd a; the signature is the K
minima. `affine64`: the whole hash, fmix64, mod 2^64. a and b are datasketch's, from numpy's legacy
RandomState(seed), whose stream is frozen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.jit import jit
from stages.kernels.shingles import (
    SLACK,
    Normalisation,
    end_text,
    make_shingles,
    mix64,
    scan,
    scan_characters,
    shingle_hashes,
    text_buffers,
)

Values = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]
DTYPES: dict[str, Any] = {"affine32": np.uint32, "affine64": np.uint64}
"""Scheme -> the type of a signature's values."""

_BLOCK = 4096
"""Shingles that are hashed before they meet the permutations: 16 KB, half of a level 1 cache."""


def permutations(num_hashes: int, seed: int, scheme: str = "affine32") -> tuple[Values, Values]:
    """The maps h -> a*h + b mod 2^32 (mod 2^64) of datasketch's scheme for this seed."""
    dtype = DTYPES[scheme]
    bits = 8 * np.dtype(dtype).itemsize
    generator = np.random.RandomState(seed)
    half = generator.randint(0, 1 << (bits - 1), num_hashes, dtype=dtype)
    offset = generator.randint(0, 1 << bits, num_hashes, dtype=dtype)
    return half * dtype(2) + dtype(1), offset


def kernel_signatures(
    texts: pa.Array,
    ngram: int,
    num_hashes: int,
    seed: int,
    normalisation: Normalisation,
    characters: bool = False,
    scheme: str = "affine32",
) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Signatures (texts x num_hashes), and which texts have one: those with at least one word."""
    data, offsets = text_buffers(texts)
    entries, pool = normalisation.tables()
    factor, offset = permutations(num_hashes, seed, scheme)
    signatures, has_words = _sign(data, offsets, entries, pool, ngram, characters, factor, offset)
    return signatures, has_words


def datasketch_signatures(
    texts: pa.Array,
    ngram: int,
    num_hashes: int,
    seed: int,
    normalisation: Normalisation,
    characters: bool = False,
    scheme: str = "affine32",
) -> tuple[Values, npt.NDArray[np.bool_]]:
    """What `kernel_signatures` gives, by datasketch: the oracle, about 10 times slower."""
    from datasketch import MinHash

    hashes, starts = shingle_hashes(texts, ngram, normalisation, characters)
    folded = hashes.astype(DTYPES[scheme])  # the low bits
    empty = MinHash(num_hashes, seed=seed, hashfunc=lambda value: value, scheme=scheme)
    signatures = np.empty((len(texts), num_hashes), dtype=DTYPES[scheme])
    for row in range(len(texts)):
        sketch = empty.copy()
        sketch.update_batch(folded[starts[row] : starts[row + 1]])
        signatures[row] = sketch.hashvalues
    return signatures, starts[1:] > starts[:-1]


@jit
def mix32(value: Any) -> Any:
    """MurmurHash3's 32-bit finaliser."""
    value = np.uint32(value ^ (value >> np.uint32(16)))
    value = np.uint32(value * np.uint32(0x85EBCA6B))
    value = np.uint32(value ^ (value >> np.uint32(13)))
    value = np.uint32(value * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ (value >> np.uint32(16)))


@jit
def fold(wide: Any, folded: Any) -> None:
    """The hashes as the permutations take them: mixed, in as many bits as `folded` has."""
    if folded.itemsize == 4:
        for j in range(len(wide)):
            folded[j] = mix32(np.uint32(wide[j] & np.uint64(0xFFFFFFFF)))
    else:
        for j in range(len(wide)):
            folded[j] = mix64(wide[j])


@jit
def lower_minima(hashes: Any, factor: Any, offset: Any, row: Any) -> None:
    """Lower a signature to the minima over `hashes`; the inner loop is SIMD."""
    for k in range(len(row)):
        a, b, least = factor[k], offset[k], row[k]
        for j in range(len(hashes)):
            least = min(least, hashes.dtype.type(a * hashes[j] + b))
        row[k] = least


@jit
def _sign(
    data: Any,
    offsets: Any,
    entries: Any,
    pool: Any,
    ngram: Any,
    characters: Any,
    factor: Any,
    offset: Any,
) -> Any:
    """The whole way from text to signature; memory is one block of shingles."""
    num_texts = len(offsets) - 1
    signatures = np.full((num_texts, len(factor)), np.iinfo(factor.dtype).max, factor.dtype)
    has_words = np.zeros(num_texts, dtype=np.bool_)
    words = np.empty(_BLOCK + ngram + SLACK, dtype=np.uint64)
    wide, folded = np.empty(len(words), dtype=np.uint64), np.empty(len(words), factor.dtype)
    for row in range(num_texts):
        at, stop, held = offsets[row], offsets[row + 1], 0
        carry, done = (np.uint64(0), False, False), False
        while not done:
            if characters:
                at, held, carry = scan_characters(data, at, stop, entries, pool, carry, words, held)
                done = at >= stop
            else:
                at, held, carry = scan(data, at, stop, entries, pool, carry, words, held)
                if at >= stop:
                    held, done = end_text(carry, words, held), True
            whole_text = done and not has_words[row]
            count = make_shingles(words[:held], ngram, whole_text, wide)
            fold(wide[:count], folded[:count])
            lower_minima(folded[:count], factor, offset, signatures[row])
            has_words[row] |= count > 0
            # The last words are the beginning of the next block's first shingle.
            kept = min(held, ngram - 1)
            for place in range(kept):  # slices would cost 2 seconds of compiling
                words[place] = words[held - kept + place]
            held = kept
    return signatures, has_words


@jit
def sign_sets(hashes: Any, starts: Any, factor: Any, offset: Any) -> Any:
    """The signatures of sets of shingle hashes: those of the texts that they come from."""
    num_sets = len(starts) - 1
    signatures = np.full((num_sets, len(factor)), np.iinfo(factor.dtype).max, factor.dtype)
    folded = np.empty(_BLOCK, factor.dtype)
    for row in range(num_sets):
        for first in range(starts[row], starts[row + 1], _BLOCK):
            count = min(starts[row + 1] - first, _BLOCK)
            fold(hashes[first : first + count], folded[:count])
            lower_minima(folded[:count], factor, offset, signatures[row])
    return signatures


@jit
def band_keys(signatures: Any, bands: Any, rows: Any) -> Any:
    """One 64-bit key a text and band, of the band's number and its values."""
    keys = np.empty((len(signatures), bands), dtype=np.uint64)
    for i in range(len(signatures)):
        for band in range(bands):
            key = mix64(np.uint64(band + 1))
            for k in range(band * rows, (band + 1) * rows):
                key = mix64(key ^ np.uint64(signatures[i, k]))
            keys[i, band] = key
    return keys
