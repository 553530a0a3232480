"""MADLAD-400's questionable sentences and Dolma's endless repetitions.

`madlad_sentences` is Kudugunta et al. 2023 (arXiv:2309.04662), section 2.3, as `datamap-rs` has it
(allenai/datamap-rs f771794, `Madlad400SentenceAnnotator`): a document with too few sentences, or
more than a fifth of them questionable, is dropped. Sentences end at `.!?` before white space.
`rules` names what makes one questionable: `list_case` (2 there), `length` (3), `technical` (4),
`cursed` (5: holds a string of a list that you give). Dolma's all-dressed recipe takes 2 and 5.

Differences: `list_case` counts our words that hold a letter or digit, not Unicode word bounds;
lengths are in characters, there in bytes; rule 1 (the sentence's language) is not here, `language:
{level: paragraph}` is; the last four lines of the published list are regular expressions, here
every line is a plain string.

`repetitions` drops documents in which a string is repeated many times without anything between, as
Dolma v1.6's mixer does (`tokenizer_repetitions_v2r2`, 100 or more). There the string is 1 to 13
tokens of a tokenizer, here 1 to 13 characters; and white space alone is no string.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pipeline.batch import split_words
from pipeline.errors import InputError
from pipeline.stage import Filter, Page, Rules, at_least, at_most, knob, model_file

_SOURCE = "allenai/datamap-rs f771794, madlad400_sentence_annotator"
_DOLMA = "allenai/dolma 669f534, configs/dolma-v1_6/mixing/cc-head.yaml and taggers/repetitions"
_SENTENCE_END = re.compile(r"[.!?]+\s+")
_TECHNICAL = re.compile(r"[0-9{}+/()>]")
_WORD = re.compile(r"\w")
SENTENCE_RULES = ("list_case", "length", "technical", "cursed")


@dataclass(frozen=True)
class MadladSentences(Filter):
    """Drops documents of which too many sentences are questionable."""

    sentence_rules: tuple[str, ...] = knob(
        ("list_case",),
        unit="list_case, length, technical, cursed",
        source=f"{_SOURCE}; all-dressed: 2 and 5, of which 5 needs a list",
    )
    cursed: str | None = model_file(
        None, source=_SOURCE, help="file of strings, one a line, for the rule `cursed`"
    )
    min_sentences: int = knob(5, unit="sentences", source=_SOURCE, minimum=0)
    max_questionable_ratio: float = knob(0.2, unit="ratio", source=_SOURCE, minimum=0, maximum=1)
    max_capital_ratio: float = knob(
        0.5, unit="ratio of a sentence's words", source=_SOURCE, minimum=0, maximum=1
    )
    min_capital_words: int = knob(
        12, unit="words; shorter sentences have no list case", source=_SOURCE, minimum=0
    )
    min_sentence_chars: int = knob(20, unit="characters", source=_SOURCE, minimum=0)
    max_sentence_chars: int = knob(500, unit="characters", source=_SOURCE, minimum=0)
    max_technical_ratio: float = knob(
        0.2, unit="ratio of a sentence's characters", source=_SOURCE, minimum=0, maximum=1
    )

    metrics: ClassVar[Mapping[str, type]] = {"sentences": int, "questionable_sentences": int}

    def check(self) -> None:
        if unknown := set(self.sentence_rules) - set(SENTENCE_RULES):
            raise ValueError(
                f"sentence_rules: {sorted(unknown)} are none; there are {', '.join(SENTENCE_RULES)}"
            )
        if ("cursed" in self.sentence_rules) != (self.cursed is not None):
            raise ValueError("the sentence rule `cursed` and the file `cursed` go together")

    def rules(self) -> Rules:
        return (
            at_least("sentences", self.min_sentences, name="too_few_sentences"),
            at_most(
                "questionable_ratio", self.max_questionable_ratio, name="questionable_sentences"
            ),
        )

    @cached_property
    def _cursed(self) -> re.Pattern[str] | None:
        if self.cursed is None:
            return None
        strings = [line for line in Path(self.cursed).read_text("utf-8").splitlines() if line]
        if not strings:
            raise InputError(f"cursed: '{self.cursed}' has no strings. Expected one a line.")
        return re.compile("|".join(map(re.escape, strings)))

    def questionable(self, sentence: str) -> bool:
        """True if any of the rules holds of the sentence."""
        chosen = self.sentence_rules
        if "list_case" in chosen and self._list_case(sentence):
            return True
        size = len(sentence)
        if "length" in chosen and not self.min_sentence_chars <= size <= self.max_sentence_chars:
            return True
        technical = len(_TECHNICAL.findall(sentence)) if "technical" in chosen else 0
        if technical > self.max_technical_ratio * size:
            return True
        return self._cursed is not None and self._cursed.search(sentence) is not None

    def _list_case(self, sentence: str) -> bool:
        words = [word for word in split_words(sentence) if _WORD.search(word)]
        if len(words) < self.min_capital_words:
            return False
        capitals = sum(word.lstrip("\"'“‘«([")[:1].isupper() for word in words)
        return capitals > self.max_capital_ratio * len(words)

    def measure(self, page: Page) -> dict[str, Any]:
        sentences = [part for part in _SENTENCE_END.split(page.text) if part.strip()]
        bad = sum(map(self.questionable, sentences))
        ratio = bad / len(sentences) if sentences else None
        return {
            "sentences": len(sentences),
            "questionable_sentences": bad,
            "questionable_ratio": ratio,
        }


@dataclass(frozen=True)
class Repetitions(Filter):
    """Drops documents in which a short string is repeated on and on."""

    max_period: int = knob(13, unit="characters", source=f"{_DOLMA}: 13 tokens", minimum=1)
    max_repetitions: int = knob(99, unit="copies in a row", source=_DOLMA, minimum=1)

    metrics: ClassVar[Mapping[str, type]] = {"repetitions": int}

    def rules(self) -> Rules:
        return (at_most("repetitions", self.max_repetitions, name="repetitions"),)

    def measure(self, page: Page) -> dict[str, Any]:
        return {"repetitions": most_repetitions(page.text, self.max_period)}


def most_repetitions(text: str, max_period: int) -> int:
    """The most copies in a row of any string of 1 to `max_period` characters; white space is none.

    1 where nothing repeats, 0 without characters.
    """
    codes = np.frombuffer(re.sub(r"\s+", "", text).encode("utf-32-le", "replace"), np.uint32)
    most = min(len(codes), 1)
    for period in range(1, min(max_period, len(codes) - 1) + 1):
        differ = np.flatnonzero(codes[period:] != codes[:-period])
        runs = np.diff(differ, prepend=-1, append=len(codes) - period) - 1
        most = max(most, int(runs.max()) // period + 1)
    return most
