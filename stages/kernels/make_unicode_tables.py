"""Writes `unicode_tables.json` from the `unicodedata` of the running Python.

    python -m stages.kernels.make_unicode_tables

The file is committed and names its Unicode version; the pipeline never asks the running Python.
Another version changes signatures, so a new file is a new `version` of every stage that uses it.
Content, all numbers code points:

    unicode   version of the Unicode database
    lower     runs [first, last, stride, delta]: c -> c + delta. Besides `str.lower` of single
              characters it sends final sigma to sigma, so that both ends of a word's case meet.
    nfd       {code point: full canonical decomposition}; Hangul syllables are left to arithmetic
    space     ranges of `str.isspace`
    digit     ranges of category Nd
    mark      ranges of categories Mn, Me, Cf
    combining ranges of categories Mn, Mc, Me
    punct     ranges of categories P*, S*, and Cc that is not space
    unspaced  ranges of the scripts of `pipeline.batch` whose characters are words of their own
    alpha     ranges of `str.isalpha`
    word      ranges of `\\w` of regular expressions
    lowercase ranges of `str.islower` of single characters
    cased, ignorable
              ranges of the two properties by which `str.lower` knows a final sigma; a character
              of both is ignorable
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.batch import split_words

HANGUL = range(0xAC00, 0xD7A4)
FINAL_SIGMA, SIGMA = 0x3C2, 0x3C3
DOTTED_I = 0x130
"""The one character whose lower case is two; `unicode_tables` writes it out."""
TARGET = Path(__file__).with_name("unicode_tables.json")


def code_points() -> Iterable[int]:
    """Every code point that UTF-8 can hold."""
    return (c for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF)


def ranges(belongs: Callable[[str], bool]) -> list[list[int]]:
    """Inclusive ranges of the code points for which `belongs` is true."""
    found: list[list[int]] = []
    for c in code_points():
        if belongs(chr(c)):
            if found and found[-1][1] == c - 1:
                found[-1][1] = c
            else:
                found.append([c, c])
    return found


def lower_runs() -> list[list[int]]:
    """Lower-case mappings as runs of equal stride and delta."""
    pairs = [(c, ord(chr(c).lower())) for c in code_points() if c != DOTTED_I]
    changed = sorted([(c, low - c) for c, low in pairs if low != c] + [(FINAL_SIGMA, 1)])
    runs: list[list[int]] = []
    for c, delta in changed:
        last = runs[-1] if runs else [-9, -9, 0, 0]
        step = c - last[1]
        if delta == last[3] and (step == last[2] or (last[0] == last[1] and step <= 2)):
            last[1], last[2] = c, step
        else:
            runs.append([c, c, 1, delta])
    return runs


def decompositions() -> dict[str, list[int]]:
    """Full canonical decompositions of all code points but Hangul syllables."""
    found = {}
    for c in code_points():
        parts = unicodedata.normalize("NFD", chr(c))
        if parts != chr(c) and c not in HANGUL:
            found[str(c)] = [ord(part) for part in parts]
    return found


def is_mark(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Me", "Cf")


def is_punctuation(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "PS" or (category == "Cc" and not char.isspace())


def is_unspaced(char: str) -> bool:
    """True if the character, met twice in a row, makes two words."""
    return len(split_words(char + char)) == 2


def is_cased(char: str) -> bool:
    """True if a sigma behind the character is a final one."""
    return (char + "Σ").lower()[-1] == "ς"


def is_ignorable(char: str) -> bool:
    """True if a sigma behind the character is a final one because of the `A` before it."""
    return not is_cased(char) and ("A" + char + "Σ").lower()[-1] == "ς"


def main() -> None:
    tables = {
        "unicode": unicodedata.unidata_version,
        "lower": lower_runs(),
        "space": ranges(str.isspace),
        "digit": ranges(lambda char: unicodedata.category(char) == "Nd"),
        "mark": ranges(is_mark),
        "combining": ranges(lambda char: unicodedata.category(char)[0] == "M"),
        "punct": ranges(is_punctuation),
        "unspaced": ranges(is_unspaced),
        "alpha": ranges(str.isalpha),
        "word": ranges(lambda char: re.match(r"\w", char) is not None),
        "lowercase": ranges(str.islower),
        "cased": ranges(is_cased),
        "ignorable": ranges(is_ignorable),
        "nfd": decompositions(),
    }
    lines = [
        f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}"
        for name, value in tables.items()
    ]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
