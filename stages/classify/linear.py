"""Logistic regression over hashed word n-grams, as GPT-3's filter (arXiv:2005.14165, appendix A).

Features are the shingle hashes of `stages.kernels.shingles` for n = 1..ngram, their low bits the
slot; a feature's value is its count over the square root of the number of a text's features. So a
long text weighs no more than a short one. Training minimises

    mean of log(1 + exp(-y s)) + l2 / 2 * |w|^2,    s = w.x + b

by L-BFGS over the whole sample: a convex problem with one answer, which no order of documents and
no random number enters. Weights are kept as float32. Products are summed by numpy itself: BLAS sums
them in another order with each number of threads.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import ConfigError
from stages.classify.words import Floats

FORMAT = 1
"""Of the file, features included."""
_MEMORY = 10
"""Steps that L-BFGS remembers (Liu and Nocedal 1989: 3 to 20)."""
_GRADIENT = 1e-5
_ARMIJO = 1e-4
_BATCH = 512
"""Texts whose hashes are held at once."""

_MEMBERS = ("facts", "bias", "weights")
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError,
    TypeError, ValueError, KeyError, IndexError, OverflowError, MemoryError,
)  # fmt: skip
"""What reading a broken archive of arrays raises."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Features:
    """The slots of all texts one after the other, and where each text's begin."""

    slots: npt.NDArray[np.int32]
    ends: Ints
    """Number of texts + 1."""

    @property
    def lengths(self) -> Ints:
        return np.diff(self.ends)

    def sums(self, weights: npt.NDArray[Any]) -> Floats:
        """For each text the sum of its slots' weights over the root of their number."""
        found = np.zeros(len(self.ends) - 1, np.float64)
        full = self.lengths > 0
        if full.any():
            starts = self.ends[:-1][full]
            found[full] = np.add.reduceat(weights[self.slots].astype(np.float64), starts)
            found[full] /= np.sqrt(self.lengths[full])
        return found


def features(texts: pa.Array, bits: int, ngram: int) -> Features:
    """Hashed n-grams, n = 1..ngram, of every text."""
    from stages.kernels.shingles import Normalisation, shingle_hashes

    slots, counts = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    mask = np.uint64((1 << bits) - 1)
    for at in range(0, len(texts), _BATCH):
        piece = texts.slice(at, _BATCH)
        orders = [shingle_hashes(piece, n, Normalisation()) for n in range(1, ngram + 1)]
        for row in range(len(piece)):
            own = [hashes[ends[row] : ends[row + 1]] for hashes, ends in orders]
            slots += [(part & mask).astype(np.int32) for part in own]
            counts.append(np.array([sum(map(len, own))], np.int64))
    ends = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    return Features(np.concatenate(slots), ends)


@dataclass(frozen=True)
class LinearModel:
    """Weights by slot, and the bias."""

    weights: npt.NDArray[np.float32]
    bias: float
    ngram: int

    @property
    def bits(self) -> int:
        return len(self.weights).bit_length() - 1

    def scores(self, texts: pa.Array) -> Floats:
        """The probability of the positive class; 0 for a text without words."""
        found = np.zeros(len(texts), np.float64)
        for at in range(0, len(texts), _BATCH):
            made = features(texts.slice(at, _BATCH), self.bits, self.ngram)
            scores = sigmoid(made.sums(self.weights) + self.bias)
            found[at : at + _BATCH] = np.where(made.lengths > 0, scores, 0.0)
        return found

    def to_bytes(self) -> bytes:
        """The file's content: equal models, equal bytes."""
        out = io.BytesIO()
        facts = np.array([FORMAT, self.ngram], np.int64)
        bias = np.array([self.bias], np.float64)
        np.savez(out, facts=facts, bias=bias, weights=self.weights)
        return out.getvalue()

    @classmethod
    def read(cls, path: Path) -> LinearModel:
        """Raises ConfigError for a file that is damaged, of another format or no such model."""
        try:
            with path.open("rb") as stream, zipfile.ZipFile(stream) as parts:
                facts, bias, weights = (_member(parts, name) for name in _MEMBERS)
            version, ngram = facts.tolist()
            shift = float(bias[0])
        except _DAMAGE as error:
            said = str(error) or type(error).__name__
            raise ConfigError(
                f"{path} is no hashed linear model: {said.rstrip('.')}. Expected a file of "
                f"train_classifier with `model: linear`; train it again."
            ) from error
        if version != FORMAT:
            raise ConfigError(f"{path} has format {version}, expected {FORMAT}. Train it again.")
        power = weights.ndim == 1 and weights.size.bit_count() == 1
        if weights.dtype != np.float32 or not power or not 1 <= ngram <= 5:
            raise ConfigError(
                f"{path} has {weights.dtype} weights of shape {weights.shape} for runs of {ngram} "
                f"words, expected float32, a power of two, and 1 to 5. Train it again."
            )
        if not (np.isfinite(shift) and np.isfinite(weights).all()):
            raise ConfigError(f"{path} has NaN or infinity in it, expected numbers.")
        return cls(weights, shift, ngram)


