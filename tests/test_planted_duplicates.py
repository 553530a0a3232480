"""Dedup on the generated sample web: what was planted goes, by theory's rate, and nothing else.

From WARC files to kept documents; a web with 25 near duplicates in 100 pages, at Jaccard
similarities of .6 to .96 of the articles. What the extractor makes of a page holds more than its
article, so similarities are counted again, by the slow definition of a shingle, on the texts that
the dedup steps read.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from test_samples import truth_of
from test_shingles import slow_words

from pipeline.execution.runner import Options, run
from pipeline.planning.config import parse_config
from pipeline.planning.plan import make_plan
from samples.crawl import crawl
from samples.generate import SEED, generate, main
from samples.plan import BLOCK, QUOTA, USUAL, Planting, plan_block
from stages.dedup.minhash_notes import candidate_probability
from stages.kernels.shingles import Normalisation

PAGES = 2400
PLANTING = Planting(25, 60, 96)
ARTICLES = ("unique", "pii", "benchmark_question", "curly_braces")
"""Kinds of pages that are an article of their own; they have no copies unless one names them."""
STEPS = """\
name: test
seed: 1
max_drop_ratio: 1.0
steps:
  - id: web
    read_warc: {{paths: ["{folder}/web/*.warc.gz"]}}
  - extract: {{}}
{steps}  - write_documents: {{}}
"""
EXACT, MINHASH = "  - exact_dedup: {}\n", "  - minhash_dedup: {}\n"
UNVERIFIED = "  - minhash_dedup: {verify: none}\n"
VERIFIED = "  - minhash_dedup: {verify: exact}\n"


@dataclass(frozen=True)
class Planted:
    """The web's pages by URL, and how to run steps on them."""

    truth: dict[str, dict[str, Any]]
    texts: dict[str, str]
    kept: Callable[[str], frozenset[str]]
    """URLs that the steps keep."""

    def pairs(self, *kinds: str) -> list[tuple[str, str]]:
        """(copy, original) where the original has this one copy only."""
        copies = Counter(row["of"] for row in self.truth.values() if row["of"])
        return [
            (url, row["of"])
            for url, row in self.truth.items()
            if row["kind"] in kinds and copies[row["of"]] == 1
        ]

    def uniques(self) -> set[str]:
        copied = {row["of"] for row in self.truth.values()}
        return {
            url
            for url, row in self.truth.items()
            if row["kind"] in ARTICLES and url not in copied and url in self.texts
        }

    def jaccard(self, one: str, other: str) -> float:
        a, b = shingles(self.texts[one]), shingles(self.texts[other])
        return len(a & b) / len(a | b)


@cache
def shingles(text: str) -> set[tuple[str, ...]]:
    words = slow_words(text, Normalisation())
    return {tuple(words[at : at + 5]) for at in range(max(1, len(words) - 4))}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("planted")
    generate(PAGES, folder, files=4, planting=PLANTING)

    def documents(steps: str) -> dict[str, str]:
        text = STEPS.format(folder=folder, steps=steps)
        config = parse_config(text, "test.yaml", [f"workdir={folder / 'work'}"])
        result = run(make_plan(config), Options())
        found: dict[str, str] = {}
        for entry in result.dataset["documents"]:
            path = folder / "work" / "dataset" / entry["file"]
            rows = pq.read_table(path, columns=["url", "text"]).to_pylist()
            found.update((row["url"], row["text"]) for row in rows)
        return found

    @cache
    def kept(steps: str) -> frozenset[str]:
        return frozenset(documents(steps))

    truth = {row["url"]: row for row in truth_of(folder)}
    return Planted(truth, documents(""), kept)


def test_one_of_every_pair_of_exact_copies_stays(planted: Planted) -> None:
    pairs = planted.pairs("exact_duplicate", "mirror")
    assert len(pairs) > 100
    by_text = planted.kept(EXACT)
    both = planted.kept(EXACT + MINHASH)
    same = [pair for pair in pairs if planted.texts[pair[0]] == planted.texts[pair[1]]]
    assert len(same) > 5
    assert [sum(url in by_text for url in pair) for pair in same] == [1] * len(same)
    # The rest differ by the line with the date: they are as near as can be, not equal.
    left = {pair: sum(url in both for url in pair) for pair in pairs}
    wrong = {pair: planted.jaccard(*pair) for pair, count in left.items() if count != 1}
    assert not wrong


