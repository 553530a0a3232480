"""`plan CONFIG`: the DAG with fingerprints, cache hits, partitions and notes of the stages."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pipeline.cli import add_config, count
from pipeline.execution.quarantine import read_quarantine
from pipeline.execution.runner import exclusions_of
from pipeline.execution.schedule import Schedule
from pipeline.files.uris import open_storage
from pipeline.phases import Emit
from pipeline.planning.config import load_config
from pipeline.planning.inputs import list_inputs
from pipeline.planning.lowering import phase_key
from pipeline.planning.nodes import SegmentNode
from pipeline.planning.plan import Plan, make_plan
from pipeline.results.manifest import load_manifest


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `plan`."""
    add_config(parser)
    parser.add_argument("--limit", type=count, metavar="N", help="the first N documents a source")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    """Print the plan; nothing is run, and nothing written but what an index chose (`plan/`)."""
    plan = make_plan(load_config(args.config, args.overrides))
    inputs, warnings = list_inputs(plan, args.limit)
    storage = open_storage(plan.config.workdir)
    exclusions, unfinished = exclusions_of(plan, storage, args.limit, store=False)
    warnings += unfinished
    schedule = Schedule(plan, inputs, read_quarantine(storage), exclusions=exclusions)
    steps = [_step_json(plan, step_id) for step_id in (s.id for s in plan.steps)]
    nodes = _nodes_json(schedule, storage)
    if args.json:
        partitions = {name: [p.file for p in found] for name, found in inputs.items()}
        print(json.dumps({"steps": steps, "nodes": nodes, "partitions": partitions}))
        return 0
    print(f"{plan.config.name}  seed {plan.config.seed}  workdir {plan.config.workdir}")
    for warning in warnings:
        print(f"warning: {warning}")
    print("\nsteps")
    width = max(len(step["id"]) for step in steps)
    for step in steps:
        arrow = f" <- {', '.join(step['inputs'])}" if step["inputs"] else ""
        refs = "".join(f"  [{knob}: {target}]" for knob, target in step["references"].items())
        print(f"  {step['key'][:12]}  {step['id']:<{width}}  {step['stage']}{arrow}{refs}")
        for note in step["notes"]:
            print(f"  {'':<12}  {'':<{width}}    {note}")
    print("\nsources")
    for name, found in inputs.items():
        size = sum(partition.num_bytes for partition in found)
        print(f"  {name:<{width}}  {len(found)} partitions, {size:,} bytes")
    print("\nwork, in order (segments fuse row-wise steps; keys behind a change are not known yet)")
    for node in nodes:
        state = "unknown until its inputs are done"
        if node["works"] is not None:
            state = f"{node['finished']} of {node['works']} works finished before"
        chain = f"  ({' + '.join(node['chain'])})" if len(node["chain"]) > 1 else ""
        print(f"  {node['id']:<32} {state}{chain}")
    return 0


def _step_json(plan: Plan, step_id: str) -> dict[str, Any]:
    step = plan[step_id]
    return {
        "id": step.id,
        "stage": f"{type(step.stage).__module__}:{type(step.stage).__qualname__}",
        "inputs": list(step.inputs),
        "references": dict(step.references),
        "key": phase_key(step, plan, None),
        "columns": step.schema.names if step.schema is not None else None,
        "notes": step.stage.plan_notes(),
    }


def _nodes_json(schedule: Schedule, storage: Any) -> list[dict[str, Any]]:
    """Every node with its cache hits, as far as finished inputs let the keys be known."""
    rows: list[dict[str, Any]] = []
    for name, node in schedule.nodes.items():
        chain: list[str] = []
        if isinstance(node, SegmentNode):
            chain = [node.source.id] if node.source else []
            for link in node.links:
                suffix = ".emit" if isinstance(link.phase, Emit) else ""
                chain.append(link.step.id + suffix)
        row: dict[str, Any] = {"id": name, "chain": chain, "works": None, "finished": None}
        if schedule.ready(name):
            works = schedule.works(name)
            found = {work.unit: load_manifest(storage, work.key) for work in works}
            done = {unit: manifest for unit, manifest in found.items() if manifest}
            schedule.results[name] = done
            row["works"], row["finished"] = len(works), len(done)
            if len(done) == len(works):
                schedule.done.add(name)
        rows.append(row)
    return rows
