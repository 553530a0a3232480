"""The model behind the `blocks` engine: read from its file, and asked about a page.

The file holds numbers and hashes only: log-odds of class names and words, and three sets of boosted
trees (what is main text; the same once more with the first answer around each block; the kind of
page). docs/model_card.md says what it was trained on.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError
from stages.extract.forest import Trees
from stages.extract.kind import PAGE_VECTOR
from stages.extract.result import SHIPPED_MODEL
from stages.kernels.html_columns import NUM_FEATURES, LogOdds
from stages.kernels.html_context import NUM_CONTEXT
from stages.kernels.trees import MAX_DEPTH

TOKEN_SLOTS, WORD_SLOTS = 1 << 14, 1 << 15
_MAX_BYTES = 1 << 20
_FACTOR, _NEXT_FACTOR = 0x9E3779B1, 0x01000193
"""Odd, so that the products of two hashes differ; the second one's powers are 2^30 numbers."""
_MAX_TRIES = 1 << 20
"""Of a hash with a factor, in a table: ours takes some 20,000."""

Factors = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BlocksModel:
    """A loaded model."""

    odds: LogOdds
    first: Trees
    second: Trees
    kind: Trees
    """Tree i speaks for kind i mod 7."""


@lru_cache(maxsize=4)
def load_model(path: Path = SHIPPED_MODEL) -> BlocksModel:
    """Read and check a model file. Raises InputError if it is none."""
    try:
        data = path.read_bytes()
        if len(data) > _MAX_BYTES:
            raise ValueError(f"{len(data):,} bytes, expected at most {_MAX_BYTES:,}")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return BlocksModel(
            LogOdds(
                *slots(arrays["token_hashes"], arrays["token_odds"], TOKEN_SLOTS),
                *slots(arrays["word_hashes"], arrays["word_odds"], WORD_SLOTS),
            ),
            _trees(arrays, "first", NUM_FEATURES),
            _trees(arrays, "second", NUM_FEATURES + NUM_CONTEXT),
            _trees(arrays, "kind", len(PAGE_VECTOR)),
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is no model of the blocks engine: {type(error).__name__}: {error}. Train one "
            f"with `python -m stages.extract train GOLD`, or leave `model` out."
        ) from error


def slots(hashes: Any, values: Any, size: int) -> tuple[Factors, Factors, Floats]:
    """The factors and the table by which the kernel looks hashes up (`html_columns.odds_of`).

    Hashes that share a factor are placed together, the largest groups first: the first factor
    is taken that gives each a free place. Raises ValueError if the table gets too full, or if the
    hashes were made to fall on each other.
    """
    if len(hashes) > size // 2:
        raise ValueError(f"{len(hashes):,} hashes, expected at most {size // 2:,}")
    groups: dict[int, dict[int, float]] = {}
    for key, value in zip(hashes.tolist(), values.tolist(), strict=True):
        if key:  # as 0 is an empty place
            groups.setdefault(key & size // 4 - 1, {}).setdefault(key, value)
    factors = np.zeros(size // 4, dtype=np.uint32)
    keys = np.zeros(2 * size, dtype=np.uint32)
    found = keys.view(np.float32)
    taken: set[int] = set()
    left = _MAX_TRIES
    for low, group in sorted(groups.items(), key=lambda group: -len(group[1])):
        factor = _FACTOR
        while True:
            places = {(key * factor & 0xFFFFFFFF) * size >> 32: key for key in group}
            if len(places) == len(group) and taken.isdisjoint(places):
                break
            factor = factor * _NEXT_FACTOR & 0xFFFFFFFF
            left -= len(group)
            if left < 0:
                raise ValueError(f"{len(group)} hashes with the low bits {low:#x} find no places")
        taken.update(places)
        factors[low] = factor
        for at, key in places.items():
            keys[2 * at], found[2 * at + 1] = key, group[key]
    return factors, keys, found


def _trees(arrays: dict[str, Any], name: str, width: int) -> Trees:
    """One set of trees, checked so that no index of the kernel can run out. Raises ValueError."""
    features = np.ascontiguousarray(arrays[f"{name}_features"], dtype=np.uint16)
    thresholds = np.ascontiguousarray(arrays[f"{name}_thresholds"], dtype=np.float32)
    leaves = np.ascontiguousarray(arrays[f"{name}_leaves"], dtype=np.float32)
    depth = int(arrays[f"{name}_depth"])
    inner = (1 << depth) - 1
    number, rest = divmod(len(features), max(inner, 1))
    if not 1 <= depth <= MAX_DEPTH or rest or len(thresholds) != len(features):
        raise ValueError(f"'{name}': {len(features)} inner nodes are no trees of depth {depth}")
    if len(leaves) != number * (inner + 1):
        raise ValueError(f"'{name}': {len(leaves)} leaves, expected {number * (inner + 1)}")
    if number and int(features.max()) >= width:
        raise ValueError(f"'{name}': feature {int(features.max())}, expected below {width}")
    return Trees(features, thresholds, leaves, depth)
