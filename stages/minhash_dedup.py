"""Near-duplicate removal by MinHash: signatures, bands, clusters, a walk in keep order.

Signatures are those of `kernels.minhash`; documents that share all values of a band are
candidates; connected candidates form a cluster. With `closure: direct` a cluster is walked in keep
order and a document is removed only if it verifies against one that was kept and shares a band
with it. So A ~ B ~ C never costs C when A and C differ (recipes, traps 13 and 14).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.phases import Tables
from pipeline.schema import DOC_ID, NODE
from pipeline.stage import (
    Apply,
    Combine,
    Emit,
    Exchange,
    GlobalStage,
    Phase,
    Processed,
    Side,
    TextBatch,
    knob,
    model_files,
)
from pipeline.warm_up import Call, example_batch
from stages import dedup_store, earlier
from stages.clusters import (
    ASSIGNED,
    LINKS,
    NODE_ORDER,
    deliver,
    first_of_group,
    forest,
    group_starts,
    matching_rows,
    merge_forests,
    star_links,
)
from stages.keep_policy import (
    check_policy,
    check_policy_sources,
    document_columns,
    keep_keys,
    metric_columns,
    policy_columns,
)

FINEWEB = "datatrove, TextNormConfig and simplify_text (recipes 2g)"
TEXT_KNOBS = (
    "ngram",
    "num_hashes",
    "hash_seed",
    "lower",
    "digits",
    "punctuation",
    "marks",
    "engine",
)
"""The knobs that a signature depends on."""

LAYOUT = ("bands", "rows")
VERDICTS = pa.schema(
    [
        *NODE,
        ("cluster_id", DOC_ID),
        ("cluster_size", pa.int64()),
        ("matched_doc_id", DOC_ID),  # null = kept
        ("similarity", pa.float64()),  # estimated Jaccard with the matched document
    ]
)


def candidate_probability(jaccard: float, bands: int, rows: int) -> float:
    """P(two documents of this Jaccard similarity share a band): the S-curve."""
    return 1.0 - (1.0 - jaccard**rows) ** bands


@dataclass(frozen=True)
class MinhashDedup(GlobalStage):
    """Drops documents that are nearly the same as one that is kept; reason `near_duplicate`.

    A document without words has no signature and is never a duplicate; one of fewer than `ngram`
    words is one shingle. `cluster_id` is the smallest doc_id of a document's cluster, null where it
    has no candidate.

    Differences from datatrove (FineWeb): words are `pipeline.batch.split_words` of the normalised
    text, not NLTK's or spaCy's; punctuation is Unicode's categories P, S and Cc, not a list of
    about 90 characters; with the marks (Mn) go Me and Cf; lower case knows no context; short texts
    are compared; what is removed matches a kept document (`closure`), which is chosen by `keep`.
    """

    ngram: int = knob(5, unit="words", source="FineWeb: 5-word shingles (recipes 2g)", minimum=1)
    bands: int = knob(14, source="FineWeb: 14 x 8 (recipes 2g)", minimum=1)
    rows: int = knob(8, unit="values a band", source="FineWeb: 14 x 8 (recipes 2g)", minimum=1)
    num_hashes: int = knob(
        112, unit="values a signature", source="FineWeb: 14 x 8 = 112 (recipes 2g)", minimum=1,
        help="at least bands x rows; another layout of the same number reads no text",
    )  # fmt: skip
    hash_seed: int = knob(1, source="datasketch 2.0, MinHash(seed=1)", minimum=0)
    lower: bool = knob(True, source=FINEWEB, help="lower case")
    digits: bool = knob(True, source=FINEWEB, help="a run of decimal digits counts as 0")
    punctuation: bool = knob(
        True, source=FINEWEB, help="punctuation, symbols, control characters separate words"
    )
    marks: bool = knob(
        True, source=FINEWEB, help="canonical decomposition without marks (and format characters)"
    )
    engine: Literal["kernel", "datasketch"] = knob(
        "kernel",
        source="equal values, 150 against 15 MB/s of text on one core (licence texts, measured)",
        choices=("kernel", "datasketch"),
    )
    verify: Literal["none", "signature"] = knob(
        "signature",
        source="marin#6854, text-dedup#129: unverified bands chain into false clusters (trap 13)",
        choices=("none", "signature"),
        help="signature: a document is removed only on an estimated Jaccard of `threshold`",
    )
    threshold: float = knob(
        0.75,
        unit="estimated Jaccard",
        source="data-prep-kit verifies signatures at 0.75; FineWeb's 14 x 8 aims at it (2g)",
        minimum=0.0,
        maximum=1.0,
    )
    closure: Literal["direct", "transitive"] = knob(
        "direct",
        source="removes nothing that does not match a kept document (trap 14)",
        choices=("direct", "transitive"),
        help="transitive (verify: none): one document a cluster, as datatrove does",
    )
    max_cluster_size: int = knob(
        10_000,
        unit="documents",
        source="marin#6854: clusters of 50,000 unrelated books and more (trap 13)",
        minimum=2,
        help="a larger cluster is resolved directly whatever `closure` says",
    )
    max_tries: int = knob(
        256,
        unit="kept documents a bucket",
        source="bounds a verdict to 14 x 256 signature comparisons",
        minimum=1,
        help="a document is compared with the first so many kept ones of each of its buckets",
    )
    keep: tuple[str, ...] = knob(
        (),
        source="doc_id order: deterministic, and blind to the order of files (trap 15)",
        help="which copy survives: '-date', '+column', 'source:books,web'; strongest first",
    )
    against: tuple[str, ...] = model_files(
        help="workdirs, or dataset versions, of earlier runs that stored their signatures: what "
        "matches one of their documents goes",
    )
    store: bool = knob(
        False,
        source="off: 616 bytes a document at 14 x 8",
        help="publish bands and signatures of what is kept, for `against` of later runs",
    )
    compiles: ClassVar[bool] = True
    adds: ClassVar[dict[str, pa.DataType]] = {"cluster_id": DOC_ID}

    @property
    def metrics(self) -> dict[str, type]:  # type: ignore[override]
        """With `against` also the number of the corpus, from 0, that a document was lost to."""
        found: dict[str, type] = {"cluster_size": int, "similarity": float}
        return {**found, "against": int} if self.against else found

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(dict.fromkeys(("text", *document_columns(self.keep))))

    def needs(self) -> tuple[str, ...]:
        return metric_columns(self.keep)

    def check(self) -> None:
        check_policy(self.keep)
        if self.bands * self.rows > self.num_hashes:
            raise ValueError(
                f"bands x rows = {self.bands * self.rows} values do not fit in num_hashes = "
                f"{self.num_hashes}. Raise num_hashes."
            )
        if self.closure == "transitive" and self.verify != "none":
            raise ValueError(
                "closure: transitive removes documents that match no kept one, so it cannot "
                "verify. Set verify: none, or closure: direct."
            )

        self.corpora()

    def check_sources(self, sources: Any) -> None:
        check_policy_sources(self.keep, sources)

    def plan_notes(self) -> list[str]:
        """Lines for the plan: how likely a pair is to become a candidate, by its similarity."""
        curve = ", ".join(
            f"{j:g} {candidate_probability(j, self.bands, self.rows):.3f}"
            for j in (0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
        )
        note = f"P(candidate) by Jaccard, {self.bands} bands x {self.rows} rows: {curve}"
        notes = [note]
        for corpus in self.corpora():
            notes.append(f"against {corpus.path}: {corpus.documents:,} documents")
        if self.verify == "none":
            return notes
        error = math.sqrt(self.threshold * (1 - self.threshold) / self.num_hashes)
        verified = f"removed from an estimated Jaccard of {self.threshold} (s.e. {error:.3f})"
        return [*notes, verified]

    def phases(self) -> tuple[Phase, ...]:
        policy = policy_columns(self.keep)
        sources = ("signatures", "assigned", *(("matches_here",) if self.against else ()))
        columns = tuple(dict.fromkeys(("doc_id", "file", "offset", *policy))) if policy else None
        judging = ("verify", "threshold", "closure", "max_cluster_size", "max_tries", "keep")
        if policy:
            sources = (*sources, "docs")
        return (
            Emit("signatures", self.signatures, self.signature_schema(), TEXT_KNOBS),
            *(earlier.asking(self) if self.against else ()),
            Exchange(
                "buckets", ("signatures",), "key", star_links, LINKS, self.route_bands, LAYOUT,
                order=NODE_ORDER,
            ),
            Combine("clusters", ("buckets",), merge_forests, ASSIGNED, forest, LINKS),
            Exchange(
                "assigned", ("clusters",), "partition", deliver, ASSIGNED, buckets="partition",
                order=NODE_ORDER,
            ),
            Exchange(
                "members", sources, "key", self.walk_clusters, VERDICTS, self.route_members,
                (*LAYOUT, *judging), order=("keep", *NODE_ORDER), columns=columns,
            ),
            Exchange(
                "walked" if self.against else "verdicts", ("members",), "partition", deliver,
                VERDICTS, buckets="partition", order=NODE_ORDER,
            ),
            *(earlier.joining(VERDICTS) if self.against else ()),
            Apply("drop", "verdicts", drop_near_duplicates),
            *(dedup_store.storing(self) if self.store else ()),
        )  # fmt: skip

    def content_of(self, path: str) -> str:
        return dedup_store.version_file(path)

    def corpora(self) -> list[dedup_store.Corpus]:
        """What the runs of `against` stored. Raises ConfigError."""
        return [dedup_store.read_corpus(path, self.made_with()) for path in self.against]

    def made_with(self) -> str:
        """What stored signatures and bands must share to be compared, as JSON."""
        names = [name for name in (*TEXT_KNOBS, *LAYOUT) if name != "engine"]
        return json.dumps({name: getattr(self, name) for name in names}, sort_keys=True)

    def keys_of(self, signatures: pa.Table) -> npt.NDArray[np.uint64]:
        """The band keys of stored signatures: a row a document."""
        from stages.kernels.minhash import band_keys

        found: npt.NDArray[np.uint64] = band_keys(
            as_matrix(signatures["signature"]), self.bands, self.rows
        )
        return found

    def warm_up(self) -> Sequence[Call]:
        return (lambda: self.signatures(example_batch(), Side("warm_up", 0)),)

    # --- Signatures and bands ------------------------------------------------------------------

    def signature_schema(self) -> pa.Schema:
        """One row a document with words; the signature is num_hashes little-endian uint32."""
        signature = pa.field("signature", pa.binary(4 * self.num_hashes))
        return pa.schema([*(NODE.field(n) for n in ("doc_id", "file", "offset")), signature])

    def signatures(self, batch: TextBatch, side: Side) -> pa.Table:
        from stages.kernels.minhash import datasketch_signatures, kernel_signatures
        from stages.kernels.shingles import Normalisation

        normalisation = Normalisation(self.lower, self.digits, self.punctuation, self.marks)
        sign = kernel_signatures if self.engine == "kernel" else datasketch_signatures
        values, has_words = sign(
            batch.column("text"), self.ngram, self.num_hashes, self.hash_seed, normalisation
        )
        schema = self.signature_schema()
        stored = as_binary(values, schema.field("signature").type)
        nodes = [batch.column(name) for name in ("doc_id", "file", "offset")]
        return pa.table([*nodes, stored], schema=schema).filter(pa.array(has_words))

    def route_bands(self, tables: Tables, side: Side) -> pa.Table:
        """A row a document and band; the key holds the band's number and its values."""
        table = tables["signatures"]
        keys = self.keys_of(table)
        row = pa.array(np.repeat(np.arange(table.num_rows), self.bands))
        nodes = table.select(["doc_id", "file", "offset"]).take(row)
        return nodes.append_column("key", pa.array(keys.ravel()))

    # --- The walk ------------------------------------------------------------------------------

    def route_members(self, tables: Tables, side: Side) -> pa.Table:
        """The documents of clusters: key = cluster_id, with signature and keep key."""
        signatures, assigned = tables["signatures"], tables["assigned"]
        if self.against:  # what an earlier corpus has keeps nothing of this one out
            gone = matching_rows(signatures, tables["matches_here"])
            signatures = signatures.filter(gone.is_null())
        found = matching_rows(signatures, assigned)
        cluster = assigned["cluster_id"].combine_chunks().take(found)
        members = signatures.append_column("key", cluster).filter(found.is_valid())
        if not self.keep:
            return members.append_column("keep", keep_keys(members, ()))
        documents = tables["docs"].take(matching_rows(members, tables["docs"]))
        return members.append_column("keep", keep_keys(documents, self.keep))

    def walk_clusters(self, table: pa.Table, side: Side) -> pa.Table:
        """Members sorted by (cluster, keep order) -> who is kept and who loses to whom."""
        starts = group_starts(table["key"])
        sizes = np.repeat(np.diff(starts), np.diff(starts))
        winner, similarity = self._walk(as_matrix(table["signature"]))
        if self.closure == "transitive":
            first = first_of_group(starts)
            first[first == np.arange(len(first))] = -1
            closed = sizes <= self.max_cluster_size
            winner = np.where(closed, first, winner)
            similarity = np.where(closed, np.nan, similarity)
        lost = winner >= 0
        matched = table["doc_id"].take(pa.array(winner, mask=~lost)).combine_chunks()
        return pa.table(
            [
                *table.select(NODE.names).columns,
                table["key"],
                pa.array(sizes),
                matched,
                pa.array(np.where(lost, similarity, np.nan), from_pandas=True),
            ],
            schema=VERDICTS,
        )

    def _walk(self, values: npt.NDArray[np.uint32]) -> tuple[Any, Any]:
        """The kept member that each member loses to (-1 = kept), and their estimated Jaccard."""
        from stages.kernels.minhash import band_keys
        from stages.kernels.unionfind import walk

        keys = band_keys(values, self.bands, self.rows)
        distinct, slots = np.unique(keys.ravel(), return_inverse=True)
        least = 0 if self.verify == "none" else math.ceil(self.threshold * self.num_hashes - 1e-9)
        winner, equal = walk(
            values, slots.reshape(keys.shape), len(distinct), least, self.max_tries
        )
        return winner, equal / self.num_hashes


def as_binary(values: npt.NDArray[np.uint32], kind: pa.DataType) -> pa.Array:
    """A matrix of uint32 as fixed-size binary, one value a row."""
    data = np.ascontiguousarray(values, dtype="<u4")
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(data)])


def as_matrix(column: pa.ChunkedArray) -> npt.NDArray[np.uint32]:
    """Fixed-size binary signatures as a matrix of uint32."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = array.type.byte_width // 4
    raw = np.frombuffer(array.buffers()[1] or b"", dtype="<u4")
    return raw[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)


def drop_near_duplicates(batch: TextBatch, side: Side) -> Processed:
    rows = side.tables["verdicts"]
    found = matching_rows(batch.table, rows)

    def column(name: str) -> pa.Array:
        return rows[name].combine_chunks().take(found)

    matched = column("matched_doc_id")
    return Processed(
        columns={"cluster_id": column("cluster_id")},
        metrics={
            name: column(name)
            for name in ("cluster_size", "similarity", "against")
            if name in rows.column_names
        },
        drop=pc.is_valid(matched),
        reason="near_duplicate",
        matched=matched,
    )
