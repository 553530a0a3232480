"""`verify: exact` against Jaccard similarities that plain Python computes from the same texts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dedup_documents import doc_id, documents, placements, scattered, shared_rows, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from phase_driver import Outcome, partition_id, run_stage
from test_shingles import needs_same_unicode, slow_shingles

from pipeline.errors import StageError
from stages.dedup.minhash import MinhashDedup
from stages.dedup.minhash_walk import as_sets, from_sets
from stages.kernels.minhash import (
    datasketch_signatures,
    kernel_signatures,
    permutations,
    sign_sets,
)
from stages.kernels.shingles import Normalisation, shingle_hashes

GROUND_TRUTH = {"words": "alphanumeric", "digits": False, "punctuation": False, "marks": False}
"""The shingles of shared/data/near_dup: lower case and no other normalisation, words are \\w+."""


def word_shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}


@pytest.mark.parametrize("threshold", [0.75, pytest.param(0.9, marks=pytest.mark.slow)])
def test_on_licence_texts_nothing_is_removed_in_error_and_few_pairs_are_missed(
    threshold: float,
) -> None:
    rows = shared_rows("licence_texts.jsonl.gz")
    names = {doc_id(row["id"]): row["id"] for row in rows}
    sets = {row["id"]: word_shingles(row["text"]) for row in rows}

    def similarity(a: str, b: str) -> float:
        return len(sets[a] & sets[b]) / len(sets[a] | sets[b])

    table = documents([{"text": row["text"], "doc_id": doc_id(row["id"])} for row in rows])
    stage = MinhashDedup(verify="exact", threshold=threshold, **GROUND_TRUTH)  # type: ignore[arg-type]
    outcome = run_stage(stage, [table.slice(0, 700), table.slice(700)], batch_rows=500)
    found = {names[row["doc_id"]]: row for row in outcome.dropped.to_pylist()}
    values = dict(
        zip(
            (names[one] for one in outcome.metrics["doc_id"].to_pylist()),
            outcome.metrics["similarity"].to_pylist(),
            strict=True,
        )
    )
    for name, row in found.items():
        exact = similarity(name, names[row["matched_doc_id"]])
        assert exact >= threshold
        assert values[name] == exact
        assert names[row["matched_doc_id"]] not in found
    pairs = shared_rows("licence_pairs_exact_jaccard.jsonl.gz")
    near = [pair for pair in pairs if similarity(pair["a"], pair["b"]) >= threshold]
    assert len(near) > 900
    resolved = sum(pair["a"] in found or pair["b"] in found for pair in near)
    assert resolved / len(near) >= 0.98  # the issue asks for .8; measured .991 and 1.0


SMALL = st.lists(
    st.lists(st.sampled_from("abcdefgh"), max_size=9).map(" ".join), min_size=1, max_size=10
)


@needs_same_unicode
@settings(max_examples=25, deadline=None)
@given(
    SMALL, st.integers(1, 3), st.sampled_from(["words", "characters"]), st.data(), st.integers(1, 3)
)
def test_what_is_removed_has_the_similarity_that_plain_python_finds_whatever_the_partitions(
    values: list[str], ngram: int, shingle: Any, data: st.DataObject, copies: int
) -> None:
    stage = MinhashDedup(
        verify="exact", threshold=0.5, ngram=ngram, shingle=shingle, bands=56, rows=2,
        keep_copies=copies,
    )  # fmt: skip
    table = texts(*values)
    places = data.draw(placements(len(values)))
    one, many = (
        run_stage(stage, [table], buckets=1),
        run_stage(stage, scattered(table, places), buckets=3, batch_rows=2, shuffle=1),
    )
    assert verdicts(one) == verdicts(many)
    sets = [set(slow_shingles(v, ngram, Normalisation(), shingle == "characters")) for v in values]
    row_of = {doc_id(i): i for i in range(len(values))}
    kept = [row_of[key] for key in one.kept["doc_id"].to_pylist()]
    for row in one.dropped.to_pylist():
        mine, match = sets[row["offset"]], sets[row_of[row["matched_doc_id"]]]
        assert len(mine & match) / len(mine | match) >= 0.5
        near = [k for k in kept if len(mine & sets[k]) >= 0.5 * len(mine | sets[k])]
        assert len(near) >= copies


def verdicts(outcome: Outcome) -> list[str]:
    rows = [*outcome.metrics.to_pylist(), *outcome.dropped.select(["doc_id", "matched_doc_id"])
            .to_pylist()]  # fmt: skip
    return sorted(map(str, rows))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="ab .1é東", max_size=60), max_size=8),
    st.integers(1, 6),
    st.booleans(),
    st.booleans(),
)
def test_signatures_of_characters_equal_datasketch_and_sets_sign_like_their_texts(
    values: list[str], ngram: int, characters: bool, alphanumeric: bool
) -> None:
    column, switches = pa.array(values, pa.large_string()), Normalisation(alphanumeric=alphanumeric)
    ours, has_words = kernel_signatures(column, ngram, 112, 1, switches, characters)
    theirs, has_words_too = datasketch_signatures(column, ngram, 112, 1, switches, characters)
    assert np.array_equal(ours, theirs)
    assert np.array_equal(has_words, has_words_too)
    hashes, starts = shingle_hashes(column, ngram, switches, characters, distinct=True)
    stored = pa.chunked_array([from_sets(hashes, starts)])
    for part in (stored, stored.slice(1)):
        again = sign_sets(*as_sets(part), *permutations(112, 1))
        assert np.array_equal(again, ours[len(values) - len(part) :])


def test_a_text_longer_than_a_block_is_signed_whole_by_characters() -> None:
    generator = np.random.default_rng(0)
    for length in (4095, 4096, 4097, 4101, 9_000):
        text = bytes(generator.choice(np.frombuffer(b"abcdef  ", np.uint8), length)).decode()
        column = pa.array([text], pa.large_string())
        ours, _ = kernel_signatures(column, 13, 16, 1, Normalisation(), True)
        theirs, _ = datasketch_signatures(column, 13, 16, 1, Normalisation(), True)
        assert np.array_equal(ours, theirs)


def test_shingles_of_characters_find_copies_without_words_in_common() -> None:
    spaced = "the quick brown fox jumps over the lazy dog and runs away from here " * 3
    table = texts(spaced, spaced.replace("quick", "quack"), "nothing like it at all, of course")
    stage = MinhashDedup(shingle="characters", ngram=8, verify="exact", threshold=0.7)
    outcome = run_stage(stage, [table])
    assert outcome.kept.num_rows == 2
    assert run_stage(MinhashDedup(verify="exact", threshold=0.9), [table]).kept.num_rows == 3


def test_the_texts_of_clusters_alone_are_read_again() -> None:
    outcome = run_stage(
        MinhashDedup(verify="exact"),
        [texts("a b c d e f", "a b c d e f", *(f"alone {chr(97 + i) * 9}" for i in range(9)))],
    )
    assert sum(part.num_rows for part in outcome.tables["members"].values()) == 2
    reads = {phase.name: phase for phase in MinhashDedup(verify="exact").phases()}
    assert "ngram" in reads["members"].knobs  # type: ignore[union-attr]
    assert "text" in reads["members"].columns  # type: ignore[union-attr, operator]


def test_clusters_that_need_more_memory_than_allowed_are_refused_with_a_remedy() -> None:
    many = texts(*["the same text in six words"] * 30)
    with pytest.raises(StageError, match=r"30 documents .* above cluster_memory 3,000.*rows"):
        run_stage(MinhashDedup(cluster_memory=3_000), [many])
    with pytest.raises(StageError, match="one duplicate cluster"):
        run_stage(MinhashDedup(cluster_memory=5_000), [many])
    long = texts(*[" ".join(f"w{chr(97 + i % 26) * (i // 26 + 1)}" for i in range(500))] * 30)
    with pytest.raises(StageError, match="verify: signature"):
        run_stage(MinhashDedup(cluster_memory=100_000, verify="exact"), [long])
    assert run_stage(MinhashDedup(cluster_memory=100_000), [long]).kept.num_rows == 1


def test_a_bound_that_only_refuses_is_in_no_key() -> None:
    from pipeline.planning.fingerprint import identity

    bounds = {"cluster_memory": 9, "max_source_drop_ratio": 0.5, "source_alarm": "warning"}
    assert identity(MinhashDedup(), 0) == identity(MinhashDedup(**bounds), 0)  # type: ignore[arg-type]
    assert identity(MinhashDedup(), 0) != identity(MinhashDedup(keep_copies=2), 0)


def test_a_document_of_a_cluster_is_found_in_its_own_partition_only() -> None:
    table = texts("a b c d e f g", "a b c d e f g", "something else")
    outcome = run_stage(MinhashDedup(), scattered(table, [0, 1, 1]))
    for index, count in ((0, 1), (1, 1)):
        rows = outcome.tables["assigned"][partition_id(index)]
        assert rows.num_rows == count
        assert set(rows["partition"].to_pylist()) == {partition_id(index)[:8]}
