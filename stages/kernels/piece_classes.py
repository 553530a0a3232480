r"""The classes of characters that pre-tokenisation asks for, as one byte of flags a code point.

Read from the committed `piece_classes.json`, which `make_piece_classes.py` wrote by asking the
regular expressions of Hugging Face `tokenizers`: 0.23.3 carries Oniguruma with Unicode 16.0. The
tables of `unicode_tables` are those of Unicode 14.0 and stay as they are, since signatures depend
on them. tiktoken's engine, and the package `regex`, follow later versions; of characters that were
assigned since, the classes differ. The trainer of record decides: what it cannot see as a letter
is no letter, or merges would differ. `same_as_tokenizers` compares the table with the library
that runs.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.kernels.pieces import BREAK, CAPITAL, MARK, NUMBER, OTHER_LETTER, SMALL, SPACE
from stages.kernels.unicode_tables import NUM_CODE_POINTS

TABLE = Path(__file__).with_name("piece_classes.json")
CLASSES = {
    "capital": (CAPITAL, r"[\p{Lu}\p{Lt}]+"),
    "small": (SMALL, r"\p{Ll}+"),
    "other_letter": (OTHER_LETTER, r"[\p{Lm}\p{Lo}]+"),
    "mark": (MARK, r"\p{M}+"),
    "number": (NUMBER, r"\p{N}+"),
    "space": (SPACE, r"\s+"),
}
"""Name -> its flag, and the expression that matches a run of it."""
_SURROGATES = range(0xD800, 0xE000)


@lru_cache(maxsize=1)
def piece_classes() -> npt.NDArray[np.uint8]:
    """The flags of every code point."""
    stored = json.loads(TABLE.read_text())
    flags = np.zeros(NUM_CODE_POINTS, dtype=np.uint8)
    for name, (flag, _) in CLASSES.items():
        for first, last in stored[name]:
            flags[first : last + 1] |= np.uint8(flag)
    flags[[ord("\n"), ord("\r")]] |= np.uint8(BREAK)
    flags.setflags(write=False)
    return flags


@lru_cache(maxsize=1)
def same_as_tokenizers() -> bool:
    """True if the `tokenizers` that runs sees every character in the class of the table.

    All code points are laid out class by class, so that each class is to be one match. Takes about
    two seconds of CPU.
    """
    from tokenizers import Regex, pre_tokenizers

    flags = piece_classes() & ~np.uint8(BREAK)
    codes = np.delete(np.arange(NUM_CODE_POINTS), list(_SURROGATES))
    codes = codes[np.argsort(flags[codes], kind="stable")]
    text = codes.astype("<u4").tobytes().decode("utf-32-le")
    expression = "|".join(pattern for _, pattern in CLASSES.values())
    found = pre_tokenizers.Split(Regex(expression), "isolated").pre_tokenize_str(text)
    starts = {start for _, (start, _) in found}
    expected = {0} | set(np.flatnonzero(np.diff(flags[codes])) + 1)
    return starts == expected and _matched_apart(flags, codes, text)


def _matched_apart(flags: npt.NDArray[np.uint8], codes: npt.NDArray[np.int64], text: str) -> bool:
    """True if each class's first character is of that class, and of no other, to the library."""
    from tokenizers import Regex, pre_tokenizers

    for flag, pattern in CLASSES.values():
        splitter = pre_tokenizers.Split(Regex(pattern), "removed")
        for other, _ in CLASSES.values():
            at = int(np.flatnonzero(flags[codes] == other)[0])
            gone = not splitter.pre_tokenize_str(text[at])
            if gone != (flag == other):
                return False
        if not splitter.pre_tokenize_str(text[0]):
            return False
    return True
