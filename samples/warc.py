"""WARC/1.1 records as bytes: every record a gzip member of its own, equal on every machine.

Record ids are hashes, dates follow from the page number, and the gzip header is written by hand
(no time, operating system "unknown"), so only the deflate library itself could differ.
"""

import base64
import hashlib
import struct
import uuid
import zlib
from datetime import datetime, timedelta

LEVEL = 6
_START = datetime(2023, 3, 1)
_SECONDS_PER_PAGE = 7
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def gzip_member(data: bytes) -> bytes:
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, 8)
    packed = deflate.compress(data) + deflate.flush()
    tail = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return _GZIP_HEADER + packed + tail


def record_id(*key: object) -> str:
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=16).digest()
    return f"<urn:uuid:{uuid.UUID(bytes=digest, version=4)}>"


def date_of(page: int) -> str:
    """The crawl time of a page, ISO 8601 in UTC."""
    return (_START + timedelta(seconds=page * _SECONDS_PER_PAGE)).isoformat() + "Z"


def warcinfo(seed: int, name: str) -> bytes:
    block = (
        b"software: tokenmill samples\r\nformat: WARC File Format 1.1\r\n"
        b"description: pages of our own writing, generated\r\n"
    )
    head = [
        ("WARC-Type", "warcinfo"),
        ("WARC-Record-ID", record_id(seed, "warcinfo", name)),
        ("WARC-Date", date_of(0)),
        ("WARC-Filename", name),
        ("Content-Type", "application/warc-fields"),
    ]
    return _record(head, block)


def request(seed: int, page: int, url: str) -> bytes:
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    block = (
        f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tokenmill-sample\r\n"
        f"Accept: text/html\r\nX-Scheme: {scheme}\r\n\r\n"
    ).encode()
    head = [
        ("WARC-Type", "request"),
        ("WARC-Record-ID", record_id(seed, "request", page)),
        ("WARC-Concurrent-To", record_id(seed, "response", page)),
        ("WARC-Date", date_of(page)),
        ("WARC-Target-URI", url),
        ("Content-Type", "application/http; msgtype=request"),
    ]
    return _record(head, block)


def response(seed: int, page: int, url: str, http: bytes, body: bytes) -> bytes:
    """`http` is the status line and the headers, without the blank line that ends them."""
    head = [
        ("WARC-Type", "response"),
        ("WARC-Record-ID", record_id(seed, "response", page)),
        ("WARC-Date", date_of(page)),
        ("WARC-Target-URI", url),
        ("WARC-IP-Address", f"203.0.113.{page % 254 + 1}"),
        ("WARC-Payload-Digest", _sha1(body)),
        ("Content-Type", "application/http; msgtype=response"),
    ]
    return _record(head, http + b"\r\n\r\n" + body)


def _sha1(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def _record(head: list[tuple[str, str]], block: bytes) -> bytes:
    fields = [*head, ("WARC-Block-Digest", _sha1(block)), ("Content-Length", str(len(block)))]
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return gzip_member(b"WARC/1.1\r\n" + lines.encode() + b"\r\n" + block + b"\r\n\r\n")
