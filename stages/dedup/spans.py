"""Span dedup: of sentences, lines or paragraphs in a row that occur twice, one copy is kept.

`span_dedup` is C4 as the T5 paper tells it (Raffel et al. 2020, section 2.2: "we discarded all but
one of any three-sentence span occurring more than once in the data set"), with the bounds of
datatrove's sentence_dedup.py; C4's code removes single lines (`line_dedup`). `paragraph_dedup` is
CCNet's (Wenzek et al. 2020, dedup.py): single lines, compared in lower case, digits as zeros,
without punctuation.

Who keeps a copy is decided by the policy `keep`, then by the smallest hash of the page's URL (its
doc_id where it has none), then by the place in the text: never by the order of files. Each sentence
that is removed stands elsewhere in the corpus, since copies are removed in favour of earlier ones
in one order of all places. What was removed for whom stands in `inspect RUN STEP.lost_spans`.

Differences from datatrove: sentences are our own (`kernels/sentences.py`; initials and common
abbreviations end none), not spaCy's or NLTK's; a unit without a word is none, and is no part of
spans; copies that overlap the one that is kept lose only what is not in it; hashes have 128 bits.
From CCNet: accents, punctuation and symbols as in `minhash_dedup` (punctuation is a space, there
nothing); one copy is kept (there, of a line that occurs in two documents, none).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from pipeline.batch import split_words
from pipeline.schema import DOC_ID, NODE
from pipeline.stage import (
    Apply,
    Emit,
    Exchange,
    GlobalStage,
    Phase,
    Processed,
    Rules,
    Side,
    TextBatch,
    at_least,
    knob,
)
from stages.dedup.clusters import (
    NODE_ORDER,
    deliver,
    first_of_group,
    group_starts,
    matching_rows,
    node_keys,
)
from stages.dedup.exact import within_source
from stages.dedup.keep_policy import (
    check_policy,
    check_policy_sources,
    document_columns,
    keep_keys,
    metric_columns,
)
from stages.dedup.lines import page_hash

DATATROVE = "datatrove, sentence_dedup.py, SentDedupConfig"
SPANS = pa.schema(
    [
        ("key", pa.binary(16)),  # xxh3-128 of the folded units
        ("keep", pa.binary()),  # ascending = preferred
        ("page", pa.uint64()),  # see `line_dedup.page_hash`
        ("doc_id", DOC_ID),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("first", pa.int32()),  # number of the first unit of the text, from 0
        ("last", pa.int32()),  # of the unit behind the last one
    ]
)
LOST = pa.schema([*NODE, SPANS.field("first"), SPANS.field("last"), ("matched_doc_id", DOC_ID)])
_NEWLINE, _WHITE = 0x0A, b" \t\n\r\v\f"
_TEXT = ("unit", "length", "lower", "digits", "punctuation", "marks", "min_span_words", "within")


@dataclass(frozen=True)
class SpanDedup(GlobalStage):
    """Removes sentences of which three in a row stand elsewhere, or earlier in the same text.

    A document that lost something and has too little left is dropped: `too_few_sentences`,
    `too_few_words`, `too_few_chars`. One with fewer units than a span has is left alone.
    """

    compiles: ClassVar[bool] = True

    unit: Literal["sentences", "lines", "paragraphs"] = knob(
        "sentences",
        source="T5 paper, section 2.2",
        choices=("sentences", "lines", "paragraphs"),
        help="paragraphs stand between blank lines; what CCNet calls so are lines",
    )
    length: int = knob(3, unit="units", source="T5 paper, section 2.2: three", minimum=1)
    lower: bool = knob(True, source=f"{DATATROVE}: TextNormConfig", help="lower case")
    digits: bool = knob(True, source=f"{DATATROVE}: TextNormConfig", help="every digit counts as 0")
    punctuation: bool = knob(
        True, source=f"{DATATROVE}: TextNormConfig", help="punctuation and symbols count as spaces"
    )
    marks: bool = knob(True, source=f"{DATATROVE}: TextNormConfig", help="accents do not count")
    min_span_words: int = knob(
        0,
        unit="words",
        source=f"{DATATROVE}: min_words_to_remove_span, there of what goes in a row",
        minimum=0,
        help="a span of fewer words is none",
    )
    min_sentences: int = knob(
        3, unit="sentences", source=f"{DATATROVE}: min_num_sentences", minimum=0
    )
    min_words: int = knob(50, unit="words", source=f"{DATATROVE}: min_doc_words", minimum=0)
    min_chars: int = knob(1, unit="characters", source=f"{DATATROVE}: no empty document", minimum=1)
    within: Literal["corpus", "source"] = knob(
        "corpus",
        source="T5 paper: the data set",
        choices=("corpus", "source"),
        help="source: documents of two sources are never compared",
    )
    keep: tuple[str, ...] = knob(
        (),
        source="tfds c4_utils.py: the page with the smallest hash of its URL",
        help="which copy survives: '-date', '+column', 'source:books,web'; strongest first",
    )
    metrics: ClassVar[dict[str, type]] = {
        "spans_lost": int,
        "units_removed": int,
        "chars_removed": int,
        "sentences_left": int,
        "words_left": int,
        "chars_left": int,
    }

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        own = ("source",) if self.within == "source" else ()
        return tuple(dict.fromkeys(("text", "url", *own, *document_columns(self.keep))))

    def needs(self) -> tuple[str, ...]:
        return metric_columns(self.keep)

    def check(self) -> None:
        check_policy(self.keep)

    def check_sources(self, sources: Any) -> None:
        check_policy_sources(self.keep, sources)

    def rules(self) -> Rules:
        # All three are null in texts that lost nothing.
        return (
            at_least("sentences_left", self.min_sentences, "too_few_sentences"),
            at_least("words_left", self.min_words, "too_few_words"),
            at_least("chars_left", self.min_chars, "too_few_chars"),
        )

    def phases(self) -> tuple[Phase, ...]:
        order = ("keep", "page", *NODE_ORDER, "first")
        bounds = ("unit", "min_sentences", "min_words", "min_chars")
        return (
            Emit("spans", self.spans, SPANS, (*_TEXT, "keep")),
            Exchange("repeats", ("spans",), "key", repeated_spans, LOST, order=order),
            Exchange(
                "lost_spans", ("repeats",), "partition", deliver, LOST, buckets="partition",
                order=(*NODE_ORDER, "first"),
            ),
            Apply("cut", "lost_spans", self.cut, bounds, drops=False),
        )  # fmt: skip

    def spans(self, batch: TextBatch, side: Side) -> pa.Table:
        """A row for each span: `length` units with words in a row."""
        from stages.kernels.shingles import Normalisation
        from stages.kernels.spans import folded_units

        normalisation = Normalisation(self.lower, self.digits, self.punctuation, self.marks)
        rows: list[int] = []
        keys: list[bytes] = []
        places: list[tuple[int, int]] = []
        folded = folded_units(batch.column("text"), self.unit, normalisation)
        for row, (text, units) in enumerate(folded):
            whole = [n for n, (begin, end) in enumerate(units) if begin < end]
            for first, last in zip(whole, whole[self.length - 1 :], strict=False):
                span = text[units[first][0] : units[last][1]]
                if self.min_span_words and self._is_short(bytes(span)):
                    continue
                rows.append(row)
                keys.append(xxhash.xxh3_128_digest(span))
                places.append((first, last + 1))
        take = pa.array(rows, pa.int64())
        if self.within == "source":
            keys = within_source(keys, batch.column("source").take(take))
        pairs = zip(batch.values("url"), batch.values("doc_id"), strict=True)
        pages = pa.array([page_hash(url, doc_id) for url, doc_id in pairs], pa.uint64())
        policy = keep_keys(batch.table, self.keep)
        nodes = [batch.column(name).take(take) for name in ("doc_id", "file", "offset")]
        first_last = [pa.array([place[at] for place in places], pa.int32()) for at in (0, 1)]
        columns = [pa.array(keys, pa.binary(16)), policy.take(take), pages.take(take), *nodes]
        return pa.table([*columns, *first_last], schema=SPANS)

    def _is_short(self, span: bytes) -> bool:
        # Bytes that are no UTF-8 were replaced when the text was folded.
        return len(split_words(span.decode())) < self.min_span_words

    def cut(self, batch: TextBatch, side: Side) -> Processed:
        """The texts without their lost spans, and how much of each is left."""
        from stages.kernels.spans import cut_units

        lost = _lost_by_row(batch, side.tables["lost_spans"])
        rows = sorted(lost)
        texts: list[Any] = list(batch.values("text"))
        counts = {name: [0] * len(batch) for name in ("spans_lost", "units_removed")}
        removed = [0] * len(batch)
        before = pa.array([texts[row] for row in rows], pa.large_string())
        for row, units in zip(rows, cut_units(before, self.unit), strict=True):
            gone = {n for first, last in lost[row] for n in range(first, last)}
            left = without_units(texts[row], units.tolist(), gone)
            counts["spans_lost"][row] = len(lost[row])
            counts["units_removed"][row] = len(gone)
            removed[row] = len(texts[row]) - len(left)
            texts[row] = left
        changed = [texts[row] for row in rows]
        after = pa.array(changed, pa.large_string())
        sentences = [len(found) for found in cut_units(after, "sentences")]
        at = np.array(rows, np.int64)
        return Processed(
            columns={"text": pa.array(texts, pa.large_string())},
            metrics={
                **counts,
                "chars_removed": removed,
                "sentences_left": _at(at, sentences, len(batch)),
                "words_left": _at(at, [len(split_words(text)) for text in changed], len(batch)),
                "chars_left": _at(at, [len(text.strip()) for text in changed], len(batch)),
            },
        )


@dataclass(frozen=True)
class ParagraphDedup(SpanDedup):
    """Removes every line that another page, or the same page above it, keeps, as CCNet does."""

    unit: Literal["sentences", "lines", "paragraphs"] = knob(
        "lines",
        source="CCNet, dedup.py, compute_hashes: lines",
        choices=("sentences", "lines", "paragraphs"),
        help="paragraphs stand between blank lines; what CCNet calls so are lines",
    )
    length: int = knob(1, unit="units", source="CCNet, dedup.py", minimum=1)
    digits: bool = knob(True, source="CCNet, normalize_for_dedup", help="every digit counts as 0")
    lower: bool = knob(True, source="CCNet, normalize_for_dedup", help="lower case")
    punctuation: bool = knob(
        True, source="CCNet, normalize_for_dedup", help="punctuation and symbols count as spaces"
    )
    marks: bool = knob(
        False, source="CCNet, normalize_for_dedup: accents count", help="accents do not count"
    )
    min_sentences: int = knob(0, unit="sentences", source="CCNet: no such bound", minimum=0)
    min_words: int = knob(0, unit="words", source="CCNet: no such bound", minimum=0)
    min_chars: int = knob(
        300, unit="characters", source="CCNet, mine.py: min_len, there before lines go", minimum=1
    )


def repeated_spans(table: pa.Table, side: Side) -> pa.Table:
    """All but the first of each group of equal spans, with the doc_id of the first.

    Of a copy that overlaps the first in its own text only the rest goes.
    """
    first = first_of_group(group_starts(table["key"]))
    lost = first != np.arange(table.num_rows)
    kept = table.take(pa.array(first[lost]))
    rows = table.filter(pa.array(lost))
    same = np.ones(rows.num_rows, np.bool_)
    for ours, theirs in (
        (node_keys(rows), node_keys(kept)),
        (rows["partition"], kept["partition"]),
    ):
        same &= pc.equal(ours, theirs).to_numpy(zero_copy_only=False)
    begins = rows["first"].to_numpy()
    begins = np.where(same, np.maximum(begins, kept["last"].to_numpy()), begins)
    nodes = rows.select(NODE.names)
    columns = [pa.array(begins.astype(np.int32)), rows["last"], kept["doc_id"]]
    return pa.table([*nodes.columns, *columns], schema=LOST)


def without_units(text: str, units: list[list[int]], gone: set[int]) -> str:
    """The text without some of its units, each with the white space behind it.

    A newline stays where something of its line does, so that no two lines become one.
    """
    data = text.encode()
    out = bytearray(data[: units[0][0]])
    stops = [begin for begin, _ in units[1:]] + [len(data)]
    for number, ((begin, _), stop) in enumerate(zip(units, stops, strict=True)):
        if number not in gone:
            out += data[begin:stop]
            continue
        newline = data.find(b"\n", begin, stop)
        if newline >= 0 and out and out[-1] != _NEWLINE:
            _strip_end(out)
            out += data[newline:stop]
    return bytes(out.rstrip() if len(units) - 1 in gone else out).decode()


def _strip_end(out: bytearray) -> None:
    """Take ASCII white space off the end, without a copy of the rest: texts have many units."""
    while out and out[-1] in _WHITE:
        out.pop()


def _lost_by_row(batch: TextBatch, rows: pa.Table) -> dict[int, list[tuple[int, int]]]:
    """Row of the batch -> (first, last) of what it loses."""
    found = matching_rows(rows, batch.table)
    mine = rows.filter(found.is_valid())
    places = zip(mine["first"].to_pylist(), mine["last"].to_pylist(), strict=True)
    lost: dict[int, list[tuple[int, int]]] = {}
    for row, place in zip(found.drop_null().to_pylist(), places, strict=True):
        lost.setdefault(row, []).append(place)
    return lost


def _at(rows: Any, values: Any, length: int) -> pa.Array:
    """Values at some rows, null elsewhere."""
    found = np.zeros(length, np.int64)
    found[rows] = values
    mask = np.ones(length, np.bool_)
    mask[rows] = False
    return pa.array(found, mask=mask)
