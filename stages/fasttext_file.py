"""A fastText model file, loaded after its layout is checked.

fastText 0.9 reads without looking whether there is anything to read: of a file that ends in the
matrices it scores with whatever memory held, and of one that ends in the words it fills memory for
ever. So the file is walked before: header, words, then the matrices by their stated sizes, down to
the last byte. Flipped bits inside words and matrices are not seen: the file has no checksum.

Layout: `FastText::loadModel` of fastText 0.9.2 with `Args::load`, `Dictionary::load`,
`DenseMatrix::load`, `QuantMatrix::load` and `ProductQuantizer::load`; little-endian.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError

MAGIC = 793712314
VERSIONS = (11, 12)
_SUPERVISED = 3
_CENTROIDS = 256
"""A quantised value has 8 bits."""
_BEHIND_WORD = 9
"""Bytes of an entry behind its word: its count, and whether it is a label."""


def load_fasttext(path: Path) -> Any:
    """The supervised model of a file, of which all is there. Raises ConfigError.

    Costs one look at each word of the file, besides what fastText itself reads.
    """
    import fasttext

    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            if not size:
                raise _broken(path, "it is empty", "a model")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _Walk(path, data).model()
    except OSError as error:
        raise ConfigError(f"{path} is no fastText model: {error}. Give a file to read.") from error
    try:
        return fasttext.load_model(str(path))
    except ValueError as error:
        raise ConfigError(f"{path} is no fastText model: {error}.") from error


def _broken(path: Path, got: str, expected: str) -> ConfigError:
    return ConfigError(
        f"{path} is no whole fastText model: {got}, expected {expected}. Take it anew from where "
        f"it comes."
    )


class _Walk:
    """A place in the file that moves on; each step checks that there is as much."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, 0

    def model(self) -> None:
        """The whole file. Raises ConfigError."""
        magic, version = self.numbers("ii", "header")
        if magic != MAGIC:
            self.fail(f"its first number is {magic}", str(MAGIC))
        if version not in VERSIONS:
            self.fail(f"its version is {version}", " or ".join(map(str, VERSIONS)))
        args = self.numbers("12i", "header")
        dim, kind, buckets = args[0], args[7], args[8]
        self.numbers("d", "header")
        if kind != _SUPERVISED:
            self.fail(f"it is of kind {kind}", f"{_SUPERVISED}, a classifier")
        if dim < 1 or buckets < 0:
            self.fail(f"its header says {dim} units and {buckets} slots", "at least 1 and 0")
        words, labels, pruned = self.words()
        rows = words + (buckets if pruned < 0 else pruned)
        quantised = self.matrix("input matrix", rows, dim, False)
        self.matrix("output matrix", labels, dim, quantised)
        if self.at != len(self.data):
            self.fail(f"it has {len(self.data):,} bytes", f"{self.at:,} by its header")

    def words(self) -> tuple[int, int, int]:
        """Words, labels, and n-grams that pruning left, or -1."""
        size, words, labels, _, pruned = self.numbers("iiiqq", "dictionary")
        if min(words, labels) < 0 or labels == 0 or size != words + labels or pruned < -1:
            self.fail(
                f"its dictionary says {size} entries, {words} words, {labels} labels, "
                f"{pruned} pruned n-grams",
                "a label at least, and as many entries as words and labels",
            )
        find = self.data.find
        at = self.at
        for number in range(size):
            end = find(b"\0", at)
            at = end + 1 + _BEHIND_WORD
            if end < 0 or at > len(self.data):
                self.fail(f"it ends in word {number + 1:,}", f"{size:,} words")
        self.at = at
        self.skip(8 * max(pruned, 0), "pruned n-grams")
        return words, labels, pruned

    def matrix(self, name: str, rows: int, columns: int, quantised: bool) -> bool:
        """A matrix of this shape, and whether it is quantised.

        The output matrix is quantised only where the input is as well, whatever its flag says.
        """
        (flag,) = self.numbers("?", name)
        small = flag and (quantised or name == "input matrix")
        normed = self.numbers("?", name)[0] if small else False
        shape = self.numbers("qq", name)
        if shape != (rows, columns):
            self.fail(f"its {name} is {shape[0]} x {shape[1]}", f"{rows} x {columns} by its header")
        if not small:
            self.skip(4 * rows * columns, name)
            return False
        (codes,) = self.numbers("i", name)
        self.skip(codes, name)
        self.quantiser(name, columns, codes, rows)
        if normed:
            self.skip(rows, name)
            self.quantiser(name, 1, rows, rows)
        return True

    def quantiser(self, name: str, columns: int, codes: int, rows: int) -> None:
        """A product quantiser, which must have made so many codes."""
        dim, parts, _, _ = self.numbers("4i", name)
        if dim != columns or parts < 1 or codes != rows * parts:
            self.fail(
                f"its {name} has {codes} codes of {parts} parts of {dim} columns",
                f"{rows} x parts, of {columns} columns",
            )
        self.skip(4 * dim * _CENTROIDS, name)

    def numbers(self, layout: str, where: str) -> tuple[Any, ...]:
        start = self.at
        self.skip(struct.calcsize(f"<{layout}"), where)
        return struct.unpack_from(f"<{layout}", self.data, start)

    def skip(self, size: int, where: str) -> None:
        end = self.at + size
        if size < 0 or end > len(self.data):
            self.fail(f"it ends in the {where}, at {len(self.data):,} bytes", f"at least {end:,}")
        self.at = end

    def fail(self, got: str, expected: str) -> None:
        raise _broken(self.path, got, expected)
