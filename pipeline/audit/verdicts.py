"""One document along the DAG: every metric with its bounds and verdict, and where it ended."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from pipeline.audit.lookup import Place, Run, find_documents, metrics_of
from pipeline.audit.shards import number_in_name, row_of, shard_number
from pipeline.draw import draw
from pipeline.execution.segment import QUARANTINED
from pipeline.knobs import knob_info
from pipeline.planning.nodes import SegmentNode
from pipeline.planning.plan import Step, yields_documents
from pipeline.stage import RowStage, Rule, Source, Stage

_OTHER = 0.123
"""Put in place of a knob without a value, to see which bound it moves."""


def explained(run: Run, place: Place) -> dict[str, Any]:
    """The document's provenance, its steps in order, its outcome, and the files that hold it."""
    rows = {name: metrics_of(run, name, place) for name, _ in run.segments()}
    steps = [
        _step(run, step, rows, place)
        for step in run.plan.steps
        if yields_documents(step.stage) and place.source in run.plan.sources_of(step.id)
    ]
    dropped = [step for step in steps if step["verdict"] in ("dropped", QUARANTINED)]
    documents, shards = _documents(run, place), _shards(run, place)
    return {
        "doc_id": place.doc_id,
        "url": place.url,
        "source": place.source,
        "file": place.file,
        "offset": place.offset,
        "steps": steps,
        "dropped_by": [step["step"] for step in dropped],
        "outcome": _outcome(run, steps, dropped, bool(shards)),
        "documents": documents,
        "shards": shards,
    }


def _outcome(
    run: Run, steps: Sequence[Mapping[str, Any]], dropped: Sequence[Mapping[str, Any]], held: bool
) -> str:
    """One line: by what it was dropped, or that it was kept and what became of it."""
    parts = []
    for step in dropped:
        reason = (step["drop_reason"] or "").removeprefix(f"{step['step']}.")
        if isinstance(run.plan[step["step"]].stage, Source) and reason != QUARANTINED:
            parts.append(f"refused by the source {step['step']}: {reason}")
        elif reason == QUARANTINED:
            parts.append(f"quarantined at {step['step']}: see quarantine/ in the workdir")
        else:
            parts.append(f"dropped by {step['step']}: {reason}")
    if parts and not held:
        return "; ".join(parts)
    branches = f" ({'; '.join(parts)})" if parts else ""
    if held or not (run.version or {}).get("shards"):
        end = "" if run.version is not None else ", the run published nothing (--until)"
        return f"kept{branches}{end}"
    if any(step["verdict"] == "not finished" for step in steps):
        return "kept so far; the run stopped before the end (--until)"
    return f"kept by every step{branches}, but cut by the mixture: no copy is in a shard"


# --- steps -------------------------------------------------------------------------------------


def _step(
    run: Run, step: Step, rows: Mapping[str, dict[str, Any] | None], place: Place
) -> dict[str, Any]:
    """What one step measured of the document, and its verdict there."""
    segments = run.segments_with(step.id)
    name, node = next(((n, s) for n, s in segments if rows[n] is not None), ("", None))
    row = rows.get(name)
    found: dict[str, Any] = {
        "step": step.id,
        "stage": f"{type(step.stage).__module__}:{type(step.stage).__qualname__}",
        "verdict": "not reached" if segments else "not finished",
        "drop_reason": None,
        "matched": None,
        "metrics": [],
    }
    if row is None or node is None:
        return found
    found["metrics"] = step_metrics(step, row)
    found["verdict"] = _verdict(step.id, node, row)
    if row["drop_step"] == step.id:
        found["drop_reason"] = row["drop_reason"]
        if row["matched_doc_id"] is not None:
            found["matched"] = _matched(run, row["matched_doc_id"])
    return found


def _verdict(step_id: str, node: SegmentNode, row: Mapping[str, Any]) -> str:
    """kept, dropped or quarantined by this step; or dropped before it in the same segment."""
    if row["drop_step"] is None:
        return "kept"
    if row["drop_step"] == step_id:
        return QUARANTINED if row["drop_reason"] == QUARANTINED else "dropped"
    chain = [node.source.id] if node.source else []
    chain += [link.step.id for link in node.links]
    before = chain.index(row["drop_step"]) < chain.index(step_id)
    return "dropped before" if before else "kept"


