"""What the blocks engine makes of a page: features, trees, the choice of blocks."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_extract import best_blocks, predict

from stages.extract.comments import comment_blocks, part_hash
from stages.extract.features import PageFeatures, features_of
from stages.extract.forest import Trees, sums
from stages.extract.json_ld import read_json_ld
from stages.extract.model import TOKEN_SLOTS, BlocksModel, load_model, slots
from stages.extract.page import Scanner
from stages.kernels.html_columns import FEATURES, odds_of
from stages.kernels.html_groups import number_groups, slots_for
from stages.kernels.html_select import FLOOR, SURE
from stages.kernels.html_text import BLOCK_COLUMNS, END, NODE, NODE_COLUMNS, PARENT
from stages.kernels.tree_lanes import LANES, TILE
from stages.kernels.trees import FAR, STOPS

Floats = npt.NDArray[np.float32]


@numba.njit  # type: ignore[untyped-decorator]  # number_groups has no entry of its own from Python
def _number_groups(keys: Any, slots: Any, firsts: Any, groups: Any) -> Any:
    return number_groups(keys, slots, firsts, groups)


@numba.njit  # type: ignore[untyped-decorator]  # nor has odds_of
def _odds_of(factors: Any, keys: Any, values: Any, key: Any) -> Any:
    return odds_of(factors, keys, values, key)


PROBABILITIES = st.integers(0, 20).map(lambda n: np.float32(n / 20))


def features(html: str) -> PageFeatures:
    return features_of(Scanner().scan(html.encode()), load_model().odds)


def column(html: str, name: str) -> list[float]:
    return [round(float(value), 4) for value in features(html).rows[:, FEATURES.index(name)]]


def test_columns_say_what_their_names_say() -> None:
    page = (
        "<title>Old bridge</title><nav><ul><li><a href=/>Home page</a></li></ul></nav>"
        "<h1>Old bridge</h1><p>It is old, they say. It <b>stands</b>!</p><p>It is old</p>"
    )
    assert column(page, "link_share") == [round(8 / 9, 4), 0, 0, 0]  # a blank is no link's
    assert column(page, "is_item") == [1, 0, 0, 0]
    assert column(page, "in_nav") == [1, 0, 0, 0]
    assert column(page, "heading") == [0, 1, 0, 0]
    assert column(page, "terminal") == [0, 0, 1, 0]
    assert column(page, "words") == [round(float(np.log1p(n)), 4) for n in (2, 2, 7, 3)]
    assert column(page, "title_share") == [0, 1, round(1 / 7, 4), round(1 / 3, 4)]
    assert column(page, "since_h1") == [-1, 0, 1, 2]


CYRILLIC = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "абцдефгхийклмнопярстувшжызАБЦДЕФГХИЙКЛМНОПЯРСТУВШЖЫЗ",
)


def test_no_column_tells_another_alphabet_from_latin() -> None:
    body = [
        "Old Bridge", "It is old, they say. It stands!", "Read on: the mill 1902 | the ford",
        "One more line of prose that goes on for a while and then ends in a full stop.",
    ]  # fmt: skip
    pages = [
        "".join(f"<p>{line.translate(table)}</p>" for line in body) for table in ({}, CYRILLIC)
    ]
    latin, cyrillic = (features(page).rows for page in pages)
    for at, name in enumerate(FEATURES):
        if not name.startswith(("word_", "heading_word")):  # of these two texts, not of scripts
            np.testing.assert_allclose(latin[:, at], cyrillic[:, at], atol=1e-5, err_msg=name)


def test_features_of_real_and_of_hostile_pages_are_finite(shared_data: Path) -> None:
    scanner, odds = Scanner(), load_model().odds
    with gzip.open(shared_data / "extraction_gold" / "wcxb.jsonl.gz", "rt") as lines:
        pages = [
            json.loads(line)["html"].encode() for _, line in zip(range(80), lines, strict=False)
        ]
    pages += [b"", b"<p>", b"x", b"<p>x" * 3000, b"<table><tr><td>1" * 500, bytes(range(256)) * 50]
    for page in pages:
        found = features_of(scanner.scan(page), odds)
        assert found.rows.shape[1] == len(FEATURES)
        assert np.isfinite(found.rows).all()


# --- Trees ------------------------------------------------------------------------------------


def walked(row: Floats, trees: Trees) -> np.float32:
    """What a row's sum is: tree after tree, until it is far enough from 0 at a stop."""
    inner = (1 << trees.depth) - 1
    total = np.float32(0)
    for tree in range(len(trees.features) // inner):
        if any(tree == at and abs(total) >= far for at, far in zip(STOPS, FAR, strict=True)):
            return total
        node = 0
        while node < inner:
            at = tree * inner + node
            node = 2 * node + 1 + int(row[trees.features[at]] > trees.thresholds[at])
        total += trees.leaves[tree * (inner + 1) + node - inner]
    return total


@given(
    st.sampled_from([0, 1, 7, 8, 9, LANES - 1, LANES, LANES + 1, 2 * LANES + 5]),
    st.integers(1, 2 * TILE + 1), st.sampled_from([0, 1, 5, 39, 40, 41, 80, 95]),
    st.integers(1, 7), st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_trees_in_heap_order_sum_what_walking_them_sums(
    rows: int, width: int, number: int, depth: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    inner = (1 << depth) - 1
    values = draw.integers(0, 4, (rows, width)).astype(np.float32)
    values[draw.random(values.shape) < 0.05] = np.nan
    thresholds = draw.integers(0, 4, number * inner).astype(np.float32)
    thresholds[draw.random(number * inner) < 0.2] = np.inf
    trees = Trees(
        draw.integers(0, width, number * inner).astype(np.uint16),
        thresholds,
        draw.normal(size=number * (inner + 1)).astype(np.float32) / 3,
        depth,
    )
    wanted = np.array([walked(row, trees) for row in values], dtype=np.float32)
    assert sums(values, trees).tolist() == wanted.tolist()


def test_a_row_far_from_0_at_a_stop_gets_no_more_trees() -> None:
    number = int(STOPS[-1]) + 5
    step = np.float32(FAR[0] / STOPS[0] * 1.01)
    for sign in (1, -1):
        trees = Trees(
            np.zeros(number, np.uint16), np.zeros(number, np.float32),
            np.full(2 * number, sign * step, np.float32), 1,
        )  # fmt: skip
        assert sums(np.zeros((1, 1), np.float32), trees) == pytest.approx([sign * step * STOPS[0]])


# --- Log-odds ---------------------------------------------------------------------------------


@given(st.dictionaries(st.integers(0, 2**32 - 1), st.floats(-4, 4, width=32), max_size=32))
@settings(deadline=None)
def test_log_odds_are_found_by_their_hash_and_no_others(known: dict[int, float]) -> None:
    values = np.array(list(known.values()), dtype=np.float32)
    table = slots(np.array(list(known), dtype=np.uint32), values, 64)
    near = {key ^ 1 << bit for key in known for bit in range(32)} - known.keys()
    for key, wanted in [*known.items(), *((key, 0.0) for key in near)]:
        assert _odds_of(*table, np.uint32(key)) == (wanted if key else 0)


def test_hashes_that_were_made_to_share_a_place_are_refused() -> None:
    high = np.random.default_rng(5).choice(1 << 18, TOKEN_SLOTS // 2, replace=False)
    shared = high.astype(np.uint32) * np.uint32(TOKEN_SLOTS // 4)
    with pytest.raises(ValueError, match="find no places"):
        slots(shared, np.zeros(len(shared), np.float32), TOKEN_SLOTS)


# --- Groups -----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 6), max_size=40), st.integers(0, 60))
def test_equal_keys_get_equal_numbers_in_the_order_of_their_first(
    keys: list[int], shift: int
) -> None:
    found = np.array(keys, dtype=np.uint64) << np.uint64(shift)
    groups, firsts = np.empty(len(keys), np.int32), np.empty(len(keys), np.int32)
    count = _number_groups(found, np.empty(slots_for(len(keys)), np.int32), firsts, groups)
    distinct = list(dict.fromkeys(found.tolist()))
    assert count == len(distinct)
    assert groups.tolist() == [distinct.index(key) for key in found.tolist()]
    assert firsts[:count].tolist() == [found.tolist().index(key) for key in distinct]


# --- The choice of blocks ---------------------------------------------------------------------


def chosen(
    prob: list[np.float32], words: list[int], hashes: list[int] | None = None
) -> tuple[list[bool], float]:
    """The blocks, each under a parent of its own, and what of them is kept."""
    count = len(prob)
    blocks = np.zeros((count, BLOCK_COLUMNS), dtype=np.int32)
    blocks[:, END] = 100
    blocks[:, NODE] = np.arange(count) + 1 + count
    nodes = np.zeros((1 + 2 * count, NODE_COLUMNS), dtype=np.int32)
    nodes[1 + count :, PARENT] = np.arange(count) + 1
    page = replace(Scanner().scan(b""), blocks=blocks, nodes=nodes)
    kept, score = best_blocks(
        np.array(prob, dtype=np.float32), np.array(words, dtype=np.float32), page,
        np.array(hashes or range(count), dtype=np.uint64),
    )  # fmt: skip
    return kept.tolist(), score


@given(st.lists(st.tuples(PROBABILITIES, st.integers(1, 50)), min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_the_kept_set_has_the_highest_expected_f1_of_all_cuts(
    blocks: list[tuple[np.float32, int]],
) -> None:
    prob, words = [p for p, _ in blocks], [n for _, n in blocks]
    wanted = sum(float(p) * n for p, n in blocks)

    def expected(cut: float) -> float:
        hit = sum(float(p) * n for p, n in blocks if p >= cut)
        return 2 * hit / max(sum(n for p, n in blocks if p >= cut) + wanted, 1e-9)

    best = max(map(expected, prob))
    kept, score = chosen(prob, words)
    assert score == pytest.approx(best)
    if best == 0:
        assert not any(kept)
        return
    floored = best >= SURE and any(p >= FLOOR for p in prob)
    reach = max(expected(p) for p in prob if p >= FLOOR) if floored else best
    assert expected(min(p for p, keep in zip(prob, kept, strict=True) if keep)) == pytest.approx(
        reach
    )


def test_a_text_that_is_kept_twice_under_different_parents_is_kept_once() -> None:
    high = np.float32(0.9)
    assert chosen([high] * 3, [20] * 3, [7, 8, 7])[0] == [True, True, False]


# --- The model and comments ---------------------------------------------------------------------


def test_the_model_speaks_of_every_block_and_every_kind() -> None:
    page = Scanner().scan(b"<p>" + b"A line of prose that goes on. " * 9 + b"</p><p>Home</p>")
    model: BlocksModel = load_model()
    prob, kinds, _ = predict(page, model, read_json_ld(page), "")
    assert prob.shape == (2,)
    assert prob[0] > 0.5
    assert ((prob >= 0) & (prob <= 1)).all()
    assert kinds.sum() == pytest.approx(1, abs=1e-5)


def test_comments_are_told_by_the_names_of_what_holds_them() -> None:
    page = Scanner().scan(
        b"<p>text</p><div id=comments><p>one</p><ul><li>two</ul></div>"
        b"<div class='post-comment_body'>three</div><div class=commentary>four</div>"
        b"<div class=userComments>five</div>"
    )
    assert comment_blocks(page).tolist() == [False, True, True, True, False, True]
    assert part_hash("comment") in Scanner().scan(b"<p class=comment-4>x").tokens.tolist()
