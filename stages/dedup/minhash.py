"""Near-duplicate removal by MinHash: signatures, bands, clusters, a walk in keep order.

Signatures are those of `kernels.minhash`; documents that share all values of a band are
candidates; connected candidates form a cluster. With `closure: direct` a cluster is walked in keep
order and a document is removed only if it verifies against one that was kept and shares a band
with it. So A ~ B ~ C never costs C when A and C differ (recipes, traps 13 and 14).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from pipeline.execution.warm_up import Call, example_batch
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
from stages.dedup import cluster_report, earlier, forests, stored
from stages.dedup.clusters import NODE_ORDER, deliver, matching_rows
from stages.dedup.keep_policy import (
    check_policy,
    check_policy_sources,
    document_columns,
    keep_keys,
    metric_columns,
    policy_columns,
)
from stages.dedup.minhash_notes import plan_notes
from stages.dedup.minhash_walk import (
    ANNOTATIONS,
    VERDICTS,
    Walk,
    as_binary,
    cluster_of,
    from_sets,
    judged,
    keys_of,
    signature_bytes,
)
from stages.dedup.stored import LAYOUT, TEXT_KNOBS

if TYPE_CHECKING:
    from stages.kernels.shingles import Normalisation

FINEWEB = "datatrove, TextNormConfig and simplify_text (recipes 2g)"


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

    `version` history:
    2: metric `copies`; with `closure: transitive` the similarity with the kept document; clusters
       above `max_cluster_size` are verified by signatures with `verify: none` too.
    """

    version: ClassVar[int] = 2

    ngram: int = knob(
        5, unit="words or characters", source="FineWeb: 5-word shingles (recipes 2g)", minimum=1
    )
    shingle: Literal["words", "characters"] = knob(
        "words",
        source="FineWeb; NeMo Curator and SlimPajama take 24 and 13 characters (recipes 2g)",
        choices=("words", "characters"),
        help="what `ngram` counts; characters: one space between words, set ngram to 20 or more",
    )
    bands: int = knob(14, source="FineWeb: 14 x 8 (recipes 2g)", minimum=1)
    rows: int = knob(8, unit="values a band", source="FineWeb: 14 x 8 (recipes 2g)", minimum=1)
    num_hashes: int = knob(
        112, unit="values a signature", source="FineWeb: 14 x 8 = 112 (recipes 2g)", minimum=1,
        help="at least bands x rows; another layout of the same number reads no text",
    )  # fmt: skip
    hash_seed: int = knob(1, source="datasketch 2.0, MinHash(seed=1)", minimum=0)
    scheme: Literal["affine32", "affine64"] = knob(
        "affine32",
        source="datasketch 2.0: affine32, and affine64 from about 100 million elements on",
        choices=("affine32", "affine64"),
        help="bits of a value; affine64 takes twice the bytes, for giant documents alone",
    )
    lower: bool = knob(True, source=FINEWEB, help="lower case")
    digits: bool = knob(True, source=FINEWEB, help="a run of decimal digits counts as 0")
    punctuation: bool = knob(
        True, source=FINEWEB, help="punctuation, symbols, control characters separate words"
    )
    marks: bool = knob(
        True, source=FINEWEB, help="canonical decomposition without marks (and format characters)"
    )
    words: Literal["spaced", "alphanumeric"] = knob(
        "spaced",
        source="DESIGN section 4: one definition of a word for all stages",
        choices=("spaced", "alphanumeric"),
        help=r"alphanumeric: runs of \w, as text-dedup and many reference corpora have them",
    )
    engine: Literal["kernel", "datasketch"] = knob(
        "kernel",
        source="equal values, 150 against 15 MB/s of text on one core (licence texts, measured)",
        choices=("kernel", "datasketch"),
    )
    verify: Literal["none", "signature", "exact"] = knob(
        "signature",
        source="marin#6854, text-dedup#129: unverified bands chain into false clusters (trap 13)",
        choices=("none", "signature", "exact"),
        help="a document is removed only on a Jaccard similarity of `threshold`: estimated from "
        "signatures, or exact, of the sets of shingles (reads the texts of candidates again)",
    )
    threshold: float = knob(
        0.75,
        unit="Jaccard similarity",
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
        help="a larger cluster is resolved directly and by signatures, whatever `closure` and "
        "`verify: none` say, with a warning",
    )
    cluster_memory: int = knob(
        8_000_000_000,
        unit="bytes",
        source=f"50 million documents in clusters at {forests.MERGE_BYTES} bytes (measured)",
        minimum=1,
        identity=False,
        help="above it the run stops: for the merge of all clusters, or the texts of one",
    )
    max_tries: int = knob(
        256,
        unit="kept documents a bucket",
        source="bounds a verdict to 14 x 256 signature comparisons",
        minimum=1,
        help="a document is compared with the first so many kept ones of each of its buckets",
    )
    action: Literal["drop", "annotate"] = knob(
        "drop",
        source="FineWeb drops",
        choices=("drop", "annotate"),
        help="annotate: nothing is dropped; columns say what would be, and how many copies it has",
    )
    keep_copies: int = knob(
        1,
        unit="documents",
        source="one copy survives, as in every published recipe (2g)",
        minimum=1,
        help="so many kept documents must match before a further one is removed",
    )
    keep: tuple[str, ...] = knob(
        (),
        source="doc_id order: deterministic, and blind to the order of files (trap 15)",
        help="which copy survives: '-date', '+column', 'source:books,web'; strongest first",
    )
    max_source_drop_ratio: float = knob(
        0.95,
        unit="share of a source of over 1,000 documents",
        source="marin#6854 lost 99.99 % of a source (trap 13); tools remove up to 88 % of a crawl "
        "(datatrove#107)",
        minimum=0.0,
        maximum=1.0,
        identity=False,
    )
    source_alarm: Literal["error", "warning"] = knob(
        "error",
        source="nobody reads the warning of a run that lost a source and ended well",
        choices=("error", "warning"),
        identity=False,
        help="what a source above max_source_drop_ratio does; a rerun with another bound is free",
    )
    against: tuple[str, ...] = model_files(
        help="workdirs, or files of dataset/versions, of earlier runs with `store`: what matches "
        "one of their documents goes"
    )
    store: bool = knob(
        False,
        source="off: some 520 bytes a document at 14 x 8 (measured)",
        help="publish bands and signatures of what is kept, for `against` of later runs",
    )
    compiles: ClassVar[bool] = True

    @property
    def metrics(self) -> dict[str, type]:  # type: ignore[override]
        """With `against` also the number, from 0, of the corpus that a document was lost to."""
        found: dict[str, type] = {"cluster_size": int, "similarity": float, "copies": int}
        return {**found, "against": int} if self.against else found

    @property
    def adds(self) -> dict[str, pa.DataType]:  # type: ignore[override]
        return {"cluster_id": DOC_ID, **(ANNOTATIONS if self.action == "annotate" else {})}

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
        earlier.check(self)

    def check_sources(self, sources: Any) -> None:
        check_policy_sources(self.keep, sources)

    def plan_notes(self) -> list[str]:
        return [*plan_notes(self), *earlier.plan_notes(self)]

    def content_of(self, path: str) -> str:
        return stored.version_file(path)

    def phases(self) -> tuple[Phase, ...]:
        exact = self.verify == "exact"
        merging = forests.Merging(self.cluster_memory, self.signature_bytes)
        judging = (
            "verify", "threshold", "closure", "max_cluster_size", "max_tries", "keep",
            "keep_copies",
        )  # fmt: skip
        policy = policy_columns(self.keep)
        columns = tuple(dict.fromkeys((*NODE.names[1:], *policy, *(("text",) if exact else ()))))
        sources: tuple[str, ...] = ("docs" if exact else "signatures", "assigned")
        sources += ("docs",) if policy and not exact else ()
        sources += ("matches_here",) if self.against else ()
        texts = TEXT_KNOBS if exact else ()
        return (
            Emit("signatures", self.signatures, self.signature_schema(), TEXT_KNOBS),
            *earlier.asking(self),
            Exchange(
                "buckets", ("signatures",), "key", forests.bucket_forest, forests.FOREST,
                self.route_bands, LAYOUT, order=("node", "partition"),
            ),
            Combine(
                "clusters", ("buckets",), merging.clusters, forests.CLUSTERED, fold=merging.fold,
            ),
            Exchange(
                "assigned", ("clusters",), "partition", deliver, forests.CLUSTERED,
                buckets="partition", order=("node",),
            ),
            Exchange(
                "members", sources, "key", self.walk().verdicts, VERDICTS,
                self.route_texts if exact else self.route_members, (*LAYOUT, *judging, *texts),
                order=("keep", *NODE_ORDER), columns=columns,
            ),
            Exchange(
                "walked" if self.against else "verdicts", ("members",), "partition", deliver,
                VERDICTS, buckets="partition", order=NODE_ORDER,
            ),
            *earlier.joining(self, VERDICTS),
            Exchange(
                "cluster_table", ("members",), "key", cluster_report.cluster_rows,
                cluster_report.CLUSTERS, cluster_report.route_clusters, order=("lost", "doc_id"),
            ),
            Combine(
                "largest", ("cluster_table",), cluster_report.largest, cluster_report.CLUSTERS,
                cluster_report.largest_of, cluster_report.CLUSTERS, judge=self.judge_clusters,
            ),
            Combine(
                "sources", ("docs", "verdicts"), cluster_report.sum_sources,
                cluster_report.SOURCES, cluster_report.count_sources, cluster_report.SOURCES,
                columns=("source", *NODE.names[1:]), judge=self.judge_sources,
            ),
            Apply("drop", "verdicts", self.drop_near_duplicates, ("action",)),
            *stored.storing(self),
        )  # fmt: skip

    def warm_up(self) -> Sequence[Call]:
        def sign() -> None:
            self.signatures(example_batch(), Side("warm_up", 0))

        return sign, forests.compile_kernels

    # --- Signatures and bands ------------------------------------------------------------------

    @property
    def signature_bytes(self) -> int:
        return signature_bytes(self.num_hashes, self.scheme)

    def signature_schema(self) -> pa.Schema:
        """One row a document with words; the signature is num_hashes little-endian numbers."""
        signature = pa.field("signature", pa.binary(self.signature_bytes))
        return pa.schema([*(NODE.field(n) for n in ("doc_id", "file", "offset")), signature])

    def normalisation(self) -> Normalisation:
        from stages.kernels.shingles import Normalisation

        alphanumeric = self.words == "alphanumeric"
        return Normalisation(self.lower, self.digits, self.punctuation, self.marks, alphanumeric)

    def signatures(self, batch: TextBatch, side: Side) -> pa.Table:
        from stages.kernels.minhash import datasketch_signatures, kernel_signatures

        sign = kernel_signatures if self.engine == "kernel" else datasketch_signatures
        values, has_words = sign(
            batch.column("text"), self.ngram, self.num_hashes, self.hash_seed,
            self.normalisation(), self.shingle == "characters", self.scheme,
        )  # fmt: skip
        schema = self.signature_schema()
        stored = as_binary(values, schema.field("signature").type)
        nodes = [batch.column(name) for name in ("doc_id", "file", "offset")]
        return pa.table([*nodes, stored], schema=schema).filter(pa.array(has_words))

    def route_bands(self, tables: Tables, side: Side) -> pa.Table:
        """A row a document and band; the key holds the band's number and its values."""
        table = tables["signatures"]
        keys = keys_of(table, self.bands, self.rows, self.scheme)
        nodes = np.repeat(forests.node_hashes(table), self.bands)
        return pa.table({"key": pa.array(keys.ravel()), "node": pa.array(nodes)})

    # --- The walk ------------------------------------------------------------------------------

    def walk(self) -> Walk:
        return Walk(
            self.bands, self.rows, self.num_hashes, self.hash_seed, self.verify, self.threshold,
            self.closure == "transitive", self.max_cluster_size, self.max_tries, self.keep_copies,
            self.cluster_memory, self.scheme,
        )  # fmt: skip

    def route_members(self, tables: Tables, side: Side) -> pa.Table:
        """Documents of clusters; the key is the cluster, with signature and keep key."""
        signatures = tables["signatures"]
        if self.against:  # what an earlier corpus has keeps nothing of this one out
            gone = matching_rows(signatures, tables["matches_here"])
            signatures = signatures.filter(gone.is_null())
        cluster = cluster_of(signatures, tables["assigned"])
        members = signatures.append_column("key", cluster).filter(cluster.is_valid())
        if not self.keep:
            return members.append_column("keep", keep_keys(members, ()))
        documents = tables["docs"].take(matching_rows(members, tables["docs"]))
        return members.append_column("keep", keep_keys(documents, self.keep))

    def route_texts(self, tables: Tables, side: Side) -> pa.Table:
        """Documents of clusters; the key is the cluster, with the set of shingles and keep key."""
        from stages.kernels.shingles import shingle_hashes

        documents = tables["docs"]
        cluster = cluster_of(documents, tables["assigned"])
        members = documents.append_column("key", cluster).filter(cluster.is_valid())
        hashes, starts = shingle_hashes(
            members["text"].combine_chunks(), self.ngram, self.normalisation(),
            self.shingle == "characters", distinct=True,
        )  # fmt: skip
        columns = members.select(["key", *NODE.names[1:]])
        columns = columns.append_column("shingles", from_sets(hashes, starts))
        return columns.append_column("keep", keep_keys(members, self.keep))

    # --- Verdicts ------------------------------------------------------------------------------

    def judge_clusters(self, table: pa.Table, side: Side) -> Sequence[str]:
        return cluster_report.oversized(table, self.max_cluster_size)

    def judge_sources(self, table: pa.Table, side: Side) -> Sequence[str]:
        annotates = self.action == "annotate"
        return cluster_report.collapsed(
            table, self.max_source_drop_ratio, self.source_alarm, annotates, side
        )

    def drop_near_duplicates(self, batch: TextBatch, side: Side) -> Processed:
        return judged(batch, side.tables["verdicts"], self.action == "annotate")
