"""The crawler for lists of URLs, against real servers on loopback."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback_site import Site, Visit, chunked, zipped_chunks
from source_reading import Reading
from test_storage import bucket, s3  # noqa: F401
from test_tables import mutated

from pipeline.audit.lookup import open_run
from pipeline.errors import ConfigError, InputError
from pipeline.execution.runner import Options, RunResult, run
from pipeline.files.tables import read_dataset
from pipeline.planning.config import load_config, parse_config
from pipeline.planning.plan import make_plan
from stages.fetch.addresses import PrivateAddress, allowed, connected, is_public, networks
from stages.fetch.archive import as_warc, outcomes
from stages.fetch.client import Bounds, FetchError, exchange, normal_url
from stages.fetch.crawl import Fetched, Hop
from stages.fetch.robots import parse_robots, robots_of
from stages.read_warc import ReadWarc

FAST = "delay: 0, backoff: 0.02, max_wait: 1, contact: crawl@example.org, allow: [127.0.0.0/8]"


@pytest.fixture
def site() -> Iterator[Site]:
    one = Site()
    yield one
    one.close()


@pytest.fixture
def other() -> Iterator[Site]:
    one = Site("127.0.0.2")
    yield one
    one.close()


class Crawled:
    """What a run of fetch_urls gave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.result: RunResult | None = None

    def __call__(
        self, urls: list[str], knobs: str = "", overrides: Sequence[str] = (), **options: Any
    ) -> RunResult:
        lists = self.folder / "urls.txt"
        lists.write_text("# a list\n" + "\n".join(urls) + "\n")
        given = [f"workdir={self.workdir}", *overrides]
        config = parse_config(config_of(lists, knobs), "test.yaml", given)
        self.result = run(make_plan(config), Options(**options))
        return self.result

    @property
    def workdir(self) -> Path:
        return self.folder / "work"

    def rows(self, output: str) -> list[dict[str, Any]]:
        found = open_run(str(self.workdir))
        tables = [read_dataset(found.storage, data) for _, data in found.datasets("web", output)]
        return [row for table in tables for row in table.to_pylist()]

    @property
    def pages(self) -> dict[str, str]:
        """URL -> html."""
        return {row["url"]: row["html"].decode() for row in self.rows("docs")}

    @property
    def reasons(self) -> dict[str, str]:
        """Path of a URL -> why there is no document."""
        return {
            "/" + row["url"].partition("://")[2].partition("/")[2]: row["drop_reason"][4:]
            for row in self.rows("metrics")
            if row["drop_reason"]
        }

    @property
    def archives(self) -> list[Path]:
        return sorted((self.workdir / "fetched").rglob("*-of-*.warc.gz"))


def config_of(lists: Path, knobs: str) -> str:
    given = {**_knobs(FAST), **_knobs(knobs)}
    return (
        f'steps:\n  - id: web\n    fetch_urls: {{paths: ["{lists}"], '
        + ", ".join(f"{name}: {value}" for name, value in given.items())
        + "}\n  - write_documents: {}\n"
    )


def _knobs(text: str) -> dict[str, str]:
    parts = [part.partition(": ") for part in text.split(", ") if part]
    return {name: value for name, _, value in parts}


@pytest.fixture
def crawl(tmp_path: Path) -> Crawled:
    return Crawled(tmp_path)


# --- what is fetched ----------------------------------------------------------------------------


def test_a_list_becomes_documents_and_a_second_run_asks_no_network(
    site: Site, other: Site, crawl: Crawled
) -> None:
    urls = [site.page(f"/{n}", f"page {n}") for n in range(5)]
    urls += [other.page("/a", "another host"), site.url("/0#part"), site.url("/lost")]
    first = crawl(urls)
    assert sorted(crawl.pages) == sorted({*urls[:6]})
    assert "page 3" in crawl.pages[site.url("/3")]
    assert crawl.reasons == {"/lost": "http_status"}
    assert site.visits["/0"] == 1  # a fragment is no other page
    asked = len(site.log), len(other.log)
    second = crawl(urls[::-1])
    assert (len(site.log), len(other.log)) == asked
    assert (second.executed, second.dataset) == (0, first.dataset)


