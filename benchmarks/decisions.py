"""Verdicts of ours and of a peer on the same texts: how many are equal, and why others are not.

A verdict is a reason, or None for a text that is kept. A difference is laid to the first cause
whose test it passes, and to `unexplained` where there is none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

Verdict = str | None
Cause = Callable[[int, str, Verdict, Verdict], str]
"""(number of the text, the text, verdict of ours, verdict of the peer) -> why they may differ."""
SHOWN = 12
"""Differences that the result names one by one, of each filter."""
UNEXPLAINED = "unexplained"

# Terminal punctuation of Unicode 18 that datatrove 0.10.1 does not have, or the other way round.
_OTHER_TERMINAL = """
    17D6 17D9-17DA 1B4E-1B4F 1B7F 2024 2CF9-2CFB 2E60-2E61 FE12 FE15-FE16 113D4-113D5 16D6E-16D6F
"""
_DUPLICATE_SIZES = range(5, 11)
_DUPLICATES = tuple(f"duplicate_{size}gram_ratio" for size in _DUPLICATE_SIZES)


def joined_verdict(text: str) -> Verdict:
    """The verdict on repeated runs whose words are joined without a space, as datatrove's are."""
    from pipeline.batch import split_words

    words = split_words(text)
    for size, bound in zip(_DUPLICATE_SIZES, (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), strict=True):
        seen: set[str] = set()
        chars = at = 0
        while at <= len(words) - size:
            run = "".join(words[at : at + size])
            chars += len(run) if run in seen else 0
            at += size if run in seen else 1
            seen.add(run)
        if chars / len(text) > bound:
            return f"duplicate_{size}gram_ratio"
    return None


@cache
def _ends_in_other_mark() -> re.Pattern[str]:
    from stages.counting import code_points

    marks = "".join(map(chr, code_points(_OTHER_TERMINAL)))
    return re.compile(rf"[{marks}](?:\n|\Z)")


def _found_by_joining(text: str, ours: Verdict, peer: Verdict) -> bool:
    """True if the peer's is a run that is one of several only where words are joined.

    All rules before those of duplicate runs count the same, so ours broke a later one or none.
    """
    if peer not in _DUPLICATES or peer != joined_verdict(text):
        return False
    return ours is None or ours in _DUPLICATES[_DUPLICATES.index(peer) + 1 :]


def datatrove_cause(name: str, text: str, ours: Verdict, peer: Verdict) -> str:
    """Why the verdicts of this filter on this text may differ from datatrove's with our words."""
    if peer == "empty" and ours is None and not text.strip():
        return "the peer has a reason `empty`; ours measures nothing of a blank text"
    if name == "c4_lines" and (ours, peer) == ("lorem_ipsum", "curly_bracket") and "{" in text:
        return "both are on the page: ours names lorem ipsum first, the peer what it reads first"
    punctuation = "line_punctuation_ratio" in (ours, peer)
    if name == "fineweb_quality" and punctuation and _ends_in_other_mark().search(text):
        return "terminal punctuation: Unicode 18 against the peer's list"
    if name == "gopher_repetition" and _found_by_joining(text, ours, peer):
        return "the peer joins the words of a run without a space: two runs can be one string"
    return UNEXPLAINED


def variant_cause(variants: Mapping[str, Sequence[Verdict]]) -> Cause:
    """A cause is what was changed in the peer when it gives our verdict; the first of them.

    `variants`: what was changed -> the peer's verdicts on all texts with that change alone, or with
    those before it too.
    """

    def cause(number: int, text: str, ours: Verdict, peer: Verdict) -> str:
        same = (what for what, found in variants.items() if found[number] == ours)
        return next(same, UNEXPLAINED)

    return cause


def compared(
    texts: Sequence[str], ours: Sequence[Verdict], peer: Sequence[Verdict], cause: Cause
) -> dict[str, Any]:
    """One filter's verdicts: how many are equal, what the others are laid to."""
    pairs = list(zip(ours, peer, strict=True))
    differing = [i for i, (a, b) in enumerate(pairs) if a != b]
    causes = Counter(cause(i, texts[i], *pairs[i]) for i in differing)
    return {
        "texts": len(pairs),
        "dropped_by_ours": sum(a is not None for a in ours),
        "dropped_by_peer": sum(b is not None for b in peer),
        "equal": len(pairs) - len(differing),
        "equal_ratio": round(1 - len(differing) / max(len(pairs), 1), 6),
        "same_fate": sum((a is None) == (b is None) for a, b in pairs),
        "causes": dict(causes.most_common()),
        "reasons": dict(Counter(filter(None, peer)).most_common()),
        "differences": [pairs[i] for i in differing[:SHOWN]],
    }


def compared_with_datatrove(
    texts: Sequence[str],
    ours: Mapping[str, Sequence[Verdict]],
    peer: Mapping[str, Sequence[Verdict]],
) -> dict[str, Any]:
    """By filter, with the causes of datatrove given our words and sentences."""

    def cause_of(name: str) -> Cause:
        return lambda _, text, mine, theirs: datatrove_cause(name, text, mine, theirs)

    return {name: compared(texts, ours[name], peer[name], cause_of(name)) for name in ours}
