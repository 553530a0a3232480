"""Run a plan: take the lease, list inputs, run works in order, judge, publish.

Storage is the only state. Every work's key is looked up before it is submitted, so a rerun of a
finished run submits nothing and never starts Ray.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.erasure.exclusion import Exclusions, all_entries, erased_lists
from pipeline.errors import ConfigError, InputError, IntegrityError, PipelineError, nearest
from pipeline.execution import interrupts
from pipeline.execution.executors import Executor, InProcess, OnRay
from pipeline.execution.lease import Lease
from pipeline.execution.progress import Progress, Quiet
from pipeline.execution.quarantine import NewlyQuarantinedError, entries_of, read_quarantine
from pipeline.execution.schedule import Schedule
from pipeline.execution.work import Work
from pipeline.files.addresses import is_web
from pipeline.files.storage import Storage
from pipeline.files.tables import read_dataset
from pipeline.files.uris import open_storage
from pipeline.planning.build import first_run_note
from pipeline.planning.fetching import FetchingSource
from pipeline.planning.inputs import fetch_inputs, list_inputs
from pipeline.planning.nodes import MergeNode
from pipeline.planning.plan import Plan
from pipeline.results.funnel import Funnel, check_damage, check_drops, make_funnel
from pipeline.results.manifest import Manifest, load_manifest
from pipeline.results.publish import dataset_folder, publish
from pipeline.results.records import RunRecord, new_run_id
from pipeline.stage import Partition, Side, Stage

_log = logging.getLogger(__name__)
MIN_FREE_BYTES = 64 << 20
"""Below this a local workdir is refused before work starts."""


@dataclass(frozen=True)
class Options:
    """How to run; nothing here reaches an output byte, except `limit`."""

    workers: int = 0
    """Local CPU slots; 0 = in this process, without Ray."""
    address: str | None = None
    until: str | None = None
    limit: int | None = None


@dataclass
class RunResult:
    """What a run did."""

    run_id: str
    funnel: Funnel
    version: int | None
    """Number of the published version; None with `--until`."""
    dataset: Mapping[str, Any]
    """The content of `dataset.json`; empty with `--until`."""
    executed: int
    reused: int
    seconds: float
    warnings: list[str] = field(default_factory=list)
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    """Node -> unit -> work key."""
    executed_keys: set[str] = field(default_factory=set)


def run(plan: Plan, options: Options = Options(), progress: Progress | None = None) -> RunResult:
    """Run the plan and publish. Raises PipelineError; finished work is kept whatever happens."""
    started = time.monotonic()
    storage = open_storage(plan.config.workdir)
    progress = progress or Quiet()
    if options.until and options.until not in {step.id for step in plan.steps}:
        hint = nearest(options.until, [step.id for step in plan.steps])
        raise ConfigError(f"--until: no step '{options.until}'.{hint}")
    if any(isinstance(step.stage, FetchingSource) for step in plan.steps):
        _preflight(storage)
        with Lease(storage) as lease:
            fetch_inputs(plan, storage, _Watch(lease, progress))
    inputs, warnings = list_inputs(plan, options.limit)
    for warning in warnings:
        progress.note(f"warning: {warning}")
    _preflight(storage)
    with Lease(storage) as lease:
        exclusions, unfinished = exclusions_of(plan, storage, options.limit)
        for warning in unfinished:
            progress.note(f"warning: {warning}")
        warnings = [*warnings, *unfinished]
        listed = exclusions.entries.digest if exclusions else ""
        record = RunRecord.start(new_run_id(), plan, options.limit, listed)
        engine = _Engine(plan, storage, inputs, options, progress, lease, exclusions)
        schedule = engine.schedule
        try:
            try:
                engine.run()
            finally:
                engine.close()
            funnel = make_funnel(plan, schedule)
            check_damage(plan, funnel)
            check_drops(plan, funnel)
            judged = [*judge_combines(schedule, storage), *funnel.warnings()]
        except PipelineError as error:
            # What was done can be looked at: `inspect` and `explain` read the latest record.
            with contextlib.suppress(PipelineError):  # a full disk must not hide the first error
                funnel = make_funnel(plan, schedule)
                record.finish(storage, funnel.to_json(), None, _keys(schedule), str(error))
            raise
        for warning in judged:
            progress.note(f"warning: {warning}")
        version: int | None = None
        dataset: Mapping[str, Any] = {}
        if not options.until:
            version, dataset = publish(plan, schedule, storage, options.limit)
        keys = _keys(schedule)
        record.finish(storage, funnel.to_json(), version, keys)
    return RunResult(
        record.run_id, funnel, version, dataset, engine.executed, engine.reused,
        time.monotonic() - started, [*warnings, *judged], keys, engine.executed_keys,
    )  # fmt: skip


def exclusions_of(
    plan: Plan, storage: Storage, limit: int | None, store: bool = True
) -> tuple[Exclusions | None, list[str]]:
    """What the configuration excludes and what was erased from the workdir; and warnings.

    With `store` the list is put where workers read it.
    """
    warnings = []
    for number, (_, finished) in erased_lists(storage).items():
        if not finished:
            warnings.append(
                f"erase {number} of {storage.root} was interrupted: its pages stay out of this "
                f"run, but files still hold them. `python -m pipeline erase {storage.root}` "
                f"finishes it."
            )
    exclusions = Exclusions.of(storage, all_entries(plan.config, storage).all, limit)
    if exclusions and store:
        exclusions.store()
    return exclusions, warnings


@dataclass
class _Watch:
    """Keeps the lease and hears Ctrl-C while a source fetches."""

    lease: Lease
    progress: Progress

    def beat(self) -> None:
        self.lease.heartbeat()
        interrupts.check()

    def note(self, text: str) -> None:
        self.progress.note(text)


def _keys(schedule: Schedule) -> dict[str, dict[str, str]]:
    return {
        name: {unit: manifest.key for unit, manifest in units.items()}
        for name, units in schedule.results.items()
        if units
    }


def judge_combines(schedule: Schedule, storage: Storage) -> list[str]:
    """What the steps say of their own results: warnings. Raises StageError."""
    found: list[str] = []
    for name, node in schedule.nodes.items():
        made = schedule.results[name].get("all")
        if isinstance(node, MergeNode) and node.phase.judge and made:
            table = read_dataset(storage, made.outputs["rows"])
            lines = node.phase.judge(table, Side(node.step.id, schedule.plan.config.seed))
            found += [f"step '{node.step.id}': {line}" for line in lines]
    return found


def _preflight(storage: Storage) -> None:
    """The workdir can be written and has room. Raises InputError."""
    local = storage.local_path("")
    storage.put(".probe", b"")
    storage.delete(".probe")
    if local is not None:
        free = shutil.disk_usage(local).free
        if free < MIN_FREE_BYTES:
            raise InputError(
                f"the workdir {storage.root} has {free >> 20} MB free, expected at least "
                f"{MIN_FREE_BYTES >> 20} MB. Free room or give another (--set workdir=...)."
            )


class _Engine:
    """The scheduling loop. Works become ready by node, and one by one behind a single segment."""

    def __init__(
        self,
        plan: Plan,
        storage: Storage,
        inputs: Mapping[str, Sequence[Partition]],
        options: Options,
        progress: Progress,
        lease: Lease,
        exclusions: Exclusions | None = None,
    ) -> None:
        self.storage, self.options, self.progress, self.lease = storage, options, progress, lease
        self.plan = plan
        folder = dataset_folder(options.limit)
        self.schedule = Schedule(plan, inputs, read_quarantine(storage), folder, exclusions)
        self.wanted = self._wanted()
        self.schedule.compiled_ahead = self._compiled_ahead()
        self.followers: dict[str, list[str]] = {}
        for name in self.wanted:
            before = self.schedule.streams_from(name)
            if before:
                self.followers.setdefault(before, []).append(name)
        self.waiting: deque[Work] = deque()
        self.in_flight = 0
        self.totals: dict[str, int] = {}
        self.executor: Executor | None = None
        self.executed = self.reused = 0
        self.executed_keys: set[str] = set()

    def _wanted(self) -> list[str]:
        """Nodes to run, in order; with `--until` those that hold the step and what they read."""
        names = list(self.schedule.nodes)
        if not self.options.until:
            return names
        until = self.options.until
        needed = {name for name in names if self._holds(name, until)}
        for name in reversed(names):
            if name in needed:
                needed.update(self.schedule.dependencies(name))
        return [name for name in names if name in needed]

    def _compiled_ahead(self) -> tuple[Stage, ...]:
        """The stages that need kernels behind the first works, the last step's first: training
        and encoding take longest. None in one process: nobody would share the work."""
        if self.options.workers == 0 and not self.options.address:
            return ()
        wanted = [
            step
            for step in self.plan.steps
            if step.stage.compiles and any(self._holds(name, step.id) for name in self.wanted)
        ]
        return tuple(self.schedule.sized(step.stage) for step in reversed(wanted))

    def _holds(self, name: str, step_id: str) -> bool:
        node = self.schedule.nodes[name]
        links = getattr(node, "links", None)
        if links is None:
            owner: Any = node
            return bool(owner.step.id == step_id)
        source = getattr(node, "source", None)
        return any(link.step.id == step_id for link in links) or (
            source is not None and source.id == step_id
        )

    def run(self) -> Schedule:
        self._start_ready()
        while self.waiting or self.in_flight:
            self._submit()
            if self.in_flight:
                assert self.executor is not None
                for work, manifest in self.executor.wait(1.0):
                    self.in_flight -= 1
                    if isinstance(manifest, NewlyQuarantinedError):
                        self._make_anew(work, manifest)
                        continue
                    self.executed += 1
                    self.executed_keys.add(work.key)
                    self._finish(work, manifest)
            self.lease.heartbeat()
        left = [name for name in self.wanted if name not in self.schedule.done]
        if left:
            raise PipelineError(f"nothing is left to do, but {left[0]} is not done: our bug.")
        return self.schedule

    def _submit(self) -> None:
        while self.waiting:
            window = self.executor.window if self.executor else 1
            if self.in_flight >= window:
                return
            work = self.waiting.popleft()
            found = self._finished_before(work)
            if found:
                self.reused += 1
                self._finish(work, found)
                continue
            if self.executor is None:
                self._say_if_kernels_are_compiled_first()
                self.executor = self._make_executor()
            self.executor.submit(work)
            self.in_flight += 1

    def _make_anew(self, work: Work, news: NewlyQuarantinedError) -> None:
        """The work without the document that the watchdog has put into quarantine."""
        _log.warning("%s", news)
        self.schedule.quarantine[news.unit] = entries_of(self.storage, news.unit)
        self.waiting.appendleft(self.schedule.made_anew(work))

    def _say_if_kernels_are_compiled_first(self) -> None:
        """A minute of silence would look like a hang."""
        note = first_run_note()
        if note and any(step.stage.compiles for step in self.plan.steps):
            self.progress.note(note)

    def _make_executor(self) -> Executor:
        if self.options.workers == 0 and not self.options.address:
            return InProcess(self.storage.root, self.plan.config.network)
        return OnRay(
            self.storage.root, self.options.workers, self.options.address,
            self.plan.config.network, self._asks_servers(),
        )  # fmt: skip

    def _asks_servers(self) -> bool:
        """True if works of the run send requests that are limited by host."""
        paths = (p.path for found in self.schedule.inputs.values() for p in found)
        stages = (step.stage for step in self.plan.steps)
        return any(map(is_web, paths)) or any(stage.asks_servers for stage in stages)

    def _finished_before(self, work: Work) -> Manifest | None:
        found = load_manifest(self.storage, work.key)
        for dataset in found.outputs.values() if found else ():
            for ref in dataset.files:
                info = self.storage.info(ref.path)
                if info is None or info.size != ref.num_bytes:
                    got = "is missing" if info is None else f"has {info.size} bytes"
                    raise IntegrityError(
                        f"{ref.path} {got}, its manifest {work.key} says {ref.num_bytes} bytes. "
                        f"Run `python -m pipeline verify {self.storage.root} --repair`, "
                        f"then run again: only lost work is redone."
                    )
        return found

    # --- order -------------------------------------------------------------------------------

    def _start_ready(self) -> None:
        for name in self.wanted:
            if name in self.totals or not self.schedule.ready(name):
                continue  # begun, or made one by one behind the segment before
            self._start(name, self.schedule.works(name))

    def _start(self, name: str, works: Sequence[Work]) -> None:
        self._announce(name, len(works))
        self.waiting.extend(works)
        if not works:
            self._node_done(name)

    def _announce(self, name: str, total: int) -> None:
        self.totals[name] = total
        self.progress.node(name, total, 0)
        for follower in self.followers.get(name, ()):
            self._announce(follower, total)

    def _finish(self, work: Work, manifest: Manifest) -> None:
        results = self.schedule.results[work.node]
        results[work.unit] = manifest
        self.progress.advance(work.node, int(manifest.counters.get("documents_in", 0)))
        for follower in self.followers.get(work.node, ()):
            node = self.schedule.nodes[follower]
            docs = manifest.outputs["docs"]
            self.waiting.append(self.schedule.segment_work(node, work.unit, docs))  # type: ignore[arg-type]
        if len(results) == self.totals[work.node]:
            self._node_done(work.node)

    def _node_done(self, name: str) -> None:
        self.schedule.done.add(name)
        for follower in self.followers.get(name, ()):
            if self.totals[follower] == 0:
                self._node_done(follower)
        self._start_ready()

    def close(self) -> None:
        if self.executor is not None:
            self.executor.close()
        self.progress.close()
