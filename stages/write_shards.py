"""write_shards: mix, cut, shuffle and write token shards (DESIGN sections 6 and 7).

A written copy of a document has h = draw("shuffle", doc_id, copy). Shard k of a (split, group)'s S
holds the copies with floor(h * S / 2^64) = k in order of (h, doc_id, copy, file, offset); S is the
group's written tokens over `tokens_per_shard`, rounded up. A mixture in stages has shards of each
stage of a group. Documents x copies = written + cut.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.execution.gather import gathered
from pipeline.mixture.rank_cut import SIZES, SIZES_KNOBS, rank_cut, sizes_table, taken_nodes
from pipeline.mixture.sampling import TRAIN, Mixture, Take, mixture_of
from pipeline.phases import Combine, Emit, Exchange, OutputFile, Phase, Tables
from pipeline.schema import FORMAT_VERSION
from pipeline.stage import GlobalStage, Side, TextBatch, knob, reference
from stages.shard_writer import ZSTD_LEVEL, ShardName, TokenizerFacts, narrowed, write_shard

CARRIED = ("doc_id", "source", "url", "file", "offset", "num_tokens", "tokens")
"""Document columns that reach the shard."""


@dataclass(frozen=True)
class WriteShards(GlobalStage):
    """Token shards under `dataset/shards/` and this step's part of `dataset.json`.

    `version` history:
    2: totals say what was wanted of each group and what is missing.
    3: the ids of a row group are one page.
    4: ids meet in the shard's own type; the shards are the same.
    5: dataset.json says the tokenizer's largest id; the shards are the same.
    6: `mix: max_epochs` below 1 holds where nothing else is asked of the mixture.
    """

    version: ClassVar[int] = 6
    reads: ClassVar[tuple[str, ...]] = CARRIED
    draws: ClassVar[bool] = True

    tokens_per_shard: int = knob(
        100_000_000,
        unit="tokens",
        source="DESIGN section 3; about 95 MB a file at 0.93 bytes a token",
        minimum=1,
        counts=True,
    )
    zstd_level: int = knob(
        ZSTD_LEVEL,
        unit="level of zstd",
        source="docs/notes/storage.md: 9 saves a sixth of the bytes at 3.6 times the CPU time",
        minimum=1,
        maximum=19,
        help="larger is smaller and slower to write; reading is as fast",
    )
    append: bool = knob(
        False,
        source="a run publishes the whole of its own list",
        identity=False,
        help="list the files of the version in force too: for a new dump with the same tokenizer, "
        "mixture groups, split rule and seed; a run of nothing new adds nothing",
    )
    mixture: str | None = reference("mixture", optional=True)
    tokenizer: str = reference("tokenizer")

    def phases(self) -> tuple[Phase, ...]:
        return (
            Emit("sizes", self.sizes, SIZES, knobs=SIZES_KNOBS),
            *rank_cut(self.takes, sizes="sizes", knobs=("mixture",), judge=shortfalls),
            Exchange(
                "shards",
                ("docs", "cuts"),
                key="bucket",
                route=self.route,
                reduce=self.shard,
                schema=None,
                buckets="value",
                order=("h", "doc_id", "copy", "file", "offset"),
                knobs=("mixture", "tokenizer", "tokens_per_shard", "zstd_level"),
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
        mixture = mixture_of(side)
        split, group = mixture.split_and_group(docs)
        taken = taken_nodes(docs, split, group, mixture.copies(docs, split), cuts, side)
        rows, copies = taken.rows, taken.copies
        h = np.zeros(len(rows), np.uint64)
        for copy in np.unique(copies):
            at = copies == copy
            h[at] = side.draw("shuffle", docs["doc_id"].take(pa.array(rows[at])), int(copy))
        first, count = shard_ranges(cuts, self.tokens_per_shard)
        names = list(zip(split.to_pylist(), group.to_pylist(), strict=True))
        stages = taken.stages.tolist()
        written = [(*names[row], stage) for row, stage in zip(rows, stages, strict=True)]
        bucket = np.array([first[name] for name in written], np.int64)
        bucket += scaled(h, np.array([count[name] for name in written], np.uint64))
        facts = TokenizerFacts.read(side.artefacts["tokenizer"])
        carried = docs.select(CARRIED)
        at = CARRIED.index("tokens")
        carried = carried.set_column(at, "tokens", narrowed(carried["tokens"], facts))
        table = gathered(carried, rows)
        added = {"copy": copies, "h": h, "bucket": bucket}
        for name, values in added.items():
            table = table.append_column(name, pa.array(values))
        return table

    def shard(self, rows: pa.Table, side: Side) -> Sequence[OutputFile]:
        """The finished file of one shard; its rows come sorted."""
        if not rows.num_rows:
            return []
        bucket = rows["bucket"][0].as_py()
        stages = mixture_of(side).stage_names
        name = shard_names(side.tables["cuts"], self.tokens_per_shard, stages)[bucket]
        path = side.scratch / f"shard-{bucket}.parquet"
        facts = TokenizerFacts.read(side.artefacts["tokenizer"])
        info = write_shard(path, rows, name, facts, self.zstd_level)
        return [OutputFile(path, name.publish_as, info)]

    def dataset(self, cuts: pa.Table, side: Side) -> dict[str, bytes]:
        """This step's part of dataset.json; the engine adds files, versions and fingerprints."""
        facts = TokenizerFacts.read(side.artefacts["tokenizer"])
        mixture = mixture_of(side)
        groups = all_totals(cuts, self.tokens_per_shard, mixture)
        part = {
            "format_version": FORMAT_VERSION,
            "dtype": facts.dtype,
            "tokenizer": {
                "sha256": facts.sha256,
                "vocab_size": facts.vocab_size,
                "max_id": facts.max_id,
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


def shard_count(cut: Mapping[str, Any], tokens_per_shard: int) -> int:
    """S of one (split, group, stage): its written tokens / tokens_per_shard, rounded up."""
    return -(-int(cut["written_size"]) // tokens_per_shard)


def shard_names(
    cuts: pa.Table, tokens_per_shard: int, stages: Sequence[str] = ()
) -> list[ShardName]:
    """Every shard in order of (split, group, stage, number); the position is the shard's bucket.

    `stages` are the names of a mixture's stages; validation documents are in none.
    """
    names = []
    for cut in cuts.to_pylist():
        count = shard_count(cut, tokens_per_shard)
        split, group, at = cut["split"], cut["group"], cut["stage"]
        stage = stages[at] if stages and split == TRAIN else ""
        names += [ShardName(split, group, k, count, stage, at) for k in range(count)]
    return names


Key = tuple[str, str, int]
"""Split, group, stage."""


def shard_ranges(cuts: pa.Table, tokens_per_shard: int) -> tuple[dict[Key, int], dict[Key, int]]:
    """Of each (split, group, stage): the bucket of its shard 0, and its number of shards."""
    first: dict[Key, int] = {}
    count: dict[Key, int] = {}
    before = 0
    for cut in cuts.to_pylist():
        name = (cut["split"], cut["group"], cut["stage"])
        first[name], count[name] = before, shard_count(cut, tokens_per_shard)
        before += count[name]
    return first, count


def shortfalls(cuts: pa.Table, side: Side) -> list[str]:
    """Warnings: the groups that `over_max_epochs: cap` held below what was wanted of them."""
    found = []
    missing: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for cut in cuts.to_pylist():
        if cut["split"] == TRAIN:
            wanted[cut["group"]] += cut["wanted"]
            missing[cut["group"]] = wanted[cut["group"]] - target_of(cut)
    for group, tokens in sorted(missing.items()):
        if tokens > 0:
            share = tokens / max(wanted[group], 1)
            found.append(
                f"the group '{group}' was held at max_epochs, {tokens:,} tokens ({share:.1%}) "
                f"below the {wanted[group]:,} that the mixture asks of it"
            )
    return found


def target_of(cut: Mapping[str, Any]) -> int:
    """Tokens that a group should have given by the end of a stage."""
    return int(cut["whole"] * cut["epoch_size"] + cut["target"])


def all_totals(cuts: pa.Table, tokens_per_shard: int, mixture: Mixture) -> list[dict[str, Any]]:
    """`group_totals` of each (split, group, stage)."""
    rows = cuts.to_pylist()
    found = []
    for at, cut in enumerate(rows):
        names = ("split", "group")
        begins = at == 0 or any(rows[at - 1][name] != cut[name] for name in names)
        ends = at + 1 == len(rows) or any(rows[at + 1][name] != cut[name] for name in names)
        before = None if begins else rows[at - 1]
        found.append(group_totals(cut, before, ends, tokens_per_shard, mixture))
    return found


def group_totals(
    cut: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    ends: bool,
    tokens_per_shard: int,
    mixture: Mixture,
) -> dict[str, Any]:
    """What was there, wanted, written and cut of one (split, group), in one stage of it.

    Over all stages: documents x copies = written + cut, where a document counts as often as one
    epoch holds it, and a group that is left out as one copy that is cut whole. What is cut stands
    with the last stage.
    """
    documents, tokens = cut["written_documents"], cut["written_size"]
    epochs = cut["whole"] + (cut["target"] > 0)
    copies = max(epochs, 1) if ends else epochs
    begun = 0 if before is None else before["whole"] + (before["target"] > 0)
    last_documents = cut["whole"] * cut["epoch_documents"] + cut["last_documents"]
    last_tokens = cut["whole"] * cut["epoch_size"] + cut["last_size"]
    target = target_of(cut) - (0 if before is None else target_of(before))
    totals = {
        "split": cut["split"],
        "group": cut["group"],
        "documents": cut["documents"],
        "tokens": cut["size"],
        "copies": copies - begun,
        "wanted_tokens": cut["wanted"],
        "target_tokens": target,
        "written_documents": documents,
        "written_tokens": tokens,
        "shortfall_tokens": max(cut["wanted"] - tokens, 0),
        "cut_documents": copies * cut["epoch_documents"] - last_documents if ends else 0,
        "cut_tokens": copies * cut["epoch_size"] - last_tokens if ends else 0,
        "epochs": round(tokens / max(cut["epoch_size"], 1), 6),
        "shards": shard_count(cut, tokens_per_shard),
    }
    if mixture.stage_names and cut["split"] == TRAIN:
        totals["stage"] = mixture.stage_names[cut["stage"]]
    if mixture.upsample is not None:
        totals |= {name: cut[name] for name in ("epoch_documents", "left_out")}
        totals["epoch_tokens"] = cut["epoch_size"]
    return totals


def mixture_part(mixture: Mixture, groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mixture as configured, and what came of it: epochs and target of each train group."""
    epochs: dict[str, float] = {}
    target: dict[str, int] = {}
    for row in groups:
        if row["split"] == TRAIN:
            epochs[row["group"]] = round(epochs.get(row["group"], 0.0) + row["epochs"], 6)
            target[row["group"]] = target.get(row["group"], 0) + row["target_tokens"]
    part: dict[str, Any] = {field.name: getattr(mixture, field.name) for field in fields(mixture)}
    for name in ("weights", "budgets", "max_epochs"):
        part[name] = dict(part[name]) if isinstance(part[name], Mapping) else part[name]
    part["by"] = list(mixture.by)
    if mixture.upsampling is not None:
        part["upsample"] = mixture.upsampling.to_json()
    part["stages"] = [
        {
            **stage,
            "name": name,
            "written_tokens": sum(r["written_tokens"] for r in groups if r.get("stage") == name),
        }
        for name, stage in zip(mixture.stage_names, mixture.stages, strict=True)
    ]
    return {**part, "epochs": epochs, "target_tokens": target}