@pytest.mark.parametrize("steps", [MINHASH, UNVERIFIED, VERIFIED])
def test_no_page_that_was_written_once_is_removed(steps: str, planted: Planted) -> None:
    uniques = planted.uniques()
    assert len(uniques) > 500
    assert not uniques - planted.kept(EXACT + steps)


def check_rate(chances: list[float], removed: int, what: str) -> None:
    """Within four standard deviations of a sum of draws with these chances, and a half."""
    expected = sum(chances)
    deviation = math.sqrt(sum(p * (1 - p) for p in chances))
    assert abs(removed - expected) <= 4 * deviation + 0.5, (
        f"{what}: {removed} of {len(chances)} removed, expected {expected:.1f} ± {deviation:.1f}"
    )


def test_near_copies_go_at_the_rate_of_the_s_curve(planted: Planted) -> None:
    kept = planted.kept(UNVERIFIED)
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for pair in planted.pairs("near_duplicate"):
        similarity = planted.jaccard(*pair)
        gone = sum(url not in kept for url in pair)
        assert gone < 2
        chance = candidate_probability(similarity, 14, 8)
        bins[min(int(similarity * 20), 18)].append((chance, gone == 1))
    whole = [draw for draws in bins.values() for draw in draws]
    assert len(whole) > 400
    assert {place for place, draws in bins.items() if len(draws) > 20} >= set(range(12, 19))
    for place, draws in [*bins.items(), (0, whole)]:
        chances = [chance for chance, _ in draws]
        check_rate(chances, sum(gone for _, gone in draws), f"Jaccard {place / 20}")


def test_with_exact_verification_nothing_below_the_threshold_goes(planted: Planted) -> None:
    kept = planted.kept(VERIFIED)
    near, far = [], []
    for pair in planted.pairs("near_duplicate"):
        gone = sum(url not in kept for url in pair)
        similarity = planted.jaccard(*pair)
        (near if similarity >= 0.75 else far).append((similarity, gone))
    assert len(far) > 100
    assert not [similarity for similarity, gone in far if gone]
    chances = [candidate_probability(similarity, 14, 8) for similarity, _ in near]
    check_rate(chances, sum(gone for _, gone in near), "at the threshold and above")


# --- The generator --------------------------------------------------------------------------------


def test_the_usual_planting_makes_the_usual_pages() -> None:
    for page in range(0, 300, 7):
        assert crawl(SEED, page, Planting()) == crawl(SEED, page)


def test_near_duplicates_are_as_many_and_as_near_as_asked_for() -> None:
    low, high = Planting(20, 60, 62), Planting(20, 94, 96)
    similarities = {}
    for planting in (low, high):
        plans = plan_block(SEED, 3, planting)
        kinds = Counter(plan.kind for plan in plans)
        assert kinds["near_duplicate"] == 20
        assert {kind: kinds[kind] for kind in QUOTA} == planting.quota
        assert sum(kinds.values()) == BLOCK
        pages = [plan.page for plan in plans if plan.kind == "near_duplicate"]
        originals = Counter(plan.of for plan in plans if plan.of is not None)
        assert sum(count == 1 for count in originals.values()) > 15
        similarities[planting] = [crawl(SEED, page, planting).truth["jaccard"] for page in pages]
    assert sum(0.55 < value < 0.7 for value in similarities[low]) >= 16
    assert all(0.92 < value < 0.98 for value in similarities[high])
    assert USUAL.quota == QUOTA


@pytest.mark.parametrize(
    "arguments",
    [["--near-duplicates", "51"], ["--similarity", "96", "60"], ["--similarity", "0", "96"]],
)
def test_plantings_that_cannot_be_made_are_refused(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, str(tmp_path)])
    assert stop.value.code == 2
    assert "to" in capsys.readouterr().err


def test_the_command_line_plants_what_it_is_told(tmp_path: Path) -> None:
    arguments = ["--pages", "100", "--near-duplicates", "10", "--similarity", "90", "95"]
    assert main([*arguments, "--files", "1", str(tmp_path)]) == 0
    rows = [json.loads(line) for line in (tmp_path / "truth.jsonl").open(encoding="utf-8")]
    found = [row["jaccard"] for row in rows if row["kind"] == "near_duplicate"]
    assert len(found) == 10
    assert min(found) > 0.85
