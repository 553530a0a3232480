"""The real archives of shared/data/warc, against what fastwarc and warcio say of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator
from source_reading import WARC, Reading
from warc_mutations import walked
from warcio.archiveiterator import ArchiveIterator as WarcioIterator
from warcio.exceptions import ArchiveLoadFailed

from stages.archives.engines import UNWANTED
from stages.archives.http import decoded_body, response_of
from stages.archives.records import Record, digest_holds

DOCS = Path(__file__).parents[1] / "docs" / "warc.md"
BROTLI = "transfer_compression_brotli.warc"  # warcio raises AttributeError on its body

# Both readers give these an empty body, as there is no length to read by. But a block follows, so
# that an empty body would be a wrong one: we report the bytes as lost.
LENGTHLESS = {"invalid-warcfile-fields-empty.warc", "invalid-warcfile-fields-invalidformat.warc"}


# The record is two bytes longer than its length says: both readers give a body that its digest
# refutes.
SHORTER = ("example-trunc.warc", 1197)
TRUE_DIGEST = "sha1:DR5MBP7OD3OPA7RFKWJUD4CTNUQUGFC5"


@dataclass(frozen=True)
class Seen:
    """One record as a reader sees it."""

    kind: str
    uri: str
    block: bytes


def files(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "files.jsonl").read_text().splitlines()]


def by_fastwarc(data: bytes, decoded: bool) -> dict[int, Seen]:
    found = {}
    with contextlib.suppress(OSError):
        for raw in ArchiveIterator(
            io.BytesIO(data), parse_http=decoded, auto_decode="all", fsspec_args=False
        ):
            headers = {name.lower(): value for name, value in raw.headers.items()}
            uri = (headers.get("warc-target-uri") or "").strip("<>").replace(" ", "%20")
            found[raw.stream_pos] = Seen(headers.get("warc-type", ""), uri, raw.reader.read())
    return found


def by_warcio(data: bytes, decoded: bool) -> dict[int, Seen]:
    found = {}
    with contextlib.suppress(ArchiveLoadFailed, AttributeError):
        reader = WarcioIterator(io.BytesIO(data), no_record_parse=not decoded)
        for raw in reader:
            body = raw.content_stream().read() if decoded else raw.raw_stream.read()
            kind = raw.rec_headers.get_header("WARC-Type") or ""
            uri = raw.rec_headers.get_header("WARC-Target-URI") or ""
            found[reader.get_record_offset()] = Seen(kind, uri, body)
    return found


def agreed(data: bytes, decoded: bool) -> Iterator[tuple[int, Seen]]:
    """Offset and content of every record that both readers see alike."""
    one, other = by_fastwarc(data, decoded), by_warcio(data, decoded)
    for offset in sorted(one.keys() & other.keys()):
        if one[offset] == other[offset]:
            yield offset, one[offset]


def body_of(record: Record) -> bytes:
    """The body that a document is made of."""
    return decoded_body(response_of(record.head, record.body or b""), 1 << 24)


@pytest.mark.filterwarnings("ignore")  # warcio leaves streams open
def test_every_body_on_which_both_readers_agree_is_ours_byte_for_byte(shared_data: Path) -> None:
    blocks = bodies = 0
    for entry in files(shared_data / "warc"):
        data = (shared_data / "warc" / str(entry["file"])).read_bytes()
        ours = {record.offset: record for record in walked(data)[0]}
        name = str(entry["file"]).rpartition("/")[2]
        if name in LENGTHLESS:
            assert not ours
            continue
        for offset, seen in agreed(data, decoded=False):
            if (name, offset) == SHORTER:
                assert offset not in ours
                assert digest_holds(Record(0, "", digest=TRUE_DIGEST, body=seen.block)) is False
                continue
            assert ours[offset].block == seen.block, (entry["file"], offset)
            blocks += 1
        for offset, seen in agreed(data, decoded=True):
            if offset in ours and seen.kind in ("response", "resource", "conversion"):
                found = hashlib.sha256(body_of(ours[offset])).hexdigest()
                assert found == hashlib.sha256(seen.block).hexdigest(), (entry["file"], offset)
                bodies += 1
    assert blocks == 1516
    assert bodies == 553


def test_every_file_is_read_or_its_loss_named_and_its_documents_are_valid(
    shared_data: Path,
) -> None:
    seen = 0
    for entry in files(shared_data / "warc"):
        data = (shared_data / "warc" / str(entry["file"])).read_bytes()
        records, lost = walked(data)
        assert records or lost
        candidates = [record for record in records if record.kind not in UNWANTED]
        reading = Reading(WARC, data)
        assert len(reading.rows) + len(reading.refused) == len(candidates), entry["file"]
        assert all(row["html"].decode() for row in reading.rows), entry["file"]
        seen += 1
    assert seen == 68


def test_the_table_of_files_on_which_the_readers_differ_says_what_we_return(
    shared_data: Path,
) -> None:
    told = {}
    for line in DOCS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0].startswith("`"):
            told[cells[0].strip("`")] = cells[1:5]
    differing = 0
    for entry in files(shared_data / "warc"):
        name = str(entry["file"]).split("__")[1]
        warcio, fastwarc = entry.get("warcio_records"), entry.get("fastwarc_records")
        records, lost = walked((shared_data / "warc" / str(entry["file"])).read_bytes())
        if warcio == fastwarc and len(records) == warcio and not lost:
            continue
        differing += 1
        bytes_lost = sum(part.num_bytes for part in lost)
        read = f"{len(records)}" + (f", {bytes_lost:,} bytes lost" if lost else "")
        numbers = [str(warcio), "-" if fastwarc is None else str(fastwarc), read]
        assert told[name][:3] == numbers, name
        reasons = re.sub(r"^no readable record: ", "", lost[0].reason) if lost else ""
        assert told[name][3] == reasons, name
    assert differing == len(told)


def test_a_body_in_brotli_is_undone(shared_data: Path) -> None:
    for name in (BROTLI, f"{BROTLI}.gz"):
        data = (shared_data / "warc" / "ukwa__webarchive-discovery" / name).read_bytes()
        (row,) = Reading(WARC, data).rows
        assert row["html"].startswith(b"<html>")
        assert row["html"].rstrip().endswith(b"</html>")
