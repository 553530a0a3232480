"""Plan -> nodes: segments of fused row-wise steps, and the phases of global steps.

A segment ends after a stage that declares `expensive` and before each exchange; also where two
steps read the same documents, and where nothing follows.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline.phases import Apply, Combine, Emit, Exchange, Phase
from pipeline.planning.fingerprint import digest, identity
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
from pipeline.planning.plan import Plan, Step, stage_schema, union_schema, yields_documents
from pipeline.stage import GlobalStage, Output, RowStage, Source


def phase_key(step: Step, plan: Plan, phase: Phase | None) -> str:
    """H(stage name, version or source, libraries, the knobs read, seed if drawn, references).

    A phase that reads only some knobs of a referenced stage names them: `mixture.weights`.
    """
    knobs = None if phase is None else phase.knobs
    parts = identity(step.stage, plan.config.seed, knobs)
    parts["step"] = step.id  # metrics, reasons and doc_ids carry it
    if phase is not None:
        parts["phase"] = phase.name
    referenced = {
        name: identity(plan[target].stage, plan.config.seed, _dotted(name, knobs))
        for name, target in step.references.items()
        if not isinstance(plan[target].stage, GlobalStage)
    }
    return digest([parts, referenced])


def _dotted(reference: str, knobs: tuple[str, ...] | None) -> list[str] | None:
    """Knobs `<reference>.<knob>` that a phase names; None (all) if it names none or the whole."""
    found = [name for name in knobs or () if name.startswith(f"{reference}.")]
    return [name.partition(".")[2] for name in found] or None


class Lowering:
    """Turns a plan into nodes; `nodes` comes out in an order in which inputs come first."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nodes: dict[str, Node] = {}
        self.tails: dict[str, list[SegmentNode]] = {}
        self.artefacts: dict[str, str] = {}
        """Artefact step -> id of the node that makes it."""
        self.applies: dict[tuple[str, str], str] = {}
        """(step, phase read by an apply) -> id of the reduce node that makes its rows."""

    def run(self) -> dict[str, Node]:
        for step in self.plan.steps:
            if isinstance(step.stage, Source):
                self._source(step)
            elif isinstance(step.stage, GlobalStage):
                self._global(step)
            elif isinstance(step.stage, RowStage):
                self._row(step)
            elif isinstance(step.stage, Output):
                self._output(step)
        for segments in self.tails.values():
            for segment in segments:
                self._close(segment)
        return self._ordered()

    def _ordered(self) -> dict[str, Node]:
        """Nodes after all that they read (segments close late but run early)."""
        done: dict[str, Node] = {}

        def visit(name: str) -> None:
            if name in done:
                return
            for before in dependencies(self.nodes[name], self):
                visit(before)
            done[name] = self.nodes[name]

        for name in self.nodes:
            visit(name)
        return done

    # --- segments ----------------------------------------------------------------------------

    def _source(self, step: Step) -> None:
        assert step.schema is not None
        key = phase_key(step, self.plan, None)
        segment = SegmentNode(step.id, step, [], step.schema, [], step.schema, source_key=key)
        self._tail(step, [segment])

    def _row(self, step: Step) -> None:
        link = ChainLink(step, None, phase_key(step, self.plan, None))
        segments = self._open(step)
        for segment in segments:
            self._append(segment, link)
            if step.stage.expensive:
                self._close(segment)
        self._tail(step, segments)

    def _append(self, segment: SegmentNode, link: ChainLink) -> None:
        segment.links.append(link)
        stage = link.step.stage
        if isinstance(link.phase, Emit) or not isinstance(stage, RowStage):
            return
        needed = self._needed_behind(link.step)
        used_up = {name for name in stage.needs() if name not in needed}
        fields = [f for f in stage_schema(stage, segment.schema) if f.name not in used_up]
        types = stage.metric_types()
        for metric, kind in types.items():
            if f"{link.step.id}.{metric}" in needed:
                segment.carry.append((link.step.id, metric))
                fields.append(pa.field(f"{link.step.id}.{metric}", kind))
        segment.schema = pa.schema(fields)

    def _needed_behind(self, step: Step) -> set[str]:
        """Metrics that steps behind this one read as document columns."""
        behind = [s for s in self.plan.steps if step in self.plan.before(s.id)]
        return {name for later in behind for name in self.plan.needs(later.id)}

    def _open(self, step: Step) -> list[SegmentNode]:
        """Segments to extend for a step: open tails of its inputs, or one new one behind them."""
        found: list[SegmentNode] = []
        closed: list[SegmentNode] = []
        for name in step.inputs:
            for segment in self.tails[name]:
                if segment.closed or len(self._cutting_readers(name)) > 1:
                    self._close(segment)
                    closed.append(segment)
                else:
                    found.append(segment)
        if closed:
            found.append(self._behind(closed))
        return found

    def _behind(self, before: Sequence[SegmentNode]) -> SegmentNode:
        upstream = list(dict.fromkeys(name for s in before for name in self._documents_of(s)))
        schema = union_schema([(s.id, s.schema) for s in before], "segment")
        return SegmentNode("", None, upstream, schema, [], schema)

    def _documents_of(self, segment: SegmentNode) -> list[str]:
        return [segment.id] if segment.keeps_documents else segment.upstream

    def _cutting_readers(self, step_id: str) -> list[Step]:
        """Readers that count for a cut: an output is a leaf on the side, an artefact none."""
        return [
            step
            for step in self.plan.readers(step_id)
            if isinstance(step.stage, RowStage)  # global steps included
        ]

    def _tail(self, step: Step, segments: list[SegmentNode]) -> None:
        self.tails[step.id] = segments
        outputs = [s for s in self.plan.readers(step.id) if isinstance(s.stage, Output)]
        if len(self._cutting_readers(step.id)) > 1 or (outputs and not self._fused_on(step)):
            for segment in segments:
                self._close(segment)

    def _fused_on(self, step: Step) -> bool:
        """True if a row-wise step follows in the same segment."""
        readers = self._cutting_readers(step.id)
        return len(readers) == 1 and not isinstance(readers[0].stage, GlobalStage)

    def _close(self, segment: SegmentNode) -> None:
        if segment.closed:
            return
        segment.closed = True
        names = [s.step.id for s in segment.links if not isinstance(s.phase, Emit)]
        last = segment.links[-1].step.id + ".emit" if segment.links else ""
        first = segment.source.id if segment.source else ""
        name = names[-1] if names else (first or last)
        if name in self.nodes:
            name = f"{name}.{first or segment.upstream[0]}"
        segment.id = name
        self.nodes[name] = segment

    # --- global steps ------------------------------------------------------------------------

    def _global(self, step: Step) -> None:
        assert isinstance(step.stage, GlobalStage)
        phases = step.stage.phases()
        emits = [phase for phase in phases if isinstance(phase, Emit)]
        feeding = self._feed(step, emits)
        documents = tuple(dict.fromkeys(n for s in feeding for n in self._documents_of(s)))
        reads: dict[str, Read] = {"docs": Read("docs", documents, "docs")}
        for name in step.inputs:
            nodes = [n for s in self.tails[name] for n in self._documents_of(s)]
            reads[f"docs:{name}"] = Read(f"docs:{name}", tuple(dict.fromkeys(nodes)), "docs")
        for emit in emits:
            reads[emit.name] = Read(emit.name, tuple(s.id for s in feeding), emit.name)
        singles: dict[str, Read] = {}
        for phase in phases:
            if isinstance(phase, Exchange):
                self._exchange(step, phase, reads, singles, documents)
            elif isinstance(phase, Combine):
                self._combine(step, phase, reads, singles)
        applies = [phase for phase in phases if isinstance(phase, Apply)]
        if applies:
            segment = self._behind(feeding)
            for apply in applies:
                self.applies[step.id, apply.name] = reads[apply.reads].nodes[0]
                self._append(segment, ChainLink(step, apply, phase_key(step, self.plan, apply)))
            self._tail(step, [segment])
        elif yields_documents(step.stage):
            raise AssertionError(f"{step.id}: yields documents without an apply")

    def _feed(self, step: Step, emits: Sequence[Emit]) -> list[SegmentNode]:
        """Segments that give the step its documents, with its emits fused; all closed."""
        segments: list[SegmentNode] = []
        for segment in self._open(step) if step.inputs else []:
            for emit in emits:
                key = phase_key(step, self.plan, emit)
                self._append(segment, ChainLink(step, emit, key))
            if segment.links or segment.source:
                self._close(segment)
                segments.append(segment)
            else:  # nothing to emit: the documents of the segments before serve as they are
                for name in segment.upstream:
                    found = self.nodes[name]
                    assert isinstance(found, SegmentNode)
                    segments.append(found)
        return segments

    def _split(
        self, phase: Exchange | Combine, reads: dict[str, Read], singles: dict[str, Read]
    ) -> tuple[tuple[Read, ...], tuple[Read, ...]]:
        each = tuple(reads[name] for name in phase.reads if name in reads)
        small = tuple(singles[name] for name in phase.reads if name in singles)
        unknown = [n for n in phase.reads if n not in reads and n not in singles]
        if unknown:
            raise AssertionError(f"phase {phase.name} reads {unknown[0]}, which no phase makes")
        return each, small

    def _exchange(
        self,
        step: Step,
        phase: Exchange,
        reads: dict[str, Read],
        singles: dict[str, Read],
        documents: tuple[str, ...],
    ) -> None:
        each, small = self._split(phase, reads, singles)
        key = phase_key(step, self.plan, phase)
        scatter = f"{step.id}.{phase.name}.scatter"
        name = f"{step.id}.{phase.name}"
        self.nodes[scatter] = ScatterNode(scatter, step, phase, key, each, small, documents)
        self.nodes[name] = ReduceNode(name, step, phase, key, scatter, small, documents)
        reads[phase.name] = Read(phase.name, (name,), "rows")

    def _combine(
        self, step: Step, phase: Combine, reads: dict[str, Read], singles: dict[str, Read]
    ) -> None:
        each, small = self._split(phase, reads, singles)
        key = phase_key(step, self.plan, phase)
        name = f"{step.id}.{phase.name}"
        each_name = f"{name}.each" if each else None
        if each_name:
            self.nodes[each_name] = EachNode(each_name, step, phase, key, each, small)
        self.nodes[name] = MergeNode(name, step, phase, key, each_name, small)
        if phase.schema is None:
            self.artefacts[step.id] = name
        else:
            singles[phase.name] = Read(phase.name, (name,), "rows")

    # --- outputs -----------------------------------------------------------------------------

    def _output(self, step: Step) -> None:
        documents: list[str] = []
        for name in step.inputs:
            for segment in self.tails[name]:
                if not segment.closed:
                    # The segment goes on behind this step: run its beginning once more, so that
                    # an output cuts no segment and is in no other step's key.
                    beginning = SegmentNode(
                        f"{step.id}.docs", segment.source, list(segment.upstream),
                        segment.schema_in, list(segment.links), segment.schema, True,
                        segment.source_key, list(segment.carry),
                    )  # fmt: skip
                    self.nodes[beginning.id] = beginning
                    segment = beginning
                documents += self._documents_of(segment)
        key = phase_key(step, self.plan, None)
        self.nodes[step.id] = OutputNode(step.id, step, key, tuple(dict.fromkeys(documents)))


def dependencies(node: Node, lowering: Lowering) -> list[str]:
    """Ids of the nodes whose results a node reads."""
    found: list[str] = []
    if isinstance(node, SegmentNode):
        found += node.upstream
        for link in node.links:
            found += _artefact_nodes(link.step, lowering)
            if isinstance(link.phase, Apply):
                found.append(lowering.applies[link.step.id, link.phase.name])
    elif isinstance(node, OutputNode):
        found += [*node.documents, *_artefact_nodes(node.step, lowering)]
    else:
        found += _artefact_nodes(node.step, lowering)
        found += [name for read in node.singles for name in read.nodes]
        if isinstance(node, (ScatterNode, EachNode)):
            found += [name for read in node.reads for name in read.nodes]
        if isinstance(node, ScatterNode | ReduceNode):
            found += node.documents
        if isinstance(node, ReduceNode):
            found.append(node.scatter)
        if isinstance(node, MergeNode) and node.each:
            found.append(node.each)
    return list(dict.fromkeys(found))


def _artefact_nodes(step: Step, lowering: Lowering) -> list[str]:
    names = [lowering.artefacts.get(target) for target in step.references.values()]
    return [name for name in names if name]
