"""Columns of rows that a user declares: each has a name, a field of the row, and a type.

Nothing is inferred: a value that is not of its declared type refuses its row. A text that reads as
a number is a number, so that a CSV file and a JSON Lines file with equal rows give equal columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa

from pipeline.errors import nearest
from pipeline.schema import TEXT_DOCUMENTS, TIMESTAMP, WEB_DOCUMENTS

TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": TIMESTAMP,
    "strings": pa.list_(pa.string()),
    "json": pa.string(),  # any value, as JSON text with sorted names
}
"""Types by the names that a configuration gives them."""

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_RESERVED = {*WEB_DOCUMENTS.names, *TEXT_DOCUMENTS.names, "tokens"}
_BOOLS = {"true": True, "1": True, "false": False, "0": False}


class BadValue(ValueError):
    """A value is not of the type that its column declares."""


@dataclass(frozen=True)
class Column:
    """One declared column."""

    name: str
    field: str
    type: str

    def value(self, given: object) -> Any:
        """A field's value as the column's type; None stays None. Raises BadValue."""
        if given is None or (given == "" and self.type not in ("string", "json")):
            return None  # CSV has no other way to say that there is no number
        try:
            return _CONVERTERS[self.type](given)
        except (ValueError, TypeError, LookupError, OverflowError, OSError) as error:
            raise BadValue(f"'{self.name}' is no {self.type}") from error


def declared(spec: Mapping[str, str | Mapping[str, str]]) -> tuple[Column, ...]:
    """The columns of a `columns` knob: `name: type`, or `name: {field: a.b, type: type}`.

    Raises ValueError for an unknown type, and for a name that documents have anyhow.
    """
    found = []
    for name, says in spec.items():
        parts = {"type": says} if isinstance(says, str) else dict(says)
        kind, field = parts.pop("type", ""), parts.pop("field", name)
        if parts:
            raise ValueError(f"column '{name}': unknown key '{next(iter(parts))}'; field or type.")
        if kind not in TYPES:
            raise ValueError(f"column '{name}': no type '{kind}'.{nearest(kind, TYPES)}")
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise ValueError(
                f"column '{name}': this name is taken or no name. Give another, and the field: "
                f"`my_{re.sub(r'[^0-9A-Za-z_]', '_', name)}: {{field: {field}, type: {kind}}}`."
            )
        found.append(Column(name, field, kind))
    return tuple(found)


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    raise TypeError


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise TypeError
    if isinstance(value, str):
        if not re.fullmatch(r"\s*[-+]?[0-9]{1,19}\s*", value, re.ASCII):
            raise ValueError
    elif value != int(value):
        raise ValueError
    number = int(value)
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError
    return number


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise TypeError
    if isinstance(value, str) and "_" in value:
        raise ValueError
    number = float(value)
    if math.isinf(number) and not (isinstance(value, str) and "inf" in value.lower()):
        raise OverflowError
    return number


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return _BOOLS[value.strip().lower()] if isinstance(value, str) else _BOOLS[str(_int(value))]


def _strings(value: object) -> list[str | None]:
    if isinstance(value, str):
        value = orjson.loads(value)
    if not isinstance(value, list):
        raise TypeError
    return [None if part is None else _string(part) for part in value]


def _json(value: object) -> str:
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(value, option=options, default=_string).decode()


def as_timestamp(value: object) -> datetime | None:
    """A date of a row as UTC; None when it is missing or cannot be read.

    Reads datetimes, ISO 8601 strings and seconds since 1970. Without a zone it is taken as UTC.
    """
    try:
        if isinstance(value, bool) or value is None:
            return None
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
        date = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        return date.replace(microsecond=0)
    except (ValueError, OverflowError, OSError):
        return None


def _timestamp(value: object) -> datetime:
    found = as_timestamp(value)
    if found is None:
        raise ValueError
    return found


_CONVERTERS: Mapping[str, Any] = {
    "string": _string,
    "int64": _int,
    "float64": _float,
    "bool": _bool,
    "timestamp": _timestamp,
    "strings": _strings,
    "json": _json,
}
