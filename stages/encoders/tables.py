"""A tokenizer.json as the tables of the kernel that encodes, where it says what the kernel does.

It takes byte-level BPE: GPT-2's pre-tokenizer, or a Split by one of the expressions that
`stages.kernels.expressions` writes, then ByteLevel. Anything that would change ids beyond that is
Unsuitable, and is left to the libraries.
"""

from __future__ import annotations

import itertools
import json
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from stages.encoders.source import Ids, Lengths, Source, Unsuitable, byte_alphabet
from stages.kernels.bpe_encode import BLOCK, SPARE, Cache, encode
from stages.kernels.bpe_join import EMPTY, ID_BITS, NONE, Merges, Work, fill
from stages.kernels.expressions import DIGITS, NAMES, WHITESPACE, cut, regular_expression
from stages.kernels.jit import is_compiled
from stages.kernels.piece_classes import piece_classes
from stages.kernels.piece_rules import Cut

CACHE_ROWS = 1 << 20
"""32 MB; half as much for the bytes and for the ids of long pieces each: 64 MB. 100 MB of text in
30 languages have 540,000 pieces; with half as many rows they take a third more time."""
_ROW_BYTES = 32
_FIRST_WORK = 4096
_KEPT_WORK = 1 << 20
_OPTIONS = ("continuing_subword_prefix", "end_of_word_suffix", "dropout", "byte_fallback")
_LONGEST = (1 << 31) - 1


@lru_cache(maxsize=1)
def _cuts() -> dict[str, Cut]:
    """Expression -> what the kernel makes of it."""
    choices = itertools.product(NAMES, DIGITS, WHITESPACE)
    return {regular_expression(*choice): cut(*choice) for choice in choices}


def cut_of(source: Source) -> Cut:
    """How the tokenizer cuts. Raises Unsuitable where the kernel has no such expression."""
    found = _cuts().get(source.pattern or "")
    if found is None or source.raw.get("normalizer"):
        raise Unsuitable("it knows no such pre-tokenizer or normalizer")
    if any(not token["special"] for token in source.added):
        raise Unsuitable("it knows no added plain tokens")
    return found


def merges_of(source: Source) -> Merges:
    """The vocabulary as tables. Raises Unsuitable where it is no plain byte-level BPE."""
    model = source.raw["model"]
    if model.get("type") != "BPE" or any(model.get(name) for name in _OPTIONS):
        raise Unsuitable("it knows BPE alone, without byte fallback, affixes or dropout")
    alphabet, vocab = byte_alphabet(), model["vocab"]
    if any(character not in vocab for character in alphabet):
        raise Unsuitable("the vocabulary lacks single bytes")
    if max(vocab.values()) >= 1 << ID_BITS or len(model["merges"]) >= (1 << ID_BITS) - 1:
        raise Unsuitable(f"it knows ids and merges below 2^{ID_BITS} alone")
    left, right, made = _pairs(vocab, model["merges"])
    whole = _whole(vocab, alphabet) if model.get("ignore_merges") else {}
    merges = Merges(
        np.zeros(256, np.uint32), np.full(1 << 16, NONE), np.full(_room(len(made)), EMPTY),
        np.zeros(_room(len(made)), np.uint8), made,
        np.full(_room(len(whole)), -1, np.int32),
        np.cumsum([0, *map(len, whole)]).astype(np.int64),
        np.frombuffer(b"".join(whole) or b"\0", np.uint8).copy(),
        np.fromiter(whole.values(), np.uint32, len(whole)),
    )  # fmt: skip
    for character, byte in alphabet.items():
        merges.byte_ids[byte] = vocab[character]
    if not fill(merges, left, right):
        raise Unsuitable("a merge stands twice")
    return merges


def _pairs(vocab: dict[str, int], merges: list[Any]) -> tuple[Any, Any, Any]:
    """(left ids, right ids, new ids) of the merges in their order."""
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    left = np.fromiter((vocab[a] for a, _ in pairs), np.uint32, len(pairs))
    right = np.fromiter((vocab[b] for _, b in pairs), np.uint32, len(pairs))
    made = np.fromiter((vocab[a + b] for a, b in pairs), np.uint32, len(pairs))
    return left, right, made