def _member(parts: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """An array of the archive; the archive's CRC of it holds."""
    content = io.BytesIO(parts.read(f"{name}.npy"))
    found: npt.NDArray[Any] = np.lib.format.read_array(content, allow_pickle=False)
    if content.read(1):
        raise ValueError(f"bytes behind the array '{name}'")
    return found


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + small), small / (1 + small))


def train(
    texts: pa.Array, positive: Any, bits: int, ngram: int, l2: float, rounds: int
) -> LinearModel:
    """The model of the texts, `positive` true for those of the positive class."""
    made = features(texts, bits, ngram)
    sign = np.where(np.asarray(positive, bool), 1.0, -1.0)
    root = np.sqrt(np.maximum(made.lengths, 1))

    def loss(point: Floats) -> tuple[float, Floats]:
        margin = sign * (made.sums(point[:-1]) + point[-1])
        pull = -sign * sigmoid(-margin) / len(sign)
        gradient = l2 * point
        gradient[-1] = pull.sum()  # the bias is not held back
        spread = np.repeat(pull / root, made.lengths)
        gradient[:-1] += np.bincount(made.slots, spread, minlength=1 << bits)
        value = np.logaddexp(0.0, -margin).mean() + l2 / 2 * _dot(point[:-1], point[:-1])
        return float(value), gradient

    point = minimum(loss, np.zeros((1 << bits) + 1), rounds)
    return LinearModel(point[:-1].astype(np.float32), float(point[-1]), ngram)


def minimum(loss: Callable[[Floats], tuple[float, Floats]], start: Floats, rounds: int) -> Floats:
    """Where a smooth convex function is least, by L-BFGS with backtracking (Nocedal 1980).

    Ends where no part of the gradient is above 1e-5, or after `rounds`.
    """
    point, (value, gradient) = start, loss(start)
    past: list[tuple[Floats, Floats]] = []
    for _ in range(rounds):
        if np.abs(gradient).max() <= _GRADIENT:
            break
        step = -_two_loops(gradient, past)
        slope, length = _dot(gradient, step), 1.0
        while True:
            moved = point + length * step
            new_value, new_gradient = loss(moved)
            if new_value <= value + _ARMIJO * length * slope or length < 1e-10:
                break
            length /= 2
        if new_value >= value:
            break
        move, change = moved - point, new_gradient - gradient
        if _dot(move, change) > 1e-12:
            past = [*past[1 - _MEMORY :], (move, change)]
        point, value, gradient = moved, new_value, new_gradient
    return point


def _dot(left: Floats, right: Floats) -> float:
    """The sum of products in numpy's own order, whatever threads BLAS has."""
    return float(np.multiply(left, right).sum())


def _two_loops(gradient: Floats, past: list[tuple[Floats, Floats]]) -> Floats:
    """The inverse Hessian that the last steps suggest, times the gradient."""
    found = gradient.copy()
    shares = []
    for move, change in reversed(past):
        share = _dot(move, found) / _dot(move, change)
        found -= share * change
        shares.append(share)
    if past:
        move, change = past[-1]
        found *= _dot(move, change) / _dot(change, change)
    for (move, change), share in zip(past, reversed(shares), strict=True):
        found += move * (share - _dot(change, found) / _dot(move, change))
    return found
