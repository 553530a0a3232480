"""The documents that a classifier is trained on: the first of each class in the order of a draw.

Each input step is sampled by itself, in two rounds of which the first only counts (so memory does
not grow with the corpus), up to the bounds of its class and the document that passes them; `joined`
then takes the first of all steps of a class. Where one step is full, so is the union: what it takes
is the sample of the union itself, if documents of several steps have one text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.phases import Combine, Tables
from pipeline.schema import DOC_ID
from pipeline.stage import Side
from pipeline.texts.bounded import capped_sizes, capped_texts
from stages.dedup.clusters import node_keys

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
IDS = pa.schema([("doc_id", DOC_ID)])
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


def shared_phase(step: str, name: str, samples: tuple[str, ...]) -> Combine:
    """A phase after which `name` holds the doc_ids of the samples that the step has as well."""
    docs = f"docs:{step}"
    return Combine(
        name, (docs, *samples), each=partial(_shared, docs, samples), each_schema=IDS,
        merge=_ids, schema=IDS, columns=("doc_id",),
    )  # fmt: skip


def joined(tables: Mapping[str, pa.Table], names: Sequence[str], bounds: Bounds) -> pa.Table:
    """The sample of a class, from those of its steps; a document of several steps counts once."""
    whole = first(pa.concat_tables([tables[name] for name in names]), bounds=None)
    keys = node_keys(whole)
    _, rows = np.unique(np.array(keys.to_pylist(), object), return_index=True)
    return first(whole.take(pa.array(np.sort(rows))), bounds)


def first(rows: pa.Table, bounds: Bounds | None, beyond: int = 0) -> pa.Table:
    """The rows in order, as many as the bounds allow; always at least one, if there is any.

    `beyond`: so many more of those that the bound on bytes shuts out.
    """
    ordered = rows.sort_by(_ORDER)
    if bounds is None or not ordered.num_rows:
        return ordered
    size = np.cumsum(capped_sizes(ordered["text"], bounds.document_bytes))
    fitting = int(np.searchsorted(size, bounds.num_bytes, "right"))
    return ordered.slice(0, max(1, min(fitting + beyond, bounds.documents)))


def _count(docs: str, bounds: Bounds, tables: Tables, side: Side) -> pa.Table:
    """Documents with a text, and their bytes, by bucket of the draw."""
    size = capped_sizes(tables[docs]["text"], bounds.document_bytes)
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
    wanted = (draw >> np.uint64(64 - BITS) < buckets) & (
        capped_sizes(table["text"], bounds.document_bytes) > 0
    )
    taken = table.filter(pa.array(wanted))
    texts = capped_texts(taken["text"], bounds.document_bytes)
    nodes = [taken[name] for name in ("doc_id", "source", "file", "offset")]
    return pa.table([pa.array(draw[wanted], pa.uint64()), *nodes, texts], schema=SAMPLE)


def _merged(bounds: Bounds, rows: pa.Table, side: Side) -> pa.Table:
    rows = rows.select(SAMPLE.names) if rows.num_columns else SAMPLE.empty_table()
    return first(rows, bounds, beyond=1)


def _shared(docs: str, samples: Sequence[str], tables: Tables, side: Side) -> pa.Table:
    ids = tables[docs]["doc_id"]
    wanted = pa.concat_tables([tables[name].select(["doc_id"]) for name in samples])["doc_id"]
    found = pc.is_in(ids, value_set=wanted.combine_chunks())
    return pa.table([ids.filter(found)], schema=IDS)


def _ids(rows: pa.Table, side: Side) -> pa.Table:
    """Each once, in order."""
    if not rows.num_columns:
        return IDS.empty_table()
    return rows.select(["doc_id"]).group_by("doc_id").aggregate([]).sort_by("doc_id").cast(IDS)
