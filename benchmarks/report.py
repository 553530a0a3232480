"""What a benchmark hands back: one object of the shape that DESIGN section 10 fixes."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import (
    classifiers_table,
    dedup_table,
    extraction_table,
    filters_table,
    language_table,
    loader_device_table,
    nsfw_table,
    pii_table,
    text_steps_table,
    verdicts_table,
)
from benchmarks.measure import MeasureError, Usage
from benchmarks.run_line import turns_of
from benchmarks.web import Web

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
KEYS = ("name", "machine", "versions", "input", "ours", "peers", "ratios", "other_ratios")

RATIOS: Mapping[str, tuple[str, ...]] = {
    "end_to_end": ("ours_vs_datatrove_cpu",),
    "engine": ("ours_vs_pool",),
    "extraction": ("ours_vs_trafilatura_fast",),
    "filters": ("ours_vs_datatrove_four_filters",),
    "verdicts": (),
    "dedup": ("ours_vs_datatrove_signatures", "ours_vs_datatrove_whole"),
    "dedup_scale": ("time_a_document_smallest_vs_largest",),
    "spans": (),
    "decontaminate": (),
    "tokens": ("ours_vs_tokenizers_encode",),
    "tokens_training": (),
    "loader": ("ours_vs_torch_dataloader",),
    "language": ("ours_vs_lid176",),
    "memory": ("peak_at_1x_vs_10x",),
    "pii": (),
    "nsfw": ("ours_vs_datatrove_url_filter",),
    "classifiers": (),
    "scale": (),
    "whatif": (),
    "warc": ("ours_vs_fastwarc",),
}
"""Benchmark -> the keys that `ratios` holds, no more and no fewer."""
OF_A_PART: Mapping[str, str] = {"ours_vs_datatrove_four_filters": "datatrove"}
"""Ratio on a part of the input -> the peer whose `documents` those are."""


@dataclass(frozen=True)
class Options:
    """How to run a benchmark."""

    quick: bool
    data: Path
    turns: int
    """Turns of ours; of the peer as many, but one when quick."""
    pages: int | None = None
    """At most so many pages: for a look, not for a result."""
    minutes: float = 2.0
    """CPU minutes of the peer that the input is sized for, where the benchmark sizes it."""
    dclm: Path | None = None
    """A checkout of mlfoundations/dclm, a peer of `verdicts`."""

    @property
    def peer_turns(self) -> int:
        return 1 if self.quick else self.turns


@dataclass
class Report:
    """One benchmark's result."""

    name: str
    input: Mapping[str, Any]
    ours: Mapping[str, Any]
    peers: Mapping[str, Any]
    ratios: Mapping[str, float]
    """Above 1 = ours is better."""
    other_ratios: Mapping[str, float]
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The object, checked: exactly the ratios that the name asks for, all finite."""
        if set(self.ratios) != set(RATIOS[self.name]):
            raise MeasureError(
                f"{self.name}: ratios are {sorted(self.ratios)}, expected {RATIOS[self.name]}"
            )
        found = {key: getattr(self, key) for key in KEYS}
        for key in ("ratios", "other_ratios"):
            found[key] = {name: round(float(value), 4) for name, value in found[key].items()}
        json.dumps(found, allow_nan=False)  # raises ValueError on NaN and infinity
        return found


def machine(command: str) -> dict[str, Any]:
    """Where and how it was run."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "command": command,
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def our_versions() -> dict[str, str]:
    """Python and the libraries of our side that the figures depend on."""
    found = {"python": platform.python_version()}
    for package in ("tokenmill", "ray", "pyarrow", "numpy", "numba", "trafilatura", "resiliparse",
                    "lxml", "fastwarc", "phonenumbers", "ahocorasick_rs", "pycld2",
                    "fasttext-numpy2", "stopwordsiso", "tokenizers", "fastokens", "tiktoken",
                    "gigatoken"):  # fmt: skip
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def side_json(
    turns: Sequence[Usage], startup: Usage, settings: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    """One side's figures: medians, every turn, start-up apart, settings."""
    return {
        "cpu_seconds": round(statistics.median(t.cpu_seconds for t in turns), 3),
        "wall_seconds": round(statistics.median(t.wall_seconds for t in turns), 3),
        "peak_pss_bytes": max(t.peak_pss_bytes for t in turns),
        "peak_process_rss_bytes": max(t.peak_process_rss_bytes for t in turns),
        "startup": usage_json(startup),
        "turns": [usage_json(turn) for turn in turns],
        "settings": settings,
        **more,
    }


def usage_json(usage: Usage) -> dict[str, Any]:
    found = asdict(usage)
    found["cpu_seconds"] = round(usage.cpu_seconds, 3)
    found["wall_seconds"] = round(usage.wall_seconds, 3)
    return found


def ratio(
    peer: Sequence[Usage], peer_startup: Usage, ours: Sequence[Usage], our_startup: Usage,
    what: str = "cpu_seconds",
) -> float:  # fmt: skip
    """Median over turns of peer / ours, start-up left out of both. Raises MeasureError.

    Where the peer has fewer turns (`--quick`), its last one stands against the rest of ours.
    """
    found: list[float] = []
    for at, our_turn in enumerate(ours):
        above = getattr(peer[min(at, len(peer) - 1)], what) - getattr(peer_startup, what)
        below = getattr(our_turn, what) - getattr(our_startup, what)
        if above <= 0 or below <= 0:
            raise MeasureError(
                f"a turn took no more than its start-up ({what}: peer {above:.2f}, ours "
                f"{below:.2f} above it): the input is too small to say anything"
            )
        found.append(above / below)
    return statistics.median(found)


def plain_ratio(peer: Sequence[Usage], ours: Sequence[Usage], what: str) -> float:
    """Median of peer over median of ours, start-up and all."""
    above = statistics.median(float(getattr(turn, what)) for turn in peer)
    return above / statistics.median(float(getattr(turn, what)) for turn in ours)


def input_json(web: Web, **more: Any) -> dict[str, Any]:
    return {**web.to_json(), **more}


def save(report: Mapping[str, Any]) -> Path:
    """Write the report to `results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{report['name']}.json"
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return path


def table(folder: Path = RESULTS) -> str:
    """A Markdown table of all committed results, a row a ratio; the goals' ratios in bold.

    The command stands in each result's first row. Turns are those of ours / the fewest of a peer.
    """
    rows = ["| benchmark | ratio | value | input | turns | command |", "|---|---|---|---|---|---|"]
    # NAME.json is the latest run; NAME-*.json are further ones, such as one of more input.
    paths = [p for n in RATIOS for p in (folder / f"{n}.json", *sorted(folder.glob(f"{n}-*.json")))]
    for path in paths:
        if not path.exists():
            continue
        name, found = path.stem, json.loads(path.read_text())
        command = f"`{found['machine'].get('command', '')}`"
        peers = [turns_of(peer) for peer in found["peers"].values()]
        turns = " / ".join(map(str, [turns_of(found["ours"]), *([min(peers)] if peers else [])]))
        shown = [(f"**{key}** | **{value:.2f}**", key) for key, value in found["ratios"].items()]
        shown += [(f"{key} | {value:.2f}", key) for key, value in found["other_ratios"].items()]
        for cells, key in shown:
            side = found["peers"].get(OF_A_PART.get(key), {})
            size = f"{side.get('documents', found['input'].get('documents', 0)):,} documents"
            rows.append(f"| {name} | {cells} | {size} | {turns} | {command} |")
            command = ""
    return "\n".join(rows) + "\n"


TABLES: Mapping[str, Callable[[Path], str]] = {
    "table": table,
    "extraction": extraction_table.table,
    "filters": filters_table.table,
    "verdicts": verdicts_table.table,
    "pii": pii_table.table,
    "language": language_table.table,
    "nsfw": nsfw_table.table,
    "classifiers": classifiers_table.table,
    "dedup": dedup_table.table,
    "dedup_scale": text_steps_table.scale,
    "spans": text_steps_table.spans,
    "decontaminate": text_steps_table.decontaminate,
    "loader_device": loader_device_table.table,
}
"""Mark of a page -> what stands between it and its end, made from the results."""


def write_table(page: Path = PAGE, folder: Path = RESULTS) -> str:
    """Put the tables between the marks of the page; returns the one of all ratios."""
    text = page.read_text()
    for name, make in TABLES.items():
        marks = re.compile(f"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        made = make(folder)
        text = marks.sub(lambda found, made=made: found[1] + made + found[2], text)  # type: ignore[misc]
    page.write_text(text)
    return table(folder)
