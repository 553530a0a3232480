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
    values = (digest(prefix + doc_id + suffix, seed) for doc_id in doc_ids.to_pylist())
    return np.fromiter(values, dtype=np.uint64, count=len(doc_ids))
