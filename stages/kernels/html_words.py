"""The words of every block of a page, and what its characters say of it.

A word is a run of letters and digits; a character of a script that writes no blanks (Han, kana,
Thai and others, the ranges of the extraction scorer) is a word of its own. Punctuation of other
scripts than Latin counts where Latin's does, so no count favours a script.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_text as h
from stages.kernels.html_text import decode_utf8, lower
from stages.kernels.jit import inner, leaf

# Columns of the counts of a block.
(WORDS, CHARS, LETTERS, DIGITS, UPPER, PUNCTUATION, COMMAS, ENDS, TERMINAL, SYMBOLS, WORDS_FROM,
 WORDS_TO) = range(12)  # fmt: skip
COUNT_COLUMNS = 12

# Kinds of a character.
SPACE, LETTER, SINGLE, DIGIT, COMMA, SENTENCE, OTHER_PUNCTUATION, SYMBOL = range(8)

_FNV, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)

_ASCII = np.full(128, OTHER_PUNCTUATION, dtype=np.uint8)
_ASCII[:33] = SPACE
for _c in range(128):
    if chr(_c).isalpha():
        _ASCII[_c] = LETTER
    elif chr(_c).isdigit():
        _ASCII[_c] = DIGIT
_ASCII[ord("_")] = LETTER
_ASCII[ord(",")] = _ASCII[ord(";")] = COMMA
for _c in b".!?":
    _ASCII[_c] = SENTENCE
for _c in b"|<>+=*^~@#$%&/\\":
    _ASCII[_c] = SYMBOL


# Of ASCII words, which most bytes are: what is in one, its small letter, and 1 in the low half for
# a digit, in the high half for a capital.
_BYTES = np.arange(256, dtype=np.int64)
_IN_WORD = np.isin(np.append(_ASCII, np.full(128, OTHER_PUNCTUATION)), (LETTER, DIGIT))
_CAPITAL = (_BYTES >= 0x41) & (_BYTES <= 0x5A)
_LOWER = (_BYTES | np.where(_CAPITAL, 0x20, 0)).astype(np.uint8)
_MARKS = np.where(_CAPITAL, 1 << 32, (_BYTES >= 0x30) & (_BYTES <= 0x39)).astype(np.uint64)


@leaf
def kind_of(code: Any) -> Any:
    """The kind of a character."""
    if code < 128:
        return np.int64(_ASCII[code])
    if code < 0xC0:
        if code == 0xAA or code == 0xB5 or code == 0xBA:
            return LETTER
        return SYMBOL if code == 0xA9 or code == 0xBB or code == 0xAB else OTHER_PUNCTUATION
    if code < 0x2000:
        if 0x0E00 <= code <= 0x109F or 0x1780 <= code <= 0x17FF:
            return SINGLE
        if code == 0x060C or code == 0x061B:
            return COMMA
        if code == 0x061F or code == 0x06D4 or code == 0x0964 or code == 0x0965:
            return SENTENCE
        if code == 0x0589 or code == 0x1362 or code == 0x1367:
            return SENTENCE
        if code == 0xD7 or code == 0xF7:
            return SYMBOL
        return LETTER
    if code < 0x2E80:
        if code < 0x2070:
            if code == 0x2026:
                return SENTENCE
            return (
                SYMBOL if code == 0x2022 or code == 0x203A or code == 0x2039 else OTHER_PUNCTUATION
            )
        return SYMBOL if code >= 0x2100 else OTHER_PUNCTUATION
    if code < 0xAC00:
        if code < 0x3040:
            if code == 0x3002:
                return SENTENCE
            if code == 0x3001:
                return COMMA
            return SINGLE if 0x3005 <= code <= 0x3007 or code < 0x3000 else OTHER_PUNCTUATION
        return SINGLE if code < 0xA000 else LETTER
    if 0xF900 <= code <= 0xFAFF or code >= 0x20000:
        return SINGLE
    if 0xFF00 <= code <= 0xFF65:
        if code == 0xFF0C or code == 0xFF1B:
            return COMMA
        if code == 0xFF01 or code == 0xFF1F or code == 0xFF0E or code == 0xFF61:
            return SENTENCE
        if 0xFF21 <= code <= 0xFF3A or 0xFF41 <= code <= 0xFF5A:
            return LETTER
        return DIGIT if 0xFF10 <= code <= 0xFF19 else OTHER_PUNCTUATION
    if 0xFF66 <= code <= 0xFF9F:
        return SINGLE
    return SYMBOL if code >= 0x1F000 else LETTER


@inner
def is_capital(code: Any) -> Any:
    """True for the capitals of the alphabets that have them and are written most."""
    if code < 0x80:
        return 0x41 <= code <= 0x5A
    if code < 0x370:
        return 0xC0 <= code <= 0xDE and code != 0xD7
    return 0x386 <= code <= 0x3AB or 0x400 <= code <= 0x42F or 0x531 <= code <= 0x556


@inner
def fold_hash(value: Any) -> Any:
    return np.uint32((value ^ value >> np.uint64(32)) & np.uint64(0xFFFFFFFF))


@leaf
def words_in(text: Any, start: Any, stop: Any, words: Any, at: Any) -> Any:
    """Write the hashes of the words from `at` on; gives the place behind the last."""
    i = start
    value, open_word = _FNV, False
    while i < stop and at < len(words):
        code, width = decode_utf8(text, i, stop)
        kind = kind_of(code)
        if kind in (LETTER, DIGIT):
            for k in range(i, i + width):
                value = (value ^ np.uint64(lower(np.int64(text[k])))) * _FNV_PRIME
            open_word = True
        else:
            if open_word:
                words[at] = fold_hash(value)
                at += 1
                value, open_word = _FNV, False
            if kind == SINGLE and at < len(words):
                words[at] = fold_hash((_FNV ^ np.uint64(code)) * _FNV_PRIME)
                at += 1
        i += width
    if open_word and at < len(words):
        words[at] = fold_hash(value)
        at += 1
    return at


@leaf
def count_blocks(text: Any, blocks: Any, counts: Any, words: Any, hashes: Any) -> Any:
    """Fill the counts, the word hashes and a hash of the words of every block.

    `words` has room for one hash a byte of text, so it cannot run over.
    """
    at = np.int64(0)
    for b in range(len(blocks)):
        counts[b, WORDS_FROM] = at
        start, stop = np.int64(blocks[b, h.START]), np.int64(blocks[b, h.END])
        at = _count_block(text, start, stop, counts[b], words, at, hashes[b : b + 1])
        counts[b, WORDS_TO] = at
        counts[b, WORDS] = at - counts[b, WORDS_FROM]


@leaf
def _count_block(
    text: Any, start: Any, stop: Any, row: Any, words: Any, at: Any, whole: Any
) -> Any:
    """One block; the place behind its last word. Counts are local: in the row each would be a write
    that the compiler has to believe may change the text."""
    last = before = np.int64(SPACE)
    value, text_hash, open_word = _FNV, _FNV, False
    chars = letters = digits = upper = punctuation = commas = ends = symbols = np.int64(0)
    marks = np.uint64(0)
    i, end = np.uint64(start), np.uint64(stop)
    while i < end:
        if _IN_WORD[text[i]]:
            first = i
            while i < end and _IN_WORD[text[i]]:
                value = (value ^ np.uint64(_LOWER[text[i]])) * _FNV_PRIME
                marks += _MARKS[text[i]]
                i += np.uint64(1)
            chars += i - first
            letters += i - first
            last = before = np.int64(LETTER)
            open_word = True
            continue
        code, width = np.int64(text[i]), np.uint64(1)
        if code < 0x80:
            kind = np.int64(_ASCII[np.uint64(code)])
        else:
            code, wide = decode_utf8(text, np.int64(i), stop)
            width, kind = np.uint64(wide), np.int64(kind_of(code))
        chars += 1
        if kind in (LETTER, DIGIT):
            digits += kind == DIGIT
            letters += kind == LETTER
            upper += kind == LETTER and is_capital(code)
            for k in range(i, i + width):
                value = (value ^ np.uint64(lower(np.int64(text[k])))) * _FNV_PRIME
            open_word = True
        else:
            if open_word:
                words[at] = fold_hash(value)
                text_hash = (text_hash ^ value) * _FNV_PRIME
                at += 1
                value, open_word = _FNV, False
            if kind == SINGLE:
                letters += 1
                single = (_FNV ^ np.uint64(code)) * _FNV_PRIME
                words[at] = fold_hash(single)
                text_hash = (text_hash ^ single) * _FNV_PRIME
                at += 1
            commas += kind == COMMA
            ends += kind == SENTENCE and before != SENTENCE
            symbols += kind == SYMBOL
            punctuation += kind >= COMMA
        before = kind
        # A closing quote hides no full stop, a colon does.
        if kind != SPACE and (kind != OTHER_PUNCTUATION or code == 0x3A):
            last = kind if code != 0x3A else np.int64(COMMA)
        i += width
    if open_word:
        words[at] = fold_hash(value)
        text_hash = (text_hash ^ value) * _FNV_PRIME
        at += 1
    ascii_digits = np.int64(marks & np.uint64(0xFFFFFFFF))
    row[CHARS], row[LETTERS] = chars, letters - ascii_digits
    row[DIGITS] = digits + ascii_digits
    row[UPPER] = upper + np.int64(marks >> np.uint64(32))
    row[PUNCTUATION], row[COMMAS], row[ENDS], row[SYMBOLS] = punctuation, commas, ends, symbols
    row[TERMINAL] = 1 if last == SENTENCE else 0
    whole[0] = text_hash
    return at
