"""Plan -> numpy arrays, on the CPU."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from loader.plan import IGNORED, PAD, Plan
from loader.plan_kernels import fill, positions
from pipeline.errors import ConfigError

DTYPES = ("int64", "int32")
PLANNED_ROWS = 512


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch of this rank. The arrays are the caller's for as long as they are referred to."""

    tokens_BT: npt.NDArray[Any]
    labels_BT: npt.NDArray[Any]
    """The next token, or IGNORED: at padding, and where the next token is another document's."""
    plan: Plan
    """Which document's tokens stand where."""

    @cached_property
    def position_ids_BT(self) -> npt.NDArray[Any]:
        """Place in the document, counted from the row's start for one that began before it."""
        found = np.empty(self.tokens_BT.size, self.tokens_BT.dtype)
        positions(self.plan.starts_S, found)
        return found.reshape(self.tokens_BT.shape)

    @property
    def cu_seqlens(self) -> npt.NDArray[np.int32]:
        """Starts of all documents in the flattened B*T tokens, and B*T: what flash-attn takes."""
        return self.plan.cu_seqlens

    @property
    def max_seqlen(self) -> int:
        """Length of the longest of these."""
        return self.plan.max_seqlen

    @property
    def samples_B(self) -> npt.NDArray[np.int64]:
        """Sample index of each row; -1 for the rows that fill up the last batch."""
        return self.plan.samples_B

    @property
    def groups_B(self) -> npt.NDArray[np.int64]:
        """Number of each row's group in `Loader.groups`, which names a group once for each of its
        stages; -1 where samples_B is."""
        return self.plan.groups_B


class NumpyBackend:
    """Fills arrays of its own, and uses those again that nobody refers to any more.

    Memory fresh from the system costs more than filling it: the kernel clears each page first.
    """

    packed = False
    """Unpacking costs a core more than it saves."""

    def __init__(self, dtype: str = "int64", keep: int = 12) -> None:
        if dtype not in DTYPES:
            raise ConfigError(f"dtype = {dtype!r}, expected {' or '.join(DTYPES)}.")
        self._dtype = np.dtype(dtype)
        self._buffers = Buffers(keep)

    def rows_at_once(self, seq_len: int) -> int:
        """Rows planned together: Python's share of the planning is a batch's then."""
        del seq_len
        return PLANNED_ROWS

    def fill_all(self, plans: Sequence[Plan]) -> Iterator[Batch]:
        """Each as it is asked for."""
        return map(self.fill, plans)

    def give(self, filled: Batch) -> Batch:
        return filled

    def fill(self, plan: Plan) -> Batch:
        """The batch of a plan."""
        size = plan.rows * plan.seq_len
        both = self._buffers.take(2 * size, self._dtype)
        tokens, labels = both[:size], both[size:]
        fill(
            plan.addresses_S, plan.starts_S, plan.tails_S, size, plan.bits, PAD, IGNORED,
            tokens, labels,
        )  # fmt: skip
        shape = (plan.rows, plan.seq_len)
        return Batch(tokens.reshape(shape), labels.reshape(shape), plan)


class Buffers:
    """Arrays that are given out again once no view of them is left anywhere.

    Every view, tensor or buffer that is made of an array refers to it, so that its count of
    references tells. The count of one that only this list knows is measured, not assumed.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._known: list[npt.NDArray[Any]] = []
        self._turn = threading.Lock()
        self._alone = _references([np.empty(1)])[0]

    def take(self, size: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """An array of this size, its content whatever it was."""
        with self._turn:
            for at, count in reversed(list(enumerate(_references(self._known)))):
                if count <= self._alone:
                    if len(self._known[at]) == size:
                        return self._known[at].view()
                    del self._known[at]  # of another size: those come no more
            fresh = np.empty(size, dtype)
            if len(self._known) < self._keep:
                self._known.append(fresh)
            return fresh.view()


def _references(arrays: list[npt.NDArray[Any]]) -> list[int]:
    return [sys.getrefcount(one) for one in arrays]
