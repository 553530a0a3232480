"""A text cut into lines and sentences of any script, so that some of them can be left out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

from stages.fineweb import TERMINAL_PUNCTUATION

_CLOSERS = "\"'”’»)\\]」』）】"
# In scripts that put no space behind a sentence its end needs none.
_ENDS_ALONE = "。！？｡．"
_MARKS = "".join(re.escape(c) for c in sorted(TERMINAL_PUNCTUATION | {"…"}))
# A run of marks is tried from its first one only, so that time is linear in the text.
_END = re.compile(
    f"[{_MARKS}](?<![{_MARKS}][{_MARKS}])[{_MARKS}]*+"
    f"(?:(?<=[{_ENDS_ALONE}])[{_CLOSERS}]*+|[{_CLOSERS}]*+(?=\\s))\\s*+"
)


def sentences(line: str) -> list[str]:
    """The sentences of a line, each with the space behind it; together they are the line.

    One ends at marks of Sentence_Terminal or `…` and closing quotes, if white space follows, or at
    once behind `。！？`. Abbreviations end sentences too: each piece is judged by itself, and the
    smaller one goes. What is bad only across an end (`oh! heck` as one term) is in no piece.
    """
    cuts = [0, *(found.end() for found in _END.finditer(line)), len(line)]
    return [line[a:b] for a, b in itertools.pairwise(cuts) if b > a]


def without_sentences(
    text: str, is_bad: Callable[[Sequence[str]], Sequence[bool]]
) -> tuple[str, int]:
    """The text without its bad sentences, and their number. A line that loses all of them goes."""
    lines = [sentences(line) for line in text.split("\n")]
    bad = iter(is_bad([piece for line in lines for piece in line]))
    kept: list[str] = []
    removed = 0
    for line in lines:
        left = [piece for piece in line if not next(bad)]
        removed += len(line) - len(left)
        if len(left) == len(line):
            kept.append("".join(left))
        elif left:
            kept.append("".join(left).rstrip())
    return "\n".join(kept), removed
