"""What `inspect` can show: a step's documents and side tables, or any Parquet or JSON Lines file.

A target of a run is `step`, `step.metrics`, `step.dropped`, `step.<phase>`, or a path.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import operator
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.audit.artefacts import artefact_tables
from pipeline.audit.lookup import Run
from pipeline.audit.shards import first_line, open_parquet
from pipeline.errors import ConfigError, InputError, IntegrityError, nearest
from pipeline.files.storage import Storage
from pipeline.files.uris import open_storage, split_uri
from pipeline.phases import Emit
from pipeline.planning.nodes import EachNode, MergeNode, Node, OutputNode, ReduceNode
from pipeline.schema import VERDICTS
from pipeline.stage import RowStage

_CONDITION = re.compile(r"(.+?)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt,
    ">": operator.gt, "<=": operator.le, ">=": operator.ge,
}  # fmt: skip
_JSONL = re.compile(r"\.(?:jsonl|ndjson|json)(?:\.(?:gz|bz2|zst))?$")


@dataclass(frozen=True)
class Condition:
    """`column=value`, with = != < > <= >=; the value `null` is what was not measured."""

    column: str
    sign: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Raises ConfigError."""
        found = _CONDITION.fullmatch(text)
        if not found:
            raise ConfigError(
                f"--where {text}: expected COLUMN=VALUE (or != < > <= >=), for example "
                f"--where drop_reason=language.lang_score_too_low."
            )
        return cls(found[1].strip(), found[2], found[3].strip())

    def holds(self, value: Any) -> bool:
        """True if a row with this value is wanted."""
        if self.value == "null":
            return (value is None) == (self.sign == "=")
        if value is None:
            return self.sign == "!="
        if isinstance(value, bytes):
            value = value.hex()
        if isinstance(value, (int, float)):
            try:
                return _COMPARE[self.sign](value, float(self.value))
            except ValueError:
                return self.sign == "!="
        return _COMPARE[self.sign](str(value), self.value)


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, and how many there are."""

    rows: list[dict[str, Any]]
    numbers: list[int]
    """Of each row: its number in its file, from 0."""
    matching: int
    total: int
    num_bytes: int
    schema: pa.Schema | None
    """None for JSON Lines, and for a table that no file holds."""


@dataclass(frozen=True)
class Table:
    """Rows in one or more stored files of one layout."""

    title: str
    storage: Storage
    paths: tuple[str, ...]
    columns: tuple[str, ...] | None = None
    """Shown unless others are asked for; None = all."""
    conditions: tuple[Condition, ...] = ()
    note: str = ""

    def read(
        self, wanted: int, columns: Sequence[str] | None, conditions: Sequence[Condition]
    ) -> Rows:
        """The first `wanted` rows that meet all conditions. Raises InputError, IntegrityError."""
        everything = (*self.conditions, *conditions)
        rows: list[dict[str, Any]] = []
        numbers: list[int] = []
        matching = total = size = 0
        schema: pa.Schema | None = None

        def left() -> int:
            return wanted - len(rows)

        for path in self.paths:
            info = self.storage.info(path)
            if info is None:
                raise InputError(
                    f"{self.storage.root}/{path} is missing. `python -m pipeline verify "
                    f"{self.storage.root}` says what else is; a run makes it again."
                )
            size += info.size
            if not _JSONL.search(path) and schema is None:
                with open_parquet(self.storage, path) as file:
                    schema = file.schema_arrow
                _check_columns(schema, path, (*(columns or ()), *(c.column for c in everything)))
            read = _json_chunks if _JSONL.search(path) else _parquet_chunks
            shown, before = columns or self.columns, total
            for piece in read(self.storage, path, shown, everything, left):
                numbers += [total - before + number for number in piece.numbers]
                rows += piece.rows
                total, matching = total + piece.total, matching + piece.matching
        return Rows(rows, numbers, matching, total, size, schema)


@dataclass(frozen=True)
class _Piece:
    """Some rows of a file: how many, how many match, and those that are shown with their place."""

    total: int
    matching: int
    rows: list[dict[str, Any]]
    numbers: list[int]


def _check_columns(schema: pa.Schema, path: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in schema.names:
            raise InputError(f"{path} has no column '{name}'.{nearest(name, schema.names)}")


def _parquet_chunks(
    storage: Storage,
    path: str,
    columns: Sequence[str] | None,
    conditions: Sequence[Condition],
    left: Callable[[], int],
) -> Iterator[_Piece]:
    """Row group by row group; long columns are read only for rows that are shown."""
    with open_parquet(storage, path) as file:
        try:
            for number in range(file.num_row_groups):
                yield _row_group(file, number, columns, conditions, left())
        except (pa.ArrowInvalid, OSError) as error:
            raise IntegrityError(
                f"{storage.root}/{path} cannot be read: {first_line(error)}. Run "
                f"`python -m pipeline verify` on its workdir."
            ) from error


def _row_group(
    file: pq.ParquetFile,
    number: int,
    columns: Sequence[str] | None,
    conditions: Sequence[Condition],
    left: int,
) -> _Piece:
    total = file.metadata.row_group(number).num_rows
    hits = list(range(total))
    if conditions:
        names = list(dict.fromkeys(c.column for c in conditions))
        judged = file.read_row_group(number, columns=names, use_threads=False).to_pylist()
        hits = [at for at, row in enumerate(judged) if _meets(row, conditions)]
    if not hits or left <= 0:
        return _Piece(total, len(hits), [], [])
    wanted = None if columns is None else [c for c in columns if c in file.schema_arrow.names]
    table = file.read_row_group(number, columns=wanted, use_threads=False)
    if wanted is not None:
        table = table.select(wanted)
    hits, matching = hits[:left], len(hits)
    return _Piece(total, matching, table.take(pa.array(hits)).to_pylist(), hits)


def _json_chunks(
    storage: Storage,
    path: str,
    columns: Sequence[str] | None,
    conditions: Sequence[Condition],
    left: Callable[[], int],
) -> Iterator[_Piece]:
    with storage.open(path) as stream:
        for number, line in enumerate(_unpacked(stream, path)):
            try:
                row = json.loads(line) if line.strip() else None
            except ValueError as error:
                raise InputError(
                    f"{path}, line {number}: not JSON: {error}. Expected one object a line."
                ) from error
            if not isinstance(row, dict):
                continue
            if not _meets(row, conditions):
                yield _Piece(1, 0, [], [])
                continue
            shown = row if columns is None else {name: row.get(name) for name in columns}
            yield _Piece(1, 1, [shown], [0]) if left() > 0 else _Piece(1, 1, [], [])


def _meets(row: dict[str, Any], conditions: Sequence[Condition]) -> bool:
    return all(condition.holds(row.get(condition.column)) for condition in conditions)


def _unpacked(stream: BinaryIO, path: str) -> BinaryIO:
    """The lines of a file as its suffix says it is compressed."""
    if path.endswith(".gz"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    if path.endswith(".bz2"):
        return cast(BinaryIO, bz2.BZ2File(stream))
    if path.endswith(".zst"):
        return io.BytesIO(pa.CompressedInputStream(pa.PythonFile(stream), "zstd").read())
    return stream


# --- targets -----------------------------------------------------------------------------------


def file_table(path: str) -> Table:
    """One file anywhere, by path or URI. Raises InputError if it is no Parquet or JSON Lines."""
    root, name = split_uri(path)
    storage = open_storage(root)
    if storage.info(name) is None:
        raise InputError(f"no file {path}. Give a workdir, a configuration or a file.")
    if not _JSONL.search(name) and not name.endswith(".parquet"):
        with storage.open(name) as stream:
            if stream.read(4) != b"PAR1":
                raise InputError(
                    f"{path} is neither Parquet nor JSON Lines (.jsonl, .jsonl.gz). Raw inputs are "
                    f"shown by `trace`."
                )
    return Table(path, storage, (name,))


def find_target(run: Run, target: str) -> Table:
    """The table that a target of a run names. Raises InputError with the nearest name."""
    step_id, _, side = target.partition(".")
    steps = [step.id for step in run.plan.steps]
    if step_id in steps and "/" not in target:
        return _step_table(run, step_id, side)
    shards = [entry["file"] for entry in (run.version or {}).get("shards", [])]
    named = [f"{run.folder}/{f}" for f in shards if posixpath.basename(f).startswith(target)]
    for path in (target, *named[:1]):
        if run.storage.info(path) is not None:
            return Table(path, run.storage, (path,))
    root, name = split_uri(target)
    if "/" in target and open_storage(root).info(name) is not None:
        return file_table(target)
    valid = [*targets(run), *(posixpath.basename(file) for file in shards)]
    raise InputError(
        f"'{target}' is no step, table or file of {run.storage.root}.{nearest(target, valid)} "
        f"`python -m pipeline inspect {run.storage.root}` lists what there is."
    )


def targets(run: Run) -> list[str]:
    """Every step table of a run, by the name that `inspect` takes."""
    found = []
    for step in run.plan.steps:
        if run.segments_with(step.id):
            found += [step.id, f"{step.id}.metrics", f"{step.id}.dropped"]
        elif step.id in run.outputs():
            found.append(step.id)
        found += [f"{step.id}.{name}" for name in _phases(run, step.id)]
    return found


def _phases(run: Run, step_id: str) -> list[str]:
    """Names of a step's side tables: rows of its emits, exchanges and combines."""
    names: dict[str, None] = {}
    for name, segment in run.segments():
        emits = [x.phase for x in segment.links if x.step.id == step_id]
        found = [phase.name for phase in emits if isinstance(phase, Emit)]
        names.update(dict.fromkeys(found if run.keys.get(name) else []))
    for name, node in run.nodes.items():
        if _has_rows(node, step_id) and name in run.keys:
            names[name.removeprefix(f"{step_id}.")] = None
    return [*names, *artefact_tables(run, step_id)]


