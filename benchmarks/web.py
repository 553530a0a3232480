"""Inputs of the benchmarks: real pages as WARC files, the same records on every machine.

Pages come from `<data>/extraction_gold`, all files but `wcxb-large`. Their order is that of the
SHA-256 of their ids, so that the first N are a fair sample of all; page i lies in file i mod the
number of files. A record is a gzip member of its own, as in Common Crawl. The input's sha256 is
taken over the records before compression, so it does not depend on the deflate library.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import MeasureError

FOLDER = Path(__file__).resolve().parent / ".data"
DATE = "2026-01-01T00:00:00Z"
LEVEL = 6
STARTUP_FILES = 2


@dataclass(frozen=True)
class Page:
    """One page; the URL is unique in its input."""

    id: str
    url: str
    html: str


@dataclass(frozen=True)
class Web:
    """A written input."""

    folder: Path
    documents: int
    bytes: int
    """Stored bytes of all files."""
    sha256: str

    @property
    def pattern(self) -> str:
        return str(self.folder / "*.warc.gz")

    def to_json(self) -> dict[str, object]:
        return {"documents": self.documents, "bytes": self.bytes, "sha256": self.sha256}


def gold_pages(data: Path, limit: int | None = None) -> list[Page]:
    """Pages of `extraction_gold` without `wcxb-large`, in the fixed order. Raises MeasureError."""
    folder = data / "extraction_gold"
    files = [p for p in sorted(folder.glob("*.jsonl.gz")) if p.name != "wcxb-large.jsonl.gz"]
    if not files:
        raise MeasureError(f"no pages at {folder}/*.jsonl.gz. Give the folder with --data.")
    rows: list[tuple[str, str, str]] = []
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                rows.append((row["id"], row.get("url") or "", row["html"]))
    rows.sort(key=lambda row: hashlib.sha256(row[0].encode()).digest())
    seen: set[str] = set()
    pages = []
    for number, url, html in rows[:limit]:
        url = url if url.startswith("http") else f"https://page.invalid/{number}"
        unique = f"{url}#{number}" if url in seen else url
        seen.add(unique)
        pages.append(Page(number, unique, html))
    return pages


def copies(pages: Sequence[Page], count: int) -> Iterator[Page]:
    """The first `count` of the pages repeated without end; the copies have URLs of their own."""
    for number in range(count):
        page, copy = pages[number % len(pages)], number // len(pages)
        if copy:
            mark = "&" if "?" in page.url else "?"
            page = Page(f"{page.id}/{copy}", f"{page.url}{mark}copy={copy}", page.html)
        yield page


def startup_pages(files: int = STARTUP_FILES) -> list[Page]:
    """One small page of prose a file, which no filter of the benchmarks drops."""
    return [
        Page(f"startup/{number}", f"https://startup.invalid/{number}", _prose(number))
        for number in range(files)
    ]


WORDS = (
    "the of and to in that with was by from house river market winter letter teacher garden "
    "bridge sailor window morning field story paper stone music summer engine doctor village "
    "harbour cloud road answer silver mountain forest kitchen island number people evening "
    "picture captain corner wrote carried found built crossed opened remembered painted followed "
    "watched counted sold quiet broken early narrow distant bright heavy simple foreign green "
    "careful sudden empty warm "
)


def _prose(number: int) -> str:
    """Sentences of common words in no order, without repeats, as an article of HTML."""
    known = WORDS.split()
    paragraphs = []
    for paragraph in range(6):
        sentences = []
        for sentence in range(4):
            digest = hashlib.sha512(f"{number} {paragraph} {sentence}".encode()).digest()
            words = " ".join(known[byte % len(known)] for byte in digest[:12])
            sentences.append(f"The {words}.")
        paragraphs.append(f"<p>{' '.join(sentences)}</p>")
    head = f"<title>Story {number}</title>"
    article = f"<article>{''.join(paragraphs)}</article>"
    return f"<html lang=en><head>{head}</head><body>{article}</body></html>"


def record(page: Page) -> bytes:
    """The page as one WARC response record."""
    html = page.html.encode("utf-8", "surrogatepass")
    http = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(html)}\r\n\r\n"
    ).encode()
    digest = hashlib.sha256(page.url.encode()).digest()[:16]
    url = page.url.encode("utf-8").replace(b" ", b"%20").replace(b"\n", b"").replace(b"\r", b"")
    head = (
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: " + url + b"\r\n"
        b"WARC-Identified-Payload-Type: text/html\r\n"
        b"Content-Type: application/http; msgtype=response\r\n"
        + f"WARC-Record-ID: <urn:uuid:{uuid.UUID(bytes=digest)}>\r\nWARC-Date: {DATE}\r\n".encode()
        + f"Content-Length: {len(http) + len(html)}\r\n\r\n".encode()
    )
    return head + http + html + b"\r\n\r\n"


def write_web(pages: Sequence[Page], folder: Path, files: int) -> Web:
    """Write the pages, replacing the folder; equal pages give an equal sha256."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    whole = hashlib.sha256()
    for number in range(files):
        with (folder / f"part-{number:05d}.warc.gz").open("wb") as out:
            for page in pages[number::files]:
                data = record(page)
                whole.update(data)
                out.write(gzip.compress(data, LEVEL, mtime=0))
    size = sum(path.stat().st_size for path in folder.glob("*.warc.gz"))
    return Web(folder, len(pages), size, whole.hexdigest())


def cached_web(name: str, pages: Sequence[Page], files: int, root: Path = FOLDER) -> Web:
    """The input written by an earlier run from the very same pages, else written now."""
    identity = hashlib.sha256(f"{LEVEL} {files}".encode())
    for page in pages:
        identity.update(hashlib.sha256(record(page)).digest())
    folder = root / f"{name}-{len(pages)}-{identity.hexdigest()[:8]}"
    about = folder / "about.json"
    if about.exists():
        known = json.loads(about.read_text())
        return Web(folder, known["documents"], known["bytes"], known["sha256"])
    web = write_web(pages, folder, files)
    about.write_text(json.dumps({k: v for k, v in asdict(web).items() if k != "folder"}))
    return web
