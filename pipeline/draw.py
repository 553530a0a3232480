"""Randomness as a pure function: `draw` = xxh3-64(seed, purpose, doc_id, copy).

No stage may use another source of randomness: worker count, order and retries must not matter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash


def draw(seed: int, purpose: str, doc_id: bytes, copy: int = 0) -> int:
    """A uniform 64-bit number that depends on nothing but its arguments."""
    prefix = purpose.encode() + b"\0"
    return xxhash.xxh3_64_intdigest(prefix + doc_id + copy.to_bytes(1, "little"), seed)


def draw_column(
    seed: int, purpose: str, doc_ids: pa.Array | pa.ChunkedArray, copy: int = 0
) -> npt.NDArray[np.uint64]:
    """`draw` for every document of a column, as uint64 of the same length."""
    prefix, suffix = purpose.encode() + b"\0", copy.to_bytes(1, "little")
    digest = xxhash.xxh3_64_intdigest
    values = (digest(prefix + doc_id + suffix, seed) for doc_id in id_values(doc_ids))
    return np.fromiter(values, dtype=np.uint64, count=len(doc_ids))


def id_values(doc_ids: pa.Array | pa.ChunkedArray) -> list[bytes]:
    """A column of ids as Python has them: `to_pylist`, which takes three times as long."""
    if doc_ids.null_count or not pa.types.is_fixed_size_binary(doc_ids.type):
        values: list[bytes] = doc_ids.to_pylist()
        return values
    width, found = doc_ids.type.byte_width, []
    for chunk in doc_ids.chunks if isinstance(doc_ids, pa.ChunkedArray) else [doc_ids]:
        first, data = chunk.offset * width, bytes(chunk.buffers()[1] or b"")
        found += [data[at : at + width] for at in range(first, first + len(chunk) * width, width)]
    return found
