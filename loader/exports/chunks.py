"""Exports in chunks with an index.json: `mds` (mosaicml-streaming) and `litdata`.

Both put a table of uint32 byte offsets before the samples of a chunk, and a sample is a document.
"""

from __future__ import annotations

import hashlib
import json
import struct
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loader.exports.format import Facts, Part, Reader, Writer
from loader.exports.stored_order import BATCH_ROWS, Block
from pipeline.errors import ConfigError

CHUNK_BYTES = 1 << 26
"""Samples of a chunk, in bytes; a longer document has a chunk of its own. MDSWriter's default."""


@dataclass(frozen=True)
class Chunk:
    """A finished chunk."""

    name: str
    samples: int
    ids: int
    num_bytes: int
    sha1: str


class _Chunked(Writer):
    """Collects samples to chunks of at most `CHUNK_BYTES`, and writes `<split>/index.json`."""

    per_sample = 4
    """Bytes that a sample takes in the table of offsets."""

    def __init__(self, folder: Path, split: str, facts: Facts) -> None:
        (folder / split).mkdir()
        super().__init__(folder / split, split, facts)
        self._samples: list[bytes] = []
        self._ids = self._size = 0
        self.chunks: list[dict[str, Any]] = []

    def write(self, block: Block) -> None:
        ids = block.tokens.astype(self.dtype, copy=False)
        for end, length in zip(
            np.cumsum(block.lengths).tolist(), block.lengths.tolist(), strict=True
        ):
            sample = self.sample(ids[end - length : end])
            size = len(sample) + self.per_sample
            if self._samples and self._size + size > CHUNK_BYTES:
                self._flush()
            self._samples.append(sample)
            self._size += size
            self._ids += length

    def _flush(self) -> None:
        name = self.chunk_name(len(self.chunks))
        head = self.head()
        sizes = np.array([len(sample) for sample in self._samples], np.int64)
        start = 4 + 4 * (len(sizes) + 1) + len(head)
        offsets = start + np.concatenate([[0], np.cumsum(sizes)])
        if offsets[-1] >= 1 << 32:
            raise ConfigError(
                f"export: a document of {int(sizes.max()):,} bytes: the offsets of this format are "
                f"32 bits wide. Expected documents below 4 GB: choose `bin` or `megatron`."
            )
        table = offsets.astype("<u4").tobytes()
        sha1 = hashlib.sha1(usedforsecurity=False)
        with (self.folder / name).open("wb") as out:
            for piece in (struct.pack("<I", len(sizes)), table, head, *self._samples):
                sha1.update(piece)
                out.write(piece)
        made = Chunk(name, len(sizes), self._ids, int(offsets[-1]), sha1.hexdigest())
        self.chunks.append(self.about(made))
        self._samples, self._size, self._ids = [], 0, 0

    def close(self) -> None:
        if self._samples:
            self._flush()
        index = json.dumps(self.index(), sort_keys=True)
        (self.folder / "index.json").write_text(index)

    def sample(self, ids: np.ndarray[Any, Any]) -> bytes:
        """A document as the format stores it."""
        return ids.tobytes()

    def head(self) -> bytes:
        """What stands between the offsets and the samples."""
        return b""

    @abstractmethod
    def chunk_name(self, number: int) -> str:
        """The chunk's file."""

    @abstractmethod
    def about(self, chunk: Chunk) -> dict[str, Any]:
        """The chunk's entry in the index."""

    @abstractmethod
    def index(self) -> dict[str, Any]:
        """The content of index.json."""


class _ChunkReader(Reader):
    """Reads the samples of one chunk, a few at a time."""

    def samples(self, path: Path, count: int, head: bytes) -> Iterator[Part]:
        """The documents of a chunk of `count` samples, `head` standing before the first."""
        with path.open("rb") as chunk:
            (found,) = struct.unpack("<I", chunk.read(4))
            self.expect(path, found, count, "samples")
            bounds = np.frombuffer(chunk.read(4 * (count + 1)), "<u4").astype(np.int64)
            self.expect(path, chunk.read(len(head)), head, "header")
            ends = (chunk.tell(), path.stat().st_size)
            self.expect(path, (bounds[0], bounds[-1]), ends, "bounds of samples")
            sizes = np.diff(bounds).tolist()
            for at in range(0, count, BATCH_ROWS):
                batch = [chunk.read(size) for size in sizes[at : at + BATCH_ROWS]]
                documents = [self.document(path, sample) for sample in batch]
                lengths = np.array([len(ids) for ids in documents], np.int64)
                yield Part(np.concatenate(documents), lengths)

    def document(self, path: Path, sample: bytes) -> np.ndarray[Any, Any]:
        """The ids of a sample."""
        return np.frombuffer(sample, "<i4")


# --- mosaicml-streaming ------------------------------------------------------------------------

