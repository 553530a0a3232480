"""Documents for classifier tests: prose about rivers and gardens, and shop talk. Tests only."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from conftest import write_jsonl

WANTED = "river stone valley garden winter teacher letter history measure theory bridge evening"
UNWANTED = "buy cheap offer click deal shipping cart discount coupon sale order now"
COMMON = "the a of to and in it was is for with on at by from"


def text(wanted: bool, seed: int, words: int = 120) -> str:
    """A text mostly of its kind's words; a tenth are the other kind's."""
    draw = random.Random(f"{wanted}-{seed}")
    own, other = (WANTED, UNWANTED) if wanted else (UNWANTED, WANTED)
    pools = [COMMON.split()] * 6 + [own.split()] * 3 + [other.split()]
    return " ".join(draw.choice(draw.choice(pools)) for _ in range(words))


def rows(wanted: bool, count: int) -> list[dict[str, Any]]:
    kind = "wanted" if wanted else "unwanted"
    return [{"id": f"{kind}-{n}", "text": text(wanted, n)} for n in range(count)]


def write_corpus(folder: Path, files: int, reverse: bool = False) -> None:
    """wanted-*.jsonl, and web-*.jsonl of which every fourth document is of the wanted kind."""
    web = [
        {"id": f"web-{n}", "text": text(n % 4 == 0, 1000 + n), "url": f"https://a.example/{n}"}
        for n in range(160)
    ]
    for name, found in (("wanted", rows(True, 120)), ("web", web)):
        found = found[::-1] if reverse else found
        for part in range(files):
            write_jsonl(folder / f"{name}-{part}.jsonl", found[part::files])


CONFIG = """
name: classified
seed: 5
steps:
  - id: web
    read_jsonl: {{paths: ["{folder}/web-*.jsonl"], id: id, url: url}}
  - id: wanted
    read_jsonl: {{paths: ["{folder}/wanted-*.jsonl"], id: id}}
  - train_classifier: {{positives: [wanted], negatives: [web], model: {model},
      holdout_permille: 300, dim: 8, buckets: 2000, bits: 12, sample_documents: 100}}
  - inputs: [web]
    classify: {{}}
  - keep_top: {{by: classify.score, share: 0.25}}
  - write_documents: {{}}
"""