def test_the_archive_is_a_warc_that_warcio_and_read_warc_read(site: Site, crawl: Crawled) -> None:
    from warcio.archiveiterator import ArchiveIterator

    site.robots("User-agent: *\nDisallow: /secret\n")
    site.serve("/old", lambda visit: visit.answer(301, location="/new"))
    urls = [site.page("/new", "moved here"), site.url("/old"), site.url("/secret")]
    crawl(urls)
    (archive,) = crawl.archives
    with archive.open("rb") as stream:
        told = [
            (one.rec_type, (one.rec_headers.get_header("WARC-Target-URI") or "").rpartition("/")[2])
            for one in ArchiveIterator(stream, check_digests="raise")
        ]
    assert told == [
        ("warcinfo", ""),
        *[("response", "new"), ("request", "new"), ("metadata", "new")],
        *[("response", "old"), ("request", "old")],
        *[("response", "new"), ("request", "new"), ("metadata", "old")],
        ("metadata", "secret"),
    ]
    assert b"tokenmill/1.0 (+crawl@example.org)" in gunzipped(archive)
    assert b"robots: denied" in gunzipped(archive)
    direct = run_read_warc(archive, crawl.folder / "direct")
    assert {row["url"]: row["html"] for row in direct} == {
        row["url"]: row["html"] for row in crawl.rows("docs")
    }


def gunzipped(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def run_read_warc(path: Path, workdir: Path) -> list[dict[str, Any]]:
    text = f'steps:\n  - id: web\n    read_warc: {{paths: ["{path}"]}}\n  - write_documents: {{}}\n'
    run(make_plan(parse_config(text, "test.yaml", [f"workdir={workdir}"])), Options())
    found = open_run(str(workdir))
    tables = [read_dataset(found.storage, data) for _, data in found.datasets("web", "docs")]
    return [row for table in tables for row in table.to_pylist()]


def test_real_pages_come_out_as_their_server_gave_them(
    site: Site, crawl: Crawled, shared_data: Path
) -> None:
    gold = shared_data / "extraction_gold" / "mozilla-readability.jsonl.gz"
    with gzip.open(gold, "rt") as lines:
        pages = [json.loads(line)["html"] for line, _ in zip(lines, range(40), strict=False)]

    def serve(html: str, zipped: bool) -> Callable[[Visit], None]:
        body = html.encode()
        if zipped:
            return lambda visit: zipped_chunks(visit, body)
        return lambda visit: visit.answer(200, body)

    urls = [site.serve(f"/{n}", serve(html, n % 2 == 0)) for n, html in enumerate(pages)]
    crawl(urls)
    assert crawl.pages == dict(zip(urls, pages, strict=True))


def test_chunks_and_compression_are_undone(site: Site, crawl: Crawled) -> None:
    body = "<html><p>größere Seite</p></html>".encode()
    urls = [
        site.serve("/chunks", lambda visit: chunked(visit, [body[:9], body[9:]])),
        site.serve("/zip", lambda visit: zipped_chunks(visit, body)),
        site.serve("/plain", lambda visit: visit.answer(200, body)),
    ]
    crawl(urls)
    assert set(crawl.pages) == set(urls)
    assert set(crawl.pages.values()) == {body.decode()}


def test_what_is_no_page_is_refused_with_its_reason(site: Site, crawl: Crawled) -> None:
    def stalls(visit: Visit) -> None:
        visit.send_response(200)
        visit.send_header("Content-Type", "text/html")
        visit.end_headers()
        for _ in range(40):  # a byte now and then: no pause is long enough to notice
            visit.wfile.write(b"x")
            visit.wfile.flush()
            time.sleep(0.1)
        visit.close_connection = True

    def cuts(visit: Visit) -> None:
        visit.answer(200, b"<p>half", content_length="5000")
        visit.close_connection = True

    def endless(visit: Visit) -> None:
        chunked(visit, [b"x" * 65536] * 200)

    site.serve("/stalls", stalls)
    site.serve("/cuts", cuts)
    site.serve("/broken", lambda visit: chunked(visit, [b"<p>half"], end=False))
    site.serve("/endless", endless)
    site.serve("/picture", lambda visit: visit.answer(200, b"x" * 99, content_type="image/png"))
    site.serve("/silent", lambda visit: setattr(visit, "close_connection", True))
    site.serve("/error", lambda visit: visit.answer(500, b"<p>sorry</p>"))
    paths = ["/stalls", "/cuts", "/broken", "/endless", "/picture", "/silent", "/error", "/ok"]
    site.page("/ok", "fine")
    crawl(
        [*map(site.url, paths), "ftp://example.org/x", f"http://me:secret@{site.host}/auth",
         "http://127.0.0.1:25/mail", "no url"],
        "retries: 1, max_seconds: 0.9, idle_seconds: 0.8, max_document_bytes: 300000",
    )  # fmt: skip
    assert list(crawl.pages) == [site.url("/ok")]
    assert crawl.reasons == {
        "/stalls": "timeout",
        "/cuts": "incomplete",
        "/broken": "incomplete",
        "/endless": "too_large",
        "/picture": "not_html",
        "/silent": "unreachable",
        "/error": "server_busy",
        "/x": "bad_url",
        "/auth": "bad_url",
        "/mail": "bad_url",
        "/": "bad_url",
    }
    assert site.visits["/stalls"] == 2
    assert site.visits["/endless"] == 1


ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 19\r\n"
    b"Set-Cookie: a=\xc3\xa9\r\n\r\n<html>a page</html>",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<html\r\n3;x=y\r\n>ab\r\n0\r\n\r\n",
    b"HTTP/1.0 404 N\xc3\xb6pe\r\n\r\nbye",
    b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"<html>page</html>"),
)


