"""Copies of single documents: a column's value -> how often one epoch holds the document.

FineWeb-2 puts back some of the copies that deduplication took, by the size of their cluster
("rehydration"); other recipes repeat what a classifier scores highly.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pt

from pipeline.errors import ConfigError, nearest

_KEYS = ("column", "copies", "otherwise")


@dataclass(frozen=True)
class Upsample:
    """The copies of a document: those of the highest bound that its value reaches."""

    column: str
    bounds: tuple[float, ...]
    """Ascending; a bound is inclusive."""
    copies: tuple[int, ...]
    otherwise: int
    """Copies of a document below all bounds, or without a value."""

    @classmethod
    def parse(cls, knob: Mapping[str, Any]) -> Upsample:
        """From `{column: ..., copies: {bound: copies}, otherwise: 1}`. Raises ValueError."""
        for name in knob:
            if name not in _KEYS:
                raise ValueError(f"upsample has no '{name}'.{nearest(name, _KEYS)}")
        column, table = knob.get("column"), knob.get("copies")
        if not isinstance(column, str) or not isinstance(table, Mapping) or not table:
            raise ValueError("upsample is {column: NAME, copies: {value: copies, ...}}.")
        otherwise = _copies(knob.get("otherwise", 1), "otherwise")
        found: dict[float, int] = {}
        for bound, copies in table.items():
            try:
                value = float(bound)
            except (TypeError, ValueError):
                value = math.nan
            if not math.isfinite(value) or isinstance(bound, bool) or value in found:
                raise ValueError(f"upsample copies: bound {bound!r}, expected each number once.")
            found[value] = _copies(copies, f"from {value:g} on")
        bounds = tuple(sorted(found))
        return cls(column, bounds, tuple(found[bound] for bound in bounds), otherwise)

    @property
    def most(self) -> int:
        return max(*self.copies, self.otherwise)

    def of(self, table: pa.Table) -> npt.NDArray[np.int64]:
        """Copies of each document. Raises ConfigError where the column is no number."""
        if self.column not in table.column_names:
            raise ConfigError(missing_column("upsample", self.column, table.column_names))
        column = table[self.column]
        if not (pt.is_integer(column.type) or pt.is_floating(column.type)):
            raise ConfigError(
                f"mix: upsample by '{self.column}', which is {column.type}: expected a number."
            )
        # Python compares int with float exactly; a cast would round counts above 2^53.
        steps = (self.otherwise, *self.copies)
        return np.fromiter(
            (
                self.otherwise
                if value is None or value != value
                else steps[bisect_right(self.bounds, value)]
                for value in column.to_pylist()
            ),
            np.int64,
            len(column),
        )

    def to_json(self) -> dict[str, Any]:
        """As in dataset.json: `copies` as pairs of a bound and its copies, ascending."""
        pairs = [list(pair) for pair in zip(self.bounds, self.copies, strict=True)]
        return {"column": self.column, "copies": pairs, "otherwise": self.otherwise}

    def note(self) -> str:
        """What `plan` says of it."""
        steps = ", ".join(
            f"from {bound:g} on {copies}"
            for bound, copies in zip(self.bounds, self.copies, strict=True)
        )
        return f"copies of a document in one epoch by {self.column}: {self.otherwise}, {steps}"


def _copies(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"upsample copies {where}: {value!r}, expected a whole number from 0 on.")
    return value


def missing_column(knob: str, column: str, names: Any) -> str:
    """The error for a column that a knob of `mix` names and the documents lack."""
    return (
        f"mix: {knob} names the column '{column}', which the documents lack. "
        f"Name a column that a stage above adds.{nearest(column, names)}"
    )
