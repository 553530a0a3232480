"""Batches by their windows alone, for backends that plan segments themselves.

Where all row groups are in memory and a row is one run of tokens, the host says where the runs
begin; the rest of a plan follows from documents' starts and row groups' addresses, which do not
change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from loader.hot_cache import HotRowGroup
from loader.plan import Plan
from loader.plan_kernels import most_inside

Ints = npt.NDArray[np.int64]
MOST_DOCUMENTS = 1 << 25
"""Of a line that is planned so: 256 MB of starts."""


@dataclass(frozen=True, eq=False)
class LineTable:
    """The line in memory: what does not change from batch to batch."""

    edges_G: Ints
    """Tokens before each row group, and all tokens."""
    addresses_G: npt.NDArray[np.uint64]
    documents_D: Ints
    """First token of each document on the line, ascending and different, and all tokens."""
    held: tuple[HotRowGroup, ...]
    """They stay mapped while this lives."""
    _most: dict[int, tuple[int, int]] = field(default_factory=dict)

    def most(self, seq_len: int) -> tuple[int, int]:
        """At most so many (segments of documents, row groups) in a row of `seq_len` tokens."""
        if seq_len not in self._most:
            inside = (most_inside(self.documents_D, seq_len), most_inside(self.edges_G, seq_len))
            self._most[seq_len] = inside[0] + 1, inside[1] + 1
        return self._most[seq_len]


def table_of_line(edges_G: Ints, held: tuple[HotRowGroup, ...]) -> LineTable | None:
    """The table; None where a document is empty or there are too many."""
    if sum(len(one.starts) for one in held) > MOST_DOCUMENTS:
        return None
    starts = [one.starts + edge for one, edge in zip(held, edges_G[:-1].tolist(), strict=True)]
    documents_D = np.concatenate([*starts, edges_G[-1:]]).astype(np.int64)
    if (np.diff(documents_D) <= 0).any():
        return None
    addresses_G = np.array([one.address for one in held], np.uint64)
    return LineTable(edges_G, addresses_G, documents_D, held)


@dataclass(frozen=True, eq=False)
class Windows:
    """Batches of equal size that follow each other, R rows in all."""

    table: LineTable
    rows: int
    """Of a batch."""
    seq_len: int
    bits: int
    """Of an id in memory, as in `Plan`."""
    samples_R: Ints
    groups_R: Ints
    begins_R: Ints
    """Number of the row's first token on the line."""
    lengths_R: Ints
    """Tokens; fewer than `seq_len`: padding follows. Empty: all rows are full."""
    stops_R: Ints
    """Where what follows a row ends: the last token of a document has the next one as its label if
    it is before that. Empty: it has none."""
    planned: Callable[[Ints], list[Plan]]
    """The plan of one batch's samples, by the host."""

    @property
    def batches(self) -> int:
        return len(self.samples_R) // self.rows

    def plan(self, number: int) -> Plan:
        """The plan of one batch, made when it is asked for."""
        (plan,) = self.planned(self.samples_R[number * self.rows : (number + 1) * self.rows])
        return plan
