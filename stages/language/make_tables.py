"""Writes tables.json, from Unicode's own data. Run only to move to another release of it.

python -m stages.language.make_tables CLDR

CLDR is the unpacked npm package `cldr-core` (the JSON of Unicode CLDR's supplemental data). Scripts
of characters come from the package `regex`, which names its Unicode version.

    cldr, unicode  versions of the data
    aliases        code -> primary subtag of BCP 47: languageAlias of aliases.json, of any reason
                   (ISO 639-2 and -3 codes, deprecated ones, languages within a macrolanguage)
    scripts        script (ISO 15924) -> the languages written in it: languageData.json, primary and
                   secondary; likelySubtags.json for languages that are not there
    main           language -> its likely script, where it has several
    letters        script -> ranges of its letters (general category L)
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("tables.json")
_SUBTAG = re.compile(r"[a-z]{2,3}")
OURS = {"fil": "tl", "tgl": "tl", "tl": "tl", "nb": "no", "nob": "no", "nor": "no"}
"""Where CLDR is not followed. Filipino is `tl` and Bokmål `no` to CLD2, lid.176 and lists by ISO
639-1; to CLDR they are `fil` and `nb`."""
ROMANISED = frozenset({"hi", "zh"})
"""CLDR lists Latin as their second script, for romanisations: no script of their web pages."""


def aliases(found: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Code -> primary subtag, of the codes of two or three letters that CLDR replaces."""
    made = {
        code: replaced["_replacement"].split("-")[0]
        for code, replaced in found.items()
        if _SUBTAG.fullmatch(code) and _SUBTAG.fullmatch(replaced["_replacement"].split("-")[0])
    }
    return {code: subtag for code, subtag in (made | OURS).items() if code != subtag}


def scripts(data: Mapping[str, Any], likely: Mapping[str, str]) -> dict[str, list[str]]:
    """Language -> its scripts, the likely one first."""
    found: dict[str, list[str]] = {}
    for key, entry in data.items():
        language, secondary = key.removesuffix("-alt-secondary"), key.endswith("-alt-secondary")
        for script in entry.get("_scripts", ()):
            if not (secondary and script == "Latn" and language in ROMANISED):
                found.setdefault(language, []).append(script)
    for language, tag in likely.items():
        parts = tag.split("-")
        if _SUBTAG.fullmatch(language) and len(parts) > 1 and len(parts[1]) == 4:
            known = found.setdefault(language, [])
            known[:] = [parts[1], *(script for script in known if script != parts[1])]
    return {name: known for name, known in found.items() if known and name != "und"}


def letters(codes: Iterable[str]) -> dict[str, list[list[int]]]:
    """Script -> inclusive ranges of its letters, of the scripts that have any."""
    import regex

    found: dict[str, list[list[int]]] = {}
    text = "".join(chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF)
    for code in sorted(codes):
        if code in ("Zyyy", "Zinh", "Zzzz"):  # Common, Inherited, Unknown: of no script
            continue
        try:
            pattern = regex.compile(rf"[\p{{L}}&&\p{{Script={code}}}]+", regex.V1)
        except regex.error:  # a code for several scripts, such as Jpan
            continue
        runs = [[ord(run[0][0]), ord(run[0][-1])] for run in pattern.finditer(text)]
        if runs:
            found[code] = runs
    return found


def unicode_of_regex() -> str:
    """The Unicode version that the installed `regex` says it supports."""
    from importlib.metadata import metadata

    about = str(metadata("regex").json["description"])
    said = re.search(r"supports Unicode ([\d.]+\d)", about)
    return said[1] if said else "unknown"


def main(cldr: Path) -> None:
    def read(name: str) -> Any:
        return json.loads((cldr / name).read_text("utf-8"))

    supplemental = {
        name: read(f"supplemental/{name}.json")["supplemental"]
        for name in ("aliases", "languageData", "likelySubtags")
    }
    written = scripts(
        supplemental["languageData"]["languageData"], supplemental["likelySubtags"]["likelySubtags"]
    )
    by_script: dict[str, list[str]] = {}
    for language, known in sorted(written.items()):
        for script in known:
            by_script.setdefault(script, []).append(language)
    found_aliases = aliases(supplemental["aliases"]["metadata"]["alias"]["languageAlias"])
    tables = {
        "cldr": read("package.json")["version"],
        "unicode": unicode_of_regex(),
        "aliases": dict(sorted(found_aliases.items())),
        "scripts": {script: " ".join(names) for script, names in sorted(by_script.items())},
        "main": {name: known[0] for name, known in sorted(written.items()) if len(known) > 1},
        "letters": letters(read("scriptMetadata.json")["scriptMetadata"]),
    }
    lines = [
        f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}"
        for name, value in tables.items()
    ]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
