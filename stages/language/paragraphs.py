"""Languages of a mixed page, paragraph by paragraph.

A paragraph is a line that is not blank, as in C4 and mC4; lines shorter than `min_bytes` go
together with those behind them until they are as long, since an answer for a heading or a date is
a guess. Shares are of the paragraphs' bytes in UTF-8, as CLD2's are of a page. Paragraphs that the
backend is unsure of (code, names, figures) are of no language: the share of the main one is of the
others. Of all bytes it would fall with every such paragraph, whose language nobody doubts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from stages.language.backends import Identify
from stages.language.codes import UNDETERMINED, subtag


@dataclass(frozen=True)
class Part:
    """One or more lines that have one answer."""

    lines: list[str]
    num_bytes: int
    label: str
    """The backend's; `und` where it was not sure."""

    @property
    def language(self) -> str:
        return subtag(self.label)


@dataclass(frozen=True)
class Mixture:
    """What the paragraphs of a text say together."""

    text: str
    """Without what was cut."""
    label: str
    """Label of the language with the most bytes of `text`; the earlier one of equals."""
    share: float
    """Its share of those bytes of `text` whose language is sure; 0 for `und`."""
    paragraphs: int
    other_ratio: float | None
    """Share of the sure bytes, before the cut, in languages that are not wanted; None without."""
    unsure_ratio: float | None
    """Share of the bytes, before the cut, that are of no language; None without text."""
    cut_bytes: int


def parts(
    text: str, identify: Identify, min_bytes: int, min_score: float, max_chars: int
) -> Iterator[Part]:
    """The text's paragraphs in order, blank lines with the one behind them."""
    groups: list[tuple[list[str], int]] = []
    lines: list[str] = []
    size = 0
    for line in text.split("\n"):
        lines.append(line)
        size += len(line.strip().encode("utf-8", "replace"))
        if size >= min_bytes:
            groups.append((lines, size))
            lines, size = [], 0
    if lines and groups:
        groups[-1] = (groups[-1][0] + lines, groups[-1][1] + size)
    elif size:
        groups.append((lines, size))
    for lines, size in groups:
        label, score = identify("\n".join(lines)[:max_chars])
        yield Part(lines, size, label if score >= min_score else UNDETERMINED)


def main_part(found: Iterable[Part]) -> tuple[str, float]:
    """(label, share of the sure bytes) of the language with most bytes; `und` only where alone."""
    sizes: dict[str, int] = {}
    labels: dict[str, str] = {}
    for part in found:
        if part.language != UNDETERMINED:
            sizes[part.language] = sizes.get(part.language, 0) + part.num_bytes
            labels.setdefault(part.language, part.label)
    if not sizes:
        return UNDETERMINED, 0.0
    language = max(sizes, key=lambda name: sizes[name])  # the first of equals, in order of text
    return labels[language], sizes[language] / sum(sizes.values())


def mixture(text: str, found: list[Part], keep: Set[str], cut: bool) -> Mixture:
    """What the parts of a text say together, and with `cut` the text without other languages.

    Other languages are those not in `keep`, or without it all but the main one. Unsure paragraphs
    are of no language and stay.
    """
    whole = sum(part.num_bytes for part in found)
    wanted = keep or {subtag(main_part(found)[0])}
    others = [p for p in found if p.language != UNDETERMINED and p.language not in wanted]
    other_bytes = sum(part.num_bytes for part in others)
    left = found
    if cut and others:
        gone = set(map(id, others))
        left = [part for part in found if id(part) not in gone]
        text = "\n".join(line for part in left for line in part.lines).strip("\n")
    label, share = main_part(left)
    unsure_bytes = sum(part.num_bytes for part in found if part.language == UNDETERMINED)
    return Mixture(
        text,
        label,
        share,
        len(found),
        other_bytes / (whole - unsure_bytes) if whole > unsure_bytes else None,
        unsure_bytes / whole if whole else None,
        other_bytes if cut else 0,
    )
