r"""C4's cleaning, after `clean_page` of tensorflow_datasets (`text/c4_utils.py`, as of 2024-2026).

Line rules, in that code's order, on the stripped line: a word too long; citations are cut out; no
end mark, or an ellipsis; too few words; "lorem ipsum" condemns the page; "javascript"; `{` condemns
the page; a policy phrase. The order matters: `{` on a line that an earlier rule removed does not
condemn the page, and `{` on a policy line does.

The T5 paper says 3 words a line and 5 sentences a page; the code that made C4 says 5 and 3.

`counting` follows another pipeline where it reads a line differently (recipes 2a); bounds are knobs
of their own, so a copy of it sets them too:
- `tfds`, the default, is the code that made C4.
- `datatrove`: a line's words are counted before its citations are cut. Its bounds are 3 words and 5
  sentences, no bound on the page, and `'` among the end marks (FineWeb: no end marks).
- `dolma` (its tagger `c4_v2`): lorem ipsum, `{` and `javascript` condemn the page wherever they
  stand, whatever becomes of their line; an ellipsis is an end mark's period; citations stay; no
  policy phrases; lines end at `\n` alone, elsewhere where `str.splitlines` cuts. Its bounds are 3
  words and no sentences.

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
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
_PAGE_FAULTS = ("lorem ipsum", "javascript", "{")
"""What condemns a page for Dolma, wherever it stands."""
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
    """Keeps C4's good lines; drops pages with bad signs or too few sentences left.

    2: `counting: dolma` cuts lines at newlines alone.
    """

    version = 2

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

    counting: Literal["tfds", "datatrove", "dolma"] = knob(
        "tfds",
        unit="whose reading of a line",
        source="tfds c4_utils; datatrove 0.10.1 c4_filters.py; allenai/dolma 669f534 taggers/c4.py",
        choices=("tfds", "datatrove", "dolma"),
    )

    compiles: ClassVar[bool] = True

    metrics: ClassVar[Mapping[str, type]] = {
        **dict.fromkeys(("chars", "lorem_ipsum", "curly_brackets", "sentences"), int),
        **dict.fromkeys(_LINE_METRICS, int),
    }

    def rules(self) -> Rules:
        dolma = (at_most("lines_javascript", 0, name="javascript"),)
        return (
            at_most("chars", self.max_page_chars, name="too_long"),
            at_most("lorem_ipsum", 0, name="lorem_ipsum"),
            at_most("curly_brackets", 0, name="curly_bracket"),
            *(dolma if self.counting == "dolma" else ()),
            at_least("sentences", self.min_sentences, name="too_few_sentences"),
        )

    def process(self, batch: TextBatch, side: Side) -> Processed:
        from stages.kernels.clean_lines import Habits, clean_lines

        dolma = self.counting == "dolma"
        texts, counts = clean_lines(
            batch.column("text"),
            {} if dolma else _FAULTS,
            _CITATIONS,
            self.end_marks,
            self.min_words_per_line,
            self.max_word_chars,
            Habits(
                words_before_citations=self.counting == "datatrove",
                ellipsis_ends=dolma,
                cut_citations=not dolma,
                newlines_only=dolma,
            ),
        )
        if dolma:
            counts |= {_FAULTS[of]: lines_with(batch.column("text"), of) for of in _PAGE_FAULTS}
        return Processed({"text": texts}, counts)


def lines_with(texts: pa.Array, phrase: str) -> Any:
    """How many lines of each text hold the phrase, whatever its case."""
    found = np.zeros(len(texts), dtype=np.int64)
    # Few pages hold one: only their lines are looked at.
    for row in pc.indices_nonzero(pc.match_substring(texts, phrase, ignore_case=True)).to_pylist():
        found[row] = sum(phrase in line for line in texts[row].as_py().lower().split("\n"))
    return found


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
