"""Decontamination: documents that hold examples of benchmarks are dropped, cut or marked.

As GPT-3 does it (Brown et al. 2020, arXiv:2005.14165, appendix C): a document is contaminated where
it shares a run of 13 words with an example, in lower case and without punctuation.
`stages/decontaminate/examples.py` says what an example's runs are, and what becomes of short
examples.
With `skip_words` words within a run may differ, as in Llama 2 (arXiv:2307.09288, appendix A.6): it
must begin with `seed_words` equal words and end in an equal one.

What was found stands in tables: `inspect RUN STEP.benchmarks` (one row a benchmark),
`STEP.examples` (one row an example that was found, with an excerpt), `STEP.found` (every place).
Counts `..._after` are of what is left when the step has acted.

Differences from GPT-3: `action: mask` leaves the pieces of a document in one document, a blank line
between them (there they become documents), and the window is on both sides, as the code of
lm-evaluation-harness has it (`janitor.py`, which counts runs, not pieces, for `max_pieces`); runs
in many documents count unless `max_documents` is set; accents do not count.

What is found and is none are mostly numbers in a row (`1, 2, ... 13` in the tests of a code
benchmark): name the `fields` that hold prose, or ask for a `min_share`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from pipeline.execution.warm_up import Call, example_batch
from pipeline.phases import Tables
from pipeline.schema import NODE
from pipeline.stage import (
    Apply,
    Combine,
    Emit,
    Exchange,
    GlobalStage,
    Phase,
    Processed,
    Rules,
    Side,
    TextBatch,
    at_least,
    at_most,
    knob,
    location,
)
from stages.decontaminate.examples import (
    Index,
    Lengths,
    benchmark_files,
    count_examples,
    load_index,
)
from stages.decontaminate.report import (
    BENCHMARK_PARTS,
    BENCHMARKS,
    EXAMPLE_PARTS,
    EXAMPLES,
    benchmark_parts,
    example_parts,
    judged,
    merge_benchmarks,
    merge_examples,
)
from stages.dedup.clusters import NODE_ORDER, deliver, group_starts, matching_rows, node_keys

EXCERPT_BYTES = 60
"""Bytes of text on either side of a hit that an excerpt shows."""
HITS = pa.schema(
    [
        ("gram", pa.int64()),  # number of the run in the index
        ("doc_id", NODE.field("doc_id").type),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("start", pa.int64()),  # bytes of the text
        ("end", pa.int64()),
        ("excerpt", pa.string()),
    ]
)
FOUND = pa.schema(
    [
        *NODE,
        *(HITS.field(name) for name in ("gram", "start", "end")),
        ("documents", pa.int64()),  # that hold the run
        HITS.field("excerpt"),
    ]
)
_RUNS = (
    "fields", "ngram", "lengths", "min_ngram", "min_example_words", "seed_words", "skip_words",
)  # fmt: skip
"""The knobs that the index depends on."""


@dataclass(frozen=True)
class Decontaminate(GlobalStage):
    """Finds examples of benchmarks in documents by runs of words, and drops, masks or marks them.

    `benchmarks` are paths or patterns of JSON Lines or Parquet files; their content is part of the
    identity. A document without words is never contaminated. Reasons: `contaminated` (drop),
    `too_many_pieces` and `nothing_left` (mask).
    """

    compiles: ClassVar[bool] = True

    benchmarks: tuple[str, ...] = location(help="files of benchmarks: paths or patterns")
    fields: tuple[str, ...] = knob(
        (),
        source="own choice: every string of a row, in its order",
        help="fields that make an example, in this order, for example [question, answer]",
    )
    action: Literal["drop", "mask", "annotate"] = knob(
        "drop",
        source="datatrove, decont/n_grams.py: the document goes; GPT-3 masks",
        choices=("drop", "mask", "annotate"),
        help="annotate: a column `contamination` with the names of the benchmarks",
    )
    ngram: int = knob(
        13,
        unit="words",
        source="GPT-3, appendix C: 13 (datatrove: 12)",
        minimum=2,
        maximum=1000,
    )
    lengths: Literal["fixed", "percentile"] = knob(
        "fixed",
        source="GPT-3 filtered with 13; its analysis takes the 5th percentile of examples' lengths",
        choices=("fixed", "percentile"),
        help="percentile: `ngram` is the largest n, each benchmark has its own",
    )
    min_ngram: int = knob(
        8,
        unit="words",
        source="GPT-3, appendix C: at least 8, below are spurious collisions",
        minimum=1,
        help="smallest n of `percentile`; a shorter field alone is not looked for",
    )
    min_example_words: int = knob(
        5,
        unit="words",
        source="own choice: the shortest example of ten benchmarks has 6",
        minimum=1,
        help="an example below n words is looked for as a whole, below this not at all",
    )
    skip_words: int = knob(
        0,
        unit="words a run that may differ",
        source="GPT-3: none (Llama 2, A.6: 4)",
        minimum=0,
    )
    seed_words: int = knob(
        8,
        unit="words",
        source="Llama 2, A.6: no difference in the first 10 tokens, about 8 words",
        minimum=2,
        help="with `skip_words`: a run begins with so many equal words",
    )
    min_share: float = knob(
        0.0,
        unit="share of an example's words",
        source="GPT-3: any run (Llama 2 calls examples dirty from 0.8)",
        minimum=0,
        maximum=1,
        help="a document is contaminated by examples of which it holds so much",
    )
    max_documents: int | None = knob(
        None,
        unit="documents",
        source="own choice: examples on many pages count too (GPT-3: runs in more than 10 do not)",
        minimum=1,
        help="runs that stand in more documents are common phrases and do not count",
    )
    window: int = knob(
        200,
        unit="characters",
        source="GPT-3, appendix C; on both sides as janitor.py",
        minimum=0,
        help="mask: what goes with a run, before and behind it",
    )
    min_piece_chars: int = knob(
        200, unit="characters", source="GPT-3, appendix C", minimum=0, help="mask: shorter ones go"
    )
    max_pieces: int = knob(
        10,
        unit="pieces",
        source="GPT-3, appendix C",
        minimum=1,
        help="mask: with more it is dropped",
    )

    @property
    def files(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(benchmark_files(self.benchmarks).values())

    @property
    def metrics(self) -> Mapping[str, type]:  # type: ignore[override]
        found: dict[str, type] = {"examples": int, "share": float}
        if self.action == "mask":
            found |= {"pieces": int, "chars_left": int, "hits_left": int}
        return found

    @property
    def adds(self) -> Mapping[str, pa.DataType]:  # type: ignore[override]
        return {"contamination": pa.string()} if self.action == "annotate" else {}

    def check(self) -> None:
        if not self.benchmarks:
            raise ValueError("`benchmarks` is empty: name the files to look for")
        if self.min_ngram > self.ngram:
            raise ValueError(f"min_ngram = {self.min_ngram} is above ngram = {self.ngram}")
        if self.skip_words and self.seed_words >= self.ngram:
            raise ValueError(
                f"seed_words = {self.seed_words} leaves no word of ngram = {self.ngram} that may "
                f"differ. Lower seed_words or raise ngram."
            )
        count_examples(self.benchmarks, self.fields)

    def plan_notes(self) -> list[str]:
        """Lines for the plan: what is looked for."""
        examples = count_examples(self.benchmarks, self.fields)
        named = ", ".join(f"{name} {count:,}" for name, count in examples.items())
        return [f"looks for {sum(examples.values()):,} examples of benchmarks: {named}"]

    def rules(self) -> Rules:
        if self.action == "drop":
            return (at_most("examples", 0, "contaminated"),)
        if self.action == "mask":
            return (
                at_most("pieces", self.max_pieces, "too_many_pieces"),
                at_least("chars_left", 1, "nothing_left"),
            )
        return ()

    def phases(self) -> tuple[Phase, ...]:
        acting = (*_RUNS, "min_share", "action", "window", "min_piece_chars", "max_pieces")
        judging = (*_RUNS, "min_share", "action")
        order = (*NODE_ORDER, "start")
        return (
            Emit("hits", self.hits, HITS, _RUNS),
            Exchange(
                "runs", ("hits",), "gram", self.count_documents, FOUND,
                knobs=(*_RUNS, "max_documents"), order=order,
            ),
            Exchange(
                "found", ("runs",), "partition", deliver, FOUND, knobs=_RUNS, buckets="partition",
                order=(*order, "gram"),
            ),
            Combine(
                "examples", ("found",), merge_examples, EXAMPLES, self.example_parts,
                EXAMPLE_PARTS, judging,
            ),
            Combine(
                "benchmarks", ("found",), self.merge_benchmarks, BENCHMARKS, self.benchmark_parts,
                BENCHMARK_PARTS, judging,
            ),
            Apply("act", "found", self.act, acting, drops=False),
        )  # fmt: skip

    def warm_up(self) -> Sequence[Call]:
        return (lambda: self.hits(example_batch(), Side("warm_up", 0)),)

    def index(self) -> Index:
        """The runs of the benchmarks; read once a process. Raises ValueError, InputError."""
        by = Lengths(
            self.ngram, self.min_ngram, self.lengths == "percentile", self.min_example_words,
            self.seed_words, self.skip_words,
        )  # fmt: skip
        return load_index(self.benchmarks, self.fields, by)

    # --- What is found -------------------------------------------------------------------------

    def hits(self, batch: TextBatch, side: Side) -> pa.Table:
        """A row for each place of each document where a run of a benchmark stands."""
        from stages.kernels.grams import gram_hits

        rows: list[int] = []
        columns: list[tuple[int, int, int, str]] = []
        for row, found in gram_hits(batch.column("text"), self.index().grams).items():
            data = batch.texts[row].encode()
            for gram, start, end in zip(*(values.tolist() for values in found), strict=True):
                rows.append(row)
                columns.append((gram, start, end, excerpt(data, start, end)))
        nodes = [
            batch.column(name).take(pa.array(rows, pa.int64()))
            for name in ("doc_id", "file", "offset")
        ]
        grams, starts, ends, excerpts = zip(*columns, strict=True) if columns else ((),) * 4
        return pa.table([pa.array(grams, pa.int64()), *nodes, starts, ends, excerpts], HITS)

    def count_documents(self, table: pa.Table, side: Side) -> pa.Table:
        """The places of runs that stand in at most `max_documents` documents, with that number."""
        keys = node_keys(table)
        starts = group_starts(table["gram"])
        changes = np.zeros(table.num_rows, np.int64)
        new = set(group_starts(keys)[:-1].tolist()) | set(starts[:-1].tolist())
        changes[sorted(new)] = 1
        counts = np.add.reduceat(changes, starts[:-1]) if table.num_rows else changes
        documents = np.repeat(counts, np.diff(starts))
        found = table.append_column("documents", pa.array(documents, pa.int64()))
        if self.max_documents is not None:
            found = found.filter(pa.array(documents <= self.max_documents))
        return found.select(FOUND.names)

    def example_parts(self, tables: Tables, side: Side) -> pa.Table:
        return example_parts(tables["found"], self.index(), self.min_share, self.action)

    def benchmark_parts(self, tables: Tables, side: Side) -> pa.Table:
        return benchmark_parts(tables["found"], self.index(), self.min_share, self.action)

    def merge_benchmarks(self, rows: pa.Table, side: Side) -> pa.Table:
        return merge_benchmarks(rows, self.index())

    # --- What is done --------------------------------------------------------------------------

    def act(self, batch: TextBatch, side: Side) -> Processed:
        """Metrics of every document; the texts of contaminated ones cut, or their column filled."""
        rows = side.tables["found"]
        where = matching_rows(rows, batch.table)
        mine = rows.filter(where.is_valid())
        row = where.drop_null().to_numpy()
        found = judged(row, mine["gram"].to_numpy(), self.index(), self.min_share)
        examples, share = np.zeros(len(batch), np.int64), np.zeros(len(batch))
        np.maximum.at(share, found.document, found.share)
        np.add.at(examples, found.document[found.contaminated], 1)
        metrics: dict[str, Any] = {"examples": examples, "share": share}
        if self.action == "annotate":
            names = found.benchmark_names(self.index(), len(batch))
            return Processed({"contamination": pa.array(names, pa.string())}, metrics)
        if self.action == "mask":
            columns = self._masked(batch, row, mine.filter(pa.array(found.guilty)), found.guilty)
            return Processed({"text": columns.pop("text")}, {**metrics, **columns})
        return Processed(metrics=metrics)

    def _masked(self, batch: TextBatch, row: Any, guilty: pa.Table, mask: Any) -> dict[str, Any]:
        """The texts without their runs, and what is left of those that had any."""
        from stages.kernels.grams import gram_hits

        texts: list[Any] = list(batch.values("text"))
        pieces: list[Any] = [None] * len(batch)
        spans: dict[int, list[tuple[int, int]]] = {}
        starts, ends = guilty["start"].to_pylist(), guilty["end"].to_pylist()
        for at, start, end in zip(row[mask].tolist(), starts, ends, strict=True):
            spans.setdefault(at, []).append((start, end))
        for at, found in sorted(spans.items()):
            left = cut(texts[at], found, self.window, self.min_piece_chars)
            pieces[at] = len(left)
            texts[at] = "\n\n".join(left)
        changed = sorted(spans)
        again = gram_hits(
            pa.array([texts[at] for at in changed], pa.large_string()), self.index().grams
        )
        hits: list[Any] = [None] * len(batch)
        chars: list[Any] = [None] * len(batch)
        for number, at in enumerate(changed):
            hits[at] = len(again[number].gram) if number in again else 0
            chars[at] = len(texts[at])
        return {
            "text": pa.array(texts, pa.large_string()),
            "pieces": pa.array(pieces, pa.int64()),
            "chars_left": pa.array(chars, pa.int64()),
            "hits_left": pa.array(hits, pa.int64()),
        }


def excerpt(data: bytes, start: int, end: int) -> str:
    """The hit and `EXCERPT_BYTES` around it, on one line, the hit between `[[` and `]]`."""
    before = data[max(0, start - EXCERPT_BYTES) : start].decode("utf-8", "ignore")
    behind = data[end : end + EXCERPT_BYTES].decode("utf-8", "ignore")
    hit = data[start:end].decode("utf-8", "replace")
    return " ".join(f"{before}[[{hit}]]{behind}".split())


def cut(text: str, spans: Sequence[tuple[int, int]], window: int, min_chars: int) -> list[str]:
    """The pieces of a text between spans of bytes and `window` characters on both sides of each.

    Pieces of fewer than `min_chars` characters are left out; white space at their ends falls away.
    """
    data = np.frombuffer(text.encode(), np.uint8)
    # Number of the character that each byte belongs to; one more at the end.
    chars = np.append(np.cumsum((data & 0xC0) != 0x80) - 1, len(text))
    pieces, at = [], 0
    for start, end in sorted(spans):
        stop = max(at, int(chars[start]) - window)
        pieces.append(text[at:stop])
        at = max(at, int(chars[end]) + window)
    pieces.append(text[at:])
    return [piece for part in pieces if len(piece := part.strip()) >= max(1, min_chars)]
