"""Other bounds for one step of a finished run, judged from its stored metrics alone.

Exact to the end of the step's segment. There every filter has measured every document, dropped or
not (DESIGN section 4), so that a document which a looser bound frees meets the later rules of the
segment with the metrics that it has, and a document which a tighter bound drops needs none. Two
things are unknown, and are counted as unknown: a costly filter (`measure_kept_only`) has not
measured the freed document, and an apply behind the step may have dropped it (`Apply.drops`).

The same pass judges with the run's own bounds and holds that against the stored verdicts: bounds
that do not give them back would predict nothing, and are an error.

Memory is bounded by some row groups; the time is that of reading the step's metrics, and those of
later steps where a document is freed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.audit.lookup import Run
from pipeline.audit.moves import Move, MovedRule, moved_rules, moved_stage
from pipeline.audit.sampled import Changed, Sampler
from pipeline.errors import InputError, IntegrityError
from pipeline.execution.quarantine import read_quarantine
from pipeline.execution.segment import QUARANTINED
from pipeline.files.tables import iter_groups
from pipeline.phases import Apply, Emit
from pipeline.planning.nodes import ChainLink, SegmentNode
from pipeline.schema import DOC_ID
from pipeline.stage import RowStage

GROUPS = 16
"""Row groups that are judged at once: at most 131,072 documents."""
UNKNOWN = "not measured"
"""Reason of a freed document whose later verdict the metrics do not tell."""
KEPT = 0

Read = Callable[[Sequence[str]], pa.Table]
Codes = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


@dataclass
class Tally:
    """Documents, and characters of their texts as they entered the segment."""

    documents: int = 0
    chars: int = 0

    def add(self, hit: Flags, chars: npt.NDArray[np.int64]) -> None:
        self.documents += int(np.count_nonzero(hit))
        self.chars += int(chars[hit].sum())


@dataclass
class Verdicts:
    """Documents by verdict at one place, before and after the move."""

    documents_in: int = 0
    before: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(step, drop reason) -> documents."""
    after: Counter[tuple[str, str]] = field(default_factory=Counter)

    def kept(self, dropped: Mapping[tuple[str, str], int]) -> int:
        return self.documents_in - sum(dropped.values())

    @property
    def unknown(self) -> int:
        """Documents that may be kept or dropped after the move: so much is `kept` a lower bound."""
        return sum(n for (_, reason), n in self.after.items() if reason == UNKNOWN)


@dataclass
class Answer:
    """What a move changes, to the end of the segments that hold the step."""

    step: str
    moves: list[Move]
    rules: list[MovedRule]
    ends: list[str]
    """Last step of each segment that holds the step."""
    at_step: Verdicts = field(default_factory=Verdicts)
    at_end: Verdicts = field(default_factory=Verdicts)
    newly_kept: Tally = field(default_factory=Tally)
    newly_dropped: Tally = field(default_factory=Tally)
    other_reason: Tally = field(default_factory=Tally)
    unknown: Tally = field(default_factory=Tally)
    kept_of: dict[str, dict[str, tuple[int, int, int]]] = field(default_factory=dict)
    """Segment -> source -> documents kept at its end: before, after for certain, unknown."""
    sample: list[Changed] = field(default_factory=list)


def what_if(run: Run, step_id: str, settings: Sequence[str], sample: int = 5) -> Answer:
    """The answer for `knob=value` settings of a step. Raises ConfigError where a run is needed."""
    stage, moves = moved_stage(run, step_id, settings)
    segments = run.segments_with(step_id)
    if not segments:
        raise InputError(
            f"run {run.label} did not reach '{step_id}', so that it has no metrics. Run it first."
        )
    sampler = Sampler(run, step_id, sample)
    ends = [_row_links(node)[-1].step.id for _, node in segments]
    answer = Answer(step_id, moves, moved_rules(run.plan[step_id].stage, stage), ends)
    source_of = sources_of_units(run)
    for name, node in segments:
        judge = _Judge(run, node, step_id, stage, answer, sampler)
        kept: dict[str, tuple[int, int, int]] = {}
        for unit, dataset in run.datasets(name, "metrics"):
            counts = np.zeros(3, dtype=np.int64)
            for ref in dataset.files:
                counts += judge.file(unit, ref.path)
            known = kept.get(source_of[unit], (0, 0, 0))
            kept[source_of[unit]] = tuple((counts + known).tolist())
        answer.kept_of[name] = kept
    answer.sample = sampler.read()
    return answer


