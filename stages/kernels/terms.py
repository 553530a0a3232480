"""Terms of word lists in texts, at word boundaries that hold for every script.

One pass over the Arrow buffer: every code point becomes its character of the lists (case, width and
the forms of apostrophe, hyphen and space folded), the automaton of the document's language goes on,
and only where a term ends are its neighbours looked at.

An edge of a term is a boundary unless the characters on its two sides belong to one word: both are
letters, digits, underscores or marks of scripts that put spaces between words, or both are katakana
(which stand between words of other Japanese scripts as if by spaces). Beside Han, hiragana, Thai,
Lao, Khmer, Myanmar and Tibetan there is always a boundary, since nothing marks one; but none of any
script before a combining mark, which belongs to the character that it follows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.kernels.automaton import ROOT, Automaton, make_automaton, step
from stages.kernels.characters import ALONE, UInt8s, character_flags, last_character, read
from stages.kernels.jit import inner, jit_bare
from stages.kernels.shingles import decode, text_buffers
from stages.kernels.unicode_tables import DOTTED_I, NUM_CODE_POINTS, lower_case, members

UInt16s = npt.NDArray[np.uint16]
Int32s = npt.NDArray[np.int32]
OUTSIDE, SPACED, KATAKANA, UNSPACED, MARK = range(5)
"""What a character is to its neighbours: in no word, in a word of such a script, or a combining
mark. An edge of a term that is UNSPACED needs no boundary."""

_KATAKANA = ((0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F))
_FOLDED = {
    "'": "\u2019\u2018\u02bc\u02b9\uff07\u0060\u00b4",
    "-": "\u2010\u2011\ufe63\uff0d",
    " ": "\t\u00a0\u2007\u2009\u202f\u3000",
}
"""Character -> others that are written for it."""
_DOTLESS_I, _CAPITAL_I, _SMALL_I = 0x131, 0x49, 0x69
_MAX_CHARACTERS = 0xFFFF
_ZERO_WIDTH_JOINER, _SOFT_HYPHEN = 0x200D, 0xAD


class TermTables(NamedTuple):
    """The terms of one language. Each has one number for each of its spellings."""

    ascii: UInt16s
    """Class of each ASCII character: most texts meet hardly any others."""
    classes: UInt16s
    """Class of each character of `Alphabet`; 0: in no term."""
    automaton: Automaton
    chars: Int32s
    """Characters of each term."""
    left: UInt8s
    right: UInt8s
    """What the edges of each term are: OUTSIDE ... UNSPACED."""
    severity: Int32s
    words_only: bool
    """True if no term can begin within a word of a spaced script."""


class Alphabet(NamedTuple):
    """The characters of the terms of all languages."""

    numbers: UInt16s
    """For each code point the number of its character, 0 if no term holds it."""
    inside: UInt8s
    """For each code point what it is to its neighbours."""


@lru_cache(maxsize=1)
def folded_codes() -> npt.NDArray[np.uint32]:
    """Code point -> the one it is matched as. Both forms of I stay: Turkish reads them its own way.

    Lower case, final sigma as sigma, full-width ASCII as ASCII, apostrophes, hyphens and spaces.
    """
    codes = lower_case()
    wide = np.arange(0xFF01, 0xFF5F)
    codes[wide] = lower_case()[wide - 0xFEE0]
    for code, others in _FOLDED.items():
        codes[[ord(other) for other in others]] = ord(code)
    codes[[_CAPITAL_I, DOTTED_I]] = _CAPITAL_I, DOTTED_I
    codes[0xFF29] = _CAPITAL_I
    codes.setflags(write=False)
    return codes


@lru_cache(maxsize=2)
def insides(by_script: bool) -> UInt8s:
    r"""What each code point is to its neighbours; without `by_script`, OUTSIDE or SPACED.

    In a word are `\w` and combining marks: else a vowel sign of Devanagari would end a word.
    """
    found = np.zeros(NUM_CODE_POINTS, np.uint8)
    found[members("word") | members("combining")] = SPACED
    if by_script:
        unspaced = (character_flags() & ALONE) > 0
        unspaced[0x3005:0x3008] = True  # the mark that repeats a Han character, closing mark, zero
        found[unspaced & (found == SPACED)] = UNSPACED
        for first, last in _KATAKANA:
            found[first : last + 1] = KATAKANA
        found[members("combining")] = MARK
        found[[_ZERO_WIDTH_JOINER, _SOFT_HYPHEN]] = MARK  # they stand within words
    found.setflags(write=False)
    return found


def fold(text: str, turkish: bool) -> list[int]:
    """The code points of a text as they are matched, in a Turkish text or another."""
    codes = folded_codes()
    capital = {_CAPITAL_I: _DOTLESS_I if turkish else _SMALL_I, DOTTED_I: _SMALL_I}
    return [capital.get(code, code) for code in (int(codes[ord(c)]) for c in text)]


def spellings(term: str) -> set[str]:
    """A term composed and decomposed: texts have their accents in either form."""
    return {unicodedata.normalize("NFC", term), unicodedata.normalize("NFD", term)}


def make_alphabet(terms: Iterable[str], by_script: bool) -> Alphabet:
    """The alphabet of all terms of all languages. Raises ValueError beyond 65,535 characters."""
    codes = folded_codes()
    used = {int(codes[ord(c)]) for term in terms for form in spellings(term) for c in form}
    used |= {_SMALL_I, _DOTLESS_I, _CAPITAL_I, DOTTED_I}
    if len(used) > _MAX_CHARACTERS:
        raise ValueError(f"the terms have {len(used)} characters; {_MAX_CHARACTERS} are possible")
    number = np.zeros(NUM_CODE_POINTS, np.uint16)
    number[sorted(used)] = np.arange(1, len(used) + 1)
    return Alphabet(number[codes], insides(by_script))


def make_tables(
    terms: Mapping[str, int], alphabet: Alphabet, *, turkish: bool, anywhere: bool
) -> TermTables:
    """The tables of one language's terms with their severities. `anywhere`: no boundaries asked."""
    forms: dict[tuple[int, ...], int] = {}
    for term, severity in sorted(terms.items()):
        for form in spellings(term):
            key = tuple(fold(form, turkish))
            forms[key] = max(severity, forms.get(key, 0))
    ordered = sorted(forms)
    numbers, inside = alphabet.numbers, alphabet.inside
    used = sorted({code for form in ordered for code in form})
    classes = np.zeros(int(numbers.max()) + 1, np.uint16)
    classes[numbers[used]] = np.arange(1, len(used) + 1)
    edges = np.array([[inside[form[0]], inside[form[-1]]] for form in ordered] or [[0, 0]])
    if anywhere:
        edges[:] = UNSPACED
    words_only = bool(np.isin(edges[:, 0], (OUTSIDE, SPACED)).all())
    openers = frozenset(
        int(classes[numbers[code]]) for code in used if inside[code] not in (SPACED, MARK)
    )
    automaton = make_automaton(
        [classes[numbers[list(form)]].tolist() for form in ordered],
        openers if words_only else None,
    )
    classes[numbers[DOTTED_I]] = classes[numbers[_SMALL_I]]
    classes[numbers[_CAPITAL_I]] = classes[numbers[_DOTLESS_I if turkish else _SMALL_I]]
    return TermTables(
        ascii=classes[numbers[:128]],
        classes=classes,
        automaton=automaton,
        chars=np.array([len(form) for form in ordered], np.int32),
        left=edges[:, 0].astype(np.uint8),
        right=edges[:, 1].astype(np.uint8),
        severity=np.array([forms[form] for form in ordered], np.int32),
        words_only=words_only,
    )


