"""Cuts UTF-8 text into the pieces inside which BPE merges, as the published regular expressions do.

One function a published expression, which says where the piece that begins at a place ends. Every
place of a text is matched by some alternative of each of them, so pieces follow one another without
a gap. Characters are told apart by a table of one byte of flags a code point (`piece_classes`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.characters import read
from stages.kernels.jit import inner, leaf
from stages.kernels.piece_rules import GPT2, GPT4, LLAMA3

CAPITAL = 1
"""Categories Lu and Lt."""
SMALL = 2
"""Category Ll."""
OTHER_LETTER = 4
"""Categories Lm and Lo."""
MARK = 8
"""Categories Mn, Mc, Me."""
NUMBER = 16
"""Categories Nd, Nl, No."""
SPACE = 32
r"""`\s`: the property White_Space."""
BREAK = 64
"""Carriage return and line feed; also SPACE."""

LETTER = CAPITAL | SMALL | OTHER_LETTER
NO_SYMBOL = LETTER | NUMBER | SPACE
NO_PREFIX = LETTER | NUMBER | BREAK
_HEAD = CAPITAL | OTHER_LETTER | MARK
_TAIL = SMALL | OTHER_LETTER | MARK


@inner
def _run_end(data: Any, at: Any, stop: Any, classes: Any, wanted: Any) -> Any:
    """Where the run of characters of the wanted classes that begins at `at` ends."""
    while at < stop:
        code, size = read(data, at, stop)
        if not classes[code] & wanted:
            break
        at += size
    return at


@inner
def _run_end_without(data: Any, at: Any, stop: Any, classes: Any, unwanted: Any) -> Any:
    """Where the run of characters of none of these classes ends."""
    while at < stop:
        code, size = read(data, at, stop)
        if classes[code] & unwanted:
            break
        at += size
    return at


@leaf
def _contraction_end(data: Any, at: Any, stop: Any, any_case: Any) -> Any:
    """Where one of 's 't 're 've 'm 'll 'd ends that begins at `at`; `at` if none does."""
    if at + 1 >= stop or data[at] != 0x27:
        return at
    first = np.int64(data[at + 1])
    if any_case:
        if first == 0xC5 and at + 2 < stop and data[at + 2] == 0xBF:  # U+017F folds to s
            return at + 3
        if 0x41 <= first <= 0x5A:
            first += 32
    if first == 0x73 or first == 0x74 or first == 0x6D or first == 0x64:  # s t m d
        return at + 2
    if at + 2 >= stop:
        return at
    second = np.int64(data[at + 2])
    if any_case and 0x41 <= second <= 0x5A:
        second += 32
    if ((first == 0x72 or first == 0x76) and second == 0x65) or (first == 0x6C and second == 0x6C):
        return at + 3  # re ve ll
    return at


@inner
def _numbers_end(data: Any, at: Any, stop: Any, classes: Any, most: Any) -> Any:
    """Where the run of at most so many numbers ends."""
    count = 0
    while at < stop and count < most:
        code, size = read(data, at, stop)
        if not classes[code] & NUMBER:
            break
        at += size
        count += 1
    return at


@leaf
def _blanks_end(data: Any, at: Any, stop: Any, classes: Any, cut: Any, breaks: Any) -> Any:
    r"""`\s*[\r\n]+` (with `breaks`), then `\s+(?!\S)`, then `\s+`, at white space.

    Before them with GPT4: all of it, where the text ends with it.
    """
    if cut.single_blanks:
        return at + read(data, at, stop)[1]
    last, end, after_break = at, at, at
    while end < stop:
        code, size = read(data, end, stop)
        if not classes[code] & SPACE:
            break
        last = end
        end += size
        if classes[code] & BREAK:
            after_break = end
    if end == stop and cut.pattern == GPT4:
        return end
    if breaks and after_break > at:
        return after_break
    if end < stop and last > at:
        return last  # the last one goes with what follows
    return end


