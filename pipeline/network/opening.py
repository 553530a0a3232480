"""Open an http(s) file: as a stream, or as byte ranges; through the cache where there is one."""

from __future__ import annotations

import contextlib
import io
import tempfile
from typing import BinaryIO, cast

from pipeline.errors import InputError
from pipeline.files.addresses import content_name, shown
from pipeline.files.storage import ObjectInfo
from pipeline.network.backoff import Backoff
from pipeline.network.cache import Cache, CachedRanges
from pipeline.network.http import Broken, HttpFile, Version
from pipeline.network.ranges import HttpRanges, HttpWhole
from pipeline.network.remote_file import UNIT, Ranges, RemoteFile
from pipeline.network.settings import current


def http_version(url: str) -> Version | None:
    """Size and token of a file, or None if the server has none. Raises InputError."""
    try:
        return HttpFile(url).version()
    except FileNotFoundError:
        return None


def open_http(url: str, size: int = 0, token: str = "") -> BinaryIO:
    """A seekable stream of the file, pinned to a version that is known before.

    Raises FileNotFoundError, InputError; while reading InputError.
    """
    file = HttpFile(url)
    version = Version(size, token) if token and size else file.version()
    if token and version.token != token:
        raise file.changed(token, version.token)
    if version.size is None:
        return _spooled(file, version)
    if version.ranges:
        return buffered(RemoteFile(cached(HttpRanges(file, version), url, version.token)))
    whole = HttpWhole(file, version, UNIT)
    return buffered(RemoteFile(whole, whole.close))


def http_ranges(url: str) -> Ranges:
    """Byte ranges of the file as it is now. Raises FileNotFoundError, InputError."""
    file = HttpFile(url)
    version = file.version()
    if not version.ranges:
        raise file.error(
            f"the server gives no ranges of a version that can be told from another "
            f"({version.token.strip()})", "Read whole files, or from another mirror.",
        )  # fmt: skip
    return cached(HttpRanges(file, version), url, version.token)


def cached(ranges: Ranges, address: str, token: str) -> Ranges:
    """The ranges through the cache of the settings, if they name one."""
    settings = current()
    if not settings.cache:
        return ranges
    name = f"{content_name(address) if '://' in address else address}\0{ranges.size}\0{token}"
    return CachedRanges(ranges, Cache(settings.cache, settings.cache_bytes), name, UNIT)


def buffered(raw: RemoteFile) -> BinaryIO:
    """The raw stream with the full interface of a file."""
    return cast(BinaryIO, io.BufferedReader(raw, buffer_size=1 << 16))


def _spooled(file: HttpFile, version: Version) -> BinaryIO:
    """A file of unknown length, fetched whole to the local disk first."""
    backoff = Backoff()
    while True:
        with contextlib.ExitStack() as stack:
            local = stack.enter_context(tempfile.TemporaryFile())
            try:
                answer = file.ask({})
                try:
                    now = file.version_of(answer)
                    if now.token != version.token:
                        raise file.changed(version.token, now.token)
                    while data := answer.take(1 << 20):
                        local.write(data)
                finally:
                    answer.close(False)
                local.seek(0)
                stack.pop_all()
                return cast(BinaryIO, local)
            except Broken as broken:
                if not backoff.wait(broken.retry_after):
                    raise file.gave_up(broken, backoff, local.tell()) from broken


def find_http(address: str) -> list[ObjectInfo]:
    """The file of an address; none if the server has none. Raises InputError for a wildcard."""
    if "*" in address.partition("?")[0]:
        raise InputError(
            f"{shown(address)}: an http(s) server cannot be listed, so there is no wildcard. "
            f"Give each file's address; Common Crawl has read_common_crawl."
        )
    found = http_version(address)
    return [ObjectInfo(address, found.size or 0, found.token)] if found else []
