"""Segments against a plain-Python account of every document's way through the steps."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import RunConfig, write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.draw import draw
from pipeline.errors import StageError
from pipeline.execution import sample
from pipeline.execution.segment import run_segment
from pipeline.execution.work import Context, Env, Link, Made, SegmentCall
from pipeline.files.local_storage import LocalStorage
from pipeline.files.tables import conform
from pipeline.phases import Apply, Emit
from pipeline.results.manifest import Dataset, FileRef
from pipeline.schema import PROVENANCE
from pipeline.stage import (
    Damage,
    Filter,
    Page,
    Partition,
    Processed,
    Rewrite,
    RowStage,
    Rule,
    Rules,
    Side,
    Source,
    SourceBatch,
    TextBatch,
    TextMap,
    at_least,
    knob,
)

SEED = 7
DOCUMENTS = pa.schema([*PROVENANCE, ("text", pa.large_string())])
MEASURED: list[tuple[str, bytes]] = []
"""(metric, doc_id) of every measurement that a test stage made."""


@dataclass(frozen=True)
class Judge(Filter):
    """Measures the number that the text, a JSON object, gives under the metric's name."""

    metric: str = knob("a", source="test")
    low: float | None = knob(None, source="test")
    high: float | None = knob(None, source="test")

    def measure(self, page: Page) -> dict[str, Any]:
        MEASURED.append((self.metric, page["doc_id"]))
        return {self.metric: json.loads(page.text)[self.metric]}

    def rules(self) -> Rules:
        return (Rule(self.metric, self.low, self.high),)


@dataclass(frozen=True)
class CostlyJudge(Judge):
    measure_kept_only: ClassVar[bool] = True


@dataclass(frozen=True)
class Remover(RowStage):
    """An apply that takes out what the text says."""

    name: str = "r"

    def remove(self, batch: TextBatch, side: Side) -> Processed:
        drop = [json.loads(text)[self.name] for text in batch.texts]
        matched = pa.array([b"M" * 16 if gone else None for gone in drop], pa.binary(16))
        return Processed(drop=drop, reason="gone", matched=matched)


def link(step: str, stage: RowStage) -> Link:
    phase = Apply("drop", "rows", stage.remove) if isinstance(stage, Remover) else None
    return Link(step, stage, phase, Context(step, SEED))


@dataclass(frozen=True)
class Outcome:
    """What came out of a segment."""

    docs: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    counters: Mapping[str, Any]
    bytes: Mapping[str, bytes]
    side: Mapping[str, list[dict[str, Any]]]


@contextmanager
def environment() -> Iterator[Env]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "scratch").mkdir()
        yield Env(LocalStorage(folder), Path(folder, "scratch"), "segment, unit u")


def outcome(made: Made) -> Outcome:
    rows = {name: pq.read_table(files[0].path).to_pylist() for name, files in made.outputs.items()}
    content = {name: files[0].path.read_bytes() for name, files in made.outputs.items()}
    for name, files in made.outputs.items():
        assert files[0].rows == len(rows[name])
    side = {n: r for n, r in rows.items() if n not in ("docs", "metrics", "dropped")}
    docs, dropped = rows.get("docs", []), rows.get("dropped", [])
    return Outcome(docs, rows["metrics"], dropped, made.counters, content, side)


def segment(
    texts: Sequence[Mapping[str, Any]],
    links: Sequence[Link],
    batch_rows: int = 3,
    quarantine: Sequence[tuple[int, str]] = (),
    keep_dropped: str = "sample",
    **changes: Any,
) -> Outcome:
    """Run the links over documents whose texts are the given JSON objects."""
    rows = [
        {"doc_id": number.to_bytes(16, "big"), "source": "s", "url": f"u{number}", "file": "f",
         "offset": number, "text": json.dumps(text)}
        for number, text in enumerate(texts)
    ]  # fmt: skip
    with environment() as env:
        path = Path(env.storage.root, "docs")
        pq.write_table(pa.Table.from_pylist(rows, DOCUMENTS), path, row_group_size=batch_rows)
        stored = Dataset.of([FileRef("docs", "0" * 64, 1, len(rows))])
        named = tuple((n.to_bytes(16, "big").hex(), step) for n, step in quarantine)
        call = SegmentCall(
            "0" * 32, None, stored, tuple(links), DOCUMENTS, DOCUMENTS, SEED, keep_dropped, named
        )
        return outcome(run_segment(replace(call, **changes), env))


