"""Requests to http(s) servers: one attempt at a time, and what its answer says of the file.

Of urllib3 come connections, TLS and framing. Its own retries, redirects, decoding and trust in
Content-Length are off: a limit by host, Retry-After and resuming need every single request.
"""

from __future__ import annotations

import base64
import re
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, SSLError

from pipeline.errors import InputError
from pipeline.files.addresses import shown, split_user
from pipeline.network.backoff import Backoff, retry_after
from pipeline.network.headers import sha256_of, validator_of
from pipeline.network.rates import pause, wait_for_slot
from pipeline.network.settings import current

_CHUNK = 1 << 18
CAREFUL = 1 << 14
"""Bytes taken at a time after a failure: a reset loses those that were not handed out yet."""
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that another attempt may not meet."""
_SLOWEST = 4096
"""Bytes a second below which an answer counts as stalled, `timeout_seconds` granted."""
_LINGER_SECONDS = 1.0
"""How long a server that was asked to close may keep a connection open behind the last byte."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
ONCE = "once "
"""How the token of a file begins that is to be read in one answer."""


@dataclass(frozen=True)
class Version:
    """What an answer says of the file behind it."""

    size: int | None
    token: str
    """Changes when the content may have changed; begins with `once ` without ranges."""
    sha256: str = ""
    """Of the whole file in hex, where the server gives it."""

    @property
    def ranges(self) -> bool:
        return not self.token.startswith(ONCE)


@dataclass
class Broken(Exception):
    """An attempt that failed in a way that another may not."""

    reason: str
    retry_after: float | None = None


@dataclass
class Answer:
    """An open response; its body is read as it is stored, whatever its Content-Encoding."""

    status: int
    headers: Mapping[str, str]
    body: Any
    started: float = field(default_factory=time.monotonic)
    taken: int = 0
    chunk: int = _CHUNK

    def take(self, most: int) -> bytes:
        """The next bytes, at most `most`; empty at the end. Raises Broken."""
        try:
            data: bytes = self.body.read(min(most, self.chunk), decode_content=False)
        except (HTTPError, OSError) as error:
            raise Broken(_reason(error)) from error
        self.taken += len(data)
        limit = current().timeout_seconds + self.taken / _SLOWEST
        if time.monotonic() - self.started > limit:
            raise Broken(f"less than {_SLOWEST:,} bytes a second")
        return data

    def to_the_end(self) -> None:
        """From now on `take` gives what comes until the connection ends, not Content-Length."""
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            inner: Any = getattr(self.body, "_fp", None)
            if hasattr(inner, "length"):
                inner.length = None

    def goes_on(self) -> bool:
        """After `to_the_end`: True if bytes come behind the last that was taken."""
        try:
            self.body.connection.sock.settimeout(_LINGER_SECONDS)
            return bool(self.take(1))
        except (AttributeError, Broken):  # silence; the connection is not used again
            return False

    def close(self, whole: bool) -> None:
        """Give the connection back if the answer was what it said, else end it."""
        if whole and self.headers.get("content-length") == str(self.taken):
            self.body.release_conn()
        else:
            self.body.close()


