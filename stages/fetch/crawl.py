"""Fetches a list of URLs as a guest does: one request at a time to a host, robots.txt obeyed,
pauses kept, redirects followed by the same rules.

Hosts are fetched side by side, each by one thread; a redirect to another host waits for that
host's turn. Everything runs in one process, so that no two workers meet at a host.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

from urllib3.util import Url, parse_url

from stages.fetch.client import Answer, Bounds, FetchError, exchange, normal_url
from stages.fetch.robots import MAX_REDIRECTS, MAX_ROBOTS_BYTES, Robots, robots_of

TRANSIENT = {
    "unresolved", "unreachable", "timeout", "incomplete", "server_busy", "robots_unreachable",
}  # fmt: skip
"""Outcomes that may be others tomorrow: they are tried again, and kept only at the end."""
_REDIRECTS = {301, 302, 303, 307, 308}
_BUSY = {429, 500, 502, 503, 504}
"""Answers after which the same request may succeed (RFC 9110 section 15.6, RFC 6585)."""


@dataclass(frozen=True)
class Manners:
    """How a crawler behaves; see the knobs of `FetchUrls`."""

    agent: str
    """The name by which robots.txt speaks to it."""
    user_agent: str
    delay: float
    max_crawl_delay: float
    retries: int
    backoff: float
    max_wait: float
    max_redirects: int
    bounds: Bounds

    def headers(self, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """The headers of every request."""
        always = (("User-Agent", self.user_agent), ("Accept-Encoding", "gzip"))
        return (*always, ("Connection", "close"), *more)


@dataclass(frozen=True)
class Hop:
    """One answered request on the way to a page."""

    url: str
    date: datetime
    answer: Answer


@dataclass(frozen=True)
class Fetched:
    """What came of one URL of the list."""

    url: str
    outcome: str
    """`fetched`, or why there is no page."""
    robots: str
    """What robots.txt said: `allowed`, `denied`, `none`, `unreachable`, or empty."""
    date: datetime
    hops: tuple[Hop, ...] = ()
    detail: str = ""


class Stopped(Exception):
    """The crawl was told to end."""


@dataclass
class _Host:
    """One host's turn, and when its next request may start."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    free_at: float = 0.0
    delay: float = 0.0