# --- the plain account -------------------------------------------------------------------------


@dataclass
class Fate:
    """One document's way."""

    verdict: tuple[str, str] | None = None
    here: bool = True
    values: dict[str, float | None] | None = None


def plain(
    texts: Sequence[Mapping[str, Any]],
    links: Sequence[Link],
    quarantine: Sequence[tuple[int, str]],
) -> list[Fate]:
    fates = []
    for number, text in enumerate(texts):
        fate = Fate(values={})
        assert fate.values is not None
        for at in links:
            if fate.here and (number, at.step) in quarantine:
                fate.verdict = fate.verdict or (at.step, "quarantined")
                fate.here = False
            if isinstance(at.stage, Remover):
                if fate.here and text[at.stage.name]:
                    fate.verdict = fate.verdict or (at.step, f"{at.step}.gone")
                    fate.here = False
                continue
            assert isinstance(at.stage, Judge)
            name, low, high = at.stage.metric, at.stage.low, at.stage.high
            asked = fate.here and not (at.stage.measure_kept_only and fate.verdict)
            value = text[name] if asked else None
            value = None if value is None or math.isnan(value) else value
            fate.values[f"{at.step}.{name}"] = value
            if value is not None and low is not None and value < low:
                fate.verdict = fate.verdict or (at.step, f"{at.step}.{name}_too_low")
            if value is not None and high is not None and value > high:
                fate.verdict = fate.verdict or (at.step, f"{at.step}.{name}_too_high")
        fates.append(fate)
    return fates


numbers = st.none() | st.just(math.nan) | st.sampled_from([-1.5, 0.0, 1.0, 2.0, 3.0])
bounds = st.none() | st.sampled_from([-1.0, 0.0, 1.0, 2.0])
document = st.fixed_dictionaries({"a": numbers, "b": numbers, "c": numbers, "r": st.booleans()})
documents = st.lists(document, max_size=14)


@st.composite
def chains(draw: st.DrawFn) -> list[Link]:
    steps: list[RowStage] = []
    for metric in draw(st.permutations(["a", "b", "c"])):
        kind = draw(st.sampled_from([Judge, CostlyJudge]))
        steps.append(kind(metric=metric, low=draw(bounds), high=draw(bounds)))
    if draw(st.booleans()):
        steps.insert(draw(st.integers(0, 3)), Remover())
    return [link(f"step_{number}", stage) for number, stage in enumerate(steps)]


named = st.lists(st.tuples(st.integers(0, 13), st.sampled_from(["step_0", "step_2"])), max_size=3)


@settings(max_examples=60, deadline=None)
@given(texts=documents, links=chains(), quarantine=named, batch_rows=st.integers(1, 15))
def test_every_document_meets_the_fate_that_the_steps_give_it_and_none_is_lost(
    texts: list[dict[str, Any]], links: list[Link], quarantine: Any, batch_rows: int
) -> None:
    MEASURED.clear()
    found = segment(texts, links, batch_rows, quarantine)
    fates = plain(texts, links, quarantine)
    assert [row["doc_id"] for row in found.metrics] == [
        n.to_bytes(16, "big") for n in range(len(texts))
    ]
    for row, fate in zip(found.metrics, fates, strict=True):
        assert (row["drop_step"], row["drop_reason"]) == (fate.verdict or (None, None))
        assert {name: row[name] for name in fate.values or {}} == fate.values
        gone = fate.verdict is not None and fate.verdict[1].endswith(".gone")
        assert row["matched_doc_id"] == (b"M" * 16 if gone else None)
    kept = [n for n, fate in enumerate(fates) if fate.verdict is None]
    assert [row["doc_id"] for row in found.docs] == [n.to_bytes(16, "big") for n in kept]
    quarantined = sum(f.verdict is not None and f.verdict[1] == "quarantined" for f in fates)
    dropped = Counter(
        "\t".join(f.verdict) for f in fates if f.verdict and f.verdict[1] != "quarantined"
    )
    assert found.counters == {
        "documents_in": len(texts),
        "kept": len(kept),
        "dropped": dict(dropped),
        "quarantined": quarantined,
    }
    assert len(texts) == len(kept) + sum(dropped.values()) + quarantined
    # `measure` ran once for exactly those pages that have a value, a null or a NaN to give.
    assert len(MEASURED) == len(set(MEASURED))