class HttpFile:
    """One file of an http(s) server."""

    def __init__(self, url: str) -> None:
        self.url, self.user = split_user(url)
        self.name = shown(url)

    # --- requests --------------------------------------------------------------------------

    def ask(self, headers: Mapping[str, str]) -> Answer:
        """One attempt at a GET and its redirects. Raises Broken, InputError, FileNotFoundError."""
        url, user = self.url, self.user
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._send(url, user, headers)
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return self._judged(answer, url)
            answer.close(False)
            before, url = urlsplit(url), urljoin(url, answer.headers["location"])
            after = urlsplit(url)
            if (before.scheme, before.hostname, before.port) != (
                after.scheme, after.hostname, after.port,
            ):  # fmt: skip
                user = ""  # what one server may know is not told to another
            if after.scheme not in ("http", "https") or (before.scheme, after.scheme) == (
                "https", "http",
            ):  # fmt: skip
                got = f"it redirects to {shown(url)}, expected https"
                raise self.error(got, "Give that address.")
        raise self.error(f"more than {_MOST_REDIRECTS} redirects", "Give the last address.")

    def _send(self, url: str, user: str, headers: Mapping[str, str]) -> Answer:
        host = urlsplit(url).hostname or ""
        sent = {"User-Agent": user_agent(), "Accept-Encoding": "identity", **headers}
        if user:
            sent["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        wait_for_slot(host)
        timeout = current().timeout_seconds or None
        try:
            body = _pool(_proxy(url)).request(
                "GET", url, headers=sent, preload_content=False, redirect=False, retries=False,
                enforce_content_length=False,
                timeout=urllib3.Timeout(connect=timeout, read=timeout),
            )  # fmt: skip
        except LocationParseError as error:
            raise self.error(f"it is no address: {error}", "Correct it.") from error
        except SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                got = "the server's certificate is not trusted"
                raise self.error(got, "Mend it, or name its issuer in SSL_CERT_FILE.") from error
            raise Broken(_reason(error)) from error
        except (HTTPError, OSError) as error:
            raise Broken(_reason(error)) from error
        return Answer(body.status, body.headers, body)

    def _judged(self, answer: Answer, url: str) -> Answer:
        """The answer if it brings bytes or says that they changed (412, 416), else its error."""
        status = answer.status
        if status in (200, 206, 412, 416):
            return answer
        answer.close(False)
        if status in _PASSING:
            asked = retry_after(answer.headers.get("retry-after"))
            longest = current().longest_retry_after_seconds
            if asked and asked <= longest:
                pause(urlsplit(url).hostname or "", asked)
            raise Broken(f"answer {status}", asked)
        if status in (404, 410):
            raise FileNotFoundError(self.name)
        if status in (401, 403, 407):
            raise self.error(f"answer {status}", "Check user, signature and rights of the address.")
        raise self.error(f"answer {status}, expected 200 or 206", "Check the address.")

    def error(self, got: str, advice: str, retryable: bool = False) -> InputError:
        return InputError(f"cannot read {self.name}: {got}. {advice}", retryable=retryable)

    def gave_up(self, broken: Broken, backoff: Backoff, at: int) -> InputError:
        """The error of the last attempt that failed."""
        asked = broken.retry_after
        pause = f" (it asks for a pause of {asked:.0f} s)" if asked else ""
        times = f"{backoff.failures} time{'s' if backoff.failures > 1 else ''}"
        return self.error(
            f"{broken.reason}{pause}, {times} in a row at byte {at:,}",
            "Run again later: finished work is kept.", retryable=True,
        )  # fmt: skip

    def changed(self, before: str, now: str) -> InputError:
        """The error of a file that is not the one that was planned or begun."""
        return self.error(
            f"it changed while it was in use: got {now}, expected {before}",
            "Nothing of the two was mixed. Run again: the new file is then read whole.",
        )

    # --- what is there ---------------------------------------------------------------------

    def version(self) -> Version:
        """Size and validator, by a request for the first byte. Raises InputError."""
        backoff = Backoff()
        while True:
            try:
                answer = self.ask({"Range": "bytes=0-0"})
                try:
                    return self.version_of(answer)
                finally:
                    answer.close(False)
            except Broken as broken:
                if not backoff.wait(broken.retry_after):
                    raise self.gave_up(broken, backoff, 0) from broken

    def version_of(self, answer: Answer) -> Version:
        """What the answer to a request for the first bytes says of the file. Raises Broken."""
        headers = answer.headers
        strong, validator = validator_of(headers)
        sha256 = sha256_of(headers)
        if answer.status == 206:
            start, _, size = self.span_of(answer)
            if start == 0 and strong and size is not None:
                return Version(size, validator, sha256)
            return Version(size, f"{ONCE}{validator or size}", sha256)
        if answer.status == 200:
            length = headers.get("content-length", "")
            chunked = "chunked" in headers.get("transfer-encoding", "").lower()
            size = int(length) if length.isdigit() and not chunked else None
            return Version(size, f"{ONCE}{validator or size}", sha256)
        # 416: an empty file has no first byte
        return Version(0, f"{ONCE}{validator or 0}")

    def span_of(self, answer: Answer) -> tuple[int, int, int | None]:
        """(start, stop, size) of a 206 by its Content-Range. Raises Broken."""
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "").strip())
        if not found:
            raise Broken("a range without a Content-Range")
        start, last, size = found.groups()
        return int(start), int(last) + 1, None if size == "*" else int(size)


def _reason(error: BaseException) -> str:
    """What failed, in a few words; urllib3's own texts hold whole addresses."""
    name = type(error).__name__
    known = {
        "ReadTimeoutError": "no bytes in time", "ConnectTimeoutError": "no connection in time",
        "NewConnectionError": "no connection", "NameResolutionError": "the host has no address",
        "ProtocolError": "the connection broke", "IncompleteRead": "the connection broke",
    }  # fmt: skip
    return known.get(name, name)


@cache
def user_agent() -> str:
    """How we name ourselves to servers."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"tokenmill/{version('tokenmill')}"
    except PackageNotFoundError:
        return "tokenmill"


@cache
def _pool(proxy: str) -> urllib3.PoolManager:
    if proxy:
        return urllib3.ProxyManager(proxy, maxsize=4)
    return urllib3.PoolManager(maxsize=4)


def _proxy(url: str) -> str:
    """The proxy that the environment names for an address (HTTPS_PROXY, NO_PROXY), if any."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return urllib.request.getproxies().get(parts.scheme, "")
