"""`whatif RUN STEP knob=value ...`: the verdicts with other bounds, from stored metrics alone."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipeline.audit.display import as_json, clean, counted, cut, pad, paint, shown, width, wrapped
from pipeline.audit.estimate import Estimated, beyond
from pipeline.audit.lookup import Run, open_run
from pipeline.audit.moves import Move
from pipeline.audit.sampled import Changed
from pipeline.audit.whatif import UNKNOWN, Answer, Verdicts, what_if
from pipeline.cli import add_run, count

METHOD = "of each source, every later step keeps the share of documents that it kept in this run"


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `whatif`."""
    add_run(parser)
    parser.add_argument("step", metavar="STEP", help="the id of a step with rules")
    parser.add_argument("knobs", nargs="+", metavar="KNOB=VALUE", help="bounds that its rules use")
    parser.add_argument(
        "--sample", type=count, default=5, metavar="N", help="changed documents shown (default 5)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    """Answer. Returns 0; errors are raised."""
    run = open_run(args.run, args.run_id)
    answer = what_if(run, args.step, args.knobs, args.sample)
    behind = beyond(run, answer)
    changed = run.changed_since()
    if args.json:
        print(json.dumps(as_json(_json(run, answer, behind, changed))))
        return 0
    print(f"of run {run.label}, from its stored metrics\n")
    for move in answer.moves:
        print(paint(f"  {_move_text(answer.step, move)}", "bold"))
    for rule in answer.rules:
        print(f"    {rule.metric} {_bounds_text(rule.before)} -> {_bounds_text(rule.after)}")
    if changed:
        note = f"note: the code of {', '.join(changed)} is no longer that of this run"
        print(wrapped(note.split(), "  ", " "))
    order = [step.id for step in run.plan.steps]
    _print_verdicts(f"at {answer.step}, exact", answer.at_step, order)
    ends = [step for step in answer.ends if step != answer.step]
    if ends:
        exact = "exact" if not answer.at_end.unknown else f"exact but for `{UNKNOWN}`"
        _print_verdicts(
            f"to the end of its segment ({', '.join(ends)}), {exact}", answer.at_end, order
        )
    _print_changed(answer)
    _print_sample(answer.sample)
    _print_behind(behind)
    sets = " ".join(f"--set steps.{answer.step}.{setting}" for setting in args.knobs)
    print("\n" + paint(wrapped(f"a run tells the whole: {sets}".split(), "  ", " "), "dim"))
    return 0


# --- JSON --------------------------------------------------------------------------------------


def _json(
    run: Run, answer: Answer, behind: Sequence[Estimated], changed: list[str]
) -> dict[str, Any]:
    return {
        "run_id": run.record["run_id"],
        "changed_since": changed,
        "step": answer.step,
        "knobs": [asdict(move) for move in answer.moves],
        "rules": [asdict(rule) for rule in answer.rules],
        "at_step": _verdicts_json(answer.at_step),
        "at_segment_end": {"steps": answer.ends, **_verdicts_json(answer.at_end)},
        "changed": {
            "newly_kept": asdict(answer.newly_kept),
            "newly_dropped": asdict(answer.newly_dropped),
            "other_reason": asdict(answer.other_reason),
            "unknown": asdict(answer.unknown),
        },
        "sample": [asdict(one) for one in answer.sample],
        "beyond": {
            "estimate": True,
            "method": METHOD,
            "steps": [
                {
                    "step": row.step,
                    "before": {"documents_in": row.documents_in, "kept": row.kept},
                    "after": {
                        "documents_in": [round(n, 1) for n in row.after_in],
                        "kept": [round(n, 1) for n in row.after_kept],
                    },
                }
                for row in behind
            ],
        },
    }


def _verdicts_json(verdicts: Verdicts) -> dict[str, Any]:
    return {
        "documents_in": verdicts.documents_in,
        "exact": not verdicts.unknown,
        "before": _side_json(verdicts, verdicts.before),
        "after": _side_json(verdicts, verdicts.after),
    }


def _side_json(verdicts: Verdicts, dropped: Counter[tuple[str, str]]) -> dict[str, Any]:
    unknown = {step: n for (step, reason), n in sorted(dropped.items()) if reason == UNKNOWN}
    reasons = {
        reason if "." in reason else f"{step}.{reason}": n
        for (step, reason), n in sorted(dropped.items())
        if reason != UNKNOWN
    }
    return {"kept": verdicts.kept(dropped), "dropped": reasons, "unknown": unknown}


# --- text --------------------------------------------------------------------------------------


def _move_text(step: str, move: Move) -> str:
    before, after = (_value(value) for value in (move.before, move.after))
    return f"{step}.{move.knob}: {before} -> {after} {move.unit}".rstrip()


def _bounds_text(bounds: tuple[float | None, float | None]) -> str:
    """`>= 50 and <= 100000`."""
    signs = zip((">=", "<="), bounds, strict=True)
    return " and ".join(f"{sign} {bound:g}" for sign, bound in signs if bound is not None) or "free"


def _value(value: Any) -> str:
    return "default" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _print_verdicts(title: str, verdicts: Verdicts, order: Sequence[str]) -> None:
    """Kept and dropped by reason in the order of the steps, before and after."""
    print(f"\n  {title}")
    kept = (verdicts.kept(verdicts.before), verdicts.kept(verdicts.after))
    rows = [("in", verdicts.documents_in, verdicts.documents_in), ("kept", *kept)]
    keys = {**verdicts.before, **verdicts.after}
    for key in sorted(keys, key=lambda key: (order.index(key[0]), key[1])):
        name = key[1] if "." in key[1] else f"{key[0]}: {key[1]}"
        rows.append((name, verdicts.before[key], verdicts.after[key]))
    left = max(len(name) for name, _, _ in rows)
    print(paint(f"    {'':<{left}} {'before':>13} {'after':>13} {'change':>13}", "dim"))
    for name, before, after in rows:
        change = f"{after - before:+,}" if after != before else ""
        print(f"    {pad(name, left)} {before:>13,} {after:>13,} {change:>13}".rstrip())
    if verdicts.unknown:
        most = kept[1] + verdicts.unknown
        print(f"    kept is between {kept[1]:,} and {most:,}: see `{UNKNOWN}`")


def _print_changed(answer: Answer) -> None:
    tallies = (
        ("newly kept", answer.newly_kept),
        ("newly dropped", answer.newly_dropped),
        ("dropped for another reason", answer.other_reason),
        ("freed, then not measured", answer.unknown),
    )
    parts = [
        f"{name} {counted(tally.documents, 'document')} ({tally.chars:,} characters)"
        for name, tally in tallies
        if tally.documents
    ]
    print("\n" + wrapped(parts or ["no document changes"], "  ", "; "))


def _print_sample(sample: Sequence[Changed]) -> None:
    for one in sample:
        print(f"\n  {paint(cut(clean(one.document['url'] or '(no URL)'), width() - 2), 'cyan')}")
        print(
            f"    doc_id {one.document['doc_id'].hex()}, {one.document['num_chars'] or 0:,} chars"
        )
        print(f"    {one.before or 'kept'} -> {one.after or 'kept'}")
        metrics = [
            f"{name} {shown(value, 20)}" for name, value in one.metrics.items() if value is not None
        ]
        print(paint(wrapped(metrics, "    ", ", "), "dim"))


def _print_behind(behind: Sequence[Estimated]) -> None:
    if not behind:
        return
    title = f"beyond the segment, an estimate: {METHOD}"
    print("\n" + paint(wrapped(title.split(), "  ", " "), "yellow"))
    left = max(len(row.step) for row in behind)
    print(paint(f"    {'kept':<{left}} {'before':>13} {'estimate':>13}", "dim"))
    for row in behind:
        print(f"    {pad(row.step, left)} {row.kept:>13,} {_range(row.after_kept):>13}")


def _range(bounds: tuple[float, float]) -> str:
    low, high = round(bounds[0]), round(bounds[1])
    return f"~{low:,}" if low == high else f"~{low:,}..{high:,}"