def _has_rows(node: Node, step_id: str) -> bool:
    """True if the node stores a Parquet table of the step (a combine may make an artefact)."""
    if isinstance(node, (ReduceNode, MergeNode)):
        return node.step.id == step_id and node.phase.schema is not None
    return isinstance(node, EachNode) and node.step.id == step_id


def _step_table(run: Run, step_id: str, side: str) -> Table:
    if side == "metrics":
        return _metrics(run, step_id)
    if side == "dropped":
        return _dropped(run, step_id)
    if side:
        return _phase_table(run, step_id, side)
    segments = run.segments_with(step_id)
    if segments:
        names = [name for name, node in segments if node.keeps_documents]
        ends = next(
            (x.step.id for x in reversed(segments[0][1].links) if not isinstance(x.phase, Emit)),
            step_id,
        )
        note = "" if ends == step_id else (
            f"'{step_id}' is fused with the steps up to '{ends}': these are the documents after "
            f"'{ends}'. What '{step_id}' measured: {step_id}.metrics"
        )  # fmt: skip
        return _table(run, f"{step_id}: documents", names, "docs", note=note)
    if isinstance(run.nodes.get(step_id), OutputNode):
        return _table(run, f"{step_id}: documents", [step_id], "files")
    sides = [f"{step_id}.{name}" for name in _phases(run, step_id)]
    more = f"It has {', '.join(sides)}." if sides else "It makes no table."
    raise InputError(f"'{step_id}' yields no documents. {more}")


