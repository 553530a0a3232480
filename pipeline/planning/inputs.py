"""Input listing: patterns -> partitions, sorted, from names and sizes only."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from pipeline.erasure.exclusion import all_entries
from pipeline.errors import InputError
from pipeline.files.addresses import content_name, is_web, shown
from pipeline.files.checksums import split_checksum
from pipeline.files.reading import opened
from pipeline.files.storage import Storage
from pipeline.files.uris import find_inputs, fixed_prefix, open_storage
from pipeline.network.settings import use
from pipeline.planning.fetching import FetchingSource, Watch
from pipeline.planning.plan import Plan
from pipeline.stage import Partition, Side, Source


def list_inputs(
    plan: Plan, limit: int | None = None, split: bool = True
) -> tuple[dict[str, list[Partition]], list[str]]:
    """Partitions of every source by (file, start), and warnings. Raises InputError.

    With `limit`, only the first `limit` documents of each source, in (file, offset) order. Without
    `split` large files stay whole, which spares looking into them.
    """
    use(plan.config.network)
    found: dict[str, list[Partition]] = {}
    warnings: list[str] = []
    for step in plan.steps:
        if not isinstance(step.stage, Source):
            continue
        storage = open_storage(plan.config.workdir)
        if isinstance(step.stage, FetchingSource):
            excluded = all_entries(plan.config, storage).named
            there = step.stage.fetched(step.id, storage, excluded)
            if there.missing:
                warnings.append(f"{step.id}: {there.missing:,} URLs to fetch first; `run` does it")
            partitions = list(there.partitions)
        elif (listed := step.stage.listing(storage)) is not None:
            partitions = [
                Partition(step.id, f.path, f.file, f.size, f.token, spans=f.spans)
                for f in sorted(listed, key=lambda f: f.file)
            ]
        else:
            partitions = _partitions(step.id, step.stage, plan.config.at(step.line), warnings)
            if split:
                partitions = [part for whole in partitions for part in _ranges(whole, step.stage)]
        found[step.id] = _cut(partitions, step.stage, limit, plan.config.seed)
    return found, warnings


def fetch_inputs(plan: Plan, storage: Storage, watch: Watch) -> None:
    """Bring into the workdir what sources fetch and is not there yet. Raises InputError."""
    for step in plan.steps:
        if isinstance(step.stage, FetchingSource):
            excluded = all_entries(plan.config, storage).named
            step.stage.fetch(step.id, storage, excluded, watch)


def _partitions(source: str, stage: Source, where: str, warnings: list[str]) -> list[Partition]:
    by_path: dict[str, Partition] = {}
    by_file: dict[str, str] = {}
    for given in stage.paths:
        pattern, sha256 = split_checksum(given)
        matches = find_inputs(pattern)
        if not matches:
            raise InputError(
                f"{where}: source '{source}': no input file matches '{shown(pattern)}'. "
                f"Check the path; patterns are relative to the current folder."
            )
        if sha256 and len(matches) > 1:
            raise InputError(
                f"{where}: source '{source}': '{pattern}' matches {len(matches)} files, but its "
                f"#sha256= can be that of one. Give each file its own."
            )
        base = _absolute(stage.base if stage.base is not None else fixed_prefix(pattern))
        for info in matches:
            if info.path in by_path:
                warnings.append(f"{source}: {shown(info.path)} is listed twice and read once")
                continue
            file = _relative(info.path, base)
            if file in by_file:
                raise InputError(
                    f"{where}: source '{source}': {shown(info.path)} and "
                    f"{shown(by_file[file])} are both '{file}' relative to their bases, so their "
                    f"documents would share an identity. Set `base:` to a folder above both."
                )
            by_file[file] = info.path
            by_path[info.path] = Partition(
                source, info.path, file, info.size, info.token, sha256=sha256
            )
    return sorted(by_path.values(), key=lambda partition: partition.file)


def _ranges(whole: Partition, stage: Source) -> list[Partition]:
    """The partitions of one file; one whose checksum is to be judged is read by one work."""
    if whole.sha256 or whole.spans:
        return [whole]
    ranges = stage.ranges(whole)
    if len(ranges) < 2:
        return [whole]
    return [replace(whole, start=start, stop=stop) for start, stop in ranges]


def _absolute(folder: str) -> str:
    if "://" in folder and not folder.startswith("file://"):
        return folder.rstrip("/")
    return posixpath.abspath(folder.removeprefix("file://"))


def _relative(path: str, base: str) -> str:
    if is_web(path):
        path, base = content_name(path), content_name(base) if is_web(base) else base
    prefix = base.rstrip("/") + "/"
    return path[len(prefix) :] if path.startswith(prefix) else path


def _cut(
    partitions: Sequence[Partition], stage: Source, limit: int | None, seed: int
) -> list[Partition]:
    """All partitions, or those that hold the first `limit` documents, the last one cut."""
    if limit is None:
        return list(partitions)
    chosen: list[Partition] = []
    left = limit
    for partition in partitions:
        if left <= 0:
            break
        cut = replace(partition, head=left)
        side = Side(partition.source, seed)
        with opened(stage, cut) as stream:
            count = sum(
                batch.documents.num_rows
                for batch in stage.read(cut, stream, side)
                if batch.documents is not None
            )
        chosen.append(replace(partition, head=min(count, left)))
        left -= count
    return chosen
