"""`trace [RUN] SHARD ROW`: from a row of a token shard back to its page in the input file."""

from __future__ import annotations

import argparse
import json
import os
import posixpath
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.audit.display import (
    as_json,
    clean,
    counted,
    cut,
    folded,
    paint,
    shown,
    width,
    wrapped,
)
from pipeline.audit.lookup import Run, open_run, read_json
from pipeline.audit.original import Original, input_path, read_original
from pipeline.audit.shards import Decoder, footer_of, open_parquet, read_row, tokenizer_beside
from pipeline.cli import count
from pipeline.errors import ConfigError, InputError, PipelineError, nearest
from pipeline.files.storage import Storage
from pipeline.files.uris import open_storage, split_uri
from pipeline.results.publish import dataset_folder
from pipeline.results.records import runs_of

BEFORE, AFTER = 40, 40
"""Tokens shown on either side of token K."""
HEAD_CHARS = 200
"""Characters of the decoded text that are shown without `--token`."""
BODY_CHARS = 400
"""Characters of the original page, row or line that are shown."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `trace`."""
    parser.add_argument(
        "where", nargs="+", metavar="[RUN] SHARD ROW",
        help="a shard's path, or a run and the name of one of its shards; rows count from 0",
    )  # fmt: skip
    parser.add_argument("--token", type=count, metavar="K", help="show the text around token K")
    parser.add_argument("--json", action="store_true", help="one JSON object")


@dataclass(frozen=True)
class _Shard:
    storage: Storage
    path: str
    run: Run | None
    """The run that published it; None if its dataset lies in no workdir."""


def main(args: argparse.Namespace) -> int:
    """Print the way back. Returns 0; a missing input is a note, not an error."""
    shard, number = _shard(args.where)
    with open_parquet(shard.storage, shard.path) as file:
        footer = footer_of(file)
        if footer is None:
            raise InputError(f"{shard.storage.root}/{shard.path} is no token shard (no footer).")
        row = read_row(file, number, shard.path)
    if args.token is not None and args.token >= row["num_tokens"]:
        raise InputError(
            f"row {number} has no token {args.token:,}: it holds {row['num_tokens']:,}, from 0."
        )
    tokenizer = tokenizer_beside(shard.storage, shard.path, footer["tokenizer_sha256"])
    text = _text(row, args.token, Decoder(tokenizer)) if tokenizer else None
    chain = _chain(shard.run, row["source"]) if shard.run else []
    original, note = _original(shard.run, row)
    if args.json:
        provenance = {name: value for name, value in row.items() if name != "tokens"}
        found = {
            "shard": f"{shard.storage.root}/{shard.path}", "row": number, **provenance,
            "text": text, "run_id": shard.run.record["run_id"] if shard.run else None,
            "steps": chain, "original": asdict(original) if original else None, "note": note,
        }  # fmt: skip
        print(json.dumps(as_json(found)))
        return 0
    _print_row(shard, number, row)
    _print_text(text, row)
    if chain:
        steps = [step["step"] for step in chain]
        print("\n" + wrapped([steps[0], *(f"-> {step}" for step in steps[1:])], "  ", " "))
    _print_original(original, note, row)
    return 0


# --- the shard and its run ---------------------------------------------------------------------


def _shard(where: list[str]) -> tuple[_Shard, int]:
    """The shard and the row that the arguments name. Raises ConfigError, InputError."""
    if len(where) not in (2, 3):
        raise ConfigError("trace takes SHARD ROW or RUN SHARD ROW; see `trace --help`.")
    if not where[-1].isdigit():
        raise ConfigError(f"row '{where[-1]}': expected a number, from 0.")
    if len(where) == 2:
        root, name = split_uri(where[0] if "://" in where[0] else os.path.abspath(where[0]))
        if open_storage(root).info(name) is None:
            raise InputError(f"no file {where[0]}. Give a shard's path, or RUN SHARD ROW.")
        workdir = posixpath.dirname(posixpath.dirname(root))
        storage = open_storage(workdir)
        path = f"{posixpath.basename(posixpath.dirname(root))}/{posixpath.basename(root)}/{name}"
        return _Shard(storage, path, _publisher(storage, path)), int(where[-1])
    run = open_run(where[0])
    path = _named(run, where[1])
    return _Shard(run.storage, path, _publisher(run.storage, path) or run), int(where[-1])


def _named(run: Run, name: str) -> str:
    """The path of a run's shard by its name or the beginning of it; any version's by its whole."""
    files = [entry["file"] for entry in (run.version or {}).get("shards", [])]
    names = {posixpath.basename(file): f"{run.folder}/{file}" for file in files}
    hits = sorted(found for found in names if found.startswith(posixpath.basename(name)))
    if len(hits) == 1 or name in names:
        return names[name if name in names else hits[0]]
    if not hits and run.storage.info(f"{run.folder}/shards/{name}") is not None:
        return f"{run.folder}/shards/{name}"
    if hits:
        raise InputError(f"'{name}' may be any of {', '.join(hits[:5])}. Give more of the name.")
    raise InputError(
        f"{run.storage.root} has no shard '{name}' in its latest run.{nearest(name, names)}"
    )


