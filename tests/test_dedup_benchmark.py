"""The benchmark of dedup: its texts, both sides on a few, its table."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import bulk, dedup, dedup_table, report
from benchmarks.peers import environment


def rows(texts: list[str]) -> pa.Table:
    ids = [f"page/{number}" for number in range(len(texts))]
    return pa.table([pa.array(ids), pa.array(texts, pa.large_string())], schema=bulk.SCHEMA)


def licence_rows(data: Path, count: int) -> pa.Table:
    import gzip

    with gzip.open(data / "near_dup" / "licence_texts.jsonl.gz", "rt", encoding="utf-8") as lines:
        return rows([json.loads(line)["text"] for line in lines][:count])


def test_rows_are_spread_over_files_and_written_once(tmp_path: Path) -> None:
    table = rows([f"text number {number} ü" for number in range(7)])
    web = bulk.spread(table, "few", 3, tmp_path)
    files = sorted(web.folder.glob("*.parquet"))
    assert [pq.read_table(file)["id"].to_pylist() for file in files] == [
        ["page/0", "page/3", "page/6"], ["page/1", "page/4"], ["page/2", "page/5"],
    ]  # fmt: skip
    assert web.bytes == sum(len(text.encode()) for text in table["text"].to_pylist())
    written = files[0].stat().st_mtime_ns
    assert bulk.spread(table, "few", 3, tmp_path) == web
    assert files[0].stat().st_mtime_ns == written
    assert bulk.spread(table.slice(1), "few", 3, tmp_path).folder != web.folder


def test_both_sides_sign_and_deduplicate_the_same_texts(shared_data: Path, tmp_path: Path) -> None:
    if not (environment("datatrove") / "complete").exists():
        pytest.skip("the peer's environment is not there: python -m benchmarks dedup makes it")
    table = licence_rows(shared_data, 120)
    web = bulk.spread(pa.concat_tables([table, table.slice(0, 30)]), "test", 2, tmp_path)
    for engine in ("ours", "datatrove"):
        signed = dedup.Signed(engine)
        signed.turn(web)
        assert signed.told[0]["texts"] == 150
        assert 140 <= signed.told[0]["signatures"] <= 150
    ours, peer = dedup.ours(dedup.TRANSITIVE, 0), dedup.datatrove("spacy")
    for side in (ours, peer):
        side.turn(web)
        assert len(side.found) == len(set(side.found)) <= 120
    # Who of a pair is kept differs, and so do pairs near the threshold; how many go hardly does.
    assert abs(len(ours.found) - len(peer.found)) <= 6


def test_the_table_shows_speeds_and_what_was_kept(tmp_path: Path) -> None:
    signed = {"texts": 10, "bytes": 2_000_000, "mb_per_cpu_second": 120.0}
    side = {
        "cpu_seconds": 5.0, "wall_seconds": 3.0, "peak_pss_bytes": 10**9,
        "startup": {"cpu_seconds": 3.0},
    }  # fmt: skip
    kept = dedup.agreement(["a", "b", "b"], ["b", "c"], 4)
    ours = {**side, "signatures": {"all": signed, "few": signed}, "default": side,
            "kept": {"datatrove": kept}, "peers_with_our_words": signed}  # fmt: skip
    found = {"input": {"documents": 4}, "ours": ours,
             "peers": {"datatrove": {**side, "signatures": signed}}}  # fmt: skip
    (tmp_path / "dedup.json").write_text(json.dumps(found))
    made = dedup_table.table(tmp_path)
    assert "| datatrove | 10 | 2.0 | 120.00 |" in made
    assert "| ours, default | 2.0 | 3.0 | 1,000 | 500000 |" in made
    assert "| datatrove (4) | 3 | 2 | 1 | 1 | 1 |" in made
    assert dedup_table.table(tmp_path / "nowhere") == ""
    assert "dedup" in report.TABLES
