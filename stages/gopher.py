"""Gopher's quality and repetition filters (Rae et al. 2021, appendix A.1).

Counting of the quality filter, as the paper says where it does:
- Words are those of DESIGN section 4 (runs of non-space characters; one a character in scripts
  without spaces), punctuation included; their length is in characters.
- A symbol is a `#` or an ellipsis (`...` or U+2026); each kind is held against the words on its own
  ("either"), the metric is the larger ratio.
- Lines are those that are not blank. A bullet line starts, after spaces, with one of `•●-*`; an
  ellipsis line ends, before spaces, in an ellipsis.
- Stop words are distinct ones, in lower case and with punctuation around them cut off.

Counting of the repetition filter is datatrove's (`GopherRepetitionFilter`), with our words in place
of its spaCy or NLTK tokens: the second and later copies of a line (split at runs of newlines) or
paragraph (at two or more) count; all characters are held against `len(text)`, spaces included;
duplicate n-grams are found greedily from the left and do not overlap; the top n-gram counts even if
it occurs once (`min_top_count`), so a text of a few words is repetitive by definition: put the
quality filter, which drops it as too short, first.

A text without words or lines has null ratios: not measured, no rule broken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pipeline.stage import Filter, Page, Rule, Rules, at_least, at_most, between, knob

_PAPER = "Gopher paper (Rae et al. 2021), appendix A.1"
_ELLIPSES = ("...", "…")
_BULLETS = ("•", "●", "-", "*")
_AROUND_WORD = re.compile(r"^\W+|\W+$")
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True)
class GopherQuality(Filter):
    """Drops documents whose words and lines do not look like prose."""

    min_words: int = knob(50, unit="words", source=_PAPER, minimum=0)
    max_words: int = knob(100_000, unit="words", source=_PAPER, minimum=0)
    min_mean_word_length: float = knob(3, unit="characters", source=_PAPER, minimum=0)
    max_mean_word_length: float = knob(10, unit="characters", source=_PAPER, minimum=0)
    max_symbol_word_ratio: float = knob(0.1, unit="ratio", source=_PAPER, minimum=0)
    max_bullet_line_ratio: float = knob(0.9, unit="ratio", source=_PAPER, minimum=0, maximum=1)
    max_ellipsis_line_ratio: float = knob(0.3, unit="ratio", source=_PAPER, minimum=0, maximum=1)
    min_alpha_word_ratio: float = knob(0.8, unit="ratio", source=_PAPER, minimum=0, maximum=1)
    min_stop_words: int = knob(2, unit="distinct words", source=_PAPER, minimum=0)
    stop_words: tuple[str, ...] = knob(STOP_WORDS, unit="words", source=_PAPER)

    metrics: ClassVar[Mapping[str, type]] = {"word_count": int, "stop_word_count": int}

    def check(self) -> None:
        if len(set(self.stop_words)) < self.min_stop_words:
            raise ValueError(
                f"min_stop_words is {self.min_stop_words}, but stop_words names only "
                f"{len(set(self.stop_words))}"
            )

    def rules(self) -> Rules:
        return (
            between("word_count", self.min_words, self.max_words),
            between("mean_word_length", self.min_mean_word_length, self.max_mean_word_length),
            at_most("symbol_word_ratio", self.max_symbol_word_ratio),
            at_most("bullet_line_ratio", self.max_bullet_line_ratio),
            at_most("ellipsis_line_ratio", self.max_ellipsis_line_ratio),
            at_least("alpha_word_ratio", self.min_alpha_word_ratio),
            at_least("stop_word_count", self.min_stop_words),
        )

    def measure(self, page: Page) -> dict[str, Any]:
        words, text = page.words, page.text
        lines = [line.strip() for line in page.lines if line.strip()]
        hashes = text.count("#")
        ellipses = sum(text.count(mark) for mark in _ELLIPSES)
        distinct = {_AROUND_WORD.sub("", word.lower()) for word in set(words)}
        return {
            "word_count": len(words),
            "mean_word_length": _ratio(sum(map(len, words)), len(words)),
            "symbol_word_ratio": _ratio(max(hashes, ellipses), len(words)),
            "bullet_line_ratio": _ratio(
                sum(line.startswith(_BULLETS) for line in lines), len(lines)
            ),
            "ellipsis_line_ratio": _ratio(
                sum(line.endswith(_ELLIPSES) for line in lines), len(lines)
            ),
            "alpha_word_ratio": _ratio(
                sum(any(map(str.isalpha, word)) for word in words), len(words)
            ),
            "stop_word_count": len(distinct.intersection(self.stop_words)),
        }


_PARAGRAPH_BREAK = re.compile(r"\n{2,}")
_LINE_BREAK = re.compile(r"\n+")
_TOP_SIZES = (2, 3, 4)
_DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)


def _repeats(parts: Iterable[str]) -> tuple[int, int]:
    """Number and characters of the parts that are not the first of their kind."""
    seen: set[str] = set()
    count = chars = 0
    for part in parts:
        if part in seen:
            count += 1
            chars += len(part)
        else:
            seen.add(part)
    return count, chars


def top_ngram_chars(words: Sequence[str], size: int, min_count: int) -> int:
    """Characters, spaces included, in all copies of the most frequent n-gram (first on a tie)."""
    counts = Counter(" ".join(words[i : i + size]) for i in range(len(words) - size + 1))
    if not counts:
        return 0
    ngram, count = max(counts.items(), key=lambda pair: pair[1])
    return len(ngram) * count if count >= min_count else 0


def duplicate_ngram_chars(words: Sequence[str], size: int) -> int:
    """Characters of words in n-grams that occurred before; found greedily, never overlapping."""
    seen: set[tuple[str, ...]] = set()
    chars = at = 0
    while at <= len(words) - size:
        ngram = tuple(words[at : at + size])
        if ngram in seen:
            chars += sum(map(len, ngram))
            at += size
        else:
            seen.add(ngram)
            at += 1
    return chars


@dataclass(frozen=True)
class GopherRepetition(Filter):
    """Drops documents that repeat lines, paragraphs or runs of words."""

    max_duplicate_line_ratio: float = knob(0.30, unit="ratio", source=_PAPER)
    max_duplicate_paragraph_ratio: float = knob(0.30, unit="ratio", source=_PAPER)
    max_duplicate_line_char_ratio: float = knob(0.20, unit="ratio", source=_PAPER)
    max_duplicate_paragraph_char_ratio: float = knob(0.20, unit="ratio", source=_PAPER)
    max_top_2gram_ratio: float = knob(0.20, unit="ratio", source=_PAPER)
    max_top_3gram_ratio: float = knob(0.18, unit="ratio", source=_PAPER)
    max_top_4gram_ratio: float = knob(0.16, unit="ratio", source=_PAPER)
    max_duplicate_5gram_ratio: float = knob(0.15, unit="ratio", source=_PAPER)
    max_duplicate_6gram_ratio: float = knob(0.14, unit="ratio", source=_PAPER)
    max_duplicate_7gram_ratio: float = knob(0.13, unit="ratio", source=_PAPER)
    max_duplicate_8gram_ratio: float = knob(0.12, unit="ratio", source=_PAPER)
    max_duplicate_9gram_ratio: float = knob(0.11, unit="ratio", source=_PAPER)
    max_duplicate_10gram_ratio: float = knob(0.10, unit="ratio", source=_PAPER)
    min_top_count: int = knob(
        1,
        unit="copies",
        source="datatrove GopherRepetitionFilter: a single copy counts; 2 = only what repeats",
        minimum=1,
    )

    def rules(self) -> Rules:
        names = (
            "duplicate_line_ratio",
            "duplicate_paragraph_ratio",
            "duplicate_line_char_ratio",
            "duplicate_paragraph_char_ratio",
            *(f"top_{n}gram_ratio" for n in _TOP_SIZES),
            *(f"duplicate_{n}gram_ratio" for n in _DUPLICATE_SIZES),
        )
        return tuple(Rule(name, None, getattr(self, f"max_{name}"), name) for name in names)

    def measure(self, page: Page) -> dict[str, float | None]:
        text, words = page.text, page.words
        if not text:
            return {rule.metric: None for rule in self.rules()}
        paragraphs = _PARAGRAPH_BREAK.split(text.strip())
        lines = _LINE_BREAK.split(text)
        same_paragraphs, paragraph_chars = _repeats(paragraphs)
        same_lines, line_chars = _repeats(lines)
        whole = len(text)
        return {
            "duplicate_line_ratio": same_lines / len(lines),
            "duplicate_paragraph_ratio": same_paragraphs / len(paragraphs),
            "duplicate_line_char_ratio": line_chars / whole,
            "duplicate_paragraph_char_ratio": paragraph_chars / whole,
            **{
                f"top_{n}gram_ratio": top_ngram_chars(words, n, self.min_top_count) / whole
                for n in _TOP_SIZES
            },
            **{
                f"duplicate_{n}gram_ratio": duplicate_ngram_chars(words, n) / whole
                for n in _DUPLICATE_SIZES
            },
        }
