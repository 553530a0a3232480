"""One HTTP exchange with a checked address, a bound on its bytes and one on its time. By urllib3.

No redirect is followed here, no proxy is taken from the environment, and no body is decoded: the
answer is what the server sent, but for its chunks.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from stages.fetch.addresses import Network, PrivateAddress, connected

MAX_URL_BYTES = 8192
"""Servers refuse longer ones; RFC 9110 section 4.1 asks for at least 8,000."""
_LOW_PORTS = {80, 443}
"""Other ports below 1024 belong to mail, shells, name servers: no pages."""


class _Links:
    """The connections of one exchange, with a second handle of each to end it from outside."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.overdue = False
        self._copies: list[socket.socket] = []

    def add(self, link: socket.socket) -> None:
        """TLS will take the socket over; the copy stays good for hanging up."""
        self.addresses.append(str(link.getpeername()[0]))
        self._copies.append(socket.socket(fileno=os.dup(link.fileno())))

    def hang_up(self) -> None:
        """End the exchange under a reader that a byte now and then keeps waiting."""
        self.overdue = True
        for copy in self._copies:
            with contextlib.suppress(OSError):
                copy.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for copy in self._copies:
            copy.close()


class FetchError(Exception):
    """Why there is no answer: `outcome` is the drop reason."""

    def __init__(self, outcome: str, why: str = "") -> None:
        super().__init__(f"{outcome}: {why}")
        self.outcome = outcome


@dataclass(frozen=True)
class Bounds:
    """What an exchange may take."""

    max_bytes: int
    seconds: float
    """Of the whole exchange, from the look-up of the name to the last byte."""
    idle_seconds: float
    """Between two pieces of it."""
    exceptions: tuple[Network, ...] = ()
    """Networks that are not public and may be fetched from."""


@dataclass(frozen=True)
class Answer:
    """An HTTP response as the server sent it, its chunks joined."""

    status: int
    reason: str
    protocol: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    address: str
    """The address that was connected to."""
    request: tuple[str, tuple[tuple[str, str], ...]]
    """Request target and headers."""
    cut: bool = False
    """True if the body was longer than the bound and is its beginning."""

    def header(self, name: str) -> str:
        """The first value of a header; empty if there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


def normal_url(text: str) -> Url:
    """A URL in normal form, without its fragment. Raises FetchError `bad_url`."""
    try:
        if len(text) > MAX_URL_BYTES or any(ord(sign) <= 32 for sign in text):
            raise FetchError("bad_url", "too long, or with blanks")
        url = parse_url(text)._replace(fragment=None)
    except (LocationParseError, UnicodeError, ValueError) as error:
        raise FetchError("bad_url", str(error)) from error
    if url.scheme not in ("http", "https") or not url.host or url.auth:
        raise FetchError("bad_url", "not http(s), without a host, or with a password")
    if url.port is not None and url.port < 1024 and url.port not in _LOW_PORTS:
        raise FetchError("bad_url", f"port {url.port}")
    return url if url.path else url._replace(path="/")


def exchange(
    url: Url, headers: Sequence[tuple[str, str]], bounds: Bounds, pages_only: bool = False
) -> Answer:
    """GET a URL once. Raises FetchError.

    With `pages_only` the body of another media type than HTML is not read (`not_html`), and one
    beyond the bound is `too_large`; else it is cut.
    """
    links = _Links()
    timer = threading.Timer(bounds.seconds, links.hang_up)
    timer.daemon = True
    timer.start()
    try:
        with _pool(url, bounds, links) as pool:
            return _exchange(pool, url, headers, bounds, pages_only, links)
    except PrivateAddress as error:
        raise FetchError("private_address", str(error)) from error
    except (HTTPError, OSError, ValueError) as error:
        outcome = "timeout" if links.overdue else _outcome(error)
        raise FetchError(outcome, type(error).__name__) from error
    finally:
        timer.cancel()
        links.close()


def _outcome(error: Exception) -> str:
    exceptions = urllib3.exceptions
    if isinstance(error, (exceptions.NameResolutionError, socket.gaierror)):
        return "unresolved"
    is_timeout = isinstance(error, (exceptions.TimeoutError, TimeoutError))
    return "timeout" if is_timeout else "unreachable"


@contextlib.contextmanager
def _pool(url: Url, bounds: Bounds, links: _Links) -> Iterator[Any]:
    """One connection, whose address is checked when it is made."""
    https = url.scheme == "https"
    kind = urllib3.HTTPSConnectionPool if https else urllib3.HTTPConnectionPool
    assert url.host
    pool = kind(
        url.host,
        url.port or (443 if https else 80),  # without one http.client looks for it in an address
        timeout=urllib3.Timeout(connect=bounds.idle_seconds, read=bounds.idle_seconds),
        maxsize=1,
        retries=False,
        exceptions=bounds.exceptions,
        links=links,
    )
    pool.ConnectionCls = _CheckedHTTPS if https else _CheckedHTTP
    try:
        yield pool
    finally:
        pool.close()


class _Checked:
    """Connects to addresses that may be connected to, and keeps a second handle of each link."""

    def __init__(
        self,
        *args: Any,
        exceptions: Sequence[Network],
        links: _Links,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._exceptions, self._links = exceptions, links

    def _new_conn(self) -> socket.socket:
        own: Any = self
        timeout = own.timeout if isinstance(own.timeout, (int, float)) else None
        link = connected(own._dns_host, own.port, timeout, self._exceptions)
        self._links.add(link)
        return link


class _CheckedHTTP(_Checked, HTTPConnection):
    pass


class _CheckedHTTPS(_Checked, HTTPSConnection):
    pass


def _exchange(
    pool: Any,
    url: Url,
    headers: Sequence[tuple[str, str]],
    bounds: Bounds,
    pages_only: bool,
    links: _Links,
) -> Answer:
    response = pool.urlopen(
        "GET",
        url.request_uri,
        headers=dict(headers),
        redirect=False,
        retries=False,
        preload_content=False,
        decode_content=False,
    )
    try:
        if pages_only and 200 <= response.status < 300 and not _is_page(response.headers):
            raise FetchError("not_html", response.headers.get("content-type", ""))
        body, cut = _body(response, bounds.max_bytes)
    except urllib3.exceptions.ReadTimeoutError:
        raise
    except HTTPError as error:
        if links.overdue:
            raise
        raise FetchError("incomplete", type(error).__name__) from error
    finally:
        response.close()
    if links.overdue:  # what was hung up may look like an end
        raise FetchError("timeout", f"more than {bounds.seconds:g} s")
    if cut and pages_only:
        raise FetchError("too_large", f"more than {bounds.max_bytes:,} bytes")
    return Answer(
        response.status,
        response.reason or "",
        "HTTP/1.0" if response.version == 10 else "HTTP/1.1",
        tuple((str(name), str(value)) for name, value in response.headers.items()),
        body,
        links.addresses[-1],
        (url.request_uri, (("Host", str(url.netloc)), *headers)),
        cut,
    )


_PAGES = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")


def _is_page(headers: Any) -> bool:
    declared = str(headers.get("content-type", "")).partition(";")[0].strip().lower()
    return not declared or declared in _PAGES


def _body(response: Any, max_bytes: int) -> tuple[bytes, bool]:
    """(the body, False), or (its first `max_bytes`, True)."""
    parts: list[bytes] = []
    size = 0
    # One piece as it comes: a full read would wait for a server that sends a byte a minute.
    while data := response.read1(1 << 16):
        parts.append(data)
        size += len(data)
        if size > max_bytes:
            return b"".join(parts)[:max_bytes], True
    return b"".join(parts), False
