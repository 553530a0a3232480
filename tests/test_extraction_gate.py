"""The gate of the engine `blocks`: what ships must extract these pages no worse than it once did.

A fixed fifth of the gold pages, chosen by a hash of their ids and pinned by a digest: neither may
the floors sink nor the pages shift unnoticed. The model was trained on these pages, so the floors
say nothing about its quality on others (`benchmarks/results/extraction_cv.json` does); they catch
a scanner, a feature, a threshold or a model file that no longer is what was trained.

To raise the floors after a better model: run this file, and take the figures that it prints, less
`SLACK`, which is what one page of an origin's gold may cost without a change of the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError
from stages.extract.gold import page_bytes, quality, read_gold, scorer

CORPUS = "5ba541a3b21574be95711f07440caaa193deb69c6942139aebd7e2c684c429e0"
"""SHA-256 over ids, pages and gold of the sample."""
FLOORS: Mapping[str, float] = {
    "macro": 0.963,
    "fundus": 0.924,
    "scrapinghub-aeb": 0.995,
    "trafilatura-eval": 0.963,
    "wcxb": 0.894,
}
"""`macro`, and each origin whose sample is large enough to say something -> least score."""
ORIGINS = ("fundus", "scrapinghub-aeb", "trafilatura-eval", "wcxb")
"""Origins with more than ten pages in the sample."""
SLACK = 0.003
SHARE = 256 // 5


def in_sample(row: Mapping[str, Any]) -> bool:
    return hashlib.sha256(row["id"].encode()).digest()[0] < SHARE


def corpus_digest(rows: list[dict[str, Any]]) -> str:
    whole = hashlib.sha256()
    for row in sorted(rows, key=lambda each: str(each["id"])):
        for part in (row["id"].encode(), page_bytes(row), str(row["gold_text"]).encode()):
            whole.update(hashlib.sha256(part).digest())
        for snippets in (row["must_contain"], row["must_not_contain"]):
            whole.update(hashlib.sha256(repr(snippets or []).encode()).digest())
    return whole.hexdigest()


@pytest.fixture(scope="module")
def sample(shared_data: Path) -> list[dict[str, Any]]:
    """The pages, large ones included."""
    folder = shared_data / "extraction_gold"
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}")
    try:
        scorer()
    except InputError as error:
        pytest.skip(f"shared data without the judge: {error}")
    return [row for row in read_gold(sorted(folder.glob("*.jsonl.gz"))) if in_sample(row)]


def test_the_pages_of_the_gate_have_not_shifted(sample: list[dict[str, Any]]) -> None:
    assert corpus_digest(sample) == CORPUS, (
        "other pages: floors pinned on the old ones mean nothing"
    )


def test_the_floors_of_the_gate_are_set() -> None:
    assert set(FLOORS) == {"macro", *ORIGINS}, "measure the shipped model and pin its floors"
    assert all(0.5 < floor < 1 for floor in FLOORS.values())


def test_the_shipped_model_stays_above_its_floors(sample: list[dict[str, Any]]) -> None:
    from stages.charset import to_utf8
    from stages.extract.engines import load_engine

    engine = load_engine("blocks")
    texts = {row["id"]: engine(to_utf8(page_bytes(row))[0], row["url"]).text for row in sample}
    found = quality(sample, texts)
    scores = {"macro": found["macro"], **found["origins"]}
    shown = ", ".join(f"{name} {scores[name]:.4f}" for name in ("macro", *ORIGINS))
    assert FLOORS, f"no floors are pinned; the shipped model scores {shown}"
    low = {name: scores[name] for name, floor in FLOORS.items() if scores[name] < floor}
    assert not low, f"below the floor: {low}; all: {shown}"