@leaf
def gpt2_end(data: Any, at: Any, stop: Any, classes: Any, cut: Any) -> Any:
    """The end of the piece by GPT-2's expression."""
    end = _contraction_end(data, at, stop, False)
    if end > at:
        return end
    code, size = read(data, at, stop)
    kind = classes[code]
    start = at
    if code == 0x20 and at + 1 < stop:
        following, length = read(data, at + 1, stop)
        if not classes[following] & SPACE and not (cut.digits and classes[following] & NUMBER):
            start, kind, size = at + 1, classes[following], length
    if kind & LETTER:
        return _run_end(data, start + size, stop, classes, LETTER)
    if kind & NUMBER:
        return _numbers_end(data, start, stop, classes, cut.digits if cut.digits else stop)
    if kind & SPACE:
        return _blanks_end(data, at, stop, classes, cut, False)
    return _run_end_without(data, start + size, stop, classes, NO_SYMBOL)


@inner
def _symbols_end(data: Any, at: Any, stop: Any, classes: Any, slash: Any) -> Any:
    """Symbols from `at` on, then line breaks, with `slash` slashes too."""
    at = _run_end_without(data, at, stop, classes, NO_SYMBOL)
    while at < stop and (data[at] == 10 or data[at] == 13 or (slash and data[at] == 0x2F)):
        at += 1
    return at


@leaf
def _symbols_or_blanks_end(
    data: Any, at: Any, stop: Any, classes: Any, cut: Any, slash: Any
) -> Any:
    """What Llama-3's and o200k's expression share behind letters and numbers."""
    code, size = read(data, at, stop)
    if not classes[code] & SPACE:
        return _symbols_end(data, at + size, stop, classes, slash)
    if code == 0x20 and at + 1 < stop:
        following, length = read(data, at + 1, stop)
        if not classes[following] & NO_SYMBOL:
            return _symbols_end(data, at + 1 + length, stop, classes, slash)
    return _blanks_end(data, at, stop, classes, cut, True)


@leaf
def llama3_end(data: Any, at: Any, stop: Any, classes: Any, cut: Any) -> Any:
    """The end of the piece by Llama-3's expression, or by cl100k's."""
    end = _contraction_end(data, at, stop, True)
    if end > at:
        return end
    code, size = read(data, at, stop)
    kind = classes[code]
    if kind & LETTER:
        return _run_end(data, at + size, stop, classes, LETTER)
    if kind & NUMBER:
        return _numbers_end(data, at, stop, classes, cut.digits)
    if not kind & BREAK:
        end = _run_end(data, at + size, stop, classes, LETTER)
        if end > at + size:
            return end
    return _symbols_or_blanks_end(data, at, stop, classes, cut, False)


@leaf
def _capitals_then_smalls_end(data: Any, at: Any, stop: Any, classes: Any) -> Any:
    """`[Lu Lt Lm Lo M]*[Ll Lm Lo M]+` from `at` on; `at` if it does not match."""
    end, last_shared = at, at
    while end < stop:
        code, size = read(data, end, stop)
        kind = classes[code]
        if not kind & _HEAD:
            break
        end += size
        if kind & _TAIL:
            last_shared = end
    smalls = _run_end(data, end, stop, classes, _TAIL)
    return smalls if smalls > end else last_shared


@leaf
def o200k_end(data: Any, at: Any, stop: Any, classes: Any, cut: Any) -> Any:
    """The end of the piece by o200k's expression."""
    code, size = read(data, at, stop)
    kind = classes[code]
    if kind & NUMBER:
        return _numbers_end(data, at, stop, classes, cut.digits)
    start = at if kind & NO_PREFIX else at + size
    end = _capitals_then_smalls_end(data, start, stop, classes)
    if end == start:
        end = _capitals_then_smalls_end(data, at, stop, classes) if kind & MARK else at
        if end == at:
            end = _run_end(data, start, stop, classes, _HEAD)
            if end == start:
                end = at
    if end > at:
        return _contraction_end(data, end, stop, True)
    return _symbols_or_blanks_end(data, at, stop, classes, cut, True)


@leaf
def piece_end(data: Any, at: Any, stop: Any, classes: Any, cut: Any) -> Any:
    """Where the piece of data[at:stop] that begins at `at` < `stop` ends."""
    if cut.pattern == GPT2:
        return gpt2_end(data, at, stop, classes, cut)
    if cut.pattern == LLAMA3 or cut.pattern == GPT4:
        return llama3_end(data, at, stop, classes, cut)
    return o200k_end(data, at, stop, classes, cut)
