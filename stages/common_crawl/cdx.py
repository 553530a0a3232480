"""The CDX URL index: where the wanted pages stand in their WARC files.

Its files hold sorted lines `<SURT> <time> <JSON>` in gzip blocks of 3,000; `cluster.idx` has the
first key, file, offset and length of each block. Only blocks that may hold a wanted domain are
fetched.
"""

from __future__ import annotations

import gzip
import io
import posixpath
import zlib
from collections.abc import Iterator, Sequence

import orjson
import pyarrow as pa

from pipeline.errors import InputError
from pipeline.files.addresses import shown
from pipeline.files.spans import Spans
from pipeline.files.uris import input_ranges, open_input
from pipeline.network.spanned_file import SpannedFile
from stages.common_crawl.columnar import PLACES
from stages.common_crawl.wanted import Wanted


def blocks_of(base: str, paths: Sequence[str], wanted: Wanted) -> list[tuple[str, Spans]]:
    """(path of a CDX file, its blocks that may hold wanted pages), by `cluster.idx`."""
    clusters = [path for path in paths if posixpath.basename(path) == "cluster.idx"]
    if not clusters:
        raise InputError(f"the index lists no cluster.idx. Use `table: parquet` of {shown(base)}.")
    where = f"{base}/{clusters[0]}"
    folder = posixpath.dirname(clusters[0])
    prefixes = [surt(domain) for domain in sorted(wanted.domains)]
    found: dict[str, list[tuple[int, int]]] = {}
    before: tuple[str, str, int, int] | None = None
    for entry in [*_cluster(where), ("\U0010ffff", "", 0, 0)]:
        if before is not None and (
            not prefixes or any(before[0] <= p + "\x7f" and entry[0] >= p for p in prefixes)
        ):
            found.setdefault(f"{folder}/{before[1]}", []).append(before[2:])
        before = entry
    return [(path, Spans.of(*zip(*found[path], strict=True))) for path in sorted(found)]


def surt(domain: str) -> str:
    """`org,example` of `example.org`."""
    return ",".join(reversed(domain.split(".")))


def _cluster(where: str) -> Iterator[tuple[str, str, int, int]]:
    """(first key, file, offset, length) of each block. Raises InputError."""
    try:
        with open_input(where) as stream:
            for number, line in enumerate(io.TextIOWrapper(stream, "utf-8", "replace")):
                try:
                    key, file, offset, length = line.rstrip("\n").split("\t")[:4]
                    yield key.partition(" ")[0], file, int(offset), int(length)
                except ValueError:
                    raise InputError(
                        f"{shown(where)}:{number + 1}: {line[:80]!r}, expected key, file, offset "
                        f"and length between tabs."
                    ) from None
    except FileNotFoundError:
        raise InputError(f"{shown(where)} is listed and not there. Check `base`.") from None


def places_in_blocks(
    path: str, blocks: Spans, wanted: Wanted, files: frozenset[str] | None, gap: int
) -> pa.Table:
    """The wanted pages in some blocks of one CDX file. Raises InputError."""
    found: list[tuple[str, int, int]] = []
    try:
        with SpannedFile(input_ranges(path), blocks, gap) as packed, gzip.open(packed) as lines:
            for line in lines:
                key, _, rest = line.partition(b" ")
                place = _place(key.decode("utf-8", "replace"), rest[rest.find(b"{") :], wanted)
                if place and (files is None or place[0] in files):
                    found.append(place)
    except FileNotFoundError:
        raise InputError(f"{shown(path)} is listed and not there. Check `base`.") from None
    except (OSError, EOFError, zlib.error, ValueError, KeyError) as error:
        raise InputError(
            f"{shown(path)} is no CDX file of its cluster.idx: {type(error).__name__} {error}."
        ) from error
    return pa.table(list(map(list, zip(*found, strict=True))) or [[], [], []], schema=PLACES)


def _place(key: str, text: bytes, wanted: Wanted) -> tuple[str, int, int] | None:
    """(file, offset, length) of a wanted page; None for another, or for no page."""
    if not wanted.host(key.partition(")")[0].partition(":")[0]):
        return None
    row = orjson.loads(text)
    if "/warc/" not in row["filename"] or not wanted.language(row.get("languages")):
        return None
    status = row.get("status", "")
    if wanted.status and not (status.isdigit() and int(status) in wanted.status):
        return None
    if wanted.mime and row.get("mime-detected", "").lower() not in wanted.mime:
        return None
    return row["filename"], int(row["offset"]), int(row["length"])
