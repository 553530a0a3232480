"""What a change at one segment's end may mean behind it: an estimate by the ratios of the run.

Every later step is taken to drop, of each source's documents, the share that it dropped in the run.
That is wrong where the freed documents are not like the others, and deduplication is not linear:
only a run tells.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from pipeline.audit.lookup import Run
from pipeline.audit.whatif import Answer, sources_of_units
from pipeline.phases import Emit
from pipeline.planning.nodes import SegmentNode


@dataclass
class Estimated:
    """One step behind the segment, over all sources."""

    step: str
    documents_in: int = 0
    """In the run."""
    kept: int = 0
    after_in: tuple[float, float] = (0.0, 0.0)
    """Least and most, which differ by what became of documents whose verdict is not known."""
    after_kept: tuple[float, float] = (0.0, 0.0)


@dataclass
class _Flow:
    """Documents of one source in one segment of the run."""

    documents_in: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By step."""


def beyond(run: Run, answer: Answer) -> list[Estimated]:
    """The steps behind the segments of the answer, in order; empty if nothing is behind them."""
    source_of = sources_of_units(run)
    steps: dict[str, Estimated] = {}
    ends: dict[str, dict[str, tuple[float, float]]] = {
        name: {source: (low, low + unknown) for source, (_, low, unknown) in kept.items()}
        for name, kept in answer.kept_of.items()
    }
    moved = set(ends)
    for name, node in run.segments():
        if name in answer.kept_of:
            continue
        flows = _flows(run, name, source_of)
        if not moved & set(node.upstream):
            ends[name] = {source: (flow.kept, flow.kept) for source, flow in flows.items()}
            continue
        moved.add(name)
        ends[name] = {}
        for source, flow in flows.items():
            entering = [ends.get(before, {}).get(source, (0.0, 0.0)) for before in node.upstream]
            entered = (sum(low for low, _ in entering), sum(high for _, high in entering))
            ends[name][source] = _through(node, flow, entered, steps)
    return list(steps.values())


def _flows(run: Run, name: str, source_of: dict[str, str]) -> dict[str, _Flow]:
    flows: dict[str, _Flow] = defaultdict(_Flow)
    for unit in run.keys[name]:
        counters = run.manifest(name, unit).counters
        flow = flows[source_of[unit]]
        flow.documents_in += counters["documents_in"] - counters["quarantined"]
        flow.kept += counters["kept"]
        for both, number in counters["dropped"].items():
            flow.dropped[both.partition("\t")[0]] += number
    return flows


def _through(
    node: SegmentNode,
    flow: _Flow,
    entered: tuple[float, float],
    steps: dict[str, Estimated],
) -> tuple[float, float]:
    """Documents of a source at a segment's end, its steps counted on the way."""
    here, after = flow.documents_in, entered
    for link in node.links:
        if isinstance(link.phase, Emit):
            continue
        row = steps.setdefault(link.step.id, Estimated(link.step.id))
        row.documents_in += here
        row.after_in = (row.after_in[0] + after[0], row.after_in[1] + after[1])
        ratio = (here - flow.dropped[link.step.id]) / here if here else 1.0
        here -= flow.dropped[link.step.id]
        after = (after[0] * ratio, after[1] * ratio)
        row.kept += here
        row.after_kept = (row.after_kept[0] + after[0], row.after_kept[1] + after[1])
    return after