def test_no_answer_of_a_server_is_a_crash_or_a_broken_archive() -> None:
    rng, answer = random.Random(7), [b""]
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(200):
            link, _ = server.accept()
            with contextlib.suppress(OSError), link:
                link.recv(4096)
                link.sendall(answer[0])

    threading.Thread(target=serve, daemon=True).start()
    url = normal_url(f"http://127.0.0.1:{server.getsockname()[1]}/a")
    bounds = Bounds(10_000, 5.0, 5.0, networks(["127.0.0.0/8"]))
    when = datetime(2024, 5, 6, tzinfo=UTC)
    told: Counter[str] = Counter()
    for turn in range(200):
        answer[0] = mutated(rng.choice(ANSWERS), rng) if turn % 5 else rng.choice(ANSWERS)
        try:
            got = exchange(url, (("User-Agent", "x"),), bounds, pages_only=turn % 2 == 0)
        except FetchError as error:
            told[error.outcome] += 1
            continue
        told["answered"] += 1
        robots_of(got.status, got.body).allows(url, "tokenmill")
        kept = as_warc(Fetched(url.url, "fetched", "none", when, (Hop(url.url, when, got),)))
        assert [one.outcome for one in outcomes(io.BytesIO(kept))] == ["fetched"]
        assert Reading(ReadWarc(paths=("a",)), kept).damage == []
    server.close()
    assert told["answered"] > 50
    assert told["unreachable"] > 10


def test_a_busy_server_is_asked_again_when_it_says(site: Site, crawl: Crawled) -> None:
    answers = iter([(503, {"Retry-After": "0"}), (429, {}), (200, {})])

    def serve(visit: Visit) -> None:
        status, headers = next(answers)
        visit.answer(
            status, b"<p>at last</p>", **{k.replace("-", "_"): v for k, v in headers.items()}
        )

    url = site.serve("/busy", serve)
    site.serve("/later", lambda visit: visit.answer(503, b"", retry_after="3600"))
    crawl([url, site.url("/later")])
    assert crawl.pages == {url: "<p>at last</p>"}
    assert site.visits["/busy"] == 3
    assert site.visits["/later"] == 1  # an hour is above max_wait
    assert crawl.reasons == {"/later": "server_busy"}


# --- manners ------------------------------------------------------------------------------------


