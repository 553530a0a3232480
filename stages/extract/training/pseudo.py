"""Texts of another extractor, where an origin says only which snippets a text must hold.

They stand in for gold at little weight (`dataset.PSEUDO_WEIGHT`); what snippets name overrules
them. trafilatura makes two, one of them for precision: where both agree a label is sure. They are
kept in the user's cache, in a file named by gold, library version and settings.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from stages.extract.gold import Row

SETTINGS: tuple[Mapping[str, bool], ...] = (
    {"include_comments": False},
    {"include_comments": False, "favor_precision": True},
)
"""Of trafilatura; one text each."""
Texts = dict[str, list[str]]
"""Page id -> its texts."""


def needs_pseudo(row: Row) -> bool:
    return row.get("gold_text") is None


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tokenmill"


def pseudo_texts(
    rows: Callable[[], Iterable[Row]], digest: str, folder: Path | None = None
) -> Texts:
    """Texts of all pages without a gold text: kept ones, or made now (some 100 ms a page).

    `digest` is that of the gold files; `rows` is called only if there are none kept.
    """
    identity = json.dumps([digest, version("trafilatura"), SETTINGS])
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    path = (folder or cache_folder()) / f"pseudo-{key}.json.gz"
    if path.exists():
        kept: Texts = json.loads(gzip.decompress(path.read_bytes()))
        return kept
    texts = {row["id"]: _texts(row["html"]) for row in rows() if needs_pseudo(row)}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(gzip.compress(json.dumps(texts).encode(), mtime=0))
    part.replace(path)
    return texts


def _texts(html: str) -> list[str]:
    import trafilatura  # slow to import

    return [trafilatura.extract(html, **settings) or "" for settings in SETTINGS]
