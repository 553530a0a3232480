"""C4's line rules: which lines of a text stay, in one pass, and the text that they make.

The rules and their order are those of `stages.c4`. A line is stripped, its citations are cut while
it is copied behind the lines kept so far, and only then it is judged: a line that falls is written
over by the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.characters import DIGIT, SPACE, UInt8s, read, strip
from stages.kernels.html_wide import lowest_bit, num_bits
from stages.kernels.jit import inner, jit_bare
from stages.kernels.sentences import (
    SentenceTables,
    count_sentences,
    next_break,
    sentence_tables,
)
from stages.kernels.wide_text import (
    NONE,
    ONE,
    WIDE,
    bracket_bits,
    count_leads,
    head_bits,
    low_bits,
    move_bytes,
    text_bytes,
)
from stages.kernels.wide_words import characters_at
from stages.kernels.words import same_bytes

COUNTS = (
    "chars", "lorem_ipsum", "curly_brackets", "sentences", "lines", "lines_kept",
    "lines_long_word", "lines_no_end_mark", "lines_too_short", "lines_javascript", "lines_policy",
)  # fmt: skip
(
    _CHARS, _LOREM_IPSUM, _CURLY, _SENTENCES, _LINES, _KEPT,
    _LONG_WORD, _NO_END_MARK, _TOO_SHORT, _JAVASCRIPT, _POLICY,
) = range(len(COUNTS))  # fmt: skip
_GOOD = -1
_HEAD = 3
SLACK = WIDE + _HEAD
"""Bytes behind the cleaned texts."""
_OPEN, _CLOSE, _NEWLINE = ord("["), ord("]"), 0x0A


class Phrases(NamedTuple):
    """Strings of ASCII, one behind the other."""

    data: UInt8s
    ends: npt.NDArray[np.int64]
    """Phrase i is data[ends[i]:ends[i + 1]]."""
    first: npt.NDArray[np.int64]
    """For every byte, the first phrase that begins with it; -1 = none."""
    after: npt.NDArray[np.int64]
    """For every phrase, the next one that begins like it; -1 = none."""
    heads: npt.NDArray[np.uint8]
    """The first bytes of phrases, at most three and none behind a `k`, and how many they are."""


class Habits(NamedTuple):
    """Where public versions of C4's line rules part ways; the defaults are tfds's."""

    words_before_citations: bool = False
    """A line's words are counted before its citations are cut, not after."""
    ellipsis_ends: bool = False
    """An ellipsis is an end like another where there are end marks at all."""
    cut_citations: bool = True
    newlines_only: bool = False
    r"""Lines end at `\n` alone; else where `str.splitlines` cuts."""


class Rules(NamedTuple):
    """Phrases and bounds of the line rules."""

    tables: SentenceTables
    faults: Phrases
    """Looked for in lower case."""
    verdicts: npt.NDArray[np.int64]
    """The count of each fault."""
    citations: Phrases
    end_marks: Phrases
    min_words: int
    max_word_chars: int
    habits: Habits


def phrases(strings: Sequence[str]) -> Phrases:
    stored = [string.encode() for string in strings]
    first, after = np.full(256, -1, dtype=np.int64), np.full(len(stored), -1, dtype=np.int64)
    for number in reversed(range(len(stored))):
        if stored[number]:
            byte = stored[number][0]
            first[byte], after[number] = number, first[byte]
    ends = np.cumsum([0, *map(len, stored)], dtype=np.int64)
    data = np.frombuffer(b"".join(stored) or b"\0", dtype=np.uint8)
    return Phrases(data, ends, first, after, _heads(stored))


