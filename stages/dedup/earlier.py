"""Dedup against the corpora of earlier runs, which stored what `stored` says.

A run sends its band keys to the range of the stored ones that they fall in: each stored file of
bands is read once, from start to end. Pairs that share a key then go to the range of the earlier
doc_id, where signatures are compared. So adding a crawl costs that crawl, one sequential read of
the stored bands, and the signatures of ranges that hold a candidate.

Earlier documents always win. A new one goes only on a direct match: it shares a band with a stored
document and their signatures agree in as many places as `threshold` asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.files.tables import fill
from pipeline.phases import Exchange, Phase, Tables
from pipeline.schema import DOC_ID, NODE
from pipeline.stage import Side
from stages.dedup.clusters import NODE_ORDER, deliver, group_starts, matching_rows, node_keys
from stages.dedup.minhash_walk import as_matrix, keys_of
from stages.dedup.stored import (
    Corpus,
    bases,
    id_bits,
    made_with,
    place_of,
    range_of,
    read_corpus,
    read_stored,
)

if TYPE_CHECKING:
    from stages.dedup.minhash import MinhashDedup

CANDIDATES = pa.schema([*NODE, ("against", pa.int32()), ("earlier", DOC_ID)])
"""A new document and one of an earlier corpus that share a band."""
MATCHES = pa.schema(
    [*NODE, ("against", pa.int32()), ("matched_doc_id", DOC_ID), ("similarity", pa.float64())]
)
"""A new document and the earlier one that it loses to."""


# --- Asking ------------------------------------------------------------------------------------


def route_bands(
    nodes: pa.Table, keys: npt.NDArray[np.uint64], corpora: Sequence[Corpus]
) -> pa.Table:
    """A row a document, band and corpus, with the bucket that its key falls in."""
    rows = pa.array(np.repeat(np.arange(len(keys)), keys.shape[1]))
    spread = nodes.select(["doc_id", "file", "offset"]).take(rows)
    flat, parts = keys.ravel(), []
    for start, corpus in zip(bases(corpora), corpora, strict=False):
        bucket = pa.array(start + range_of(flat, corpus.ranges))
        parts.append(spread.append_column("key", pa.array(flat)).append_column("bucket", bucket))
    return pa.concat_tables(parts)


def find_candidates(table: pa.Table, corpora: Sequence[Corpus], max_tries: int) -> pa.Table:
    """Reduce of a range: new documents and the earlier ones with an equal key, `max_tries` a key
    at most, the smallest doc_ids first."""
    number, at = place_of(table["bucket"][0].as_py(), corpora)
    stored = read_stored(corpora[number].bands.get(at), ("key", "doc_id"))
    if stored is None:
        return CANDIDATES.empty_table()
    known = stored["key"].combine_chunks().view(pa.uint64()).to_numpy()
    keys = table["key"].to_numpy()
    first = np.searchsorted(known, keys, "left")
    count = np.minimum(np.searchsorted(known, keys, "right") - first, max_tries)
    row = np.repeat(np.arange(len(keys)), count)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + first[row]
    found = table.select(NODE.names).take(pa.array(row))
    earlier = stored["doc_id"].take(pa.array(place))
    against = pa.repeat(pa.scalar(number, pa.int32()), len(row))
    return pa.table([*found.columns, against, earlier], schema=CANDIDATES)


def route_pairs(tables: Tables, corpora: Sequence[Corpus]) -> pa.Table:
    """Each pair once, with the new document's signature, to the range of the earlier one's id."""
    signatures = tables["signatures"]
    pairs = tables["candidates_here"]
    pairs = pairs.group_by(pairs.column_names, use_threads=False).aggregate([])
    rows = matching_rows(pairs, signatures)
    here = pairs.filter(rows.is_valid())
    starts = np.array(bases(corpora)[:-1], dtype=np.int64)
    ranges = np.array([corpus.ranges for corpus in corpora], dtype=np.int64)
    number = here["against"].to_numpy().astype(np.int64)
    bits = id_bits(here["earlier"])
    shift = np.array([65 - int(r).bit_length() for r in ranges], dtype=np.uint64)[number]
    at = np.where(shift == 64, 0, bits >> np.minimum(shift, 63)).astype(np.int64)
    here = here.append_column("signature", signatures["signature"].take(rows.drop_null()))
    return here.append_column("bucket", pa.array(starts[number] + at))


def compare(
    table: pa.Table, corpora: Sequence[Corpus], least: int, scheme: str = "affine32"
) -> pa.Table:
    """Reduce of a range: the pairs whose signatures agree in at least `least` places."""
    number, at = place_of(table["bucket"][0].as_py(), corpora)
    stored = read_stored(corpora[number].signatures.get(at), ("doc_id", "signature"))
    if stored is None:
        return MATCHES.empty_table()
    known = stored["doc_id"].combine_chunks()
    where = pc.index_in(table["earlier"].combine_chunks(), value_set=known)
    table, where = table.filter(where.is_valid()), where.drop_null()
    theirs = as_matrix(stored["signature"].take(where), scheme)
    agree = as_matrix(table["signature"], scheme) == theirs
    columns = [*(table[name] for name in NODE.names), table["against"], table["earlier"]]
    found = pa.table([*columns, pa.array(agree.mean(axis=1))], schema=MATCHES)
    return found.filter(pa.array(agree.sum(axis=1) >= least))


def best_matches(table: pa.Table, side: Side) -> pa.Table:
    """Of each new document's matches the most similar; then the first corpus, the smallest id."""
    order = [(name, "ascending", "at_start") for name in ("doc_id", "file", "offset")]
    order += [("similarity", "descending", "at_end")]
    order += [(name, "ascending", "at_end") for name in ("against", "matched_doc_id")]
    table = table.take(pc.sort_indices(table, sort_keys=order))
    starts = group_starts(node_keys(table))[:-1]
    return table.take(pa.array(starts)).select(MATCHES.names)


