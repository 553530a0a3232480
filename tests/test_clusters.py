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
from pipeline.schema import NODE
from pipeline.stage import Side
from stages.clusters import (
    LINKS,
    forest,
    group_starts,
    matching_rows,
    merge_forests,
    number_nodes,
)
from stages.keep_policy import check_policy, check_policy_sources, keep_keys, policy_columns
from stages.kernels.unionfind import components, walk

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


def slow_walk(
    signatures: list[list[int]], slots: list[list[int]], least: int, max_tries: int
) -> list[tuple[int, int]]:
    """The walk as its docstring says it: (winner or -1, equal places)."""
    kept: dict[int, list[int]] = {}
    answers = []
    for i, mine in enumerate(slots):
        candidates = {other for slot in mine for other in kept.get(slot, [])[:max_tries]}
        scored = [
            (sum(a == b for a, b in zip(signatures[i], signatures[j], strict=True)), -j)
            for j in candidates
        ]
        places, winner = max((s for s in scored if s[0] >= least), default=(0, 1))
        answers.append((-winner, places))
        if winner == 1:
            for slot in set(mine):
                kept.setdefault(slot, []).append(i)
    return answers


@settings(deadline=None)
@given(st.data(), st.integers(0, 12), st.integers(0, 4), st.integers(1, 3))
def test_the_walk_agrees_with_its_slow_definition(
    data: st.DataObject, members: int, least: int, max_tries: int
) -> None:
    def matrix(width: int, values: st.SearchStrategy[int]) -> list[list[int]]:
        row = st.lists(values, min_size=width, max_size=width)
        return data.draw(st.lists(row, min_size=members, max_size=members))

    signatures = matrix(4, st.integers(0, 2))
    # Buckets of different bands never coincide.
    slots = [[s + 3 * band for band, s in enumerate(r)] for r in matrix(2, st.integers(0, 2))]
    winner, places = walk(
        np.array(signatures, dtype=np.uint32).reshape(members, 4),
        np.array(slots, dtype=np.int64).reshape(members, 2),
        6,
        least,
        max_tries,
    )
    assert list(zip(winner, places, strict=True)) == slow_walk(signatures, slots, least, max_tries)


NODES = st.tuples(
    st.sampled_from([bytes(16), bytes(15) + b"\1", b"\xff" * 16]),
    st.sampled_from(["", "b", "a", "ä", None]),
    st.sampled_from([0, 1, None, -1]),
    st.sampled_from([bytes(16), b"\x80" * 16]),
)


def sortable(node: tuple[Any, ...]) -> tuple[Any, ...]:
    doc_id, file, offset, partition = node
    file_key = (file is not None, (file or "").encode())
    return doc_id, file_key, (offset is not None, offset or 0), partition


def node_table(rows: list[tuple[Any, ...]]) -> pa.Table:
    names = ("doc_id", "file", "offset", "partition")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=NODE)


@settings(deadline=None)
@given(st.lists(NODES, min_size=1, max_size=20))
def test_nodes_are_numbered_in_their_total_order(rows: list[tuple[Any, ...]]) -> None:
    first, numbers = number_nodes(node_table(rows))
    distinct = sorted(set(rows), key=sortable)
    assert [rows[i] for i in first] == distinct
    assert [distinct[n] for n in numbers] == rows


@settings(deadline=None)
@given(st.lists(st.tuples(NODES, NODES), max_size=20), st.integers(1, 4))
def test_forests_of_any_split_merge_to_the_same_clusters(links: Any, parts: int) -> None:
    rows = [{**node_dict(a), **{f"to_{k}": v for k, v in node_dict(b).items()}} for a, b in links]
    whole = pa.Table.from_pylist(rows, schema=LINKS)
    forests = [
        forest({"buckets": pa.Table.from_pylist(rows[i::parts], schema=LINKS)}, SIDE)
        for i in range(parts)
    ]
    assert merge_forests(pa.concat_tables(forests), SIDE).equals(merge_forests(whole, SIDE))


def node_dict(node: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(("doc_id", "file", "offset", "partition"), node, strict=True))


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
