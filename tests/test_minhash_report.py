"""What MinHash says of itself: clusters and chains, sources that collapse; and what it may keep."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import RunConfig, write_jsonl
from dedup_documents import doc_id, documents, nodes, scattered, texts
from phase_driver import Outcome, run_stage
from test_minhash import chain, variant

from pipeline.audit.lookup import open_run
from pipeline.audit.targets import find_target, targets
from pipeline.errors import StageError
from pipeline.execution.runner import RunResult
from pipeline.stage import Side
from stages.dedup import cluster_report
from stages.dedup.minhash import MinhashDedup

SIDE = Side("dedup", 0)
LOOSE: dict[str, Any] = {"bands": 28, "rows": 4, "keep": ("+date",)}


def clusters(outcome: Outcome) -> list[dict[str, Any]]:
    parts = outcome.tables["cluster_table"].values()
    rows: list[dict[str, Any]] = pa.concat_tables(parts).to_pylist()
    return sorted(rows, key=lambda row: row["cluster_id"])


# --- Clusters -----------------------------------------------------------------------------------


def test_each_cluster_is_listed_with_its_size_and_weakest_edge() -> None:
    table = texts(variant(), variant(3), variant(), "one of its kind", "two alike", "two alike")
    outcome = run_stage(MinhashDedup(keep=("+date",)), scattered(table, [0, 1, 2, 0, 1, 2]))
    similarity = outcome.metrics["similarity"].to_pylist()
    places = outcome.metrics["offset"].to_pylist()
    found = {row["documents"]: row for row in clusters(outcome)}
    assert sorted(found) == [2, 3]
    for row, members in ((found[3], (0, 1, 2)), (found[2], (4, 5))):
        ids = [doc_id(i) for i in members]
        assert row["cluster_id"] == min(ids)
        assert row["kept"] == 1
        assert row["doc_ids"][0] == ids[0]  # the kept one first
        assert sorted(row["doc_ids"]) == sorted(ids)
        weakest = min(similarity[places.index(i)] for i in members[1:])
        assert row["weakest_edge"] == weakest


def test_a_chain_shows_in_its_weakest_edge_or_in_what_is_kept() -> None:
    transitive = MinhashDedup(verify="none", closure="transitive", **LOOSE)
    [cut] = [row for row in clusters(run_stage(transitive, [chain(9)])) if row["documents"] > 4]
    assert cut["kept"] == 1
    assert cut["weakest_edge"] < 0.4
    direct = MinhashDedup(threshold=0.8, **LOOSE)
    [walked] = [row for row in clusters(run_stage(direct, [chain(9)])) if row["documents"] > 4]
    assert walked["kept"] > 1
    assert walked["weakest_edge"] >= 0.8
    assert len(walked["doc_ids"]) == cluster_report.SAMPLE


def test_a_cluster_in_which_nothing_is_removed_has_no_weakest_edge() -> None:
    outcome = run_stage(MinhashDedup(threshold=0.99, **LOOSE), [chain(3)])
    [row] = clusters(outcome)
    assert (row["kept"], row["weakest_edge"]) == (row["documents"], None)


def test_the_largest_clusters_are_those_of_all_buckets_whatever_their_number() -> None:
    sizes = {f"{chr(97 + i)} word": 2 + i % 7 for i in range(25)}
    table = texts(*itertools.chain(*([text] * size for text, size in sizes.items())))
    found = []
    for buckets in (1, 5):
        parts = run_stage(MinhashDedup(), [table], buckets).tables["cluster_table"].values()
        tables = [cluster_report.largest(part, SIDE) for part in parts]
        found.append(cluster_report.largest(pa.concat_tables(tables), SIDE))
    assert found[0].equals(found[1])
    expected = sorted(sizes.values(), reverse=True)[: cluster_report.LARGEST]
    assert found[0]["documents"].to_pylist() == expected


def test_a_cluster_above_the_bound_is_reported() -> None:
    rows = [(b"a" * 16, 30, 12, 0.25), (b"b" * 16, 11, 11, None), (b"c" * 16, 4, 1, 0.8)]
    table = pa.Table.from_pylist(
        [dict(zip(cluster_report.CLUSTERS.names, (*row, []), strict=True)) for row in rows],
        schema=cluster_report.CLUSTERS,
    )
    [line] = cluster_report.oversized(table, 10)
    for word in ("2 cluster(s)", "30 documents", "12 stay", "0.25", "6161"):
        assert word in line
    assert cluster_report.oversized(table, 30) == []
    assert "nothing was removed" in cluster_report.oversized(table.slice(1, 1), 10)[0]


# --- What stays ---------------------------------------------------------------------------------


def test_annotate_keeps_everything_and_says_what_would_go() -> None:
    table = texts(variant(), variant(4), variant(4), "alone here", "two alike", "two alike", "")
    places = [0, 1, 2, 0, 1, 2, 0]
    stage = MinhashDedup(action="annotate", keep=("+date",))
    outcome = run_stage(stage, scattered(table, places), buckets=3)
    assert nodes(outcome.kept) == nodes(table)
    assert outcome.dropped.num_rows == 0
    rows = sorted(outcome.kept.to_pylist(), key=lambda row: row["offset"])
    names = ("cluster_id", "cluster_size", "copies", "duplicate_of")
    first, last = min(map(doc_id, range(3))), min(map(doc_id, (4, 5)))
    assert [tuple(row[name] for name in names) for row in rows] == [
        (first, 3, 3, None),
        (first, 3, 3, doc_id(0)),
        (first, 3, 3, doc_id(0)),
        (None, None, None, None),
        (last, 2, 2, None),
        (last, 2, 2, doc_id(4)),
        (None, None, None, None),
    ]
    drop = run_stage(MinhashDedup(keep=("+date",)), [table])
    marked = outcome.kept.filter(pc.is_valid(outcome.kept["duplicate_of"]))
    assert nodes(drop.dropped) == nodes(marked)
    assert set(stage.adds) - set(MinhashDedup().adds) == {"cluster_size", "copies", "duplicate_of"}


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_so_many_copies_stay_the_preferred_ones_first(copies: int) -> None:
    table = texts(*["the very same text"] * 5, "another one here")
    direct = MinhashDedup(keep_copies=copies, keep=("-date",))
    cut = MinhashDedup(keep_copies=copies, keep=("-date",), verify="none", closure="transitive")
    for stage in (direct, cut):
        outcome = run_stage(stage, scattered(table, [0, 1, 0, 1, 0, 1]), shuffle=copies)
        kept = sorted(outcome.kept["offset"].to_pylist())
        assert kept == [*range(5 - copies, 5), 5]
        assert set(outcome.dropped["matched_doc_id"].to_pylist()) == {doc_id(4)}


def test_copies_count_the_documents_that_a_kept_one_stands_for() -> None:
    outcome = run_stage(MinhashDedup(threshold=0.8, **LOOSE), [chain(9)])
    stands = outcome.dropped["matched_doc_id"].to_pylist()
    copies = outcome.metrics["copies"].to_pylist()
    for row in outcome.kept.to_pylist():
        assert copies[row["offset"]] == 1 + stands.count(row["doc_id"])
    for row in outcome.dropped.to_pylist():
        assert copies[row["offset"]] == 1 + stands.count(row["matched_doc_id"])


# --- Sources ------------------------------------------------------------------------------------


def boilerplate_pages(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Pages of 80 common words and 40 of their own: a Jaccard of about .49 between any two."""
    generator = np.random.default_rng(seed)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", np.uint8)
    common = " ".join(letters[generator.integers(0, 26, 6)].tobytes().decode() for _ in range(80))
    own = letters[generator.integers(0, 26, (count, 40 * 8))]
    own[:, 7::8] = ord(" ")
    return [{"text": f"{common} {row.tobytes().decode()}"} for row in own]