class Crawl:
    """One crawl; `run` fetches a list."""

    def __init__(
        self, manners: Manners, excluded: Callable[[str], bool] = lambda url: False
    ) -> None:
        """No page that `excluded` names is asked for."""
        self.manners, self.excluded = manners, excluded
        self.stop = threading.Event()
        self.answers = 0
        """HTTP answers of any kind; without one there may be no network."""
        self._guard = threading.Lock()
        self._hosts: dict[str, _Host] = {}
        self._sites: dict[str, tuple[threading.Lock, list[Robots]]] = {}

    def run(
        self,
        urls: Sequence[Sequence[str]],
        hosts_at_once: int,
        done: Callable[[Fetched], None],
        beat: Callable[[], None],
    ) -> None:
        """Fetch the URLs of each host; `done` is called in threads, `beat` in this one.

        What `done` or `beat` raises ends the crawl.
        """
        with ThreadPoolExecutor(max(1, hosts_at_once)) as threads:
            try:
                waiting: set[Future[None]] = {
                    threads.submit(self._of_host, of_host, done) for of_host in urls
                }
                while waiting:
                    ended, waiting = wait(waiting, 0.5, FIRST_COMPLETED)
                    beat()
                    for one in ended:
                        one.result()
            finally:
                self.stop.set()
                threads.shutdown(wait=True, cancel_futures=True)

    def _of_host(self, urls: Sequence[str], done: Callable[[Fetched], None]) -> None:
        for url in urls:
            with contextlib.suppress(Stopped):
                done(self.fetch(url))
            if self.stop.is_set():
                return

    # --- one URL -----------------------------------------------------------------------------

    def fetch(self, text: str) -> Fetched:
        """Fetch one URL, redirects included. Raises Stopped."""
        hops: list[Hop] = []
        robots = ""
        try:
            url = normal_url(text)
            for _ in range(self.manners.max_redirects + 1):
                if self.excluded(url.url):  # nothing is kept that would name it
                    return self._result(text, "excluded", "", ())
                robots = self._permission(url)
                hop = self._answered(url)
                hops.append(hop)
                target = hop.answer.header("location")
                if hop.answer.status not in _REDIRECTS or not target:
                    return self._result(text, "fetched", robots, hops)
                url = normal_url(_joined(url, target))
                if any(url.url == other.url for other in hops):
                    raise FetchError("redirect_loop", url.url)
            raise FetchError("too_many_redirects", f"more than {self.manners.max_redirects}")
        except FetchError as error:
            if error.outcome.startswith("robots_"):
                robots = error.outcome.removeprefix("robots_")
            return self._result(text, error.outcome, robots, hops, str(error))

    def _result(
        self, url: str, outcome: str, robots: str, hops: Sequence[Hop], detail: str = ""
    ) -> Fetched:
        date = datetime.now(UTC).replace(microsecond=0)
        return Fetched(url, outcome, robots, date, tuple(hops), detail)

    def _permission(self, url: Url) -> str:
        """`allowed` or `none`. Raises FetchError where robots.txt forbids the URL."""
        robots = self._robots(url)
        if robots.outcome == "unreachable":
            raise FetchError("robots_unreachable", f"no robots.txt of {url.netloc}")
        agent = self.manners.agent
        if not robots.allows(url, agent):
            raise FetchError("robots_denied", url.url)
        asked = robots.delay(agent)
        if asked > self.manners.max_crawl_delay:
            raise FetchError("crawl_delay", f"{url.netloc} asks for {asked:g} s")
        self._host(url).delay = max(self.manners.delay, asked)
        return "allowed" if robots.rules is not None else "none"

    def _answered(self, url: Url) -> Hop:
        """The answer to a request, asked again while the server is busy. Raises FetchError."""
        accept = ("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.1")
        for attempt in range(self.manners.retries + 1):
            last = attempt == self.manners.retries
            pause = self.manners.backoff * 2**attempt
            try:
                date, answer = self._exchange(url, accept, self.manners.bounds, True)
            except FetchError as error:
                if last or error.outcome not in TRANSIENT:
                    raise
            else:
                if answer.status not in _BUSY:
                    return Hop(url.url, date, answer)
                pause = max(pause, _retry_after(answer))
                if last or pause > self.manners.max_wait:
                    raise FetchError("server_busy", f"status {answer.status}")
            self._sleep(min(pause, self.manners.max_wait))
        raise AssertionError("the last attempt returns or raises")

    # --- robots.txt --------------------------------------------------------------------------

    def _robots(self, url: Url) -> Robots:
        """A site's rules, asked for once."""
        site = f"{url.scheme}://{url.netloc}"
        with self._guard:
            lock, known = self._sites.setdefault(site, (threading.Lock(), []))
        with lock:
            if not known:
                known.append(self._asked(normal_url(site + "/robots.txt")))
            return known[0]

    def _asked(self, url: Url) -> Robots:
        found = Robots("unreachable")
        for attempt in range(self.manners.retries + 1):
            try:
                found = self._robots_once(url)
            except FetchError as error:
                if error.outcome == "private_address":
                    raise
                found = Robots("unreachable")
            if found.outcome != "unreachable":
                break
            if attempt < self.manners.retries:
                self._sleep(min(self.manners.backoff * 2**attempt, self.manners.max_wait))
        return found

    def _robots_once(self, url: Url) -> Robots:
        bounds = replace(self.manners.bounds, max_bytes=MAX_ROBOTS_BYTES)
        for _ in range(MAX_REDIRECTS + 1):
            _, answer = self._exchange(url, ("Accept", "text/plain"), bounds, False)
            target = answer.header("location")
            if answer.status not in _REDIRECTS or not target:
                return robots_of(answer.status, _plain(answer))
            url = normal_url(_joined(url, target))
        return Robots("none")

    # --- turns -------------------------------------------------------------------------------

    def _host(self, url: Url) -> _Host:
        with self._guard:
            return self._hosts.setdefault(str(url.host), _Host(delay=self.manners.delay))

    def _exchange(
        self, url: Url, accept: tuple[str, str], bounds: Bounds, pages_only: bool
    ) -> tuple[datetime, Answer]:
        """One request in the host's turn, and when it was made. Raises FetchError, Stopped."""
        with self._turn(url):
            date = datetime.now(UTC).replace(microsecond=0)
            answer = exchange(url, self.manners.headers(accept), bounds, pages_only)
        with self._guard:
            self.answers += 1
        return date, answer

    @contextlib.contextmanager
    def _turn(self, url: Url) -> Iterator[None]:
        """Wait for this host's pause to end; no other request to it starts meanwhile."""
        host = self._host(url)
        with host.lock:
            self._sleep(host.free_at - time.monotonic())
            try:
                yield
            finally:
                host.free_at = time.monotonic() + host.delay

    def _sleep(self, seconds: float) -> None:
        if self.stop.wait(max(0.0, seconds)):
            raise Stopped


def _joined(url: Url, target: str) -> str:
    """A Location as a whole URL."""
    try:
        return urljoin(url.url, target.strip())
    except ValueError as error:
        raise FetchError("bad_url", target[:200]) from error


def _retry_after(answer: Answer) -> float:
    """Seconds of a Retry-After header: a number, or a date (RFC 9110 section 10.2.3)."""
    value = answer.header("retry-after").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _plain(answer: Answer) -> bytes:
    """The body of a robots.txt, decompressed."""
    from stages.archives.http import Response, UndecodableBody, decoded_body

    lines = [f"HTTP/1.1 {answer.status}"]
    lines += [f"{n}: {v}" for n, v in answer.headers if n.lower() != "transfer-encoding"]
    head = "\r\n".join(lines).encode("latin-1", "replace")
    with contextlib.suppress(UndecodableBody):
        return decoded_body(Response(answer.status, head, answer.body), 64 << 20)
    return b""


def host_of(text: str) -> str:
    """The host of a URL in lower case; empty for what is no URL."""
    try:
        return str(parse_url(text).host or "")
    except (ValueError, UnicodeError):
        return ""
