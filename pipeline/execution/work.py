"""Work: one pure function of named inputs, with the key that names its result.

A call (`SegmentCall`, `ScatterCall`, ...) says what to do; `worker.execute` does it anywhere: in
the driver's process, in a Ray worker, twice, after a crash. All of it is small and picklable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.erasure.excluded import Excluding
from pipeline.files.storage import Storage
from pipeline.phases import Apply, Combine, Emit, Exchange
from pipeline.results.manifest import Dataset
from pipeline.stage import Partition, RowStage, Source, Stage


@dataclass(frozen=True)
class MadeFile:
    """A local file that a call made, before it is stored."""

    path: Path
    rows: int
    info: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    """File name inside the output's folder; default: the unit's."""
    publish_as: str = ""
    """Final path in the workdir instead, with `{checksum}` for 8 hex digits of its sha256."""


@dataclass
class Made:
    """What a call made: files by output name, and what it counted."""

    outputs: dict[str, list[MadeFile]]
    counters: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    """Work key, where it is known only now: what a source met of a list of excluded pages."""


@dataclass(frozen=True)
class Env:
    """Where a call runs."""

    storage: Storage
    scratch: Path
    where: str
    """`<node>, unit <unit>` for error messages."""


@dataclass(frozen=True)
class Work:
    """One unit of work. Equal keys mean equal outputs."""

    key: str
    node: str
    unit: str
    folder: str
    """`steps/<node>-<key12>`: where its outputs go."""
    call: Any
    """What to do: one of the calls below, run by `worker.run_call`."""
    num_bytes: int = 0
    """Stored bytes that it reads: small works travel together."""
    dataset: str = "dataset"
    """Folder that takes the place of `dataset/` in `OutputFile.publish_as` (`--limit`)."""


@dataclass(frozen=True)
class Context:
    """What the stages of a call may look up; `tables.side_of` makes it their `Side`."""

    step: str
    seed: int
    tables: Mapping[str, Dataset] = field(default_factory=dict)
    artefacts: Mapping[str, Dataset] = field(default_factory=dict)
    stages: Mapping[str, Stage] = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    """One row-wise step or phase in a segment's chain."""

    step: str
    stage: RowStage
    phase: Apply | Emit | None
    """None for a plain row-wise stage."""
    context: Context
    rows: Dataset | None = None
    """An apply's rows for this partition."""


@dataclass(frozen=True)
class SegmentCall:
    """Neighbouring row-wise steps on one partition; see `segment.run_segment`."""

    partition: str
    source: tuple[str, Source, Partition, Context] | None
    """Step id, stage, what to read; None where documents come from an earlier segment."""
    documents: Dataset | None
    links: tuple[Link, ...]
    schema: pa.Schema
    """Documents as they enter."""
    output: pa.Schema | None
    """Documents as they leave; None for a segment that only emits."""
    seed: int
    keep_dropped: str
    quarantine: tuple[tuple[str, str], ...] = ()
    """(doc_id in hex, step id) of documents to skip."""
    carry: tuple[tuple[str, str], ...] = ()
    """(step id, metric) to add as document columns `<step id>.<metric>`."""
    excluding: Excluding | None = None
    """Pages that the source leaves out."""
    later: tuple[Stage, ...] = ()
    """Stages of steps to come that need kernels, in the order in which to compile for them."""


@dataclass(frozen=True)
class ScatterCall:
    """One partition's rows of an exchange, into one bucket-major file."""

    phase: Exchange
    unit: str
    is_partition: bool
    inputs: Mapping[str, Dataset]
    context: Context
    num_buckets: int
    """0 for `buckets="value"`: as many as the key says."""
    partitions: Sequence[str] = ()
    """For `buckets="partition"`: ids in bucket order."""


@dataclass(frozen=True)
class ReduceCall:
    """One bucket of an exchange, from every scatter file."""

    phase: Exchange
    bucket: int
    scattered: tuple[Dataset, ...]
    context: Context


@dataclass(frozen=True)
class EachCall:
    """One partition's small state of a combine."""

    phase: Combine
    unit: str
    is_partition: bool
    inputs: Mapping[str, Dataset]
    context: Context


@dataclass(frozen=True)
class MergeCall:
    """All small states of a combine, into a table or an artefact."""

    phase: Combine
    inputs: tuple[Dataset, ...]
    context: Context


@dataclass(frozen=True)
class OutputCall:
    """One partition's documents, as a finished file."""

    stage: Any
    partition: str
    documents: Dataset
    context: Context
