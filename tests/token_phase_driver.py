"""Runs the phases of a global step in memory, as `pipeline.phases` describes them. Tests only.

Partitions are tables; their ids are hashes of their content's first node, so that the order in
which they are given plays no part. Files are hashed and kept in a folder under their final name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.phases import Combine, Emit, Exchange, OutputFile
from pipeline.schema import DOC_ID, TOKENS
from pipeline.stage import GlobalStage, RowStage, Side, Stage, TextBatch

TEXTS = pa.schema(
    [
        ("doc_id", DOC_ID),
        ("source", pa.string()),
        ("url", pa.string()),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("text", pa.large_string()),
    ]
)
TOKENISED = pa.schema([*list(TEXTS)[:5], ("num_tokens", pa.int32()), ("tokens", TOKENS)])


@dataclass
class Outcome:
    """Tables of all phases by name, artefact files, and finished files by name."""

    tables: dict[str, pa.Table] = field(default_factory=dict)
    artefacts: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    files: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def texts_table(rows: Sequence[tuple[str, str, str]]) -> pa.Table:
    """Documents from (source, key, text); the doc_id is the md5 of (source, key)."""
    made = [
        {
            "doc_id": hashlib.md5(f"{source}\0{key}".encode()).digest(),
            "source": source,
            "url": f"https://www.example.org/{source}/{key}",
            "file": f"{source}.jsonl",
            "offset": at,
            "text": text,
        }
        for at, (source, key, text) in enumerate(rows)
    ]
    return pa.Table.from_pylist(made, schema=TEXTS)


def parts(table: pa.Table, count: int, seed: int = 0) -> list[pa.Table]:
    """The rows dealt into `count` partitions, in an order that `seed` gives."""
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return [table.take(pa.array(np.sort(order[k::count]))) for k in range(count)]


def batches(table: pa.Table, rows: int = 7) -> list[pa.Table]:
    """Small batches, so that nothing can rely on seeing a partition whole."""
    cut = [table.slice(at, rows) for at in range(0, table.num_rows, rows)]
    return cut or [table]


def process(stage: RowStage, table: pa.Table, side: Side) -> pa.Table:
    """A row-wise stage over a table: columns added, `removes` gone."""
    done = []
    for piece in batches(table):
        batch = TextBatch(piece)
        done.append(batch.with_columns(stage.process(batch, side).columns).table)
    whole = pa.concat_tables(done)
    return whole.drop_columns([n for n in stage.removes if n in whole.column_names])


def store(files: Mapping[str, bytes], folder: Path) -> Path:
    """Artefact files in a folder, as a step that reads them finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def run_phases(
    stage: GlobalStage,
    partitions: Sequence[pa.Table],
    folder: Path,
    *,
    seed: int = 1,
    stages: Mapping[str, Stage] | None = None,
    artefacts: Mapping[str, Path] | None = None,
) -> Outcome:
    """Every phase of `stage` over the partitions; finished files land under `folder`."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    side = Side("step", seed, {}, dict(artefacts or {}), dict(stages or {}), scratch)
    docs = dict(sorted((_partition_id(table), table) for table in partitions))
    emitted: dict[str, dict[bytes, pa.Table]] = {}
    outcome = Outcome()
    for phase in stage.phases():
        if isinstance(phase, Emit):
            emitted[phase.name] = {
                name: pa.concat_tables(
                    [phase.call(TextBatch(b), side).cast(phase.schema) for b in batches(table)]
                )
                for name, table in docs.items()
            }
        elif isinstance(phase, Combine):
            _combine(phase, docs, emitted, outcome, side)
        elif isinstance(phase, Exchange):
            _exchange(phase, docs, emitted, outcome, side, folder)
        else:
            raise NotImplementedError(phase)
    return outcome


def _partition_id(table: pa.Table) -> bytes:
    first = str(table.slice(0, 1).to_pylist()).encode()
    return hashlib.sha256(first).digest()[:16]


def _small(phase: Combine | Exchange, outcome: Outcome) -> dict[str, pa.Table]:
    return {name: outcome.tables[name] for name in phase.reads if name in outcome.tables}


def _map(
    phase: Combine | Exchange,
    call: Any,
    docs: Mapping[bytes, pa.Table],
    emitted: Mapping[str, Mapping[bytes, pa.Table]],
    outcome: Outcome,
    side: Side,
) -> dict[bytes, pa.Table]:
    """`each` or `route` on every partition: docs in batches, side tables whole."""
    answers = {}
    for name, table in docs.items():
        tables = {read: emitted[read][name] for read in phase.reads if read in emitted}
        tables |= _small(phase, outcome)
        if "docs" in phase.reads:
            found = [call({**tables, "docs": batch}, side) for batch in batches(table)]
            answers[name] = pa.concat_tables(found)
        else:
            answers[name] = call(tables, side)
    return answers


def _combine(phase: Combine, docs: Any, emitted: Any, outcome: Outcome, side: Side) -> None:
    side = replace(side, tables=_small(phase, outcome))
    if not phase.reads:
        rows = pa.table({})
    elif all(name in outcome.tables for name in phase.reads):
        rows = outcome.tables[phase.reads[0]]
    else:
        assert phase.each is not None
        found = _map(phase, phase.each, docs, emitted, outcome, side)
        assert phase.each_schema is not None
        rows = pa.concat_tables([found[name].cast(phase.each_schema) for name in sorted(found)])
    answer = phase.merge(rows, side)
    if phase.schema is None:
        assert not isinstance(answer, pa.Table)
        outcome.artefacts[phase.name] = answer
    else:
        assert isinstance(answer, pa.Table)
        outcome.tables[phase.name] = answer.cast(phase.schema)


def _exchange(
    phase: Exchange, docs: Any, emitted: Any, outcome: Outcome, side: Side, folder: Path
) -> None:
    assert phase.route is not None
    assert phase.buckets == "value"
    routed = _map(phase, phase.route, docs, emitted, outcome, side)
    with_partition = [
        table.append_column("partition", pa.array([name] * table.num_rows, pa.binary(16)))
        for name, table in routed.items()
    ]
    rows = pa.concat_tables(with_partition)
    keys = rows.select([phase.key, *phase.order]).to_pylist()
    order = sorted(range(len(keys)), key=lambda at: [_nulls_first(v) for v in keys[at].values()])
    rows = rows.take(pa.array(order, pa.int64()))
    side = replace(side, tables=_small(phase, outcome))
    for value in sorted(set(rows[phase.key].to_pylist())):
        answer = phase.reduce(rows.filter(pc.equal(rows[phase.key], value)), side)
        assert not isinstance(answer, pa.Table)
        for made in answer:
            name, info = publish(made, folder)
            outcome.files[name] = info


def _nulls_first(value: Any) -> tuple[Any, ...]:
    return (value is not None, value) if value is not None else (False,)


def publish(made: OutputFile, folder: Path) -> tuple[str, Mapping[str, Any]]:
    """Move a finished file to its final name under `folder`; gives the name and its info."""
    checksum = hashlib.sha256(made.path.read_bytes()).hexdigest()
    name = made.publish_as.format(checksum=checksum[:8])
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    made.path.rename(folder / name)
    return name, json.loads(json.dumps(made.info))
