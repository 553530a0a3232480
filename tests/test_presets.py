"""Every preset plans, runs on the sample web, loses no document and keeps some."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from test_mix import totals_of

from pipeline.execution.runner import Options, RunResult, run
from pipeline.planning.config import load_config
from pipeline.planning.plan import Plan, make_plan
from stages.mix import Mix

EXAMPLES = {"c4like", "classified", "commoncrawl", "pilelike", "urls"}
"""Configurations with tests of their own: they copy no one pipeline, or read no web."""
PRESETS = sorted({path.stem for path in (ROOT / "configs").glob("*.yaml")} - EXAMPLES)
SOURCE = re.compile(
    r"arXiv:\d{4}\.\d{4,5}|\b[\w-]+/[\w.-]+ [0-9a-f]{7,40}\b|\bdatatrove \d+\.\d+\.\d+"
)
"""A paper, or code at a commit or version."""
PAGES = f'steps.web.paths=["{ROOT}/samples/web/*.warc.gz"]'


def dropped(result: RunResult, workdir: Path) -> list[tuple[str, str]]:
    """(URL, reason) of every document that some step dropped."""
    found = []
    for units in result.keys.values():
        for key in units.values():
            manifest = json.loads((workdir / "manifests" / f"{key}.json").read_text())
            for file in manifest["outputs"].get("metrics", {"files": []})["files"]:
                table = pq.read_table(workdir / file["path"], columns=["url", "drop_reason"])
                rows = table.to_pylist()
                found += [(row["url"], row["drop_reason"]) for row in rows if row["drop_reason"]]
    return found


def kept(workdir: Path) -> list[str]:
    dataset = json.loads((workdir / "dataset" / "dataset.json").read_text())
    files = [workdir / "dataset" / entry["file"] for entry in dataset["documents"]]
    return [url for file in files for url in pq.read_table(file)["url"].to_pylist()]


@pytest.mark.parametrize("name", PRESETS)
def test_every_page_is_kept_or_has_one_reason_and_some_are_kept(name: str, tmp_path: Path) -> None:
    config = load_config(ROOT / "configs" / f"{name}.yaml", [f"workdir={tmp_path}", PAGES])
    result = run(make_plan(config), Options())
    with (ROOT / "samples" / "truth.jsonl").open() as lines:
        pages = {json.loads(line)["url"] for line in lines}
    stays, goes = kept(tmp_path), dropped(result, tmp_path)
    fates = Counter([*stays, *(url for url, _ in goes)])
    assert set(fates) == pages
    assert max(fates.values()) == 1
    assert len(stays) + len(goes) == len(pages)
    assert len(stays) >= 20, Counter(reason for _, reason in goes)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_its_source_its_differences_and_what_is_missing(name: str) -> None:
    text = (ROOT / "configs" / f"{name}.yaml").read_text("utf-8")
    head = text.partition("\nname:")[0]
    assert text.partition(f"\nname: {name}\n")[1]
    for words in ("Known differences:", "Not in this preset:"):
        assert words in head
    assert SOURCE.search(head), "an arXiv number, or a repository with its commit or version"


RAW_GIB = {
    "pile_cc": 227.12, "pubmed_central": 90.27, "books3": 100.96, "openwebtext2": 62.77,
    "arxiv": 56.21, "github": 95.16, "freelaw": 51.15, "stack_exchange": 32.20,
    "uspto_backgrounds": 22.90, "pubmed_abstracts": 19.26, "gutenberg_pg19": 10.88,
    "opensubtitles": 12.98, "wikipedia_en": 6.38, "dm_mathematics": 7.75, "ubuntu_irc": 5.52,
    "bookcorpus2": 6.30, "europarl": 4.59, "hackernews": 3.90, "youtube_subtitles": 3.73,
    "philpapers": 2.38, "nih_exporter": 1.89, "enron_emails": 0.88,
}  # fmt: skip
"""Sizes of The Pile's sets (Gao et al. 2020, table 1), which the weights and epochs belong to."""


def pilelike(workdir: Path) -> Plan:
    books = f"{ROOT}/samples/books.jsonl.gz"
    paths = [f'steps.{name}.paths=["{books}"]' for name in RAW_GIB]
    return make_plan(load_config(ROOT / "configs/pilelike.yaml", [f"workdir={workdir}", *paths]))


def test_the_piles_weights_over_its_sizes_are_one_epoch_of_the_pile(tmp_path: Path) -> None:
    plan = pilelike(tmp_path)
    mix = plan["mix"].stage
    assert isinstance(mix, Mix)
    assert isinstance(mix.max_epochs, Mapping)
    assert set(plan.sources_seen_by("mix")) == set(mix.weights or ()) == set(RAW_GIB)
    takes = mix.mixture.takes(totals_of(**{n: int(gib * 10**6) for n, gib in RAW_GIB.items()}))
    taken = {take.group: take.whole * take.epoch_size + take.target for take in takes}
    # Effective size in table 1: 1254.20 GiB. Enron's weight of .14 % is rounded, and bounds it.
    assert 0.99 < sum(taken.values()) / 1254.20e6 <= 1.005
    for name, most in mix.max_epochs.items():
        assert 0.95 * most < taken[name] / (RAW_GIB[name] * 10**6) <= most


@pytest.mark.slow
def test_the_piles_mixture_runs_on_the_sample(tmp_path: Path) -> None:
    totals = run(pilelike(tmp_path), Options()).dataset["totals"]
    train = {row["group"]: row for row in totals if row["split"] == "train"}
    assert set(train) == set(RAW_GIB)
    whole = sum(row["wanted_tokens"] for row in train.values())
    for name, percent in (("pile_cc", 18.11), ("github", 7.59), ("enron_emails", 0.14)):
        assert abs(train[name]["wanted_tokens"] / whole - percent / 100) < 1e-4


def test_a_path_alone_is_no_source() -> None:
    for text in ("arXiv: see there", "examples/fineweb.py", "and/or 12 pages", "allenai/dolma"):
        assert not SOURCE.search(text)
    for text in ("arXiv:2112.11446", "allenai/dolma 669f534", "datatrove 0.10.1"):
        assert SOURCE.search(text)