def _publisher(storage: Storage, path: str) -> Run | None:
    """The newest run whose version lists the shard."""
    folder, _, file = path.partition("/")
    for name in runs_of(storage):
        run = Run(storage, read_json(storage, name))
        if run.record["version"] is None or dataset_folder(run.record["limit"]) != folder:
            continue
        if file in {entry["file"] for entry in (run.version or {}).get("shards", [])}:
            return run
    return None


def _chain(run: Run, source: str) -> list[dict[str, str]]:
    """The steps that the document went through, from its source to the shard."""
    try:
        steps = {step.id: step for step in run.plan.steps}
    except PipelineError:
        return []  # the way to the original says why
    last = [step for step in run.plan.steps if "tokenizer" in step.references and not step.schema]
    if not last:
        return []
    path = {step.id for step in run.plan.before(last[-1].id)} | {last[-1].id}
    return [
        {"step": step.id, "stage": type(step.stage).__qualname__}
        for step in steps.values()
        if step.id in path and source in run.plan.sources_of(step.id)
    ]


def _original(run: Run | None, row: Mapping[str, Any]) -> tuple[Original | None, str]:
    """What the input holds there, or why it cannot be shown."""
    if run is None:
        return None, "no run record beside this dataset: where its inputs lie is not known here"
    try:
        return read_original(input_path(run, row["source"], row["file"]), row), ""
    except PipelineError as error:
        return None, str(error)


# --- text --------------------------------------------------------------------------------------


def _text(row: Mapping[str, Any], token: int | None, decoder: Decoder) -> dict[str, Any]:
    """The beginning of the decoded text, or the text before, in and after token K."""
    ids = row["tokens"]
    if token is None:
        head = decoder.text(ids[: 4 * HEAD_CHARS])
        return {"head": head[:HEAD_CHARS], "cut": len(head) > HEAD_CHARS or len(ids) > 800}
    start = max(0, token - BEFORE)
    pieces = decoder.pieces(ids[start : token + 1 + AFTER])
    at = token - start
    return {
        "token": token,
        "id": ids[token],
        "before": "".join(pieces[:at]),
        "piece": pieces[at],
        "after": "".join(pieces[at + 1 :]),
    }


def _print_row(shard: _Shard, number: int, row: Mapping[str, Any]) -> None:
    print(paint(f"{shard.path}, row {number:,}", "bold"))
    print(f"  url      {paint(shown(row['url'], 3 * width()), 'cyan')}")
    print(f"  doc_id   {row['doc_id'].hex()}, copy {row['copy']}")
    print(f"  source   {row['source']}")
    print(f"  file     {clean(row['file'] or '')} at {row['offset']:,}")
    print(f"  tokens   {row['num_tokens']:,}")


def _print_text(text: Mapping[str, Any] | None, row: Mapping[str, Any]) -> None:
    if text is None:
        print("\n  no dataset.json with this tokenizer beside the shard: the text is not decoded")
        print(f"  {shown(row['tokens'], width() - 2)}")
        return
    if "head" in text:
        more = " …" if text["cut"] else ""
        print("\n" + _folded(clean(text["head"]) + more))
        return
    mark = paint(clean(text["piece"]), "bold", "red")
    left, right = ("", "") if mark != clean(text["piece"]) else ("[[", "]]")
    print(f"\n  token {text['token']:,} = id {text['id']}: {clean(text['piece'])!r}")
    lines = _folded(f"{clean(text['before'])}{left}\0{right}{clean(text['after'])}")
    print(lines.replace("\0", mark))


def _folded(text: str) -> str:
    return "\n".join(f"  {line}" for line in folded(text, width() - 2))


def _print_original(original: Original | None, note: str, row: Mapping[str, Any]) -> None:
    if original is None:
        print("\n" + wrapped(f"the original is not shown: {note}".split(), "  ", " "))
        return
    print(f"\n  {paint(original.kind, 'bold')} in {original.path} at {row['offset']:,}")
    for line in original.headers.splitlines():
        print(f"    {cut(clean(line), width() - 4)}")
    if original.headers:
        print()
    body = original.body.splitlines()
    used = 0
    for at, line in enumerate(body):
        if used > BODY_CHARS:
            print(f"    … {counted(len(body) - at, 'more line')} of these first bytes")
            break
        print(f"    {cut(clean(line), width() - 4)}")
        used += len(line) + 1
