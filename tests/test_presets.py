"""Every preset plans, runs on the sample web, loses no document and keeps some."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from pipeline.config import load_config
from pipeline.plan import make_plan
from pipeline.runner import Options, RunResult, run

EXAMPLES = {"c4like", "classified"}
"""Configurations with tests of their own, that copy no one pipeline."""
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


def test_a_path_alone_is_no_source() -> None:
    for text in ("arXiv: see there", "examples/fineweb.py", "and/or 12 pages", "allenai/dolma"):
        assert not SOURCE.search(text)
    for text in ("arXiv:2112.11446", "allenai/dolma 669f534", "datatrove 0.10.1"):
        assert SOURCE.search(text)