def _whole(vocab: dict[str, int], alphabet: dict[str, int]) -> dict[bytes, int]:
    """Bytes -> id of every token that a piece can be."""
    return {
        bytes(map(alphabet.__getitem__, token)): number
        for token, number in vocab.items()
        if token and alphabet.keys() >= set(token)
    }


def _room(entries: int) -> int:
    """Slots of an open table at most half full: a power of two."""
    return int(1 << (2 * entries + 1).bit_length())


class KernelEncoder:
    """Encodes columns. Its cache lasts from call to call, and changes no id."""

    def __init__(self, source: Source, cache_rows: int = CACHE_ROWS) -> None:
        """Raises Unsuitable. `cache_rows` is a power of two."""
        self._cut, self._merges = cut_of(source), merges_of(source)
        room = cache_rows * _ROW_BYTES // 2
        self._cache = Cache(
            _aligned(cache_rows), np.empty(room, np.uint8),
            np.empty(room // 4, np.uint32), np.zeros(2, np.int64),
        )  # fmt: skip
        self._work = _work(_FIRST_WORK)
        self._block = np.zeros((BLOCK, 4), np.uint64)

    def encode(self, column: pa.Array, end: int = -1) -> tuple[Ids, Lengths]:
        """Ids of all texts in a row, `end` behind each unless negative, and the number of each.

        Takes large_string without nulls. Memory: 4 bytes an id, and 32 bytes a byte of the longest
        piece.
        """
        offsets, data = _buffers(column)
        size = int(offsets[-1] - offsets[0])
        room = size + len(column) + SPARE  # what of it is never written to is never taken
        out = np.empty(room, np.uint32)
        lengths, state = np.empty(len(column), np.int64), np.zeros(4, np.int64)
        while wanted := encode(
            data, offsets, piece_classes(), self._cut, self._merges, self._cache, self._work,
            self._block, np.int64(end), out, lengths, state,
        ):  # fmt: skip
            if wanted > _LONGEST:
                raise ValueError(f"a piece of {wanted:,} bytes is longer than {_LONGEST:,}")
            self._work = _work(int(wanted))
        if len(self._work.ids) > _KEPT_WORK:
            self._work = _work(_FIRST_WORK)
        return out[: state[2]], lengths


def _aligned(rows: int) -> Any:
    """Empty rows of the cache, none of which lies across two lines of the processor's."""
    values = np.zeros(4 * rows + 8, np.uint64)
    start = (-values.ctypes.data % 64) // 8
    return values[start : start + 4 * rows].reshape(rows, 4)


def kernel_is_compiled() -> bool:
    """Whether no column would wait for a compiler on this machine."""
    return is_compiled(encode)


def compile_kernel() -> None:
    """Encode one byte with a vocabulary of bytes: after that no column waits for a compiler."""
    vocab = {character: at for at, character in enumerate(byte_alphabet())}
    model = {"type": "BPE", "vocab": vocab, "merges": []}
    file = {"model": model, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}}
    KernelEncoder(Source(None, json.dumps(file)), 1).encode(pa.array(["a"], pa.large_string()))


def _work(room: int) -> Work:
    return Work(
        np.empty(room, np.uint32), np.empty(room, np.uint32), np.empty(room, np.int32),
        np.empty(room, np.int32), np.empty(2 * room, np.uint64),
    )  # fmt: skip


def _buffers(texts: pa.Array) -> tuple[Any, Any]:
    """Offsets of the texts, one more than there are, into the bytes of all; both read-only."""
    _, offsets, data = texts.buffers()
    if not len(texts):
        return np.frombuffer(bytes(8), np.int64), np.frombuffer(b"\0", np.uint8)
    starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return starts, np.frombuffer(data or b"\0", np.uint8)