@settings(max_examples=40, deadline=None)
@given(texts=documents, links=chains(), sizes=st.tuples(st.integers(1, 15), st.integers(1, 15)))
def test_batches_split_anywhere_give_the_same_bytes(
    texts: list[dict[str, Any]], links: list[Link], sizes: tuple[int, int]
) -> None:
    one, other = (segment(texts, links, size) for size in sizes)
    assert one.bytes == other.bytes
    assert one.counters == other.counters


def test_the_verdict_is_the_first_broken_rule_in_step_order_and_later_steps_still_measure() -> None:
    MEASURED.clear()
    links = [link("one", Judge("a", low=0)), link("two", Judge("b", low=0))]
    found = segment([{"a": -1.0, "b": -1.0}, {"a": 1.0, "b": -1.0}, {"a": 1.0, "b": 1.0}], links)
    assert [row["drop_reason"] for row in found.metrics] == ["one.a_too_low", "two.b_too_low", None]
    assert [row["two.b"] for row in found.metrics] == [-1.0, -1.0, 1.0]
    assert len(MEASURED) == 6


def test_a_costly_filter_measures_only_documents_that_no_rule_has_dropped() -> None:
    MEASURED.clear()
    links = [link("one", Judge("a", low=0)), link("two", CostlyJudge("b", low=0))]
    found = segment([{"a": -1.0, "b": 1.0}, {"a": 1.0, "b": -1.0}], links)
    assert [row["two.b"] for row in found.metrics] == [None, -1.0]
    assert [metric for metric, _ in MEASURED] == ["a", "a", "b"]


def test_a_document_that_an_apply_drops_is_measured_no_further() -> None:
    MEASURED.clear()
    links = [link("gone", Remover()), link("two", Judge("a", low=0))]
    found = segment([{"a": -1.0, "r": True}, {"a": 1.0, "r": False}], links)
    assert [row["two.a"] for row in found.metrics] == [None, 1.0]
    assert [row["drop_reason"] for row in found.metrics] == ["gone.gone", None]
    assert [doc_id[-1] for _, doc_id in MEASURED] == [1]


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_metric_that_was_not_measured_breaks_no_rule(value: float | None) -> None:
    found = segment([{"a": value}], [link("one", Judge("a", low=1, high=0))])
    assert found.metrics[0]["one.a"] is None
    assert found.metrics[0]["drop_reason"] is None
    assert len(found.docs) == 1


# --- the dropped sample ------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.sampled_from([-1.0, 0.5, 3.0]), max_size=30),
    batch_rows=st.integers(1, 31),
    removed=st.sets(st.integers(0, 29)),
)
def test_the_sample_of_dropped_texts_holds_the_lowest_draws_of_each_reason(
    values: list[float], batch_rows: int, removed: set[int]
) -> None:
    texts = [{"a": value, "r": n in removed} for n, value in enumerate(values)]
    links = [link("one", Judge("a", low=0, high=1)), link("gone", Remover())]
    by_reason: dict[str, list[int]] = {}
    for n, fate in enumerate(plain(texts, links, ())):
        if fate.verdict:
            by_reason.setdefault(fate.verdict[1], []).append(n)
    with mock.patch.object(sample, "SAMPLE_ROWS", 4):
        found = {
            k: segment(texts, links, batch_rows, keep_dropped=k) for k in ("sample", "all", "none")
        }
    lowest = {
        reason: set(sorted(ns, key=lambda n: draw(SEED, "sample", n.to_bytes(16, "big")))[:4])
        for reason, ns in by_reason.items()
    }
    for kind, expected in (("sample", lowest), ("all", by_reason), ("none", {})):
        got: dict[str, list[int]] = {reason: [] for reason in expected}
        for row in found[kind].dropped:
            got[row["drop_reason"]].append(row["offset"])
            assert json.loads(row["text"]) == texts[row["offset"]]
        assert {reason: sorted(ns) for reason, ns in got.items()} == {
            reason: sorted(ns) for reason, ns in expected.items()
        }
    assert found["sample"].bytes["docs"] == found["none"].bytes["docs"]


