"""Look into a finished run: its plan rebuilt from the run record, its manifests, its documents.

The metrics of a source's segment hold every document that entered the run, refused ones too; a
document keeps its partition id through all segments, so that one row is found by one scan and
everything else by its partition.
"""

from __future__ import annotations

import difflib
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError, InputError, IntegrityError
from pipeline.files.storage import Storage
from pipeline.files.tables import iter_batches
from pipeline.files.uris import open_storage
from pipeline.phases import Emit
from pipeline.planning.lowering import Lowering
from pipeline.planning.nodes import Node, OutputNode, SegmentNode
from pipeline.planning.plan import Plan, make_plan
from pipeline.results.manifest import Dataset, Manifest, load_manifest
from pipeline.results.publish import dataset_folder
from pipeline.results.records import config_from_json, read_run, run_id_of, workdir_of
from pipeline.schema import PROVENANCE

MAX_CANDIDATES = 20_000
"""URLs that are compared with one that was not found."""


@dataclass(frozen=True)
class Place:
    """Where one document entered the run. (doc_id, file, offset) is its identity."""

    unit: str
    """Partition id."""
    doc_id: bytes
    source: str
    url: str | None
    file: str
    offset: int


class Run:
    """A finished run of a workdir: its record, and its plan with the nodes that did the work."""

    def __init__(self, storage: Storage, record: Mapping[str, Any]) -> None:
        self.storage, self.record = storage, record
        self.keys: Mapping[str, Mapping[str, str]] = record["keys"]

    @cached_property
    def plan(self) -> Plan:
        """The plan as the run saw it. Raises ConfigError if its stages are gone."""
        try:
            return make_plan(config_from_json(self.record["config"]))
        except ConfigError as error:
            raise ConfigError(
                f"run {self.record['run_id']} cannot be planned again: {error} Its stages must be "
                f"importable, as they were when it ran."
            ) from error

    @cached_property
    def nodes(self) -> dict[str, Node]:
        return Lowering(self.plan).run()

    @property
    def label(self) -> str:
        """Its id, and that it was cut short if it was: the newest run may be a trial."""
        limit = self.record["limit"]
        return f"{self.record['run_id']}{'' if limit is None else f' (with --limit {limit})'}"

    @property
    def folder(self) -> str:
        """The dataset's folder, relative to the workdir."""
        return dataset_folder(self.record["limit"])

    @cached_property
    def version(self) -> Mapping[str, Any] | None:
        """The version that the run published; None for a run with `--until` or no outputs."""
        if self.record["version"] is None:
            return None
        return read_json(self.storage, f"{self.folder}/versions/{self.record['version']}.json")

    def manifest(self, node: str, unit: str) -> Manifest:
        """The manifest of one finished work. Raises InputError if it was deleted since."""
        found = load_manifest(self.storage, self.keys[node][unit])
        if found is None:
            raise InputError(
                f"the results of {node}, unit {unit}, are gone from {self.storage.root} (gc or "
                f"verify --repair deleted them). Run the configuration again to have them back."
            )
        return found

    def datasets(self, node: str, output: str) -> Iterator[tuple[str, Dataset]]:
        """(unit, stored output) of every work of a node, in order of unit."""
        for unit in sorted(self.keys.get(node, {})):
            found = self.manifest(node, unit).outputs.get(output)
            if found is not None:
                yield unit, found

    def segments(self) -> Iterator[tuple[str, SegmentNode]]:
        """Segments that the run finished, in order; not the repeated beginnings for outputs."""
        for name, node in self.nodes.items():
            if isinstance(node, SegmentNode) and not name.endswith(".docs") and name in self.keys:
                yield name, node

    def segments_with(self, step_id: str) -> list[tuple[str, SegmentNode]]:
        """Segments in which a step judges or rewrites documents."""
        return [
            (name, node)
            for name, node in self.segments()
            if (node.source is not None and node.source.id == step_id)
            or any(x.step.id == step_id and not isinstance(x.phase, Emit) for x in node.links)
        ]

    def outputs(self) -> list[str]:
        """Ids of output steps that the run finished."""
        found = [n for n, node in self.nodes.items() if isinstance(node, OutputNode)]
        return [name for name in found if name in self.keys]

    def changed_since(self) -> list[str]:
        """Steps whose code or libraries are no longer those of the run."""
        found = []
        for name, units in self.keys.items():
            node = self.nodes.get(name)
            for unit in list(units)[:1]:
                for dataset in self.manifest(name, unit).outputs.values():
                    for ref in dataset.files[:1]:
                        top, _, rest = ref.path.partition("/")
                        folder = rest.partition("/")[0]
                        if top == "steps" and (node is None or not folder.endswith(node.key[:12])):
                            found.append(name.partition(".")[0])
        return list(dict.fromkeys(found))


