"""C4's cleaning, after `clean_page` of tensorflow_datasets (`text/c4_utils.py`, as of 2024-2026).

Line rules, in that code's order, on the stripped line: a word too long; citations are cut out; no
end mark, or an ellipsis; too few words; "lorem ipsum" condemns the page; "javascript"; `{` condemns
the page; a policy phrase. The order matters: `{` on a line that an earlier rule removed does not
condemn the page, and `{` on a policy line does.

The T5 paper says 3 words a line and 5 sentences a page; the code that made C4 says 5 and 3.

Differences from that code:
- Sentences are counted by `count_sentences` below, not by NLTK's trained Punkt model: the same for
  plain prose, different at abbreviations that are not in our list.
- A condemned page is measured to its end, so that all its metrics are known; where a page breaks
  several page rules, the reason is the first of: too long, lorem ipsum, `{`, sentences. There it is
  the first in reading order.
- Word lists, line deduplication and language detection are steps of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pipeline.stage import (
    Filter,
    Page,
    Rewrite,
    Rules,
    TextMap,
    at_least,
    at_most,
    knob,
)

_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_ELLIPSIS = "..."
_POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
_LINE_METRICS = (
    "lines",
    "lines_kept",
    "lines_long_word",
    "lines_no_end_mark",
    "lines_too_short",
    "lines_javascript",
    "lines_policy",
)

_BOUNDARY = re.compile(r"""(?<![.?!])([.?!]+)["'”’»)\]]*\s+(?=(\S))""")
# Only words that a capital letter follows more often within a sentence than at the next one.
_ABBREVIATIONS = re.compile(
    "mr|mrs|ms|dr|prof|sr|jr|st|mt|gen|col|lt|sgt|capt|rev|hon|pres|gov|sen|rep"
    r"|vs|figs?|vol|pp|approx|al|e\.g|i\.e|cf|ca"
)
_WORD_BEFORE = re.compile(r"[^\s\"'“‘«(\[]*$")


def count_sentences(text: str) -> int:
    """Sentences of one line. A sentence ends at `?`, `!`, or at `.` before a word that does not
    start in lower case, unless the period belongs to an initial or a common abbreviation.
    """
    text = text.strip()
    if not text:
        return 0
    count = 1
    for found in _BOUNDARY.finditer(text):
        marks, following = found.groups()
        if marks.strip("."):
            count += 1
        elif not following.islower():
            before = _WORD_BEFORE.search(text[max(0, found.start() - 12) : found.start()])
            word = before.group().lower() if before else ""
            initial = len(word) == 1 and word.isalpha()
            if marks != "." or not (initial or _ABBREVIATIONS.fullmatch(word)):
                count += 1
    return count


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

    def rewrite(self, page: Page) -> Rewrite:
        counts = dict.fromkeys(self.metrics, 0)
        kept: list[str] = []
        text = page.text
        for raw in text.splitlines():  # as tfds: also at vertical tabs, form feeds, U+2028
            counts["lines"] += 1
            line = raw.strip()
            verdict = self._judge(line)
            if verdict is None or verdict in ("lorem_ipsum", "curly_brackets"):
                line = _CITATION.sub("", line)
                kept.append(line)
                counts["lines_kept"] += 1
                counts["sentences"] += count_sentences(line)
            if verdict is not None:
                counts[verdict] += 1
        counts["chars"] = len(text)
        return Rewrite("\n".join(kept).strip(), counts)

    def _judge(self, line: str) -> str | None:
        """The metric that counts this line's fault; None if it is a good line."""
        if len(line) > self.max_word_chars and any(
            len(word) > self.max_word_chars for word in line.split()
        ):
            return "lines_long_word"
        line = _CITATION.sub("", line)
        if self.end_marks and (not line.endswith(self.end_marks) or line.endswith(_ELLIPSIS)):
            return "lines_no_end_mark"
        if len(line.split()) < self.min_words_per_line:
            return "lines_too_short"
        lower = line.lower()
        if "lorem ipsum" in lower:
            return "lorem_ipsum"
        if "javascript" in lower:
            return "lines_javascript"
        if "{" in line:
            return "curly_brackets"
        if any(phrase in lower for phrase in _POLICY_PHRASES):
            return "lines_policy"
        return None


@dataclass(frozen=True)
class C4Sentences(Filter):
    """Drops documents with too few sentences, as C4 does again after its line deduplication."""

    min_sentences: int = knob(
        3, unit="sentences", source="tfds c4_utils: 3 (T5 paper, section 2.2: 5)", minimum=0
    )

    metrics: ClassVar[Mapping[str, type]] = {"sentences": int}

    def measure(self, page: Page) -> dict[str, int]:
        return {"sentences": sum(count_sentences(line) for line in page.text.splitlines())}

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

    metrics: ClassVar[Mapping[str, type]] = {"long_lines": int}

    def measure(self, page: Page) -> dict[str, int]:
        return {"long_lines": sum(len(line) >= self.min_paragraph_chars for line in page.lines)}

    def rules(self) -> Rules:
        return (at_least("long_lines", self.min_paragraphs, name="too_few_paragraphs"),)
