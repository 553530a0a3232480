"""Nodes -> works with their keys, made as soon as the inputs of a node are done.

Work keys are H(what is done, on which unit, digests of exactly the outputs it reads). Worker count,
host, time and paths never enter, so equal outputs of a changed step stop the change there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.erasure.excluded import Excluding
from pipeline.execution.quarantine import Entry
from pipeline.execution.work import (
    Context,
    EachCall,
    Link,
    MergeCall,
    OutputCall,
    ReduceCall,
    ScatterCall,
    SegmentCall,
    Work,
)
from pipeline.execution.worker import partition_id
from pipeline.phases import Apply
from pipeline.planning.fingerprint import digest
from pipeline.planning.lowering import Lowering, dependencies
from pipeline.planning.nodes import (
    ChainLink,
    EachNode,
    MergeNode,
    Node,
    OutputNode,
    Read,
    ReduceNode,
    ScatterNode,
    SegmentNode,
)
from pipeline.planning.plan import Plan, Step
from pipeline.results.manifest import Dataset, Manifest
from pipeline.stage import GlobalStage, Partition, RowStage, Source, Stage

if TYPE_CHECKING:
    from pipeline.erasure.exclusion import Exclusions

BUCKET_BYTES = 32 << 20
"""Stored bytes a bucket is planned for: with zstd about 100 MB in a reducer's memory."""
MAX_BUCKETS = 4096
UNKNOWN_BYTES = 1 << 30
"""What a file counts whose size is not known before it is read: it travels alone."""

Quarantine = Mapping[str, Sequence[Entry]]
"""Partition id -> (doc_id in hex, step id) of documents to skip."""


