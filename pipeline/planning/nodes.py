"""Nodes: what the works of a segment, or of a phase of a global step, have in common.

`lowering` makes them from a plan; `schedule` makes their works once their inputs are done.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.phases import Apply, Combine, Emit, Exchange
from pipeline.planning.fingerprint import digest
from pipeline.planning.plan import Step


@dataclass(frozen=True)
class ChainLink:
    """A row-wise step or phase in a segment."""

    step: Step
    phase: Apply | Emit | None
    key: str


@dataclass
class SegmentNode:
    """Neighbouring row-wise steps; one work a partition."""

    id: str
    source: Step | None
    upstream: list[str]
    """Segments whose documents enter."""
    schema_in: pa.Schema
    links: list[ChainLink] = field(default_factory=list)
    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    closed: bool = False
    source_key: str = ""
    carry: list[tuple[str, str]] = field(default_factory=list)
    """(step id, metric) that a later step needs as a document column."""

    @property
    def keeps_documents(self) -> bool:
        """False for a segment that only emits: its documents are its input's."""
        return self.source is not None or any(
            not isinstance(link.phase, Emit) for link in self.links
        )

    @property
    def key(self) -> str:
        return digest([self.source_key, *(link.key for link in self.links)])


@dataclass(frozen=True)
class Read:
    """What a phase reads: `docs` (from segments), an emit's rows, or an earlier phase's."""

    name: str
    nodes: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class ScatterNode:
    """The map side of an exchange; one work a partition."""

    id: str
    step: Step
    phase: Exchange
    key: str
    reads: tuple[Read, ...]
    singles: tuple[Read, ...]
    documents: tuple[str, ...]


@dataclass(frozen=True)
class ReduceNode:
    """The reduce side; one work a bucket."""

    id: str
    step: Step
    phase: Exchange
    key: str
    scatter: str
    singles: tuple[Read, ...]
    documents: tuple[str, ...]


@dataclass(frozen=True)
class EachNode:
    """The map side of a combine; one work a partition."""

    id: str
    step: Step
    phase: Combine
    key: str
    reads: tuple[Read, ...]
    singles: tuple[Read, ...]


@dataclass(frozen=True)
class MergeNode:
    """The merge of a combine; one work."""

    id: str
    step: Step
    phase: Combine
    key: str
    each: str | None
    singles: tuple[Read, ...]


@dataclass(frozen=True)
class OutputNode:
    """Finished files of documents; one work a partition."""

    id: str
    step: Step
    key: str
    documents: tuple[str, ...]


Node = SegmentNode | ScatterNode | ReduceNode | EachNode | MergeNode | OutputNode
