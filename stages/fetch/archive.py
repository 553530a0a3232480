"""Fetched pages as WARC 1.1 records, by warcio: request and response of every hop, and one metadata
record a URL with what came of it. Everything but the dates follows from what was sent and received.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, BinaryIO

from stages.fetch.crawl import Fetched, Hop

FIELDS = "application/warc-fields"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name by RFC 9110 section 5.6.2; what has another is no header."""
_UNDONE = {"transfer-encoding"}
"""Headers of what is undone in the stored body, kept under X-Crawl- as Common Crawl does."""


def as_warc(fetched: Fetched) -> bytes:
    """The records of one URL, each a gzip member; the metadata record is the last."""
    from warcio.warcwriter import WARCWriter

    out = io.BytesIO()
    writer = WARCWriter(out, gzip=True, warc_version="1.1")
    last = ""
    for hop in fetched.hops:
        last = _write_hop(writer, hop, fetched.url)
    fields = {
        "outcome": fetched.outcome,
        "robots": fetched.robots,
        "hops": str(len(fetched.hops)),
        "detail": " ".join(fetched.detail.split())[:500],
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value).encode()
    headers = {
        "WARC-Record-ID": _id("metadata", fetched.url, fetched.date, text),
        "WARC-Date": _date(fetched.date),
        **({"WARC-Concurrent-To": last} if last else {}),
    }
    writer.write_record(
        writer.create_warc_record(
            _ascii(fetched.url), "metadata", io.BytesIO(text), len(text), FIELDS, headers
        )
    )
    return out.getvalue()


def _write_hop(writer: Any, hop: Hop, listed: str) -> str:
    """Write request and response; returns the id of the response."""
    from warcio.statusandheaders import StatusAndHeaders

    answer, date = hop.answer, _date(hop.date)
    headers = [
        (f"X-Crawl-{name}" if name.lower() in _UNDONE else name, " ".join(value.split()))
        for name, value in answer.headers
        if _NAME.fullmatch(name)
    ]
    reason = answer.reason.encode("ascii", "replace").decode()
    status = " ".join(f"{answer.status} {reason}".split())
    block = f"{status}\n{headers}".encode() + answer.body
    response_id = _id("response", hop.url, hop.date, block)
    response = {
        "WARC-Record-ID": response_id,
        "WARC-Date": date,
        "WARC-IP-Address": answer.address,
    }
    writer.write_record(
        writer.create_warc_record(
            hop.url,
            "response",
            io.BytesIO(answer.body),
            len(answer.body),
            warc_headers_dict=response,
            http_headers=StatusAndHeaders(status, headers, answer.protocol),
        )
    )
    target, sent = answer.request
    request = {
        "WARC-Record-ID": _id("request", hop.url, hop.date, target.encode()),
        "WARC-Date": date,
        "WARC-Concurrent-To": response_id,
    }
    writer.write_record(
        writer.create_warc_record(
            hop.url,
            "request",
            io.BytesIO(),
            0,
            warc_headers_dict=request,
            http_headers=StatusAndHeaders(
                f"GET {target} HTTP/1.1", list(sent), is_http_request=True
            ),
        )
    )
    return response_id


def warcinfo(facts: dict[str, str], date: str) -> bytes:
    """The record at the head of a file."""
    from warcio.warcwriter import WARCWriter

    out = io.BytesIO()
    writer = WARCWriter(out, gzip=True, warc_version="1.1")
    text = "".join(f"{name}: {value}\r\n" for name, value in facts.items()).encode()
    number = uuid.UUID(bytes=hashlib.sha256(date.encode() + text).digest()[:16], version=5)
    headers = {"WARC-Record-ID": f"<urn:uuid:{number}>", "WARC-Date": date}
    writer.write_record(
        writer.create_warc_record("", "warcinfo", io.BytesIO(text), len(text), FIELDS, headers)
    )
    return out.getvalue()


def _id(kind: str, url: str, date: datetime, block: bytes) -> str:
    """A record's id, from what the record is."""
    name = f"{kind}\n{url}\n{date.isoformat()}\n".encode() + block
    return f"<urn:uuid:{uuid.UUID(bytes=hashlib.sha256(name).digest()[:16], version=5)}>"


def _date(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")


def _ascii(url: str) -> str:
    """A listed URL as a header can hold it, also one that is none."""
    return "".join(c if 32 < ord(c) < 127 else f"%{ord(c):02X}" for c in url)[:8192] or "none:"


@dataclass(frozen=True)
class Outcome:
    """What a metadata record says of a listed URL."""

    outcome: str
    url: str
    offset: int
    """Of the metadata record, in the file."""
    start: int
    """Where the records of this URL begin."""
    end: int
    """Where they end."""


def outcomes(stream: BinaryIO) -> Iterator[Outcome]:
    """Every URL of a file that was written here, in its order."""
    from warcio.archiveiterator import ArchiveIterator

    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    start, held = 0, None
    found = ArchiveIterator(stream)
    for one in found:
        text = one.content_stream().read().decode() if one.rec_type == "metadata" else ""
        at = found.get_record_offset()  # reads to the end of the record
        if held is not None:
            yield replace(held, end=at)
            start, held = at, None
        if one.rec_type == "warcinfo":
            start = -1
        elif start < 0:
            start = at
        if one.rec_type == "metadata":
            fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
            url = one.rec_headers.get_header("WARC-Target-URI")
            held = Outcome(fields["outcome"], url, at, start, end)
    if held is not None:
        yield held


def date_of(pages: bytes) -> str:
    """WARC-Date of the first record."""
    found = re.search(rb"\r\nWARC-Date: (\S+)\r\n", zlib.decompressobj(31).decompress(pages, 4096))
    if not found:
        raise ValueError("a record without a date")
    return found.group(1).decode()
