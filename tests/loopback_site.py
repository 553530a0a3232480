"""A web site on loopback for the tests of the crawler: real sockets, misbehaviour on request."""

from __future__ import annotations

import gzip
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Serve = Callable[["Visit"], None]


class Visit(BaseHTTPRequestHandler):
    """One request, answered by the site's function for its path."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        site: Site = self.server.site
        with site.guard:
            site.log.append((time.monotonic(), self.path))
            site.agents.add(self.headers.get("User-Agent", ""))
            site.open += 1
            site.most_open = max(site.most_open, site.open)
        try:
            path = self.path.partition("?")[0]
            serve = site.paths.get(path) or site.paths.get("*")
            if serve is None:
                self.answer(404, b"<p>nothing here</p>")
            else:
                serve(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with site.guard:
                site.open -= 1

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A plain answer; header names with `_` for `-`."""
        self.send_response(status)
        given = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        given.setdefault("content-type", "text/html; charset=utf-8")
        given.setdefault("content-length", str(len(body)))
        for name, value in given.items():
            self.send_header(name.title(), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Site:
    """A server at its own loopback address, so that each is a host of its own."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.paths: dict[str, Serve] = {}
        self.log: list[tuple[float, str]] = []
        self.agents: set[str] = set()
        self.open = self.most_open = 0
        self.guard = threading.Lock()
        self._server = ThreadingHTTPServer((address, 0), Visit)
        self._server.daemon_threads = True
        self._server.site = self  # type: ignore[attr-defined]
        self.host = f"{address}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    @property
    def visits(self) -> Counter[str]:
        """Requests by path."""
        with self.guard:
            return Counter(path for _, path in self.log)

    def page(self, path: str, text: str, **headers: str) -> str:
        """Serve a page; returns its URL."""
        body = f"<html><title>{text}</title><p>{text}</p></html>".encode()
        self.paths[path] = lambda visit: visit.answer(200, body, **headers)
        return self.url(path)

    def serve(self, path: str, serve: Serve) -> str:
        self.paths[path] = serve
        return self.url(path)

    def robots(self, text: str) -> None:
        self.paths["/robots.txt"] = lambda visit: visit.answer(
            200, text.encode(), content_type="text/plain"
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def chunked(visit: Visit, parts: list[bytes], *headers: tuple[str, str], end: bool = True) -> None:
    """A body in chunks; without its end the connection is closed in the middle."""
    visit.send_response(200)
    for name, value in (("Content-Type", "text/html"), ("Transfer-Encoding", "chunked"), *headers):
        visit.send_header(name, value)
    visit.end_headers()
    for part in parts:
        visit.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
    if end:
        visit.wfile.write(b"0\r\n\r\n")
    visit.close_connection = True


def zipped_chunks(visit: Visit, body: bytes) -> None:
    data = gzip.compress(body)
    chunked(visit, [data[:10], data[10:]], ("Content-Encoding", "gzip"))