def open_run(run: str, run_id: str | None = None) -> Run:
    """A run of a workdir, of a configuration or by its record's path: the newest, or the one whose
    id begins with `run_id`. Raises InputError, ConfigError."""
    workdir = workdir_of(run)
    return Run(open_storage(workdir), read_run(workdir, run_id or run_id_of(run)))


def read_json(storage: Storage, path: str) -> dict[str, Any]:
    """A stored JSON object. Raises InputError if it is missing, IntegrityError if corrupt."""
    try:
        found = json.loads(storage.get(path))
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
    except FileNotFoundError as error:
        raise InputError(f"{storage.root}/{path} is missing; a run writes it again.") from error
    except ValueError as error:
        raise IntegrityError(
            f"{storage.root}/{path} is corrupt: {error}. Run `python -m pipeline verify "
            f"{storage.root} --repair`, then the configuration again."
        ) from error
    return found


# --- documents ---------------------------------------------------------------------------------


def find_documents(run: Run, column: str, value: Any) -> list[Place]:
    """Every document with this `doc_id` or `url`, in order of (file, offset)."""
    found: list[Place] = []
    for unit, dataset in _entered(run):
        hit = False
        for batch in iter_batches(run.storage, dataset, [column]):
            hit = hit or bool(pc.any(pc.equal(batch[column], _scalar(value))).as_py())
        if hit:
            for batch in iter_batches(run.storage, dataset, PROVENANCE.names):
                rows = batch.filter(pc.equal(batch[column], _scalar(value)))
                found += [Place(unit=unit, **row) for row in rows.to_pylist()]
    return sorted(found, key=lambda place: (place.file, place.offset))


def _scalar(value: Any) -> pa.Scalar:
    return pa.scalar(value, pa.binary(16)) if isinstance(value, bytes) else pa.scalar(value)


def _entered(run: Run) -> Iterator[tuple[str, Dataset]]:
    """The metrics tables that hold every document once: those of the sources' segments."""
    for name, node in run.segments():
        if node.source is not None:
            yield from run.datasets(name, "metrics")


def metrics_of(run: Run, segment: str, place: Place) -> dict[str, Any] | None:
    """The row of a document in a segment's metrics; None if it did not enter the segment."""
    if place.unit not in run.keys.get(segment, {}):
        return None
    dataset = run.manifest(segment, place.unit).outputs["metrics"]
    wanted = (place.doc_id, place.file, place.offset)
    for batch in iter_batches(run.storage, dataset):
        for row in batch.filter(pc.equal(batch["doc_id"], _scalar(place.doc_id))).to_pylist():
            if (row["doc_id"], row["file"], row["offset"]) == wanted:
                return dict(row)
    return None


def nearest_urls(run: Run, url: str, count: int = 3) -> list[str]:
    """URLs of the run that look most like one that is not there: same page written otherwise,
    then same site, then any."""
    wanted, host = _plain_url(url), _host(url)
    same: list[str] = []
    site: dict[str, None] = {}
    other: dict[str, None] = {}
    for _, dataset in _entered(run):
        for batch in iter_batches(run.storage, dataset, ["url"]):
            for found in batch["url"].to_pylist():
                if not found:
                    continue
                if _plain_url(found) == wanted:
                    same.append(found)
                elif host and _host(found) == host and len(site) < MAX_CANDIDATES:
                    site[found] = None
                elif len(other) < MAX_CANDIDATES:
                    other[found] = None
    near = list(dict.fromkeys(same))
    near += difflib.get_close_matches(url, list(site), count, 0.3)
    if not near:
        near += difflib.get_close_matches(url, list(other), count, 0.5)
    return near[:count]


def _plain_url(url: str) -> str:
    """A URL without scheme, `www.`, query, fragment and trailing slash, in lower case."""
    text = url.strip().lower().partition("://")[2] or url.strip().lower()
    return text.removeprefix("www.").partition("#")[0].partition("?")[0].rstrip("/")


def _host(url: str) -> str:
    try:
        host = urllib.parse.urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")
