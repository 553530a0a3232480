"""Where fetched pages lie: `<workdir>/fetched/<step>-<key>/`.

    pages/<xx>/<url key>.warc.gz     one URL, put if absent as soon as it is fetched
    <bucket>-of-<n>-<key>.warc.gz    all URLs of some hosts, put together when all are there
    <bucket>-of-<n>-<key>.json       its index, put last: what has one is finished

A killed crawl goes on with the URLs that have no page. A list that grew or shrank takes what it
needs from pages and from finished files, and fetches the rest; one page is never fetched twice
under one key. The key is that of the knobs that decide what is fetched.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import xxhash

from pipeline.errors import IntegrityError
from pipeline.files.storage import AlreadyExists, Storage
from pipeline.planning.fingerprint import digest
from stages.fetch.archive import as_warc, date_of, outcomes, warcinfo
from stages.fetch.crawl import TRANSIENT, Fetched, host_of

ROOT = "fetched"
BUCKET_URLS = 1000
"""URLs that a file is planned for: some 30 MB of pages."""
_VERSION = 1
"""Enters every key. Bump when what is stored for a URL changes."""


Place = tuple[str, int, int]
"""(path, offset, bytes) of one URL's records; bytes 0 = the whole file."""


@dataclass(frozen=True)
class Bucket:
    """The URLs of some hosts, and the file that holds them."""

    urls: tuple[str, ...]
    name: str
    """`<bucket>-of-<n>`: what documents are told to come from."""
    path: str
    """Relative to the workdir, without the suffix."""


@dataclass(frozen=True)
class Index:
    """Where each URL of a finished file lies."""

    sha256: str
    num_bytes: int
    attempt: int
    urls: Mapping[str, tuple[int, int, str]]
    """URL -> (offset, bytes, outcome)."""


def bucket_path(folder: str, name: str, urls: Sequence[str], attempt: int) -> str:
    """Where the file of a bucket of these URLs lies, without the suffix."""
    return f"{folder}/{name}-{digest([list(urls), attempt])[:12]}"


class Store:
    """The pages under one key of one step."""

    def __init__(
        self, storage: Storage, source: str, decides: Mapping[str, object], attempt: int
    ) -> None:
        self.storage, self.attempt = storage, attempt
        self.folder = f"{ROOT}/{source}-{digest([_VERSION, decides])[:12]}"

    def buckets(self, urls: Sequence[str]) -> list[Bucket]:
        """The URLs by host, in a power of two of buckets; sorted, so the list's order is free."""
        number = 1 << (max(1, -(-len(urls) // BUCKET_URLS)) - 1).bit_length()
        members: list[list[str]] = [[] for _ in range(number)]
        for url in sorted(urls):
            members[xxhash.xxh3_64_intdigest(host_of(url).encode()) % number].append(url)
        found = []
        for at, of_bucket in enumerate(members):
            name = f"{at:05d}-of-{number:05d}"
            if of_bucket:
                path = bucket_path(self.folder, name, of_bucket, self.attempt)
                found.append(Bucket(tuple(of_bucket), name, path))
        return found

    def index(self, bucket: Bucket) -> Index | None:
        """The index of a finished file. Raises IntegrityError if the file is not what it says."""
        found = self._index(bucket.path)
        if found is None:
            return None
        info = self.storage.info(f"{bucket.path}.warc.gz")
        if info is None or info.size != found.num_bytes:
            got = "is missing" if info is None else f"has {info.size:,} bytes"
            raise IntegrityError(
                f"{self.storage.root}/{bucket.path}.warc.gz {got}, expected {found.num_bytes:,} "
                f"bytes. Put it back, or delete {bucket.path}.json to fetch its pages anew."
            )
        return found

    def _index(self, path: str) -> Index | None:
        try:
            raw = orjson.loads(self.storage.get(f"{path}.json"))
        except FileNotFoundError:
            return None
        return Index(raw["sha256"], raw["num_bytes"], raw["attempt"], raw["urls"])

    # --- pages -------------------------------------------------------------------------------

    def _page(self, url: str) -> str:
        key = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return f"{self.folder}/pages/{key[:2]}/{key}.warc.gz"

    def put(self, fetched: Fetched) -> None:
        """Keep a page for good."""
        with contextlib.suppress(AlreadyExists):
            self.storage.put(self._page(fetched.url), as_warc(fetched), if_absent=True)

    def known(self, urls: Sequence[str]) -> dict[str, Place]:
        """Where the pages that are there lie. What an earlier attempt gave up is not among them."""
        pages = {
            posixpath.basename(info.path) for info in self.storage.list(f"{self.folder}/pages")
        }
        wanted = {url: self._page(url) for url in urls}
        found = {
            url: (path, 0, 0) for url, path in wanted.items() if posixpath.basename(path) in pages
        }
        for info in self.storage.list(self.folder):
            if not info.path.endswith(".json") or "/pages/" in info.path:
                continue
            path = info.path.removesuffix(".json")
            index = self._index(path)
            for url, (at, size, outcome) in (index.urls if index else {}).items():
                assert index
                final = outcome not in TRANSIENT or index.attempt >= self.attempt
                if url in wanted and url not in found and final:
                    found[url] = (f"{path}.warc.gz", at, size)
        return found

    def read(self, place: Place) -> bytes:
        """The records of one URL."""
        path, at, size = place
        return self.storage.get_range(path, at, size) if size else self.storage.get(path)

    # --- files -------------------------------------------------------------------------------

    def finish(
        self,
        bucket: Bucket,
        places: Mapping[str, Place],
        given_up: Mapping[str, Fetched],
        facts: dict[str, str],
    ) -> None:
        """Put a bucket's file together, and its index; then its pages are needed no more."""
        path = f"{bucket.path}.warc.gz"
        with tempfile.TemporaryDirectory(dir=self.storage.scratch_root()) as scratch:
            whole = Path(scratch, "bucket.warc.gz")
            with whole.open("wb") as out:
                for url in bucket.urls:
                    page = self.read(places[url]) if url in places else as_warc(given_up[url])
                    if not out.tell():
                        out.write(warcinfo(facts, date_of(page)))
                    out.write(page)
            with contextlib.suppress(AlreadyExists):  # by a crawl that was killed before the index
                self.storage.put(path, whole, if_absent=True)
        with self.storage.open(path) as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
            told = list(outcomes(stream))
            size = stream.seek(0, os.SEEK_END)
        urls = {
            url: (one.start, one.end - one.start, one.outcome)
            for url, one in zip(bucket.urls, told, strict=True)
        }
        body = {"attempt": self.attempt, "sha256": sha256, "num_bytes": size, "urls": urls}
        with contextlib.suppress(AlreadyExists):
            self.storage.put(f"{bucket.path}.json", orjson.dumps(body), if_absent=True)
        for url in bucket.urls:
            if url in places and not places[url][2]:
                self.storage.delete(places[url][0])


def counted(indices: Sequence[Index]) -> list[tuple[str, int]]:
    """(outcome, URLs), the most frequent first."""
    outcomes_of = Counter(outcome for one in indices for _, _, outcome in one.urls.values())
    return sorted(outcomes_of.items(), key=lambda pair: (-pair[1], pair[0]))
