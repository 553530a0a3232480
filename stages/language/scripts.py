"""The script of most letters, and whether a language is written in it.

Scripts are Unicode's (property Script, letters only: marks, digits and punctuation stand in texts
of any script); which ones a language has is Unicode CLDR's table, see `make_tables.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.language.codes import UNDETERMINED, scripts_of, subtag, tables


class Scripts(NamedTuple):
    """One entry a text."""

    names: pa.Array
    """ISO 15924 code of the script of most letters, the first by name of equals; null without."""
    ratios: npt.NDArray[np.float64]
    """Its share of the letters; NaN without letters."""


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


def scripts_of_letters(texts: pa.Array) -> Scripts:
    """The script of most letters of each text, and its share."""
    from stages.kernels.scripts import script_counts

    names, numbers = _numbers()
    counts = script_counts(texts, numbers, len(names) + 1)[:, 1:]
    letters = counts.sum(axis=1)
    top = counts.argmax(axis=1)
    most = counts.max(axis=1, initial=0)
    ratios = np.divide(most, letters, out=np.full(len(letters), np.nan), where=letters > 0)
    found = [names[at] if any_ else None for at, any_ in zip(top, letters > 0, strict=True)]
    return Scripts(pa.array(found, pa.string()), ratios)


def script_fits(labels: Sequence[str], scripts: Sequence[str | None]) -> list[Any]:
    """1 where the answered language is written in the script, 0 where not; None if not known."""
    return [_fits(label, script) for label, script in zip(labels, scripts, strict=True)]


def _fits(label: str, script: str | None) -> int | None:
    known = None if subtag(label) == UNDETERMINED else scripts_of(label)
    return None if known is None or script is None else int(script in known)
