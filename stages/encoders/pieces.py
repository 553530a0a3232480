"""Cuts of a long text at which its ids do not change, so that it is encoded in bounded memory.

A byte-level BPE merges inside the pieces of a pre-tokenisation regex. A cut is harmless where the
regex always ends a piece and looks neither back nor ahead: between a letter or digit, and an ASCII
character that is neither and no apostrophe, or a CJK comma or full stop. In the GPT-2, GPT-4,
Llama-3 and o200k patterns no alternative goes on from a letter or digit to such a character (only
a contraction's apostrophe follows letters), `(?!\\S)` is asked behind white space alone, and
nothing looks back.

For other regexes that is not argued but tried: `cuts_are_harmless` compares the pieces of a corpus
that is cut wherever it may be. Without a regex, with a normaliser or with added plain tokens (which
are found across any cut) a text is never cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from stages.encoders.source import Source

_CUT = re.compile(
    rb"(?:[0-9A-Za-z]|[\xe5-\xe8\xeb\xec][\x80-\xbf]{2}|\xe3\x81[\x81-\xbf]|\xd0[\x90-\xbf])"
    rb"(?=[\x00-&(-/:-@\[-`{-\x7f]|\xe3\x80[\x81\x82]|\xef\xbc\x8c)"
)
"""Before the cut: ASCII, Han or Hangul of U+5000 to 8FFF and B000 to CFFF, Hiragana, Cyrillic."""


def pieces(text: Any, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of a UTF-8 buffer that end at the first harmless cut at or after `size` bytes.

    A text without such a cut is one range, however long.
    """
    start, end = 0, len(text)
    while end - start > size:
        found = _CUT.search(text, max(start + size - 3, start))
        if found is None or found.end() >= end:
            break
        yield start, found.end()
        start = found.end()
    if start < end or not end:
        yield start, end


def cuts_are_harmless(source: Source, tokenizer: Any, corpus: Sequence[str]) -> bool:
    """True if all texts of the corpus, cut wherever they may be, fall into the same pieces."""
    plain = [token for token in source.added if not token["special"]]
    if source.pattern is None or source.raw.get("normalizer") or plain:
        return False

    def pretokens(text: str) -> list[str]:
        return [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]

    for text in corpus:
        data = text.encode()
        parts = [data[a:b].decode() for a, b in pieces(data, 1)]
        if len(parts) > 1 and pretokens(text) != [p for part in parts for p in pretokens(part)]:
            return False
    return True
