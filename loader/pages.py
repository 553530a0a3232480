"""The tokens of a row group from the pages of its column chunk, without building lists.

What pyarrow does beyond this is to turn repetition levels into offsets one value at a time, which
takes as long as all the rest. Read here is what `write_shards` writes: `list<element: uint16 |
uint32 not null> not null`, data pages of version 1, PLAIN, levels as RLE. For any other layout
`tokens_of_chunk` gives None and pyarrow reads it. Nothing is trusted: the caller compares the
documents' lengths with `num_tokens` and the tokens with the checksum of the index.

Format: https://github.com/apache/parquet-format (README, Encodings.md, parquet.thrift).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from loader.decode_kernels import zeros

_DATA_PAGE, _PLAIN, _RLE = 0, 0, 3
_CODECS = {"ZSTD": "zstd", "SNAPPY": "snappy", "GZIP": "gzip", "UNCOMPRESSED": None}
_TYPE, _UNCOMPRESSED, _COMPRESSED, _HEADER = 1, 2, 3, 5
"""Fields of a PageHeader."""
_VALUES, _ENCODING, _DEFINITION, _REPETITION = 1, 2, 3, 4
"""Fields of a DataPageHeader."""


class _OtherLayoutError(Exception):
    """The chunk is not of the one layout that is read here."""


def tokens_of_chunk(
    chunk: Any, column: Any, dtype: np.dtype[Any], tokens: int, documents: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]] | None:
    """(ids, documents' starts) of a column chunk's bytes; `column` is its ColumnChunkMetaData.

    None if it is of another layout, or damaged in a way that shows: pyarrow then says how.
    """
    codec = _CODECS.get(column.compression, "")
    if column.path_in_schema != "tokens.list.element" or codec == "":
        return None
    values, starts = np.empty(tokens, dtype), np.empty(documents, np.int64)
    try:
        _read(memoryview(chunk), pa.Codec(codec) if codec else None, values, starts)
    except (_OtherLayoutError, pa.ArrowException, OSError, IndexError, ValueError, KeyError):
        return None
    return values, starts


def _read(
    chunk: memoryview, codec: Any, values: npt.NDArray[Any], starts: npt.NDArray[np.int64]
) -> None:
    at = number = document = 0
    while at < len(chunk):
        header, body = _struct(chunk, at)
        at = body + header[_COMPRESSED]
        facts = header.get(_HEADER)
        if header[_TYPE] != _DATA_PAGE or facts is None or at > len(chunk):
            raise _OtherLayoutError
        if (facts[_ENCODING], facts[_DEFINITION], facts[_REPETITION]) != (_PLAIN, _RLE, _RLE):
            raise _OtherLayoutError
        page: Any = chunk[body:at]
        if codec is not None:
            page = codec.decompress(page, header[_UNCOMPRESSED], asbytes=False)
        content = np.frombuffer(page, np.uint8)
        count = facts[_VALUES]
        repetition, content = _levels(content)
        definition, content = _levels(content)
        if len(content) != 4 * count or not _all_ones(definition, count):
            raise _OtherLayoutError  # an empty list has a level and no value
        found = zeros(repetition, count, starts[document:])
        if found < 0:
            raise _OtherLayoutError
        starts[document : document + found] += number
        values[number : number + count] = content.view("<u4")  # unsigned ids are stored as INT32
        document, number = document + found, number + count
    if (number, document) != (len(values), len(starts)):
        raise _OtherLayoutError


def _levels(content: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Levels behind their 4-byte length, and what follows them."""
    size = int(content[:4].view("<u4")[0])
    return content[4 : 4 + size], content[4 + size :]


def _all_ones(levels: npt.NDArray[np.uint8], count: int) -> bool:
    return int(zeros(levels, count, np.empty(0, np.int64))) == 0


# --- Thrift's compact protocol -----------------------------------------------------------------


def _struct(data: memoryview, at: int) -> tuple[dict[int, Any], int]:
    """A struct's fields by id, and where it ends."""
    fields: dict[int, Any] = {}
    last = 0
    while True:
        header = data[at]
        at += 1
        if header == 0:
            return fields, at
        if header >> 4:
            last += header >> 4
        else:
            last, at = _integer(data, at)
        fields[last], at = _value(data, at, header & 15)


def _value(data: memoryview, at: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2):  # booleans stand in the header
        return kind == 1, at
    if kind == 3:
        return data[at], at + 1
    if kind in (4, 5, 6):
        return _integer(data, at)
    if kind == 8:
        size, at = _varint(data, at)
        return bytes(data[at : at + size]), at + size
    if kind == 12:
        return _struct(data, at)
    raise _OtherLayoutError


def _integer(data: memoryview, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
