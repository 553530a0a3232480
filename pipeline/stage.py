"""The plug-in surface: what a stage is, and the words it is written in. The file that users read.

A stage is a frozen dataclass. Its fields are its configuration and its identity: equal fields and
equal `version` mean equal output. Tables go in, tables come out; the engine does everything else
(metrics, drop reasons, the funnel, caching, resume, Ray). A filter in ten lines:

    @dataclass(frozen=True)
    class Shout(Filter):
        max_upper: float = knob(0.3, unit="ratio", source="audit of 200 pages")

        def measure(self, page: Page) -> dict[str, float]:
            letters = [c for c in page.text if c.isalpha()]
            return {"upper": sum(map(str.isupper, letters)) / max(len(letters), 1)}

        def rules(self) -> Rules:
            return (at_most("upper", self.max_upper),)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.batch import Page, TextBatch
from pipeline.draw import draw_column
from pipeline.execution.warm_up import Call, example_batch
from pipeline.files.partition import Listed, Partition
from pipeline.files.storage import Storage
from pipeline.files.uris import open_input
from pipeline.knobs import (
    KnobInfo,
    input_steps,
    knob,
    knob_info,
    location,
    model_file,
    model_files,
    reference,
)
from pipeline.phases import Apply, Combine, Emit, Exchange, OutputFile, Phase

__all__ = [
    "Apply", "Combine", "Damage", "Emit", "Exchange", "Filter", "GlobalStage", "KnobInfo", "Listed",
    "Output", "OutputFile", "Page", "Partition", "Phase", "Processed", "Rewrite", "RowStage",
    "Rule", "Rules", "Side", "Source", "SourceBatch", "Stage", "TextBatch", "TextMap", "at_least",
    "at_most", "between", "equals", "input_steps", "knob", "knob_info", "location", "model_file",
    "model_files", "reference",
]  # fmt: skip

Metrics = Mapping[str, Any]


class Stage:
    """Base of all stages. Subclasses are frozen dataclasses, importable by `module:Class`."""

    must_implement: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Methods that a subclass implements: one at least of each group. Checked before a run."""
    version: ClassVar[int] = 1
    """Bump when output changes for equal knobs, with a line of history in the docstring."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions whose installed versions are part of the identity."""
    depends_on: ClassVar[tuple[str, ...]] = ()
    """Further modules whose source is part of the identity of a user's own stage."""
    files: ClassVar[tuple[str, ...]] = ()
    """Files besides the code whose content is part of the identity, such as a shipped model."""
    expensive: ClassVar[bool] = False
    """True ends the segment here, so that changing a later threshold never repeats this stage."""
    draws: ClassVar[bool] = False
    """True if the stage uses `side.draw`: the seed then enters its identity."""
    reads: ClassVar[tuple[str, ...]] = ("text",)
    """Document columns that must be there."""
    adds: ClassVar[Mapping[str, pa.DataType]] = {}
    """Document columns that the stage adds or retypes."""
    removes: ClassVar[tuple[str, ...]] = ()
    """Document columns that are gone after the stage."""
    compiles: ClassVar[bool] = False
    """True if the stage needs compiled kernels. Then `process` can be tried on a document of text
    and URL, or `warm_up` says what to try instead."""
    asks_servers: ClassVar[bool] = False
    """True if its works send requests that `pipeline.network.rates` limits, whatever the paths."""
    kind: ClassVar[str] = ""
    """What an artefact step makes (`mixture`, `tokenizer`, ...); empty where documents come out."""

    def check(self) -> None:
        """Raise ValueError if the knobs contradict each other. Called while planning."""

    def plan_notes(self) -> list[str]:
        """Lines that `plan` prints below the step, such as an S-curve."""
        return []

    def needs(self) -> tuple[str, ...]:
        """Earlier metrics, `<step id>.<metric>`, that the stage reads as document columns."""
        return ()

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise ValueError if a knob names a column that is not among those of the documents.

        Asked of an artefact that is nothing but its knobs, such as a mixture, for each step that
        names it.
        """

    def check_sources(self, sources: Sequence[str]) -> None:
        """Raise ValueError if a knob names a source that is not among the documents' sources."""

    def content_of(self, path: str) -> str:
        """The file or folder whose content stands for a path that a model file knob names."""
        return path

    def warm_up(self) -> Sequence[Call]:
        """Calls after which no batch waits for a kernel to be compiled; `execution/warm_up.py`."""
        return ()


