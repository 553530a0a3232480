"""Erase pages from a workdir: in this order, so that it can be killed anywhere and begun again.

1. The request is stored (`exclusions/erased-<n>.json`, digests only): from here on no run takes the
   pages in. An unfinished request is taken up by the next `erase`.
2. The files that hold them are found; what to look for in the proof is stored until the end. What
   was fetched is written anew without them.
3. These files are written anew without the pages, and the manifests of the last runs under the keys
   that the next run asks for (`erasure.replay`).
4. A new version is put in force; each replayed run gets a new run record.
5. Purge: manifests that name the old files, versions that do, the files themselves, leftovers.
6. Proof (`erasure.prove`), then the report: the request is finished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from pipeline.audit.collect import kind_of as gc_kind
from pipeline.erasure.excluded import FOLDER, Entries
from pipeline.erasure.exclusion import erased_lists
from pipeline.erasure.files import Rewritten, find
from pipeline.erasure.pages import Pages
from pipeline.erasure.prove import Proof, prove
from pipeline.erasure.replay import Replayed, fetching_sources, replay
from pipeline.erasure.versions import (
    datasets_of,
    files_of,
    republish,
    unlisted,
    versions_holding,
    versions_of,
)
from pipeline.errors import InputError, IntegrityError
from pipeline.execution.lease import Lease
from pipeline.files.storage import Storage
from pipeline.results.manifest import Manifest, load_manifest, manifest_path
from pipeline.results.publish import dataset_folder
from pipeline.results.records import runs_of

PENDING = f"{FOLDER}/pending.json"
"""What the proof looks for; there only while an erase is unfinished."""
MAX_RUNS = 3
"""Distinct configurations, newest first, whose results are carried over; gc keeps 3 runs too."""


@dataclass
class Erased:
    """The report of one `erase`."""

    number: int
    """Of the request in the workdir."""
    entries: int
    pages: int = 0
    """Documents that the workdir knew by these URLs."""
    files_rewritten: dict[str, str | None] = field(default_factory=dict)
    """Old file -> new one; None = nothing was left of it."""
    files_deleted: list[str] = field(default_factory=list)
    manifests_deleted: int = 0
    works_frozen: int = 0
    """Works that have their old results, without the pages, under a new key."""
    versions: dict[str, int] = field(default_factory=dict)
    """Dataset folder -> its new version."""
    versions_deleted: list[str] = field(default_factory=list)
    trained: dict[str, str] = field(default_factory=dict)
    """Step -> kind (`tokenizer`, ...) of what was made with the pages among its documents."""
    retrained: bool = False
    not_carried_over: list[str] = field(default_factory=list)
    """Runs whose results the next run makes anew, and why."""
    proof: Proof = field(default_factory=Proof)


def erase(
    storage: Storage,
    entries: Iterable[str],
    retrain: bool = False,
    rerun: Callable[[Replayed], int | None] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Erased:
    """Take the pages that the entries name out of the workdir; all unfinished requests with them.

    With `retrain`, what was trained on them is made anew by `rerun`, which is called without the
    lease. Raises InputError if there is nothing to do, IntegrityError if the proof fails.
    """
    if not runs_of(storage):
        raise InputError(f"{storage.root} holds no finished run. Give the workdir of a run.")
    with Lease(storage) as lease:
        keepers = fetching_sources(storage)
        number, before, after = _request(storage, set(entries))
        report = Erased(number, len(after - before))
        pages = Pages(Entries(after))
        held = _recall(storage, pages)
        say("looking for the pages")
        held |= find(storage, pages, lease.heartbeat)
        rewritten = Rewritten(storage, pages, held)
        report.pages = len(pages.places)
        _remember(storage, pages, held)
        fetched: dict[str, str | None] = {}
        for keeper in keepers:
            fetched |= keeper.forget(storage, pages.entries.named, lease.heartbeat)
        say(f"{report.pages:,} documents in {len(rewritten.held):,} files")
        replayed = _replay(storage, rewritten, before, after, retrain, report, lease)
        _publish(storage, rewritten, replayed, report)
    if retrain and rerun is not None:
        for made in replayed:
            if made.missing:
                say("training anew")
                rerun(made)
                report.retrained = True
    with Lease(storage) as lease:
        report.files_rewritten = {
            old: new.path if new else None for old, new in sorted(rewritten.made.items())
        } | fetched
        _purge(storage, rewritten, report, lease)
        if report.retrained:
            _forget_artefacts(storage, replayed, report)
        say("looking at every byte")
        report.proof = prove(storage, pages, PENDING, keepers, lease.heartbeat)
        if report.proof.found:
            raise IntegrityError(
                f"erase {number}: a page is still in {len(report.proof.found)} places, first "
                f"{report.proof.found[0]}. Delete what is not the pipeline's own, then run "
                f"`python -m pipeline erase {storage.root}` again."
            )
        _finish(storage, report)
    return report


# --- Requests ------------------------------------------------------------------------------------


def _request(storage: Storage, entries: set[str]) -> tuple[int, set[str], set[str]]:
    """(number, all entries of finished requests, all entries); the new one is stored."""
    lists = erased_lists(storage)
    before = {entry for found, done in lists.values() if done for entry in found}
    waiting = {entry for found, done in lists.values() if not done for entry in found}
    number = max(lists, default=0)
    if entries - before - waiting or (entries and not waiting):
        number += 1
        body = orjson.dumps({"entries": sorted(entries)}, option=orjson.OPT_INDENT_2)
        storage.put(f"{FOLDER}/erased-{number}.json", body, if_absent=True)
    elif not waiting:
        raise InputError(
            f"nothing to erase from {storage.root}: no unfinished request. Give --urls FILE."
        )
    return number, before - entries, before | waiting | entries


def _recall(storage: Storage, pages: Pages) -> dict[str, str]:
    """What an interrupted attempt knew; the files that held the pages and are still there."""
    try:
        known = orjson.loads(storage.get(PENDING))
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    pages.urls |= set(known["urls"])
    pages.windows |= {bytes.fromhex(part) for part in known["windows"]}
    pages.places |= {(bytes.fromhex(i), file, offset) for i, file, offset in known["places"]}
    return {path: kind for path, kind in known["held"].items() if storage.info(path)}


def _remember(storage: Storage, pages: Pages, held: Mapping[str, str]) -> None:
    known = {
        "held": held,
        "urls": sorted(pages.urls),
        "windows": sorted(part.hex() for part in pages.windows),
        "places": sorted((i.hex(), file, offset) for i, file, offset in pages.places),
    }
    storage.put(PENDING, orjson.dumps(known))


def _finish(storage: Storage, report: Erased) -> None:
    """The proof holds: all requests are done. The report names no page."""
    storage.delete(PENDING)
    lists = erased_lists(storage)
    body = json.dumps(asdict(report), indent=1, ensure_ascii=False).encode()
    for number, (_, done) in lists.items():
        if not done:
            storage.put(f"{FOLDER}/erased-{number}.report.json", body, if_absent=True)


# --- Carrying over -------------------------------------------------------------------------------


def _replay(
    storage: Storage,
    rewritten: Rewritten,
    before: set[str],
    after: set[str],
    retrain: bool,
    report: Erased,
    lease: Lease,
) -> list[Replayed]:
    """The newest run of each configuration, oldest first."""
    seen: set[str] = set()
    chosen: list[dict[str, Any]] = []
    for path in runs_of(storage):
        record = orjson.loads(storage.get(path))
        what = json.dumps([record["config"], record["limit"]], sort_keys=True)
        if what not in seen and len(seen) < MAX_RUNS:
            seen.add(what)
            chosen.append(record)
    found = []
    for record in reversed(chosen):
        made = replay(storage, record, rewritten, before, after, retrain, lease.heartbeat)
        if isinstance(made, str):
            report.not_carried_over.append(f"run {record['run_id']}: {made}")
            continue
        found.append(made)
        report.works_frozen += made.frozen
        report.trained |= made.trained
        if made.missing and not retrain and record["error"] is None:
            names = ", ".join(made.missing[:3])
            report.not_carried_over.append(
                f"run {made.run_id}: {names}{', ...' if len(made.missing) > 3 else ''}: no results "
                f"of this code and these inputs"
            )
    return found


def _publish(
    storage: Storage, rewritten: Rewritten, replayed: list[Replayed], report: Erased
) -> None:
    for folder in datasets_of(storage):
        number = republish(storage, folder, rewritten)
        if number is not None:
            report.versions[folder] = number
    for made in replayed:
        if made.frozen:
            version = report.versions.get(dataset_folder(made.record["limit"]))
            made.put_state(storage, version or made.record["version"])


# --- Purge ---------------------------------------------------------------------------------------


def _purge(storage: Storage, rewritten: Rewritten, report: Erased, lease: Lease) -> None:
    """Manifests before versions before files: nothing that is left names what is gone."""
    held = rewritten.held
    for key, manifest in _manifests(storage):
        lease.heartbeat()
        if any(ref.path in held for data in manifest.outputs.values() for ref in data.files):
            storage.delete(manifest_path(key))
            report.manifests_deleted += 1
    for path in versions_holding(storage, held):
        storage.delete(path)
        report.versions_deleted.append(path)
    doomed = [*held, *unlisted(storage)]
    doomed += [i.path for i in storage.list("") if gc_kind(i.path) == "leftovers"]
    for path in dict.fromkeys(doomed):
        lease.heartbeat()
        storage.delete(path)
        report.files_deleted.append(path)


def _forget_artefacts(storage: Storage, replayed: list[Replayed], report: Erased) -> None:
    """Delete what was trained on the pages, and the versions and shards that were made with it.

    That is the works of artefact steps that none of the new runs names.
    """
    runs = [orjson.loads(storage.get(path)) for path in runs_of(storage)[: len(replayed)]]
    kept = {key for run in runs for units in run["keys"].values() for key in units.values()}
    doomed: set[str] = set()
    tokenizers: set[str] = set()
    named: set[str] = set()
    current: set[str] = set()
    for key, manifest in _manifests(storage):
        refs = [ref for data in manifest.outputs.values() for ref in data.files]
        if key in kept:  # works that were carried over name files of those before
            named |= {ref.path for ref in refs}
            current |= {ref.sha256 for ref in refs}
        elif manifest.node.partition(".")[0] in report.trained:
            doomed |= {ref.path for ref in refs}
            tokenizers |= {ref.sha256 for ref in refs}
    for folder in datasets_of(storage):
        for path, body in versions_of(storage, folder):
            files = files_of(body, folder)
            if (body.get("tokenizer") or {}).get("sha256") in tokenizers - current:
                doomed |= files
                storage.delete(path)
                report.versions_deleted.append(path)
            else:
                named |= files
    doomed -= named
    for key, manifest in _manifests(storage):
        if any(ref.path in doomed for data in manifest.outputs.values() for ref in data.files):
            storage.delete(manifest_path(key))
            report.manifests_deleted += 1
    for path in sorted({*doomed, *unlisted(storage)}):
        storage.delete(path)
        report.files_deleted.append(path)


def _manifests(storage: Storage) -> Iterator[tuple[str, Manifest]]:
    for info in list(storage.list("manifests")):
        key = info.path.removeprefix("manifests/").removesuffix(".json")
        manifest = load_manifest(storage, key) if gc_kind(info.path) == "manifests" else None
        if manifest is not None:
            yield key, manifest