def _heads(phrases: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Rows of `Phrases.heads`."""
    heads = {}
    for phrase in filter(None, phrases):
        known = phrase[:_HEAD].split(b"k")[0] or phrase[:1]
        heads[bytes(byte | 0x20 for byte in known.ljust(_HEAD, known[-1:]))] = len(known)
    rows = [[*head, size] for head, size in heads.items()]
    return np.array(rows, dtype=np.uint8).reshape(-1, _HEAD + 1)


@inner
def _stands_at(data: Any, at: Any, stop: Any, phrases: Any, number: Any) -> Any:
    """True if the phrase stands at `at`, byte for byte."""
    begin, end = phrases.ends[number], phrases.ends[number + 1]
    if stop - at < end - begin:
        return False
    return same_bytes(phrases.data, begin, end, data, at)


@inner
def _stands_lowered(data: Any, at: Any, stop: Any, phrases: Any, number: Any, lower: Any) -> Any:
    """True if the text from `at` on, lower-cased, begins with the phrase."""
    for i in range(phrases.ends[number], phrases.ends[number + 1]):
        if at >= stop:
            return False
        code, size = read(data, at, stop)
        if lower[code] != phrases.data[i]:
            return False
        at += size
    return True


@inner
def _heads_at(data: Any, at: Any, heads: Any) -> Any:
    """Where phrases may begin among 64 bytes."""
    found = NONE
    for number in range(len(heads)):
        head = heads[number]
        found |= head_bits(data, at, head[0], head[1], head[2], head[3])
    return found


@inner
def _fault(data: Any, start: Any, stop: Any, rules: Any) -> Any:
    """The verdict on what a line says: that of the first fault in the list that it holds."""
    found = len(rules.verdicts)
    while start < stop:
        bits = _heads_at(data, start, rules.faults.heads) & low_bits(stop - start)
        while bits != NONE:
            at = start + lowest_bit(bits)
            bits &= bits - ONE
            number = rules.faults.first[rules.tables.lower[data[at]]]
            while 0 <= number < found:
                if _stands_lowered(data, at, stop, rules.faults, number, rules.tables.lower):
                    found = number
                number = rules.faults.after[number]
        start += WIDE
    return rules.verdicts[found] if found < len(rules.verdicts) else np.int64(_GOOD)


@inner
def _citation_end(data: Any, at: Any, stop: Any, rules: Any) -> Any:
    """Where the citation that begins at `at` ends; `at` if there is none."""
    for number in range(len(rules.citations.ends) - 1):
        if _stands_at(data, at, stop, rules.citations, number):
            return at + rules.citations.ends[number + 1] - rules.citations.ends[number]
    end = at + 1
    while end < stop:
        code, size = read(data, end, stop)
        if not rules.tables.flags[code] & DIGIT:
            return end + 1 if code == _CLOSE else at
        end += size
    return at


@inner
def _next_citation(data: Any, at: Any, stop: Any, rules: Any) -> Any:
    """(start, end) of the first citation from `at` on; both are `stop` if there is none."""
    while at < stop:
        bits = bracket_bits(data, at) & low_bits(stop - at)
        while bits != NONE:
            place = at + lowest_bit(bits)
            bits &= bits - ONE
            end = _citation_end(data, place, stop, rules)
            if end > place:
                return place, end
        at += WIDE
    return stop, stop


@inner
def _copy_line(data: Any, at: Any, stop: Any, rules: Any, out: Any, to: Any) -> Any:
    """Copy a line without its citations; gives the place behind it. It never grows."""
    while at < stop:
        begin, end = stop, stop
        if rules.habits.cut_citations:
            begin, end = _next_citation(data, at, stop, rules)
        to = move_bytes(data, at, begin, out, to)
        at = end
    return to


@inner
def _longest_word(data: Any, at: Any, stop: Any, flags: Any) -> Any:
    """Characters of the longest word between white space."""
    longest, chars = 0, 0
    while at < stop:
        code, size = read(data, at, stop)
        chars = 0 if flags[code] & SPACE else chars + 1
        longest = max(longest, chars)
        at += size
    return longest


@inner
def _has_words(data: Any, at: Any, stop: Any, flags: Any, least: Any) -> Any:
    """True if white space parts the line into at least so many words."""
    count, inside = 0, NONE
    while at < stop and count < least:
        length, space, _, _, _, _ = characters_at(data, at, stop, flags, flags)
        visible = ~space & low_bits(length)
        count += num_bits(visible & ~(visible << ONE | inside))
        inside = visible >> np.uint64(length - 1)
        at += length
    return count >= least


@inner
def _judge(out: Any, start: Any, stop: Any, enough_words: Any, rules: Any) -> Any:
    """The count of the line's fault, the first in order; _GOOD if it has none.

    `enough_words` is the verdict on its words where that was given before citations were cut.
    """
    num_marks = len(rules.end_marks.ends) - 1
    marked = num_marks == 0
    for number in range(num_marks):
        at = stop - (rules.end_marks.ends[number + 1] - rules.end_marks.ends[number])
        marked |= at >= start and _stands_at(out, at, stop, rules.end_marks, number)
    dots = stop - start >= 3 and out[stop - 1] == out[stop - 2] == out[stop - 3] == ord(".")
    if not marked or (num_marks and dots and not rules.habits.ellipsis_ends):
        return np.int64(_NO_END_MARK)
    if not rules.habits.words_before_citations:
        enough_words = _has_words(out, start, stop, rules.tables.flags, rules.min_words)
    if not enough_words:
        return np.int64(_TOO_SHORT)
    return _fault(out, start, stop, rules)


@jit_bare
def _clean(data: Any, offsets: Any, rules: Any, out: Any, ends: Any, counts: Any) -> None:
    """Write the cleaned texts one behind the other, and where each ends.

    `out` has SLACK bytes more than the texts, as it is read 64 bytes at a time: a kept line is no
    longer than it was, and before each but the first there is one newline, where the text had a
    line break of at least a byte.
    """
    flags = rules.tables.flags
    for row in range(len(offsets) - 1):
        at, stop, count = offsets[row], offsets[row + 1], counts[row]
        count[_CHARS] = count_leads(data, at, stop)
        base = written = ends[row]
        while at < stop:
            end, after = next_break(data, at, stop, rules.habits.newlines_only)
            first, last = strip(data, at, end, flags)
            begin = written + (1 if count[_KEPT] else 0)
            behind = _copy_line(data, first, last, rules, out, begin)
            enough = True
            if rules.habits.words_before_citations:
                enough = _has_words(data, first, last, flags, rules.min_words)
            verdict = _judge(out, begin, behind, enough, rules)
            bound = rules.max_word_chars
            if last - first > bound and _longest_word(data, first, last, flags) > bound:
                verdict = np.int64(_LONG_WORD)  # before all others, on the line with its citations
            count[_LINES] += 1
            if verdict != _GOOD:
                count[verdict] += 1
            if verdict in (_GOOD, _LOREM_IPSUM, _CURLY):
                if begin > written:
                    out[written] = _NEWLINE
                count[_KEPT] += 1
                count[_SENTENCES] += count_sentences(out, begin, behind, rules.tables)
                written = behind
            at = after
        first, last = strip(out, base, written, flags)
        if first > base:
            move_bytes(out, first, last, out, base)
        ends[row + 1] = base + last - first


def clean_lines(
    texts: pa.Array,
    faults: Mapping[str, str],
    citations: Sequence[str],
    end_marks: Sequence[str],
    min_words: int,
    max_word_chars: int,
    habits: Habits = Habits(),  # noqa: B008 - a value, never changed
) -> tuple[pa.Array, dict[str, npt.NDArray[np.int64]]]:
    """The texts with only their good lines, and COUNTS of each.

    `faults` are phrases, each with the count of a line that holds it; on several the first decides.
    They are ASCII in lower case, do not begin with `k` (also the lower case of a character that is
    not ASCII) and do not end in `i` (with which the lower case of U+0130 begins). `citations` are
    cut besides numbers in brackets; they begin with a bracket.
    """
    data, offsets = text_bytes(texts)
    rules = Rules(
        sentence_tables(),
        phrases(tuple(faults)),
        np.array([COUNTS.index(name) for name in faults.values()], dtype=np.int64),
        phrases(citations),
        phrases(end_marks),
        min_words,
        max_word_chars,
        habits,
    )
    out = np.empty(offsets[-1] - offsets[0] + SLACK, dtype=np.uint8)
    ends = np.zeros(len(offsets), dtype=np.int64)
    counts = np.zeros((len(texts), len(COUNTS)), dtype=np.int64)
    _clean(data, offsets, rules, out, ends, counts)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(out[: ends[-1]])]
    cleaned = pa.Array.from_buffers(pa.large_string(), len(texts), buffers)
    return cleaned, dict(zip(COUNTS, counts.T, strict=True))
