"""Exports in chunks with an index.json: `mds` (mosaicml-streaming) and `litdata`.

Both put a table of uint32 byte offsets before the samples of a chunk, and a sample is a document.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from loader.export_format import Facts, Part, Reader, Writer
from loader.stored_order import Block
from pipeline.errors import ConfigError

CHUNK_BYTES = 1 << 26
"""Samples of a chunk, in bytes; a longer document has a chunk of its own. MDSWriter's default."""


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
        data = b"".join([struct.pack("<I", len(sizes)), table, head, *self._samples])
        (self.folder / name).write_bytes(data)
        self.chunks.append(self.about(name, data, len(sizes), self._ids))
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

    def chunk_name(self, number: int) -> str:
        raise NotImplementedError

    def about(self, name: str, data: bytes, samples: int, ids: int) -> dict[str, Any]:
        """The chunk's entry in the index."""
        raise NotImplementedError

    def index(self) -> dict[str, Any]:
        """The content of index.json."""
        raise NotImplementedError


def _samples(data: bytes, head: int) -> tuple[list[int], int]:
    """The bounds of a chunk's samples in bytes, and where the first has to begin."""
    (count,) = struct.unpack_from("<I", data)
    bounds = np.frombuffer(data, "<u4", count + 1, 4)
    return bounds.tolist(), 4 + 4 * (count + 1) + head


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

    def about(self, name: str, data: bytes, samples: int, ids: int) -> dict[str, Any]:
        hashes = {"sha1": hashlib.sha1(data, usedforsecurity=False).hexdigest()}
        raw = {"basename": name, "bytes": len(data), "hashes": hashes}
        return {**_MDS, "raw_data": raw, "samples": samples, "zip_data": None}

    def index(self) -> dict[str, Any]:
        return {"shards": self.chunks, "version": 2}


class MdsReader(Reader):
    """Samples of the shards that index.json names."""

    def parts(self) -> Iterator[Part]:
        folder = self.folder / self.split
        for shard in json.loads((folder / "index.json").read_bytes())["shards"]:
            path = folder / shard["raw_data"]["basename"]
            data = path.read_bytes()
            bounds, start = _samples(data, len(json.dumps(_MDS, sort_keys=True)))
            self.expect(path, len(bounds) - 1, shard["samples"], "samples")
            self.expect(path, (bounds[0], bounds[-1]), (start, len(data)), "bounds of samples")
            yield _part([self._array(path, data[a:b]) for a, b in _pairs(bounds)])

    def _array(self, path: Path, sample: bytes) -> np.ndarray[Any, Any]:
        (size,) = struct.unpack_from("<I", sample)
        self.expect(path, size + 4, len(sample), "bytes of a sample")
        kind = np.dtype(_SHAPES[sample[4] & 3][0])
        length = int(np.frombuffer(sample, kind, 1, 5)[0])
        self.expect(path, sample[4] >> 2, 1, "axes of an array")
        self.expect(path, len(sample), 5 + kind.itemsize + 4 * length, "bytes of a sample")
        return np.frombuffer(sample, "<i4", length, 5 + kind.itemsize)


def _pairs(bounds: Sequence[int]) -> Iterator[tuple[int, int]]:
    return pairwise(bounds)


def _part(documents: Sequence[np.ndarray[Any, Any]]) -> Part:
    lengths = np.array([len(ids) for ids in documents], np.int64)
    return Part(np.concatenate([np.empty(0, "<i4"), *documents]), lengths)


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

    def about(self, name: str, data: bytes, samples: int, ids: int) -> dict[str, Any]:
        return {"chunk_bytes": len(data), "chunk_size": samples, "dim": ids, "filename": name}

    def index(self) -> dict[str, Any]:
        return {"chunks": self.chunks, "config": _LITDATA}


class LitdataReader(Reader):
    """Samples of the chunks that index.json names."""

    def parts(self) -> Iterator[Part]:
        folder = self.folder / self.split
        for chunk in json.loads((folder / "index.json").read_bytes())["chunks"]:
            path = folder / chunk["filename"]
            data = path.read_bytes()
            bounds, start = _samples(data, 0)
            self.expect(path, len(bounds) - 1, chunk["chunk_size"], "documents")
            self.expect(path, (bounds[0], bounds[-1]), (start, len(data)), "bounds of documents")
            self.expect(path, len(data), chunk["chunk_bytes"], "bytes")
            part = _part([np.frombuffer(data[a:b], "<i4") for a, b in _pairs(bounds)])
            self.expect(path, len(part.tokens), chunk["dim"], "tokens")
            yield part
