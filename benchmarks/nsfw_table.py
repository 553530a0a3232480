"""The section on URL lists and word lists of docs/benchmarks.md, from `results/nsfw.json` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.run_line import run_line

Json = Mapping[str, Any]


def table(folder: Path) -> str:
    """Speed, memory, precision and recall as Markdown; empty while there is no result."""
    path = folder / "nsfw.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    ours = found["ours"]
    return (
        "\n".join([run_line(found), "", *_speed(found, ours), "", *_urls(ours), "", *_words(ours)])
        + "\n"
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _speed(found: Json, ours: Json) -> list[str]:
    index, words, verdicts = ours["index"], ours["bad_words"], ours["verdicts"]
    rows = [
        ("URLs/s of CPU time, 5 M domains, the lookup alone", f"{index['urls_per_cpu_second']:,}"),
        *([("URLs/s of CPU time, lists, the stage",
            f"{ours['lists_alone']['urls_per_cpu_second']:,}")] if "lists_alone" in ours else []),
        ("URLs/s of CPU time, lists and words, the stage", f"{ours['urls_per_cpu_second']:,}"),
        ("faster than datatrove's `URLFilter` by",
         f"{found['ratios']['ours_vs_datatrove_url_filter']:.1f}x"),
        ("of so many URLs", f"{verdicts['urls']:,}"),
        ("ours drops, datatrove drops", f"{verdicts['ours']:,}, {verdicts['datatrove']:,}"),
        ("index of 5 M domains, MB (one a node)", f"{index['index_bytes'] / 1e6:.0f}"),
        ("a worker's own memory for it, MB", f"{index['own_bytes_of_a_worker'] / 1e6:.1f}"),
        ("building it once, s of CPU time", f"{index['build_cpu_seconds']:.1f}"),
        ("bad words, MB/s of CPU time", f"{words['mb_per_cpu_second']:.0f}"),
        ("lists loaded, languages of the texts",
         f"{words['list_languages']}, {words['text_languages']}"),
    ]  # fmt: skip
    return [_row(["", ""]), _row(["---", "---"]), *(_row(row) for row in rows)]


def _urls(ours: Json) -> list[str]:
    """Share of each set of URLs that is dropped."""
    quality = ours["url_quality"]
    sides = [name for name in quality if name != "urls"]
    lines = [_row(["dropped of", *sides]), _row(["---"] * (len(sides) + 1))]
    for name, number in quality["urls"].items():
        shares = [f"{100 * quality[side][name]:.1f} %" for side in sides]
        lines.append(_row([f"{name} ({number:,})", *shares]))
    return lines


def _words(ours: Json) -> list[str]:
    heads = ["labelled texts", "list", "precision", "recall", "good dropped"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for name, lists in ours["word_quality"].items():
        for which, found in lists.items():
            values = (found[key] for key in ("precision", "recall", "good_dropped"))
            lines.append(_row([f"{name} ({found['bad']:,} bad, {found['good']:,} good)", which,
                               *(f"{value:.3f}" for value in values)]))  # fmt: skip
    return lines
