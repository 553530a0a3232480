"""What public versions of Gopher's filters count, as a reader of their code would write it.

Each function names the code that it restates, with `split_words` for its words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from statistics import median
from typing import Any

from slow_measures import ratio

from pipeline.batch import split_words
from stages.counting import DATATROVE_PUNCTUATION


def share(lines: Sequence[str], good: Sequence[bool]) -> float | None:
    return ratio(sum(good), len(lines))


def datatrove_quality(text: str, stop_words: Collection[str]) -> Mapping[str, Any]:
    """datatrove, gopher_quality_filter.py."""
    words = split_words(text)
    solid = [w for w in words if any(c not in DATATROVE_PUNCTUATION for c in w)]
    lines = text.splitlines()
    ellipses = text.count("...") + text.count("…")
    return {
        "word_count": len(solid),
        "mean_word_length": ratio(sum(map(len, solid)), len(solid)),
        "symbol_word_ratio": ratio(max(text.count("#"), ellipses), len(words)),
        "bullet_line_ratio": share(lines, [s.lstrip().startswith(("•", "-")) for s in lines]),
        "ellipsis_line_ratio": share(lines, [s.rstrip().endswith(("...", "…")) for s in lines]),
        "alpha_word_ratio": ratio(sum(any(map(str.isalpha, w)) for w in words), len(words)),
        "stop_word_count": len(set(stop_words) & set(words)),
    }


def dclm_quality(text: str, stop_words: Collection[str]) -> Mapping[str, Any]:
    """DCLM, content_filters.py."""
    words = split_words(text)
    lines = [line for part in text.split("\n") if (line := part.strip())]
    symbols = sum(text.count(mark) for mark in ("#", "...", ". . .", "…"))
    lower = ["".join(c.lower() for c in word) for word in words]
    return {
        "word_count": sum(w[0].isalnum() for w in words),
        "mean_word_length": ratio(sum(map(len, words)), len(words)),
        "symbol_word_ratio": ratio(symbols, len(words)),
        "bullet_line_ratio": share(lines, [s.startswith(("●", "•", "*", "-")) for s in lines]),
        "ellipsis_line_ratio": share(lines, [s.endswith(("...", ". . .", "…")) for s in lines]),
        "alpha_word_ratio": ratio(sum(any(map(str.isalpha, w)) for w in words), len(words)),
        "stop_word_count": sum(word in stop_words for word in lower),
    }


def dolma_quality(text: str, stop_words: Collection[str]) -> Mapping[str, Any]:
    """Dolma, taggers/gopher.py (gopher_v1)."""
    words = split_words(text)
    lines = text.split("\n") if text else []
    return {
        "word_count": len(words),
        "mean_word_length": median(map(len, words)) if words else None,
        "symbol_word_ratio": ratio(sum("#" in w or "…" in w for w in words), len(words)),
        "bullet_line_ratio": share(lines, [line.startswith(("*", "-")) for line in lines]),
        "ellipsis_line_ratio": share(lines, [line.endswith("…") for line in lines]),
        "alpha_word_ratio": ratio(sum(any(map(str.isalpha, w)) for w in words), len(words)),
        "stop_word_count": sum(word in stop_words for word in words),
    }


def ngrams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[i:] for i in range(size)), strict=False))


def length(parts: Collection[str]) -> int:
    return sum(map(len, parts))


def copied(parts: Sequence[str]) -> tuple[int, int]:
    """Number and characters of the parts that are not alone."""
    counts = Counter(parts)
    found = [part for part in parts if counts[part] > 1]
    return len(found), length(found)


def dclm_repetition(text: str) -> Mapping[str, float | None]:
    """DCLM, repetition_filter; a page with one segment is kept, which is null here."""
    found: dict[str, float | None] = {}
    for name, separator in (("line", "\n"), ("paragraph", "\n\n")):
        parts = [p for part in text.split(separator) if (p := part.strip())]
        count, chars = copied(parts)
        several = len(parts) > 1
        found[f"duplicate_{name}_ratio"] = count / len(parts) if several else None
        found[f"duplicate_{name}_char_ratio"] = chars / length(parts) if several else None
    words = [w for w in split_words(text) if w[0].isalnum()]
    for size in (2, 3, 4):
        counts = Counter(ngrams(words, size))
        most = max(counts.values(), default=1)
        longest = max((length(n) for n, c in counts.items() if c == most), default=0)
        found[f"top_{size}gram_ratio"] = ratio(longest * most if most > 1 else 0, length(words))
    for size in range(5, 11):
        runs = ngrams(words, size)
        counts = Counter(runs)
        covered = {at + k for at, run in enumerate(runs) if counts[run] > 1 for k in range(size)}
        chars = length([words[at] for at in covered])
        found[f"duplicate_{size}gram_ratio"] = ratio(chars, length(words))
    return found


def dolma_repetition(text: str) -> Mapping[str, float | None]:
    """Dolma, taggers/gopher.py (gopher_v1); it has no paragraphs."""
    found: dict[str, float | None] = {
        "duplicate_paragraph_ratio": None,
        "duplicate_paragraph_char_ratio": None,
    }
    words, lines = split_words(text), text.split("\n") if text else []
    count, chars = copied(lines)
    found["duplicate_line_ratio"] = ratio(count, len(lines))
    found["duplicate_line_char_ratio"] = ratio(chars, length(words))
    for size in (2, 3, 4):
        top = Counter(ngrams(words, size)).most_common(1)
        value = top[0][1] * length(top[0][0]) if top else 0
        found[f"top_{size}gram_ratio"] = ratio(value, length(words))
    for size in range(5, 11):
        counts = Counter(ngrams(words, size))
        every = sum(count * length(run) for run, count in counts.items())
        again = sum(count * length(run) for run, count in counts.items() if count > 1)
        found[f"duplicate_{size}gram_ratio"] = ratio(again, every)
    return found
