"""Archives of every kind: ARC, WET, containers, engines, digests."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastwarc.stream_io import ZstdWriter, zstd_train_dictionary_from_samples
from source_reading import Reading, as_gzip, five_records, html_record, http, record, zstd
from warc_mutations import walked

from pipeline.schema import TEXT_DOCUMENTS
from stages.archives.engines import Wanted
from stages.archives.records import Lost, Record, digest_holds
from stages.archives.walk import walk
from stages.read_warc import ReadWarc

WARC = ReadWarc(paths=("a",))
TEXT = ReadWarc(paths=("a",), records="text")

# --- ARC ---------------------------------------------------------------------------------------

PAGE = http(b"<html><p>an old page</p></html>", "Content-Type: text/html; charset=utf-8")
ONE = (
    b"filedesc://x.arc 0.0.0.0 20080430204825 text/plain 69\n1 0 A\n"
    b"URL IP-address Archive-date Content-type Archive-length\n123456\n\n"
)
TWO = (
    b"filedesc://x.arc 0.0.0.0 20080430204825 text/plain 200 - - 0 x.arc 118\n2 0 A\n"
    b"URL IP-address Archive-date Content-type Result-code Checksum Location Offset Filename "
    b"Archive-length\n123456789\n"
)


def arc(url: str, block: bytes, version: int = 1) -> bytes:
    more = " 200 abc - 512 x.arc" if version == 2 else ""
    line = f"{url} 1.2.3.4 20080430204825 text/html{more} {len(block)}\n"
    return line.encode() + block + b"\n"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("version", [1, 2])
def test_arc_files_of_both_versions_are_read(version: int, packed: bool) -> None:
    header = ONE if version == 1 else TWO
    length = len(header.split(b"\n", 1)[1]) - 1
    header = header.replace(b" 69\n", b" %d\n" % length).replace(b" 118\n", b" %d\n" % length)
    urls = ["http://a.example/x y", "http://b.example/"]
    parts = [header, *(arc(url, PAGE, version) for url in urls)]
    data = as_gzip(parts) if packed else b"".join(parts)
    reading = Reading(WARC, data)
    assert (reading.refused, reading.damage) == ([], [])
    assert [row["url"] for row in reading.rows] == urls
    for row, before in zip(reading.rows, (1, 2), strict=True):
        assert row["html"] == b"<html><p>an old page</p></html>"
        assert row["date"] == datetime(2008, 4, 30, 20, 48, 25, tzinfo=UTC)
        assert row["offset"] == len(as_gzip(parts[:before]) if packed else b"".join(parts[:before]))


def test_the_id_of_an_arc_record_is_its_address_date_and_body() -> None:
    one = arc("http://a.example/", PAGE)
    rows = Reading(WARC, one + arc("http://b.example/", PAGE) + one).rows
    ids = [row["doc_id"] for row in rows]
    assert ids[0] == ids[2] != ids[1]
    assert Reading(WARC, gzip.compress(one)).rows[0]["doc_id"] == ids[0]


@pytest.mark.parametrize("wrong", [b"9", b"400", b"99999"])
def test_a_wrong_length_in_a_plain_arc_file_costs_that_record_only(wrong: bytes) -> None:
    parts = [arc(f"http://{name}.example/", PAGE) for name in "abc"]
    broken = parts[1].replace(b" %d\n" % len(PAGE), b" %s\n" % wrong)
    reading = Reading(WARC, parts[0] + broken + parts[2])
    assert [row["url"] for row in reading.rows] == ["http://a.example/", "http://c.example/"]
    (damage,) = reading.damage
    assert (damage.offset, damage.num_bytes) == (len(parts[0]), len(broken))


# --- WET ---------------------------------------------------------------------------------------


def wet(text: str, number: int, codec: str = "utf-8") -> bytes:
    return record(text.encode(codec), number, "conversion", Content_Type="text/plain")


def test_wet_files_give_texts() -> None:
    assert TEXT.document_schema() == TEXT_DOCUMENTS
    info = record(b"x: y", 9, "warcinfo")
    reading = Reading(TEXT, as_gzip([info, wet("caf\u00e9 au lait", 1), wet(" \n", 2)]))
    (row,) = reading.rows
    assert (row["text"], row["charset"]) == ("caf\u00e9 au lait", "utf-8")
    assert (row["content_type"], row["url"]) == ("text/plain", "http://example.com/1")
    assert reading.reasons == {"empty": 1}


def test_pages_are_no_texts_and_texts_no_pages() -> None:
    data = html_record("page", 1) + wet("text", 2)
    assert Reading(TEXT, data).reasons == {"not_text": 1}
    assert Reading(WARC, data).reasons == {"conversion": 1}
    wat = record(b"{}", 3, "conversion", Content_Type="application/json")
    assert Reading(TEXT, wat).reasons == {"not_text": 1}


def test_a_real_wet_file_is_the_text_of_its_page(shared_data: Path) -> None:
    folder = shared_data / "warc" / "commoncrawl__whirlwind-python"
    (row,) = Reading(TEXT, (folder / "whirlwind.warc.wet.gz").read_bytes()).rows
    (page,) = Reading(WARC, (folder / "whirlwind.warc.gz").read_bytes()).rows
    assert row["url"] == page["url"]
    words = [word for word in row["text"].split() if word.isalpha()]
    assert len(words) > 300
    html = page["html"].decode()
    assert sum(word in html for word in words) > 0.95 * len(words)


# --- Containers --------------------------------------------------------------------------------

RECORDS = five_records()


@pytest.mark.parametrize("packed", [False, True], ids=["dictionary", "compressed dictionary"])
def test_zstd_with_a_dictionary_in_its_first_frame_is_read(packed: bool) -> None:
    dictionary = zstd_train_dictionary_from_samples(
        [r[: 300 + n] for n in range(60) for r in RECORDS], 4096
    )
    stored = io.BytesIO()
    writer = ZstdWriter(stored, dictionary=dictionary, compress_dictionary_frame=packed)
    for part in RECORDS:
        writer.write(part)
        writer.finish()
    writer.flush()
    data = stored.getvalue()
    records, lost = walked(data)
    assert not lost
    assert [r.block for r in records] == [r.block for r in walked(b"".join(RECORDS))[0]]
    frames = [r.offset for r in records]
    assert all(data[at : at + 4] == b"\x28\xb5\x2f\xfd" for at in frames)
    # The frames behind a broken one are found, and read with the dictionary again. The one before
    # goes with it, as nothing tells where it ends.
    broken = bytearray(data)
    broken[frames[1] : frames[1] + 12] = b"\xff" * 12
    records, (damage,) = walked(bytes(broken))
    assert [r.offset for r in records] == frames[2:]
    assert damage.offset <= frames[0]
    assert damage.offset + damage.num_bytes == frames[2]


def test_records_of_a_member_that_holds_several_are_told_apart_by_their_offsets() -> None:
    members = [gzip.compress(b"".join(RECORDS[:2])), gzip.compress(b"".join(RECORDS[2:]))]
    records, lost = walked(b"".join(members))
    first = len(members[0])
    assert [r.offset for r in records] == [0, 1, first, first + 1, first + 2]
    assert not lost


def test_a_record_may_go_on_in_the_next_member() -> None:
    cut = [RECORDS[0][:500], RECORDS[0][500:900], RECORDS[0][900:], RECORDS[1]]
    records, lost = walked(as_gzip(cut))
    assert [r.block for r in records] == [r.block for r in walked(b"".join(RECORDS[:2]))[0]]
    assert not lost


def test_a_broken_member_of_several_records_gives_those_whose_digest_holds() -> None:
    blocks = [
        http(f"<p>{n} {'word ' * 3000}".encode(), "Content-Type: text/html") for n in range(3)
    ]
    parts = [
        record(block, n, WARC_Block_Digest=f"sha1:{hashlib.sha1(block).hexdigest()}")
        for n, block in enumerate(blocks)
    ]
    data = bytearray(gzip.compress(b"".join([*parts, *RECORDS]), mtime=0))
    data[-6] ^= 1  # the checksum
    records, lost = walked(bytes(data))
    assert [r.block for r in records] == blocks
    assert "broken" in lost[0].reason


# --- Engines and digests -------------------------------------------------------------------------


def read_by(engine: str, data: bytes) -> tuple[list[Record], list[Lost]]:
    found = list(walk(io.BytesIO(data), Wanted(1 << 20, all_kinds=True), engine))  # type: ignore[arg-type]
    records = [part for part in found if isinstance(part, Record)]
    return records, [part for part in found if isinstance(part, Lost)]


@pytest.mark.parametrize("data", [as_gzip(RECORDS), b"".join(RECORDS), zstd(b"".join(RECORDS))])
def test_both_engines_read_the_same_records(data: bytes) -> None:
    one, other = read_by("fastwarc", data), read_by("warcio", data)
    assert [r.block for r in one[0]] == [r.block for r in other[0]]
    assert [r.id for r in one[0]] == [r.id for r in other[0]]
    assert one[1] == other[1] == []


def test_warcio_reads_what_fastwarc_gives_up_on() -> None:
    lower = RECORDS[1].replace(b"WARC/1.0", b"warc/1.0").replace(b"WARC-Type", b"warc-type")
    folded = RECORDS[2].replace(b"WARC-Type: ", b"WARC-Type:\r\n ")
    for pack in (as_gzip, b"".join):
        data = pack([RECORDS[0], lower, folded, RECORDS[3]])
        records, lost = read_by("auto", data)
        assert ([r.kind for r in records], lost) == (["response"] * 4, [])
        assert len(read_by("fastwarc", data)[0]) < 4


@pytest.mark.parametrize("encode", [base64.b32encode, base64.b16encode])
@pytest.mark.parametrize("name", ["sha1", "md5", "sha256"])
def test_a_block_digest_is_checked_in_plain_files_and_not_in_gzip(encode, name: str) -> None:  # type: ignore[no-untyped-def]
    block = http(b"<p>words", "Content-Type: text/html")
    right = encode(hashlib.new(name, block).digest()).decode()
    good = record(block, 1, WARC_Block_Digest=f"{name}:{right}")
    bad = record(block.replace(b"words", b"wards"), 2, WARC_Block_Digest=f"{name}:{right}")
    records, lost = walked(good + bad + RECORDS[0])
    assert len(records) == 2
    (damage,) = lost
    assert (damage.offset, damage.num_bytes) == (len(good), len(bad))
    assert damage.reason == "block digest does not match"
    assert len(walked(as_gzip([good, bad]))[0]) == 2


def test_a_digest_that_cannot_be_checked_says_nothing() -> None:
    for digest in (None, "", "sha1:", "sha1:!!", "crc:abcd", "blake3:00", "sha1:ABCD", "nonsense"):
        assert digest_holds(Record(0, "response", digest=digest, body=b"x")) is None


def test_a_gibberish_date_is_no_date() -> None:
    for text in ("", "soon", "0000", "9999-12-31T23:59:59-23:59", "2024-13"):
        assert Record(0, "response", date_text=text).date is None
    assert Record(0, "response", date_text="2024").date == datetime(2024, 1, 1, tzinfo=UTC)
