"""train_tokenizer: a byte-level BPE trained on a sample of the mixture.

The sample is each group's training documents in rank order (copy 0, at most `max_document_bytes`
of each) up to its share of `sample_bytes`, exact to one document; validation documents never enter
it. It does not depend on partitions, workers or order, and neither does the tokenizer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from pipeline.phases import Combine, Emit, Phase, Tables
from pipeline.rank_cut import SIZES, SIZES_KNOBS, rank_cut, sizes_table, taken_nodes
from pipeline.sampling import SHARES_KNOBS, TRAIN, Take, mixture_of
from pipeline.schema import DOC_ID
from pipeline.stage import GlobalStage, Side, TextBatch, knob, reference
from pipeline.texts import capped_sizes, capped_texts
from tokenizer_training.bpe import ALPHABET, artefact, train_bpe
from tokenizer_training.patterns import PATTERNS

SAMPLE = pa.schema(
    [
        ("rank", pa.uint64()),
        ("doc_id", DOC_ID),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("group", pa.string()),
        ("text", pa.large_string()),
    ]
)


@dataclass(frozen=True)
class TrainTokenizer(GlobalStage):
    """Train a tokenizer. Makes the artefact `tokenizer`: tokenizer.json and meta.json.

    A sample that is too small for `vocab_size` gives a smaller vocabulary; meta.json says so.
    """

    kind: ClassVar[str] = "tokenizer"
    reads: ClassVar[tuple[str, ...]] = ("text", "doc_id", "source", "url", "file", "offset")
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    draws: ClassVar[bool] = True

    vocab_size: int = knob(
        32_000,
        unit="tokens, special ones included",
        source="Llama 1 and 2 (arXiv:2302.13971)",
        minimum=ALPHABET + 1,
        maximum=1_000_000,
    )
    sample_bytes: int = knob(
        1_000_000_000,
        unit="bytes of UTF-8",
        source="12 CPU minutes at 0.7 s a MB (notes/components.md section 6); nanochat: 2e9",
        minimum=1,
        maximum=4_000_000_000,
        help="above 4e9 a pair's count could overflow the trainer's 32 bits (tokenizers #437)",
    )
    max_document_bytes: int = knob(
        10_000,
        unit="bytes of UTF-8",
        source="nanochat scripts/tok_train.py: doc_cap 10,000 characters",
        minimum=1,
    )
    pattern: str = knob(
        "llama3",
        unit="pre-tokenisation regex",
        source="notes/components.md section 6: widest support among fast encoders",
        choices=tuple(PATTERNS),
    )
    special_tokens: tuple[str, ...] = knob(
        ("<|endoftext|>",), unit="tokens", source="openai/gpt-2 encoder.json"
    )
    min_frequency: int = knob(
        2,
        unit="occurrences of a merged pair",
        source="tokenizers ByteLevelBPETokenizer.train",
        minimum=0,
    )
    mixture: str | None = reference("mixture", optional=True)

    def check(self) -> None:
        if len(set(self.special_tokens)) != len(self.special_tokens) or "" in self.special_tokens:
            raise ValueError(f"special_tokens {list(self.special_tokens)}: each once, none empty.")
        if self.vocab_size < ALPHABET + len(self.special_tokens):
            raise ValueError(
                f"vocab_size = {self.vocab_size}, expected at least {ALPHABET} bytes and "
                f"{len(self.special_tokens)} special tokens."
            )

    def phases(self) -> tuple[Phase, ...]:
        # Of weights and budgets the trainer sees the cuts alone: equal cuts train no second time.
        return (
            Emit("sizes", self.sizes, SIZES, knobs=(*SIZES_KNOBS, "max_document_bytes")),
            *rank_cut(
                self.takes, sizes="sizes", knobs=(*SIZES_KNOBS, *SHARES_KNOBS, "sample_bytes")
            ),
            Combine(
                "tokenizer",
                ("docs", "cuts"),
                each=self.sample,
                each_schema=SAMPLE,
                merge=self.train,
                schema=None,
                knobs=(
                    *SIZES_KNOBS,
                    *("max_document_bytes", "vocab_size"),
                    *("pattern", "special_tokens", "min_frequency"),
                ),
            ),
        )

    def sizes(self, batch: TextBatch, side: Side) -> pa.Table:
        """SIZES in bytes, after the cap."""
        sizes = pa.array(capped_sizes(batch.column("text"), self.max_document_bytes))
        mixture = mixture_of(side)
        return sizes_table(batch.table, sizes, mixture, mixture.at_most_once(batch.table))

    def takes(self, totals: pa.Table, side: Side) -> list[Take]:
        """Train documents up to each group's share of `sample_bytes`, each at most once."""
        rows = totals.to_pylist()
        sizes = {row["group"]: row["epoch_size"] for row in rows if row["split"] == TRAIN}
        shares = mixture_of(side).shares(sizes)
        takes = []
        for row in rows:
            share = shares.get(row["group"], 0)
            wanted = int(self.sample_bytes * share) if row["split"] == TRAIN else 0
            whole = wanted >= row["epoch_size"] and wanted > 0
            takes.append(Take(**row, whole=int(whole), target=0 if whole else wanted))
        return takes

    def sample(self, tables: Tables, side: Side) -> pa.Table:
        """The sampled documents of one batch."""
        docs = tables["docs"]
        mixture = mixture_of(side)
        split, group = mixture.split_and_group(docs)
        once = mixture.at_most_once(docs)
        rows = taken_nodes(docs, split, group, once, side.tables["cuts"], side).rows
        taken = docs.take(rows)
        columns: dict[str, Any] = {
            "rank": pa.array(side.draw("mix", taken["doc_id"]), pa.uint64()),
            "group": group.take(pa.array(rows)),
            "text": capped_texts(taken["text"], self.max_document_bytes),
        }
        columns |= {name: taken[name] for name in ("doc_id", "file", "offset")}
        return pa.table([columns[name] for name in SAMPLE.names], schema=SAMPLE)

    def train(self, sample: pa.Table, side: Side) -> dict[str, bytes]:
        """The artefact, from all sampled documents in order of (rank, doc_id, file, offset)."""
        if not sample.num_rows:
            raise ConfigError(
                f"{side.step}: the tokenizer's sample is empty: no training document, or "
                f"sample_bytes = {self.sample_bytes:,} is below the first one. Raise it."
            )
        keys = [(name, "ascending") for name in ("rank", "doc_id", "file", "offset")]
        sample = sample.sort_by(keys)
        tokenizer = train_bpe(
            _texts(sample["text"]),
            vocab_size=self.vocab_size,
            pattern=self.pattern,
            special_tokens=self.special_tokens,
            min_frequency=self.min_frequency,
        )
        facts = {"pattern": self.pattern, "sample": _sample_facts(sample)}
        size = tokenizer.get_vocab_size()
        if size < self.vocab_size:
            facts["warning"] = (
                f"the sample holds pairs for {size:,} of {self.vocab_size:,} tokens; enlarge it "
                f"or lower vocab_size or min_frequency"
            )
        return artefact(tokenizer.to_str(pretty=True).encode(), facts)


def _texts(column: pa.ChunkedArray) -> Iterator[str]:
    for chunk in column.chunks:
        for text in chunk:
            yield text.as_py()


def _sample_facts(sample: pa.Table) -> dict[str, dict[str, int]]:
    """Documents and bytes of the sample by group."""
    documents: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    lengths = pc.binary_length(sample["text"]).to_pylist()
    for group, size in zip(sample["group"].to_pylist(), lengths, strict=True):
        documents[group] += 1
        sizes[group] += size
    return {g: {"documents": documents[g], "bytes": sizes[g]} for g in sorted(documents)}
