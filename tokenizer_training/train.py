"""train_tokenizer: a byte-level BPE trained on a sample of the mixture.

The sample is each group's training documents in rank order (copy 0, at most `max_document_bytes`
of each) up to its share of `sample_bytes`, exact to one document; validation documents never enter
it. It does not depend on partitions, workers or order, and neither does the tokenizer.

The pieces of the sample are counted where its documents are and the counts added up as in a tree;
one process merges. With `trainer: tokenizers` one process reads the texts instead, slower, for the
same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.execution.warm_up import Call
from pipeline.mixture.rank_cut import SIZES, SIZES_KNOBS, rank_cut, sizes_table, taken_nodes
from pipeline.mixture.sampling import SHARES_KNOBS, TRAIN, Take, mixture_of
from pipeline.phases import Combine, Emit, Phase, Tables
from pipeline.schema import DOC_ID
from pipeline.stage import GlobalStage, Side, TextBatch, knob, reference
from pipeline.texts.bounded import capped_sizes, capped_texts
from tokenizer_training import counts
from tokenizer_training.bpe import (
    ALPHABET,
    TOKENIZERS_MAX_BYTES,
    BpeOptions,
    artefact,
    train_on_counts,
    train_on_texts,
)
from tokenizer_training.patterns import DIGITS, PATTERNS, WHITESPACE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

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

    `version` history:
    2: the pattern `gpt4` is cl100k_base of today's tiktoken.
    """

    version: ClassVar[int] = 2
    kind: ClassVar[str] = "tokenizer"
    reads: ClassVar[tuple[str, ...]] = ("text", "doc_id", "source", "url", "file", "offset")
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    draws: ClassVar[bool] = True
    compiles: ClassVar[bool] = True

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
        source="3 CPU minutes at 0.2 s a MB (benchmarks/tokens_training.py); nanochat: 2e9",
        minimum=1,
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
    digits: str = knob(
        "published",
        unit="how numbers are cut",
        source="each pattern's own; `single` arXiv:2302.13971, `triples` meta-llama/llama3",
        choices=DIGITS,
    )
    whitespace: str = knob(
        "published",
        unit="how white space is cut that goes with no word",
        source="each pattern's own",
        choices=WHITESPACE,
    )
    special_tokens: tuple[str, ...] = knob(
        ("<|endoftext|>",), unit="tokens", source="openai/gpt-2 encoder.json"
    )
    reserved_tokens: int = knob(
        0,
        unit="tokens",
        source="none; meta-llama/llama3 llama/tokenizer.py: 251",
        minimum=0,
        help="special tokens <|reserved_0|> and so on behind the named ones, part of vocab_size",
    )
    pad_to_multiple_of: int = knob(
        1,
        unit="tokens",
        source="no padding; Megatron-LM make-vocab-size-divisible-by: 128",
        minimum=1,
        maximum=65_536,
        help="further reserved tokens at the vocabulary's end, beyond vocab_size",
    )
    min_frequency: int = knob(
        2,
        unit="occurrences of a merged pair",
        source="tokenizers ByteLevelBPETokenizer.train",
        minimum=0,
    )
    trainer: str = knob(
        "auto",
        unit="what trains",
        source="equal tokenizer.json (tests/test_trainer.py), 4 times less CPU",
        choices=("auto", "counts", "tokenizers"),
        help="`counts`: pieces counted where the documents are, then the kernel; `auto`: the same, "
        "also where the installed tokenizers has another Unicode and must cut itself",
    )
    max_memory_bytes: int = knob(
        4_000_000_000,
        unit="bytes",
        source="issue 6: a sample of 1 GB within 4 GB",
        minimum=1,
        help="a sample with more distinct pieces than the trainer has room for is refused",
        identity=False,
    )
    mixture: str | None = reference("mixture", optional=True)

    @property
    def options(self) -> BpeOptions:
        """What is asked for."""
        return BpeOptions(
            self.vocab_size,
            self.pattern,
            self.digits,
            self.whitespace,
            tuple(self.special_tokens),
            self.reserved_tokens,
            self.pad_to_multiple_of,
            self.min_frequency,
        )

    def check(self) -> None:
        self.options.check()
        if self.trainer == "tokenizers" and self.sample_bytes > TOKENIZERS_MAX_BYTES:
            raise ValueError(
                f"sample_bytes = {self.sample_bytes:,}, but the trainer `tokenizers` counts in 32 "
                f"bits: expected at most {TOKENIZERS_MAX_BYTES:,}, or the trainer `counts`."
            )

    def warm_up(self) -> Sequence[Call]:
        if self.trainer == "tokenizers":
            return ()
        options = self.options
        texts = pa.table({"group": ["a"], "text": pa.array(["a"], pa.large_string())})

        def count() -> None:
            counts.counted(texts, options.cut, options.expression)

        def merge() -> None:
            state = pa.Table.from_pylist([{"piece": b"a", "count": 1}], counts.COUNTS)
            train_on_counts(counts.pieces_of(state), options)

        return merge, count

    def phases(self) -> tuple[Phase, ...]:
        # Of weights and budgets the trainer sees the cuts alone: equal cuts train no second time.
        return (
            Emit("sizes", self.sizes, SIZES, knobs=(*SIZES_KNOBS, "max_document_bytes")),
            *rank_cut(
                self.takes, sizes="sizes", knobs=(*SIZES_KNOBS, *SHARES_KNOBS, "sample_bytes")
            ),
            self._combine(),
        )

    def _combine(self) -> Combine:
        """Texts to the trainer of record, or counted pieces to the kernel."""
        knobs = (
            *SIZES_KNOBS,
            *("max_document_bytes", "vocab_size", "pattern", "digits", "whitespace", "trainer"),
            *("special_tokens", "reserved_tokens", "pad_to_multiple_of", "min_frequency"),
        )
        if self.trainer == "tokenizers":
            return Combine(
                "tokenizer", ("docs", "cuts"), each=self.sample, each_schema=SAMPLE,
                merge=self.train, schema=None, knobs=knobs,
            )  # fmt: skip
        return Combine(
            "tokenizer", ("docs", "cuts"), each=self.count, each_schema=counts.COUNTS,
            merge=self.train_counted, schema=None, knobs=knobs, fold=self.fold,
        )  # fmt: skip

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

    def count(self, tables: Tables, side: Side) -> pa.Table:
        """The pieces of one batch's sampled documents, counted."""
        options = self.options
        if self.trainer == "counts":
            counts.require_kernel(side.step)
        return counts.counted(self.sample(tables, side), options.cut, options.expression)

    def fold(self, left: pa.Table, right: pa.Table, side: Side) -> pa.Table:
        """Counts of two groups of partitions as one."""
        return counts.folded(left, right)

    def train_counted(self, state: pa.Table, side: Side) -> dict[str, bytes]:
        """The artefact, from the counted pieces of all sampled documents."""
        total = counts.summed(state)
        facts = counts.sample_facts(total)
        self._require_sample(bool(facts), side)
        pieces = counts.pieces_of(total)
        counts.require_memory(pieces, self.max_memory_bytes, side.step)
        return self._artefact(train_on_counts(pieces, self.options), facts)

    def train(self, sample: pa.Table, side: Side) -> dict[str, bytes]:
        """The artefact, from all sampled documents in order of (rank, doc_id, file, offset)."""
        keys = [(name, "ascending") for name in ("rank", "doc_id", "file", "offset")]
        return self.train_texts([sample.sort_by(keys)] if sample.num_rows else [], side)

    def train_texts(self, sample: Iterable[pa.Table], side: Side) -> dict[str, bytes]:
        """The artefact by the trainer of record, from batches of `group` and `text`."""
        facts: dict[str, dict[str, int]] = {}
        tokenizer = train_on_texts(_texts(sample, facts), self.options)
        self._require_sample(bool(facts), side)
        return self._artefact(tokenizer, dict(sorted(facts.items())))

    def _require_sample(self, found: bool, side: Side) -> None:
        if not found:
            raise ConfigError(
                f"{side.step}: the tokenizer's sample is empty: no training document, or "
                f"sample_bytes = {self.sample_bytes:,} is below the first one. Raise it."
            )

    def _artefact(self, tokenizer: Tokenizer, sample: dict[str, Any]) -> dict[str, bytes]:
        facts: dict[str, Any] = {"pattern": self.pattern, "sample": sample}
        options = {
            "digits": self.digits,
            "whitespace": self.whitespace,
            "reserved_tokens": self.reserved_tokens,
            "pad_to_multiple_of": self.pad_to_multiple_of,
        }
        plain = {name: type(self).__dataclass_fields__[name].default for name in options}
        facts |= {name: value for name, value in options.items() if value != plain[name]}
        size = tokenizer.get_vocab_size(with_added_tokens=False)
        if size < self.vocab_size:
            facts["warning"] = (
                f"the sample holds pairs for {size:,} of {self.vocab_size:,} tokens; enlarge it "
                f"or lower vocab_size or min_frequency"
            )
        return artefact(tokenizer.to_str(pretty=True).encode(), facts)


def _texts(batches: Iterable[pa.Table], facts: dict[str, dict[str, int]]) -> Iterator[str]:
    """The texts; documents and bytes by group are added to `facts` on the way."""
    for batch in batches:
        for text, group in zip(batch["text"], batch["group"], strict=True):
            found = facts.setdefault(group.as_py(), {"documents": 0, "bytes": 0})
            found["documents"] += 1
            found["bytes"] += text.as_buffer().size
            yield text.as_py()