@dataclass(frozen=True)
class Side:
    """What a stage may read besides its batch. Built by the engine."""

    step: str
    seed: int
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    """An apply's rows for this partition; small results of earlier phases, by name."""
    artefacts: Mapping[str, Path] = field(default_factory=dict)
    """Folders of artefact files, by reference knob (`tokenizer` -> folder with tokenizer.json)."""
    stages: Mapping[str, Stage] = field(default_factory=dict)
    """The stages that reference knobs name (`mixture` -> the Mix stage)."""
    scratch: Path = Path()
    """A local folder that is deleted after the work."""

    def draw(self, purpose: str, doc_ids: pa.Array | pa.ChunkedArray, copy: int = 0) -> Any:
        """A uniform uint64 a document: the only randomness a stage may use (`draws = True`)."""
        return draw_column(self.seed, purpose, doc_ids, copy)


# --- Sources ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Damage:
    """Unreadable bytes inside a present file."""

    file: str
    num_bytes: int
    offset: int
    reason: str


@dataclass(frozen=True)
class SourceBatch:
    """What a source yields: documents, refused records, damage. Any part may be empty."""

    documents: pa.Table | None = None
    refused: Sequence[Mapping[str, Any]] = ()
    """Rows of `schema.REFUSALS` without `source`; each counts as a document dropped here."""
    damage: Sequence[Damage] = ()


class Source(Stage):
    """Reads documents. Subclasses declare `paths` and `base` and implement `read`."""

    must_implement: ClassVar[tuple[tuple[str, ...], ...]] = (("read",),)

    reads: ClassVar[tuple[str, ...]] = ()
    schema: ClassVar[pa.Schema]
    """Schema of the documents, `doc_id` and `source` included (the engine fills `source`)."""
    paths: tuple[str, ...]
    base: str | None

    def document_schema(self) -> pa.Schema:
        """Schema of the documents of this very configuration."""
        return self.schema

    def listing(self, kept: Storage) -> Sequence[Listed] | None:
        """What to read, where that is not what `paths` match: an index names it, say.

        Sorted and the same whenever it is asked for. `kept` is the workdir, where a listing that
        takes long may be kept under `plan/`. Raises InputError.
        """
        return None

    def open(self, partition: Partition) -> BinaryIO:
        """The stream that `read` gets. Raises FileNotFoundError, InputError."""
        return open_input(partition.path, partition.size, partition.token, partition.sha256)

    def ranges(self, partition: Partition) -> Sequence[tuple[int, int]]:
        """(start, stop) of the units of work that a file is: told by knobs and content alone.

        They cover the file in order; documents, refusals and damage are the same for any cut.
        """
        return ((0, partition.size),)

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        """Yield batches in offset order. `stream` is the opened file, seekable.

        Any exception is a StageError; unreadable bytes are yielded as `Damage` instead.
        """
        raise NotImplementedError


# --- Row-wise stages -------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """Inclusive bounds on one metric. A null metric (not measured) breaks no rule."""

    metric: str
    minimum: float | None = None
    maximum: float | None = None
    name: str = ""
    """Drop reason after `<step id>.`; by default made from the metric and the broken bound."""

    def reasons(self) -> tuple[str, str]:
        """Reasons for a value below `minimum` and for one above `maximum`."""
        if self.name:
            return self.name, self.name
        return f"{self.metric}_too_low", f"{self.metric}_too_high"

    def broken(self, values: pa.Array | pa.ChunkedArray) -> list[tuple[str, Any]]:
        """(reason, boolean numpy array) of each bound: where the metric's values lie beyond it."""
        low, high = self.reasons()
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            found = [] if self.minimum is None else [(low, numbers < self.minimum)]
            return found if self.maximum is None else [*found, (high, numbers > self.maximum)]


Rules = tuple[Rule, ...]


def at_most(metric: str, maximum: float, name: str = "") -> Rule:
    return Rule(metric, None, maximum, name)


def at_least(metric: str, minimum: float, name: str = "") -> Rule:
    return Rule(metric, minimum, None, name)


def between(metric: str, minimum: float, maximum: float, name: str = "") -> Rule:
    return Rule(metric, minimum, maximum, name)


def equals(metric: str, value: float, name: str = "") -> Rule:
    return Rule(metric, value, value, name)


@dataclass(frozen=True)
class Processed:
    """The answer of one row-wise call on one batch; every array has the batch's length."""

    columns: Mapping[str, pa.Array | pa.ChunkedArray] = field(default_factory=dict)
    """Document columns changed or added."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Metric arrays (numpy or Arrow; null or NaN = not measured), without the step's prefix."""
    drop: Any = None
    """Apply only: boolean array, true = remove."""
    reason: str = "dropped"
    """Apply only: the drop reason after `<step id>.`."""
    matched: pa.Array | None = None
    """Apply only: doc_id of the kept document that each dropped one lost to; null elsewhere."""
    used: Mapping[str, str] = field(default_factory=dict)
    """What did the work where that reaches no output, such as a library: for the run record."""


