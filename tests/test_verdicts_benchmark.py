"""The benchmark of verdicts: causes, peers with our words, pages in bulk, its table."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import bulk, verdicts, verdicts_table
from benchmarks.decisions import (
    UNEXPLAINED,
    Verdict,
    compared,
    datatrove_cause,
    joined_verdict,
    variant_cause,
)
from benchmarks.filters import _rows, written
from benchmarks.measure import MeasureError
from benchmarks.peers import environment

JOINED = "ab c d e f a bc d e f"
"""Two runs of five words that are one string without their spaces."""


@pytest.mark.parametrize(
    ("name", "text", "ours", "peer", "says"),
    [
        ("fineweb_quality", " ", None, "empty", "blank"),
        ("fineweb_quality", "a", None, "empty", ""),
        ("c4_lines", "lorem ipsum {", "lorem_ipsum", "curly_bracket", "first"),
        ("c4_lines", "lorem ipsum", "lorem_ipsum", "curly_bracket", ""),
        ("c4_lines", "lorem ipsum {", "curly_bracket", "lorem_ipsum", ""),
        ("fineweb_quality", "a\u1b7f", None, "line_punctuation_ratio", "Unicode 18"),
        ("fineweb_quality", "a\u1b7f\nb", "line_punctuation_ratio", "list_ratio", "Unicode 18"),
        ("fineweb_quality", "a\u1b7f", None, "short_line_ratio", ""),
        ("fineweb_quality", "a\u1b7f b", None, "line_punctuation_ratio", ""),
        ("fineweb_quality", "a.", None, "line_punctuation_ratio", ""),
        ("gopher_repetition", JOINED, None, "duplicate_5gram_ratio", "without a space"),
        ("gopher_repetition", JOINED, "duplicate_6gram_ratio", "duplicate_5gram_ratio", "space"),
        ("gopher_repetition", JOINED, "duplicate_line_ratio", "duplicate_5gram_ratio", ""),
        ("gopher_repetition", JOINED, None, "duplicate_line_ratio", ""),
        ("gopher_repetition", "a b c d e f", "top_2gram_ratio", None, ""),
        ("gopher_quality", "a b", None, "word_count_too_low", ""),
    ],
)
def test_a_difference_is_laid_to_a_cause_of_the_metric_that_differs(
    name: str, text: str, ours: Verdict, peer: Verdict, says: str
) -> None:
    found = datatrove_cause(name, text, ours, peer)
    assert (says in found) if says else (found == UNEXPLAINED)


def test_the_texts_of_the_causes_are_what_they_are_taken_for() -> None:
    assert joined_verdict(JOINED) == "duplicate_5gram_ratio"
    assert joined_verdict("a b c d e f") is None


def test_a_change_of_the_peer_is_the_cause_where_it_gives_our_verdict() -> None:
    texts, ours = ["a", "b", "c", "d"], ["x", None, None, "x"]
    peer = ["x", "x", "y", None]
    changes: dict[str, list[Verdict]] = {
        "words": ["x", None, "z", "z"], "phrases": [None, None, None, "y"],
    }  # fmt: skip
    told = compared(texts, ours, peer, variant_cause(changes))
    assert told["causes"] == {"words": 1, "phrases": 1, UNEXPLAINED: 1}
    assert (told["equal"], told["same_fate"]) == (1, 1)
    assert told["differences"] == [(None, "x"), (None, "y"), ("x", None)]


def test_dolma_gives_our_verdicts_with_our_words(shared_data: Path, tmp_path: Path) -> None:
    if not (environment("dolma") / "complete").exists():
        pytest.skip("the peer's environment is not there: python -m benchmarks verdicts makes it")
    rows = list(_rows(shared_data / "quality" / "dclm_human_quality.jsonl.gz"))[:40]
    found = [row["text"] for row in rows] + ["It is 中文 of the people. " * 20, "a { of", "the"]
    web = written("verdicts-test", found, tmp_path)
    sides = [verdicts.side(verdicts.OURS), verdicts.side(verdicts.DOLMA)]
    for one in sides:
        one.turn(web)
    ours, peer = sides[0].found["dolma"][""], sides[1].found["dolma"]
    words = next(what for what in peer if what)
    told = verdicts.decisions(found, ours, peer, words)
    assert {one["equal"] for one in told["ours"].values()} == {len(found)}
    assert told["own"]["gopher_quality"]["causes"].get(UNEXPLAINED) is None
    assert told["own"]["gopher_quality"]["dropped_by_peer"] >= 5
    assert told["own"]["c4_lines"]["dropped_by_peer"] >= 1


def test_a_folder_that_is_no_checkout_of_dclm_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="checkout of mlfoundations/dclm"):
        verdicts.checked(tmp_path)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A Debian package of three pages and a file that is none."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("there is no dpkg-deb")
    docs, control = tmp_path / "p" / "usr" / "share", tmp_path / "p" / "DEBIAN"
    docs.mkdir(parents=True)
    control.mkdir()
    (control / "control").write_text(
        "Package: pages\nVersion: 1\nArchitecture: all\nMaintainer: none <a@b.invalid>\n"
        "Description: pages\n"
    )
    for name in ("a.html", "b.htm", "c.html", "d.txt"):
        (docs / name).write_text(f"<p>{name}")
    debs = tmp_path / "debs"
    debs.mkdir()
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", tmp_path / "p", debs / "pages_1_all.deb"],
        check=True, capture_output=True,
    )  # fmt: skip
    return debs / "pages_1_all.deb"


def test_pages_of_a_package_are_its_html_in_one_order(package: Path) -> None:
    found = dict(bulk.pages(package))
    assert {Path(name).name: html for name, html in found.items()} == {
        name: f"<p>{name}".encode() for name in ("a.html", "b.htm", "c.html")
    }
    assert list(bulk.pages(package, 2)) == list(found.items())[:2]


def test_a_package_that_lies_there_is_not_fetched(package: Path) -> None:
    assert bulk.packages(package.parents[1], ["pages"]) == {"pages": package}


def test_the_table_shows_peers_filters_and_causes(tmp_path: Path) -> None:
    assert verdicts_table.table(tmp_path) == ""
    one = {"texts": 4, "dropped_by_ours": 2, "dropped_by_peer": 1, "equal": 3,
           "causes": {"unexplained": 1}}  # fmt: skip
    found = {
        "machine": {"command": "python -m benchmarks verdicts"},
        "input": {"documents": 12345},
        "ours": {"turns": [1], "decisions": {"dolma": {"c4_lines": one}}},
        "peers": {"dolma": {"turns": [1]}},
    }
    (tmp_path / "verdicts.json").write_text(json.dumps(found))
    lines = verdicts_table.table(tmp_path).splitlines()
    assert "on 12,345 documents; turns: ours 1, dolma 1." in lines[0]
    assert "| dolma | c4_lines | 4 | 2 | 1 | 3 | 1: unexplained |" in lines