def num_buckets(total_bytes: int, num_units: int) -> int:
    """Buckets of an exchange: a power of two, from its input's bytes and units alone."""
    wanted = max(-(-total_bytes // BUCKET_BYTES), -(-num_units // 8), 1)
    return int(min(MAX_BUCKETS, 1 << (wanted - 1).bit_length()))


def _total(datasets: Iterable[Dataset]) -> int:
    return sum(dataset.num_bytes for dataset in datasets)


class Schedule:
    """The nodes of one run, what is done of them, and the works that come next."""

    def __init__(
        self,
        plan: Plan,
        inputs: Mapping[str, Sequence[Partition]],
        quarantine: Quarantine,
        dataset: str = "dataset",
        exclusions: Exclusions | None = None,
    ) -> None:
        self.exclusions = exclusions
        self.plan, self.inputs, self.dataset = plan, inputs, dataset
        self.quarantine = dict(quarantine)
        self.lowering = Lowering(plan)
        self.nodes = self.lowering.run()
        self.results: dict[str, dict[str, Manifest]] = {name: {} for name in self.nodes}
        self.done: set[str] = set()
        self.input_bytes = sum(
            p.num_bytes or UNKNOWN_BYTES for found in inputs.values() for p in found
        )
        self.compiled_ahead: tuple[Stage, ...] = ()
        """What the works of sources compile for besides their own stages; see `warm_up`."""

    def sized(self, stage: Stage) -> Stage:
        """The stage as it runs on all inputs of this run."""
        return stage.sized(self.input_bytes) if isinstance(stage, RowStage) else stage

    def dependencies(self, name: str) -> list[str]:
        return dependencies(self.nodes[name], self.lowering)

    def ready(self, name: str) -> bool:
        """True if every node that this one reads is done."""
        return all(before in self.done for before in self.dependencies(name))

    def streams_from(self, name: str) -> str | None:
        """The one segment whose partitions this segment may follow one by one, if so."""
        node = self.nodes[name]
        if not isinstance(node, SegmentNode) or node.source or len(node.upstream) != 1:
            return None
        return node.upstream[0] if self.dependencies(name) == node.upstream else None

    def works(self, name: str) -> list[Work]:
        """All works of a node whose inputs are done, in order of unit."""
        node = self.nodes[name]
        if isinstance(node, SegmentNode):
            return self._segments(node)
        if isinstance(node, ScatterNode):
            return self._scatters(node)
        if isinstance(node, ReduceNode):
            return self._reduces(node)
        if isinstance(node, EachNode):
            return self._eaches(node)
        if isinstance(node, MergeNode):
            return [self._merge(node)]
        return self._outputs(node)

    # --- segments ----------------------------------------------------------------------------

    def _segments(self, node: SegmentNode) -> list[Work]:
        if node.source:
            return [self._source_work(node, p) for p in self.inputs[node.source.id]]
        units = {
            unit: manifest.outputs["docs"]
            for name in node.upstream
            for unit, manifest in self.results[name].items()
        }
        return [self.segment_work(node, unit, units[unit]) for unit in sorted(units)]

    def _source_work(self, node: SegmentNode, partition: Partition) -> Work:
        assert node.source is not None
        assert isinstance(node.source.stage, Source)
        unit = partition_id(partition)
        context = self._context(node.source)
        source = (node.source.id, node.source.stage, partition, context)
        parts = {"size": partition.size, "token": partition.token, "file": partition.file}
        return self._segment(node, unit, parts, source, None)

    def segment_work(self, node: SegmentNode, unit: str, documents: Dataset) -> Work:
        """The work of a segment on one partition of the segment before it."""
        return self._segment(node, unit, {"docs": documents.digest}, None, documents)

    def made_anew(self, work: Work) -> Work:
        """The work of a segment once more, by the quarantine as it is now."""
        node, call = self.nodes[work.node], work.call
        assert isinstance(node, SegmentNode)
        assert isinstance(call, SegmentCall)
        if call.source:
            return self._source_work(node, call.source[2])
        assert call.documents is not None
        return self.segment_work(node, work.unit, call.documents)

    def _segment(
        self,
        node: SegmentNode,
        unit: str,
        parts: Mapping[str, Any],
        source: tuple[str, Source, Partition, Context] | None,
        documents: Dataset | None,
    ) -> Work:
        steps = {link.step.id for link in node.links} | ({node.source.id} if node.source else set())
        quarantine = tuple(q for q in self.quarantine.get(unit, ()) if q[1] in steps)
        links = tuple(self._link(link, unit) for link in node.links)
        call = SegmentCall(
            unit, source, documents, links, node.schema_in,
            node.schema if node.keeps_documents else None,
            self.plan.config.seed, self.plan.config.keep_dropped, quarantine, tuple(node.carry),
            later=self.compiled_ahead if source else (),
        )  # fmt: skip
        key = digest(
            {
                "chain": node.key,
                "unit": unit,
                "input": parts,
                "rows": [link.rows.digest if link.rows else None for link in links],
                "artefacts": [self._artefact_digests(link.step) for link in node.links],
                "quarantine": quarantine,
                "carry": node.carry,
            }
        )
        if source and self.exclusions:
            call = replace(call, excluding=Excluding(self.exclusions.path, key))
            key = self.exclusions.key(key, node.id, unit)
        size = documents.num_bytes if documents else 0
        if source:
            size = source[2].num_bytes or UNKNOWN_BYTES
        return self._work(node, key, unit, call, size)

    def _link(self, link: ChainLink, unit: str) -> Link:
        assert isinstance(link.step.stage, RowStage)
        rows = None
        if isinstance(link.phase, Apply):
            made = self.lowering.applies[link.step.id, link.phase.name]
            rows = self.results[made][unit].outputs["rows"]
        stage = self.sized(link.step.stage)
        assert isinstance(stage, RowStage)
        return Link(link.step.id, stage, link.phase, self._context(link.step), rows)

    # --- exchanges ---------------------------------------------------------------------------

    def _read(self, read: Read) -> dict[str, Dataset]:
        return {
            unit: manifest.outputs[read.output]
            for name in read.nodes
            for unit, manifest in self.results[name].items()
        }

    def _units(self, reads: Sequence[Read]) -> dict[str, dict[str, Dataset]]:
        """Unit -> the tables that it reads; `all` for a phase that reads small results only."""
        if not reads:
            return {"all": {}}
        found: dict[str, dict[str, Dataset]] = {}
        for read in reads:
            for unit, dataset in self._read(read).items():
                found.setdefault(unit, {})[read.name] = dataset
        for unit, tables in found.items():
            missing = [read.name for read in reads if read.name not in tables]
            if missing:
                raise AssertionError(f"unit {unit} has no '{missing[0]}'")
        return dict(sorted(found.items()))

    def _partitions(self, documents: Sequence[str]) -> list[str]:
        return sorted({unit for name in documents for unit in self.results[name]})

    def _buckets(self, node: ScatterNode) -> int:
        if node.phase.buckets == "partition":
            return len(self._partitions(node.documents))
        if node.phase.buckets == "value":
            return 0
        units = self._units(node.reads)
        total = sum(d.num_bytes for tables in units.values() for d in tables.values())
        return num_buckets(total, len(units))

    def _scatters(self, node: ScatterNode) -> list[Work]:
        partitions = self._partitions(node.documents) if node.phase.buckets == "partition" else []
        of_partitions = set(self._partitions(node.documents))
        buckets = self._buckets(node)
        context = self._context(node.step, node.singles)
        common = {
            "phase": node.key,
            "kind": "scatter",
            "buckets": buckets,
            "partitions": partitions,
            "singles": self._single_digests(node.singles),
            "artefacts": self._artefact_digests(node.step),
        }
        works = []
        for unit, tables in self._units(node.reads).items():
            call = ScatterCall(
                node.phase, unit, unit in of_partitions, tables, context, buckets, partitions
            )
            key = digest(
                {**common, "unit": unit, "inputs": {n: d.digest for n, d in tables.items()}}
            )
            works.append(self._work(node, key, unit, call, _total(tables.values())))
        return works

    def _reduces(self, node: ReduceNode) -> list[Work]:
        scattered = self.results[node.scatter]
        datasets = tuple(scattered[unit].outputs["rows"] for unit in sorted(scattered))
        scatter = self.nodes[node.scatter]
        assert isinstance(scatter, ScatterNode)
        if node.phase.buckets == "partition":
            names = self._partitions(node.documents)
        elif node.phase.buckets == "value":
            most = max((m.counters["num_buckets"] for m in scattered.values()), default=0)
            names = [f"b{number:05d}" for number in range(most)]
        else:
            names = [f"b{number:05d}" for number in range(self._buckets(scatter))]
        context = self._context(node.step, node.singles)
        common = {
            "phase": node.key,
            "kind": "reduce",
            "root": sorted(d.digest for d in datasets),
            "singles": self._single_digests(node.singles),
            "artefacts": self._artefact_digests(node.step),
        }
        return [
            self._work(
                node,
                digest({**common, "bucket": name}),
                name,
                ReduceCall(node.phase, bucket, datasets, context),
                _total(datasets) // len(names),
            )
            for bucket, name in enumerate(names)
        ]

    def _eaches(self, node: EachNode) -> list[Work]:
        context = self._context(node.step, node.singles)
        common = {
            "phase": node.key,
            "kind": "each",
            "singles": self._single_digests(node.singles),
            "artefacts": self._artefact_digests(node.step),
        }
        works = []
        for unit, tables in self._units(node.reads).items():
            call = EachCall(node.phase, unit, len(unit) == 32, tables, context)
            key = digest(
                {**common, "unit": unit, "inputs": {n: d.digest for n, d in tables.items()}}
            )
            works.append(self._work(node, key, unit, call, _total(tables.values())))
        return works

    def _merge(self, node: MergeNode) -> Work:
        each = self.results[node.each] if node.each else {}
        datasets = tuple(each[unit].outputs["rows"] for unit in sorted(each))
        key = digest(
            {
                "phase": node.key,
                "kind": "merge",
                "root": [d.digest for d in datasets],
                "singles": self._single_digests(node.singles),
                "artefacts": self._artefact_digests(node.step),
            }
        )
        call = MergeCall(node.phase, datasets, self._context(node.step, node.singles))
        return self._work(node, key, "all", call)

    def _outputs(self, node: OutputNode) -> list[Work]:
        context = self._context(node.step)
        works = []
        for unit, dataset in sorted(self._read(Read("docs", node.documents, "docs")).items()):
            key = digest({"stage": node.key, "unit": unit, "docs": dataset.digest})
            call = OutputCall(node.step.stage, unit, dataset, context)
            works.append(self._work(node, key, unit, call, dataset.num_bytes))
        return works

    # --- common ------------------------------------------------------------------------------

    def _work(self, node: Node, key: str, unit: str, call: object, num_bytes: int = 0) -> Work:
        folder = f"steps/{node.id}-{node.key[:12]}"
        return Work(key, node.id, unit, folder, call, num_bytes, self.dataset)

    def _artefacts(self, step: Step) -> dict[str, Dataset]:
        found = {}
        for knob, target in step.references.items():
            made = self.lowering.artefacts.get(target)
            if made:
                found[knob] = self.results[made]["all"].outputs["artefact"]
        return found

    def _artefact_digests(self, step: Step) -> dict[str, str]:
        return {knob: dataset.digest for knob, dataset in self._artefacts(step).items()}

    def _single_digests(self, singles: Sequence[Read]) -> dict[str, str]:
        return {read.name: self._single(read).digest for read in singles}

    def _single(self, read: Read) -> Dataset:
        return self.results[read.nodes[0]]["all"].outputs[read.output]

    def _context(self, step: Step, singles: Sequence[Read] = ()) -> Context:
        stages = {
            knob: self.plan[target].stage
            for knob, target in step.references.items()
            if not isinstance(self.plan[target].stage, GlobalStage)
        }
        return Context(
            step.id,
            self.plan.config.seed,
            {read.name: self._single(read) for read in singles},
            self._artefacts(step),
            stages,
        )
