"""write_shards: mix, cut, shuffle and write token shards (DESIGN sections 6 and 7).

A written copy of a document has h = draw("shuffle", doc_id, copy). Shard k of a (split, group)'s S
holds the copies with floor(h * S / 2^64) = k in order of (h, doc_id, copy, file, offset); S is the
group's written tokens over `tokens_per_shard`, rounded up. Documents x copies = written + cut.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.phases import Combine, Emit, Exchange, OutputFile, Phase, Tables
from pipeline.rank_cut import SIZES, SIZES_KNOBS, rank_cut, sizes_table, taken_rows
from pipeline.sampling import Mixture, Take, mixture_of
from pipeline.schema import FORMAT_VERSION
from pipeline.stage import GlobalStage, Side, TextBatch, knob, reference
from stages.shard_writer import ShardName, TokenizerFacts, write_shard

CARRIED = ("doc_id", "source", "url", "file", "offset", "num_tokens", "tokens")
"""Document columns that reach the shard."""


@dataclass(frozen=True)
class WriteShards(GlobalStage):
    """Token shards under `dataset/shards/` and this step's part of `dataset.json`."""

    reads: ClassVar[tuple[str, ...]] = CARRIED
    draws: ClassVar[bool] = True

    tokens_per_shard: int = knob(
        100_000_000,
        unit="tokens",
        source="DESIGN section 3; about 95 MB a file at 0.93 bytes a token",
        minimum=1,
    )
    mixture: str | None = reference("mixture", optional=True)
    tokenizer: str = reference("tokenizer")

    def phases(self) -> tuple[Phase, ...]:
        return (
            Emit("sizes", self.sizes, SIZES, knobs=SIZES_KNOBS),
            *rank_cut(self.takes, sizes="sizes", knobs=("mixture",)),
            Exchange(
                "shards",
                ("docs", "cuts"),
                key="bucket",
                route=self.route,
                reduce=self.shard,
                schema=None,
                buckets="value",
                order=("h", "doc_id", "copy", "file", "offset"),
                knobs=("mixture", "tokenizer", "tokens_per_shard"),
            ),
            Combine(
                "dataset",
                ("cuts",),
                merge=self.dataset,
                schema=None,
                knobs=("mixture", "tokenizer", "tokens_per_shard"),
            ),
        )

    def sizes(self, batch: TextBatch, side: Side) -> pa.Table:
        """SIZES in tokens."""
        return sizes_table(batch.table, batch.column("num_tokens"), mixture_of(side))

    def takes(self, totals: pa.Table, side: Side) -> list[Take]:
        return mixture_of(side).takes(totals)

    def route(self, tables: Tables, side: Side) -> pa.Table:
        """One row a written copy, with its shard's number among all shards as `bucket`."""
        docs, cuts = tables["docs"], tables["cuts"]
        split, group = mixture_of(side).split_and_group(docs)
        rows, copies = taken_rows(docs, split, group, cuts, side)
        h = np.zeros(len(rows), np.uint64)
        for copy in np.unique(copies):
            at = copies == copy
            h[at] = side.draw("shuffle", docs["doc_id"].take(pa.array(rows[at])), int(copy))
        first, count = shard_ranges(cuts, self.tokens_per_shard)
        names = list(zip(split.to_pylist(), group.to_pylist(), strict=True))
        written = [names[row] for row in rows]
        bucket = np.array([first[name] for name in written], np.int64)
        bucket += scaled(h, np.array([count[name] for name in written], np.uint64))
        table = docs.select(CARRIED).take(pa.array(rows))
        added = {"copy": copies, "h": h, "bucket": bucket}
        for name, values in added.items():
            table = table.append_column(name, pa.array(values))
        return table

    def shard(self, rows: pa.Table, side: Side) -> Sequence[OutputFile]:
        """The finished file of one shard; its rows come sorted."""
        if not rows.num_rows:
            return []
        bucket = rows["bucket"][0].as_py()
        name = shard_names(side.tables["cuts"], self.tokens_per_shard)[bucket]
        path = side.scratch / f"shard-{bucket}.parquet"
        facts = TokenizerFacts.read(side.artefacts["tokenizer"])
        info = write_shard(path, rows, name, facts)
        return [OutputFile(path, name.publish_as, info)]

    def dataset(self, cuts: pa.Table, side: Side) -> dict[str, bytes]:
        """This step's part of dataset.json; the engine adds files, versions and fingerprints."""
        facts = TokenizerFacts.read(side.artefacts["tokenizer"])
        mixture = mixture_of(side)
        groups = [group_totals(cut, self.tokens_per_shard) for cut in cuts.to_pylist()]
        part = {
            "format_version": FORMAT_VERSION,
            "dtype": facts.dtype,
            "tokenizer": {
                "sha256": facts.sha256,
                "vocab_size": facts.vocab_size,
                "special_tokens": dict(facts.special_tokens),
            },
            "shuffle_seed": side.seed,
            "tokens_per_shard": self.tokens_per_shard,
            "mixture": mixture_part(mixture, groups),
            "totals": groups,
        }
        text = json.dumps(part, indent=2, sort_keys=True, ensure_ascii=False)
        return {"dataset.json": text.encode() + b"\n"}


