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

from stages.kernels.characters import ALPHA, character_flags, lower_codes, read, strip
from stages.kernels.fold import put_code
from stages.kernels.html_wide import lowest_bit, num_bits
from stages.kernels.jit import inner, jit_bare
from stages.kernels.lines import count_symbols, ends_in_ellipsis, ends_in_spaced_dots
from stages.kernels.sentences import next_break
from stages.kernels.wide_text import (
    NONE,
    ONE,
    eight,
    find_newline,
    highest_bit,
    low_bits,
    symbol_bits,
    text_bytes,
)
from stages.kernels.wide_words import marked_lasts, num_marked, words_at
from stages.kernels.words import WordSet, find_ascii, find_at, find_word, next_word, own_room

Int64s = npt.NDArray[np.int64]

WORDS = (
    "words", "word_chars", "alpha_words", "solid_words", "solid_chars", "symbol_words",
    "twice_median_chars",
)  # fmt: skip
LINES = ("hashes", "ellipses", "lines", "bullet_lines", "ellipsis_lines")
LONGEST = 1023
"""For the median a longer word counts as one of so many characters."""
_HASH, _ELLIPSIS = ord("#"), ord("…")
_HIGH_BITS = np.uint64(0x8080808080808080)


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


@inner
def _is_solid(data: Any, at: Any, end: Any, solids: Any, leading: Any) -> Any:
    """True if a character of the word is solid; with `leading` if the first one is."""
    found, more = False, True
    while at < end and more:
        code, size = read(data, at, end)
        found = bool(solids[code])
        more = not found and not leading
        at += size
    return found


@inner
def _has_symbol(data: Any, at: Any, end: Any) -> Any:
    found = False
    while at < end and not found:
        code, size = read(data, at, end)
        found = code in (_HASH, _ELLIPSIS)
        at += size
    return found


@inner
def _take_hollow(
    data: Any, at: Any, starts: Any, lasts: Any, leads: Any, solids: Any, out: Any
) -> None:
    """Take back the words with these last bytes, of those that were counted as solid.

    They have no letter or digit of ASCII; what else they have the table decides.
    """
    while lasts != NONE:
        last = lowest_bit(lasts)
        lasts &= lasts - ONE
        start = highest_bit(starts & low_bits(last + 1))
        if not _is_solid(data, at + start, at + last + 1, solids, False):
            out[3] -= 1
            out[4] -= num_bits(leads & low_bits(last + 1) & ~low_bits(start))


@inner
def _take_unled(
    data: Any, at: Any, starts: Any, lasts: Any, leads: Any, solids: Any, out: Any
) -> None:
    """Take back the words with these first bytes whose first character is not solid."""
    while starts != NONE:
        start = lowest_bit(starts)
        starts &= starts - ONE
        end = lowest_bit(lasts & ~low_bits(start)) + 1
        if not solids[read(data, at + start, at + end)[0]]:
            out[3] -= 1
            out[4] -= num_bits(leads & low_bits(end) & ~low_bits(start))


@inner
def _add_lengths(
    data: Any, at: Any, starts: Any, lasts: Any, leads: Any, lengths: Any, out: Any
) -> None:
    """Count the words one by one: their lengths, and those with a symbol."""
    number_signs, _, ellipses = symbol_bits(data, at)
    while starts != NONE:
        start, end = lowest_bit(starts), lowest_bit(lasts) + 1
        starts, lasts = starts & (starts - ONE), lasts & (lasts - ONE)
        word = low_bits(end) & ~low_bits(start)
        lengths[min(num_bits(leads & word), LONGEST)] += 1
        if (number_signs | ellipses) & word != NONE:
            out[5] += _has_symbol(data, at + start, at + end)


@jit_bare
def _count_words(
    data: Any,
    offsets: Any,
    flags: Any,
    solids: Any,
    one_by_one: Any,
    leading: Any,
    lengths: Any,
    counts: Any,
) -> None:
    for row in range(len(offsets) - 1):
        at, stop, out = offsets[row], offsets[row + 1], counts[row]
        lengths[:] = 0
        while at < stop:
            length, starts, lasts, inside, leads, letters, solid = words_at(
                data, at, stop, flags, solids
            )
            if length == 0:
                start, at, chars, kind = next_word(data, at, stop, flags)
                hollow = not _is_solid(data, start, at, solids, leading)
                out[0], out[1], out[2] = out[0] + 1, out[1] + chars, out[2] + (kind & ALPHA != 0)
                out[3], out[4] = out[3] + (not hollow), out[4] + (0 if hollow else chars)
                out[5] += one_by_one and _has_symbol(data, start, at)
                lengths[min(chars, LONGEST)] += 1
                continue
            words, chars = num_bits(starts), num_bits(leads & (inside | starts))
            out[0], out[1], out[3], out[4] = (
                out[0] + words, out[1] + chars, out[3] + words, out[4] + chars
            )  # fmt: skip
            out[2] += num_marked(inside, letters) + num_bits(letters & ~inside)
            if leading:
                _take_unled(data, at, starts & inside & ~solid, lasts, leads, solids, out)
            else:
                hollow_lasts = lasts & inside & ~marked_lasts(inside, solid)
                _take_hollow(data, at, starts, hollow_lasts, leads, solids, out)
            hollow_alone = num_bits(starts & ~inside & ~solid)
            out[3], out[4] = out[3] - hollow_alone, out[4] - hollow_alone
            if one_by_one:
                _add_lengths(data, at, starts, lasts, leads, lengths, out)
            at += length
        if one_by_one:
            out[6] = _middle(lengths, out[0])


