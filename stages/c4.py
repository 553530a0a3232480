"""C4's cleaning, after `clean_page` of tensorflow_datasets (`text/c4_utils.py`, as of 2024-2026).

Line rules, in that code's order, on the stripped line: a word too long; citations are cut out; no
end mark, or an ellipsis; too few words; "lorem ipsum" condemns the page; "javascript"; `{` condemns
the page; a policy phrase. The order matters: `{` on a line that an earlier rule removed does not
condemn the page, and `{` on a policy line does.

The T5 paper says 3 words a line and 5 sentences a page; the code that made C4 says 5 and 3.

Differences from that code:
- Sentences are counted by `stages.kernels.sentences`, not by NLTK's trained Punkt model: the same
  for plain prose, different at abbreviations that are not in our list.
- A condemned page is measured to its end, so that all its metrics are known; where a page breaks
  several page rules, the reason is the first of: too long, lorem ipsum, `{`, sentences. There it is
  the first in reading order.
- Word lists, line deduplication and language detection are steps of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pipeline.stage import (
    Filter,
    Processed,
    Rules,
    Side,
    TextBatch,
    TextMap,
    at_least,
    at_most,
    knob,
)

_CITATIONS = ("[edit]", "[citation needed]")
"""Cut out of lines, and numbers in brackets and empty brackets."""
_FAULTS = {
    "lorem ipsum": "lorem_ipsum",
    "javascript": "lines_javascript",
    "{": "curly_brackets",
    "terms of use": "lines_policy",
    "privacy policy": "lines_policy",
    "cookie policy": "lines_policy",
    "uses cookies": "lines_policy",
    "use of cookies": "lines_policy",
    "use cookies": "lines_policy",
}
"""What a line may not hold, whatever its case -> the metric that counts it. The first decides."""
_LINE_METRICS = (
    "lines",
    "lines_kept",
    "lines_long_word",
    "lines_no_end_mark",
    "lines_too_short",
    "lines_javascript",
    "lines_policy",
)


@dataclass(frozen=True)
class C4Lines(TextMap):
    """Keeps C4's good lines; drops pages with bad signs or too few sentences left."""

    min_words_per_line: int = knob(
        5, unit="words", source="tfds c4_utils: 5 (T5 paper, section 2.2: 3)", minimum=0
    )
    min_sentences: int = knob(
        3, unit="sentences", source="tfds c4_utils: 3 (T5 paper, section 2.2: 5)", minimum=0
    )
    max_word_chars: int = knob(1000, unit="characters", source="tfds c4_utils", minimum=1)
    max_page_chars: int = knob(
        190_000, unit="characters", source="tfds c4_utils is_valid_length", minimum=1
    )
    end_marks: tuple[str, ...] = knob(
        (".", "?", "!", '"'),
        unit="line ends",
        source="tfds c4_utils (datatrove adds '; FineWeb has no such rule: an empty list)",
    )

    compiles: ClassVar[bool] = True
    metrics: ClassVar[Mapping[str, type]] = {
        **dict.fromkeys(("chars", "lorem_ipsum", "curly_brackets", "sentences"), int),
        **dict.fromkeys(_LINE_METRICS, int),
    }

    def rules(self) -> Rules:
        return (
            at_most("chars", self.max_page_chars, name="too_long"),
            at_most("lorem_ipsum", 0, name="lorem_ipsum"),
            at_most("curly_brackets", 0, name="curly_bracket"),
            at_least("sentences", self.min_sentences, name="too_few_sentences"),
        )

    def process(self, batch: TextBatch, side: Side) -> Processed:
        from stages.kernels.clean_lines import clean_lines

        texts, counts = clean_lines(
            batch.column("text"),
            _FAULTS,
            _CITATIONS,
            self.end_marks,
            self.min_words_per_line,
            self.max_word_chars,
        )
        return Processed({"text": texts}, counts)


@dataclass(frozen=True)
class C4Sentences(Filter):
    """Drops documents with too few sentences, as C4 does again after its line deduplication."""

    min_sentences: int = knob(
        3, unit="sentences", source="tfds c4_utils: 3 (T5 paper, section 2.2: 5)", minimum=0
    )

    compiles: ClassVar[bool] = True
    metrics: ClassVar[Mapping[str, type]] = {"sentences": int}

    def measure_batch(self, batch: TextBatch) -> dict[str, Any]:
        from stages.kernels.sentences import sentence_counts

        return {"sentences": sentence_counts(batch.column("text"), newlines_only=False)}

    def rules(self) -> Rules:
        return (at_least("sentences", self.min_sentences, name="too_few_sentences"),)


@dataclass(frozen=True)
class C4Paragraphs(Filter):
    """mC4's page filter: enough lines that are as long as a paragraph."""

    min_paragraphs: int = knob(
        3, unit="lines", source="tfds c4_utils paragraph_filter (mC4)", minimum=0
    )
    min_paragraph_chars: int = knob(
        200, unit="characters", source="tfds c4_utils paragraph_filter (mC4)", minimum=0
    )

    compiles: ClassVar[bool] = True
    metrics: ClassVar[Mapping[str, type]] = {"long_lines": int}

    def measure_batch(self, batch: TextBatch) -> dict[str, Any]:
        from stages.kernels.lines import long_line_counts

        return {"long_lines": long_line_counts(batch.column("text"), self.min_paragraph_chars)}

    def rules(self) -> Rules:
        return (at_least("long_lines", self.min_paragraphs, name="too_few_paragraphs"),)