def test_a_hundred_texts_a_reason_are_kept_by_default() -> None:
    found = segment([{"a": -1.0}] * 130 + [{"a": 9.0}] * 3, [link("one", Judge("a", 0, 1))], 50)
    reasons = Counter(row["drop_reason"] for row in found.dropped)
    assert reasons == {"one.a_too_low": 100, "one.a_too_high": 3}


# --- text maps, emits, sources -----------------------------------------------------------------


@dataclass(frozen=True)
class Shorten(TextMap):
    """Cuts the text and tells what it cut."""

    adds: ClassVar[Mapping[str, pa.DataType]] = {"head": pa.string()}
    metrics: ClassVar[Mapping[str, type]] = {"cut": int}

    def rewrite(self, page: Page) -> Rewrite:
        return Rewrite(page.text[:5], {"cut": len(page.text) - 5}, {"head": page.text[:1]})

    def rules(self) -> Rules:
        return (at_least("cut", 0),)


@dataclass(frozen=True)
class CountsWords(Filter):
    metrics: ClassVar[Mapping[str, type]] = {"chars": int}

    def measure(self, page: Page) -> dict[str, int]:
        return {"chars": len(page.text) + len("".join(page.words)) + len(page.lines[0])}


def test_a_rewritten_text_is_what_later_steps_and_the_output_see() -> None:
    chars = link("before", CountsWords()), link("after", CountsWords())
    links = [chars[0], link("cut", Shorten()), chars[1]]
    schema = pa.schema([*DOCUMENTS, ("head", pa.string())])
    found = segment([{"abcdef": 1}], links, output=schema)
    length = len('{"abcdef":1}') + 1
    [row] = found.metrics
    assert row["before.chars"] == 3 * length - 1  # words hold no space
    assert (row["after.chars"], row["cut.cut"]) == (15, length - 5)
    assert (found.docs[0]["text"], found.docs[0]["head"]) == ('{"abc', "{")
    assert row["num_chars"] == length


