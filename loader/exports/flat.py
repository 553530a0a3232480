"""Exports that are one run of ids in a file: `bin`, `megatron`, `ds`. Formats: docs/exports.md."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt

from loader.exports.format import Facts, Part, Reader, Writer
from loader.exports.stored_order import Block

READ_IDS = 1 << 20
"""Ids, or numbers of an index, that are held at a time."""


class _Flat(Writer):
    """Appends ids to one file."""

    suffix: ClassVar[str]

    def __init__(self, folder: Path, split: str, facts: Facts) -> None:
        super().__init__(folder, split, facts)
        self._files = ExitStack()
        self._ids = self._open(self.suffix)

    def _open(self, suffix: str, mode: str = "wb") -> BinaryIO:
        stream: BinaryIO = self._files.enter_context(self.path(suffix).open(mode))  # type: ignore[assignment]
        return stream

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.split}{suffix}"

    def write(self, block: Block) -> None:
        self._ids.write(block.tokens.astype(self.dtype, copy=False).data)

    def abort(self) -> None:
        self._files.close()

    def close(self) -> None:
        self._files.close()


def _numbers(path: Path, dtype: npt.DTypeLike, offset: int = 0, count: int = -1) -> Iterator[Any]:
    """The numbers of a file from a byte offset on (`count` of them, or all), in pieces."""
    kind = np.dtype(dtype)
    with path.open("rb") as stream:
        stream.seek(offset)
        while count:
            wanted = READ_IDS if count < 0 else min(count, READ_IDS)
            piece = np.frombuffer(stream.read(wanted * kind.itemsize), kind)
            if not len(piece):
                return
            count -= len(piece) if count > 0 else 0
            yield piece


def _paired(lengths: Iterator[Any], path: Path, kind: np.dtype[Any]) -> Iterator[Part]:
    """Pieces of lengths, each followed by its ids, so that neither runs far ahead."""
    with path.open("rb") as stream:
        for piece in lengths:
            yield Part(np.empty(0, kind), piece)
            left = int(piece.sum())
            while left > 0:
                ids = np.frombuffer(stream.read(min(left, READ_IDS) * kind.itemsize), kind)
                if not len(ids):
                    return
                left -= len(ids)
                yield Part(ids, np.empty(0, np.int64))
        yield Part(np.frombuffer(stream.read(READ_IDS * kind.itemsize), kind), None)


# --- bin ---------------------------------------------------------------------------------------


class RawWriter(_Flat):
    """`<split>.bin`: ids alone, little-endian uint16 or uint32, as nanoGPT reads them.

    `<split>.json` beside it says the dtype, tokens, documents, vocabulary size and special ids.
    """

    suffix = ".bin"

    @classmethod
    def dtype_of(cls, facts: Facts) -> np.dtype[Any]:
        return facts.dtype

    def close(self) -> None:
        super().close()
        about = {
            "dtype": self.facts.dtype.name,
            "byteorder": "little",
            "tokens": self.facts.tokens[self.split],
            "documents": self.facts.documents[self.split],
            "vocab_size": self.facts.vocab_size,
            "special_tokens": self.facts.special_tokens,
        }
        self.path(".json").write_text(json.dumps(about, indent=2) + "\n")


class RawReader(Reader):
    """Ids of a `.bin`; it knows no documents."""

    keeps_documents = False

    def parts(self) -> Iterator[Part]:
        for piece in _numbers(self.folder / f"{self.split}.bin", self.facts.dtype):
            yield Part(piece, None)


# --- Megatron-LM -------------------------------------------------------------------------------

MEGATRON_MAGIC = b"MMIDIDX\x00\x00"
MEGATRON_DTYPES = {"uint16": 8, "int32": 4}
"""Codes of megatron/core/datasets/indexed_dataset.py, `DType`."""
_HEADER = struct.Struct("<9sQBQQ")


class MegatronWriter(_Flat):
    """`<split>.bin` and `<split>.idx` of Megatron-LM's IndexedDataset, version 1.

    A document is a sequence and a document of its own. Ids are uint16, or int32 as that format has
    no uint32. The index: magic, version, dtype code, sequences, documents + 1, then int32 lengths,
    int64 byte offsets, int64 sequence numbers at which documents begin.
    """

    suffix = ".bin"

    @classmethod
    def dtype_of(cls, facts: Facts) -> np.dtype[Any]:
        return facts.signed_or_uint16()

    def __init__(self, folder: Path, split: str, facts: Facts) -> None:
        super().__init__(folder, split, facts)
        self._lengths = self._open(".lengths")
        self._documents = 0

    def write(self, block: Block) -> None:
        super().write(block)
        self._lengths.write(block.lengths.astype("<i4").data)
        self._documents += len(block.lengths)

    def close(self) -> None:
        super().close()
        lengths = self.path(".lengths")
        code = MEGATRON_DTYPES[self.dtype.name]
        with self.path(".idx").open("wb") as index:
            index.write(_HEADER.pack(MEGATRON_MAGIC, 1, code, self._documents, self._documents + 1))
            for piece in _numbers(lengths, "<i4"):
                index.write(piece.data)
            first = 0
            for piece in _numbers(lengths, "<i4"):
                ends = first + np.cumsum(piece.astype("<i8")) * self.dtype.itemsize
                index.write(np.concatenate([[first], ends[:-1]]).astype("<i8").data)
                first = int(ends[-1])
            for start in range(0, self._documents + 1, READ_IDS):
                stop = min(start + READ_IDS, self._documents + 1)
                index.write(np.arange(start, stop, dtype="<i8").data)
        lengths.unlink()


class MegatronReader(Reader):
    """Ids by the lengths of the index; its offsets must be those of documents without a gap."""

    def parts(self) -> Iterator[Part]:
        index, ids = (self.folder / f"{self.split}{suffix}" for suffix in (".idx", ".bin"))
        with index.open("rb") as stream:
            header = stream.read(_HEADER.size)
        magic, version, code, sequences, bounds = _HEADER.unpack(header)
        names = {known: name for name, known in MEGATRON_DTYPES.items()}
        kind = np.dtype(names[code]).newbyteorder("<")
        at = [_HEADER.size, _HEADER.size + 4 * sequences, _HEADER.size + 12 * sequences]
        self.expect(index, (magic, version, bounds), (MEGATRON_MAGIC, 1, sequences + 1))
        self.expect(index, index.stat().st_size, at[2] + 8 * bounds)
        start = 0
        for found in _numbers(index, "<i8", at[2], bounds):
            expected = np.arange(start, start + len(found))
            self.expect(index, np.array_equal(found, expected), True, "numbers of documents")
            start += len(found)
        yield from _paired(self._lengths(index, at, sequences, kind), ids, kind)

    def _lengths(
        self, index: Path, at: list[int], sequences: int, kind: np.dtype[Any]
    ) -> Iterator[npt.NDArray[np.int64]]:
        """Lengths of the sequences, checked against their byte offsets."""
        first = 0
        offsets = _numbers(index, "<i8", at[1], sequences)
        for lengths in _numbers(index, "<i4", at[0], sequences):
            ends = first + np.cumsum(lengths, dtype=np.int64) * kind.itemsize
            expected = np.concatenate([[first], ends[:-1]])
            self.expect(index, np.array_equal(next(offsets), expected), True, "byte offsets")
            first = int(ends[-1])
            yield lengths.astype(np.int64)


# --- datatrove, nanotron -----------------------------------------------------------------------


class DsWriter(_Flat):
    """`<split>/<split>.ds`, `.ds.index` and `.ds.metadata` as datatrove writes and nanotron reads.

    `.ds`: ids as uint16 or uint32. `.ds.index`: a uint64 for each document, the tokens up to its
    end. `.ds.metadata`: `tokenizer|bytes of a token`, tokens, and tokens for people, a line each.
    """

    suffix = ".ds"

    @classmethod
    def dtype_of(cls, facts: Facts) -> np.dtype[Any]:
        return facts.dtype

    def __init__(self, folder: Path, split: str, facts: Facts) -> None:
        (folder / split).mkdir()
        super().__init__(folder / split, split, facts)
        self._index = self._open(".ds.index")
        self._end = 0

    def write(self, block: Block) -> None:
        super().write(block)
        ends = self._end + np.cumsum(block.lengths)
        self._index.write(ends.astype("<u8").data)
        self._end = int(ends[-1])

    def close(self) -> None:
        super().close()
        self.path(".ds.metadata").write_text(_ds_metadata(self.facts, self._end))


def _ds_metadata(facts: Facts, tokens: int) -> str:
    name = f"{facts.tokenizer}|{facts.dtype.itemsize}"
    return "\n".join((name, str(tokens), f"{tokens / 1e6:.3f} MT"))


class DsReader(Reader):
    """Ids and ends of documents."""

    def parts(self) -> Iterator[Part]:
        path = self.folder / self.split / f"{self.split}.ds"
        metadata = path.with_name(f"{path.name}.metadata")
        tokens = path.stat().st_size // self.facts.dtype.itemsize
        self.expect(metadata, metadata.read_text(), _ds_metadata(self.facts, tokens))
        yield from _paired(self._lengths(path), path, self.facts.dtype)

    def _lengths(self, path: Path) -> Iterator[npt.NDArray[np.int64]]:
        last = 0
        for piece in _numbers(path.with_name(f"{path.name}.index"), "<u8"):
            ends = piece.astype(np.int64)
            yield np.diff(ends, prepend=last)
            last = int(ends[-1])
