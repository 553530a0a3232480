"""Files for the tests of sources, made in memory, and what a source says about them."""

from __future__ import annotations

import gzip
import io
import random
from collections import Counter
from typing import Any

import pyarrow as pa

from pipeline.stage import Damage, Partition, Side, Source
from stages.read_warc import ReadWarc


class Reading:
    """Everything that a source says about one file."""

    def __init__(self, source: Source, data: bytes, head: int | None = None) -> None:
        partition = Partition("web", "somewhere/a.file", "a.file", len(data), "", head)
        self.rows: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []
        self.damage: list[Damage] = []
        self.batch_sizes: list[int] = []
        for batch in source.read(partition, io.BytesIO(data), Side("web", 1)):
            if batch.documents is not None:
                assert batch.documents.schema == source.document_schema()
                self.rows += batch.documents.to_pylist()
                self.batch_sizes.append(batch.documents.num_rows)
            self.refused += [dict(row) for row in batch.refused]
            self.damage += batch.damage

    @property
    def reasons(self) -> dict[str, int]:
        return dict(Counter(row["reason"] for row in self.refused))


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def record(block: bytes, number: int = 0, kind: str = "response", **headers: str) -> bytes:
    fields = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:00000000-0000-0000-0000-{number:012d}>",
        "WARC-Target-URI": f"http://example.com/{number}",
        "WARC-Date": "2024-05-06T07:08:09Z",
        "Content-Type": "application/http; msgtype=response",
        **{name.replace("_", "-"): value for name, value in headers.items()},
        "Content-Length": str(len(block)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + block + b"\r\n\r\n"


def html_record(text: str, number: int, content_type: str = "text/html; charset=utf-8") -> bytes:
    page = f"<html><title>{text}</title><p>{text}</p></html>".encode()
    return record(http(page, f"Content-Type: {content_type}"), number)


def five_records() -> list[bytes]:
    rng = random.Random(5)
    noise = [" ".join(str(rng.random()) for _ in range(30)) for _ in range(5)]
    return [html_record(f"page {n} {text}", n) for n, text in enumerate(noise)]


WARC = ReadWarc(paths=("a",))


def as_gzip(records: list[bytes]) -> bytes:
    return b"".join(map(gzip.compress, records))


def zstd(body: bytes) -> bytes:
    return bytes(pa.compress(body, "zstd", asbytes=True))