def _table(
    run: Run,
    title: str,
    nodes: Sequence[str],
    output: str,
    columns: tuple[str, ...] | None = None,
    conditions: tuple[Condition, ...] = (),
    note: str = "",
) -> Table:
    paths = [
        ref.path
        for node in nodes
        for _, dataset in run.datasets(node, output)
        for ref in dataset.files
    ]
    return Table(title, run.storage, tuple(paths), columns, conditions, note)


def _metrics(run: Run, step_id: str) -> Table:
    """Provenance, this step's metrics and the verdict of every document in its segments."""
    segments = run.segments_with(step_id)
    if not segments:
        raise InputError(f"'{step_id}' measures no documents.{nearest(step_id, targets(run))}")
    stage = run.plan[step_id].stage
    own = stage.metric_types() if isinstance(stage, RowStage) else {}
    at = VERDICTS.names.index("drop_step")
    metrics = [f"{step_id}.{name}" for name in own]
    columns = (*VERDICTS.names[:at], *metrics, *VERDICTS.names[at:])
    names = [name for name, _ in segments]
    return _table(run, f"{step_id}: metrics and verdicts", names, "metrics", columns)


def _dropped(run: Run, step_id: str) -> Table:
    names = [name for name, _ in run.segments_with(step_id)]
    reasons = (  # "/" follows "." in ASCII: every reason of this step, and no other
        Condition("drop_reason", ">=", f"{step_id}."),
        Condition("drop_reason", "<", f"{step_id}/"),
    )
    keep = run.plan.config.keep_dropped
    note = f"keep_dropped is '{keep}'; documents that a source refuses have no text"
    title = f"{step_id}: texts of dropped documents"
    return _table(run, title, names, "dropped", None, reasons, note)


def _phase_table(run: Run, step_id: str, phase: str) -> Table:
    if phase not in _phases(run, step_id):
        valid = [f"{step_id}.{name}" for name in ("metrics", "dropped", *_phases(run, step_id))]
        hint = nearest(f"{step_id}.{phase}", valid)
        raise InputError(f"'{step_id}' has no table '{phase}'.{hint} Tables: {', '.join(valid)}.")
    if phase in (files := artefact_tables(run, step_id)):
        return Table(f"{step_id}: {phase}", run.storage, (files[phase],))
    title = f"{step_id}: rows of the phase '{phase}'"
    node = f"{step_id}.{phase}"
    if node in run.nodes and _has_rows(run.nodes[node], step_id):
        return _table(run, title, [node], "rows")
    feeding = [
        name
        for name, segment in run.segments()
        if any(x.step.id == step_id and isinstance(x.phase, Emit) for x in segment.links)
    ]
    return _table(run, title, feeding, phase)
