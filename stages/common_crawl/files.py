"""The files of a crawl, as its `*.paths.gz` list them, and a choice among them."""

from __future__ import annotations

import fnmatch
import gzip
import zlib
from collections.abc import Sequence

import xxhash

from pipeline.errors import InputError, nearest
from pipeline.files.addresses import shown
from pipeline.files.uris import open_input


def listed(base: str, crawl: str, name: str) -> list[str]:
    """Lines of `crawl-data/<crawl>/<name>.paths.gz`: paths below `base`. Raises InputError."""
    where = f"{base}/crawl-data/{crawl}/{name}.paths.gz"
    try:
        with open_input(where) as stream, gzip.open(stream, "rt", encoding="utf-8") as lines:
            found = [line.strip() for line in lines if line.strip()]
    except FileNotFoundError:
        raise InputError(
            f"{shown(where)} is not there. Check `crawl` (such as CC-MAIN-2024-10; all are named "
            f"at https://index.commoncrawl.org/collinfo.json) and `base`."
        ) from None
    except (EOFError, OSError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{shown(where)} is no list of paths: {error}. Fetch it anew.") from error
    if not found:
        raise InputError(f"{shown(where)} lists no path. Check `crawl` and `base`.")
    return found


def chosen(
    paths: Sequence[str],
    segments: Sequence[str],
    patterns: Sequence[str],
    sample: float,
    where: str,
) -> list[str]:
    """The paths in these segments that match a pattern and are in the sample, sorted.

    Raises InputError if a segment or pattern has none, or if nothing is left.
    """
    found = sorted(set(paths))
    if segments:
        known = {segment_of(path) for path in found}
        for segment in segments:
            if segment not in known:
                raise InputError(f"{where}: no segment '{segment}'.{nearest(segment, known)}")
        found = [path for path in found if segment_of(path) in set(segments)]
    if patterns:
        for pattern in patterns:
            if not any(fnmatch.fnmatchcase(path, pattern) for path in found):
                raise InputError(
                    f"{where}: no file matches '{pattern}', expected a path such as {paths[0]}."
                )
        found = [p for p in found if any(fnmatch.fnmatchcase(p, pattern) for pattern in patterns)]
    found = [path for path in found if in_sample(path, sample)]
    if not found:
        raise InputError(
            f"{where}: a sample of {sample} of {len(paths):,} files is none. Raise `sample`."
        )
    return found


def segment_of(path: str) -> str:
    """`1707947473347.0` of `crawl-data/CC-MAIN-2024-10/segments/1707947473347.0/warc/...`."""
    return path.partition("/segments/")[2].partition("/")[0]


def in_sample(path: str, sample: float) -> bool:
    """Whether the hash of the WARC file's path is in this share; a WET file's is its WARC file's.

    A larger sample holds a smaller one.
    """
    name = path.replace("/wet/", "/warc/").replace(".warc.wet.gz", ".warc.gz")
    return xxhash.xxh3_64_intdigest(name.encode()) < sample * 2.0**64
