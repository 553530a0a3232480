"""The benchmark of URL lists and word lists: its judge, its sides on a few URLs, its table."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import nsfw, nsfw_table
from benchmarks.peers import environment
from benchmarks.report import RESULTS
from stages.url_filter import UrlFilter


def script() -> ModuleType:
    """`filter_urls.py`, which is run and never imported elsewhere."""
    spec = importlib.util.spec_from_file_location("filter_urls", nsfw.SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_precision_recall_and_what_falls_of_the_good() -> None:
    found = nsfw.judged([True, True, False, True], [True, False, True, False])
    assert found == {"bad": 2, "good": 2, "precision": 0.3333, "recall": 0.5, "good_dropped": 1.0}
    assert nsfw.judged([False], [False])["precision"] == 0.0


def test_the_stage_names_the_lines_that_it_drops(tmp_path: Path) -> None:
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "domains").write_text("bad.example\n")
    stage = UrlFilter(lists=str(tmp_path), cache=str(tmp_path / "cache"))
    urls = ["https://good.example/", "http://www.bad.example/x", "https://other.example/"]
    assert [number for number, _ in script().judge_by(stage)(urls)] == [1]


def test_both_sides_drop_what_the_list_has(tmp_path: Path) -> None:
    if not (environment("url_filter") / "complete").exists():
        pytest.skip("the peer's environment is not there: python -m benchmarks nsfw makes it")
    lists = nsfw.peer_lists()
    domain = nsfw.rows(nsfw_data() / "datatrove_domains_sample.jsonl.gz")[0]["domain"]
    web = nsfw.url_web([f"http://{domain}/", "https://weather.example/today"])
    for name in ("ours_lists", nsfw.PEER):
        side = nsfw.url_side(name, lists)
        side.turn(web)
        assert list(side.found) == ["0"]


def nsfw_data() -> Path:
    from conftest import SHARED

    if not (SHARED / "data").is_dir():
        pytest.skip(f"no shared data at {SHARED} (set TOKENMILL_SHARED)")
    return SHARED / "data" / "url_blocklist"


def test_the_table_shows_the_committed_figures(tmp_path: Path) -> None:
    assert nsfw_table.table(tmp_path) == ""
    found = json.loads((RESULTS / "nsfw.json").read_text())
    made = nsfw_table.table(RESULTS)
    assert f"| {found['ours']['urls_per_cpu_second']:,} |" in made
    for name in found["ours"]["word_quality"]:
        assert name in made
