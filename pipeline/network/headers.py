"""What the headers of an answer say: validators, and digests of its bytes."""

from __future__ import annotations

import base64
import binascii
import email.utils
import hashlib
from collections.abc import Mapping


def validator_of(headers: Mapping[str, str]) -> tuple[bool, str]:
    """(equal tokens mean equal bytes, token), by RFC 9110 section 8.8."""
    etag = headers.get("etag", "").strip()
    if etag.startswith('"') and etag.endswith('"') and len(etag) > 2:
        return True, etag
    modified = headers.get("last-modified", "").strip()
    if not modified:
        return False, etag
    try:
        date = email.utils.parsedate_to_datetime(headers.get("date", ""))
        strong = (date - email.utils.parsedate_to_datetime(modified)).total_seconds() >= 1
    except (ValueError, TypeError):
        strong = False
    return strong, modified


def digests_of(headers: Mapping[str, str]) -> dict[str, bytes]:
    """Algorithm -> digest of this answer's own bytes, where the server gives it."""
    found = _structured(headers.get("content-digest", ""))
    if "content-md5" in headers:
        found["md5"] = _decoded(headers["content-md5"])
    return {name: value for name, value in found.items() if value}


def sha256_of(headers: Mapping[str, str]) -> str:
    """sha256 of the whole file in hex by Repr-Digest (RFC 9530) or Digest; else empty."""
    named = _structured(headers.get("repr-digest", "")) | _structured(headers.get("digest", ""))
    if "x-amz-checksum-sha256" in headers and "-" not in headers["x-amz-checksum-sha256"]:
        named["sha-256"] = _decoded(headers["x-amz-checksum-sha256"])
    found = named.get("sha-256", b"")
    return found.hex() if len(found) == 32 else ""


def _structured(value: str) -> dict[str, bytes]:
    parts = [part.partition("=") for part in value.split(",") if "=" in part]
    return {name.strip().lower(): _decoded(text.strip().strip(":")) for name, _, text in parts}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        return b""


def wrong_digest(headers: Mapping[str, str], data: bytes | bytearray) -> str:
    """The algorithm by which these are not the bytes that the answer tells of; else empty."""
    for name, digest in digests_of(headers).items():
        kind = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5"}.get(name)
        if kind and hashlib.new(kind, data, usedforsecurity=False).digest() != digest:
            return name
    return ""