def test_emits_see_kept_documents_only_and_a_segment_of_emits_keeps_no_documents() -> None:
    rows = pa.schema([("doc_id", pa.binary(16))])
    emit = Emit("seen", lambda batch, side: batch.table.select(["doc_id"]), rows)
    emits = [Link("dedup", Judge("b"), emit, Context("dedup", SEED))]
    texts = [{"a": -1.0, "b": 0.0}, {"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 0.0}]
    found = segment(texts, [link("one", Judge("a", low=0)), *emits], 1)
    assert [row["doc_id"][-1] for row in found.side["seen"]] == [1, 2]
    alone = segment(texts, emits, 2, output=None)
    assert [row["doc_id"][-1] for row in alone.side["seen"]] == [0, 1, 2]
    assert "docs" not in alone.bytes
    assert alone.counters["kept"] == 3


@dataclass(frozen=True)
class Lines(Source):
    """A line a document; `?` is refused, `!` is damage."""

    paths: tuple[str, ...] = ()
    base: str | None = None
    schema: ClassVar[pa.Schema] = DOCUMENTS

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        for number, line in enumerate(stream.read().decode().split()):
            doc_id = number.to_bytes(16, "big")
            row = {"doc_id": doc_id, "url": None, "file": partition.file, "offset": number}
            if line == "?":
                yield SourceBatch(refused=[{**row, "reason": "too_large"}])
            elif line == "!":
                yield SourceBatch(damage=[Damage(partition.file, 10, number, "torn")])
            elif line == "boom":
                raise ZeroDivisionError("in the source")
            else:
                table = pa.Table.from_pylist([{**row, "text": json.dumps({"a": float(line)})}])
                yield SourceBatch(table)


def read_lines(lines: str, *quarantined: int) -> Outcome:
    with environment() as env:
        path = Path(env.storage.root, "in.txt")
        path.write_text(lines)
        partition = Partition("web", str(path), "in.txt", 77, "token")
        source = ("web", Lines(), partition, Context("web", SEED))
        named = tuple((n.to_bytes(16, "big").hex(), "web") for n in quarantined)
        links = (link("one", Judge("a", low=0)),)
        call = SegmentCall(
            "0" * 32, source, None, links, DOCUMENTS, DOCUMENTS, SEED, "sample", named
        )
        return outcome(run_segment(call, env))


def test_refusals_and_quarantine_of_a_source_are_counted_and_damage_is_reported() -> None:
    found = read_lines("1 ? -1 ! 2 ?", 4)
    assert found.counters == {
        "documents_in": 5,
        "kept": 1,
        "dropped": {"one\tone.a_too_low": 1, "web\tweb.too_large": 2},
        "quarantined": 1,
        "input_bytes": 77,
        "damage": [{"file": "in.txt", "num_bytes": 10, "offset": 3, "reason": "torn"}],
    }
    by_offset = {row["offset"]: row["drop_reason"] for row in found.metrics}
    assert by_offset == {0: None, 1: "web.too_large", 2: "one.a_too_low", 4: "quarantined",
                         5: "web.too_large"}  # fmt: skip
    assert [row["source"] for row in found.docs] == ["web"]


# --- errors ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong(Filter):
    """Breaks its contract in one of several ways."""

    how: str = ""
    metrics: ClassVar[Mapping[str, type]] = {"known": float}

    def measure_batch(self, batch: TextBatch) -> Mapping[str, Any]:
        if self.how == "raises":
            return {"known": [1 / json.loads(text)["a"] for text in batch.texts]}
        answers: dict[str, Mapping[str, Any]] = {
            "undeclared": {"unknown": [1.0] * len(batch)},
            "short": {"known": [1.0] * (len(batch) - 1)},
            "words": {"known": ["one"] * len(batch)},
            "one": {"known": 3},
            "huge": {"known": [2**70] * len(batch)},
        }
        return answers[self.how]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("undeclared", ["'unknown' is not declared"]),
        ("short", ["'known' has 2 values for 3 documents"]),
        ("words", ["'known' cannot be stored as double"]),
        ("one", ["'known' cannot be stored as double: 'int' object is not iterable"]),
        ("huge", ["'known' cannot be stored as double: Python int too large"]),
        ("raises", ["ZeroDivisionError", f"doc_id {1:032x}"]),
    ],
)
def test_a_filter_that_breaks_its_contract_is_a_stage_error_that_names_the_step(
    how: str, words: list[str]
) -> None:
    with pytest.raises(StageError) as caught:
        segment([{"a": 1.0}, {"a": 0.0}, {"a": 1.0}], [link("broken", Wrong(how))])
    for word in ("segment, unit u, step 'broken'", *words):
        assert word in str(caught.value)


def test_a_source_that_fails_is_a_stage_error_with_its_file() -> None:
    with pytest.raises(StageError, match=r"step 'web' failed.*in\.txt: ZeroDivisionError"):
        read_lines("1 boom")


NEEDS_Z = pa.struct([pa.field("z", pa.int64(), nullable=False)])


@pytest.mark.parametrize(
    ("table", "kind", "problem"),
    [
        (pa.table({"a": ["word"]}), pa.int64(), "word"),
        (pa.table({"a": [[1]]}), pa.float64(), "Unsupported cast"),
        (
            pa.table({"a": [{"x": 1}]}),
            pa.struct([pa.field("z", pa.int64(), False)]),
            "non-nullable",
        ),
        (pa.table([[1], [2]], names=["a", "a"]), pa.int64(), "exists 2 times"),
    ],
)
def test_columns_that_are_not_as_declared_are_a_stage_error_that_says_where(
    table: pa.Table, kind: pa.DataType, problem: str
) -> None:
    with pytest.raises(StageError, match=f"here: the columns are not as declared: .*{problem}"):
        conform(table, pa.schema([("a", kind)]), "here")