CONFIG = """\
seed: 3
workdir: unused
max_drop_ratio: 1.0
steps:
  - id: shop
    read_jsonl: {{paths: ["{folder}/shop/*.jsonl"]}}
  - id: news
    read_jsonl: {{paths: ["{folder}/news/*.jsonl"]}}
  - id: dedup
    inputs: [shop, news]
    minhash_dedup: {{{knobs}}}
  - write_documents: {{}}
"""
TRANSITIVE = "bands: 28, rows: 4, verify: none, closure: transitive"
MERGED = f"{TRANSITIVE}, max_cluster_size: 1_000_000"


def collapse(run_yaml: RunConfig, folder: Path, knobs: str, count: int) -> RunResult:
    for number in range(3):
        write_jsonl(folder / "shop" / f"{number}.jsonl", boilerplate_pages(count)[number::3])
    write_jsonl(folder / "news" / "0.jsonl", [
        {"text": " ".join(row["text"].split()[80:])} for row in boilerplate_pages(50, seed=1)
    ])  # fmt: skip
    return run_yaml(CONFIG.format(folder=folder, knobs=knobs))


def collapse_in_three_ways(run_yaml: RunConfig, folder: Path, count: int, capped: int) -> None:
    """Verified; merged and stopped; merged with a warning; capped."""
    verified = collapse(run_yaml, folder, "bands: 28, rows: 4", count)
    [row] = [row for row in verified.funnel.rows if row.step == "dedup"]
    assert row.kept > 0.99 * row.documents_in

    with pytest.raises(StageError) as stopped:
        collapse(run_yaml, folder, MERGED, count)
    for word in ("'dedup'", f" of {count:,}", "source_alarm", "inspect"):
        assert word in str(stopped.value)
    assert int(re.findall(r"'shop' loses ([\d,]+)", str(stopped.value))[0].replace(",", "")) > (
        0.99 * count
    )
    assert "news" not in str(stopped.value)

    warned = collapse(run_yaml, folder, f"{MERGED}, source_alarm: warning", count)
    assert any("'shop' loses" in line for line in warned.warnings)

    capped_run = collapse(run_yaml, folder, f"{TRANSITIVE}, max_cluster_size: {capped}", count)
    [line] = capped_run.warnings
    assert f"above max_cluster_size {capped:,}" in line
    [row] = [row for row in capped_run.funnel.rows if row.step == "dedup"]
    assert row.kept > 0.99 * row.documents_in
    found = open_run(str(folder / "work"))
    assert {"dedup.cluster_table", "dedup.largest", "dedup.sources"} <= set(targets(found))
    shown = find_target(found, "dedup.largest").read(3, None, [])
    assert shown.rows[0]["documents"] > 0.9 * count
    files = find_target(found, "dedup.cluster_table").paths
    assert pq.read_table(folder / "work" / files[0]).schema.equals(cluster_report.CLUSTERS)


