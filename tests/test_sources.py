"""Sources of rows, JSONL and Parquet: mapped fields, refusals, damage; bounds of batches."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_reading import Reading, as_gzip, zstd

from pipeline.errors import InputError
from pipeline.schema import TEXT_DOCUMENTS, WEB_DOCUMENTS
from stages.documents import MAX_BATCH_ROWS, document_id
from stages.read_jsonl import ReadJsonl
from stages.read_parquet import ReadParquet


def test_batches_hold_at_most_8192_documents() -> None:
    data = b"".join(b'{"text":"%d"}\n' % n for n in range(MAX_BATCH_ROWS + 5))
    assert Reading(ReadJsonl(paths=("a",)), data).batch_sizes == [MAX_BATCH_ROWS, 5]


# --- JSONL --------------------------------------------------------------------------------------

LINES = b"".join(b'{"text": "document %d", "id": %d}\n' % (n, n) for n in range(2000))


@pytest.mark.parametrize(
    "data",
    [
        LINES,
        gzip.compress(LINES, mtime=0),
        bz2.compress(LINES),
        zstd(LINES),
        as_gzip([LINES[:99], LINES[99:]]),
    ],
    ids=["plain", "gzip", "bzip2", "zstd", "two members"],
)
def test_jsonl_is_read_through_any_compression(data: bytes) -> None:
    reading = Reading(ReadJsonl(paths=("a",), id="id"), data)
    assert [row["text"] for row in reading.rows] == [f"document {n}" for n in range(2000)]
    assert [row["offset"] for row in reading.rows] == list(range(2000))
    assert (reading.refused, reading.damage) == ([], [])


def test_bad_lines_are_refused_with_their_line_number() -> None:
    data = (
        b'\xef\xbb\xbf{"text":"a"}\n\nno json\n[1]\n{"text":"\xff"}\n{"text":7}\n{}\n{"text":" "}'
    )
    reading = Reading(ReadJsonl(paths=("a",)), data)
    assert [(row["reason"], row["offset"]) for row in reading.refused] == [
        ("bad_line", 2),
        ("bad_line", 3),
        ("bad_line", 4),
        ("no_text", 5),
        ("no_text", 6),
        ("empty", 7),
    ]
    assert len(reading.rows) == 1


def test_a_truncated_gzip_gives_its_whole_lines_and_one_damage() -> None:
    rng = random.Random(1)
    lines = [b'{"text": "%d"}\n' % rng.getrandbits(200) for _ in range(3000)]
    data = gzip.compress(b"".join(lines))
    reading = Reading(ReadJsonl(paths=("a",)), data[: len(data) // 2])
    assert 1000 < len(reading.rows) < 2000
    assert all(row["text"].encode() in lines[n] for n, row in enumerate(reading.rows))
    assert len(reading.damage) == 1
    assert reading.refused == []


@pytest.mark.parametrize(
    "data", [b"\n\n \n", gzip.compress(b"", mtime=0), gzip.compress(LINES, mtime=0)[:40]]
)
def test_a_file_without_any_line_is_damage_of_the_whole_file(data: bytes) -> None:
    (damage,) = Reading(ReadJsonl(paths=("a",)), data).damage
    assert (damage.offset, damage.num_bytes) == (0, len(data))


def test_nested_fields_html_and_dates_are_mapped() -> None:
    row = {"page": {"html": "<p>x</p>", "url": "http://x"}, "when": "2020-01-02T03:04:05+02:00"}
    source = ReadJsonl(paths=("a",), html="page.html", url="page.url", date="when")
    assert source.document_schema() == WEB_DOCUMENTS
    (got,) = Reading(source, json.dumps(row).encode()).rows
    assert (got["html"], got["url"]) == (b"<p>x</p>", "http://x")
    assert got["date"].isoformat() == "2020-01-02T01:04:05+00:00"
    assert ReadJsonl(paths=("a",)).document_schema() == TEXT_DOCUMENTS


def test_a_line_beyond_the_bound_is_refused_without_being_kept() -> None:
    data = b'{"text":"' + b"x" * 3_000_000 + b'"}\n{"text":"ok"}\n'
    reading = Reading(ReadJsonl(paths=("a",), max_document_bytes=1000), data)
    assert reading.reasons == {"too_large": 1}
    assert [row["text"] for row in reading.rows] == ["ok"]


def test_ids_of_rows_depend_on_their_content_and_never_on_their_position() -> None:
    one = Reading(ReadJsonl(paths=("a",)), b'{"text":"a","x":1}\n{"text":"b"}\n').rows
    two = Reading(ReadJsonl(paths=("a",)), b'{"text":"b"}\n\n{ "x":1, "text" : "a" }\n').rows
    assert [row["doc_id"] for row in one] == [row["doc_id"] for row in two[::-1]]
    assert one[0]["doc_id"] != one[1]["doc_id"]


# --- Parquet ------------------------------------------------------------------------------------


def parquet(**columns: list[Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, row_group_size=500)
    return out.getvalue()


def test_parquet_rows_become_documents_with_their_row_number() -> None:
    data = parquet(
        content=["a", None, "b"] * 400,
        meta=[{"url": "http://x"}] * 1200,
        id=list(range(1200)),
        unused=[b"\0"] * 1200,
    )
    source = ReadParquet(paths=("a",), text="content", url="meta.url", id="id")
    reading = Reading(source, data)
    assert [row["offset"] for row in reading.rows] == [n for n in range(1200) if n % 3 != 1]
    assert reading.reasons == {"no_text": 400}
    assert {row["url"] for row in reading.rows} == {"http://x"}
    assert reading.rows[1]["doc_id"] == document_id("web", "2")


def test_jsonl_and_parquet_give_a_row_the_same_id() -> None:
    rows = Reading(ReadParquet(paths=("a",)), parquet(text=["same text"])).rows
    assert (
        rows[0]["doc_id"]
        == Reading(ReadJsonl(paths=("a",)), b'{"text":"same text"}').rows[0]["doc_id"]
    )


def test_a_missing_parquet_column_names_the_file_the_columns_and_the_nearest() -> None:
    with pytest.raises(InputError, match=r"a\.file.*'contnt'.*Did you mean 'content'"):
        Reading(ReadParquet(paths=("a",), text="contnt"), parquet(content=["a"], id=[1]))


def test_a_truncated_parquet_file_is_damage_of_the_whole_file() -> None:
    data = parquet(text=["a"] * 100)[:-50]
    (damage,) = Reading(ReadParquet(paths=("a",)), data).damage
    assert (damage.offset, damage.num_bytes) == (0, len(data))


def test_a_broken_row_group_costs_that_group_only() -> None:
    data = bytearray(parquet(text=[f"text {n}" for n in range(1500)]))
    data[4:40] = b"\xff" * 36
    reading = Reading(ReadParquet(paths=("a",)), bytes(data))
    assert [row["offset"] for row in reading.rows] == list(range(500, 1500))
    assert len(reading.damage) == 1
