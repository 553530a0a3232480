"""Training of the engine `blocks`: labels, tables out of fold, trees in heap order, equal bytes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.extract.forest import Trees, sums
from stages.extract.json_ld import JsonLd
from stages.extract.kind import PAGE_VECTOR, page_vector
from stages.extract.model import load_model
from stages.extract.page import Scanner
from stages.extract.training.boost import kind_label
from stages.extract.training.corpus import Corpus, fold_of
from stages.extract.training.dataset import balanced, training_page
from stages.extract.training.heap import floor_float32, trees_of
from stages.extract.training.labels import covered_share, snippet_labels
from stages.extract.training.model_file import MAX_BYTES, model_bytes, read_meta, write_model
from stages.extract.training.train import train
from stages.kernels.html_columns import FEATURES


def page_of(number: int, main: str = "body") -> dict[str, Any]:
    """A page of our own: a menu, some paragraphs, a footer."""
    said = [f"Sentence {k} of page {number} says what word{number * 7 + k} is." for k in range(6)]
    html = (
        "<html><body><nav class=menu><a href=/>Home</a> <a href=/x>More</a></nav>"
        f"<div class='{main} text'>{''.join(f'<p>{each * 3}</p>' for each in said)}</div>"
        "<div class='footer small'><p>All rights reserved by the owner of this site</p></div>"
        "</body></html>"
    )
    return {
        "id": f"own/{number}", "url": f"https://site{number}.example/", "html": html,
        "gold_text": "\n".join(each * 3 for each in said), "must_contain": None,
        "must_not_contain": None, "page_type": "article", "origin": "wcxb",
    }  # fmt: skip


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    scanner = Scanner()
    return Corpus.of([training_page(page_of(number), scanner) for number in range(60)])


# --- Labels ------------------------------------------------------------------------------------


def test_a_block_in_the_gold_text_is_covered_and_another_is_not() -> None:
    said = ["the", "cat", "sat", "on", "the", "mat"]
    blocks = [["Home", "More"], said, ["buy", "our", "new", "mats", "now"]]
    assert covered_share(blocks, "the cat sat on the mat").tolist() == [0, 1, 0]


def test_of_two_copies_only_as_many_are_marked_as_the_gold_text_has() -> None:
    copy = ["one", "two", "three", "four", "five"]
    blocks = [copy, ["menu"], ["and", "here", "the", "text", "goes", "on"], copy]
    found = covered_share(blocks, "one two three four five and here the text goes on")
    assert found.tolist() == [1, 0, 1, 0]


def test_a_wanted_snippet_beats_an_unwanted_one() -> None:
    row = {"must_contain": ["good text"], "must_not_contain": ["bad", "good"]}
    found = snippet_labels(["some good text", "bad luck", "neither"], row)
    assert found.tolist() == [1, 0, -1]


def test_pages_of_the_typed_origin_tell_their_kind(corpus: Corpus) -> None:
    assert kind_label(corpus.pages[0]) == (0, 1.0)


# --- Tables and vectors ------------------------------------------------------------------------


def test_tables_made_out_of_fold_never_see_their_own_fold(corpus: Corpus) -> None:
    use = np.ones(len(corpus.pages), dtype=np.bool_)
    before = corpus.features(use)
    for fold in np.unique(corpus.fold):
        held = corpus.fold == fold
        flipped = corpus.tokens.marked.copy()
        mine = held[corpus.tokens.page]
        flipped[mine] = corpus.tokens.total[mine] - flipped[mine]
        tokens = type(corpus.tokens)(
            corpus.tokens.hashes, corpus.tokens.page, flipped, corpus.tokens.total
        )
        other = Corpus(corpus.pages, corpus.domains, corpus.fold, tokens, corpus.words)
        after = other.features(use)
        for at in np.flatnonzero(held).tolist():
            np.testing.assert_array_equal(before[at].rows, after[at].rows)


def test_a_domain_is_in_one_fold_whatever_else_is_there() -> None:
    assert [fold_of(f"site{k}.example") for k in range(6)] == [
        fold_of(f"site{k}.example") for k in range(6)
    ]
    assert {fold_of(f"site{k}.example") for k in range(100)} == set(range(5))


def test_the_page_vector_has_a_name_for_each_number() -> None:
    rows = np.ones((3, len(FEATURES)), dtype=np.float32)
    words = np.array([1, 2, 3], dtype=np.float32)
    found = page_vector(rows, words, JsonLd(types=("NewsArticle",)), "article")
    assert found.dtype == np.float32
    named = dict(zip(PAGE_VECTOR, found.tolist(), strict=True))
    assert named["type_article"] == named["og_article"] == named["mean_words"] == 1
    assert named["og_product"] == 0
    empty = page_vector(rows[:0], words[:0], JsonLd(), None)
    assert not empty.any()


# --- Trees -------------------------------------------------------------------------------------


def needs_lightgbm() -> Any:
    """LightGBM, or a skip: its wheel loads the system's libgomp, which a bare machine may lack."""
    try:
        import lightgbm
    except (ImportError, OSError) as error:
        pytest.skip(f"LightGBM cannot be loaded: {error}")
    return lightgbm


