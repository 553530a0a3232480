"""The language section of docs/benchmarks.md, from `results/language.json` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.run_line import run_line

NAMES = {"cld2": "CLD2 (default)", "lid176": "lid.176.ftz", "py3langid": "py3langid"}
"""Side -> the head of its column."""
SETS = {
    "sentence": "one sentence",
    "five": "five sentences",
    "udhr": "UDHR article",
}
"""Set -> what it is called."""
ROWS: Mapping[str, str] = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1, all languages",
    "macro_f1_known": "macro F1, languages that it knows",
    "kept_at_65": "share with a score of .65 or more",
    "right_of_kept": "of these right",
}
Json = Mapping[str, Any]


def table(folder: Path) -> str:
    """Accuracy and speed of every side as Markdown; empty while there is no result."""
    path = folder / "language.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    sides = {"cld2": found["ours"], **found["peers"]}
    lines = [
        run_line(found),
        "",
        _row(["", *(NAMES[name] for name in sides)]),
        _row(["---"] * (len(sides) + 1)),
    ]
    for of, called in SETS.items():
        parts = [side["quality"][of] for side in sides.values()]
        first = parts[0]
        lines.append(_row([f"**{called}** ({first['texts']:,})", *[""] * len(parts)]))
        for key, label in ROWS.items():
            lines.append(_row([label, *_best([part[key] for part in parts])]))
        known = [f"{part['known']} of {part['languages']}" for part in parts]
        lines.append(_row(["languages that it ever answers", *known]))
        lines.append(_row(["script check", *(_check(part["script_check"]) for part in parts)]))
        lines.append(_row(["worst of those known, by F1", *(_worst(part) for part in parts)]))
        speed = [f"{part['microseconds_a_text']:.0f}" for part in parts]
        lines.append(_row(["µs of CPU a text", *speed]))
    return "\n".join(lines) + "\n\n" + _stage(sides)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _best(values: Sequence[float]) -> list[str]:
    """Three decimals, the best of the row in bold."""
    shown = [f"{value:.3f}" for value in values]
    return [f"**{cell}**" if cell == max(shown) else cell for cell in shown]


def _check(found: Json) -> str:
    return (
        f"drops {found['wrong_dropped']} of {found['wrong']} wrong, {found['right_dropped']} right"
    )


def _worst(part: Json) -> str:
    names = list(part["worst"].items())[:5]
    return ", ".join(
        f"{name} {said['f1']:.2f}" + (f" ({said['taken_for'][0]})" if said["taken_for"] else "")
        for name, said in names
    )


def _stage(sides: Mapping[str, Json]) -> str:
    lines = []
    for name, side in sides.items():
        if found := side.get("paragraphs"):
            lines.append(
                f"- `level: paragraph, cut: true` with {NAMES[name]}, {found['pages']} pages of "
                f"four sentences in one language and two in another: {found['other_cut']:.1%} of "
                f"the other's bytes are cut, and {found['wanted_cut']:.1%} of the wanted one's."
            )
        if found := side.get("stop_words"):
            lines.append(
                f"- Two stop words of the package's lists ({found['languages']} languages): "
                f"{found['own']:.1%} of documents of five sentences have them in their own "
                f"language, {found['other']:.1%} in another."
            )
    return "\n".join(lines) + "\n"
