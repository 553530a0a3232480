"""Nodes, components and the keep policy."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dedup_documents import DAY, documents
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from pipeline.errors import ConfigError
from pipeline.stage import Side
from stages.dedup.clusters import group_starts, matching_rows
from stages.dedup.forests import (
    CLUSTERED,
    FOREST,
    bucket_forest,
    clustered,
    largest_tree,
    merged,
    node_hashes,
    union_size,
)
from stages.dedup.keep_policy import check_policy, check_policy_sources, keep_keys, policy_columns
from stages.dedup.minhash_walk import pieces
from stages.kernels.unionfind import components, jaccard, walk

SIDE = Side("step", 0)
EDGES = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60)


@settings(deadline=None)
@given(EDGES, st.randoms(use_true_random=False))
def test_components_agree_with_scipy_whatever_the_order_of_edges(edges: Any, random: Any) -> None:
    random.shuffle(edges)
    left = np.array([a for a, _ in edges], dtype=np.int64)
    right = np.array([b for _, b in edges], dtype=np.int64)
    roots = components(30, left, right)
    graph = coo_matrix((np.ones(len(edges)), (left, right)), shape=(30, 30))
    _, labels = connected_components(graph, directed=False)
    smallest = {label: int(np.flatnonzero(labels == label)[0]) for label in set(labels.tolist())}
    assert roots.tolist() == [smallest[label] for label in labels.tolist()]


def slow_jaccard(left: Any, right: Any) -> float:
    return len(set(left) & set(right)) / len(set(left) | set(right))


SETS = st.sets(st.integers(0, 40), min_size=1)


@settings(max_examples=300, deadline=None)
@given(SETS, SETS, st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 0.75, 0.8, 1.0]))
def test_the_exact_similarity_is_that_of_sets_or_minus_one_below_the_bound(
    left: set[int], right: set[int], least: float
) -> None:
    values = np.array([*sorted(left), *sorted(right)], dtype=np.uint64)
    starts = np.array([0, len(left), len(left) + len(right)])
    expected = slow_jaccard(left, right)
    assert jaccard(values, starts, 0, 1, least) == (expected if expected >= least else -1.0)


def slow_walk(
    similarity: Any, slots: list[list[int]], least: float, max_tries: int, copies: int
) -> list[tuple[int, float]]:
    """The walk as its docstring says it: (winner or -1, similarity)."""
    kept: dict[int, list[int]] = {}
    answers = []
    for i, mine in enumerate(slots):
        candidates = {other for slot in mine for other in kept.get(slot, [])[:max_tries]}
        scored = sorted((-similarity(i, j), j) for j in candidates if similarity(i, j) >= least)
        lost = len(scored) >= copies
        answers.append((scored[0][1], -scored[0][0]) if lost else (-1, 0.0))
        if not lost:
            for slot in set(mine):
                kept.setdefault(slot, []).append(i)
    return answers


@settings(deadline=None)
@given(st.data(), st.integers(0, 12), st.integers(0, 4), st.integers(1, 3), st.integers(1, 3))
def test_the_walk_agrees_with_its_slow_definition(
    data: st.DataObject, members: int, least: int, max_tries: int, copies: int
) -> None:
    def matrix(width: int, values: st.SearchStrategy[int]) -> list[list[int]]:
        row = st.lists(values, min_size=width, max_size=width)
        return data.draw(st.lists(row, min_size=members, max_size=members))

    signatures = matrix(4, st.integers(0, 2))
    # Buckets of different bands never coincide.
    slots = [[s + 3 * band for band, s in enumerate(r)] for r in matrix(2, st.integers(0, 2))]
    sets = [sorted(s) for s in data.draw(st.lists(SETS, min_size=members, max_size=members))]

    def estimate(i: int, j: int) -> float:
        return sum(a == b for a, b in zip(signatures[i], signatures[j], strict=True)) / 4

    hashes = np.array([value for one in sets for value in one], dtype=np.uint64)
    starts = np.cumsum([0, *map(len, sets)])
    for exact in (False, True):
        winner, similarity = walk(
            np.array(signatures, dtype=np.uint32).reshape(members, 4),
            hashes if exact else hashes[:0],
            starts if exact and members else starts[:0],
            np.array(slots, dtype=np.int64).reshape(members, 2),
            6,
            np.full(members, least / 4),
            max_tries,
            copies,
        )
        slow = (lambda i, j: slow_jaccard(sets[i], sets[j])) if exact else estimate
        expected = slow_walk(slow, slots, least / 4, max_tries, copies)
        assert list(zip(winner, similarity, strict=True)) == expected


# --- Forests ----------------------------------------------------------------------------------

ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 9), st.sampled_from([b"a", b"b"])), max_size=40
)
"""(key, node, partition) as an exchange brings them."""


def bucket(rows: Any) -> pa.Table:
    rows = sorted(set(rows))
    return pa.table(
        {
            "key": pa.array([row[0] for row in rows], pa.uint64()),
            "node": pa.array([row[1] for row in rows], pa.uint64()),
            "partition": pa.array([row[2] * 16 for row in rows], pa.binary(16)),
        }
    )


def joined(parts: list[pa.Table]) -> pa.Table:
    left, *rest = parts
    for right in rest:
        left = merged(left, right, union_size(left, right))
    return left


def slow_clusters(rows: Any) -> dict[tuple[int, bytes], tuple[int, bytes]]:
    """Node -> the smallest node of its component, of all nodes that share a key with another."""
    found: dict[Any, Any] = {}
    groups = [{(n, p) for k, n, p in rows if k == key} for key in {row[0] for row in rows}]
    for group in groups:
        if len(group) > 1:
            found.update({node: min([node, found.get(node, node)]) for node in group})
    changed = True
    while changed:
        changed = False
        for group in groups:
            smallest = min((found[node] for node in group if node in found), default=None)
            for node in group:
                if len(group) > 1 and found[node] != smallest:
                    found[node], changed = smallest, True
    return found


@settings(deadline=None, max_examples=200)
@given(ROWS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_forests_of_any_split_merge_in_any_order_to_the_components(
    rows: Any, parts: int, random: Any
) -> None:
    keys = [[row for row in rows if row[0] % parts == part] for part in range(parts)]
    random.shuffle(keys)
    forest = joined([bucket_forest(bucket(part), SIDE) for part in keys])
    assert forest.schema.equals(FOREST)
    whole = bucket_forest(bucket(rows), SIDE)
    assert forest.equals(whole)
    table = clustered(forest)
    assert table.schema.equals(CLUSTERED)
    expected = slow_clusters(set(rows))
    assert [(row["node"], row["partition"][:1]) for row in table.to_pylist()] == sorted(expected)
    for row in table.to_pylist():
        node, partition = expected[row["node"], row["partition"][:1]]
        assert row["cluster"] == node.to_bytes(8, "little") + partition * 8
    sizes = list(expected.values())
    assert largest_tree(forest) == max((sizes.count(root) for root in sizes), default=0)


def test_documents_that_differ_in_id_file_or_offset_are_other_nodes() -> None:
    rows = [
        {"doc_id": doc_id, "file": file, "offset": offset, "text": ""}
        for doc_id in (bytes(16), bytes(15) + b"\1", b"\1" + bytes(15))
        for file in ("", "a", "ä", None)
        for offset in (0, 1, -1, None)
    ]
    hashes = node_hashes(documents(rows))
    assert len(set(hashes.tolist())) == len(rows)
    assert (node_hashes(documents(rows[5:7])) == hashes[5:7]).all()
    assert len(node_hashes(documents([]))) == 0


def test_a_repeated_doc_id_is_told_apart_by_file_and_offset() -> None:
    same = bytes(16)
    docs = documents(
        [
            {"doc_id": same, "file": "a", "offset": 1, "text": "x"},
            {"doc_id": same, "file": "a", "offset": 11, "text": "x"},
            {"doc_id": same, "file": "b", "offset": 1, "text": "x"},
            {"doc_id": same, "file": None, "offset": None, "text": "x"},
        ]
    )
    assert matching_rows(docs, docs.slice(1)).to_pylist() == [None, 0, 1, 2]


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), max_size=20), st.integers(1, 12))
def test_pieces_are_whole_groups_and_as_large_as_allowed(sizes: list[int], rows: int) -> None:
    starts = np.cumsum([0, *sizes])
    found = pieces(starts, rows)
    assert [n for a, b in found for n in range(a, b)] == list(range(len(sizes)))
    for a, b in found:
        assert b == a + 1 or starts[b] - starts[a] <= rows
        assert b == len(sizes) or starts[b + 1] - starts[a] > rows


def test_groups_of_equal_keys_are_found_in_an_empty_and_in_a_chunked_column() -> None:
    assert group_starts(pa.chunked_array([], pa.binary(16))).tolist() == [0]
    chunked = pa.chunked_array([[1, 1], [1, 2], [3]], pa.uint64())
    assert group_starts(chunked).tolist() == [0, 3, 4, 5]


# --- Keep policy ------------------------------------------------------------------------------


def preferred(table: pa.Table, *keep: str) -> list[int]:
    """Rows in the policy's order."""
    keys = keep_keys(table, keep).to_pylist()
    return sorted(range(table.num_rows), key=lambda row: keys[row])


