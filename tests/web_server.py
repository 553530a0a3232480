"""A file server on 127.0.0.1 that misbehaves as it is told, and keeps a log of all requests."""

from __future__ import annotations

import email.utils
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """One request as it arrived."""

    at: float
    path: str
    span: tuple[int, int] | None
    """The range asked for, [start, stop)."""
    headers: dict[str, str]
    port: int = 0
    """The client's: another process has another."""
    status: int = 0
    sent: int = 0


@dataclass
class Answering:
    """What a fault may change of the next answer."""

    request: Request
    status: int
    headers: dict[str, str]
    body: bytes
    cut: int | None = None
    """Send so many bytes of the body, then close the connection."""
    reset: bool = False
    """With `cut`: by a TCP reset instead of a plain end."""
    stall: float = 0.0
    """With `cut`: hold the connection open so long before."""


Fault = Callable[[Answering], None]


@dataclass
class WebServer:
    """Files by path; faults are asked in order, each may change an answer."""

    files: dict[str, bytes] = field(default_factory=dict)
    log: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    ranges: bool = True
    validators: str = "etag"
    """`etag`, `weak`, `modified` or nothing."""
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bodies(self, path: str) -> list[Request]:
        """Requests for one file that got bytes of it."""
        return [r for r in self.log if r.path == path and r.status in (200, 206)]

    def fetched(self, path: str) -> list[tuple[int, int]]:
        """The ranges of a file that were sent, the probes of its first byte left out."""
        return sorted(r.span for r in self.bodies(path) if r.span and r.span != (0, 1))

    def most_in_a_second(self) -> int:
        """The most requests that arrived within any second."""
        times = sorted(request.at for request in self.log)
        return max(sum(low <= at < low + 1 for at in times) for low in times)

    def answer(self, request: Request) -> Answering:
        path, quoted = request.path, request.headers
        data = self.files.get(path.partition("?")[0])
        if data is None:
            return Answering(request, 404, {}, b"nothing here")
        etag = f'"{hash(data):x}"'  # of bytes it is computed once
        headers = {"Accept-Ranges": "bytes"} if self.ranges else {}
        if self.validators == "modified":
            headers["Last-Modified"] = email.utils.formatdate(1.7e9, usegmt=True)
        elif self.validators:
            headers["ETag"] = etag if self.validators == "etag" else f"W/{etag}"
        if quoted.get("if-match") not in (None, headers.get("ETag")):
            return Answering(request, 412, headers, b"")
        if request.span is None or not self.ranges:
            return Answering(request, 200, headers, data)
        start, stop = request.span[0], min(request.span[1], len(data))
        if start >= len(data):
            return Answering(request, 416, headers | {"Content-Range": f"bytes */{len(data)}"}, b"")
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        return Answering(request, 206, headers, data[start:stop])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    web: WebServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        at = time.monotonic()
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        span = (int(found[1]), int(found[2]) + 1) if found else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(at, self.path, span, headers, self.client_address[1])
        with self.web.lock:
            self.web.log.append(request)
            answer = self.web.answer(request)
            for fault in list(self.web.faults):
                fault(answer)
        request.status, request.sent = answer.status, len(answer.body)
        self._send(answer)

    def _send(self, answer: Answering) -> None:
        self.send_response(answer.status)
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        try:
            body = answer.body
            if headers.get("Transfer-Encoding") == "chunked":
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            self.wfile.write(body if answer.cut is None else body[: answer.cut])
            self.wfile.flush()
            if answer.cut is not None or len(answer.body) != int(headers["Content-Length"] or 0):
                time.sleep(answer.stall)
                self.close_connection = True
                if answer.reset:  # with no linger a close is a reset
                    linger = b"\1\0\0\0\0\0\0\0"
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def serving(web: WebServer) -> Iterator[WebServer]:
    """The server, on a free port of 127.0.0.1 while the block runs."""
    handler = type("Handler", (_Handler,), {"web": web})
    server = _Server(("127.0.0.1", 0), handler)
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# --- faults --------------------------------------------------------------------------------------


def times(count: int, fault: Fault, wanted: Callable[[Request], bool] = lambda _: True) -> Fault:
    """The fault for the first `count` of the wanted requests."""
    left = [count]

    def limited(answer: Answering) -> None:
        if left[0] and wanted(answer.request):
            left[0] -= 1
            fault(answer)

    return limited


def busy(status: int = 503, retry_after: str = "") -> Fault:
    """Answers with a status instead of bytes."""

    def fault(answer: Answering) -> None:
        answer.status, answer.body = status, b"busy"
        answer.headers.clear()
        if retry_after:
            answer.headers["Retry-After"] = retry_after

    return fault


def cut(at: int, *, reset: bool = False, stall: float = 0.0) -> Fault:
    """Ends an answer behind its first `at` bytes."""

    def fault(answer: Answering) -> None:
        answer.cut, answer.reset, answer.stall = at, reset, stall

    return fault


def lie(length: Callable[[int], int]) -> Fault:
    """Says another Content-Length; the body stays whole."""

    def fault(answer: Answering) -> None:
        answer.headers["Content-Length"] = str(length(len(answer.body)))

    return fault


def behind_the_probe(request: Request) -> bool:
    """True for requests that ask for more than the first byte."""
    return request.span != (0, 1)
