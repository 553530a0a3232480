"""Which scripts a text's letters are in, and whether a language is written in them.

Scripts are Unicode's (property Script, letters only: marks, digits and punctuation stand in texts
of any script); which ones a language has is Unicode CLDR's table, see `make_tables.py`. Shares are
of bytes in UTF-8, as those of languages are. By letters a Korean page that names some commands is
Latin: one word there is two Hangul syllables, six bytes, or six Latin letters.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.language.codes import UNDETERMINED, scripts_of, subtag, tables


@functools.cache
def _numbers() -> tuple[list[str], npt.NDArray[np.uint8]]:
    """Names of the scripts, and for each code point the number of its name plus one, or 0."""
    letters: dict[str, list[list[int]]] = tables()["letters"]
    names = sorted(letters)
    numbers = np.zeros(0x110000, dtype=np.uint8)
    for number, name in enumerate(names, 1):
        for first, last in letters[name]:
            numbers[first : last + 1] = number
    numbers.setflags(write=False)
    return names, numbers


@functools.lru_cache(maxsize=4096)
def _columns(label: str) -> list[int] | None:
    """Where the scripts of the label's language stand; None where they are not known."""
    known = None if subtag(label) == UNDETERMINED else scripts_of(label)
    return None if known is None else [at for at, s in enumerate(_numbers()[0]) if s in known]


@dataclass(frozen=True)
class Letters:
    """The letters of a batch of texts by script."""

    counts: npt.NDArray[np.int64]
    """Bytes, shape (texts, scripts)."""

    @classmethod
    def of(cls, texts: pa.Array) -> Letters:
        from stages.kernels.scripts import script_bytes

        names, numbers = _numbers()
        return cls(script_bytes(texts, numbers, len(names) + 1)[:, 1:])

    def main(self) -> list[str | None]:
        """The script of most bytes of each text, the first by name of equals; None without."""
        names, _ = _numbers()
        most = self.counts.argmax(axis=1)
        return [names[at] if row[at] else None for at, row in zip(most, self.counts, strict=True)]

    def ratios(self, labels: Sequence[str]) -> Any:
        """Share of each text's letters in scripts of its language; NaN where one is not known."""
        found = np.full(len(labels), np.nan)
        whole = self.counts.sum(axis=1)
        for row, label in enumerate(labels):
            own = _columns(label)
            if own is not None and whole[row]:
                found[row] = self.counts[row, own].sum() / whole[row]
        return found