def test_a_source_of_boilerplate_pages_does_not_collapse_in_silence(
    run_yaml: RunConfig, tmp_path: Path
) -> None:
    collapse_in_three_ways(run_yaml, tmp_path, 1_200, 1_000)


@pytest.mark.slow
def test_fifty_thousand_boilerplate_pages_do_not_collapse_in_silence(
    run_yaml: RunConfig, tmp_path: Path
) -> None:
    collapse_in_three_ways(run_yaml, tmp_path, 50_000, 10_000)


def test_sources_are_counted_over_all_partitions_and_small_ones_are_not_judged() -> None:
    same = ["one text for all of them"] * 40
    table = documents(
        [{"text": t, "source": "ab"[i % 4 == 0]} for i, t in enumerate(same)]
        + [{"text": "", "source": None, "offset": 99, "doc_id": doc_id("x")}]
    )
    outcome = run_stage(MinhashDedup(), scattered(table, [i % 3 for i in range(41)]))
    parts = [
        cluster_report.count_sources(
            {"docs": docs, "verdicts": outcome.tables["verdicts"][key]}, SIDE
        )
        for key, docs in outcome.tables["docs"].items()
    ]
    counted = cluster_report.sum_sources(pa.concat_tables(parts), SIDE).to_pylist()
    by_name = {row["source"]: (row["documents"], row["lost"]) for row in counted}
    assert set(by_name) == {"a", "b", None}
    assert by_name[None] == (1, 0)
    assert sum(lost for _, lost in by_name.values()) == 39
    assert (by_name["a"][0], by_name["b"][0]) == (30, 10)
    table = pa.Table.from_pylist(
        [{"source": "small", "documents": 1000, "lost": 999},
         {"source": "large", "documents": 1001, "lost": 960}], schema=cluster_report.SOURCES,
    )  # fmt: skip
    with pytest.raises(StageError, match=r"'large' loses 960 of 1,001 documents \(95.90%\); above"):
        cluster_report.collapsed(table, 0.95, "error", False, SIDE)
    assert cluster_report.collapsed(table, 0.96, "error", False, SIDE) == []
    [line] = cluster_report.collapsed(table, 0.95, "error", True, SIDE)
    assert "small" not in line