@pytest.mark.parametrize("objective", ["cross_entropy", "multiclass"])
def test_trees_in_heap_order_say_what_lightgbm_says(objective: str) -> None:
    lightgbm = needs_lightgbm()
    numbers = np.random.default_rng(5)
    rows = numbers.normal(size=(500, 8)).astype(np.float32).round(1)
    label = (rows[:, 0] + rows[:, 1] > 0.3).astype(np.float32) + (rows[:, 2] > 1)
    more: dict[str, Any] = {"num_class": 3} if objective == "multiclass" else {}
    if not more:
        label = np.minimum(label, 1)
    given = {"objective": objective, "max_depth": 4, "num_leaves": 9, "verbose": -1, **more}
    booster = lightgbm.train({**given, "num_threads": 1}, lightgbm.Dataset(rows, label), 12)
    trees, inner = trees_of(booster, 4), 15
    wanted = booster.predict(rows, raw_score=True).reshape(len(rows), -1)
    classes = wanted.shape[1]
    for k in range(classes):
        parts = [
            np.ascontiguousarray(part.reshape(-1, classes, width)[:, k]).ravel()
            for part, width in zip(trees[:3], (inner, inner, inner + 1), strict=True)
        ]
        np.testing.assert_allclose(sums(rows, Trees(*parts, 4)), wanted[:, k], atol=1e-5)


def test_a_threshold_is_rounded_down() -> None:
    assert float(floor_float32(0.1)) <= 0.1 < float(np.nextafter(floor_float32(0.1), np.float32(1)))
    assert floor_float32(0.5) == 0.5


# --- The whole way -----------------------------------------------------------------------------


def test_equal_pages_give_equal_bytes(corpus: Corpus, tmp_path: Path) -> None:
    needs_lightgbm()
    use = np.ones(len(corpus.pages), dtype=np.bool_)
    made = train(corpus, use, 1, {"format": 1})
    once = model_bytes(made)
    assert once == model_bytes(train(corpus, use, 1, {"format": 1}))
    write_model(made, tmp_path / "model.npz")
    load_model(tmp_path / "model.npz")
    assert read_meta(tmp_path / "model.npz") == {"format": 1}


@pytest.mark.slow
def test_sixty_gold_pages_are_enough_for_a_model(shared_data: Path, tmp_path: Path) -> None:
    needs_lightgbm()
    from stages.extract.__main__ import main
    from stages.extract.gold import read_gold

    source = shared_data / "extraction_gold" / "wcxb.jsonl.gz"
    if not source.exists():
        pytest.skip(f"no gold pages at {source}")
    rows = [row for row in read_gold([source]) if len(row["html"]) < 60_000][:60]
    gold = tmp_path / "gold.jsonl.gz"
    gold.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    out = tmp_path / "model.npz"
    assert main(["train", str(gold), "--out", str(out)]) == 0
    assert out.stat().st_size <= MAX_BYTES
    load_model(out)
    assert read_meta(out)["pages"] == 60


def test_an_origin_counts_by_the_root_of_its_pages() -> None:
    pages = [
        training_page({**page_of(k), "origin": "a" if k else "b"}, Scanner()) for k in range(10)
    ]
    weights = [float(page.weight.sum()) for page in balanced(pages)]
    before = [float(page.weight.sum()) for page in pages]
    ratios = [after / old for after, old in zip(weights, before, strict=True)]
    assert ratios[0] == pytest.approx((5 / 1) ** 0.5)
    assert ratios[1:] == pytest.approx([(5 / 9) ** 0.5] * 9)
