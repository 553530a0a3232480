"""An export read back against the shards: every token, and every document's length."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loader.exports.format import Reader
from loader.exports.stored_order import Block
from pipeline.errors import IntegrityError


class _Stream:
    """Arrays of any size, given out in pieces of a wanted size."""

    def __init__(self) -> None:
        self._held: deque[npt.NDArray[Any]] = deque()
        self.size = 0

    def add(self, values: npt.NDArray[Any]) -> None:
        if len(values):
            self._held.append(values)
            self.size += len(values)

    def take(self, count: int) -> npt.NDArray[Any]:
        """The next `count` values; fewer if fewer are held."""
        pieces: list[npt.NDArray[Any]] = []
        while count and self._held:
            piece = self._held.popleft()
            if len(piece) > count:
                self._held.appendleft(piece[count:])
                piece = piece[:count]
            pieces.append(piece)
            count -= len(piece)
            self.size -= len(piece)
        return np.concatenate(pieces) if pieces else np.empty(0, np.int64)


class _Readback:
    """Tokens and lengths of a reader, each in order, pulled as they are asked for."""

    def __init__(self, reader: Reader) -> None:
        self._parts = reader.parts()
        self.tokens, self.lengths = _Stream(), _Stream()

    def pull(self, stream: _Stream, count: int) -> npt.NDArray[Any]:
        """The next values of one of the two; fewer at its end."""
        while stream.size < count and (part := next(self._parts, None)) is not None:
            self.tokens.add(part.tokens)
            if part.lengths is not None:
                self.lengths.add(part.lengths)
        return stream.take(count)


def compare(expected: Iterator[Block], reader: Reader, folder: Path) -> None:
    """Raises IntegrityError with the first document and token that read back otherwise."""
    found = _Readback(reader)
    documents = tokens = 0
    for block in expected:
        where = f"{folder}, split {reader.split}, from document {documents:,}, token {tokens:,}"
        if reader.keeps_documents:
            lengths = found.pull(found.lengths, len(block.lengths))
            _equal(lengths, block.lengths, where, "length of document")
        _equal(found.pull(found.tokens, len(block.tokens)), block.tokens, where, "token")
        tokens += len(block.tokens)
        documents += len(block.lengths)
    more = len(found.pull(found.tokens, 1)), len(found.pull(found.lengths, 1))
    if any(more):
        raise _unequal(f"{folder}, split {reader.split}", "more tokens or documents", "the end")


def _equal(got: npt.NDArray[Any], wanted: npt.NDArray[Any], where: str, what: str) -> None:
    if np.array_equal(got, wanted):
        return
    shared = min(len(got), len(wanted))
    unequal = np.flatnonzero(got[:shared] != wanted[:shared])
    at = int(unequal[0]) if len(unequal) else shared
    value = str(got[at]) if at < len(got) else "the end"
    raise _unequal(f"{where}: {what} {at:,} of these", value, str(wanted[at]))


def _unequal(where: str, got: str, expected: str) -> IntegrityError:
    return IntegrityError(
        f"export: {where}: got {got} when it was read back, the shards have {expected}. The disk "
        f"is faulty, or this is our bug: export again; nothing was put under the wanted name."
    )