def test_robots_txt_is_obeyed_and_asked_for_once(site: Site, crawl: Crawled) -> None:
    site.robots(
        "User-agent: *\nDisallow: /\n\nUser-agent: tokenmill\nDisallow: /private\n"
        "Allow: /private/open$\nDisallow: /*.pdf$\n"
    )
    paths = ["/a", "/private/x", "/private/open", "/private/open/more", "/b.pdf", "/b.pdf?c"]
    for path in paths:
        site.page(path.partition("?")[0], "page")
    crawl([site.url(path) for path in paths])
    assert {url.removeprefix(site.url("")) for url in crawl.pages} == {
        "/a",
        "/private/open",
        "/b.pdf?c",
    }
    assert set(crawl.reasons.values()) == {"robots_denied"}
    assert site.visits["/robots.txt"] == 1
    assert not site.visits["/private/x"]
    assert site.agents == {"tokenmill/1.0 (+crawl@example.org)"}


@pytest.mark.parametrize(
    ("status", "open_to_us"), [(404, True), (403, True), (429, False), (500, False)]
)
def test_without_robots_txt_4xx_allows_all_and_5xx_nothing(
    status: int, open_to_us: bool, site: Site, crawl: Crawled
) -> None:
    site.serve("/robots.txt", lambda visit: visit.answer(status))
    url = site.page("/a", "page")
    crawl([url], "retries: 1")
    assert list(crawl.pages) == ([url] if open_to_us else [])
    assert crawl.reasons == ({} if open_to_us else {"/a": "robots_unreachable"})
    assert site.visits["/robots.txt"] == (1 if open_to_us else 2)


def test_robots_txt_is_followed_over_redirects_and_cut_at_500_kib(
    site: Site, other: Site, crawl: Crawled
) -> None:
    site.serve("/robots.txt", lambda visit: visit.answer(302, location=other.url("/rules")))
    rules = b"User-agent: *\nDisallow: /no\n" + b"# filling\n" * 60_000 + b"Disallow: /late\n"
    other.serve("/rules", lambda visit: visit.answer(200, rules, content_type="text/plain"))
    urls = [site.page(path, "page") for path in ("/yes", "/no", "/late")]
    crawl(urls)
    assert set(crawl.pages) == {urls[0], urls[2]}
    assert crawl.reasons == {"/no": "robots_denied"}


@pytest.mark.parametrize(
    ("text", "path", "wanted"),
    [
        # The examples of RFC 9309 section 5.1 and 5.2, in words of our own.
        (
            "User-Agent: *\nDisallow: *.gif$\nDisallow: /example/\nAllow: /publications/",
            "/a.gif",
            False,
        ),
        ("User-Agent: *\nDisallow: *.gif$\nDisallow: /example/", "/a.gifs", True),
        (
            "User-Agent: *\nDisallow: /example/page/\nAllow: /example/page/x.gif",
            "/example/page/x.gif",
            True,
        ),
        ("User-Agent: *\nAllow: /page\nDisallow: /page", "/page", True),
        ("User-Agent: otherbot\nDisallow: /", "/a", True),
        ("User-Agent: TokenMill\nDisallow: /", "/a", False),
        ("\ufeffUser-agent: *\r\nDisallow: /a\r\n", "/a", False),
        ("User-agent: a\nUser-agent: tokenmill\nDisallow: /a\n", "/a", False),
        ("User-agent: *\nDisallow:\n", "/a", True),
        ("User-agent: *\nDisallow: /caf%C3%A9\n", "/café", False),
        ("Disallow: /\n", "/a", True),
        ("\x00\xff<html>no robots</html>", "/a", True),
    ],
)
def test_rules_of_robots_txt(text: str, path: str, wanted: bool) -> None:
    url = normal_url("http://example.com" + path)
    assert parse_robots(text.encode()).allows(url, "tokenmill") is wanted
    assert robots_of(404, b"").allows(url, "tokenmill")
    assert not robots_of(503, b"").allows(url, "tokenmill")


