"""What public versions of Gopher's quality filter count, each in its own way (`stages.counting`).

Words are those of `stages.kernels.words`. A word is solid if one of its characters is, or its first
one; which characters are is the caller's table. Lines end at newlines, or where `str.splitlines`
cuts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.characters import ALONE, ALPHA, SPACE, character_flags, lower_codes, read, strip
from stages.kernels.fold import put_code
from stages.kernels.jit import inner, jit
from stages.kernels.lines import ends_in_ellipsis, line_end
from stages.kernels.sentences import next_break
from stages.kernels.shingles import text_buffers
from stages.kernels.words import WordSet, find_word, next_word, own_room

Int64s = npt.NDArray[np.int64]

WORDS = (
    "words", "word_chars", "alpha_words", "solid_words", "solid_chars", "symbol_words",
    "twice_median_chars",
)  # fmt: skip
LINES = ("hashes", "ellipses", "lines", "bullet_lines", "ellipsis_lines")
LONGEST = 1023
"""For the median a longer word counts as one of so many characters."""
_HASH, _DOT, _BLANK, _ELLIPSIS = ord("#"), ord("."), ord(" "), ord("…")
_ELLIPSIS_LEAD = "…".encode()[0]


class LineRules(NamedTuple):
    """What a line is, and which marks count."""

    newlines_only: bool
    r"""Lines end at `\n` alone; else where `str.splitlines` cuts."""
    stripped: bool
    """White space around a line is no part of it."""
    blank: bool
    """Lines of white space alone count; with `newlines_only` also one behind the last newline."""
    dots: bool
    """`...` is an ellipsis."""
    spaced_dots: bool
    """`. . .` is one too."""


@inner
def _flush(out: Any, lengths: Any, chars: Any, alpha: Any, solid: Any, symbol: Any) -> None:
    """Count the word that ends here, of so many characters; none if there are none."""
    if chars:
        out[0] += 1
        out[1] += chars
        out[2] += alpha
        out[3] += solid
        out[4] += chars * solid
        out[5] += symbol
        lengths[min(chars, LONGEST)] += 1


@inner
def _middle(lengths: Any, count: Any) -> Any:
    """Twice the median of `count` lengths."""
    if not count:
        return np.int64(0)
    low, high, below = np.int64(-1), np.int64(-1), np.int64(0)
    for length in range(len(lengths)):
        below += lengths[length]
        if low < 0 and below > (count - 1) // 2:
            low = np.int64(length)
        if high < 0 and below > count // 2:
            high = np.int64(length)
    return low + high


@jit
def _count_words(
    data: Any, offsets: Any, flags: Any, solids: Any, leading: Any, lengths: Any, counts: Any
) -> None:
    for row in range(len(offsets) - 1):
        at, stop, out = offsets[row], offsets[row + 1], counts[row]
        lengths[:] = 0
        chars, alpha, solid, symbol = np.int64(0), False, False, False
        while at < stop:
            code, size = read(data, at, stop)
            at += size
            kind = np.int64(flags[code])
            if kind & (SPACE | ALONE):
                _flush(out, lengths, chars, alpha, solid, symbol)
                chars, alpha, solid, symbol = np.int64(0), False, False, False
            if kind & SPACE:
                continue
            chars += 1
            alpha |= kind & ALPHA != 0
            solid |= solids[code] and (chars == 1 or not leading)
            symbol |= code in (_HASH, _ELLIPSIS)
            if kind & ALONE:
                _flush(out, lengths, chars, alpha, solid, symbol)
                chars, alpha, solid, symbol = np.int64(0), False, False, False
        _flush(out, lengths, chars, alpha, solid, symbol)
        out[6] = _middle(lengths, out[0])


@inner
def _find_whole(data: Any, at: Any, end: Any, words: Any, lower: Any, fold: Any) -> Any:
    """The number in the set of the word data[at:end] as it stands, or in lower case; -1 = none."""
    length = 0
    while at < end:
        if length > len(words.room) - 4:
            return np.int64(-1)
        code, size = read(data, at, end)
        length = put_code(words.room, length, np.int64(lower[code]) if fold else code)
        at += size
    return find_word(words, length)


@jit
def _count_members(
    data: Any, offsets: Any, flags: Any, lower: Any, words: Any, fold: Any, distinct: Any,
    found: Any, counts: Any,
) -> None:  # fmt: skip
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            start, at, _, _ = next_word(data, at, stop, flags)
            if start == at:
                continue
            number = _find_whole(data, start, at, words, lower, fold)
            if number >= 0 and not (distinct and found[number] == row):
                found[number] = row
                counts[row] += 1


@inner
def _count_symbols(data: Any, at: Any, stop: Any, rules: Any) -> Any:
    """`#`, and ellipses as `str.count` finds each form by itself."""
    hashes, ellipses, dots, spaced = np.int64(0), np.int64(0), np.int64(0), at
    for i in range(at, stop):
        byte = data[i]
        hashes += byte == _HASH
        if byte == _ELLIPSIS_LEAD:
            ellipses += read(data, i, stop)[0] == _ELLIPSIS
        dots = dots + 1 if byte == _DOT else np.int64(0)
        ellipses += rules.dots and dots > 0 and dots % 3 == 0
        if rules.spaced_dots and i >= spaced and _stand_spaced(data, i, stop):
            ellipses += 1
            spaced = i + 5
    return hashes, ellipses


@inner
def _stand_spaced(data: Any, at: Any, stop: Any) -> Any:
    """True if `. . .` begins at `at`."""
    if stop - at < 5 or data[at] != _DOT or data[at + 2] != _DOT or data[at + 4] != _DOT:
        return False
    return data[at + 1] == _BLANK and data[at + 3] == _BLANK


@inner
def _trails(data: Any, first: Any, last: Any, rules: Any) -> Any:
    """True if a line of at least one character ends in an ellipsis."""
    if rules.spaced_dots and last - first >= 5 and _stand_spaced(data, last - 5, last):
        return True
    if rules.dots:
        return ends_in_ellipsis(data, first, last)
    return last - first >= 3 and read(data, last - 3, last)[0] == _ELLIPSIS


@jit
def _count_lines(
    data: Any, offsets: Any, flags: Any, bullets: Any, rules: Any, counts: Any
) -> None:
    for row in range(len(offsets) - 1):
        at, stop, out = offsets[row], offsets[row + 1], counts[row]
        out[0], out[1] = _count_symbols(data, at, stop, rules)
        whole = rules.newlines_only and rules.blank and at < stop  # one more than line breaks
        while at < stop or whole:
            end, after = (
                (line_end(data, at, stop), line_end(data, at, stop) + 1)
                if rules.newlines_only
                else next_break(data, at, stop, False)
            )
            first, last = strip(data, at, end, flags) if rules.stripped else (at, end)
            whole = whole and end < stop
            at = after
            if first == last:
                out[2] += rules.blank
                continue
            out[2] += 1
            code, _ = read(data, first, last)
            for bullet in bullets:
                out[3] += code == bullet
            out[4] += _trails(data, first, last, rules)


def word_facts(
    texts: pa.Array, solid: npt.NDArray[np.bool_], *, leading: bool
) -> dict[str, Int64s]:
    """WORDS of each text; `solid` tells of every code point whether it makes a word solid.

    With `leading` a word's first character alone decides. A symbol word holds `#` or `…`.
    """
    data, offsets = text_buffers(texts)
    counts = np.zeros((len(texts), len(WORDS)), dtype=np.int64)
    lengths = np.zeros(LONGEST + 1, dtype=np.int64)
    _count_words(data, offsets, character_flags(), solid, leading, lengths, counts)
    return dict(zip(WORDS, counts.T, strict=True))


def members(texts: pa.Array, words: WordSet, *, lower: bool, distinct: bool) -> Int64s:
    """How many words of each text are of the set, punctuation at them included.

    With `lower` a word's characters are lower-cased one by one; with `distinct` its repeats do not
    count.
    """
    data, offsets = text_buffers(texts)
    counts = np.zeros(len(texts), dtype=np.int64)
    found = np.full(len(words.ends) - 1, -1, dtype=np.int64)
    _count_members(
        data, offsets, character_flags(), lower_codes(), own_room(words), lower, distinct, found,
        counts,
    )  # fmt: skip
    return counts


def line_facts(texts: pa.Array, bullets: str, rules: LineRules) -> dict[str, Int64s]:
    """LINES of each text: marks in all of it, its lines, those that begin with one of `bullets`,
    those that end in an ellipsis."""
    data, offsets = text_buffers(texts)
    counts = np.zeros((len(texts), len(LINES)), dtype=np.int64)
    codes = np.array([ord(bullet) for bullet in bullets], dtype=np.int64)
    _count_lines(data, offsets, character_flags(), codes, rules, counts)
    return dict(zip(LINES, counts.T, strict=True))
