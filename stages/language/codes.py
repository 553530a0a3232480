"""What a language is called, and the scripts that it is written in.

Every backend has labels of its own: `en`, `zh-Hant` (CLD2), `zh` (lid.176), `cmn_Hani` (GlotLID),
`zho_Hans` (OpenLID). One mapping, `subtag`, makes primary subtags of BCP 47 of them all, as Unicode
CLDR's aliases do: ISO 639-2 and -3 codes become two letters where there are two, deprecated codes
the present ones (`iw` is `he`), and the standard variety of a macrolanguage its name (`cmn` is
`zh`, `arb` is `ar`, `swh` is `sw`; `ary`, `yue` stay). Two exceptions, `tl` and `no`, and the
making of the tables are in `make_tables.py`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TABLES = Path(__file__).with_name("tables.json")
UNDETERMINED = "und"
_NONE = frozenset({"", "un", "xx", "und", "mis", "zxx"})
"""Codes that name no language; CLD2 says `un`, and `xx-Grek` for a script by itself."""
_PARTS: Mapping[str, frozenset[str]] = {
    "Hans": frozenset({"Hani"}),
    "Hant": frozenset({"Hani"}),
    "Hanb": frozenset({"Hani", "Bopo"}),
    "Jpan": frozenset({"Hani", "Hira", "Kana"}),
    "Hrkt": frozenset({"Hira", "Kana"}),
    "Kore": frozenset({"Hang", "Hani"}),
    "Hang": frozenset({"Hang", "Hani"}),  # GlotLID's kor_Hang; South Korean texts hold some Han
    "Jamo": frozenset({"Hang"}),
    "Aran": frozenset({"Arab"}),
    "Latf": frozenset({"Latn"}),
    "Cyrs": frozenset({"Cyrl"}),
    "Geok": frozenset({"Geor"}),
}
"""ISO 15924 codes for variants and mixtures -> the scripts of their characters."""
_SAME: Mapping[str, str] = {"Hans": "Hani", "Hant": "Hani", "Kore": "Hang"}
"""How labels of models name these: `cmn_Hani`, `kor_Hang`."""


@functools.cache
def tables() -> Mapping[str, Any]:
    """The stored tables, see `make_tables.py`."""
    found: Mapping[str, Any] = json.loads(TABLES.read_text("utf-8"))
    return found


@functools.lru_cache(maxsize=8192)
def split_label(label: str) -> tuple[str, str | None]:
    """(code in lower case, script or None) of a label: `zho_Hans`, `zh-Hant`, `en`, `sr-ME`."""
    code, *rest = label.replace("_", "-").split("-")
    script = next((part.title() for part in rest if len(part) == 4 and part.isalpha()), None)
    return code.lower(), script


@functools.lru_cache(maxsize=8192)
def subtag(label: str) -> str:
    """The primary subtag that a label stands for; `und` for none."""
    code = split_label(label)[0]
    aliases: Mapping[str, str] = tables()["aliases"]
    return UNDETERMINED if code in _NONE else aliases.get(code, code)


@functools.cache
def _scripts() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for script, languages in tables()["scripts"].items():
        for language in languages.split():
            found.setdefault(language, set()).update(_PARTS.get(script, {script}))
    return {language: frozenset(known) for language, known in found.items()}


@functools.lru_cache(maxsize=8192)
def scripts_of(label: str) -> frozenset[str] | None:
    """Scripts of the letters of such a text; None where nothing is known of the language.

    A script in the label decides (`srp_Latn`, `zh-Hant`); else CLDR's scripts of the language.
    """
    code, script = split_label(label)
    if script:
        return _PARTS.get(script, frozenset({script}))
    return _scripts().get(subtag(label)) or _scripts().get(code)


def main_script(language: str) -> str | None:
    """The script that most texts of the language are in, as models' labels name it."""
    main: Mapping[str, str] = tables()["main"]
    found = main.get(language)
    if found is None:
        known = [s for s, names in _languages_by_script().items() if language in names]
        found = known[0] if known else None
    return None if found is None else _SAME.get(found, found)


@functools.cache
def _languages_by_script() -> Mapping[str, frozenset[str]]:
    return {script: frozenset(names.split()) for script, names in tables()["scripts"].items()}


def check_keep(name: str, codes: tuple[str, ...]) -> None:
    """Raise ValueError for a code that `subtag` never answers, with the one that it does."""
    for code in codes:
        if subtag(code) != code:
            raise ValueError(f"{name}: '{code}' is '{subtag(code)}' here, whatever the backend")
