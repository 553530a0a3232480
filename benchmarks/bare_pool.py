"""The floor of `engine`: the same work in a bare pool of forked processes.

    python -m benchmarks.bare_pool CONFIG WORKERS OUT

Takes a configuration of one source, row-wise steps, `exact_dedup` and `write_documents`. Per input
file a pool process reads, extracts, filters and emits hashes in ONE pass through the engine's own
`run_segment` (the engine makes two passes, with a stored file after the extraction); the parent
finds the losers in one sort; per file a pool process drops them and writes the final Parquet. No
plan store, manifest, hash, fsync, attempt folder, lease, exchange file, retry or Ray.

It writes `OUT/kept.json`: doc_ids of the documents in OUT.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.execution.segment import run_segment
from pipeline.execution.work import Context, Env, Link, SegmentCall
from pipeline.execution.worker import partition_id
from pipeline.files.tables import single_thread
from pipeline.files.uris import open_storage
from pipeline.phases import Emit
from pipeline.planning.config import load_config
from pipeline.planning.inputs import list_inputs
from pipeline.planning.plan import Plan, make_plan, stage_schema
from pipeline.stage import Partition, RowStage, Side, Source, TextBatch
from stages.dedup.exact import ExactDedup, drop_losers, losers
from stages.write_documents import WriteDocuments


@dataclass(frozen=True)
class Chain:
    """What every pool process runs on each file."""

    call: SegmentCall
    output: WriteDocuments
    out: Path


def make_chain(plan: Plan, out: Path) -> Chain:
    """One fused segment from the source to the hashes. Raises ValueError on another shape."""
    seed = plan.config.seed
    source, *rows, dedup, output = plan.steps
    if not (
        isinstance(source.stage, Source)
        and isinstance(dedup.stage, ExactDedup)
        and isinstance(output.stage, WriteDocuments)
    ):
        raise ValueError("expected: a source, row-wise steps, exact_dedup, write_documents")
    assert source.schema is not None
    schema, links = source.schema, []
    for step in rows:
        assert isinstance(step.stage, RowStage)
        schema = stage_schema(step.stage, schema)
        links.append(Link(step.id, step.stage, None, Context(step.id, seed)))
    emit = dedup.stage.phases()[0]
    assert isinstance(emit, Emit)
    links.append(Link(dedup.id, dedup.stage, emit, Context(dedup.id, seed)))
    partition = Partition(source.id, "", "", 0, "")
    call = SegmentCall(
        "", (source.id, source.stage, partition, Context(source.id, seed)), None, tuple(links),
        source.schema, schema, seed, plan.config.keep_dropped,
    )  # fmt: skip
    return Chain(call, output.stage, out)


def clean(chain: Chain, partition: Partition) -> str:
    """First pass over one file; the folder of what it made."""
    single_thread()
    unit = partition_id(partition)
    folder = chain.out / unit
    folder.mkdir(parents=True)
    assert chain.call.source is not None
    step, stage, _, context = chain.call.source
    call = SegmentCall(
        unit, (step, stage, partition, context), None, chain.call.links, chain.call.schema,
        chain.call.output, chain.call.seed, chain.call.keep_dropped,
    )  # fmt: skip
    run_segment(call, Env(open_storage(str(chain.out)), folder, unit))
    return unit


def finish(chain: Chain, unit: str, lost: pa.Table) -> list[str]:
    """Second pass: drop this file's losers, write the documents; doc_ids of what is kept."""
    single_thread()
    side = Side("exact_dedup", chain.call.seed, {"losers": lost}, scratch=chain.out)
    kept: list[str] = []
    tables: list[pa.Table] = []
    with pq.ParquetFile(chain.out / unit / "docs", pre_buffer=False) as file:
        for index in range(file.num_row_groups):
            batch = TextBatch(file.read_row_group(index, use_threads=False))
            table = batch.table.filter(pa.array(~drop_losers(batch, side).drop.to_numpy(False)))
            kept += [doc_id.hex() for doc_id in table["doc_id"].to_pylist()]
            tables.append(table)
    chain.output.write(iter(tables), unit, side)
    return kept


def find_losers(chain: Chain, units: Sequence[str]) -> list[pa.Table]:
    """The losers of every file: one sort over all hashes."""
    found = []
    for unit in units:
        hashes = pq.read_table(chain.out / unit / "side-hashes", use_threads=False)
        owner = pa.repeat(pa.scalar(bytes.fromhex(unit), pa.binary(16)), hashes.num_rows)
        found.append(hashes.append_column("partition", owner))
    order = [(name, "ascending") for name in ("key", "keep", "doc_id", "file", "offset")]
    side = Side("exact_dedup", chain.call.seed)
    lost = losers(pa.concat_tables(found).sort_by(order), side)
    return [lost.filter(pc.equal(lost["partition"], bytes.fromhex(unit))) for unit in units]


def main(config: str, workers: int, out: Path) -> None:
    """Run both passes; write the doc_ids that were kept."""
    plan = make_plan(load_config(config, []))
    inputs, _ = list_inputs(plan)
    (partitions,) = inputs.values()
    out.mkdir(parents=True, exist_ok=True)
    chain = make_chain(plan, out)
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        units = pool.starmap(clean, [(chain, p) for p in partitions], chunksize=1)
        lost = find_losers(chain, units)
        calls = [(chain, unit, table) for unit, table in zip(units, lost, strict=True)]
        kept = pool.starmap(finish, calls, chunksize=1)
        pool.close()
        pool.join()
    ids = sorted(doc_id for found in kept for doc_id in found)
    (out / "kept.json").write_text(json.dumps(ids))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
