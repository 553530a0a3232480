"""Dedup against earlier runs: what is stored, who goes, what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import RunConfig, split_files

from pipeline.audit.verify import verify
from pipeline.cli import main as cli
from pipeline.errors import ConfigError
from pipeline.execution.runner import RunResult
from pipeline.files.uris import open_storage
from pipeline.results.publish import published_sha256
from stages.dedup import stored
from stages.dedup.minhash import MinhashDedup
from stages.dedup.stored import made_with
from stages.kernels.minhash import kernel_signatures
from stages.kernels.shingles import Normalisation

CONFIG = """
name: crawl
seed: 5
keep_dropped: all
steps:
  - id: texts
    read_jsonl: {{paths: ["{paths}/part-*.jsonl"], id: id}}
  - minhash_dedup: {{{knobs}}}
  - write_documents: {{format: parquet}}
"""


def crawl(
    run_yaml: RunConfig, folder: Path, rows: Sequence[dict[str, Any]], knobs: str, files: int = 3,
    **options: Any,
) -> RunResult:  # fmt: skip
    """A run over these rows in a workdir of its own."""
    data = [r for n in range(files) for r in rows[n::files]]
    if read_jsonl(folder / "texts") != data:
        split_files(folder / "texts", list(rows), files)
    text = CONFIG.format(paths=folder / "texts", knobs=knobs)
    return run_yaml(text, folder / "work", **options)


def read_jsonl(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("part-*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def rows_of(folder: Path, pattern: str) -> list[dict[str, Any]]:
    files = sorted((folder / "work").glob(pattern))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def kept(folder: Path) -> set[str]:
    """Texts that a run wrote."""
    return {row["text"] for row in rows_of(folder, "documents/**/*.parquet")}


def dropped(folder: Path) -> list[dict[str, Any]]:
    """Texts that the step dropped, with what it measured and whom they lost to."""
    texts = {r["doc_id"]: r["text"] for r in rows_of(folder, "steps/*/dropped-*/*.parquet")}
    found = rows_of(folder, "steps/minhash_dedup-*/metrics-*/*.parquet")
    return [{**r, "text": texts[r["doc_id"]]} for r in found if r["drop_reason"]]


def words(seed: int, count: int = 120) -> list[str]:
    letters = np.random.default_rng(seed).integers(97, 123, (count, 6))
    return ["".join(map(chr, word)) for word in letters.tolist()]


def row(name: str, said: Sequence[str]) -> dict[str, Any]:
    return {"id": name, "text": " ".join(said)}


def altered(said: Sequence[str], changes: int) -> list[str]:
    """The words with so many of them changed, far from each other: each costs five shingles."""
    found = list(said)
    for n in range(changes):
        found[(2 * n + 1) * len(found) // (2 * changes)] = f"changed{n}"
    return found


OLD = [row(f"old-{n}", words(n)) for n in range(40)]
COPIES = [row(f"copy-{n}", altered(words(n), 1)) for n in range(0, 40, 4)]
FRESH = [row(f"new-{n}", words(1000 + n)) for n in range(20)]


@pytest.fixture
def first(run_yaml: RunConfig, tmp_path: Path) -> Path:
    """The folder of a run that stored its signatures."""
    crawl(run_yaml, tmp_path / "first", OLD, "store: true")
    return tmp_path / "first"


def against(*folders: Path, more: str = "") -> str:
    return f"against: {json.dumps([str(folder / 'work') for folder in folders])}{more}"


# --- Who goes ----------------------------------------------------------------------------------


def test_what_an_earlier_corpus_has_goes_and_names_its_match(
    run_yaml: RunConfig, first: Path, tmp_path: Path
) -> None:
    crawl(run_yaml, tmp_path / "second", [*COPIES, *FRESH], against(first))
    assert kept(tmp_path / "second") == {row["text"] for row in FRESH}
    earlier_ids = {r["text"]: r["doc_id"] for r in rows_of(first, "documents/**/*.parquet")}
    gone = {row["text"]: row for row in dropped(tmp_path / "second")}
    assert set(gone) == {row["text"] for row in COPIES}
    for n, copy in zip(range(0, 40, 4), COPIES, strict=True):
        assert gone[copy["text"]]["matched_doc_id"] == earlier_ids[" ".join(words(n))]
        assert gone[copy["text"]]["drop_reason"] == "minhash_dedup.near_duplicate"


@pytest.mark.parametrize("scheme", ["affine32", "affine64"])
def test_matches_are_those_of_comparing_every_pair(
    run_yaml: RunConfig, tmp_path: Path, scheme: str
) -> None:
    first = tmp_path / "first"
    crawl(run_yaml, first, OLD, f"store: true, scheme: {scheme}")
    new = [row(f"n-{n}-{k}", altered(words(n), k)) for n in range(40) for k in range(9)]
    crawl(
        run_yaml,
        tmp_path / "second",
        new,
        against(first, more=f", threshold: 0.7, scheme: {scheme}"),
        files=5,
    )
    texts = pa.array([r["text"] for r in (*OLD, *new)], pa.large_string())
    signs, _ = kernel_signatures(texts, 5, 112, 1, Normalisation(), False, scheme)
    old, ours = signs[:40], signs[40:]
    bands = (old[None].reshape(1, 40, 14, 8) == ours[:, None].reshape(-1, 1, 14, 8)).all(-1).any(-1)
    equal = (old[None] == ours[:, None]).sum(-1)
    matched = (bands & (equal >= np.ceil(0.7 * 112))).any(1)
    gone = {
        r["text"] for r in dropped(tmp_path / "second") if r["minhash_dedup.against"] is not None
    }
    assert gone == {r["text"] for r, lost in zip(new, matched, strict=True) if lost}
    assert 40 < matched.sum() < len(new)


def test_a_document_that_goes_keeps_no_new_one_out(
    run_yaml: RunConfig, first: Path, tmp_path: Path
) -> None:
    near = altered(words(0), 2)
    far = list(near)
    far[10] = far[60] = "other"  # two changes from the near one, four from the old one
    new = [row("near", near), row("far", far)]
    knobs = ", bands: 112, rows: 1, threshold: 0.75"
    alone = crawl(run_yaml, tmp_path / "alone", new, knobs[2:], files=1)
    assert alone.funnel.rows[-1].kept == 1, "the two are duplicates of each other"
    crawl(run_yaml, tmp_path / "stored", OLD, "store: true" + knobs)
    crawl(run_yaml, tmp_path / "second", new, against(tmp_path / "stored", more=knobs), files=1)
    assert kept(tmp_path / "second") == {" ".join(far)}


def test_several_corpora_are_asked_and_the_metric_says_which(
    run_yaml: RunConfig, first: Path, tmp_path: Path
) -> None:
    crawl(run_yaml, tmp_path / "second", FRESH[:10], "store: true")
    both = [row("a", altered(words(4), 1)), row("b", altered(words(1003), 1)), FRESH[15]]
    crawl(run_yaml, tmp_path / "third", both, against(first, tmp_path / "second"))
    assert kept(tmp_path / "third") == {FRESH[15]["text"]}
    found = {row["text"]: row["minhash_dedup.against"] for row in dropped(tmp_path / "third")}
    assert [found[row["text"]] for row in both[:2]] == [0, 1]


def test_partitions_and_workers_change_nothing(
    run_yaml: RunConfig, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = [*COPIES, *FRESH, *(row(f"again-{n}", words(1000 + n)) for n in range(5))]
    crawl(run_yaml, tmp_path / "one", new, against(first), files=1)
    crawl(run_yaml, tmp_path / "many", new[::-1], against(first), files=7)
    monkeypatch.setattr(stored, "RANGE_ROWS", 16)
    crawl(run_yaml, tmp_path / "cut", OLD[::-1], "store: true", files=2)
    assert len(list((tmp_path / "cut" / "work" / "dataset" / "dedup").glob("*-bands-*"))) > 30
    crawl(run_yaml, tmp_path / "fine", new, against(tmp_path / "cut"))
    assert kept(tmp_path / "one") == kept(tmp_path / "many") == kept(tmp_path / "fine")


# --- What is stored ----------------------------------------------------------------------------


def test_tables_hold_what_was_kept_in_order(run_yaml: RunConfig, tmp_path: Path) -> None:
    crawl(run_yaml, tmp_path / "run", [*OLD, *COPIES], "store: true")
    documents = {r["doc_id"] for r in rows_of(tmp_path / "run", "documents/**/*.parquet")}
    bands = rows_of(tmp_path / "run", "dataset/dedup/*-bands-*.parquet")
    signatures = rows_of(tmp_path / "run", "dataset/dedup/*-signatures-*.parquet")
    assert [r["doc_id"] for r in signatures] == sorted(documents)
    assert len(bands) == 14 * len(documents)
    assert {r["doc_id"] for r in bands} == documents
    keys = np.array([r["key"] for r in bands], dtype=np.int64).view(np.uint64)
    assert np.array_equal(keys, np.sort(keys))


def test_all_are_stored_where_duplicates_are_only_marked(
    run_yaml: RunConfig, tmp_path: Path
) -> None:
    crawl(run_yaml, tmp_path / "run", [*OLD, *COPIES], "store: true, action: annotate")
    signatures = rows_of(tmp_path / "run", "dataset/dedup/*-signatures-*.parquet")
    assert len(signatures) == len(OLD) + len(COPIES)


def test_stored_files_are_published_verified_and_spared_by_gc(first: Path) -> None:
    storage = open_storage(str(first / "work"))
    assert verify(storage, True, lambda *_: None).problems == []
    stored = sorted((first / "work" / "dataset" / "dedup").iterdir())
    assert cli(["gc", str(first / "work"), "--min-age-hours", "0", "--keep-runs", "1"]) == 0
    assert sorted((first / "work" / "dataset" / "dedup").iterdir()) == stored
    before = published_sha256(storage)
    stored[0].write_bytes(stored[0].read_bytes()[:-1])
    assert published_sha256(storage) != before
    problems = verify(storage, True, lambda *_: None).problems
    assert [Path(problem.path).name for problem in problems] == [stored[0].name]


def test_storing_later_reads_no_text_anew(run_yaml: RunConfig, tmp_path: Path) -> None:
    crawl(run_yaml, tmp_path / "run", OLD, "")
    again = crawl(run_yaml, tmp_path / "run", OLD, "store: true")
    new = {node for node, units in again.keys.items() for key in units.values()
           if key in again.executed_keys}  # fmt: skip
    assert not any("signatures" in node and "stored" not in node for node in new)
    assert "texts" not in new


def test_the_content_of_a_corpus_is_in_the_key_and_its_place_is_not(
    run_yaml: RunConfig, first: Path, tmp_path: Path
) -> None:
    crawl(run_yaml, tmp_path / "second", [*COPIES, *FRESH], against(first))
    again = crawl(run_yaml, tmp_path / "second", [*COPIES, *FRESH], against(first))
    assert again.executed == 0
    crawl(run_yaml, first, [*OLD, FRESH[0]], "store: true")
    from pipeline.planning.fingerprint import path_digest

    path_digest.cache_clear()
    stored.read_corpus.cache_clear()
    crawl(run_yaml, tmp_path / "second", [*COPIES, *FRESH], against(first))
    assert kept(tmp_path / "second") >= {row["text"] for row in FRESH[1:]}


# --- What is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        (", ngram: 4", "ngram is 5 there and 4 here"),
        (", hash_seed: 2", "hash_seed is 1 there and 2 here"),
        (", bands: 7", "bands is 14 there and 7 here"),
        (", scheme: affine64", "scheme is affine32 there and affine64 here"),
        (", digits: false", "digits is True there and False here"),
    ],
)
def test_signatures_that_were_made_otherwise_are_refused(
    run_yaml: RunConfig, first: Path, tmp_path: Path, knobs: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        crawl(run_yaml, tmp_path / "second", FRESH, against(first, more=knobs))


def test_what_was_stored_before_there_was_a_scheme_still_fits() -> None:
    assert "scheme" not in json.loads(made_with(MinhashDedup()))
    assert json.loads(made_with(MinhashDedup(scheme="affine64")))["scheme"] == "affine64"


def test_a_run_that_stored_nothing_is_refused_with_advice(
    run_yaml: RunConfig, tmp_path: Path
) -> None:
    crawl(run_yaml, tmp_path / "first", OLD, "")
    with pytest.raises(ConfigError, match="Set `store: true`"):
        crawl(run_yaml, tmp_path / "second", FRESH, against(tmp_path / "first"))
    with pytest.raises(ConfigError, match="no dataset at"):
        crawl(run_yaml, tmp_path / "second", FRESH, against(tmp_path / "nowhere"))