def test_a_host_is_asked_one_request_at_a_time_and_after_its_pause(
    site: Site, other: Site, crawl: Crawled
) -> None:
    def slow(visit: Visit) -> None:
        time.sleep(0.05)
        visit.answer(200, b"<p>page</p>")

    site.robots("User-agent: *\nCrawl-delay: 0.2\n")
    for one in (site, other):
        one.serve("*", slow)
    other.robots("")
    hop = other.serve("/hop", lambda visit: visit.answer(302, location=site.url("/target")))
    crawl([*(site.url(f"/{n}") for n in range(4)), *(other.url(f"/{n}") for n in range(4)), hop])
    assert (site.most_open, other.most_open) == (1, 1)
    times = [when for when, _ in site.log]
    assert len(times) == 6  # robots.txt, four pages, the target of the redirect
    gaps = [after - before for before, after in pairwise(times[1:])]
    assert min(gaps) >= 0.2  # robots.txt itself was asked before its delay was known
    assert len(crawl.pages) == 9


def test_a_site_that_asks_for_long_pauses_is_left_alone(site: Site, crawl: Crawled) -> None:
    site.robots("User-agent: *\nCrawl-delay: 3600\n")
    crawl([site.page("/a", "page"), site.page("/b", "page")])
    assert set(crawl.reasons.values()) == {"crawl_delay"}
    assert site.visits == {"/robots.txt": 1}


def test_no_more_than_max_per_host_pages_of_a_host_are_fetched(
    site: Site, other: Site, crawl: Crawled
) -> None:
    urls = [site.page(f"/{n}", "page") for n in range(5)] + [other.page("/0", "page")]
    crawl(urls, "max_per_host: 2")
    assert set(crawl.pages) == {*urls[:2], urls[5]}
    assert list(crawl.reasons.values()) == ["over_host_limit"] * 3


# --- redirects and addresses --------------------------------------------------------------------


def test_redirects_are_followed_to_a_bound_and_each_is_checked(
    site: Site, other: Site, crawl: Crawled
) -> None:
    def to(target: str) -> Callable[[Visit], None]:
        return lambda visit: visit.answer(302, location=target)

    other.robots("User-agent: *\nDisallow: /closed\n")
    site.page("/end", "the end")
    site.serve("/one", to("end"))
    site.serve("/loop", to("/loop2"))
    site.serve("/loop2", to("/loop"))
    for n in range(9):
        site.serve(f"/chain{n}", to(f"/chain{n + 1}"))
    site.serve("/file", to("file:///etc/hostname"))
    site.serve("/closed", to(other.url("/closed")))
    site.serve("/inside", to("http://169.254.169.254/latest/"))
    site.serve("/mapped", to("http://[::ffff:10.0.0.1]/"))
    site.serve("/nowhere", lambda visit: visit.answer(302, b"<p>no target</p>"))
    names = ["one", "loop", "chain0", "file", "closed", "inside", "mapped", "nowhere"]
    crawl([site.url(f"/{name}") for name in names])
    refused = {path: reason for path, reason in crawl.reasons.items() if reason != "http_status"}
    assert refused == {
        "/loop": "redirect_loop",
        "/chain0": "too_many_redirects",
        "/file": "bad_url",
        "/closed": "robots_denied",
        "/inside": "private_address",
        "/mapped": "private_address",
    }
    assert list(crawl.pages) == [site.url("/end")]
    assert site.visits["/chain5"] == 1
    assert not site.visits["/chain6"]
    assert not other.visits["/closed"]


def test_private_addresses_are_refused_by_default(site: Site, crawl: Crawled) -> None:
    url = site.page("/a", "inside")
    port = site.host.partition(":")[2]
    hosts = ["localhost", "2130706433", "0x7f.1", "[::1]", "0.0.0.0"]
    urls = [url, *(f"{scheme}://{host}:{port}/a" for host in hosts for scheme in ("http", "https"))]
    crawl(urls, "allow: []")
    assert set(crawl.reasons.values()) == {"private_address"}
    assert crawl.pages == {}
    assert site.log == []


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1",
        "198.18.0.1", "198.51.100.1", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:100.64.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
        "2002:7f00:1::", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1",
        "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)
    assert not allowed(address, networks(["10.99.0.0/16"]))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.169.0.1",
     "223.255.255.254", "2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8",
     "64:ff9b::808:808", "2002:808:808::1"],
)  # fmt: skip
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(address)


