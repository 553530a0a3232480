"""RefinedWeb's line-wise corrections, as DCLM's code makes them (recipes 2e).

After `baselines_configs/dclm_baseline_refinedweb.yaml` and `mappers/modifiers.py` of
mlfoundations/dclm (361714b), which rebuilt Penedo et al. 2023 (arXiv:2306.01116), appendix G.2. At
most two newlines in a row stay; then each line meets, in this order: too many capitals; digits
alone; a counter (`3 likes`); too few words; and, in lines of few words, phrases of shops and menus
that are cut out: a line of which nothing is left goes. A document that loses more than a twentieth
of its words to all that is dropped.

Differences from that code:
- The document's words are ours (DESIGN section 4) that begin with a letter or digit; there,
  fastText's tokens that do. Those are the same in scripts with spaces, but that a no-break space
  parts no tokens. A line's own words are runs of non-space characters in both.
- Phrases are what they say; there they are regular expressions, so that `Read more...` is
  `Read more` and any three characters.
- URLs within the text stay. (There, `url_removal_modifier` cuts them before all filters.)
- JavaScript and cookie lines are no part of it there either: `c4_lines` has those rules, and
  `drop_phrases` takes any.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from pipeline.stage import Page, Rewrite, Rules, TextMap, at_most, knob

_SOURCE = "mlfoundations/dclm 361714b, dclm_baseline_refinedweb.yaml"
_COUNTED = (
    "likes", "shares", "comments", "retweets", "reposts", "quotes", "bookmarks", "upvotes",
    "downvotes", "downloads", "views", "followers",
)  # fmt: skip
_FAULTS = ("uppercase", "numeric", "counter", "short", "phrase")


def _pattern(phrases: tuple[str, ...], before: str = "", after: str = "") -> re.Pattern[str] | None:
    """Any of the phrases, whatever the case; None where there are none."""
    if not phrases:
        return None
    return re.compile(f"{before}(?:{'|'.join(map(re.escape, phrases))}){after}", re.IGNORECASE)


@dataclass(frozen=True)
class RefinedwebLines(TextMap):
    """Cuts counters, capitals, numbers and menu lines; drops documents that lose much by it.

    2: a word begins with a letter or digit; before, it held one or a `_`.
    """

    version = 2

    max_newlines: int = knob(2, unit="newlines in a row", source=_SOURCE, minimum=1)
    max_uppercase_ratio: float = knob(
        0.5, unit="ratio of a line's characters", source=_SOURCE, minimum=0, maximum=1
    )
    max_numeric_ratio: float = knob(
        0.999999, unit="ratio of a line's characters", source=_SOURCE, minimum=0, maximum=1
    )
    counted: tuple[str, ...] = knob(
        _COUNTED, unit="words after a number", source="mlfoundations/dclm 361714b, modifiers.py"
    )
    min_words_per_line: int = knob(2, unit="words", source=_SOURCE, minimum=0)
    max_phrase_words: int = knob(
        10, unit="words of a line that phrases are looked for in", source=_SOURCE, minimum=0
    )
    cut_phrases: tuple[str, ...] = knob(
        ("items in cart",), unit="phrases anywhere in a line", source=_SOURCE
    )
    cut_ends: tuple[str, ...] = knob(("Read more...",), unit="line ends", source=_SOURCE)
    cut_starts: tuple[str, ...] = knob(("Sign-in",), unit="line starts", source=_SOURCE)
    drop_phrases: tuple[str, ...] = knob(
        (), unit="phrases whose line is dropped", source=f"{_SOURCE}: none"
    )
    max_removed_word_ratio: float = knob(
        0.05, unit="ratio of the document's words", source=_SOURCE, minimum=0, maximum=1
    )

    metrics: ClassVar[Mapping[str, type]] = {
        "lines": int,
        **{f"lines_{fault}": int for fault in _FAULTS},
        "lines_cut": int,
    }

    def rules(self) -> Rules:
        return (at_most("removed_word_ratio", self.max_removed_word_ratio, "too_much_removed"),)

    @cached_property
    def _newlines(self) -> re.Pattern[str]:
        return re.compile(f"\n{{{self.max_newlines + 1},}}")

    @cached_property
    def _counter(self) -> re.Pattern[str] | None:
        number = r"^\W*\d(?:,|\.|\d)*(?:k|m|b)?\s+"
        return _pattern(self.counted, number, r"\W*$")

    @cached_property
    def _cuts(self) -> tuple[re.Pattern[str], ...]:
        patterns = (
            _pattern(self.cut_phrases, r"\s?"),
            _pattern(self.cut_ends, r"\s?", "$"),
            _pattern(self.cut_starts, "^", r"\s?"),
        )
        return tuple(pattern for pattern in patterns if pattern)

    @cached_property
    def _dropped(self) -> re.Pattern[str] | None:
        return _pattern(self.drop_phrases)

    def _fault(self, line: str) -> str | None:
        """Why a line goes as it stands."""
        if sum(map(str.isupper, line)) > self.max_uppercase_ratio * len(line):
            return "uppercase"
        if sum(map(str.isdigit, line)) > self.max_numeric_ratio * len(line):
            return "numeric"
        if self._counter and self._counter.search(line):
            return "counter"
        if len(line.split()) < self.min_words_per_line:
            return "short"
        return None

    def _without_phrases(self, line: str) -> str | None:
        """A short line without the phrases; None if nothing is left or one condemns it."""
        if len(line.split()) > self.max_phrase_words:
            return line
        if self._dropped and self._dropped.search(line):
            return None
        for pattern in self._cuts:
            line = pattern.sub("", line)
            if not line.strip():
                return None
        return line

    def rewrite(self, page: Page) -> Rewrite:
        found: Counter[str] = Counter()
        kept: list[str] = []
        for line in self._newlines.sub("\n" * self.max_newlines, page.text).split("\n"):
            found["lines"] += 1
            if not line:
                kept.append(line)
                continue
            fault, left = self._fault(line), None
            if fault is None:
                left = self._without_phrases(line)
                fault = "phrase" if left is None else None
            if fault:
                found[f"lines_{fault}"] += 1
            elif left is not None:
                found["lines_cut"] += left != line
                kept.append(left)
        text = "\n".join(kept).strip()
        counts = {name: found[name] for name in self.metrics}
        return Rewrite(text, {**counts, "removed_word_ratio": removed_ratio(page, text)})


def removed_ratio(page: Page, text: str) -> float | None:
    """The share of the page's words that the text lacks; None where the page has none."""
    before = sum(word[0].isalnum() for word in page.words)
    if not before:
        return None
    after = sum(word[0].isalnum() for word in Page.of(text).words)
    return (before - after) / before
