"""Precision and recall of `stages.pii` by type on sentences whose spans are labelled.

The set is presidio-research's `synth_dataset_v2` (835 sentences filled in by Faker). It has two
halves, split by a hash of the template that a sentence was made of: the stage was written with an
eye on the half `dev`, and on no sentence of `held_out`. A span counts as found if one of the same
type covers the same characters.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.pii.spans import Finder

FILE = "pii/presidio_synth_v2.jsonl.gz"
TYPES = {
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "credit_card",
    "IBAN_CODE": "iban",
}
"""Label of the set -> our type. It has no secrets."""
HALVES = ("dev", "held_out")
Place = tuple[int, int, int, str]
"""(row, first character, character behind the last, type)."""


def rows(data: Path) -> list[dict[str, Any]]:
    """The labelled sentences: `text`, `spans`, `template_id`."""
    with gzip.open(data / FILE, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def half(row: Mapping[str, Any]) -> str:
    """`dev` or `held_out`, by the template: sentences of one template are all in one half."""
    digest = hashlib.sha256(f"template {row['template_id']}".encode()).digest()
    return HALVES[digest[0] % 2]


def labelled(sentences: Sequence[Mapping[str, Any]]) -> set[Place]:
    """The spans of our types."""
    return {
        (number, span["start_position"], span["end_position"], TYPES[span["entity_type"]])
        for number, row in enumerate(sentences)
        for span in row["spans"]
        if span["entity_type"] in TYPES
    }


def found(sentences: Sequence[Mapping[str, Any]], regions: tuple[str, ...]) -> set[Place]:
    """What the stage finds, in characters."""
    texts = [str(row["text"]) for row in sentences]
    finder = Finder(frozenset(TYPES.values()), regions)
    places = set()
    for row, start, end, kind in finder.find(pa.array(texts, pa.large_string())).spans:
        data = texts[row].encode()
        places.add((row, len(data[:start].decode()), len(data[:end].decode()), kind))
    return places


def scores(wanted: set[Place], got: set[Place]) -> dict[str, dict[str, Any]]:
    """Type -> labelled, found, both, precision, recall; null where nothing is there to divide by.

    `touched` counts labelled spans that a find of any type overlaps: what was masked at least in
    part, whatever it was taken for.
    """
    near: dict[int, list[Place]] = defaultdict(list)
    for place in got:
        near[place[0]].append(place)
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in TYPES.values()}
    for place in wanted:
        row, start, end, kind = place
        counts[kind]["labelled"] += 1
        counts[kind]["both"] += place in got
        counts[kind]["touched"] += any(s < end and start < e for _, s, e, _ in near[row])
    for *_, kind in got:
        counts[kind]["found"] += 1
    return {
        kind: {
            **{name: c[name] for name in ("labelled", "found", "both", "touched")},
            "precision": _share(c["both"], c["found"]),
            "recall": _share(c["both"], c["labelled"]),
        }
        for kind, c in counts.items()
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def judged(data: Path, region_sets: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """Regions joined by `+` -> half (and `all`) -> scores by type."""
    sentences = rows(data)
    halves = [half(row) for row in sentences]
    made: dict[str, Any] = {}
    for regions in region_sets:
        wanted, got = labelled(sentences), found(sentences, regions)
        parts = {"all": scores(wanted, got)}
        for name in HALVES:
            parts[name] = scores(
                {place for place in wanted if halves[place[0]] == name},
                {place for place in got if halves[place[0]] == name},
            )
        made["+".join(regions)] = parts
    return made