@inner
def _one_word(edge: Any, neighbour: Any) -> Any:
    """True if a term's edge and the character beside it belong to one word."""
    if edge == KATAKANA:
        return neighbour == KATAKANA
    return edge != UNSPACED and neighbour in (SPACED, MARK)


@inner
def _bounded(data: Any, start: Any, at: Any, stop: Any, inside: Any, term: Any, tables: Any) -> Any:
    """True if the term that ends at `at` stands between boundaries."""
    if at < stop:
        behind = inside[read(data, at, stop)[0]]
        if behind == MARK or _one_word(tables.right[term], behind):
            return False
    if tables.left[term] == UNSPACED:
        return True
    begin = at
    for _ in range(tables.chars[term]):
        begin, _code = last_character(data, start, begin)
    if begin == start:
        return True
    return not _one_word(tables.left[term], inside[last_character(data, start, begin)[1]])


@inner
def _after_word(data: Any, at: Any, stop: Any, inside: Any) -> Any:
    """Where the word that data[at:stop] begins within ends."""
    while at < stop:
        code, size = read(data, at, stop)
        kind = inside[code]
        if kind != SPACED and kind != MARK:
            break
        at += size
    return at


@jit_bare
def _count(
    data: Any, offsets: Any, rows: Any, alphabet: Any, tables: Any, counts: Any, worst: Any
) -> None:
    for row in rows:
        start, stop = offsets[row], offsets[row + 1]
        at, state = start, np.int64(ROOT)
        while at < stop:
            code = np.int64(data[at])
            if code < 0x80:
                group = np.int64(tables.ascii[code])
                at += 1
            else:
                code, size = decode(data, at, stop)
                group = np.int64(tables.classes[alphabet.numbers[code]])
                at += size
            state = step(tables.automaton, state, group) if group else np.int64(ROOT)
            if state == ROOT:
                kind = alphabet.inside[code]
                if tables.words_only and kind in (SPACED, MARK):
                    at = _after_word(data, at, stop, alphabet.inside)
                continue
            term = tables.automaton.terms[state]
            while term >= 0:
                if _bounded(data, start, at, stop, alphabet.inside, term, tables):
                    counts[row] += 1
                    worst[row] = max(worst[row], tables.severity[term])
                term = tables.automaton.shorter[term]


def count_terms(
    texts: pa.Array, rows: npt.NDArray[np.int64], alphabet: Alphabet, tables: TermTables,
    counts: npt.NDArray[np.int64], worst: npt.NDArray[np.int64],
) -> None:  # fmt: skip
    """Add to `counts` the places of the terms in these rows; `worst` gets the largest severity.

    Terms that overlap count each.
    """
    data, offsets = text_buffers(texts)
    _count(data, offsets, rows, alphabet, tables, counts, worst)
