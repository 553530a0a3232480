"""Stop words by language, and how many distinct ones a text has.

Lists come from the package `stopwordsiso` (MIT; 58 languages), or from the configurations that
`thresholds` names (FineWeb-2's are 10 to 25 frequent words). On lingua's sentences, five joined,
two distinct words wanted, 99.1 % of a language's own documents pass with the package and 19.3 % of
those in others (54 languages; `python -m benchmarks language`).

A document whose language has no list is not measured and breaks no rule.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.stage import TextBatch
from stages.language.codes import main_script, split_label, subtag
from stages.limits.by_language import batch_labels, scripts
from stages.limits.table import UNSPACED, table

if TYPE_CHECKING:
    from ahocorasick_rs import AhoCorasick

    from stages.kernels.words import WordSet

PACKAGE = "stopwordsiso"
_AROUND = re.compile(r"^\W+|\W+$")


@functools.cache
def packaged(language: str) -> frozenset[str]:
    """The package's list of a language, in lower case; empty where there is none."""
    import stopwordsiso

    # The package has Bokmål as `no`, as our codes do.
    return frozenset(word.lower() for word in stopwordsiso.stopwords(language) if word.strip())


def list_of(language: str, label: str | None, thresholds: str | None) -> frozenset[str]:
    """The stop words for a document in `language`, whose label in the table is `label`."""
    if thresholds is None:
        return packaged(subtag(language))
    return table(thresholds).stop_words.get(label or "", frozenset())


@functools.lru_cache(maxsize=4096)
def _word_set(words: frozenset[str]) -> WordSet:
    from stages.kernels.words import word_set

    # Words of texts lose `\W` at their ends, which vowel signs of Indic scripts are: so do these.
    # Before that no Bengali text had two words of FineWeb-2's list.
    return word_set(word for raw in words if (word := _AROUND.sub("", raw)))


@functools.lru_cache(maxsize=4096)
def _automaton(words: frozenset[str]) -> AhoCorasick:
    from ahocorasick_rs import AhoCorasick

    return AhoCorasick(sorted(words))


def _anywhere(texts: Iterable[str], words: frozenset[str]) -> list[int]:
    """Distinct words that stand anywhere in each text: for scripts without spaces."""
    automaton = _automaton(words)
    return [
        len({found[0] for found in automaton.find_matches_as_indexes(text, overlapping=True)})
        for text in texts
    ]


def _unspaced(language: str, label: str | None, script: str | None) -> bool:
    """True if the language's words have no spaces between them."""
    known = script or (split_label(label)[1] if label else None) or main_script(subtag(language))
    return known in UNSPACED


def stop_word_counts(
    batch: TextBatch, thresholds: str | None, english: Iterable[str]
) -> npt.NDArray[np.float64]:
    """Distinct stop words of each text; NaN where its language has no list.

    English ones are given: FineWeb-2 has none, and Gopher's are the standard.
    """
    from stages.kernels.words import distinct_words_of

    texts = batch.column("text")
    found = np.full(len(texts), np.nan)
    rows_of: dict[tuple[str, str | None, str | None], list[int]] = {}
    keys = zip(batch.values("lang"), batch_labels(batch, thresholds), scripts(batch), strict=True)
    for row, (language, label, script) in enumerate(keys):
        if language is not None:
            rows_of.setdefault((language, label, script), []).append(row)
    for (language, label, script), rows in rows_of.items():
        own = frozenset(english) if subtag(language) == "en" else None
        words = list_of(language, label, thresholds) if own is None else own
        if not words:
            continue
        part = texts.take(pa.array(rows, pa.int64()))
        if _unspaced(language, label, script):
            found[rows] = _anywhere(((text or "").lower() for text in part.to_pylist()), words)
        else:
            found[rows] = distinct_words_of(part, _word_set(words))
    return found