_MDS = {
    "column_encodings": ["ndarray:int32"],
    "column_names": ["tokens"],
    "column_sizes": [None],
    "compression": None,
    "format": "mds",
    "hashes": ["sha1"],
    "size_limit": CHUNK_BYTES,
    "version": 2,
}
_SHAPES = (("<u1", 1 << 8), ("<u2", 1 << 16), ("<u4", 1 << 32))
"""Types of an array's length, each below its bound (streaming/base/format/mds/encodings.py)."""


class MdsWriter(_Chunked):
    """`<split>/shard.00000.mds`: samples with one column, `tokens`, as `ndarray:int32`.

    A sample: uint32 size of the array's bytes, a byte (1 axis << 2 | type of its length), the
    length, the ids.
    """

    def sample(self, ids: np.ndarray[Any, Any]) -> bytes:
        if not len(ids):
            raise ConfigError(
                "export: a document without tokens: MDS holds no empty array. Expected an "
                "end-of-document id at least: choose another format."
            )
        code = next(at for at, (_, bound) in enumerate(_SHAPES) if len(ids) < bound)
        array = bytes([1 << 2 | code]) + np.array([len(ids)], _SHAPES[code][0]).tobytes()
        array += ids.tobytes()
        return struct.pack("<I", len(array)) + array

    def head(self) -> bytes:
        return json.dumps(_MDS, sort_keys=True).encode()

    def chunk_name(self, number: int) -> str:
        return f"shard.{number:05d}.mds"

    def about(self, chunk: Chunk) -> dict[str, Any]:
        hashes = {"sha1": chunk.sha1}
        raw = {"basename": chunk.name, "bytes": chunk.num_bytes, "hashes": hashes}
        return {**_MDS, "raw_data": raw, "samples": chunk.samples, "zip_data": None}

    def index(self) -> dict[str, Any]:
        return {"shards": self.chunks, "version": 2}


class MdsReader(_ChunkReader):
    """Samples of the shards that index.json names."""

    def parts(self) -> Iterator[Part]:
        folder = self.folder / self.split
        for shard in json.loads((folder / "index.json").read_bytes())["shards"]:
            path = folder / shard["raw_data"]["basename"]
            with path.open("rb") as data:
                sha1 = hashlib.file_digest(data, "sha1").hexdigest()
            self.expect(path, sha1, shard["raw_data"]["hashes"]["sha1"], "sha1")
            head = json.dumps(_MDS, sort_keys=True).encode()
            yield from self.samples(path, shard["samples"], head)

    def document(self, path: Path, sample: bytes) -> np.ndarray[Any, Any]:
        (size,) = struct.unpack_from("<I", sample)
        self.expect(path, size + 4, len(sample), "bytes of a sample")
        kind = np.dtype(_SHAPES[sample[4] & 3][0])
        length = int(np.frombuffer(sample, kind, 1, 5)[0])
        self.expect(path, sample[4] >> 2, 1, "axes of an array")
        self.expect(path, len(sample), 5 + kind.itemsize + 4 * length, "bytes of a sample")
        return np.frombuffer(sample, "<i4", length, 5 + kind.itemsize)


# --- litdata -----------------------------------------------------------------------------------

_LITDATA = {
    "chunk_bytes": CHUNK_BYTES,
    "chunk_size": None,
    "compression": None,
    "data_format": ["no_header_tensor:16"],  # torch.int32, litdata/constants.py
    "data_spec": '[1, {"type": null, "context": null, "children_spec": []}]',  # one leaf
    "encryption": None,
    "item_loader": "TokensLoader",
}


class LitdataWriter(_Chunked):
    """`<split>/chunk-0-0.bin`: ids as int32, for litdata's TokensLoader.

    The loader cuts blocks out of each chunk, whatever its documents, and leaves out what is short
    of a block at the end of each.
    """

    def chunk_name(self, number: int) -> str:
        return f"chunk-0-{number}.bin"

    def about(self, chunk: Chunk) -> dict[str, Any]:
        sizes = {"chunk_bytes": chunk.num_bytes, "chunk_size": chunk.samples, "dim": chunk.ids}
        return {**sizes, "filename": chunk.name}

    def index(self) -> dict[str, Any]:
        return {"chunks": self.chunks, "config": _LITDATA}


class LitdataReader(_ChunkReader):
    """Samples of the chunks that index.json names."""

    def parts(self) -> Iterator[Part]:
        folder = self.folder / self.split
        for chunk in json.loads((folder / "index.json").read_bytes())["chunks"]:
            path = folder / chunk["filename"]
            self.expect(path, path.stat().st_size, chunk["chunk_bytes"], "bytes")
            tokens = 0
            for part in self.samples(path, chunk["chunk_size"], b""):
                tokens += len(part.tokens)
                yield part
            self.expect(path, tokens, chunk["dim"], "tokens")
