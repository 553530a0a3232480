"""Input listing: patterns -> partitions, sorted, from names and sizes only."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from pipeline.errors import InputError
from pipeline.plan import Plan
from pipeline.stage import Partition, Side, Source
from pipeline.storage import find_inputs, fixed_prefix, open_input


def list_inputs(
    plan: Plan, limit: int | None = None, split: bool = True
) -> tuple[dict[str, list[Partition]], list[str]]:
    """Partitions of every source by (file, start), and warnings. Raises InputError.

    With `limit`, only the first `limit` documents of each source, in (file, offset) order. Without
    `split` large files stay whole, which spares looking into them.
    """
    found: dict[str, list[Partition]] = {}
    warnings: list[str] = []
    for step in plan.steps:
        if isinstance(step.stage, Source):
            partitions = _partitions(step.id, step.stage, plan.config.at(step.line), warnings)
            if split:
                partitions = [part for whole in partitions for part in _ranges(whole, step.stage)]
            if limit is not None:
                partitions = _first(partitions, step.stage, limit, plan.config.seed)
            found[step.id] = partitions
    return found, warnings


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


def _ranges(whole: Partition, stage: Source) -> list[Partition]:
    """The partitions of one file."""
    ranges = stage.ranges(whole)
    if len(ranges) < 2:
        return [whole]
    return [replace(whole, start=start, stop=stop) for start, stop in ranges]


def _absolute(folder: str) -> str:
    if "://" in folder and not folder.startswith("file://"):
        return folder.rstrip("/")
    return posixpath.abspath(folder.removeprefix("file://"))


def _relative(path: str, base: str) -> str:
    prefix = base.rstrip("/") + "/"
    return path[len(prefix) :] if path.startswith(prefix) else path


def _first(
    partitions: Sequence[Partition], stage: Source, limit: int, seed: int
) -> list[Partition]:
    """Partitions that hold the first `limit` documents, the last one cut."""
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