class RowStage(Stage):
    """A stage that sees one batch at a time. The engine removes rows, never the stage."""

    must_implement: ClassVar[tuple[tuple[str, ...], ...]] = (("process",),)

    metrics: ClassVar[Mapping[str, type]] = {}
    """Metrics besides those named by rules, and the integer ones: name -> int or float."""
    measure_kept_only: ClassVar[bool] = False
    """True for a costly filter: documents already dropped in the segment are not measured."""
    judging: ClassVar[tuple[str, ...]] = ()
    """Methods besides `rules` and `check` that measuring never calls with these knobs. A knob that
    only such methods read is a bound: `whatif` may move it (`audit/bounds.py`)."""

    def rules(self) -> Rules:
        return ()

    def metric_types(self) -> dict[str, pa.DataType]:
        """Name and type of every metric, in order of declaration."""
        names: dict[str, type] = {rule.metric: float for rule in self.rules()}
        names.update(self.metrics)
        return {name: pa.int64() if kind is int else pa.float64() for name, kind in names.items()}

    def process(self, batch: TextBatch, side: Side) -> Processed:
        raise NotImplementedError

    def sized(self, input_bytes: int) -> RowStage:
        """The stage that runs where all sources together have so many stored bytes.

        Its outputs are equal, byte for byte: works are named by the stage that was asked for."""
        return self

    def warm_up(self) -> Sequence[Call]:
        if not self.compiles:
            return ()
        return (lambda: self.process(example_batch(), Side("warm_up", 0)),)


class Filter(RowStage):
    """Measures documents; `rules` judge. Implement `measure`, or `measure_batch` for speed."""

    must_implement: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("measure", "measure_batch", "process"),
    )

    def measure(self, page: Page) -> Metrics:
        """Named numbers of one document."""
        raise NotImplementedError

    def measure_batch(self, batch: TextBatch) -> Mapping[str, Any]:
        """Named arrays of the batch's length. The default calls `measure` for each page."""
        return collect_metrics([self.measure(page) for page in batch])

    def process(self, batch: TextBatch, side: Side) -> Processed:
        return Processed(metrics=self.measure_batch(batch))


@dataclass(frozen=True)
class Rewrite:
    """A text map's answer for one document."""

    text: str
    metrics: Metrics = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Values of the columns in `adds`."""


class TextMap(RowStage):
    """Rewrites text. May return metrics, judged by `rules`, and the columns declared in `adds`."""

    must_implement: ClassVar[tuple[tuple[str, ...], ...]] = (("rewrite", "process"),)

    def rewrite(self, page: Page) -> str | Rewrite:
        raise NotImplementedError

    def process(self, batch: TextBatch, side: Side) -> Processed:
        answers = [self.rewrite(page) for page in batch]
        rewrites = [Rewrite(a) if isinstance(a, str) else a for a in answers]
        columns: dict[str, pa.Array] = {
            "text": pa.array([r.text for r in rewrites], pa.large_string())
        }
        for name, kind in self.adds.items():
            if name != "text":
                columns[name] = pa.array([r.columns.get(name) for r in rewrites], kind)
        return Processed(columns, collect_metrics([r.metrics for r in rewrites]))


def collect_metrics(rows: Sequence[Metrics]) -> dict[str, list[Any]]:
    """Rows of named numbers -> named columns; a name missing from a row is null there."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    return {name: [row.get(name) for row in rows] for name in names}


# --- Global steps and outputs -----------------------------------------------------------------


class GlobalStage(RowStage):
    """A step that needs all documents: a list of phases, each keyed by only the knobs it reads."""

    must_implement: ClassVar[tuple[tuple[str, ...], ...]] = (("phases",),)

    def phases(self) -> tuple[Phase, ...]:
        raise NotImplementedError


class Output(Stage):
    """A leaf that writes each partition's documents as a finished file."""

    must_implement: ClassVar[tuple[tuple[str, ...], ...]] = (("write",),)

    def write(self, batches: Iterator[pa.Table], partition: str, side: Side) -> OutputFile | None:
        """Write one partition's documents to `side.scratch`; None if there are none."""
        raise NotImplementedError


def is_frozen_stage(cls: type) -> bool:
    """True if `cls` is a frozen dataclass derived from Stage."""
    params = getattr(cls, "__dataclass_params__", None)
    return issubclass(cls, Stage) and bool(params and params.frozen)


def lacking(cls: type[Stage]) -> str | None:
    """What the class had to implement and did not, in words; None if nothing."""
    base = next(one for one in cls.__mro__ if "must_implement" in vars(one))
    for group in cls.must_implement:
        if all(getattr(cls, name) is getattr(base, name, None) for name in group):
            return " or ".join(group)
    return None
