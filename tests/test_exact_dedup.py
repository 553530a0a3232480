"""Exact dedup through the phase driver."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest
from dedup_documents import DAY, doc_id, documents, nodes, placements, scattered, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from phase_driver import run_stage

from stages.dedup.exact import ExactDedup

WORDS = st.sampled_from(["", " ", "One", "one", "ONE \n two", "one two", "three", "İ", "i̇"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.one_of(st.none(), WORDS),
            "doc_id": st.sampled_from([doc_id(i) for i in range(6)]),
            "source": st.sampled_from(["web", "books"]),
            "date": st.sampled_from([None, DAY, DAY + datetime.timedelta(1)]),
        }
    ),
    max_size=12,
)


def test_one_copy_of_a_text_survives_and_is_named() -> None:
    outcome = run_stage(ExactDedup(), [texts("Same  text", "same text\n", "other")])
    first = min(doc_id(0), doc_id(1))
    assert nodes(outcome.kept) == sorted(
        n for n in nodes(outcome.kept) if n[0] in (first, doc_id(2))
    )
    assert outcome.kept.num_rows == 2
    assert outcome.dropped["matched_doc_id"].to_pylist() == [first]
    assert outcome.dropped["reason"].to_pylist() == ["duplicate"]


def test_without_normalisation_only_equal_texts_are_duplicates() -> None:
    table = texts("Same", "same", "Same")
    assert run_stage(ExactDedup(normalise=False), [table]).kept.num_rows == 2


def test_texts_without_content_are_never_duplicates() -> None:
    table = texts("", "", " \n", " \n", None, None)
    for normalise in (True, False):
        assert run_stage(ExactDedup(normalise=normalise), [table]).dropped.num_rows == 0


def test_the_newest_copy_of_the_preferred_source_is_kept() -> None:
    rows: list[dict[str, Any]] = [
        {"source": "web", "date": DAY + datetime.timedelta(5)},
        {"source": "books", "date": DAY},
        {"source": "books", "date": DAY + datetime.timedelta(2)},
        {"source": "books", "date": None},
    ]
    table = documents([{"text": "same", **row} for row in rows])
    outcome = run_stage(ExactDedup(keep=("source:books,web", "-date")), [table])
    assert nodes(outcome.kept) == [(doc_id(2), "a.warc.gz", 2)]


def test_one_document_that_comes_through_two_inputs_is_kept_once() -> None:
    table = texts("same")
    assert run_stage(ExactDedup(), [table, table]).kept.num_rows == 1


def test_of_the_pages_of_one_url_the_newest_is_kept() -> None:
    urls = [
        "http://www.one.org/a/",
        "https://one.org/a?utm_source=x",
        "https://one.org/a?page=2",
        None,
        "",
        None,
    ]
    table = documents([{"url": url, "text": None} for url in urls])
    outcome = run_stage(ExactDedup(by="url", keep=("-date",)), [table])
    assert outcome.dropped["url"].to_pylist() == urls[:1]
    assert outcome.dropped["reason"].to_pylist() == ["duplicate_url"]
    assert outcome.dropped["matched_doc_id"].to_pylist() == [doc_id(1)]


@pytest.mark.parametrize("by", ["text", "url"])
def test_within_a_source_copies_of_other_sources_stay(by: Any) -> None:
    sources = ["web", "books", "web", None, None]
    table = documents([{"text": "same", "url": "a.org", "source": s} for s in sources])
    outcome = run_stage(ExactDedup(by=by, within="source"), [table])
    assert sorted(map(str, outcome.kept["source"].to_pylist())) == ["None", "books", "web"]
    assert run_stage(ExactDedup(by=by), [table]).kept.num_rows == 1
    assert set(ExactDedup(by=by, within="source").reads) == {by, "source"}


def test_the_step_reads_the_columns_of_its_policy() -> None:
    stage = ExactDedup(keep=("-date", "-quality.score", "source:a"))
    assert stage.reads == ("text", "date", "source")
    assert stage.needs() == ("quality.score",)


@settings(max_examples=40, deadline=None)
@given(st.data(), ROWS, st.integers(1, 5), st.integers(0, 9))
def test_partitions_buckets_and_order_change_nothing(
    data: st.DataObject, rows: list[dict[str, Any]], buckets: int, shuffle: int
) -> None:
    stage = ExactDedup(keep=("source:books", "-date"))
    table = documents(rows)
    places = data.draw(placements(len(rows)))
    one = run_stage(stage, [table], buckets=1)
    many = run_stage(stage, scattered(table, places), buckets, batch_rows=3, shuffle=shuffle)
    assert nodes(many.kept) == nodes(one.kept)
    assert nodes(many.dropped) == nodes(one.dropped)
    assert len(rows) == one.kept.num_rows + one.dropped.num_rows
    check_survivors(one.kept, one.dropped)


def check_survivors(kept: pa.Table, dropped: pa.Table) -> None:
    """Of each text exactly the copy that the policy puts first is left."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in [*kept.to_pylist(), *dropped.to_pylist()]:
        text = " ".join((row["text"] or "").lower().split())
        groups.setdefault(text, []).append(row)
    for text, rows in groups.items():
        rows.sort(key=policy)
        left = [row for row in rows if "reason" not in row]
        assert len(left) == (1 if text else len(rows))
        if text:
            assert left == rows[:1]
            assert all(r["matched_doc_id"] == left[0]["doc_id"] for r in rows[1:])


def policy(row: dict[str, Any]) -> tuple[Any, ...]:
    date = row["date"]
    days = -(date - DAY).days if date else 99
    return row["source"] != "books", days, row["doc_id"], row["file"], row["offset"]


def test_a_policy_that_cannot_be_read_is_refused_while_planning() -> None:
    with pytest.raises(ValueError, match="'date' is no preference"):
        ExactDedup(keep=("date",)).check()
