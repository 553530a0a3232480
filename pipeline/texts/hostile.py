"""Texts on which encoders have been seen to differ, generated, the same on every machine.

`hostile_strings` mixes short pieces at random: white space of all kinds, digits, contractions and
what looks like them, letters without case, marks without a base, emoji, characters that are young
in Unicode, the text of special tokens. `hostile_corpus` adds what chance would miss: every byte,
long runs, many code points in every position that a pre-tokenisation regex tells apart. It stands
here because the stages and `tokenizer_training` both compare encoders.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from pipeline.draw import draw

SPACES = (
    " ", "  ", "   ", "\n", "\n\n", "\r", "\r\n", "\t", " \n", "\n ", "\x0b", "\x0c", "\x1c",
    "\x1d", "\x1e", "\x1f", "\x85", "\u00a0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f",
    "\u205f", "\u3000",
)  # fmt: skip
"""White space to some definition of it."""
NO_SPACES = ("\u180e", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u061c", "\x00")
"""Invisible, and white space to an outdated table or to none: fastokens 0.3.5 takes U+180E for
white space before a contraction of the GPT-2 pattern."""
CONTRACTIONS = (
    "'s", "'S", "'t", "'T", "'re", "'RE", "'rE", "'ve", "'VE", "'m", "'ll", "'LL", "'lL", "'d",
    "'\u017f", "\u2019s", "'", "''", "'x", "'\u212a",
)  # fmt: skip
"""U+017F folds to s and U+212A to k, without regard to case."""
LETTERS = (
    "a", "B", "the", "The", " the", "THE", "McD", "iPhone", "\u00e9", "e\u0301", "\u00df", "\u1e9e",
    "\u0130", "\u0131", "\u01c5", "\u02b0", "\u00aa", "\u0186", "\ua7ae", "\u10d0", "\u1c90",
    "\u13a0", "\uab70", "\u0430", "\u0416", "\u03c2", "\u03a3", "\u05d0\u05b7", "\u0627\u0651",
    "\u0928\u093f", "\u0915\u094d", "\u0e01\u0e31", "\u0e97", "\u0eaa\u0eb5", "\u1780\u17d2",
    "\u1019\u103c", "\u0f40\u0f72", "\u4e2d\u6587", "\u3042", "\u30ab\u3099", "\ud55c\uae00",
    "\u1112\u1161", "\u0531", "\u12a0", "\u0b95\u0bbf", "\u0c95\u0ccd", "\u0d05", "\u0d85",
    "\u1820", "\ua000", "\U00010400", "\U0001e900", "\U0001d400", "\U00020000", "\u3005", "\u02bc",
)  # fmt: skip
NUMBERS = (
    "0", "12", "123", "1234", "1234567890", "\u0663", "\u0967", "\u00b2", "\u00bd", "\u2167",
    "\u2460", "\u3007", "\U0001d7d9", "\u0f2a", "\u4e00",
)  # fmt: skip
MARKS = ("\u0300", "\u0345", "\u0483", "\u0488", "\u20e3", "\ufe0f", "\u1ab0", "\u3099", "\u093e")
SIGNS = (
    ".", "...", "!", "?!", "/", "//", "://", "-", "_", "__", "$", "+", "=", "^", "`", "~", "|", "<",
    ">", "{", "}", "();", "\\", "\"", "#", "@", "\u00ab", "\u3002", "\u20ac", "\u00a9", "\ufffd",
    "\ue000", "\u0378", "\U0010ffff", "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1eb\U0001f1f7", "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "1\ufe0f\u20e3",
)  # fmt: skip
SPECIAL = ("<|endoftext|>", "<|", "|>", "<s>", "</s>", "[INST]", "<|im_start|>", "<0x0A>", "\u2581")
PIECES = (SPACES, NO_SPACES, CONTRACTIONS, LETTERS, NUMBERS, MARKS, SIGNS, SPECIAL)

_RUNS = ("a", "A", " ", "\n", "\t", "\r\n", "1", ".", "'s", "\u4e2d", "\u0e01", "\U0001f600", "ab ",
         "\u0300", "\u00a0", "/", "\u180e", "x\n", "<|endoftext|>")  # fmt: skip
_RUN_LENGTHS = (2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, 255, 257, 1023)
_TRIED = (range(0x80, 0x3100), range(0xA640, 0xAC00), range(0xF900, 0x10000, 3),
          range(0x3100, 0x20000, 29), range(0x20000, 0x110000, 4001))  # fmt: skip
"""Code points beyond ASCII: all where tables of Unicode versions differ in what is common, some of
the others. gigatoken 0.10 has letters of Unicode 17 (U+088F, U+0C5C), tokenizers 0.23 has not."""
_STRINGS = 2000


def hostile_strings(count: int, special: Sequence[str] = (), first: int = 0) -> Iterator[str]:
    """`count` strings of 1 to 24 pieces; string i depends on i and on `special` alone.

    `special` are further literal texts to mix in, such as a tokenizer's own special tokens.
    """
    kinds = (*PIECES, tuple(special) or SPECIAL)
    for number in range(first, first + count):
        seed = number.to_bytes(8, "little")
        length = 1 + draw(0, "hostile length", seed) % 24
        parts = []
        for at in range(length):
            drawn = draw(at, "hostile piece", seed)
            pieces = kinds[drawn % len(kinds)]
            parts.append(pieces[(drawn >> 16) % len(pieces)])
        yield "".join(parts)


def special_texts(special: Sequence[str]) -> list[str]:
    """The text of each special token, alone and beside others."""
    around = list(itertools.product(("", " ", "a", "\n"), ("", " ", "b", "\n")))
    return [f"{before}{token}{after}" for token in special for before, after in around]


def hostile_corpus(special: Sequence[str] = ()) -> list[str]:
    """About 700 kB in about 5,000 texts: what every encoder must get right before it is used."""
    texts = ["", *map(chr, range(256)), *hostile_strings(_STRINGS, special)]
    texts += special_texts((*special, *SPECIAL))
    texts += [unit * length for unit in _RUNS for length in _RUN_LENGTHS]
    texts += [f"x{unit * 100}y {unit * 40}'s {unit * 3}1" for unit in _RUNS]
    texts += map("".join, itertools.product(SPACES[:12], NO_SPACES[:3], ("a", "'s")))
    before = (
        "a",
        "A",
        "\u0130",
        "\u01c5",
        "\u02b0",
        "\u4e2d",
        "\U00010400",
        "\u0300",
        "1",
        "!",
        " ",
    )
    after = ("", "'s", "'rE", "x", "X", " ", "1", "!", "\u0300")
    texts += map("".join, itertools.product(before, CONTRACTIONS, after))
    texts += list(_code_points())
    return texts


def _code_points() -> Iterator[str]:
    """Code points beside letters of both cases, digits, signs, spaces, newlines, contractions."""
    points = sorted(set(itertools.chain.from_iterable(_TRIED)))
    valid = [chr(point) for point in points if not 0xD800 <= point < 0xE000]
    for at in range(0, len(valid), 16):
        yield "".join(f"a{c}b {c}B1{c}.{c}'s\n{c}" for c in valid[at : at + 16])
