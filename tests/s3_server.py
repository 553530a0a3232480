"""moto's S3 on 127.0.0.1, and a proxy before it that spoils answers as it is told."""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.files import object_storage

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


@contextmanager
def moto() -> Iterator[str]:
    """The endpoint of an S3 server of its own, which the environment names too."""
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    one_at_a_time, put_object = threading.Lock(), S3Response.put_object

    def atomic_put(self: Any) -> Any:
        """S3 decides a conditional PUT atomically; moto looks first and writes later."""
        with one_at_a_time:
            return put_object(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "put_object", atomic_put)
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        object_storage._object_store.cache_clear()
        yield f"http://{host}:{port}"
        object_storage._object_store.cache_clear()
    server.stop()


SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
Plan = Callable[[int, str, str], str]
"""(number of the request, method, path) -> what happens to it.

`pass`; `500`, `slow` (503 SlowDown): refused, not forwarded; `lost`: forwarded, but answered by
500; `cut`: forwarded, and half of the answer's body comes back; `reset`: no answer at all.
"""


@dataclass
class Proxy:
    """Forwards requests to an endpoint, by a plan of faults."""

    endpoint: str
    plan: Plan
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, path, what happened) of each request."""
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, fate: str) -> int:
        """Requests that met this fate."""
        return sum(what == fate for _, _, what in self.seen)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: Proxy

    def log_message(self, *_: object) -> None:
        pass

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.proxy.lock:
            fate = self.proxy.plan(len(self.proxy.seen), self.command, self.path)
            self.proxy.seen.append((self.command, self.path, fate))
        if fate in ("500", "slow"):
            return self._answer(500 if fate == "500" else 503, {}, SLOW_DOWN)
        if fate == "reset":
            self.close_connection = True
            return None
        host = self.proxy.endpoint.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        found = connection.getresponse()
        data = found.read()
        headers = {k: v for k, v in found.getheaders() if k.lower() not in _OWN}
        length = found.getheader("Content-Length")
        connection.close()
        if fate == "lost":
            return self._answer(500, {}, SLOW_DOWN)
        if self.command == "HEAD" and length:
            headers["Content-Length"] = length
        self._answer(found.status, headers, data, fate == "cut")
        return None

    def _answer(self, status: int, headers: dict[str, str], body: bytes, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _forward


_OWN = {"connection", "transfer-encoding", "content-length", "date", "server"}


@contextmanager
def proxied(endpoint: str, plan: Plan) -> Iterator[Proxy]:
    """The proxy on a free port; the environment names it as the endpoint while the block runs."""
    proxy = Proxy(endpoint, plan)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        object_storage._object_store.cache_clear()
        try:
            yield proxy
        finally:
            object_storage._object_store.cache_clear()
            server.shutdown()
            server.server_close()
            thread.join()
