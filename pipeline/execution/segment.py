"""One segment on one partition: neighbouring row-wise steps, one pass, no Ray.

In: a source's partition, or the documents of an earlier segment. Out: `docs` (kept documents),
`metrics` (every document that entered: metrics, verdict, match), `dropped` (text of a sample of the
dropped), and a side table for each emit.

Every filter measures every document that enters; the verdict is the first broken rule in step
order, and rows leave only at the end. So a moved threshold can be judged again from the metrics. A
row that an apply drops leaves at once and is measured no further.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.batch import TextBatch
from pipeline.erasure.excluded import REASON, entries_at, without_excluded, work_key
from pipeline.errors import PipelineError, StageError
from pipeline.execution import watch
from pipeline.execution.measured import check_metrics, first_failure, num_chars, spread
from pipeline.execution.quarantine import NewlyQuarantinedError, entries_of
from pipeline.execution.sample import DroppedSample
from pipeline.execution.warm_up import take_turns
from pipeline.execution.work import Env, Link, Made, SegmentCall
from pipeline.files.addresses import shown
from pipeline.files.reading import opened, size_of
from pipeline.files.tables import ParquetSink, bounded, fill, iter_batches, read_dataset, side_of
from pipeline.phases import Apply, Emit
from pipeline.schema import DOC_ID, PROVENANCE, VERDICTS
from pipeline.stage import Damage, Processed, RowStage, Side, SourceBatch

KEPT = -1
QUARANTINED = "quarantined"
"""drop_reason of a document named in `quarantine/`; counted apart from drops."""


def metrics_schema(links: Sequence[Link]) -> pa.Schema:
    """Provenance, num_chars, `<step id>.<metric>` columns, verdict."""
    verdict_at = VERDICTS.get_field_index("drop_step")
    fields = list(VERDICTS)[:verdict_at]
    for link in links:
        if not isinstance(link.phase, Emit):
            for name, kind in link.stage.metric_types().items():
                fields.append(pa.field(f"{link.step}.{name}", kind))
    return pa.schema([*fields, *list(VERDICTS)[verdict_at:]])


class Verdicts:
    """The first broken rule of every row of one batch, by number into a list of reasons."""

    def __init__(self, length: int) -> None:
        self.code = np.full(length, KEPT, dtype=np.int32)
        self.reasons: list[tuple[str, str]] = []  # (step id, drop reason)
        self.matched: list[bytes | None] = [None] * length

    def mark(self, rows: npt.NDArray[np.int64], step: str, reason: str) -> None:
        """Rows that are not dropped yet are dropped by this reason."""
        fresh = rows[self.code[rows] == KEPT]
        if len(fresh):
            self.code[fresh] = len(self.reasons)
            self.reasons.append((step, reason))

    def column(self, which: int) -> pa.Array:
        """Step (0) or reason (1) of every row; null = kept."""
        names = pa.array([reason[which] for reason in self.reasons], pa.string())
        return names.take(pa.array(self.code, mask=self.code == KEPT))


class _Segment:
    def __init__(self, call: SegmentCall, env: Env) -> None:
        self.call, self.env = call, env
        self.links = call.links
        self.row_links = [link for link in call.links if not isinstance(link.phase, Emit)]
        self.emits = [link for link in call.links if isinstance(link.phase, Emit)]
        self.sides = {id(link): self._side(link) for link in call.links}
        self.metrics = ParquetSink(env.scratch / "metrics", metrics_schema(call.links))
        self.docs = ParquetSink(env.scratch / "docs", call.output) if call.output else None
        self.emitted = {
            _emit(link).name: ParquetSink(
                env.scratch / f"side-{_emit(link).name}", _emit(link).schema
            )
            for link in self.emits
        }
        text_schema = call.output if call.output else call.schema
        self.dropped = DroppedSample(
            call.seed, call.keep_dropped, text_schema, env.scratch / "dropped"
        )
        self.counts: Counter[tuple[str, str]] = Counter()
        self.documents_in = self.kept = self.quarantined = 0
        self.used: Counter[str] = Counter()
        self.damage: list[Damage] = []
        self.excluded: set[str] = set()
        self.input_bytes = 0
        self.quarantine = [(bytes.fromhex(doc_id), step) for doc_id, step in call.quarantine]

    def _side(self, link: Link) -> Side:
        tables: dict[str, pa.Table] = {}
        if isinstance(link.phase, Apply) and link.rows is not None:
            tables[link.phase.reads] = read_dataset(self.env.storage, link.rows)
        return side_of(link.context, self.env, tables)

    def run(self) -> Made:
        for table in self._tables():
            for piece in bounded(table):
                self._batch(piece)
        dropped = sum(self.counts.values())
        if self.documents_in != self.kept + dropped + self.quarantined:
            raise PipelineError(
                f"{self.env.where}: {self.documents_in} documents came in, but {self.kept} were "
                f"kept, {dropped} dropped and {self.quarantined} quarantined. This is our bug."
            )
        return self._made()

    def _made(self) -> Made:
        outputs = {"metrics": [self.metrics.close()]}
        if self.docs:
            outputs["docs"] = [self.docs.close()]
        for name, sink in self.emitted.items():
            outputs[name] = [sink.close()]
        sample = self.dropped.close()
        if sample:
            outputs["dropped"] = [sample]
        reasons = {f"{step}\t{reason}": n for (step, reason), n in sorted(self.counts.items())}
        counters: dict[str, Any] = {
            "documents_in": self.documents_in,
            "kept": self.kept,
            "dropped": reasons,
            "quarantined": self.quarantined,
            **({"used": dict(sorted(self.used.items()))} if self.used else {}),
        }
        if self.call.source:
            counters["input_bytes"] = self.input_bytes
            counters["damage"] = [
                {"file": d.file, "num_bytes": d.num_bytes, "offset": d.offset, "reason": d.reason}
                for d in self.damage
            ]
        if self.call.excluding is None:
            return Made(outputs, counters)
        base = self.call.excluding.base
        if self.excluded:
            counters[REASON] = {"base": base, "entries": sorted(self.excluded)}
        return Made(outputs, counters, work_key(base, self.excluded))

    # --- input -------------------------------------------------------------------------------

    def _tables(self) -> Iterator[pa.Table]:
        if self.call.source is None:
            assert self.call.documents is not None
            for table in iter_batches(self.env.storage, self.call.documents):
                # Parquet keeps no seconds: a date comes back in milliseconds.
                yield fill(table, self.call.schema).cast(self.call.schema)
            return
        step, stage, partition, context = self.call.source
        side = side_of(context, self.env)
        try:
            with opened(stage, partition) as stream:
                self.input_bytes = size_of(stream, partition)
                for batch in stage.read(partition, stream, side):
                    self.damage.extend(batch.damage)
                    batch = self._without_excluded(step, batch)
                    if batch.refused:
                        self._refuse(step, batch.refused)
                    if batch.documents is not None and batch.documents.num_rows:
                        yield self._from_source(step, batch.documents)
        except PipelineError:
            raise
        except FileNotFoundError as error:
            gone = f"{self.env.where}: {shown(partition.path)} vanished. Run again."
            raise StageError(gone) from error
        except Exception as error:
            raise StageError(
                f"{self.env.where}: step '{step}' failed while reading {shown(partition.path)}: "
                f"{type(error).__name__}: {error}."
            ) from error

    def _from_source(self, step: str, table: pa.Table) -> pa.Table:
        source = pa.repeat(pa.scalar(step, pa.string()), table.num_rows)
        if "source" in table.column_names:
            table = table.drop_columns(["source"])
        table = table.append_column("source", source)
        return fill(table, self.call.schema).cast(self.call.schema)

    def _without_excluded(self, step: str, batch: SourceBatch) -> SourceBatch:
        """Take out the pages that must not enter: they are counted, no table names them."""
        if self.call.excluding is None:
            return batch
        entries = entries_at(self.env.storage, self.call.excluding.path)
        left, gone, met = without_excluded(batch, entries)
        self.documents_in += gone
        if gone:
            self.counts[step, f"{step}.{REASON}"] += gone
        self.excluded |= met
        return left

    def _refuse(self, step: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Refused records count as documents that the source drops, each with its reason."""
        self.documents_in += len(rows)
        for row in rows:
            self.counts[step, f"{step}.{row['reason']}"] += 1
        columns: dict[str, Any] = {
            name: pa.array([row.get(name) for row in rows], PROVENANCE.field(name).type)
            for name in PROVENANCE.names
            if name != "source"
        }
        columns["source"] = pa.repeat(pa.scalar(step, pa.string()), len(rows))
        columns["drop_step"] = columns["source"]
        columns["drop_reason"] = pa.array([f"{step}.{row['reason']}" for row in rows])
        self.metrics.write(fill(pa.table(columns), self.metrics.schema))

    # --- one batch ---------------------------------------------------------------------------

    def _batch(self, table: pa.Table) -> None:
        length = table.num_rows
        self.documents_in += length
        verdicts = Verdicts(length)
        rows = np.arange(length)
        batch = TextBatch(table)
        metrics: dict[str, pa.Array] = {}
        lengths = num_chars(table)
        if self.call.source:
            batch, rows = self._skip(self.call.source[0], batch, rows, verdicts)
        for link in self.row_links:
            batch, rows = self._skip(link.step, batch, rows, verdicts)
            batch, rows = self._link(link, batch, rows, verdicts, metrics, length)
            if lengths is None and "text" in batch.table.column_names:
                lengths = spread(num_chars(batch.table), rows, length)
        self._write(table, batch, rows, verdicts, metrics, lengths)

    def _skip(
        self, step: str, batch: TextBatch, rows: npt.NDArray[np.int64], verdicts: Verdicts
    ) -> tuple[TextBatch, npt.NDArray[np.int64]]:
        """Take out the documents that `quarantine/` names for this step."""
        named = [doc_id for doc_id, at in self.quarantine if at == step]
        if not named:
            return batch, rows
        hit = pc.is_in(batch.column("doc_id"), pa.array(named, DOC_ID)).to_numpy(False)
        verdicts.mark(rows[hit], step, QUARANTINED)
        return batch.take(pa.array(~hit)), rows[~hit]

    def _link(
        self,
        link: Link,
        batch: TextBatch,
        rows: npt.NDArray[np.int64],
        verdicts: Verdicts,
        metrics: dict[str, pa.Array],
        length: int,
    ) -> tuple[TextBatch, npt.NDArray[np.int64]]:
        stage, where = link.stage, f"{self.env.where}, step '{link.step}'"
        asked, asked_rows = batch, rows
        if stage.measure_kept_only:
            kept = verdicts.code[rows] == KEPT
            asked, asked_rows = batch.take(pa.array(kept)), rows[kept]
        answer = self._call(link, asked, where)
        self.used.update({f"{link.step}.{k}\t{v}": len(asked) for k, v in answer.used.items()})
        measured = check_metrics(answer, stage, len(asked), where)
        for name, values in measured.items():
            metrics[f"{link.step}.{name}"] = spread(values, asked_rows, length)
        self._judge(link.step, stage, measured, asked_rows, verdicts)
        if answer.columns:
            batch = batch.with_columns(answer.columns)
        batch = batch.without(stage.removes)
        batch = batch.with_columns(self._carried(link.step, metrics, rows))
        if answer.drop is None:
            return batch, rows
        if isinstance(link.phase, Apply) and not link.phase.drops:
            raise StageError(
                f"{where}: the phase '{link.phase.name}' dropped documents, but says drops=False. "
                f"Drop by rules, or say drops=True."
            )
        drop = np.asarray(answer.drop, dtype=bool)
        first = drop & (verdicts.code[rows] == KEPT)  # an earlier verdict has matched nothing
        verdicts.mark(rows[drop], link.step, f"{link.step}.{answer.reason}")
        if answer.matched is not None:
            matched = answer.matched.to_pylist()
            for at in np.flatnonzero(first):
                verdicts.matched[rows[at]] = matched[at]
        return batch.take(pa.array(~drop)), rows[~drop]

    def _carried(
        self, at: str, metrics: Mapping[str, pa.Array], rows: npt.NDArray[np.int64]
    ) -> dict[str, pa.Array]:
        """Metrics of a step that a later one, in this segment or behind it, reads as columns."""
        names = [f"{step}.{name}" for step, name in self.call.carry if step == at]
        return {name: metrics[name].take(pa.array(rows)) for name in names}

    def _call(self, link: Link, batch: TextBatch, where: str) -> Processed:
        side = self.sides[id(link)]
        call = link.phase.call if isinstance(link.phase, Apply) else link.stage.process
        try:
            with watch.at(self.env.storage.root, self.call.partition, link.step):
                return call(batch, side)
        except PipelineError:
            raise
        except Exception as error:
            doc_id, error = first_failure(call, batch, side, error)
            raise StageError(
                f"{where}, doc_id {doc_id}: {type(error).__name__}: {error}. "
                f"Mend the stage; finished partitions are kept."
            ) from error

    def _judge(
        self,
        step: str,
        stage: RowStage,
        measured: Mapping[str, pa.Array],
        rows: npt.NDArray[np.int64],
        verdicts: Verdicts,
    ) -> None:
        for rule in stage.rules():
            for reason, hit in rule.broken(measured[rule.metric]):
                verdicts.mark(rows[hit], step, f"{step}.{reason}")

    # --- output ------------------------------------------------------------------------------

    def _write(
        self,
        entered: pa.Table,
        batch: TextBatch,
        rows: npt.NDArray[np.int64],
        verdicts: Verdicts,
        metrics: Mapping[str, pa.Array],
        num_chars: pa.Array | None,
    ) -> None:
        reasons = verdicts.column(1)
        for step, reason in (verdicts.reasons[c] for c in verdicts.code if c != KEPT):
            if reason == QUARANTINED:
                self.quarantined += 1
            else:
                self.counts[step, reason] += 1
        columns = {name: entered.column(name) for name in PROVENANCE.names}
        columns.update(metrics)
        columns["num_chars"] = (
            pa.nulls(len(entered), pa.int64()) if num_chars is None else num_chars
        )
        columns["drop_step"], columns["drop_reason"] = verdicts.column(0), reasons
        columns["matched_doc_id"] = pa.array(verdicts.matched, DOC_ID)
        self.metrics.write(fill(pa.table(columns), self.metrics.schema))
        alive = verdicts.code[rows] == KEPT
        self.dropped.add(entered, batch.table, rows, reasons)
        kept = batch.take(pa.array(alive))
        self.kept += len(kept)
        if self.docs and len(kept):
            self.docs.write(kept.table)
        for link in self.emits:
            if len(kept):
                where = f"{self.env.where}, step '{link.step}', phase '{_emit(link).name}'"
                self.emitted[_emit(link).name].write(self._emit_rows(link, kept, where))

    def _emit_rows(self, link: Link, kept: TextBatch, where: str) -> pa.Table:
        try:
            return _emit(link).call(kept, self.sides[id(link)])
        except PipelineError:
            raise
        except Exception as error:
            raise StageError(f"{where}: {type(error).__name__}: {error}.") from error


def _emit(link: Link) -> Emit:
    assert isinstance(link.phase, Emit)
    return link.phase


def _check_quarantine(call: SegmentCall, env: Env) -> None:
    """Raises NewlyQuarantinedError where the watchdog has killed an earlier attempt."""
    steps = {link.step for link in call.links}
    listed = [entry for entry in entries_of(env.storage, call.partition) if entry[1] in steps]
    if news := tuple(entry for entry in listed if entry not in call.quarantine):
        raise NewlyQuarantinedError(env.where, call.partition, news)


def run_segment(call: SegmentCall, env: Env) -> Made:
    """Run the chain on the partition; see the module's docstring for what comes out."""
    if watch.kills():
        _check_quarantine(call, env)
    take_turns(
        (task for link in call.links for task in link.stage.warm_up()),
        lambda: (task for stage in call.later for task in stage.warm_up()),
    )
    return _Segment(replace(call), env).run()
