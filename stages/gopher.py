"""Gopher's quality and repetition filters (Rae et al. 2021, appendix A.1).

Counting of the quality filter, as the paper says where it does:
- Words are those of DESIGN section 4 (runs of non-space characters; one a character in scripts
  without spaces), punctuation included; their length is in characters.
- A symbol is a `#` or an ellipsis (`...` or U+2026); each kind is held against the words on its own
  ("either"), the metric is the larger ratio.
- Lines are those that are not blank. A bullet line starts, after spaces, with one of `•●-*`; an
  ellipsis line ends, before spaces, in an ellipsis.
- Stop words are distinct ones, in lower case and with punctuation around them cut off.

Counting of the repetition filter is, by default, as datatrove's (`GopherRepetitionFilter`), with
our words in place of its spaCy or NLTK tokens: the second and later copies of a line (split at runs
of newlines) or paragraph (at two or more) count; all characters are held against `len(text)`,
spaces included; duplicate n-grams are found greedily from the left and do not overlap; the top
n-gram counts even if it occurs once (`min_top_count`), so a text of a few words is repetitive by
definition: put the quality filter, which drops it as too short, first.

`counting` counts as one of the public pipelines does (`stages.counting` has the table). The default
is `paper`: what the appendix says wherever it says anything, and no choice of one pipeline's code.
It asks for a ratio "for either the hash symbol or the ellipsis", so not their sum; for two of the
eight words, so distinct ones, and a capital or a comma at a word makes it no other word; for lines,
and a blank line is none. Where it is silent (which copies of a line count) the later copies alone
do: without them the page says the same, so theirs is the share that repeats. Its table of rules
names lines before paragraphs.

A text without words or lines has null ratios: not measured, no rule broken.

With `per_language: true` the bounds on word length, words with letters, repeated lines and n-grams
are those of the document's language in FineWeb-2 (`stages.limits`), and stop words are that
language's; languages without a row keep the knobs. The rest of FineWeb-2's recipe are knobs:
the three other ratios of `gopher_repetition` (`max_duplicate_paragraph_ratio`,
`max_duplicate_line_char_ratio`, `max_duplicate_paragraph_char_ratio`) at 1, and of
`fineweb_quality` `max_short_line_ratio: 1`, `max_duplicate_line_char_ratio: 0.1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from pipeline.stage import Rule, Rules, TextBatch, at_least, at_most, between, knob
from stages.counting import (
    BULLETS,
    COUNTING,
    DUPLICATE_SIZES,
    SOURCES,
    TOP_SIZES,
    copied_measures,
    quality_measures,
    stop_words_as_counted,
)
from stages.limits.by_language import ByLanguage
from stages.limits.stop_words import PACKAGE, stop_word_counts
from stages.measures import batch_word_counts, ratio

if TYPE_CHECKING:
    from stages.kernels.words import WordSet

_PAPER = "Gopher paper (Rae et al. 2021), appendix A.1"
_COUNTING_SOURCE = f"{_PAPER}; others: {SOURCES}"
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


@lru_cache(maxsize=16)
def _stop_word_set(words: tuple[str, ...]) -> WordSet:
    from stages.kernels.words import word_set

    return word_set(words)


@dataclass(frozen=True)
class GopherQuality(ByLanguage):
    """Drops documents whose words and lines do not look like prose.

    2: a word of `counting: dclm` begins with a letter or digit; before, it held one or a `_`.
    """

    version = 2

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
    counting: Literal["paper", "datatrove", "dclm", "dolma"] = knob(
        "paper", unit="whose counts", source=_COUNTING_SOURCE, choices=COUNTING
    )

    metrics: ClassVar[Mapping[str, type]] = {"word_count": int, "stop_word_count": int}

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """The package of the stop words counts only where its lists are used."""
        return (PACKAGE,) if self.per_language and self.thresholds is None else ()

    def check(self) -> None:
        super().check()
        if len(set(self.stop_words)) < self.min_stop_words:
            raise ValueError(
                f"min_stop_words is {self.min_stop_words}, but stop_words names only "
                f"{len(set(self.stop_words))}"
            )

    def plain_rules(self) -> Rules:
        return (
            between("word_count", self.min_words, self.max_words),
            between("mean_word_length", self.min_mean_word_length, self.max_mean_word_length),
            at_most("symbol_word_ratio", self.max_symbol_word_ratio),
            at_most("bullet_line_ratio", self.max_bullet_line_ratio),
            at_most("ellipsis_line_ratio", self.max_ellipsis_line_ratio),
            at_least("alpha_word_ratio", self.min_alpha_word_ratio),
            at_least("stop_word_count", self.min_stop_words),
        )

    def measure_plain(self, batch: TextBatch) -> dict[str, Any]:
        from stages.kernels.lines import mark_counts

        if self.counting != "paper":
            counted = quality_measures(batch, self.counting)
            return {**counted, "stop_word_count": self._stop_word_counts(batch)}
        texts, words = batch.column("text"), batch_word_counts(batch)
        marks = mark_counts(texts, BULLETS["paper"])
        return {
            "word_count": words["words"],
            "mean_word_length": ratio(words["word_chars"], words["words"]),
            "symbol_word_ratio": ratio(
                np.maximum(marks["hashes"], marks["ellipses"]), words["words"]
            ),
            "bullet_line_ratio": ratio(marks["bullet_lines"], marks["lines"]),
            "ellipsis_line_ratio": ratio(marks["ellipsis_lines"], marks["lines"]),
            "alpha_word_ratio": ratio(words["alpha_words"], words["words"]),
            "stop_word_count": self._stop_word_counts(batch),
        }

    def _stop_word_counts(self, batch: TextBatch) -> Any:
        from stages.kernels.words import distinct_words_of

        if self.per_language:
            return stop_word_counts(batch, self.thresholds, self.stop_words)
        if self.counting != "paper":
            return stop_words_as_counted(batch, _stop_word_set(self.stop_words), self.counting)
        return distinct_words_of(batch.column("text"), _stop_word_set(self.stop_words))


@dataclass(frozen=True)
class GopherRepetition(ByLanguage):
    """Drops documents that repeat lines, paragraphs or runs of words.

    2: a word of `counting: dclm` begins with a letter or digit; before, it held one or a `_`.
    """

    version = 2

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
    counting: Literal["paper", "datatrove", "dclm", "dolma"] = knob(
        "paper", unit="whose counts", source=_COUNTING_SOURCE, choices=COUNTING
    )

    def check(self) -> None:
        super().check()
        if self.min_top_count != 1 and self.counting in ("dclm", "dolma"):
            raise ValueError(f"`min_top_count` is not for `counting: {self.counting}`")

    def plain_rules(self) -> Rules:
        lines = ("duplicate_line_ratio", "duplicate_line_char_ratio")
        paragraphs = ("duplicate_paragraph_ratio", "duplicate_paragraph_char_ratio")
        first = (
            (*paragraphs, *lines)
            if self.counting == "datatrove"
            else (lines[0], paragraphs[0], lines[1], paragraphs[1])
        )
        names = (
            *first,
            *(f"top_{n}gram_ratio" for n in TOP_SIZES),
            *(f"duplicate_{n}gram_ratio" for n in DUPLICATE_SIZES),
        )
        return tuple(Rule(name, None, getattr(self, f"max_{name}"), name) for name in names)

    def measure_plain(self, batch: TextBatch) -> dict[str, Any]:
        from stages.kernels.repetition import repetition_counts

        if self.counting in ("dclm", "dolma"):
            return copied_measures(batch, self.counting)
        found = repetition_counts(batch.column("text"), self.min_top_count)
        whole = found["chars"]
        return {
            "duplicate_line_ratio": ratio(found["duplicate_lines"], found["lines"]),
            "duplicate_paragraph_ratio": ratio(found["duplicate_paragraphs"], found["paragraphs"]),
            "duplicate_line_char_ratio": ratio(found["duplicate_line_chars"], whole),
            "duplicate_paragraph_char_ratio": ratio(found["duplicate_paragraph_chars"], whole),
            **{f"top_{n}gram_ratio": ratio(found[f"top_{n}gram_chars"], whole) for n in TOP_SIZES},
            **{
                f"duplicate_{n}gram_ratio": ratio(found[f"duplicate_{n}gram_chars"], whole)
                for n in DUPLICATE_SIZES
            },
        }
