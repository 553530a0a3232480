"""Groups, split, mixture targets and the rank cut."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_phase_driver import TEXTS, parts, run_phases, texts_table

from pipeline.draw import draw, id_values
from pipeline.errors import ConfigError
from pipeline.mixture.rank_cut import SIZES, rank_cut, sizes_table, taken_rows
from pipeline.mixture.sampling import (
    TOTALS,
    TRAIN,
    VALIDATION,
    Mixture,
    canonical_url,
    group_column,
    mixture_of,
    split_column,
)
from pipeline.schema import DOC_ID
from pipeline.stage import Emit, GlobalStage, Phase, Side, TextBatch
from stages.mix import Mix


class CutBytes(GlobalStage):
    """A rank cut over the lengths of texts: the phases alone, without tokens."""

    def phases(self) -> tuple[Phase, ...]:
        return (
            Emit("sizes", self.sizes, SIZES),
            *rank_cut(lambda totals, side: mixture_of(side).takes(totals), sizes="sizes", knobs=()),
        )

    def sizes(self, batch: TextBatch, side: Side) -> pa.Table:
        lengths = pa.array([len(text) for text in batch.texts], pa.int64())
        return sizes_table(batch.table, lengths, mixture_of(side))


def corpus(sizes: dict[str, list[int]]) -> pa.Table:
    rows = [
        (group, str(at), "x" * size)
        for group, found in sizes.items()
        for at, size in enumerate(found)
    ]
    return texts_table(rows)


def cuts_of(docs: pa.Table, mix: Mix, folder: Path, count: int = 2, seed: int = 0) -> pa.Table:
    found = run_phases(CutBytes(), parts(docs, count, seed), folder, stages={"mixture": mix})
    return found.tables["cuts"]


def taken(docs: pa.Table, cuts: pa.Table, mix: Mix) -> list[tuple[bytes, int]]:
    side = Side("step", 1, stages={"mixture": mix})
    split, group = mixture_of(side).split_and_group(docs)
    rows, copies = taken_rows(docs, split, group, cuts, side)
    ids = docs["doc_id"].to_pylist()
    return [(ids[row], int(copy)) for row, copy in zip(rows, copies, strict=True)]


def by_definition(docs: pa.Table, group: str, target: int) -> list[tuple[bytes, int]]:
    """Whole copies while they fit, then one document after another in rank order while it fits."""
    nodes = [row for row in docs.to_pylist() if row["source"] == group]
    size = sum(len(row["text"]) for row in nodes)
    whole, rest = divmod(target, size)
    found = [(row["doc_id"], copy) for row in nodes for copy in range(whole)]
    for row in sorted(nodes, key=lambda row: draw(1, "mix", row["doc_id"], whole)):
        rest -= len(row["text"])
        if rest < 0:
            break
        found.append((row["doc_id"], whole))
    return found


def test_canonical_urls_drop_scheme_www_tracking_queries_and_last_slashes() -> None:
    for url in (
        "http://www.example.org/a/",
        "https://example.org/a?utm_source=x",
        "https://example.org/a/?ref=home",
        "example.org/a?feed",
    ):
        assert canonical_url(url).rstrip("/") == "example.org/a"
    assert canonical_url("https://example.org/a?id=7") == "example.org/a?id=7"
    assert canonical_url("http://a.org/to/https://www.b.org") == "a.org/to/https://www.b.org"


def documents(urls: list[str | None]) -> pa.Table:
    rows = [
        {"doc_id": at.to_bytes(16, "big"), "source": "web", "url": url}
        for at, url in enumerate(urls)
    ]
    return pa.Table.from_pylist(rows, schema=TEXTS)


def test_the_split_is_that_of_c4_md5_of_the_url_mod_1000() -> None:
    urls = [f"http://example.org/{at}" for at in range(5000)]
    table = pa.table({"doc_id": [b"\0" * 16] * 5000, "url": urls})
    expected = [
        VALIDATION
        if int(hashlib.md5(f"example.org/{at}".encode()).hexdigest(), 16) % 1000 == 0
        else TRAIN
        for at in range(5000)
    ]
    assert split_column(table, 1).to_pylist() == expected
    assert VALIDATION in expected


def test_members_of_a_cluster_share_a_split_and_a_page_without_url_goes_by_doc_id() -> None:
    urls = [f"http://example.org/{at}" for at in range(200)]
    table = documents(list(urls)).append_column("cluster_id", pa.array([b"c" * 16] * 200))
    assert len(set(split_column(table, 500).to_pylist())) == 1
    without = documents([None] * 200)
    assert set(split_column(without, 500).to_pylist()) == {TRAIN, VALIDATION}
    assert set(split_column(documents(list(urls)), 0).to_pylist()) == {TRAIN}


def test_groups_join_columns_and_a_missing_column_is_named() -> None:
    table = documents(["a", "b"]).append_column("lang", pa.array(["en", None]))
    assert group_column(table, ("source", "lang")).to_pylist() == ["web/en", "web/none"]
    with pytest.raises(ConfigError, match=r"'langs'.*Did you mean 'lang'"):
        group_column(table, ("source", "langs"))


def test_mix_refuses_knobs_that_contradict_each_other() -> None:
    for mix in (Mix(weights={"a": -1.0}), Mix(weights={"a": 0.0}), Mix(by=()), Mix(max_epochs=0)):
        with pytest.raises(ValueError):
            mix.check()
    Mix(weights={"a": 1.0, "b": 0.0}).check()


def test_mix_names_the_nearest_source_for_an_unknown_weight() -> None:
    with pytest.raises(ValueError, match=r"'boks'.*Did you mean 'books'"):
        Mix(weights={"web": 1.0, "boks": 1.0}).check_sources(["web", "books"])
    with pytest.raises(ValueError, match="'books' has no weight"):
        Mix(weights={"web": 1.0}).check_sources(["web", "books"])
    Mix(weights={"web/en": 1.0}, by=("source", "lang")).check_sources(["web"])


def totals_of(**sizes: int) -> pa.Table:
    """TOTALS of groups of ten documents each."""
    names, found = list(sizes), list(sizes.values())
    tens = [10] * len(names)
    columns = [[TRAIN] * len(names), names, tens, found, tens, found, [0] * len(names)]
    return pa.table(columns, schema=TOTALS)


def test_without_tokens_the_total_is_the_largest_that_max_epochs_allows() -> None:
    takes = Mixture({"a": 0.75, "b": 0.25}, max_epochs=2).takes(totals_of(a=1000, b=100))
    # b limits: 2 epochs of 100 are a quarter, so a gives 600 of its 1,000.
    assert [(t.whole, t.target) for t in takes] == [(0, 600), (2, 0)]
    assert Mixture({"a": 1 / 3, "b": 1 / 3}).shares({"a": 1, "b": 1})["a"] == Fraction(1, 2)


def test_a_group_that_needs_too_many_epochs_is_an_error_with_the_figures() -> None:
    table = totals_of(a=100)
    with pytest.raises(ConfigError, match=r"5\.00 epochs of the group 'a'.*at most 400 tokens"):
        Mixture(tokens=500, max_epochs=4).takes(table)
    with pytest.raises(ConfigError, match=r"'a' \(100 tokens\) has no weight"):
        Mixture({"c": 0.0}).takes(table)
    with pytest.raises(ConfigError, match="which has no training documents"):
        Mixture({"a": 1.0, "b": 1.0}).takes(table)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=40),
    st.lists(st.integers(1, 50), min_size=1, max_size=40),
    st.integers(1, 9),
    st.floats(0.1, 3.7),
    st.integers(1, 5),
    st.integers(0, 9),
)
def test_a_cut_takes_what_the_definition_takes_for_any_partitioning(
    tmp_path_factory: Any,
    first: list[int],
    second: list[int],
    weight: int,
    epochs: float,
    count: int,
    seed: int,
) -> None:
    docs = corpus({"a": first, "b": second})
    mix = Mix(
        weights={"a": float(weight), "b": 10.0 - weight}, max_epochs=epochs, validation_permille=0
    )
    cuts = cuts_of(docs, mix, tmp_path_factory.mktemp("cut"), count, seed)
    found = sorted(taken(docs, cuts, mix))
    expected = []
    for cut in cuts.to_pylist():
        target = cut["whole"] * cut["size"] + cut["target"]
        expected += by_definition(docs, cut["group"], target)
    assert found == sorted(expected)


@pytest.mark.parametrize("tokens", [30, 35, 39])
def test_documents_that_share_a_doc_id_are_cut_by_file_and_offset(
    tmp_path: Path, tokens: int
) -> None:
    docs = corpus({"a": [10] * 8})
    same = pa.array([b"s" * 16] * 8, pa.binary(16))
    docs = docs.set_column(0, "doc_id", same)
    offsets = pa.array([7, None, 5, 4, 3, 2, 1, 0], pa.int64())
    docs = docs.set_column(docs.schema.get_field_index("offset"), "offset", offsets)
    mix = Mix(tokens=tokens, validation_permille=0)
    cuts = cuts_of(docs, mix, tmp_path)
    assert cuts["last_documents"].to_pylist() == [3]
    side = Side("step", 1, stages={"mixture": mix})
    split, group = mixture_of(side).split_and_group(docs)
    rows, _ = taken_rows(docs, split, group, cuts, side)
    assert rows.tolist() == [1, 6, 7]  # offsets null, 1 and 0: nulls first, then ascending


def test_an_empty_corpus_has_no_cuts(tmp_path: Path) -> None:
    docs = TEXTS.empty_table()
    assert cuts_of(docs, Mix(), tmp_path).num_rows == 0


def test_a_weight_of_zero_leaves_a_group_out(tmp_path: Path) -> None:
    docs = corpus({"a": [5, 5], "b": [5, 5]})
    mix = Mix(weights={"a": 1.0, "b": 0.0}, max_epochs=1, validation_permille=0)
    ids = docs["doc_id"].to_pylist()
    assert sorted(taken(docs, cuts_of(docs, mix, tmp_path), mix)) == sorted(
        (doc_id, 0) for doc_id in ids[:2]
    )


def test_ids_come_as_arrow_gives_them() -> None:
    ids = pa.array([bytes([n]) * 16 for n in range(9)], DOC_ID)
    chunks = pa.chunked_array([ids.slice(2, 3), ids.slice(0, 0), ids.slice(7)])
    named = pa.array([b"a", None], pa.binary())
    for column in (ids, ids.slice(1, 4), chunks, chunks.slice(2), named, pa.array([None], DOC_ID)):
        assert id_values(column) == column.to_pylist()
