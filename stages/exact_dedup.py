"""Exact dedup: of all documents with the same normalised text, one is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

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
from stages.clusters import (
    NODE_ORDER,
    deliver,
    first_of_group,
    group_starts,
    matching_rows,
)
from stages.keep_policy import (
    check_policy,
    check_policy_sources,
    document_columns,
    keep_keys,
    metric_columns,
)

HASHES = pa.schema(
    [
        ("key", pa.binary(16)),  # xxh3-128 of the normalised text
        ("doc_id", DOC_ID),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("keep", pa.binary()),  # ascending = preferred
    ]
)
LOSERS = pa.schema([*NODE, ("matched_doc_id", DOC_ID)])


@dataclass(frozen=True)
class ExactDedup(GlobalStage):
    """Drops all but one of the documents whose text is the same after `normalise`.

    Reason `duplicate`; `matched_doc_id` is the copy that was kept. Texts that are empty after
    normalisation are never duplicates of each other: they have nothing in common.
    """

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
        return tuple(dict.fromkeys(("text", *document_columns(self.keep))))

    def needs(self) -> tuple[str, ...]:
        return metric_columns(self.keep)

    def check(self) -> None:
        check_policy(self.keep)

    def check_sources(self, sources: Any) -> None:
        check_policy_sources(self.keep, sources)

    def phases(self) -> tuple[Phase, ...]:
        order = ("keep", *NODE_ORDER)
        return (
            Emit("hashes", self.hashes, HASHES, ("normalise", "keep")),
            Exchange("duplicates", ("hashes",), "key", losers, LOSERS, order=order),
            Exchange(
                "losers", ("duplicates",), "partition", deliver, LOSERS, buckets="partition",
                order=NODE_ORDER,
            ),
            Apply("drop", "losers", drop_losers),
        )  # fmt: skip

    def hashes(self, batch: TextBatch, side: Side) -> pa.Table:
        """The key of every document that has a text."""
        rows, keys = text_keys(batch.column("text"), self.normalise)
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


def losers(table: pa.Table, side: Side) -> pa.Table:
    """All but the first of each group of equal keys, with the doc_id of the first."""
    first = first_of_group(group_starts(table["key"]))
    lost = first != np.arange(table.num_rows)
    matched = table["doc_id"].take(pa.array(first[lost]))
    nodes = table.select(NODE.names).filter(pa.array(lost))
    return pa.table([*nodes.columns, matched], schema=LOSERS)


def drop_losers(batch: TextBatch, side: Side) -> Processed:
    rows = side.tables["losers"]
    found = matching_rows(batch.table, rows)
    matched = rows["matched_doc_id"].combine_chunks().take(found)
    return Processed(drop=found.is_valid(), reason="duplicate", matched=matched)
