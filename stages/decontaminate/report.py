"""What runs of benchmarks in documents amount to: shares of examples, verdicts, the two reports."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.schema import DOC_ID, NODE
from pipeline.stage import Side
from stages.decontaminate.examples import Index
from stages.dedup.clusters import node_keys

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

EXAMPLES = pa.schema(
    [
        ("benchmark", pa.string()),
        ("example", pa.int64()),  # number of its row in the file, from 0
        ("words", pa.int64()),  # of its longest passage
        ("documents", pa.int64()),  # that hold a run of it
        ("documents_after", pa.int64()),
        ("share", pa.float64()),  # of its words, in the document that holds most
        ("doc_id", DOC_ID),  # that document
        ("excerpt", pa.string()),
    ]
)
BENCHMARKS = pa.schema(
    [
        ("benchmark", pa.string()),
        ("ngram", pa.int64()),
        ("examples", pa.int64()),
        ("short_examples", pa.int64()),  # not looked for
        ("examples_found", pa.int64()),
        ("examples_found_after", pa.int64()),
        ("share_found", pa.float64()),
        ("documents", pa.int64()),
        ("documents_after", pa.int64()),
    ]
)
EXAMPLE_PARTS = pa.schema([*EXAMPLES, NODE.field("file"), NODE.field("offset")])
BENCHMARK_PARTS = pa.schema(
    [EXAMPLES.field(n) for n in ("benchmark", "example", "documents", "documents_after")]
)
"""`example` is null where a row counts the documents of the whole benchmark."""


@dataclass(frozen=True)
class Judged:
    """Every pair of a document and an example of which it holds a run, by (document, example)."""

    document: Int64s
    example: Int64s
    """Counted over all benchmarks."""
    share: npt.NDArray[np.float64]
    """Share of the words of a passage that the document holds; of several the largest."""
    contaminated: Bools
    first_hit: Int64s
    """The first hit of the pair."""
    guilty: Bools
    """One a hit: whether it belongs to an example that contaminates its document."""

    def benchmark_names(self, index: Index, length: int) -> list[str | None]:
        """For documents 0..length-1 the benchmarks that contaminate each, between commas."""
        names: list[list[str]] = [[] for _ in range(length)]
        numbers = benchmark_numbers(index, self.example)
        for document, number, bad in zip(
            self.document.tolist(), numbers.tolist(), self.contaminated.tolist(), strict=True
        ):
            name = index.benchmarks[number].name
            if bad and name not in names[document]:
                names[document].append(name)
        return [",".join(found) if found else None for found in names]


def benchmark_numbers(index: Index, examples: Int64s) -> Int64s:
    return np.searchsorted(index.first_example, examples, side="right") - 1


def judged(document: Int64s, gram: Int64s, index: Index, min_share: float) -> Judged:
    """The pairs behind hits: `document` numbers the document of each, `gram` says which run."""
    counts = index.ends[gram + 1] - index.ends[gram]
    hit = np.repeat(np.arange(len(gram)), counts)
    first = np.repeat(index.ends[gram] - np.cumsum(counts) + counts, counts)
    place = index.places[first + np.arange(len(hit))]
    passage, word = place[:, 0], place[:, 1]
    # A run counts up to the next one of the passage: runs of a passage have one length.
    order = np.lexsort((hit, word, passage, document[hit]))
    hit, passage, word = hit[order], passage[order], word[order]
    size = index.grams.size[gram[hit]].astype(np.int64)
    owner = document[hit]
    same = (owner[1:] == owner[:-1]) & (passage[1:] == passage[:-1])
    covered = size.copy()
    covered[:-1][same] = np.minimum(size[:-1], np.diff(word))[same]
    starts = np.flatnonzero(np.concatenate([[True], ~same])[: len(hit)])
    share = (
        np.add.reduceat(covered, starts) / index.passage_words[passage[starts]]
        if len(starts)
        else np.empty(0)
    )
    return _pairs(
        owner[starts],
        index.passage_example[passage[starts]],
        share,
        hit,
        starts,
        min_share,
        len(gram),
    )


def _pairs(
    owner: Int64s, example: Int64s, share: Any, hit: Int64s, starts: Int64s, min_share: float,
    num_hits: int,
) -> Judged:  # fmt: skip
    """Passages of documents -> examples of documents."""
    pairs, which = np.unique(np.stack([owner, example], axis=1), axis=0, return_inverse=True)
    which = which.reshape(-1)
    largest = np.zeros(len(pairs))
    np.maximum.at(largest, which, share)
    contaminated = largest >= min_share
    of_place = np.repeat(which, np.diff(np.append(starts, len(hit))))
    first = np.full(len(pairs), num_hits, np.int64)
    np.minimum.at(first, of_place, hit)
    guilty = np.zeros(num_hits, np.bool_)
    guilty[hit[contaminated[of_place]]] = True
    return Judged(pairs[:, 0], pairs[:, 1], largest, contaminated, first, guilty)


def _left(found: Judged, action: str) -> Bools:
    """Which pairs are still there when the step has acted."""
    if action == "annotate":
        return np.ones(len(found.example), np.bool_)
    if action == "mask":
        return ~found.contaminated
    dropped = np.unique(found.document[found.contaminated])
    return ~np.isin(found.document, dropped)


def _document_numbers(rows: pa.Table) -> Int64s:
    """For each row the place of its document among the distinct ones, by doc_id."""
    if not rows.num_rows:
        return np.empty(0, np.int64)
    found = node_keys(rows).dictionary_encode()
    ranks: Int64s = np.empty(len(found.dictionary), np.int64)
    ranks[pc.sort_indices(found.dictionary).to_numpy()] = np.arange(len(ranks))
    numbers: Int64s = ranks[found.indices.to_numpy()]
    return numbers


def _judged_rows(rows: pa.Table, index: Index, min_share: float) -> Judged:
    return judged(_document_numbers(rows), rows["gram"].to_numpy(), index, min_share)


def example_parts(rows: pa.Table, index: Index, min_share: float, action: str) -> pa.Table:
    """One row for each example that a document of this partition holds, and its best document."""
    found = _judged_rows(rows, index, min_share)
    left = _left(found, action)
    numbers = benchmark_numbers(index, found.example)
    words = np.zeros(int(index.first_example[-1]), np.int64)
    np.maximum.at(words, index.passage_example, index.passage_words)
    hits = rows.take(pa.array(found.first_hit))
    parts = [
        {
            "benchmark": index.benchmarks[number].name,
            "example": example - int(index.first_example[number]),
            "words": int(words[example]),
            "documents": 1,
            "documents_after": after,
            "share": share,
            "doc_id": hit["doc_id"],
            "excerpt": hit["excerpt"],
            "file": hit["file"],
            "offset": hit["offset"],
        }
        for number, example, after, share, hit in zip(
            numbers.tolist(), found.example.tolist(), left.astype(int).tolist(),
            found.share.tolist(), hits.to_pylist(), strict=True,
        )
    ]  # fmt: skip
    return pa.Table.from_pylist(_best(parts), schema=EXAMPLE_PARTS)


def _best(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one example as one: documents summed, the rest of the row of the largest share."""

    def example(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["benchmark"], row["example"]

    def preference(row: dict[str, Any]) -> tuple[Any, ...]:
        offset = -1 if row["offset"] is None else row["offset"]
        place = (row["doc_id"], row["file"] or "", offset, row["excerpt"])
        return (*example(row), -row["share"], *place)

    found = []
    for _, group in itertools.groupby(sorted(rows, key=preference), key=example):
        same = list(group)
        sums = {n: sum(row[n] for row in same) for n in ("documents", "documents_after")}
        found.append({**same[0], **sums})
    return found


def merge_examples(rows: pa.Table, side: Side) -> pa.Table:
    """One row an example that any document holds, by (benchmark, example)."""
    found = _best(rows.to_pylist())
    return pa.Table.from_pylist(found, schema=EXAMPLE_PARTS).select(EXAMPLES.names)


def benchmark_parts(rows: pa.Table, index: Index, min_share: float, action: str) -> pa.Table:
    """Documents of this partition by example, and by benchmark (example null)."""
    found = _judged_rows(rows, index, min_share)
    left = _left(found, action)
    numbers = benchmark_numbers(index, found.example)
    parts = []
    for number in np.unique(numbers).tolist():
        of = numbers == number
        name = index.benchmarks[number].name
        for example in np.unique(found.example[of]).tolist():
            mine = of & (found.example == example)
            parts.append((name, example, int(mine.sum()), int((mine & left).sum())))
        documents = len(np.unique(found.document[of]))
        parts.append((name, None, documents, len(np.unique(found.document[of & left]))))
    return pa.Table.from_pylist(
        [dict(zip(BENCHMARK_PARTS.names, part, strict=True)) for part in parts],
        schema=BENCHMARK_PARTS,
    )


def merge_benchmarks(rows: pa.Table, index: Index) -> pa.Table:
    """One row a benchmark, those without a hit included."""
    totals: dict[tuple[str, int | None], list[int]] = {}
    for row in rows.to_pylist():
        sums = totals.setdefault((row["benchmark"], row["example"]), [0, 0])
        sums[0] += row["documents"]
        sums[1] += row["documents_after"]
    table = []
    for benchmark in index.benchmarks:
        own = [
            v
            for (name, example), v in totals.items()
            if name == benchmark.name and example is not None
        ]
        documents = totals.get((benchmark.name, None), [0, 0])
        table.append(
            {
                "benchmark": benchmark.name,
                "ngram": benchmark.ngram,
                "examples": benchmark.examples,
                "short_examples": benchmark.short_examples,
                "examples_found": len(own),
                "examples_found_after": sum(after > 0 for _, after in own),
                "share_found": len(own) / max(benchmark.examples, 1),
                "documents": documents[0],
                "documents_after": documents[1],
            }
        )
    return pa.Table.from_pylist(table, schema=BENCHMARKS)
