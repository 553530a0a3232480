"""A crawl laid out as Common Crawl's: WARC and WET files, lists of paths, both URL indices."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from source_reading import http, record

CRAWL = "CC-MAIN-2024-10"
ROOT = f"crawl-data/{CRAWL}"
INDEX = f"cc-index/table/cc-main/warc/crawl={CRAWL}"
CODES = {"en": "eng", "de": "deu", "fr": "fra", "es": "spa", "pl": "pol", "zh": "zho", "ja": "jpn"}
BLOCK_LINES = 7
"""Lines of a CDX block; Common Crawl has 3,000."""


@dataclass(frozen=True)
class Page:
    """A page and where it stands in the crawl."""

    url: str
    language: str
    domain: str
    mime: str
    status: int
    file: str
    offset: int
    length: int

    @property
    def surt(self) -> str:
        parts = urlsplit(self.url)
        host = (parts.hostname or "").removeprefix("www.")
        return f"{','.join(reversed(host.split('.')))}){parts.path.lower()}"


@dataclass
class Crawl:
    """Files by path, as a mirror has them, and their pages."""

    files: dict[str, bytes] = field(default_factory=dict)
    pages: list[Page] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    @property
    def warcs(self) -> list[str]:
        return sorted(name for name in self.files if "/warc/CC-MAIN" in name)


def make_crawl(rows: Sequence[Mapping[str, Any]], num_files: int = 6) -> Crawl:
    """Rows (`url`, `html`, `lang`) dealt out over WARC files in two segments."""
    crawl = Crawl()
    for number in range(num_files):
        segment = f"1707947473347.{number % 2}"
        stem = f"{ROOT}/segments/{segment}/warc/CC-MAIN-20240220211055-{number:05d}"
        _add_file(crawl, f"{stem}.warc.gz", rows[number::num_files], number * 1000)
    kinds = {"warc": crawl.warcs, "wet": [_wet(name) for name in crawl.warcs]}
    for kind, names in kinds.items():
        crawl.files[f"{ROOT}/{kind}.paths.gz"] = _lines(names)
    _add_table(crawl)
    _add_cdx(crawl)
    return crawl


def _wet(name: str) -> str:
    return name.replace("/warc/", "/wet/").replace(".warc.gz", ".warc.wet.gz")


def _lines(lines: Iterable[str]) -> bytes:
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _add_file(crawl: Crawl, name: str, rows: Sequence[Mapping[str, Any]], first: int) -> None:
    warc, wet = io.BytesIO(), io.BytesIO()
    warc.write(_packed(record(b"software: test\r\n", first, "warcinfo")))
    for at, row in enumerate(rows):
        number, url = first + at * 3, row["url"]
        status, mime = (404, "text/html") if at % 11 == 10 else (200, "text/html")
        if at % 13 == 12:
            mime = "application/pdf"
        body = str(row["html"]).encode("utf-8", "replace")
        answer = http(body, f"Content-Type: {mime}; charset=utf-8", status=f"{status} X")
        warc.write(_packed(record(b"GET / HTTP/1.1\r\n\r\n", number, "request")))
        packed = _packed(record(answer, number + 1, WARC_Target_URI=url))
        host = urlsplit(url).hostname or ""
        domain = ".".join(host.split(".")[-2:])
        language = CODES.get(str(row["lang"] or "")[:2], "eng")
        place = (name, warc.tell(), len(packed))
        crawl.pages.append(Page(url, language, domain, mime, status, *place))
        warc.write(packed)
        text = record(f"text of {url}\n".encode(), number + 2, "conversion", WARC_Target_URI=url,
                      Content_Type="text/plain")  # fmt: skip
        wet.write(_packed(text))
    crawl.files[name], crawl.files[_wet(name)] = warc.getvalue(), wet.getvalue()


def _add_table(crawl: Crawl) -> None:
    """Two Parquet files of `subset=warc`, sorted by SURT, and one of another subset."""
    pages = sorted(crawl.pages, key=lambda page: page.surt)
    half = len(pages) // 2
    paths = []
    for subset, part, some in (
        ("warc", 0, pages[:half]),
        ("warc", 1, pages[half:]),
        ("crawldiagnostics", 0, pages[:3]),
    ):
        table = pa.table(
            {
                "url_surtkey": [page.surt for page in some],
                "url": [page.url for page in some],
                "url_host_registered_domain": [page.domain for page in some],
                "content_languages": [page.language for page in some],
                "content_mime_detected": [page.mime for page in some],
                "fetch_status": pa.array([page.status for page in some], pa.int16()),
                "warc_filename": [page.file for page in some],
                "warc_record_offset": pa.array([page.offset for page in some], pa.int32()),
                "warc_record_length": pa.array([page.length for page in some], pa.int32()),
            }
        )
        sink = io.BytesIO()
        pq.write_table(table, sink, row_group_size=20)
        paths.append(f"{INDEX}/subset={subset}/part-{part:05d}.c000.gz.parquet")
        crawl.files[paths[-1]] = sink.getvalue()
    crawl.files[f"{ROOT}/cc-index-table.paths.gz"] = _lines(paths)


def _add_cdx(crawl: Crawl) -> None:
    folder = f"cc-index/collections/{CRAWL}/indexes"
    lines = []
    for page in sorted(crawl.pages, key=lambda page: page.surt):
        fields = {
            "url": page.url, "mime-detected": page.mime, "status": str(page.status),
            "length": str(page.length), "offset": str(page.offset), "filename": page.file,
            "languages": page.language,
        }  # fmt: skip
        lines.append(f"{page.surt} 20240220211055 {json.dumps(fields)}\n")
    clusters, half = [], len(lines) // 2
    for number, some in enumerate((lines[:half], lines[half:])):
        data = io.BytesIO()
        for start in range(0, len(some), BLOCK_LINES):
            block = gzip.compress("".join(some[start : start + BLOCK_LINES]).encode(), mtime=0)
            key = " ".join(some[start].split(" ")[:2])
            clusters.append(f"{key}\tcdx-{number:05d}.gz\t{data.tell()}\t{len(block)}\t{number}\n")
            data.write(block)
        crawl.files[f"{folder}/cdx-{number:05d}.gz"] = data.getvalue()
    crawl.files[f"{folder}/cluster.idx"] = "".join(clusters).encode()
    names = [f"{folder}/cdx-00000.gz", f"{folder}/cdx-00001.gz", f"{folder}/cluster.idx"]
    crawl.files[f"{ROOT}/cc-index.paths.gz"] = _lines([*names, f"{folder}/metadata.yaml"])
