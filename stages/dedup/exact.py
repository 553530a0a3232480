"""Exact dedup: of all documents with the same normalised text, or the same URL, one is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import xxhash

from pipeline.mixture.sampling import canonical_url
from pipeline.schema import DOC_ID, NODE
from pipeline.stage import (
    Apply,
    Emit,
    Exchange,
    GlobalStage,
    Phase,
    Processed,
    Side,
    TextBatch,
    knob,
)
from stages.dedup.clusters import (
    NODE_ORDER,
    deliver,
    first_of_group,
    group_starts,
    matching_rows,
)
from stages.dedup.keep_policy import (
    check_policy,
    check_policy_sources,
    document_columns,
    keep_keys,
    metric_columns,
)

HASHES = pa.schema(
    [
        ("key", pa.binary(16)),  # xxh3-128 of the normalised text or the canonical URL
        ("doc_id", DOC_ID),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("keep", pa.binary()),  # ascending = preferred
    ]
)
LOSERS = pa.schema([*NODE, ("matched_doc_id", DOC_ID)])


@dataclass(frozen=True)
class ExactDedup(GlobalStage):
    """Drops all but one of the documents whose text (`by: url`: canonical URL) is the same.

    Reason `duplicate`, or `duplicate_url`; `matched_doc_id` is the copy that was kept. Texts that
    are empty after normalisation, and documents without a URL, are never duplicates of each other:
    they have nothing in common. The canonical URL is C4's (`canonical_url`, `mixture/sampling.py`):
    no scheme, no `www.`, no query that begins with utm_, ref or feed, no last slashes); C4 keeps
    the newest page of a URL: `{by: url, keep: [-date]}`.
    """

    by: Literal["text", "url"] = knob(
        "text",
        source="FineWeb, DCLM and Dolma compare texts; tfds c4_utils.py URLs (recipes 2a)",
        choices=("text", "url"),
    )
    within: Literal["corpus", "source"] = knob(
        "corpus",
        source="own choice: a copy is a copy wherever it comes from",
        choices=("corpus", "source"),
        help="source: documents of two sources are never compared",
    )
    normalise: bool = knob(
        True,
        source="lower case and white space as in CCNet's and C4's line hashes (recipes 2a, 2h)",
        help="compare texts in lower case, white space collapsed and stripped",
    )
    keep: tuple[str, ...] = knob(
        (),
        source="doc_id order: deterministic, and blind to the order of files (recipes, trap 15)",
        help="which copy survives: '-date', '+column', 'source:books,web'; strongest first",
    )

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        own = (self.by, "source") if self.within == "source" else (self.by,)
        return tuple(dict.fromkeys((*own, *document_columns(self.keep))))

    def needs(self) -> tuple[str, ...]:
        return metric_columns(self.keep)

    def check(self) -> None:
        check_policy(self.keep)

    def check_sources(self, sources: Any) -> None:
        check_policy_sources(self.keep, sources)

    def phases(self) -> tuple[Phase, ...]:
        order = ("keep", *NODE_ORDER)
        drop = drop_losers if self.by == "text" else drop_lost_urls
        return (
            Emit("hashes", self.hashes, HASHES, ("by", "within", "normalise", "keep")),
            Exchange("duplicates", ("hashes",), "key", losers, LOSERS, order=order),
            Exchange(
                "losers", ("duplicates",), "partition", deliver, LOSERS, buckets="partition",
                order=NODE_ORDER,
            ),
            Apply("drop", "losers", drop, ("by",)),
        )  # fmt: skip

    def hashes(self, batch: TextBatch, side: Side) -> pa.Table:
        """The key of every document that has a text, or a URL."""
        if self.by == "url":
            rows, keys = url_keys(batch.values("url"))
        else:
            rows, keys = text_keys(batch.column("text"), self.normalise)
        if self.within == "source":
            keys = within_source(keys, batch.column("source").take(pa.array(rows, pa.int64())))
        documents = batch.table.take(pa.array(rows, pa.int64()))
        nodes = [documents[name] for name in ("doc_id", "file", "offset")]
        return pa.table(
            [pa.array(keys, pa.binary(16)), *nodes, keep_keys(documents, self.keep)], schema=HASHES
        )


def text_keys(texts: pa.Array, normalise: bool) -> tuple[list[int], list[bytes]]:
    """Row and xxh3-128 of every text with content."""
    from stages.kernels.fold import folded_keys

    rows, _, keys = folded_keys(texts, lines=False, collapse=True)
    if not normalise:
        keys = [xxhash.xxh3_128_digest(texts[row].as_buffer()) for row in rows]
    return rows, keys


def url_keys(urls: Sequence[str | None]) -> tuple[list[int], list[bytes]]:
    """Row and xxh3-128 of every canonical URL that is not empty."""
    names = [(row, canonical_url(url or "").encode()) for row, url in enumerate(urls)]
    found = [(row, xxhash.xxh3_128_digest(name)) for row, name in names if name]
    return [row for row, _ in found], [key for _, key in found]


def within_source(keys: Sequence[bytes], sources: pa.Array) -> list[bytes]:
    """Keys that are equal only within one source."""
    names = [(name or "").encode() for name in sources.to_pylist()]
    return [xxhash.xxh3_128_digest(key + name) for key, name in zip(keys, names, strict=True)]


def losers(table: pa.Table, side: Side) -> pa.Table:
    """All but the first of each group of equal keys, with the doc_id of the first."""
    first = first_of_group(group_starts(table["key"]))
    lost = first != np.arange(table.num_rows)
    matched = table["doc_id"].take(pa.array(first[lost]))
    nodes = table.select(NODE.names).filter(pa.array(lost))
    return pa.table([*nodes.columns, matched], schema=LOSERS)


def drop_losers(batch: TextBatch, side: Side, reason: str = "duplicate") -> Processed:
    rows = side.tables["losers"]
    found = matching_rows(batch.table, rows)
    matched = rows["matched_doc_id"].combine_chunks().take(found)
    return Processed(drop=found.is_valid(), reason=reason, matched=matched)


def drop_lost_urls(batch: TextBatch, side: Side) -> Processed:
    return drop_losers(batch, side, "duplicate_url")