def sources_of_units(run: Run) -> dict[str, str]:
    """Partition id -> source step. A partition keeps its id through all segments."""
    return {
        unit: node.source.id
        for name, node in run.segments()
        if node.source is not None
        for unit in run.keys[name]
    }


# --- one segment -------------------------------------------------------------------------------


def _row_links(node: SegmentNode) -> list[ChainLink]:
    return [link for link in node.links if not isinstance(link.phase, Emit)]


def _stage(link: ChainLink) -> RowStage:
    assert isinstance(link.step.stage, RowStage)
    return link.step.stage


def _may_drop_unseen(link: ChainLink) -> bool:
    """True if the metrics of a document that was dropped before do not tell its verdict here."""
    stage = _stage(link)
    apply = isinstance(link.phase, Apply) and link.phase.drops
    return apply or (stage.measure_kept_only and bool(stage.rules()))


class _Judge:
    """Judges the stored documents of one segment with the bounds of the run and the new ones."""

    def __init__(
        self, run: Run, node: SegmentNode, step: str, moved: RowStage, answer: Answer, to: Sampler
    ) -> None:
        self.run, self.moved, self.answer, self.sampler = run, moved, answer, to
        self.links = _row_links(node)
        self.at = [link.step.id for link in self.links].index(step)
        self.chain = [node.source.id] if node.source else []
        self.chain += [link.step.id for link in self.links]
        self.names: list[tuple[str, str]] = [("", "")]
        """(step, drop reason) of each code; code 0 is kept."""
        self.codes: dict[tuple[str, str], int] = {}
        self.quarantine = read_quarantine(run.storage)
        rules = [*moved.rules(), *_stage(self.links[self.at]).rules()]
        self.own = list(dict.fromkeys(f"{step}.{rule.metric}" for rule in rules))
        self.later = list(
            dict.fromkeys(
                f"{link.step.id}.{rule.metric}"
                for link in self.links[self.at + 1 :]
                for rule in _stage(link).rules()
            )
        )

    def code(self, step: str, reason: str) -> int:
        if (step, reason) not in self.codes:
            self.codes[step, reason] = len(self.names)
            self.names.append((step, reason))
        return self.codes[step, reason]

    def file(self, unit: str, path: str) -> npt.NDArray[np.int64]:
        """Judge a file; documents kept at the segment's end: before, after, unknown."""
        kept = np.zeros(3, dtype=np.int64)
        named = ["drop_step", "drop_reason"]
        for rows in iter_groups(self.run.storage, path, GROUPS, named):
            before, after = self._rows(unit, rows.read)
            unknown = np.isin(after, [c for (_, r), c in self.codes.items() if r == UNKNOWN])
            kept += [(before == KEPT).sum(), (after == KEPT).sum(), unknown.sum()]
            changed = np.flatnonzero(before != after)
            if len(changed):
                self.sampler.offer(path, rows, changed, before, after, self.names)
        return kept

    def _rows(self, unit: str, read: Read) -> tuple[Codes, Codes]:
        """Verdicts of some documents before and after, counted."""
        table = read(["drop_step", "drop_reason", "num_chars", *self.own])
        stored = self._stored(table)
        places = np.array([self._place(step) for step, _ in self.names])[stored]
        quarantined = np.array([reason == QUARANTINED for _, reason in self.names])[stored]
        link, place = self.links[self.at], self._place(self.links[self.at].step.id)
        # A document named in quarantine/ leaves before the step looks at it.
        reached = (places > place) | ((places == place) & ~quarantined)
        by_rule = self._check(link, table, stored, reached, places)
        new = self._first_broken(link, self.moved, table)
        after = np.where(reached & (new > 0), new, stored)
        freed = by_rule & (new == 0)
        after[freed] = KEPT
        if isinstance(link.phase, Apply) and link.phase.drops:
            after[freed] = self.code(link.step.id, UNKNOWN)
        at_step = np.where((places > place) & (after == stored), KEPT, after)
        still = freed & (after == KEPT)
        if still.any():
            self._judge_freed(unit, read, still, stored, places, after)
        self._count(table, stored, after, at_step, places, place)
        return stored, after

    def _stored(self, table: pa.Table) -> Codes:
        """The stored verdicts, as codes."""
        steps, reasons = (table[name].combine_chunks() for name in ("drop_step", "drop_reason"))
        found = np.zeros((len(steps.dictionary) + 1, len(reasons.dictionary) + 1), np.int32)
        for i, step in enumerate(steps.dictionary.to_pylist()):
            for j, reason in enumerate(reasons.dictionary.to_pylist()):
                found[i, j] = self.code(step, reason)  # null has the last index: kept
        at = [
            pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False)
            for column in (steps, reasons)
        ]
        codes: Codes = found[at[0], at[1]]
        return codes

    def _place(self, step: str) -> int:
        """Where a step stands in the segment; behind all for what was kept."""
        return self.chain.index(step) if step else len(self.chain)

    def _first_broken(self, link: ChainLink, stage: RowStage, table: pa.Table) -> Codes:
        """Code of the first rule of a step that each document breaks; 0 for none."""
        found = np.zeros(table.num_rows, dtype=np.int32)
        step = link.step.id
        for rule in stage.rules():
            for reason, hit in rule.broken(table[f"{step}.{rule.metric}"]):
                found[hit & (found == 0)] = self.code(step, f"{step}.{reason}")
        return found

    def _check(
        self, link: ChainLink, table: pa.Table, stored: Codes, reached: Flags, places: Any
    ) -> Flags:
        """Documents that the step dropped by a rule, which must be those that break one of the
        run's bounds. Raises IntegrityError."""
        step, stage = link.step.id, _stage(link)
        reasons = {f"{step}.{reason}" for rule in stage.rules() for reason in rule.reasons()}
        is_rule = np.array([at == step and reason in reasons for at, reason in self.names])
        found = self._first_broken(link, stage, table)
        by_rule: Flags = reached & is_rule[stored]
        wrong = reached & (found != np.where(by_rule, stored, KEPT))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise IntegrityError(
                f"step '{step}': the bounds of run {self.run.label} do not give its verdicts back: "
                f"'{self.names[found[row]][1] or 'kept'}' for a document that the run left at "
                f"'{self.names[stored[row]][1] or 'kept'}'. The stage's code has changed since: "
                f"run the configuration again."
            )
        return by_rule

    def _judge_freed(
        self, unit: str, read: Read, still: Flags, stored: Codes, places: Any, after: Codes
    ) -> None:
        """Verdicts of later steps on documents that the step no longer drops (`still`)."""
        named = self.quarantine.get(unit, [])
        table = read([*self.later, *(["doc_id"] if named else [])])
        for link in self.links[self.at + 1 :]:
            step = link.step.id
            for doc_id in [bytes.fromhex(doc_id) for doc_id, at in named if at == step]:
                same = pc.equal(table["doc_id"], pa.scalar(doc_id, DOC_ID))
                self._mark(after, still, same.to_numpy(), self.code(step, QUARANTINED))
            if _may_drop_unseen(link):
                self._mark(after, still, still.copy(), self.code(step, UNKNOWN))
                return
            broken = self._first_broken(link, _stage(link), table)
            self._mark(after, still, broken > 0, broken)
            reached = (places >= self._place(step)) & ~self._quarantined_at(step, stored)
            self._check(link, table, stored, reached, places)

    def _quarantined_at(self, step: str, stored: Codes) -> Flags:
        found: Flags = stored == self.codes.get((step, QUARANTINED), -1)
        return found

    @staticmethod
    def _mark(after: Codes, still: Flags, hit: Flags, codes: Codes | int) -> None:
        """Give a verdict to those of the documents still without one that are hit."""
        rows = np.flatnonzero(still & hit)
        after[rows] = codes if isinstance(codes, int) else codes[rows]
        still[rows] = False

    # --- counting --------------------------------------------------------------------------------

    def _count(
        self, table: pa.Table, stored: Codes, after: Codes, at_step: Codes, places: Any, place: int
    ) -> None:
        chars = pc.fill_null(table["num_chars"], 0).to_numpy()
        answer = self.answer
        answer.at_end.documents_in += len(stored)
        self._add(answer.at_end.before, stored)
        self._add(answer.at_end.after, after)
        here = places >= place
        answer.at_step.documents_in += int(here.sum())
        self._add(answer.at_step.before, stored[places == place])
        self._add(answer.at_step.after, at_step[here])
        changed = stored != after
        unknown = np.array([reason == UNKNOWN for _, reason in self.names])[after]
        answer.newly_kept.add(changed & (after == KEPT), chars)
        answer.newly_dropped.add(changed & (stored == KEPT), chars)
        answer.other_reason.add(changed & (stored != KEPT) & (after != KEPT) & ~unknown, chars)
        answer.unknown.add(unknown, chars)

    def _add(self, counter: Counter[tuple[str, str]], codes: Codes) -> None:
        for code, number in enumerate(np.bincount(codes)):
            if code != KEPT and number:
                counter[self.names[code]] += int(number)
