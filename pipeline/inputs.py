"""Input listing: patterns -> partitions, sorted, from names and sizes only."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from pipeline.errors import InputError
from pipeline.fetching import FetchingSource, Watch
from pipeline.plan import Plan
from pipeline.stage import Partition, Side, Source
from pipeline.storage import Storage, find_inputs, fixed_prefix, open_input, open_storage


def list_inputs(
    plan: Plan, limit: int | None = None
) -> tuple[dict[str, list[Partition]], list[str]]:
    """Partitions of every source by (file), and warnings. Raises InputError.

    With `limit`, only the first `limit` documents of each source, in (file, offset) order.
    """
    found: dict[str, list[Partition]] = {}
    warnings: list[str] = []
    for step in plan.steps:
        if isinstance(step.stage, FetchingSource):
            there = step.stage.fetched(step.id, open_storage(plan.config.workdir))
            if there.missing:
                warnings.append(f"{step.id}: {there.missing:,} URLs to fetch first; `run` does it")
            found[step.id] = _cut(there.partitions, step.stage, limit, plan.config.seed)
        elif isinstance(step.stage, Source):
            partitions = _partitions(step.id, step.stage, plan.config.at(step.line), warnings)
            found[step.id] = _cut(partitions, step.stage, limit, plan.config.seed)
    return found, warnings


def fetch_inputs(plan: Plan, storage: Storage, watch: Watch) -> None:
    """Bring into the workdir what sources fetch and is not there yet. Raises InputError."""
    for step in plan.steps:
        if isinstance(step.stage, FetchingSource):
            step.stage.fetch(step.id, storage, watch)


def _partitions(source: str, stage: Source, where: str, warnings: list[str]) -> list[Partition]:
    by_path: dict[str, Partition] = {}
    by_file: dict[str, str] = {}
    for pattern in stage.paths:
        matches = find_inputs(pattern)
        if not matches:
            raise InputError(
                f"{where}: source '{source}': no input file matches '{pattern}'. "
                f"Check the path; patterns are relative to the current folder."
            )
        base = _absolute(stage.base if stage.base is not None else fixed_prefix(pattern))
        for info in matches:
            if info.path in by_path:
                warnings.append(f"{source}: {info.path} is listed twice and read once")
                continue
            file = _relative(info.path, base)
            if file in by_file:
                raise InputError(
                    f"{where}: source '{source}': {info.path} and {by_file[file]} are both "
                    f"'{file}' relative to their bases, so their documents would share an "
                    f"identity. Set `base:` to a folder above both."
                )
            by_file[file] = info.path
            by_path[info.path] = Partition(source, info.path, file, info.size, info.token)
    return sorted(by_path.values(), key=lambda partition: partition.file)


def _absolute(folder: str) -> str:
    if "://" in folder and not folder.startswith("file://"):
        return folder.rstrip("/")
    return posixpath.abspath(folder.removeprefix("file://"))


def _relative(path: str, base: str) -> str:
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
        with open_input(partition.path) as stream:
            count = sum(
                batch.documents.num_rows
                for batch in stage.read(cut, stream, side)
                if batch.documents is not None
            )
        chosen.append(replace(partition, head=min(count, left)))
        left -= count
    return chosen