@inner
def _find_folded(data: Any, at: Any, end: Any, words: Any, lower: Any) -> Any:
    length = 0
    while at < end:
        if length > len(words.room) - 4:
            return np.int64(-1)
        code, size = read(data, at, end)
        length = put_code(words.room, length, np.int64(lower[code]))
        at += size
    return find_word(words, length)


@inner
def _find_lower(data: Any, start: Any, end: Any, words: Any, lower: Any) -> Any:
    """The number in the set of a word, its characters lower-cased one by one; -1 = none."""
    size = end - start
    if size <= 8 and eight(data, start, size) & _HIGH_BITS == NONE:
        return find_ascii(data, start, end, words)
    return _find_folded(data, start, end, words, lower)


@jit_bare
def _count_members(
    data: Any, offsets: Any, flags: Any, lower: Any, words: Any, fold: Any, distinct: Any,
    found: Any, counts: Any,
) -> None:  # fmt: skip
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop and not (distinct and counts[row] == len(found)):
            length, starts, lasts, _, _, _, _ = words_at(data, at, stop, flags, flags)
            behind = at + length
            if length == 0:
                start, behind, _, _ = next_word(data, at, stop, flags)
                at, starts, lasts = behind - 1, ONE, ONE
            else:
                start = at + lowest_bit(starts)
            while starts != NONE:
                end = at + lowest_bit(lasts) + 1
                if fold:
                    number = _find_lower(data, start, end, words, lower)
                else:
                    number = find_at(data, start, end, words)
                if number >= 0 and not (distinct and found[number] == row):
                    found[number] = row
                    counts[row] += 1
                starts, lasts = starts & (starts - ONE), lasts & (lasts - ONE)
                start = at + lowest_bit(starts)
            at = behind


@inner
def _trails(data: Any, first: Any, last: Any, rules: Any) -> Any:
    """True if a line of at least one character ends in an ellipsis."""
    if rules.spaced_dots and ends_in_spaced_dots(data, first, last):
        return True
    if rules.dots:
        return ends_in_ellipsis(data, first, last)
    return last - first >= 3 and read(data, last - 3, last)[0] == _ELLIPSIS


@jit_bare
def _count_lines(
    data: Any, offsets: Any, flags: Any, bullets: Any, rules: Any, counts: Any
) -> None:
    for row in range(len(offsets) - 1):
        at, stop, out = offsets[row], offsets[row + 1], counts[row]
        out[0], out[1] = count_symbols(data, at, stop, rules.dots, rules.spaced_dots)
        whole = rules.newlines_only and rules.blank and at < stop  # one more than line breaks
        while at < stop or whole:
            end, after = (
                (find_newline(data, at, stop), find_newline(data, at, stop) + 1)
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
    texts: pa.Array, solid: npt.NDArray[np.bool_], *, one_by_one: bool, leading: bool
) -> dict[str, Int64s]:
    """WORDS of each text; `solid` tells of every code point whether it makes a word solid, as
    letters and digits of ASCII must.

    With `leading` a word's first character alone decides. A symbol word holds `#` or `…`; these and
    the median are 0 without `one_by_one`.
    """
    if not solid[[code for code in range(128) if chr(code).isalnum()]].all():
        raise ValueError("a letter or digit of ASCII is not solid; it must be")
    data, offsets = text_bytes(texts)
    counts = np.zeros((len(texts), len(WORDS)), dtype=np.int64)
    lengths = np.zeros(LONGEST + 1, dtype=np.int64)
    _count_words(data, offsets, character_flags(), solid, one_by_one, leading, lengths, counts)
    return dict(zip(WORDS, counts.T, strict=True))


def members(texts: pa.Array, words: WordSet, *, lower: bool, distinct: bool) -> Int64s:
    """How many words of each text are of the set, punctuation at them included.

    With `lower` a word's characters are lower-cased one by one; with `distinct` its repeats do not
    count.
    """
    data, offsets = text_bytes(texts)
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
    data, offsets = text_bytes(texts)
    counts = np.zeros((len(texts), len(LINES)), dtype=np.int64)
    codes = np.array([ord(bullet) for bullet in bullets], dtype=np.int64)
    _count_lines(data, offsets, character_flags(), codes, rules, counts)
    return dict(zip(LINES, counts.T, strict=True))