def test_the_checked_address_is_the_one_that_is_connected_to(
    site: Site, crawl: Crawled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers a public address first and a private one then (DNS rebinding)."""
    port = int(site.host.partition(":")[2])
    answers: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, *args: Any, **kwargs: Any) -> Any:
        if host != "rebind.example":
            return real(host, *args, **kwargs)
        answers.append("8.8.8.8" if not answers else "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[-1], port))]

    tried: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(
        socket.socket, "connect", lambda self, address: tried.append(address) or _refuse()
    )
    with pytest.raises(OSError, match="not today"):
        connected("rebind.example", port, 1.0, ())
    with pytest.raises(PrivateAddress, match=r"127\.0\.0\.1"):
        connected("rebind.example", port, 1.0, ())
    assert tried == [("8.8.8.8", port)]


def _refuse() -> None:
    raise OSError("not today")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("HTTP://Example.COM:80/a b", None),
        ("HTTP://Example.COM/a/../b#c", "http://example.com/b"),
        ("http://example.com", "http://example.com/"),
        ("http://bücher.example/ü?ü", "http://xn--bcher-kva.example/%C3%BC?%C3%BC"),
        ("https://example.com:8443/x", "https://example.com:8443/x"),
        ("javascript:alert(1)", None),
        ("http:///x", None),
        ("http://user@example.com/", None),
        ("http://example.com:22/", None),
        ("http://exa\nmple.com/", None),
        ("http://example.com/" + "x" * 9000, None),
        ("//example.com/x", None),
        ("http://[::1/", None),
    ],
)
def test_urls_are_brought_into_a_normal_form_or_refused(text: str, wanted: str | None) -> None:
    if wanted is None:
        with pytest.raises(FetchError, match="bad_url"):
            normal_url(text)
    else:
        assert normal_url(text).url == wanted


@settings(max_examples=300)
@given(
    st.text(max_size=40), st.sampled_from(["", "http://", "http://a.example/", "https://[", "//"])
)
def test_any_text_is_a_url_in_normal_form_or_refused(text: str, start: str) -> None:
    try:
        url = normal_url(start + text)
    except FetchError as error:
        assert error.outcome == "bad_url"  # noqa: PT017
        return
    assert url.url.isascii()
    assert not set(url.url) & {" ", "\r", "\n", "\0"}
    assert normal_url(url.url) == url


# --- once, and only once ------------------------------------------------------------------------


def test_a_longer_list_fetches_only_what_is_new(site: Site, crawl: Crawled) -> None:
    urls = [site.page(f"/{n}", f"page {n}") for n in range(6)]
    crawl(urls[:4])
    crawl(urls[2:])
    assert {site.visits[f"/{n}"] for n in range(6)} == {1}
    assert set(crawl.pages) == set(urls[2:])
    crawl(urls, "as_of: later")
    assert {site.visits[f"/{n}"] for n in range(6)} == {2}


def test_a_higher_attempt_asks_again_for_what_was_not_reached(site: Site, crawl: Crawled) -> None:
    good, bad = site.page("/good", "page"), site.url("/bad")
    site.serve("/bad", lambda visit: visit.answer(503))
    crawl([good, bad], "retries: 0")
    assert crawl.reasons == {"/bad": "server_busy"}
    site.page("/bad", "back again")
    crawl([good, bad], "retries: 0")
    assert crawl.reasons == {"/bad": "server_busy"}
    crawl([good, bad], "retries: 0, attempt: 2")
    assert set(crawl.pages) == {good, bad}
    assert site.visits["/good"] == 1


def test_without_a_network_nothing_is_kept(site: Site, crawl: Crawled) -> None:
    url = site.page("/a", "page")
    site.close()
    with pytest.raises(InputError, match="no host of 1 URLs answered"):
        crawl([url], "retries: 0")
    assert crawl.archives == []


def test_plan_asks_no_network_and_says_what_is_missing(
    site: Site, crawl: Crawled, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from pipeline.cli import main

    url = site.page("/a", "page")
    (tmp_path / "urls.txt").write_text(url)
    config = tmp_path / "config.yaml"
    config.write_text(f"workdir: {crawl.workdir}\n" + config_of(tmp_path / "urls.txt", ""))
    assert main(["plan", str(config)]) == 0
    assert "web: 1 URLs to fetch first" in capsys.readouterr().out
    assert site.log == []


def test_a_changed_archive_is_an_integrity_error(site: Site, crawl: Crawled) -> None:
    from pipeline.errors import IntegrityError

    urls = [site.page("/a", "page")]
    crawl(urls)
    crawl.archives[0].write_bytes(crawl.archives[0].read_bytes()[:-9])
    with pytest.raises(IntegrityError, match=r"delete .*json"):
        crawl(urls)


def test_a_killed_crawl_goes_on_without_asking_twice(
    site: Site, other: Site, tmp_path: Path
) -> None:
    count = 30
    for n in range(count):
        site.serve(
            f"/{n}", lambda visit, n=n: (time.sleep(0.03), visit.answer(200, b"<p>%d</p>" % n))
        )  # type: ignore[misc]
    lists = tmp_path / "urls.txt"
    lists.write_text("\n".join(site.url(f"/{n}") for n in range(count)))
    config = tmp_path / "config.yaml"
    workdir = tmp_path / "work"
    config.write_text(f"workdir: {workdir}\n" + config_of(lists, ""))
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--workers", "0", "--quiet"]
    first = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        wait_for(lambda: sum(site.visits.values()) >= count // 2, first)
        os.killpg(first.pid, signal.SIGKILL)
    finally:
        first.wait()
    kept = len(list((workdir / "fetched").rglob("pages/*/*.warc.gz")))
    before = site.visits
    assert 5 < kept < count
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    pages = {f"/{n}" for n in range(count)}
    twice = {path for path in pages if site.visits[path] == 2}
    assert all(site.visits[path] in (1, 2) for path in pages)
    assert len(twice) <= 1  # the one whose answer was on its way
    asked = sum(before[path] for path in pages)
    assert sum(site.visits[path] for path in pages) == count + asked - kept
    crawled = Crawled(tmp_path)
    assert crawled.pages == {site.url(f"/{n}"): f"<p>{n}</p>" for n in range(count)}
    assert list((workdir / "fetched").rglob("pages/*/*.warc.gz")) == []
    assert run(make_plan(load_config(config)), Options()).executed == 0


def wait_for(done: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_workdir_in_an_object_store_holds_the_archives_too(
    site: Site, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    workdir = f"{request.getfixturevalue('bucket')}/x"
    urls = [site.page(f"/{n}", f"page {n}") for n in range(3)]
    lists = tmp_path / "urls.txt"
    lists.write_text("\n".join(urls))
    plan = make_plan(parse_config(config_of(lists, ""), "test.yaml", [f"workdir={workdir}"]))
    assert run(plan, Options()).funnel.rows[0].kept == 3
    assert run(plan, Options()).executed == 0
    assert len(site.log) == 4
    lists.write_text("\n".join([*urls[1:], site.page("/new", "a new page")]))
    assert run(plan, Options()).funnel.rows[0].kept == 3
    assert len(site.log) == 6  # robots.txt once more, and the new page


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ("contact: ''", "expected an e-mail address or a web page"),
        ("contact: me", "expected an e-mail address or a web page"),
        ("agent: my bot", "expected letters"),
        ("allow: [10.0.0.1/8]", "host bits set"),
    ],
)
def test_knobs_that_cannot_be_are_found_while_planning(
    knobs: str, says: str, crawl: Crawled
) -> None:
    with pytest.raises(ConfigError, match=says):
        crawl(["http://example.org/"], knobs)


def test_the_example_wants_an_address_before_it_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRAWL_CONTACT", raising=False)
    with pytest.raises(ConfigError, match="expected an e-mail address"):
        make_plan(load_config(ROOT / "configs" / "urls.yaml"))
    monkeypatch.setenv("CRAWL_CONTACT", "crawl@example.org")
    assert make_plan(load_config(ROOT / "configs" / "urls.yaml"))["web"].schema is not None


def test_a_missing_or_empty_list_is_an_input_error(crawl: Crawled, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no URL in"):
        crawl([])
    text = config_of(tmp_path / "lost.txt", "")
    config = parse_config(text, "test.yaml", [f"workdir={crawl.workdir}"])
    with pytest.raises(InputError, match=r"no list of URLs matches .*lost\.txt"):
        run(make_plan(config), Options())
