"""FineWeb's own quality filter, after datatrove's `FineWebQualityFilter`.

Counting as there: lines are split at newlines, blank ones are left out; they are not stripped
before their last character is looked at; a duplicate line is a second or later copy, its characters
are held against all characters that are not newlines; newlines are held against words.

The bound on characters in duplicate lines is .01 in the code that made FineWeb and .1 in its paper.

Differences from that code:
- Words are those of DESIGN section 4, not spaCy or NLTK tokens: punctuation is no word of its own,
  so newlines per word come out higher.
- Terminal punctuation is the property Sentence_Terminal of Unicode 18.0, 172 characters.
- A text without a line has null ratios; datatrove drops it as empty.

With `per_language: true` the bounds on terminal punctuation and newlines are those of the
document's language in FineWeb-2 (`stages.limits`); languages without a row keep the knobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.stage import Rules, TextBatch, at_least, at_most, knob
from stages.limits.by_language import ByLanguage
from stages.measures import batch_word_counts, ratio

_SOURCE = "datatrove fineweb_quality_filter.py"

# Code points with the property Sentence_Terminal, Unicode 18.0, in hexadecimal.
_SENTENCE_TERMINAL = """
    21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E
    1735-1736 17D4-17D5 1803 1809 1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B 1B5E-1B5F 1B7D-1B7F
    1C3B-1C3C 1C7E-1C7F 2024 203C-203D 2047-2049 2CF9-2CFB 2E2E 2E3C 2E53-2E54 2E60-2E61 3002 A4FF
    A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE12 FE15-FE16
    FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1
    11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 113D4-113D5 1144B-1144C
    115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42
    11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16D6E-16D6F 16E98 1BC9F 1DA88
"""


def _characters(ranges: str) -> frozenset[str]:
    bounds = [[int(end, 16) for end in part.split("-")] for part in ranges.split()]
    return frozenset(chr(c) for bound in bounds for c in range(bound[0], bound[-1] + 1))


TERMINAL_PUNCTUATION = _characters(_SENTENCE_TERMINAL)
"""The 172 characters that end a sentence in some script."""


@lru_cache(maxsize=1)
def terminal_flags() -> npt.NDArray[np.bool_]:
    """For every code point, whether it is one of them."""
    flags = np.zeros(0x110000, dtype=np.bool_)
    flags[[ord(character) for character in TERMINAL_PUNCTUATION]] = True
    return flags


@dataclass(frozen=True)
class FinewebQuality(ByLanguage):
    """Drops documents whose lines are lists, menus or repeats."""

    min_line_punctuation_ratio: float = knob(
        0.12, unit="ratio", source=f"{_SOURCE}: line_punct_thr", minimum=0, maximum=1
    )
    short_line_chars: int = knob(
        30, unit="characters", source=f"{_SOURCE}: short_line_length", minimum=0
    )
    max_short_line_ratio: float = knob(
        0.67, unit="ratio", source=f"{_SOURCE}: short_line_thr", minimum=0, maximum=1
    )
    max_duplicate_line_char_ratio: float = knob(
        0.01,
        unit="ratio",
        source=f"{_SOURCE}: char_duplicates_ratio (FineWeb paper: 0.1)",
        minimum=0,
        maximum=1,
    )
    max_newline_word_ratio: float = knob(
        0.3, unit="ratio", source=f"{_SOURCE}: new_line_ratio", minimum=0
    )

    def plain_rules(self) -> Rules:
        return (
            at_least(
                "line_punctuation_ratio", self.min_line_punctuation_ratio, "line_punctuation_ratio"
            ),
            at_most("short_line_ratio", self.max_short_line_ratio, "short_line_ratio"),
            at_most(
                "duplicate_line_char_ratio",
                self.max_duplicate_line_char_ratio,
                "duplicate_line_char_ratio",
            ),
            at_most("newline_word_ratio", self.max_newline_word_ratio, "newline_word_ratio"),
        )

    def measure_plain(self, batch: TextBatch) -> dict[str, Any]:
        from stages.kernels.lines import line_counts

        found = line_counts(batch.column("text"), terminal_flags(), self.short_line_chars)
        lines, newlines = found["lines"], found["newlines"]
        words = np.where(lines > 0, batch_word_counts(batch)["words"], 0)
        return {
            "line_punctuation_ratio": ratio(found["terminal_lines"], lines),
            "short_line_ratio": ratio(found["short_lines"], lines),
            "duplicate_line_char_ratio": ratio(
                found["duplicate_line_chars"], np.where(lines > 0, found["chars"] - newlines, 0)
            ),
            "newline_word_ratio": ratio(newlines, words),
        }
