"""Pages out of what a crawl keeps: the files that hold them written anew, without asking anybody.

A URL of the list that leads to such a page by a redirect stays, with the outcome `excluded` and no
answer: so it is not asked for again. Everything else is copied byte for byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import posixpath
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin

import orjson

from pipeline.files.storage import AlreadyExists, Storage
from pipeline.planning.fetching import Kept
from stages.fetch.archive import as_warc, outcomes
from stages.fetch.crawl import Fetched
from stages.fetch.store import ROOT, bucket_path

Excluded = Callable[[str], bool]


def forget(storage: Storage, excluded: Excluded, beat: Callable[[], None]) -> dict[str, str | None]:
    """Old file -> new one, or None where nothing was left. Killed anywhere, it is called again."""
    made: dict[str, str | None] = {}
    paths = [info.path for info in storage.list(ROOT)]
    indices = {path.removesuffix(".json") for path in paths if path.endswith(".json")}
    for path in paths:
        beat()
        stem = path.removesuffix(".warc.gz")
        if path.endswith(".json"):
            made |= _without(storage, path.removesuffix(".json"), excluded)
        elif "/pages/" in path:  # of a crawl that was not finished
            if any(excluded(url) for kept in _read(storage.get(path)) for url in kept.urls):
                storage.delete(path)
                made[path] = None
        elif stem not in indices:  # it was killed before the index, and puts it together again
            storage.delete(path)
    return made


def kept(storage: Storage) -> Iterator[Kept]:
    """Every record of what is kept, its URLs and what it says, decoded."""
    for info in storage.list(ROOT):
        if info.path.endswith(".warc.gz"):
            for one in _read(storage.get(info.path)):
                yield Kept(info.path, one.urls, one.content)
        else:
            raw = storage.get(info.path)
            yield Kept(info.path, tuple(orjson.loads(raw).get("urls", {})), raw)


def _without(storage: Storage, stem: str, excluded: Excluded) -> dict[str, str | None]:
    index = orjson.loads(storage.get(f"{stem}.json"))
    urls: Mapping[str, tuple[int, int, str]] = index["urls"]
    data = storage.get(f"{stem}.warc.gz")
    stale = hashlib.sha256(data).hexdigest() != index["sha256"]
    if stale:  # killed between this file and its index
        told = zip(urls, outcomes(io.BytesIO(data)), strict=True)
        urls = {url: (one.start, one.end - one.start, one.outcome) for url, one in told}
    parts: dict[str, tuple[bytes, str]] = {}
    for url, (at, size, outcome) in urls.items():
        records = data[at : at + size]
        if excluded(url):
            continue
        if any(excluded(named) for one in _read(records) for named in one.urls):
            records, outcome = as_warc(Fetched(url, "excluded", "", _date(records))), "excluded"
        parts[url] = records, outcome
    head = data[: min((at for at, _, _ in urls.values()), default=0)]
    same = all(parts.get(u, (b"",))[0] == data[at : at + n] for u, (at, n, _) in urls.items())
    if same and not stale:
        return {}
    new = _put(storage, stem, head, parts, int(index["attempt"])) if parts else None
    for old in (f"{stem}.json", f"{stem}.warc.gz"):  # what has no index is not looked at
        if new is None or not old.startswith(f"{new}."):
            storage.delete(old)
    return {f"{stem}.warc.gz": f"{new}.warc.gz" if new else None}


def _put(
    storage: Storage, stem: str, head: bytes, parts: Mapping[str, tuple[bytes, str]], attempt: int
) -> str:
    """The file that the shorter list asks for, and its index."""
    folder, _, name = stem.rpartition("/")
    path = bucket_path(folder, name.rpartition("-")[0], list(parts), attempt)
    told, at = {}, len(head)
    for url, (records, outcome) in parts.items():
        told[url] = at, len(records), outcome
        at += len(records)
    whole = head + b"".join(records for records, _ in parts.values())
    body = {
        "attempt": attempt,
        "sha256": hashlib.sha256(whole).hexdigest(),
        "num_bytes": len(whole),
        "urls": told,
    }
    same = path == stem  # only answers behind redirects went: the list is as long as it was
    with tempfile.TemporaryDirectory(dir=storage.scratch_root()) as scratch:
        file = Path(scratch, posixpath.basename(path))
        file.write_bytes(whole)
        with contextlib.suppress(AlreadyExists):
            storage.put(f"{path}.warc.gz", file, if_absent=not same)
    with contextlib.suppress(AlreadyExists):
        storage.put(f"{path}.json", orjson.dumps(body), if_absent=not same)
    return path


def _read(data: bytes) -> Iterator[Kept]:
    """The records of an archive that was written here."""
    from warcio.archiveiterator import ArchiveIterator

    for one in ArchiveIterator(io.BytesIO(data)):
        content = one.content_stream().read()
        url = one.rec_headers.get_header("WARC-Target-URI") or ""
        named = [url]
        if one.rec_type == "response" and one.http_headers is not None:
            target = one.http_headers.get_header("Location")
            if target:
                with contextlib.suppress(ValueError):
                    named.append(urljoin(url, target.strip()))
        if one.rec_type == "metadata":
            words = content.decode("utf-8", "replace").split()
            named += [word for word in words if "://" in word]  # what a redirect led to
        yield Kept("", tuple(filter(None, named)), content)


def _date(records: bytes) -> datetime:
    from warcio.archiveiterator import ArchiveIterator

    first = next(iter(ArchiveIterator(io.BytesIO(records))))
    date = first.rec_headers.get_header("WARC-Date")
    return datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