def test_the_newest_comes_first_and_a_missing_date_last() -> None:
    days = [DAY, DAY + datetime.timedelta(9), None, DAY - datetime.timedelta(30_000)]
    table = documents([{"text": "", "date": day} for day in days])
    assert preferred(table, "-date") == [1, 0, 3, 2]
    assert preferred(table, "+date") == [3, 0, 1, 2]


def test_sources_are_preferred_in_the_order_given_and_all_others_come_after() -> None:
    names = ["web", "news", "books", "wiki"]
    table = documents([{"text": "", "source": name} for name in names])
    assert preferred(table, "source:books,web") == [2, 0, 1, 3]


def test_a_weaker_preference_decides_only_between_equals() -> None:
    rows = [("a", 1), ("b", 2), ("a", 3)]
    table = documents(
        [{"text": "", "source": s, "date": DAY + datetime.timedelta(d)} for s, d in rows]
    )
    assert preferred(table, "source:a", "-date") == [2, 0, 1]


FLOATS = st.one_of(st.none(), st.floats())


@settings(deadline=None)
@given(st.lists(FLOATS, min_size=1), st.sampled_from("+-"))
def test_float_columns_order_as_numbers_with_nan_and_null_last(values: Any, sign: str) -> None:
    table = pa.table({"score": pa.array(values, pa.float64())})
    known = [v for v in values if v is not None and v == v]
    found = [values[row] for row in preferred(table, f"{sign}score")]
    assert found[: len(known)] == sorted(known, reverse=sign == "-")


@settings(deadline=None)
@given(st.lists(st.text(alphabet="a\0\1b\U0001f642é"), min_size=1), st.sampled_from("+-"))
def test_string_columns_order_as_strings(values: list[str], sign: str) -> None:
    table = pa.table({"name": pa.array(values, pa.string())})
    found = [values[row] for row in preferred(table, f"{sign}name")]
    assert found == sorted(values, key=str.encode, reverse=sign == "-")


def test_a_preference_that_cannot_be_read_is_refused_with_a_remedy() -> None:
    for wrong in ("date", "-", "", "source:", "source:a,,b"):
        with pytest.raises(ValueError, match="largest first"):
            check_policy((wrong,))
    check_policy(("-date", "+score", "source:a,b"))
    with pytest.raises(ValueError, match="Did you mean 'books'"):
        check_policy_sources(("source:boks",), ["books", "web"])
    with pytest.raises(ConfigError, match="has no order"):
        keep_keys(pa.table({"x": pa.array([[1]])}), ("-x",))
    assert policy_columns(("-date", "source:a", "+date")) == ("date", "source")
