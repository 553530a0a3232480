"""WARC files: pages, refusals, containers, damage."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_reading import WARC, Reading, as_gzip, five_records, html_record, http, record, zstd

from stages.archives.engines import Wanted
from stages.archives.records import Lost, Record
from stages.archives.walk import walk
from stages.documents import document_id
from stages.read_warc import ReadWarc

# --- WARC: what is a document ----------------------------------------------------------------


def test_a_page_carries_its_provenance_and_its_utf8_bytes() -> None:
    data = html_record("caf\u00e9", 7)
    (row,) = Reading(WARC, data).rows
    assert row["url"] == "http://example.com/7"
    assert row["file"] == "a.file"
    assert row["offset"] == 0
    assert row["source"] == "web"
    assert row["date"].isoformat() == "2024-05-06T07:08:09+00:00"
    assert (row["content_type"], row["charset"]) == ("text/html", "utf-8")
    assert "caf\u00e9".encode() in row["html"]
    assert row["doc_id"] == document_id("web", "urn:uuid:00000000-0000-0000-0000-000000000007")


def test_a_page_carries_what_its_response_says_of_robots_and_of_text_mining() -> None:
    headers = [
        "X-Robots-Tag: noai, noimageai",
        "TDM-Policy: https://example.com/policy.json",
        "x-robots-tag: otherbot: noindex",
        "X-Robots-Tag:",
        "tdm-reservation: 1",
    ]
    page = http(b"<p>x", "Content-Type: text/html", *headers)
    rows = Reading(WARC, record(page, 0) + record(http(b"<p>x", "Content-Type: text/html"), 1)).rows
    assert rows[0]["x_robots_tag"] == "noai, noimageai, otherbot: noindex"
    assert (
        rows[0]["tdm_headers"] == "tdm-reservation: 1; tdm-policy: https://example.com/policy.json"
    )
    assert (rows[1]["x_robots_tag"], rows[1]["tdm_headers"]) == (None, None)


def test_a_page_says_how_its_charset_was_found() -> None:
    declared = record(
        http("<p>gr\u00fcn".encode("cp1252"), "Content-Type: text/html; charset=latin1")
    )
    (row,) = Reading(WARC, declared).rows
    assert (row["charset"], row["charset_from"]) == ("windows-1252", "http")


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("http_status", record(http(b"<p>x", "Content-Type: text/html", status="404 Not Found"))),
        ("http_status", record(http(b"", "Location: /x", status="301 Moved"))),
        ("not_html", record(http(b"\x89PNG", "Content-Type: image/png"))),
        ("not_html", record(http(b"plain words"))),
        ("empty", record(http(b"", "Content-Type: text/html"))),
        ("empty", record(http(b" \n ", "Content-Type: text/html"))),
        ("not_http", record(b"20240101 example.com. A 1.2.3.4", Content_Type="text/dns")),
        ("revisit", record(http(b""), kind="revisit")),
        ("conversion", record(b"plain text", kind="conversion", Content_Type="text/plain")),
        ("segmented", record(http(b"<p>x"), WARC_Segment_Number="1")),
        ("unknown_type", record(http(b"<p>x"), kind="rasponse")),
        ("undecodable", record(http(b"<p>\0\0\0\0", "Content-Type: text/html"))),
        (
            "content_encoding",
            record(http(b"\x1f\x8bgarbage", "Content-Type: text/html", "Content-Encoding: gzip")),
        ),
        (
            "content_encoding",
            record(http(b"\x01\x02", "Content-Type: text/html", "Content-Encoding: sdch")),
        ),
    ],
)
def test_a_response_that_is_no_page_is_refused_with_its_reason(reason: str, data: bytes) -> None:
    reading = Reading(WARC, data)
    assert reading.reasons == {reason: 1}
    assert reading.refused[0]["offset"] == 0
    assert not reading.rows
    assert not reading.damage


def test_requests_metadata_and_warcinfo_are_neither_documents_nor_refusals() -> None:
    kinds = ["warcinfo", "request", "metadata"]
    reading = Reading(WARC, b"".join(record(b"x: y", n, k) for n, k in enumerate(kinds)))
    assert (reading.rows, reading.refused, reading.damage) == ([], [], [])


def test_a_page_without_content_type_is_recognised_by_its_first_tag() -> None:
    data = record(http(b"\n<!DOCTYPE html><p>hello</p>", "Server: x"))
    assert len(Reading(WARC, data).rows) == 1


def test_an_html_resource_is_a_document() -> None:
    data = record(b"<html><p>saved</p></html>", kind="resource", Content_Type="text/html")
    (row,) = Reading(WARC, data).rows
    assert row["html"] == b"<html><p>saved</p></html>"


PAGE = b"<html><p>" + b"words and more words " * 40 + b"</p></html>"


def chunked(body: bytes) -> bytes:
    half = len(body) // 2
    parts = [body[:half], body[half:]]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Encoding: gzip"], gzip.compress(PAGE, mtime=0)),
        (["Content-Encoding: deflate"], zlib.compress(PAGE)),
        (["Content-Encoding: deflate"], raw_deflate(PAGE)),
        (["Content-Encoding: zstd"], zstd(PAGE)),
        (["Transfer-Encoding: chunked"], chunked(PAGE)),
        (
            ["Transfer-Encoding: chunked", "Content-Encoding: gzip"],
            chunked(gzip.compress(PAGE, mtime=0)),
        ),
        # The header is left over, the body was stored decoded.
        (["Content-Encoding: gzip"], PAGE),
        (["Content-Encoding: br"], PAGE),
        (["Transfer-Encoding: chunked"], PAGE),
    ],
)
def test_transfer_and_content_encodings_are_undone(headers: list[str], body: bytes) -> None:
    (row,) = Reading(WARC, record(http(body, "Content-Type: text/html", *headers))).rows
    assert row["html"] == PAGE


def test_a_compressed_bomb_is_refused_before_it_is_unpacked_whole() -> None:
    bomb = gzip.compress(b"<p>" + b"a" * 3_000_000)
    data = record(http(bomb, "Content-Type: text/html", "Content-Encoding: gzip"))
    assert Reading(ReadWarc(paths=("a",), max_document_bytes=100_000), data).reasons == {
        "too_large": 1
    }


def test_a_page_above_the_bound_is_refused_and_the_next_one_read() -> None:
    data = html_record("x" * 200_000, 0) + html_record("small", 1)
    reading = Reading(ReadWarc(paths=("a",), max_document_bytes=50_000), data)
    assert reading.reasons == {"too_large": 1}
    assert [row["url"][-1] for row in reading.rows] == ["1"]


def test_head_stops_after_that_many_documents() -> None:
    reading = Reading(WARC, b"".join(five_records()), head=2)
    assert [row["url"][-1] for row in reading.rows] == ["0", "1"]


# --- WARC: containers, offsets, damage ---------------------------------------------------------


@pytest.mark.parametrize("pack", [as_gzip, b"".join], ids=["gzip", "plain"])
def test_reading_at_a_documents_offset_gives_that_document(pack: Any) -> None:
    data = pack(five_records())
    rows = Reading(WARC, data).rows
    assert len(rows) == 5
    for row in rows:
        again = Reading(WARC, data[row["offset"] :], head=1).rows[0]
        assert (again["doc_id"], again["html"]) == (row["doc_id"], row["html"])


@pytest.mark.parametrize(
    "data",
    [gzip.compress(b"".join(five_records()), mtime=0), zstd(b"".join(five_records()))],
    ids=["one gzip member", "zstd"],
)
def test_files_compressed_as_a_whole_are_read(data: bytes) -> None:
    reading = Reading(WARC, data)
    assert [row["url"][-1] for row in reading.rows] == list("01234")
    assert reading.damage == []


def test_the_same_record_has_the_same_id_in_any_container_and_order() -> None:
    records = five_records()
    ids = [
        {row["url"]: row["doc_id"] for row in Reading(WARC, data).rows}
        for data in (b"".join(records), as_gzip(records[::-1]), zstd(b"".join(records)))
    ]
    assert ids[0] == ids[1] == ids[2]


def test_a_file_of_rubbish_is_damage_and_an_empty_file_is_not() -> None:
    (damage,) = Reading(WARC, b"rubbish" * 100).damage
    assert (damage.offset, damage.num_bytes) == (0, 700)
    assert Reading(WARC, b"").damage == []


def test_rubbish_between_members_is_counted_to_the_byte() -> None:
    records = [gzip.compress(r, mtime=0) for r in five_records()]
    data = b"".join(records[:2]) + b"\xff" * 123 + b"".join(records[2:])
    reading = Reading(WARC, data)
    assert len(reading.rows) == 5
    (damage,) = reading.damage
    assert (damage.offset, damage.num_bytes) == (len(records[0]) + len(records[1]), 123)


def test_zero_padding_behind_the_last_member_is_no_damage() -> None:
    assert Reading(WARC, as_gzip(five_records()) + b"\0" * 512).damage == []


def test_a_wrong_length_in_a_plain_file_costs_that_record_only() -> None:
    records = five_records()
    length = str(len(records[1].split(b"\r\n\r\n", 1)[1]) - 4).encode()
    for wrong in (b"9" + length[1:], b"10", b"x"):
        broken = records[1].replace(b"Content-Length: " + length, b"Content-Length: " + wrong)
        reading = Reading(WARC, records[0] + broken + b"".join(records[2:]))
        assert [row["url"][-1] for row in reading.rows] == list("0234"), wrong
        assert sum(d.num_bytes for d in reading.damage) == len(broken), wrong


def walked(data: bytes) -> tuple[list[Record], list[Lost]]:
    found = list(walk(io.BytesIO(data), Wanted(1 << 24)))
    lost = [part for part in found if isinstance(part, Lost)]
    for part in lost:
        assert part.num_bytes > 0
        assert part.offset >= 0
        assert part.offset + part.num_bytes <= len(data)
    return [part for part in found if isinstance(part, Record)], lost


RECORDS = five_records()
MEMBERS = [gzip.compress(r, mtime=0) for r in RECORDS]
WHOLE = {r.id: r.block for r in walked(b"".join(MEMBERS))[0]}


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, sum(map(len, MEMBERS)) - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_in_a_gzip_file_costs_one_record_and_never_gives_a_wrong_one(
    position: int, flip: int
) -> None:
    data = bytearray(b"".join(MEMBERS))
    data[position] ^= flip
    records, lost = walked(bytes(data))
    assert all(WHOLE[r.id] == r.block for r in records)
    assert len(records) >= 4
    assert len(records) == 5 or lost  # five are left where the byte was a time stamp or a flag


@settings(max_examples=150, deadline=None)
@given(data=st.data(), compressed=st.booleans())
def test_a_truncated_file_gives_every_record_before_the_cut_and_reports_the_rest(
    data: st.DataObject, compressed: bool
) -> None:
    parts = MEMBERS if compressed else RECORDS
    cut = data.draw(st.integers(1, sum(map(len, parts)) - 1))
    ends = [sum(map(len, parts[: n + 1])) for n in range(5)]
    records, lost = walked(b"".join(parts)[:cut])
    complete = sum(end <= cut for end in ends)
    # The blank lines that end a plain record may be missing: its block is still whole.
    assert len(records) in ({complete} if compressed else {complete, complete + 1})
    assert all(WHOLE[r.id] == r.block for r in records)
    if len(records) == complete and cut not in ends:
        assert lost[-1].offset + lost[-1].num_bytes == cut


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, sum(map(len, RECORDS)) - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_in_a_plain_file_costs_one_record_at_most(position: int, flip: int) -> None:
    data = bytearray(b"".join(RECORDS))
    data[position] ^= flip
    records, lost = walked(bytes(data))
    assert len(records) >= 4
    assert len(records) == 5 or lost


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300), wrapped=st.booleans())
def test_no_bytes_make_the_reader_raise(data: bytes, wrapped: bool) -> None:
    data = RECORDS[0] + data + RECORDS[1] if wrapped else data
    reading = Reading(WARC, data)
    assert not data or reading.rows or reading.refused or reading.damage