def scaled(h: npt.NDArray[np.uint64], count: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """floor(h * count / 2^64), exactly; every count is below 2^32."""
    half = np.uint64(32)
    low, high = h & np.uint64(0xFFFFFFFF), h >> half
    return ((high * count + ((low * count) >> half)) >> half).astype(np.int64)


def written_tokens(cut: dict[str, Any]) -> int:
    """Tokens written of one (split, group)."""
    return int(cut["whole"] * cut["size"] + cut["last_size"])


def shard_count(cut: dict[str, Any], tokens_per_shard: int) -> int:
    """S of one (split, group): its written tokens / tokens_per_shard, rounded up."""
    return -(-written_tokens(cut) // tokens_per_shard)


def shard_names(cuts: pa.Table, tokens_per_shard: int) -> list[ShardName]:
    """Every shard in order of (split, group, number); the position is the shard's bucket."""
    names = []
    for cut in cuts.to_pylist():
        count = shard_count(cut, tokens_per_shard)
        names += [ShardName(cut["split"], cut["group"], k, count) for k in range(count)]
    return names


def shard_ranges(
    cuts: pa.Table, tokens_per_shard: int
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """Of each (split, group): the bucket of its shard 0, and its number of shards."""
    first: dict[tuple[str, str], int] = {}
    count: dict[tuple[str, str], int] = {}
    before = 0
    for cut in cuts.to_pylist():
        name = (cut["split"], cut["group"])
        first[name], count[name] = before, shard_count(cut, tokens_per_shard)
        before += count[name]
    return first, count


def group_totals(cut: dict[str, Any], tokens_per_shard: int) -> dict[str, Any]:
    """What was there, written and cut of one (split, group): documents x copies = written + cut.

    A group that is left out counts as one copy that is cut whole.
    """
    copies = max(cut["whole"] + (cut["target"] > 0), 1)
    documents = cut["whole"] * cut["documents"] + cut["last_documents"]
    tokens = written_tokens(cut)
    return {
        "split": cut["split"],
        "group": cut["group"],
        "documents": cut["documents"],
        "tokens": cut["size"],
        "copies": copies,
        "written_documents": documents,
        "written_tokens": tokens,
        "cut_documents": copies * cut["documents"] - documents,
        "cut_tokens": copies * cut["size"] - tokens,
        "target_tokens": cut["whole"] * cut["size"] + cut["target"],
        "epochs": round(tokens / max(cut["size"], 1), 6),
        "shards": shard_count(cut, tokens_per_shard),
    }


def mixture_part(mixture: Mixture, groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mixture as configured, and what came of it: epochs and target of each train group."""
    train = [group for group in groups if group["split"] == "train"]
    return {
        "weights": None if mixture.weights is None else dict(mixture.weights),
        "by": list(mixture.by),
        "max_epochs": mixture.max_epochs,
        "tokens": mixture.tokens,
        "validation_permille": mixture.validation_permille,
        "epochs": {group["group"]: group["epochs"] for group in train},
        "target_tokens": {group["group"]: group["target_tokens"] for group in train},
    }
