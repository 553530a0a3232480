"""The documents that a classifier is trained on: the first of each class in the order of a draw.

Each input step is sampled by itself, in two rounds of which the first only counts (so memory does
not grow with the corpus), up to the bounds of its class; `joined` then takes the first of all steps
of a class. A prefix of a union lies in the union of the prefixes, so that is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.phases import Combine, Tables
from pipeline.schema import DOC_ID
from pipeline.stage import Side
from stages.clusters import node_keys

PURPOSE = "train_classifier"
BITS = 16
"""Of the draw, that choose a bucket of the first round."""

COUNTS = pa.schema([("bucket", pa.int32()), ("documents", pa.int64()), ("size", pa.int64())])
BUCKETS = pa.schema([("buckets", pa.int64())])
"""How many buckets hold what is wanted."""
SAMPLE = pa.schema(
    [
        ("draw", pa.uint64()),
        ("doc_id", DOC_ID),
        ("source", pa.string()),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("text", pa.large_string()),
    ]
)
_ORDER = [(name, "ascending") for name in ("draw", "doc_id", "file", "offset")]


@dataclass(frozen=True)
class Bounds:
    """How much is taken of a class at most."""

    documents: int
    num_bytes: int
    document_bytes: int
    """Of one document; the rest of its text is cut off."""


def sample_phases(
    step: str, name: str, bounds: Bounds, knobs: tuple[str, ...]
) -> tuple[Combine, ...]:
    """Phases after which `name` holds the SAMPLE of one input step."""
    docs, count = f"docs:{step}", f"{name}_buckets"
    return (
        Combine(
            count, (docs,), each=partial(_count, docs, bounds), each_schema=COUNTS,
            merge=partial(_enough, bounds), schema=BUCKETS, knobs=knobs, columns=("doc_id", "text"),
        ),
        Combine(
            name, (docs, count), each=partial(_rows, docs, count, bounds), each_schema=SAMPLE,
            merge=partial(_merged, bounds), schema=SAMPLE, knobs=knobs,
            columns=("doc_id", "source", "file", "offset", "text"),
        ),
    )  # fmt: skip


def joined(tables: Mapping[str, pa.Table], names: Sequence[str], bounds: Bounds) -> pa.Table:
    """The sample of a class, from those of its steps; a document of several steps counts once."""
    whole = first(pa.concat_tables([tables[name] for name in names]), bounds=None)
    keys = node_keys(whole)
    _, rows = np.unique(np.array(keys.to_pylist(), object), return_index=True)
    return first(whole.take(pa.array(np.sort(rows))), bounds)


def first(rows: pa.Table, bounds: Bounds | None) -> pa.Table:
    """The rows in order, as many as the bounds allow; always at least one, if there is any."""
    ordered = rows.sort_by(_ORDER)
    if bounds is None or not ordered.num_rows:
        return ordered
    size = np.cumsum(_sizes(ordered["text"], bounds))
    fitting = int(np.searchsorted(size, bounds.num_bytes, "right"))
    return ordered.slice(0, max(1, min(fitting, bounds.documents)))


def capped(texts: Any, max_bytes: int) -> pa.Array:
    """The texts cut to at most `max_bytes` of UTF-8, never inside a character; null = empty."""
    filled = pc.fill_null(texts.cast(pa.large_string()), "")
    filled = filled.combine_chunks() if isinstance(filled, pa.ChunkedArray) else filled
    if not len(filled) or pc.max(pc.binary_length(filled)).as_py() <= max_bytes:
        return filled
    # A character is at least one byte: only that many can matter.
    heads = (text[:max_bytes].encode()[:max_bytes] for text in filled.to_pylist())
    return pa.array([head.decode(errors="ignore") for head in heads], pa.large_string())


def _sizes(texts: Any, bounds: Bounds) -> npt.NDArray[np.int64]:
    lengths = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    sizes: npt.NDArray[np.int64] = np.minimum(lengths, bounds.document_bytes).astype(np.int64)
    return sizes


def _count(docs: str, bounds: Bounds, tables: Tables, side: Side) -> pa.Table:
    """Documents with a text, and their bytes, by bucket of the draw."""
    size = _sizes(tables[docs]["text"], bounds)
    full = size > 0
    draw = side.draw(PURPOSE, tables[docs]["doc_id"])[full]
    bucket, slot = np.unique(draw >> np.uint64(64 - BITS), return_inverse=True)
    sizes, documents = np.zeros(len(bucket), np.int64), np.zeros(len(bucket), np.int64)
    np.add.at(sizes, slot, size[full])
    np.add.at(documents, slot, 1)
    return pa.table([bucket.astype(np.int32), documents, sizes], schema=COUNTS)


def _enough(bounds: Bounds, counts: pa.Table, side: Side) -> pa.Table:
    """The first buckets that together pass a bound, or all."""
    totals = np.zeros((1 << BITS, 2), np.int64)
    if counts.num_rows:
        columns = [counts[name].to_numpy() for name in ("documents", "size")]
        np.add.at(totals, counts["bucket"].to_numpy(), np.stack(columns, axis=1))
    passed = (np.cumsum(totals, axis=0) >= [bounds.documents, bounds.num_bytes]).any(axis=1)
    enough = int(np.argmax(passed)) + 1 if passed.any() else 1 << BITS
    return pa.table([[enough]], schema=BUCKETS)


def _rows(docs: str, count: str, bounds: Bounds, tables: Tables, side: Side) -> pa.Table:
    """The documents of those buckets."""
    table = tables[docs]
    draw = side.draw(PURPOSE, table["doc_id"])
    buckets = np.uint64(tables[count]["buckets"][0].as_py())
    wanted = (draw >> np.uint64(64 - BITS) < buckets) & (_sizes(table["text"], bounds) > 0)
    taken = table.filter(pa.array(wanted))
    texts = capped(taken["text"], bounds.document_bytes)
    nodes = [taken[name] for name in ("doc_id", "source", "file", "offset")]
    return pa.table([pa.array(draw[wanted], pa.uint64()), *nodes, texts], schema=SAMPLE)


def _merged(bounds: Bounds, rows: pa.Table, side: Side) -> pa.Table:
    rows = rows.select(SAMPLE.names) if rows.num_columns else SAMPLE.empty_table()
    return first(rows, bounds)