def _matched(run: Run, doc_id: bytes) -> dict[str, Any]:
    places = find_documents(run, "doc_id", doc_id)
    first = places[0] if places else None
    return {"doc_id": doc_id, "url": first.url if first else None}


def step_metrics(step: Step, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every metric of a step in one metrics row, once for each rule that bounds it."""
    if not isinstance(step.stage, RowStage):
        return []
    rules = step.stage.rules()
    found: list[dict[str, Any]] = []
    for name in step.stage.metric_types():
        value = row.get(f"{step.id}.{name}")
        bounding = [rule for rule in rules if rule.metric == name] or [Rule(name)]
        for rule in bounding:
            found.append(
                {
                    "name": name,
                    "value": value,
                    "minimum": rule.minimum,
                    "maximum": rule.maximum,
                    "verdict": judged(rule, value),
                    "knobs": knobs_of(step.stage, rule),
                }
            )
    return found


def judged(rule: Rule, value: float | None) -> str:
    """`ok`, `broke <rule>`, `not measured`; empty for a metric without a bound."""
    if value is None:
        return "not measured"
    low, high = rule.reasons()
    if rule.minimum is not None and value < rule.minimum:
        return f"broke {low}"
    if rule.maximum is not None and value > rule.maximum:
        return f"broke {high}"
    return "ok" if (rule.minimum, rule.maximum) != (None, None) else ""


def knobs_of(stage: Stage, rule: Rule) -> list[dict[str, Any]]:
    """The knobs that set a rule's bounds, with unit and source: those whose change moves them."""
    bounds = (rule.minimum, rule.maximum)
    found: list[dict[str, Any]] = []
    if bounds == (None, None):
        return found
    for field in dataclasses.fields(stage):  # type: ignore[arg-type]
        value = getattr(stage, field.name)
        if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
            continue
        other = _OTHER if value is None else value + 1
        moved = dataclasses.replace(stage, **{field.name: other})  # type: ignore[type-var]
        assert isinstance(moved, RowStage)
        try:
            same = [r for r in moved.rules() if (r.metric, r.name) == (rule.metric, rule.name)]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            continue  # a value that the stage refuses says nothing
        if len(same) == 1 and (same[0].minimum, same[0].maximum) != bounds:
            info = knob_info(field)
            found.append(
                {"name": field.name, "value": value, "unit": info.unit, "source": info.source}
            )
    return found


# --- files that hold the document --------------------------------------------------------------


def _documents(run: Run, place: Place) -> list[dict[str, Any]]:
    """Finished document files that hold it."""
    found = []
    identity = dataclasses.asdict(place)
    for name in run.outputs():
        if place.unit not in run.keys.get(name, {}):
            continue
        outputs = run.manifest(name, place.unit).outputs
        for ref in outputs["files"].files if "files" in outputs else ():
            row: int | None = None
            if ref.path.endswith(".parquet"):
                hit = row_of(run.storage, ref.path, identity, None)
                if hit is None:
                    continue
                row = hit[0]
            found.append({"file": ref.path, "row": row})
    return found


def _shards(run: Run, place: Place) -> list[dict[str, Any]]:
    """Rows of token shards that hold it: the shuffle draw of each copy says which shard."""
    version = run.version
    if not version or not version.get("shards"):
        return []
    with run.storage.open(f"{run.folder}/{version['index']}") as stream:
        index = pq.read_table(stream, columns=["file", "split", "group"]).to_pylist()
    files = {(e["split"], e["group"], number_in_name(e["file"])): e["file"] for e in index}
    by_source = version["mixture"]["by"] == ["source"]
    found = []
    for total in version["totals"]:
        if not total["shards"] or (by_source and total["group"] != place.source):
            continue
        for copy in range(total["copies"]):
            h = draw(version["shuffle_seed"], "shuffle", place.doc_id, copy)
            name = (total["split"], total["group"], shard_number(h, total["shards"]))
            if name not in files:
                continue
            path = posixpath.normpath(f"{run.folder}/{files[name]}")
            hit = row_of(run.storage, path, dataclasses.asdict(place), copy)
            if hit is not None:
                found.append({"file": path, "row": hit[0], "copy": copy, "tokens": hit[1]})
    return found
