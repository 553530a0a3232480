"""MinHash: the kernel against datasketch and against theory, the stage through the phase driver."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from dedup_documents import doc_id, documents, nodes, placements, scattered, shared_rows, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from phase_driver import Outcome, run_stage

from stages.dedup.minhash import MinhashDedup
from stages.dedup.minhash_notes import candidate_probability
from stages.kernels.minhash import (
    DTYPES,
    band_keys,
    datasketch_signatures,
    kernel_signatures,
    permutations,
    sign_sets,
)
from stages.kernels.shingles import Normalisation, shingle_hashes

PLAIN = Normalisation()
SCHEMES: tuple[Any, ...] = ("affine32", "affine64")
TEXTS = st.lists(st.text(alphabet="ab .1é東", max_size=40), max_size=8)


def column(values: list[str]) -> pa.Array:
    return pa.array(values, pa.large_string())


# --- Signatures -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    TEXTS, st.integers(1, 6), st.sampled_from([1, 7, 112]), st.integers(0, 2**32 - 1),
    st.sampled_from(SCHEMES),
)  # fmt: skip
def test_the_kernel_equals_datasketch_value_for_value(
    values: list[str], ngram: int, num_hashes: int, seed: int, scheme: str
) -> None:
    how = (column(values), ngram, num_hashes, seed, PLAIN, False, scheme)
    ours, has_words = kernel_signatures(*how)
    theirs, has_words_too = datasketch_signatures(*how)
    assert ours.dtype == theirs.dtype == DTYPES[scheme]
    assert np.array_equal(ours, theirs)
    assert np.array_equal(has_words, has_words_too)


def test_permutations_are_those_of_datasketch() -> None:
    from datasketch import MinHash

    for scheme, num_hashes, seed in itertools.product(SCHEMES, (14, 112, 256), (1, 99)):
        theirs = MinHash(num_hashes, seed=seed, scheme=scheme).permutations
        assert np.array_equal(permutations(num_hashes, seed, scheme), theirs)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sets_of_shingles_are_signed_as_datasketch_signs_them(scheme: str) -> None:
    from datasketch import MinHash

    hashes = np.random.default_rng(3).integers(0, 1 << 64, 9_001, dtype=np.uint64)
    starts = np.array([0, 1, 1, 4_097, 9_001])
    ours = sign_sets(hashes, starts, *permutations(64, 5, scheme))
    for row, (first, last) in enumerate(itertools.pairwise(starts.tolist())):
        sketch = MinHash(64, seed=5, hashfunc=lambda value: value, scheme=scheme)
        sketch.update_batch(hashes[first:last].astype(DTYPES[scheme]))
        assert np.array_equal(ours[row], sketch.hashvalues)


def test_a_text_longer_than_a_block_of_shingles_is_signed_whole() -> None:
    generator = np.random.default_rng(0)
    for length in (4094, 4095, 4096, 4097, 4100, 4101, 4102, 20_000):
        words = generator.integers(0, 1 << 40, length)
        # Letters only: digits would all be folded to one.
        text = " ".join(np.base_repr(word, 26) for word in words.tolist())
        text = text.translate(str.maketrans("0123456789", "qrstuvwxyz"))
        ours, _ = kernel_signatures(column([text]), 5, 16, 1, PLAIN)
        hashes, _ = shingle_hashes(column([text]), 5, PLAIN)
        assert len(hashes) == length - 4
        theirs, _ = datasketch_signatures(column([text]), 5, 16, 1, PLAIN)
        assert np.array_equal(ours, theirs)


def test_a_text_without_words_has_no_signature() -> None:
    _, has_words = kernel_signatures(column(["", " ", "?!", "one"]), 5, 8, 1, PLAIN)
    assert has_words.tolist() == [False, False, False, True]


def test_a_band_key_depends_on_its_place_and_on_each_of_its_values() -> None:
    signature = np.zeros((1, 6), dtype=np.uint32)
    keys = band_keys(signature, 2, 3)
    assert keys[0, 0] != keys[0, 1]
    for place in range(6):
        changed = signature.copy()
        changed[0, place] = 1
        differs = (band_keys(changed, 2, 3) != keys)[0]
        assert differs.tolist() == [place < 3, place >= 3]


# --- Against theory, on real texts --------------------------------------------------------------


def jaccard(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> float:
    union = len(np.union1d(left, right))
    return len(np.intersect1d(left, right)) / union if union else 0.0


def split(values: npt.NDArray[Any], starts: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [values[a:b] for a, b in itertools.pairwise(starts)]


def test_the_estimate_is_unbiased_on_licence_texts() -> None:
    rows = {row["id"]: row["text"] for row in shared_rows("licence_texts.jsonl.gz")}
    pairs = shared_rows("licence_pairs_exact_jaccard.jsonl.gz")[::12]
    place = {name: i for i, name in enumerate(rows)}
    # Texts that many pairs share make errors that hang together: one pair a text.
    used: set[str] = set()
    chosen = []
    for pair in pairs:
        if not used & {pair["a"], pair["b"]}:
            used |= {pair["a"], pair["b"]}
            chosen.append((place[pair["a"]], place[pair["b"]]))
    all_texts = column(list(rows.values()))
    shingles = split(*shingle_hashes(all_texts, 5, PLAIN))
    signatures, _ = kernel_signatures(all_texts, 5, 112, 1, PLAIN)
    exact = np.array([jaccard(shingles[a], shingles[b]) for a, b in chosen])
    found = np.array([(signatures[a] == signatures[b]).mean() for a, b in chosen])
    errors, standard = found - exact, np.sqrt(exact * (1 - exact) / 112)
    assert len(chosen) > 100
    assert abs(errors.mean()) < 2 * math.sqrt((standard**2).sum()) / len(chosen)
    assert math.sqrt((errors**2).mean()) < 1.15 * math.sqrt((standard**2).mean())


def test_candidates_are_found_as_often_as_the_s_curve_says() -> None:
    pairs = shared_rows("boost_1.74_vs_1.81_html_pairs.jsonl.gz")
    sides = [column([strip_tags(pair[side]) for pair in pairs]) for side in ("html_a", "html_b")]
    shingles = [split(*shingle_hashes(side, 5, PLAIN)) for side in sides]
    exact = np.array([jaccard(a, b) for a, b in zip(*shingles, strict=True)])
    seeds = range(1, 9)
    found, expected = 0, np.zeros(0)
    for seed in seeds:
        keys = [band_keys(kernel_signatures(side, 5, 112, seed, PLAIN)[0], 14, 8) for side in sides]
        found += int((keys[0] == keys[1]).any(axis=1).sum())
        expected = np.append(expected, 1 - (1 - exact**8) ** 14)
    deviation = math.sqrt((expected * (1 - expected)).sum())
    assert abs(found - expected.sum()) < 3 * deviation + 1
    assert found / len(expected) > 0.8


def strip_tags(html: str) -> str:
    return re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<(script|style).*?</\1>", " ", html))


def test_the_plan_prints_the_s_curve() -> None:
    assert candidate_probability(0.75, 14, 8) == pytest.approx(0.772, abs=1e-3)
    note, verified, memory = MinhashDedup().plan_notes()
    assert "14 bands x 8 rows" in note
    assert "0.8 0.924" in note
    assert "0.75" in verified
    assert "takes 16 bytes" in memory
    assert len(MinhashDedup(verify="none").plan_notes()) == 2
    assert "exact" in MinhashDedup(verify="exact").plan_notes()[1]
    assert "NeMo" not in MinhashDedup(shingle="characters", ngram=20).plan_notes()[2]
    assert "NeMo" in MinhashDedup(shingle="characters", ngram=13).plan_notes()[2]


# --- The stage ----------------------------------------------------------------------------------

BASE = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(120)]


def variant(*changed: int) -> str:
    """The base text of 120 words with some of them replaced."""
    words = list(BASE)
    for place in changed:
        words[place] = f"other{chr(97 + place % 26)}{chr(97 + place // 26)}"
    return " ".join(words)


VARIANTS = st.one_of(
    st.lists(st.integers(0, 119), max_size=12).map(lambda places: variant(*places)),
    st.sampled_from(["", "one", "ONE!", "two words", " \n", BASE[0]]),
)


def test_a_near_copy_is_dropped_and_names_the_kept_one() -> None:
    outcome = run_stage(MinhashDedup(), [texts(variant(), variant(5), "something else entirely")])
    first, second = sorted((doc_id(0), doc_id(1)))
    assert nodes(outcome.dropped)[0][0] == second
    assert outcome.dropped["matched_doc_id"].to_pylist() == [first]
    assert outcome.dropped["reason"].to_pylist() == ["near_duplicate"]
    clusters = dict(
        zip(outcome.kept["doc_id"].to_pylist(), outcome.kept["cluster_id"].to_pylist(), strict=True)
    )
    assert clusters == {first: first, doc_id(2): None}
    assert outcome.metrics["cluster_size"].to_pylist() == [2, 2, None]


def test_short_texts_are_duplicates_only_of_equal_ones_and_empty_ones_of_none() -> None:
    outcome = run_stage(
        MinhashDedup(), [texts("Two words", "two WORDS!", "two others", "", "", "?")]
    )
    assert outcome.dropped.num_rows == 1
    assert outcome.kept.num_rows == 5


def test_the_policy_decides_which_of_a_cluster_survives() -> None:
    table = documents([{"text": variant(i)} for i in range(6)])
    for keep, survivor in (("-date",), 5), (("+date",), 0):
        outcome = run_stage(MinhashDedup(keep=keep), scattered(table, [0, 1, 2, 0, 1, 2]))
        assert nodes(outcome.kept) == [(doc_id(survivor), "a.warc.gz", survivor)]
    books = documents([{"text": variant(i), "source": "ab"[i == 3]} for i in range(6)])
    outcome = run_stage(MinhashDedup(keep=("source:b,a",)), [books])
    assert nodes(outcome.kept) == [(doc_id(3), "a.warc.gz", 3)]


def chain(length: int) -> pa.Table:
    """Texts of which each is near the next one, and far from those further on."""
    step = 8
    return texts(*(variant(*range(step * i)) for i in range(length)))


def test_a_chain_of_near_copies_does_not_cost_its_far_end() -> None:
    stage = MinhashDedup(threshold=0.8, bands=28, rows=4, keep=("+date",))
    outcome = run_stage(stage, [chain(9)])
    dropped = {row["doc_id"]: row["matched_doc_id"] for row in outcome.dropped.to_pylist()}
    assert dropped
    assert outcome.kept.num_rows >= 3
    assert not set(dropped.values()) & set(dropped)
    cut = MinhashDedup(verify="none", closure="transitive", bands=28, rows=4, keep=("+date",))
    assert run_stage(cut, [chain(9)]).kept.num_rows < outcome.kept.num_rows


def test_a_cluster_above_the_bound_is_resolved_directly_and_verified() -> None:
    whole = MinhashDedup(verify="none", closure="transitive", bands=28, rows=4, keep=("+date",))
    table = chain(9)
    size = max(v for v in run_stage(whole, [table]).metrics["cluster_size"].to_pylist() if v)
    bounded = MinhashDedup(
        verify="none", closure="transitive", bands=28, rows=4, keep=("+date",),
        max_cluster_size=size - 1,
    )  # fmt: skip
    direct = MinhashDedup(bands=28, rows=4, keep=("+date",))
    assert nodes(run_stage(bounded, [table]).kept) == nodes(run_stage(direct, [table]).kept)


def test_many_clusters_are_walked_piece_by_piece_to_the_same_verdicts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = texts(*(variant(i % 7, 50 + i % 3) for i in range(40)), *map(str, BASE[:9] * 3))
    whole = run_stage(MinhashDedup(), [table], buckets=1)
    for rows in (1, 5):
        monkeypatch.setattr("stages.dedup.minhash_walk.WALK_ROWS", rows)
        parts = run_stage(MinhashDedup(), [table], buckets=1)
        assert parts.kept.equals(whole.kept)
        assert parts.metrics.equals(whole.metrics)


def test_one_document_that_comes_through_two_inputs_is_kept_once() -> None:
    table = texts(variant(), "another text of some words")
    outcome = run_stage(MinhashDedup(), [table, table])
    assert nodes(outcome.kept) == nodes(table)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_both_engines_give_the_same_verdicts(scheme: Any) -> None:
    table = documents([{"text": variant(*range(i))} for i in range(12)])
    stages = (MinhashDedup(engine="kernel", scheme=scheme),
              MinhashDedup(engine="datasketch", scheme=scheme))  # fmt: skip
    ours, theirs = (run_stage(stage, [table]) for stage in stages)
    assert 0 < ours.dropped.num_rows < 12
    assert ours.dropped.equals(theirs.dropped)


def test_values_of_64_bits_take_twice_the_bytes_and_are_counted_so() -> None:
    long, short = MinhashDedup(scheme="affine64"), MinhashDedup()
    assert (long.signature_bytes, short.signature_bytes) == (896, 448)
    found = run_stage(long, [texts("one two three")]).tables["signatures"]
    (part,) = found.values()
    assert [len(value) for value in part["signature"].to_pylist()] == [896]


def test_exact_verification_gives_the_same_verdicts_with_values_of_64_bits() -> None:
    table = documents([{"text": variant(*range(i))} for i in range(12)])
    whole = (MinhashDedup(verify="exact", bands=112, rows=1, scheme=s) for s in SCHEMES)
    short, long = (run_stage(stage, [table]) for stage in whole)
    assert nodes(short.dropped) == nodes(long.dropped)
    assert short.metrics["similarity"].equals(long.metrics["similarity"])


def test_knobs_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="Raise num_hashes"):
        MinhashDedup(bands=20).check()
    with pytest.raises(ValueError, match="verify: none"):
        MinhashDedup(closure="transitive").check()
    MinhashDedup(closure="transitive", verify="none").check()


def test_another_band_layout_or_policy_reads_no_text() -> None:
    emits = {phase.name: phase for phase in MinhashDedup().phases()}
    assert not {"bands", "rows", "keep", "threshold"} & set(emits["signatures"].knobs)


def verify(outcome: Outcome, stage: MinhashDedup) -> None:
    """Every dropped document agrees with its kept match in signature and in a band."""
    rows = [*outcome.kept.to_pylist(), *outcome.dropped.to_pylist()]
    values, _ = kernel_signatures(
        column([row["text"] or "" for row in rows]), stage.ngram, stage.num_hashes, 1, PLAIN,
        False, stage.scheme,
    )  # fmt: skip
    keys = band_keys(values, stage.bands, stage.rows)
    kept = {row["doc_id"]: i for i, row in enumerate(rows[: outcome.kept.num_rows])}
    for i in range(outcome.kept.num_rows, len(rows)):
        match = kept[rows[i]["matched_doc_id"]]
        assert (values[i] == values[match]).mean() >= stage.threshold
        assert (keys[i] == keys[match]).any()


@settings(max_examples=30, deadline=None)
@given(st.data(), st.lists(VARIANTS, max_size=10), st.integers(1, 5), st.integers(0, 9))
def test_partitions_buckets_and_order_change_nothing(
    data: st.DataObject, values: list[str], buckets: int, shuffle: int
) -> None:
    keep, scheme = data.draw(st.sampled_from([(), ("-date",)])), data.draw(st.sampled_from(SCHEMES))
    stage = MinhashDedup(keep=keep, scheme=scheme)
    table = texts(*values)
    one = run_stage(stage, [table], buckets=1)
    places = data.draw(placements(len(values)))
    many = run_stage(stage, scattered(table, places), buckets, batch_rows=3, shuffle=shuffle)
    for left, right in ((one.kept, many.kept), (one.dropped, many.dropped)):
        assert sorted(map(str, left.to_pylist())) == sorted(map(str, right.to_pylist()))
    assert one.kept.num_rows + one.dropped.num_rows == len(values)
    verify(one, stage)


@settings(max_examples=30, deadline=None)
@given(st.lists(VARIANTS, max_size=10))
def test_exactly_the_preferred_copy_of_equal_texts_survives(values: list[str]) -> None:
    outcome = run_stage(MinhashDedup(keep=("-date",)), [texts(*values)])
    kept = outcome.kept["text"].to_pylist()
    with_words = [text for text in kept if text.strip()]
    assert len(with_words) == len(set(with_words))
    newest = {value: i for i, value in enumerate(values)}
    for row in outcome.kept.to_pylist():
        if row["text"].strip():
            assert row["offset"] == newest[row["text"]]
