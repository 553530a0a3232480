"""Which copy of a document survives: the keep policy that the dedup stages share.

A policy is a list of preferences, strongest first; (doc_id, file, offset) always ends it, so there
are no ties. A preference is `-column` (largest first: `-date` keeps the newest), `+column`
(smallest first) or `source:books,web` (these sources in this order, then all others); a column may
be an earlier metric (`-quality.score`). A document without a value comes after those with one.
Without an explicit policy the order of files would decide (recipes, trap 15).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError, nearest

_SOURCE = "source:"
_ABSENT, _PRESENT = b"\x01", b"\x00"


def check_policy(keep: Sequence[str]) -> None:
    """Raise ValueError unless every preference can be read."""
    for preference in keep:
        if preference.startswith(_SOURCE) and all(_sources(preference)):
            continue
        if preference[:1] not in ("-", "+") or len(preference) < 2:
            raise ValueError(
                f"keep: '{preference}' is no preference. Write '-column' (largest first), "
                f"'+column' (smallest first) or 'source:first,second'."
            )


def check_policy_sources(keep: Sequence[str], sources: Sequence[str]) -> None:
    """Raise ValueError if a preference names a source that the documents do not have."""
    for preference in keep:
        for name in _sources(preference):
            if name not in sources:
                raise ValueError(f"keep: no source '{name}'.{nearest(name, sources)}")


def policy_columns(keep: Sequence[str]) -> tuple[str, ...]:
    """Columns that the policy reads, metrics included."""
    names = ["source" if p.startswith(_SOURCE) else p[1:] for p in keep]
    return tuple(dict.fromkeys(names))


def document_columns(keep: Sequence[str]) -> tuple[str, ...]:
    """Columns of the policy that are no metrics: what the documents must have."""
    return tuple(name for name in policy_columns(keep) if "." not in name)


def metric_columns(keep: Sequence[str]) -> tuple[str, ...]:
    """Metrics of the policy, `<step id>.<metric>`, which the planner carries as columns."""
    return tuple(name for name in policy_columns(keep) if "." in name)


def keep_keys(table: pa.Table, keep: Sequence[str]) -> pa.Array:
    """One binary key a row; ascending bytes are the policy's order, best first."""
    if not keep:
        return pa.repeat(pa.scalar(b"", pa.binary()), table.num_rows)
    parts = [_preference_keys(table, preference) for preference in keep]
    return pa.array([b"".join(row) for row in zip(*parts, strict=True)], pa.binary())


def _sources(preference: str) -> list[str]:
    if not preference.startswith(_SOURCE):
        return []
    return [name.strip() for name in preference.removeprefix(_SOURCE).split(",")]


def _preference_keys(table: pa.Table, preference: str) -> list[bytes]:
    if preference.startswith(_SOURCE):
        place = {name: i for i, name in enumerate(_sources(preference))}
        sources = table["source"].to_pylist()
        return [place.get(source, len(place)).to_bytes(2, "big") for source in sources]
    column, name = table[preference[1:]], preference[1:]
    encoded = _ascending(column, name)
    flip = preference[0] == "-"
    return [_ABSENT if v is None else _PRESENT + (_inverted(v) if flip else v) for v in encoded]


def _ascending(column: pa.ChunkedArray, name: str) -> list[bytes | None]:
    """Bytes whose order is the order of the values; NaN counts as no value."""
    kind = column.type
    if pa.types.is_floating(kind):
        values = pc.cast(column, pa.float64()).to_pylist()
        return [None if v is None or v != v else _float_key(v) for v in values]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return [None if v is None else _text_key(v) for v in column.to_pylist()]
    if pa.types.is_temporal(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        values = _as_integers(column).to_pylist()
        return [None if v is None else (v + (1 << 63)).to_bytes(9, "big") for v in values]
    raise ConfigError(
        f"keep: the column '{name}' has type {kind}, which has no order. "
        f"Name a number, a date or a string."
    )


def _as_integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_date32(column.type) or pa.types.is_time32(column.type):
        return column.cast(pa.int32())
    return column if pa.types.is_integer(column.type) else column.cast(pa.int64())


def _float_key(value: float) -> bytes:
    # Positive floats order like their bits; negative ones the other way round. -0.0 equals 0.0.
    bits = int(np.float64(value + 0.0).view(np.uint64))
    bits = bits ^ 0xFFFFFFFFFFFFFFFF if bits >> 63 else bits | 1 << 63
    return struct.pack(">Q", bits)


def _text_key(value: str) -> bytes:
    # A zero byte is escaped, so that the terminator is below whatever a longer string goes on with.
    return value.encode().replace(b"\0", b"\0\xff") + b"\0\0"


def _inverted(value: Any) -> bytes:
    return bytes(255 - byte for byte in value)
