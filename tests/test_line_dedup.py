"""Line dedup through the phase driver."""

from __future__ import annotations

from typing import Any

from dedup_documents import doc_id, documents, nodes, placements, scattered
from hypothesis import given, settings
from hypothesis import strategies as st
from phase_driver import Outcome, run_stage

from stages.dedup.lines import LineDedup, page_hash

LINES = st.sampled_from(["A line.", "a LINE. ", "Another line here.", "", "Third one.", "  "])
PAGES = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.lists(LINES, max_size=5).map("\n".join),
            "url": st.sampled_from([None, "http://a.org/", "https://www.a.org", "http://b.org/x"]),
            "doc_id": st.sampled_from([doc_id(i) for i in range(4)]),
        }
    ),
    max_size=8,
)


def texts_of(outcome: Outcome) -> dict[str, str]:
    return dict(zip(outcome.kept["url"].to_pylist(), outcome.kept["text"].to_pylist(), strict=True))


def test_a_line_stays_on_the_page_whose_url_hash_is_smallest() -> None:
    urls = sorted(
        ("http://one.org/", "http://two.org/", "http://three.org/"),
        key=lambda url: page_hash(url, b""),
    )
    table = documents([{"url": u, "text": f"Shared line.\nOwn of {u}."} for u in reversed(urls)])
    found = texts_of(run_stage(LineDedup(min_sentences=1), [table]))
    assert found[urls[0]] == f"Shared line.\nOwn of {urls[0]}."
    assert found[urls[1]] == f"Own of {urls[1]}."
    assert found[urls[2]] == f"Own of {urls[2]}."


def test_lines_are_compared_in_lower_case_and_stripped() -> None:
    table = documents([{"text": "One line.\n  ONE LINE. \none line"}])
    outcome = run_stage(LineDedup(min_sentences=0), [table])
    assert outcome.kept["text"].to_pylist() == ["One line.\none line"]
    assert outcome.metrics["lines_removed"].to_pylist() == [1]


def test_blank_lines_are_neither_compared_nor_removed() -> None:
    text = "One.\n\nTwo.\n\n \nThree."
    outcome = run_stage(LineDedup(), [documents([{"text": text}])])
    assert outcome.kept["text"].to_pylist() == [text]


def test_a_page_left_with_too_few_sentences_is_dropped() -> None:
    first, second = sorted(("http://a.org", "http://b.org"), key=lambda url: page_hash(url, b""))
    shared = "Shared line one.\nShared line two.\n"
    table = documents(
        [
            {"url": first, "text": f"{shared}End of the first."},
            {"url": second, "text": f"{shared}End of the second."},
            {"url": "http://c.org", "text": "Short, but lost nothing."},
        ]
    )
    outcome = run_stage(LineDedup(), [table])
    assert sorted(texts_of(outcome)) == sorted([first, "http://c.org"])
    assert outcome.dropped["reason"].to_pylist() == ["too_few_sentences"]


def test_a_page_that_loses_every_line_is_dropped_whatever_the_bound() -> None:
    table = documents([{"text": "Same."}, {"text": "Same."}])
    outcome = run_stage(LineDedup(min_sentences=0), [table])
    assert outcome.kept.num_rows == 1
    assert outcome.dropped["reason"].to_pylist() == ["no_lines_left"]


def test_a_page_without_a_url_stands_by_its_doc_id() -> None:
    assert page_hash(None, b"x" * 16) == page_hash("", b"x" * 16) != page_hash(None, b"y" * 16)
    assert page_hash("https://www.a.org/", b"") == page_hash("http://a.org", b"x")


@settings(max_examples=40, deadline=None)
@given(st.data(), PAGES, st.integers(1, 5), st.integers(0, 9))
def test_partitions_buckets_and_order_change_nothing(
    data: st.DataObject, rows: list[dict[str, Any]], buckets: int, shuffle: int
) -> None:
    table = documents(rows)
    places = data.draw(placements(len(rows)))
    one = run_stage(LineDedup(min_sentences=1), [table], buckets=1)
    many = run_stage(
        LineDedup(min_sentences=1), scattered(table, places), buckets, batch_rows=3, shuffle=shuffle
    )
    assert sorted(map(str, many.kept.to_pylist())) == sorted(map(str, one.kept.to_pylist()))
    assert nodes(many.dropped) == nodes(one.dropped)
    assert len(rows) == one.kept.num_rows + one.dropped.num_rows


@settings(max_examples=40, deadline=None)
@given(PAGES)
def test_every_line_of_the_corpus_is_left_exactly_once(rows: list[dict[str, Any]]) -> None:
    outcome = run_stage(LineDedup(min_sentences=0), [documents(rows)])
    before = {line.strip().lower() for row in rows for line in row["text"].split("\n")} - {""}
    after = [
        line.strip().lower()
        for text in outcome.kept["text"].to_pylist()
        for line in text.split("\n")
    ]
    assert sorted(line for line in after if line) == sorted(before)
