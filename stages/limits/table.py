"""Bounds by language: FineWeb-2's, as shipped, or a folder of configurations in its layout.

`fineweb2.json` holds the figures of FineWeb-2's `configs/<language>_<script>.yml` (1,929 labels of
GlotLID; English is not among them), by our metrics. How they read there and here:

    language_score              lang_score at least (probabilities of GlotLID)
    dup_line_frac               duplicate_line_ratio at most; 0 = no bound
    top_n_grams, dup_n_grams    top_<n>gram_ratio, duplicate_<n>gram_ratio at most
    line_punct_thr              line_punctuation_ratio at least
    new_line_ratio              newline_word_ratio at most
    min_, max_avg_word_length   mean_word_length; 0 = no bound
    max_non_alpha_words_ratio   alpha_word_ratio at least (the name there is a slip: datatrove's
                                `GopherQualityFilter` drops below it)
    stopwords                   stop words (only from a folder)

They were set from the words of per-language tokenisers. Where our words are characters (`UNSPACED`)
a mean word length is another thing, and there is no bound on it; in scripts whose vowels are marks
(`SYLLABIC`) nor on n-grams, of which five are a word or two, nor on words with letters. No bound is
an infinite one: a key that a configuration lacks is left to the stage's own knob.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from stages.language.codes import main_script, split_label, subtag

TABLE = Path(__file__).with_name("fineweb2.json")
SOURCE = "FineWeb-2 configs (d0defb24f193)"
_TOP, _DUPLICATE = (2, 3, 4), (5, 6, 7, 8, 9, 10)
_PLAIN: Mapping[str, str] = {
    "language_score": "min_score",
    "dup_line_frac": "max_duplicate_line_ratio",
    "line_punct_thr": "min_line_punctuation_ratio",
    "new_line_ratio": "max_newline_word_ratio",
    "min_avg_word_length": "min_mean_word_length",
    "max_avg_word_length": "max_mean_word_length",
    "max_non_alpha_words_ratio": "min_alpha_word_ratio",
}
"""Key of a configuration -> our knob. Those of n-grams are lists of [n, bound]."""
_NO_BOUND_AT_ZERO = ("dup_line_frac", "min_avg_word_length", "max_avg_word_length")
KEYS = (
    *_PLAIN.values(),
    *(f"max_top_{n}gram_ratio" for n in _TOP),
    *(f"max_duplicate_{n}gram_ratio" for n in _DUPLICATE),
)
"""Knobs that the shipped table has figures for, in the order of its rows."""
SYLLABIC = frozenset({"Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
UNSPACED = frozenset({"Hani", "Jpan", "Hira", "Kana"}) | SYLLABIC
"""Scripts whose characters are words (`pipeline.batch.split_words`)."""
_WORD_LENGTHS = ("min_mean_word_length", "max_mean_word_length")
_OF_WORDS = (*_WORD_LENGTHS, "min_alpha_word_ratio", *(k for k in KEYS if k.endswith("gram_ratio")))


@dataclass(frozen=True)
class Table:
    """Bounds, and stop words where the folder has them, by label such as `deu_Latn`."""

    limits: Mapping[str, Mapping[str, float]]
    stop_words: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @functools.cached_property
    def _labels(self) -> Mapping[tuple[str, str], str]:
        """(language, script) -> label; the script is empty for the language's own choice."""
        found: dict[tuple[str, str], str] = {}
        scripts: dict[str, list[str]] = {}

        # Where two labels are one language in one script (swc and swh), the one that bears the
        # language's own code wins, else the last.
        def last(label: str) -> tuple[bool, str]:
            return split_label(label)[0] == subtag(label), label

        for label in sorted(self.limits, key=last):
            script = split_label(label)[1] or ""
            found[subtag(label), script] = label
            scripts.setdefault(subtag(label), []).append(script)
        for language, known in scripts.items():
            main = main_script(language)
            found.setdefault((language, ""), found[language, main if main in known else min(known)])
        return found

    def label(self, language: str | None, script: str | None = None) -> str | None:
        """The label for a language as `lang` names it, and its script where that is known."""
        if language is None:
            return None
        name = subtag(language)
        return self._labels.get((name, script or "")) or self._labels.get((name, ""))


@functools.cache
def table(path: str | None) -> Table:
    """The shipped table, or the one of the folder `path`. Raises InputError."""
    if path:
        given = read_configs(Path(path))
        return Table(_for_our_words(given.limits), given.stop_words)
    stored = json.loads(TABLE.read_text("utf-8"))
    keys = stored["keys"]
    limits = {
        label: {k: no_bound(k) if v is None else v for k, v in zip(keys, row, strict=True)}
        for label, row in stored["rows"].items()
    }
    return Table(_for_our_words(limits))


def no_bound(knob: str) -> float:
    """The value of a knob `min_...` or `max_...` that nothing breaks."""
    return -math.inf if knob.startswith("min_") else math.inf


def _for_our_words(limits: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The limits, without bounds that mean another thing where words are characters."""
    found: dict[str, dict[str, float]] = {}
    for label, known in limits.items():
        script = split_label(label)[1]
        free = _OF_WORDS if script in SYLLABIC else _WORD_LENGTHS if script in UNSPACED else ()
        found[label] = {**known, **{knob: no_bound(knob) for knob in free}}
    return found


def read_configs(folder: Path) -> Table:
    """A folder of `<label>.yml` in FineWeb-2's layout; keys may be missing. Raises InputError."""
    import yaml

    files = sorted(folder.glob("*.yml")) if folder.is_dir() else []
    if not files:
        raise InputError(
            f"thresholds: no configuration in '{folder}'. Expected a folder of <language>_<script>"
            f".yml files, as `configs` of the repository huggingface/fineweb-2."
        )
    limits: dict[str, Mapping[str, float]] = {}
    words: dict[str, frozenset[str]] = {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for file in files:
        try:
            read = yaml.load(file.read_text("utf-8"), loader)
            limits[file.stem] = _limits(read)
            if "stopwords" in read:
                words[file.stem] = _words(read["stopwords"])
        except (yaml.YAMLError, ValueError, TypeError) as error:
            raise InputError(f"thresholds: {file}: {error}") from error
    return Table(limits, words)


def _words(found: Any) -> frozenset[str]:
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise ValueError(f"stopwords: expected a list of words, got {found!r:.80}")
    return frozenset(word.lower() for word in found)


def _limits(read: Any) -> dict[str, float]:
    """The figures of one configuration by our knobs. Raises ValueError for an unknown key."""
    if not isinstance(read, Mapping):
        raise ValueError(f"expected a mapping, got {read!r:.80}")
    found: dict[str, float] = {}
    for key, value in read.items():
        if key in _PLAIN:
            knob, free = _PLAIN[key], key in _NO_BOUND_AT_ZERO and value == 0
            found[knob] = no_bound(knob) if free else _number(key, value)
        elif key in ("top_n_grams", "dup_n_grams"):
            kind, sizes = ("top", _TOP) if key == "top_n_grams" else ("duplicate", _DUPLICATE)
            found.update(_ngrams(key, value, kind, sizes))
        elif key != "stopwords":
            raise ValueError(f"unknown key '{key}'")
    return found


def _ngrams(key: str, value: Any, kind: str, sizes: Iterable[int]) -> dict[str, float]:
    found = {}
    for size, bound in value:
        if size not in sizes:
            raise ValueError(f"{key}: {size}-grams are not measured; sizes are {list(sizes)}")
        found[f"max_{kind}_{size}gram_ratio"] = _number(key, bound)
    return found


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise ValueError(f"{key}: expected a number, got {value!r}")
    return value