# --- metrics that a later step needs, by the real planner ---------------------------------------


@dataclass(frozen=True)
class Score(Filter):
    """The length of the text."""

    metrics: ClassVar[Mapping[str, type]] = {"length": int, "other": int}

    def measure(self, page: Page) -> dict[str, int]:
        return {"length": len(page.text), "other": 1}


@dataclass(frozen=True)
class Slow(Filter):
    """Ends the segment, so that the next step stands in another one."""

    expensive: ClassVar[bool] = True
    metrics: ClassVar[Mapping[str, type]] = {"nothing": int}

    def measure(self, page: Page) -> dict[str, int]:
        return {"nothing": 0}


@dataclass(frozen=True)
class ReadsScore(Filter):
    """Hands the carried metric on as a metric of its own."""

    metrics: ClassVar[Mapping[str, type]] = {"seen": int}

    def needs(self) -> tuple[str, ...]:
        return ("score.length",)

    def measure(self, page: Page) -> dict[str, int]:
        return {"seen": page["score.length"]}


ROWS = [{"id": str(n), "text": "x" * (10 + n)} for n in range(5)]
HEAD = """\
steps:
  - read_jsonl: {{paths: ["{inputs}"], id: id}}
  - id: score
    "test_segment:Score": {{}}
"""
SEEN = '  - id: {id}\n    "test_segment:ReadsScore": {{}}\n'
SLOW = '  - id: slow\n    "test_segment:Slow": {}\n'


def steps_run(
    run_yaml: RunConfig, folder: Path, text: str
) -> tuple[list[str], dict[str, list[int]]]:
    """Columns of the written documents, and the values of all metrics named `seen`."""
    inputs = write_jsonl(folder / "in.jsonl", ROWS)
    run_yaml((HEAD + text + "  - write_documents: {{}}\n").format(inputs=inputs), folder / "work")
    [file] = (folder / "work" / "documents").rglob("*.parquet")
    seen: dict[str, list[int]] = {}
    for path in (folder / "work" / "steps").rglob("metrics-*/*.parquet"):
        table = pq.read_table(path)
        seen |= {n: table[n].to_pylist() for n in table.column_names if n.endswith(".seen")}
    return pq.read_schema(file).names, seen


lengths = [len(str(row["text"])) for row in ROWS]


@pytest.mark.parametrize("between", ["", SLOW], ids=["one segment", "two segments"])
def test_a_metric_that_a_later_filter_needs_arrives_as_a_column(
    run_yaml: RunConfig, tmp_path: Path, between: str
) -> None:
    text = between.replace("{}", "{{}}") + SEEN.format(id="seen").replace("{}", "{{}}")
    _, seen = steps_run(run_yaml, tmp_path, text)
    assert seen == {"seen.seen": lengths}


@pytest.mark.parametrize("between", ["", SLOW], ids=["one segment", "two segments"])
def test_a_carried_metric_is_gone_behind_the_filter_that_needed_it(
    run_yaml: RunConfig, tmp_path: Path, between: str
) -> None:
    text = between.replace("{}", "{{}}") + SEEN.format(id="seen").replace("{}", "{{}}")
    columns, _ = steps_run(run_yaml, tmp_path, text)
    assert [name for name in columns if "." in name] == []


def test_a_carried_metric_is_gone_behind_the_dedup_that_needed_it(
    run_yaml: RunConfig, tmp_path: Path
) -> None:
    columns, _ = steps_run(run_yaml, tmp_path, '  - exact_dedup: {{keep: ["-score.length"]}}\n')
    assert [name for name in columns if "." in name] == []


def test_two_dedups_may_need_the_same_metric(run_yaml: RunConfig, tmp_path: Path) -> None:
    text = '  - exact_dedup: {{keep: ["-score.length"]}}\n' + (
        '  - minhash_dedup: {{keep: ["-score.length"]}}\n'
    )
    columns, _ = steps_run(run_yaml, tmp_path, text)
    assert [name for name in columns if "." in name] == []
