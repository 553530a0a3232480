"""`explain RUN URL|DOC_ID`: one document along the DAG, and where it stands at the end."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.audit.display import as_json, cells, clean, cut, pad, paint, shown, width, wrapped
from pipeline.audit.lookup import Place, Run, find_documents, nearest_urls, open_run
from pipeline.audit.verdicts import explained
from pipeline.cli import add_run
from pipeline.errors import InputError, nearest

_COLOUR = {"kept": "green", "dropped": "red", "quarantined": "yellow"}


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `explain`."""
    add_run(parser)
    parser.add_argument("document", metavar="URL|DOC_ID", help="a URL, or 32 hex digits")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    """Explain every document with this id or URL. Returns 0; errors are raised."""
    run = open_run(args.run, args.run_id)
    places = _places(run, args.document.strip())
    changed = run.changed_since()
    documents = [explained(run, place) for place in places]
    if run.record["limit"] is not None and not args.json:
        print(f"of run {run.label}\n")
    if args.json:
        found = {"run_id": run.record["run_id"], "changed_since": changed, "documents": documents}
        print(json.dumps(as_json(found)))
        return 0
    if len(documents) > 1:
        print(f"{len(documents)} documents have this id or URL, by file and offset\n")
    if changed:
        text = (
            f"note: the code of {', '.join(changed)} is no longer that of this run: bounds are "
            f"those of today, values and verdicts those of the run"
        )
        print(wrapped(text.split(), "", " ") + "\n")
    print("\n\n".join(_text(document, args.run) for document in documents))
    return 0


def _places(run: Run, document: str) -> list[Place]:
    """Raises InputError with the nearest URLs."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", document):
        found = find_documents(run, "doc_id", bytes.fromhex(document))
        if not found:
            raise InputError(
                f"no document {document} entered run {run.label} of "
                f"{run.storage.root}. Its id may come from another source id or an older run; "
                f"try its URL."
            )
        return found
    found = find_documents(run, "url", document)
    if not found:
        near = nearest_urls(run, document)
        hint = f" Did you mean:\n  {chr(10).join(['', *near])[1:].replace(chr(10), chr(10) + '  ')}"
        raise InputError(
            f"no document with the URL '{document}' entered run {run.label} of "
            f"{run.storage.root}.{hint if near else nearest(document, [])}"
        )
    return found


# --- text --------------------------------------------------------------------------------------


def _text(document: Mapping[str, Any], run: str) -> str:
    lines = [
        paint(clean(document["url"] or "(no URL)"), "bold"),
        f"  doc_id {document['doc_id'].hex()}, source {document['source']}",
        f"  {clean(document['file'])} at {document['offset']:,}",
        "",
    ]
    left = max(len(step["step"]) for step in document["steps"])
    for step in document["steps"]:
        lines += _step_lines(step, left)
    return "\n".join([*lines, "", *_end_lines(document, run)])


def _step_lines(step: Mapping[str, Any], left: int) -> list[str]:
    verdict = step["verdict"]
    state = paint(verdict, _COLOUR.get(verdict, "dim"))
    reason = f"  {step['drop_reason']}" if step["drop_reason"] else ""
    lines = [f"  {paint(pad(step['step'], left), 'bold')}  {state}{paint(reason, 'red')}"]
    metrics = step["metrics"]
    rows = [_metric_cells(metric) for metric in metrics]
    widths = [max((cells(row[at]) for row in rows), default=0) for at in range(4)]
    for row, metric in zip(rows, metrics, strict=True):
        name, value, bound, judged = row
        line = (
            f"      {pad(name, widths[0])}  {' ' * (widths[1] - cells(value))}{value}  "
            f"{pad(bound, widths[2])}  {judged}"
        )
        line = line.rstrip()
        lines += _with_knobs(line, metric, sum(widths) + 14)
    matched = step["matched"]
    if matched:
        url = clean(matched["url"] or "(no URL)")
        lines.append(f"      lost to {matched['doc_id'].hex()}")
        lines.append(f"              {url}")
    return lines


def _with_knobs(line: str, metric: Mapping[str, Any], column: int) -> list[str]:
    """The line with the knobs that set its bounds behind it, or below where there is no room."""
    knobs = metric["knobs"]
    if not knobs:
        return [line]
    values = ", ".join(f"{knob['name']} = {_knob_value(knob['value'])}" for knob in knobs)
    source = f": {knobs[0]['source']}" if knobs[0]["source"] else ""
    text = clean(f"{values} {knobs[0]['unit']}".rstrip() + source)
    if cells(text) <= width() - column:
        return [f"{pad(line, column)}{paint(text, 'dim')}"]
    return [line, f"          {paint(cut(text, width() - 10), 'dim')}"]


def _knob_value(value: float | None) -> str:
    """`default` where the stage itself chooses the bound of a knob without a value."""
    return "default" if value is None else f"{value:g}"


def _metric_cells(metric: Mapping[str, Any]) -> tuple[str, str, str, str]:
    low, high = metric["minimum"], metric["maximum"]
    bounds = [f">= {low:g}" if low is not None else "", f"<= {high:g}" if high is not None else ""]
    value = metric["value"]
    text = f"{value:,}" if isinstance(value, int) else "-" if value is None else shown(value, 20)
    return metric["name"], text, " and ".join(b for b in bounds if b), metric["verdict"]


def _end_lines(document: Mapping[str, Any], run: str) -> list[str]:
    lines = [f"  {paint(document['outcome'], 'bold')}"]
    for entry in document["documents"]:
        row = "" if entry["row"] is None else f" row {entry['row']:,}"
        lines.append(f"    document  {entry['file']}{row}")
    for entry in document["shards"]:
        copy = f", copy {entry['copy']}" if entry["copy"] else ""
        lines.append(
            f"    tokens    {entry['file']} row {entry['row']:,}{copy}: {entry['tokens']:,} tokens"
        )
    if document["shards"]:
        first = document["shards"][0]
        shard = first["file"].rpartition("/")[2]
        lines.append(
            paint(f"    python -m pipeline trace {run} {shard} {first['row']} shows them", "dim")
        )
    return lines
