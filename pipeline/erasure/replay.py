"""A finished run again without its pages: what it made, under the keys that the next run asks for.

No stage runs. The plan is walked as a run would walk it, once with the list of excluded pages as it
was and once with the new one. A work whose key has moved gets the outputs that it had, their files
without the rows of the pages: tokenizer, cuts and verdicts stay as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from pipeline.erasure.excluded import REASON
from pipeline.erasure.exclusion import Exclusions, configured_entries
from pipeline.erasure.files import Rewritten
from pipeline.errors import InputError, PipelineError
from pipeline.execution.quarantine import read_quarantine
from pipeline.execution.schedule import Schedule
from pipeline.execution.segment import QUARANTINED
from pipeline.execution.work import SegmentCall, Work
from pipeline.files.storage import Storage
from pipeline.files.tables import iter_batches
from pipeline.planning.build import stage_class
from pipeline.planning.fetching import FetchingSource
from pipeline.planning.fingerprint import digest
from pipeline.planning.inputs import list_inputs
from pipeline.planning.plan import Plan, make_plan
from pipeline.results.funnel import make_funnel
from pipeline.results.manifest import Manifest, commit_manifest, load_manifest, manifest_path
from pipeline.results.publish import dataset_folder
from pipeline.results.records import RunRecord, config_from_json, new_run_id, runs_of


@dataclass
class Replayed:
    """What became of one run."""

    run_id: str
    plan: Plan
    schedule: Schedule
    record: Mapping[str, Any]
    exclusions: Exclusions
    frozen: int = 0
    """Works that got a new key."""
    missing: list[str] = field(default_factory=list)
    """Nodes that the next run redoes: their results are not there, or are to be made anew."""
    trained: dict[str, str] = field(default_factory=dict)
    """Artefact step -> kind, of those that read what the pages were part of."""

    def put_state(self, storage: Storage, version: int | None) -> None:
        """A run record of the state that is left: the newest one, as gc and audits go by it."""
        config = dict(self.record["config"])
        record = RunRecord(
            new_run_id(), self.record["started"], config, self.record["limit"],
            self.exclusions.entries.digest,
        )  # fmt: skip
        results = self.schedule.results
        keys = {n: {u: m.key for u, m in units.items()} for n, units in results.items() if units}
        funnel = make_funnel(self.plan, self.schedule).to_json()
        record.finish(storage, funnel, version, keys)


def replay(
    storage: Storage,
    record: Mapping[str, Any],
    rewritten: Rewritten,
    before: set[str],
    after: set[str],
    retrain: bool,
    beat: Callable[[], None],
) -> Replayed | str:
    """Commit the manifests of a run without the pages; a reason if it cannot be planned again.

    `before` and `after` are the entries erased from the workdir, without and with the new ones.
    """
    limit = record["limit"]
    try:
        with _folder_of(record):
            config = replace(config_from_json(record["config"]), workdir=storage.root)
            plan = make_plan(config)
            listed = configured_entries(config)
            inputs, _ = list_inputs(plan, limit)
    except PipelineError as error:
        return str(error)
    found = Exclusions.of(storage, listed | after, limit)
    assert found is not None
    found.store()
    arguments = plan, inputs, read_quarantine(storage), dataset_folder(limit)
    old = Schedule(*arguments, Exclusions.of(storage, listed | before, limit))
    new = Schedule(*arguments, found)
    made = Replayed(record["run_id"], plan, new, record, found)
    _Walk(storage, rewritten, old, new, made, retrain).run(beat)
    return made


def fetching_sources(storage: Storage) -> list[type[FetchingSource]]:
    """The kinds of sources that keep pages in a workdir, from all its runs.

    Raises InputError where none of them is known that kept what is there.
    """
    if not any(True for _ in storage.list("fetched")):
        return []
    found: set[type[FetchingSource]] = set()
    for path in runs_of(storage):
        steps = orjson.loads(storage.get(path))["config"]["steps"]
        for name in {key for step in steps for key in step if key not in ("id", "inputs")}:
            with contextlib.suppress(PipelineError):
                made = stage_class(name, path)
                if issubclass(made, FetchingSource):
                    found.add(made)
    if not found:
        raise InputError(
            f"{storage.root}/fetched holds pages, but no run of the workdir names a source that "
            f"fetches. Delete the folder, then erase again."
        )
    return sorted(found, key=lambda made: made.__name__)


@contextlib.contextmanager
def _folder_of(record: Mapping[str, Any]) -> Any:
    """Relative paths of a configuration start where its run was started."""
    folder = Path(record["config"].get("folder", "."))
    with contextlib.chdir(folder if folder.is_dir() else "."):
        yield


class _Walk:
    def __init__(
        self,
        storage: Storage,
        rewritten: Rewritten,
        old: Schedule,
        new: Schedule,
        made: Replayed,
        retrain: bool,
    ) -> None:
        self.storage, self.rewritten, self.old, self.new = storage, rewritten, old, new
        self.made, self.retrain = made, retrain

    def run(self, beat: Callable[[], None]) -> None:
        for name in self.new.nodes:
            if not self.new.ready(name):
                self.made.missing.append(name)
                continue
            works = self.new.works(name)
            earlier: dict[str, Work] = {}
            if self.old.ready(name):
                earlier = {work.unit: work for work in self.old.works(name)}
            for work in works:
                beat()
                self._one(name, work, earlier.get(work.unit))
            if len(self.new.results[name]) == len(works):
                self.new.done.add(name)
            else:
                self.made.missing.append(name)
            if len(self.old.results[name]) == len(earlier) and self.old.ready(name):
                self.old.done.add(name)

    def _one(self, name: str, work: Work, earlier: Work | None) -> None:
        had = load_manifest(self.storage, earlier.key) if earlier else None
        if self._kind(name) and (earlier is None or earlier.key != work.key):
            self.made.trained[name.partition(".")[0]] = self._kind(name)
        if had is not None:
            self.old.results[name][work.unit] = had
        found = load_manifest(self.storage, work.key)
        if found is not None and not self._holds(found):
            self.new.results[name][work.unit] = found
            return
        if had is None or (self.retrain and self._kind(name)):
            return
        frozen = self._frozen(work, had)
        if frozen is None:
            return
        if found is not None:  # equal inputs, and yet rows of the pages: not what it was made of
            self.storage.put(manifest_path(frozen.key), frozen.to_json())
        else:
            commit_manifest(self.storage, frozen)
        self.made.frozen += 1
        self.new.results[name][work.unit] = frozen

    def _holds(self, manifest: Manifest) -> bool:
        held = self.rewritten.held
        return any(ref.path in held for data in manifest.outputs.values() for ref in data.files)

    def _kind(self, name: str) -> str:
        """What the step of a node makes; empty where documents come out."""
        step = getattr(self.new.nodes[name], "step", None)
        return step.stage.kind if step is not None else ""

    def _frozen(self, work: Work, had: Manifest) -> Manifest | None:
        """The outputs of a work without the rows of the pages, under its new key."""
        outputs = {name: self.rewritten.dataset(data) for name, data in had.outputs.items()}
        counters = dict(had.counters)
        if isinstance(work.call, SegmentCall):
            counters = self._counters(work.call, had)
            if work.call.source and work.call.excluding and work.key != work.call.excluding.base:
                met = set(counters.get(REASON, {}).get("entries", ()))
                base = work.call.excluding.base
                if digest({"base": base, REASON: sorted(met)}) != work.key:
                    return None  # what it met is not known any more
        return Manifest(work.key, work.node, work.unit, outputs, counters)

    def _counters(self, call: SegmentCall, had: Manifest) -> dict[str, Any]:
        """The funnel of the work as if the pages had been left out where they came in."""
        counters = {**had.counters, "dropped": dict(had.counters["dropped"])}
        dropped: dict[str, int] = counters["dropped"]
        gone, met = self._gone(had)
        for row in gone:
            if row["drop_reason"] is None:
                counters["kept"] -= 1
            elif row["drop_reason"] == QUARANTINED:
                counters["quarantined"] -= 1
            else:
                both = f"{row['drop_step']}\t{row['drop_reason']}"
                dropped[both] -= 1
                if not dropped[both]:
                    del dropped[both]
        if call.source is None:
            counters["documents_in"] -= len(gone)
        elif gone:
            both = f"{call.source[0]}\t{call.source[0]}.{REASON}"
            dropped[both] = dropped.get(both, 0) + len(gone)
            counters["dropped"] = dict(sorted(dropped.items()))
            assert call.excluding is not None
            met |= set(had.counters.get(REASON, {}).get("entries", ()))
            counters[REASON] = {"base": call.excluding.base, "entries": sorted(met)}
        return counters

    def _gone(self, had: Manifest) -> tuple[list[dict[str, Any]], set[str]]:
        """Verdicts of the rows of the pages, and the entries that they meet."""
        rows: list[dict[str, Any]] = []
        met: set[str] = set()
        if not any(ref.path in self.rewritten.held for ref in had.outputs["metrics"].files):
            return rows, met
        names = ("doc_id", "url", "file", "offset", "drop_step", "drop_reason")
        for batch in iter_batches(self.storage, had.outputs["metrics"], names):
            hit = batch.filter(pa.array(self.rewritten.pages.rows_in(batch)))
            rows += hit.select(["drop_step", "drop_reason"]).to_pylist()
            assert self.new.exclusions is not None
            met |= self.new.exclusions.entries.met(hit["url"])[1]
        return rows, met