def least_equal(verify: str, threshold: float, num_hashes: int) -> int:
    """Places in which two signatures must agree."""
    return 0 if verify == "none" else math.ceil(threshold * num_hashes - 1e-9)


# --- Phases ------------------------------------------------------------------------------------


def check(stage: MinhashDedup) -> None:
    """Raise ValueError or ConfigError unless the corpora of `against` can be asked."""
    if stage.against and stage.verify == "exact":
        raise ValueError(
            "against compares stored signatures, not texts: set verify: signature, or none."
        )
    corpora_of(stage)


def corpora_of(stage: MinhashDedup) -> list[Corpus]:
    """What the runs of `against` stored. Raises ConfigError."""
    return [read_corpus(path, made_with(stage)) for path in stage.against]


def plan_notes(stage: MinhashDedup) -> list[str]:
    """Lines for the plan: how much each earlier corpus holds."""
    return [f"against {found.path}: {found.documents:,} documents" for found in corpora_of(stage)]


def asking(stage: MinhashDedup) -> tuple[Phase, ...]:
    """With `against`, `matches_here`: of each partition the documents that earlier corpora have."""
    if not stage.against:
        return ()

    def route(tables: Tables, side: Side) -> pa.Table:
        found = tables["signatures"]
        keys = keys_of(found, stage.bands, stage.rows, stage.scheme)
        return route_bands(found, keys, corpora_of(stage))

    def meet(table: pa.Table, side: Side) -> pa.Table:
        return find_candidates(table, corpora_of(stage), stage.max_tries)

    def pairs(tables: Tables, side: Side) -> pa.Table:
        return route_pairs(tables, corpora_of(stage))

    def judge(table: pa.Table, side: Side) -> pa.Table:
        least = least_equal(stage.verify, stage.threshold, stage.num_hashes)
        return compare(table, corpora_of(stage), least, stage.scheme)

    return (
        Exchange("candidates", ("signatures",), "bucket", meet, CANDIDATES, route,
                 ("bands", "rows", "against", "max_tries"), "value", ("key", *NODE_ORDER)),
        Exchange("candidates_here", ("candidates",), "partition", deliver, CANDIDATES,
                 buckets="partition", order=(*NODE_ORDER, "against", "earlier")),
        Exchange("matches", ("candidates_here", "signatures"), "bucket", judge, MATCHES, pairs,
                 ("against", "verify", "threshold"), "value",
                 (*NODE_ORDER, "against", "earlier")),
        Exchange("matches_here", ("matches",), "partition", best_matches, MATCHES,
                 buckets="partition", order=NODE_ORDER),
    )  # fmt: skip


def joining(stage: MinhashDedup, verdicts: pa.Schema) -> tuple[Phase, ...]:
    """With `against`, `verdicts`: those of the walk and the matches with earlier corpora."""
    if not stage.against:
        return ()
    schema = verdicts.append(MATCHES.field("against"))

    def join(tables: Tables, side: Side) -> pa.Table:
        walked, matches = tables["walked"], tables["matches_here"]
        return pa.concat_tables([fill(walked, schema), fill(matches, schema)])

    return (
        Exchange("verdicts", ("walked", "matches_here"), "partition", deliver, schema, join,
                 buckets="partition", order=NODE_ORDER),
    )  # fmt: skip
