"""Fetches a list of URLs politely, once, as WARC files in the workdir, and reads these as archives.

The list is a text file with one URL a line (`#` begins a comment); gzip, zstd and bzip2 are undone.
`run` fetches what is missing before it works; from then on the WARC files are the input, by their
content: a second run asks no network. Another `as_of` fetches everything anew, a higher `attempt`
what could not be reached. `--limit` limits the documents that are read, not the fetch.

A URL without a page is refused with the reason of its metadata record; each hop of a redirect is a
response of its own, which `read_warc` refuses as `http_status`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import BinaryIO, ClassVar

import pyarrow as pa

from pipeline.errors import InputError
from pipeline.files.storage import Storage
from pipeline.files.uris import find_inputs, open_input
from pipeline.planning.fetching import FetchedInputs, FetchingSource, Kept, Watch
from pipeline.stage import Partition, Side, SourceBatch, knob, location
from stages.documents import MAX_HTML_BYTES, BatchBuilder, refusal_key
from stages.fetch.addresses import networks
from stages.fetch.archive import outcomes
from stages.fetch.client import MAX_URL_BYTES, Bounds, FetchError, normal_url
from stages.fetch.crawl import TRANSIENT, Crawl, Fetched, Manners, host_of
from stages.fetch.forget import forget, kept
from stages.fetch.store import Bucket, Place, Store, counted
from stages.lines import Lines
from stages.read_warc import ReadWarc

_CONTACT = re.compile(r"\S+@\S+\.\S+|https?://\S+")
_AGENT = re.compile(r"[A-Za-z_-]+")


@dataclass(frozen=True)
class FetchUrls(FetchingSource):
    """HTML pages of a list of URLs. `offset` is the byte where the record starts in its file."""

    paths: tuple[str, ...] = location(help="files with one URL a line")
    contact: str = location(
        help="an e-mail address or web page of yours, sent with each request: who runs a site must "
        "be able to reach you"
    )
    base: str | None = location(None)
    as_of: str = knob(
        "", source="the first fetch", help="a name of this fetch; another name fetches anew"
    )
    attempt: int = knob(
        1, source="the first", minimum=1, identity=False,
        help="a higher one tries again what could not be reached",
    )  # fmt: skip
    agent: str = knob(
        "tokenmill", source="RFC 9309 section 2.2.1", help="the name that robots.txt files know"
    )
    max_per_host: int | None = knob(
        None, unit="URLs", source="off: the list is the user's", minimum=1,
        help="of a host's URLs in sorted order only the first so many",
    )  # fmt: skip
    max_document_bytes: int = knob(
        MAX_HTML_BYTES, unit="bytes of UTF-8", source="DESIGN section 4", minimum=1
    )
    max_redirects: int = knob(
        5, unit="redirects", source="as many as RFC 9309 asks for robots.txt", minimum=0, maximum=20
    )
    delay: float = knob(
        1.0, unit="s", source="StormCrawler's fetcher.server.delay",
        minimum=0, identity=False, help="between two requests to a host, or what robots.txt asks",
    )  # fmt: skip
    max_crawl_delay: float = knob(
        30.0, unit="s", source="fetcher.max.crawl.delay of Nutch and StormCrawler", minimum=0,
        identity=False,
        help="a site that asks for more is not fetched",
    )  # fmt: skip
    hosts_at_once: int = knob(
        32, unit="hosts", source="threads that mostly wait", minimum=1, maximum=256, identity=False
    )
    retries: int = knob(
        3, unit="attempts", source="urllib3 and wget try again a few times", minimum=0,
        identity=False, help="after a busy server, a lost connection or no answer",
    )  # fmt: skip
    backoff: float = knob(
        2.0, unit="s", source="doubled each time: 2, 4, 8", minimum=0, identity=False
    )
    max_wait: float = knob(
        120.0, unit="s", source="a Retry-After above it gives the URL up", minimum=0, identity=False
    )
    max_seconds: float = knob(
        60.0, unit="s", source="20 MB at 3 Mbit/s", minimum=0.1, identity=False,
        help="for one response, from its name's look-up to its last byte",
    )  # fmt: skip
    idle_seconds: float = knob(
        20.0, unit="s", source="browsers wait longer, crawlers 10 to 30", minimum=0.1,
        identity=False, help="for a connection, and between two pieces of a response",
    )  # fmt: skip
    allow: tuple[str, ...] = location(
        (), help="networks that are not public and may be fetched from, such as 10.1.0.0/16"
    )

    libraries: ClassVar[tuple[str, ...]] = ReadWarc.libraries
    schema: ClassVar[pa.Schema] = ReadWarc.schema

    def check(self) -> None:
        if not _CONTACT.fullmatch(self.contact.strip()) or not self.contact.isascii():
            raise ValueError(
                f"`contact` is {self.contact!r}, expected an e-mail address or a web page of yours."
            )
        if not _AGENT.fullmatch(self.agent):
            raise ValueError(f"`agent` is {self.agent!r}, expected letters, - and _ (RFC 9309).")
        networks(self.allow)

    # --- fetching ----------------------------------------------------------------------------

    def fetch(
        self, source: str, storage: Storage, excluded: Callable[[str], bool], watch: Watch
    ) -> None:
        listed = self._listed(source)
        urls = [url for url in listed if not excluded(url)]
        if len(urls) < len(listed):
            watch.note(f"{source}: {len(listed) - len(urls):,} URLs are excluded and not asked for")
        store = self.store(source, storage)
        open_buckets = [one for one in store.buckets(urls) if store.index(one) is None]
        if not open_buckets:
            return
        wanted = [url for one in open_buckets for url in one.urls]
        known = store.known(wanted)
        left = self._beyond(urls)
        missing = [url for url in wanted if url not in known and url not in left]
        hosts = _by_host(missing)
        watch.note(
            f"{source}: {len(urls):,} URLs, {len(missing):,} to fetch from {len(hosts):,} hosts"
        )
        crawl = Crawl(self._manners(), excluded)
        given_up = self._crawl(crawl, hosts, store, watch)
        if given_up and len(given_up) == len(missing) and not crawl.answers:
            raise InputError(
                f"source '{source}': no host of {len(missing):,} URLs answered "
                f"({_most(given_up)}). Is there a network? Nothing was kept: run again."
            )
        given_up.update({url: _not_asked(url) for url in wanted if url in left})
        self._finish(open_buckets, store, wanted, given_up)
        indices = [found for one in store.buckets(urls) if (found := store.index(one))]
        told = ", ".join(f"{outcome} {count:,}" for outcome, count in counted(indices))
        watch.note(f"{source}: {told}")

    def _crawl(
        self, crawl: Crawl, hosts: Sequence[Sequence[str]], store: Store, watch: Watch
    ) -> dict[str, Fetched]:
        """Fetch and keep pages; returns what may be otherwise another day."""
        given_up: dict[str, Fetched] = {}
        guard = threading.Lock()

        def done(fetched: Fetched) -> None:
            if fetched.outcome in TRANSIENT:
                with guard:
                    given_up[fetched.url] = fetched
            else:
                store.put(fetched)

        crawl.run(hosts, self.hosts_at_once, done, watch.beat)
        return given_up

    def _finish(
        self,
        open_buckets: Sequence[Bucket],
        store: Store,
        wanted: Sequence[str],
        given_up: dict[str, Fetched],
    ) -> None:
        known: dict[str, Place] = store.known(wanted)
        facts = {
            "software": "tokenmill fetch_urls",
            "format": "WARC File Format 1.1",
            "robots": "RFC 9309",
            "http-header-user-agent": self._user_agent,
        }
        for one in open_buckets:
            # A page that is beyond `max_per_host` now may have been fetched before.
            places = {url: known[url] for url in one.urls if url in known and url not in given_up}
            store.finish(one, places, given_up, facts)

    def _manners(self) -> Manners:
        bounds = Bounds(
            self.max_document_bytes, self.max_seconds, self.idle_seconds, networks(self.allow)
        )
        return Manners(
            agent=self.agent,
            user_agent=self._user_agent,
            delay=self.delay,
            max_crawl_delay=self.max_crawl_delay,
            retries=self.retries,
            backoff=self.backoff,
            max_wait=self.max_wait,
            max_redirects=self.max_redirects,
            bounds=bounds,
        )

    @property
    def _user_agent(self) -> str:
        return f"{self.agent}/1.0 (+{self.contact.strip()})"

    def store(self, source: str, storage: Storage) -> Store:
        """Where the pages of a step lie in a workdir."""
        decides = {
            "as_of": self.as_of,
            "agent": self.agent,
            "max_bytes": self.max_document_bytes,
            "max_redirects": self.max_redirects,
            "max_per_host": self.max_per_host,
        }
        return Store(storage, source, decides, self.attempt)

    def _beyond(self, urls: Sequence[str]) -> set[str]:
        """URLs that `max_per_host` leaves out."""
        if self.max_per_host is None:
            return set()
        return {url for of_host in _by_host(urls) for url in of_host[self.max_per_host :]}

    # --- the list ----------------------------------------------------------------------------

    def _listed(self, source: str) -> list[str]:
        """The URLs of all lists in normal form, each once, sorted. Raises InputError."""
        found: set[str] = set()
        for pattern in self.paths:
            files = find_inputs(pattern)
            if not files:
                raise InputError(
                    f"source '{source}': no list of URLs matches '{pattern}'. Check the path; "
                    f"patterns are relative to the current folder."
                )
            for info in files:
                found.update(self._of_file(source, info.path))
        if not found:
            raise InputError(f"source '{source}': no URL in {', '.join(self.paths)}.")
        return sorted(found)

    def _of_file(self, source: str, path: str) -> Iterator[str]:
        with open_input(path) as stream:
            lines = Lines(stream, 4 * MAX_URL_BYTES)
            for _, line in lines:
                text = "" if line is None else line.decode("utf-8", "replace").strip()
                if line is None:
                    text = "a line that is too long"
                if text and not text.startswith("#"):
                    yield _normal(text)
            if lines.broken:
                raise InputError(
                    f"source '{source}': the list {path} breaks off: {lines.unpacked.reason}. "
                    f"Replace it."
                )

    # --- reading -----------------------------------------------------------------------------

    def fetched(
        self, source: str, storage: Storage, excluded: Callable[[str], bool]
    ) -> FetchedInputs:
        partitions, missing = [], 0
        store = self.store(source, storage)
        for one in store.buckets([url for url in self._listed(source) if not excluded(url)]):
            index = store.index(one)
            if index is None:
                missing += len(one.urls)
                continue
            path = f"{storage.root.rstrip('/')}/{one.path}.warc.gz"
            file = f"{one.name}.warc.gz"
            partitions.append(Partition(source, path, file, index.num_bytes, index.sha256))
        return FetchedInputs(partitions, missing)

    @staticmethod
    def forget(
        storage: Storage, excluded: Callable[[str], bool], beat: Callable[[], None]
    ) -> Mapping[str, str | None]:
        return forget(storage, excluded, beat)

    @staticmethod
    def kept(storage: Storage) -> Iterator[Kept]:
        return kept(storage)

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        yield from self._archives.read(partition, stream, side)
        builder = BatchBuilder(partition, self.schema, "html")
        for one in outcomes(stream):
            if one.outcome != "fetched":
                key = refusal_key(one.url, 0)
                yield from builder.refuse(one.outcome, one.offset, key, one.url)
        yield from builder.rest()

    @cached_property
    def _archives(self) -> ReadWarc:
        return ReadWarc(paths=(), max_document_bytes=self.max_document_bytes)


def _normal(text: str) -> str:
    """A URL in normal form; what is none stays as it is, to be refused."""
    try:
        return str(normal_url(text).url)
    except FetchError:
        return text


def _by_host(urls: Sequence[str]) -> list[list[str]]:
    """The URLs of each host, in order."""
    found: dict[str, list[str]] = {}
    for url in urls:
        found.setdefault(host_of(url), []).append(url)
    return list(found.values())


def _not_asked(url: str) -> Fetched:
    return Fetched(url, "over_host_limit", "", datetime.now(UTC).replace(microsecond=0))


def _most(given_up: dict[str, Fetched]) -> str:
    """The most frequent outcome."""
    outcomes_of = [one.outcome for one in given_up.values()]
    return max(sorted(set(outcomes_of)), key=outcomes_of.count)
