"""Addresses without what is secret in them: for messages, run records and documents' `file`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import xxhash

_SECRETS = (
    "x-amz-signature|x-amz-credential|x-amz-security-token|x-goog-signature|x-goog-credential|"
    "signature|sig|awsaccesskeyid|googleaccessid|access_token|token|api_key|apikey|password|"
    "passwd|secret|auth"
)
_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@'\"<>]*@")
_PARAMETER = re.compile(rf"([?&](?:{_SECRETS})=)[^&\s'\"#<>]+", re.I)
_SIGNATURES = re.compile(
    rf"(?:{_SECRETS}|x-amz-.*|x-goog-.*|expires|policy|key-pair-id|"
    "s[ptvrei]|spr|skoid|sktid|skt|ske|sks|skv)",
    re.I,
)
"""Parameters of presigned addresses (AWS, Google, CloudFront, Azure SAS): they name no content."""


def is_web(path: str) -> bool:
    """True for an http(s) address."""
    return path.startswith(("http://", "https://"))


def redacted(text: str) -> str:
    """The text with user names, passwords, signatures and tokens of its addresses taken out."""
    if "://" not in text and "=" not in text:
        return text
    return _PARAMETER.sub(r"\1...", _USER.sub(r"\1", text))


def redacted_values(value: Any) -> Any:
    """`redacted` for every text in nested lists and mappings."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {key: redacted_values(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted_values(inner) for inner in value]
    return value


def shown(path: str) -> str:
    """A path or URI as messages show it: an http(s) address without user and query."""
    if not is_web(path):
        return redacted(path)
    parts = urlsplit(path)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + ("?..." if parts.query else "")


def content_name(url: str) -> str:
    """An http(s) address as documents name it: no user, no signature.

    What else stands in the query may say which file is meant: a hash of it is added.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    left = sorted((name, value) for name, value in pairs if not _SIGNATURES.fullmatch(name))
    tail = f"?{xxhash.xxh3_64_hexdigest(repr(left).encode())}" if left else ""
    return f"{parts.scheme}://{host}{parts.path}{tail}"


def split_user(url: str) -> tuple[str, str]:
    """(address without user, `user:password` or nothing), spaces and non-ASCII quoted."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    path = quote(parts.path, safe="/%:=&?~#+!$,;'@()*[]") or "/"
    query = "?" + quote(parts.query, safe="/%:=&?~#+!$,;'@()*[]") if parts.query else ""
    return f"{parts.scheme}://{host}{path}{query}", unquote(user)
