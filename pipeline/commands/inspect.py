"""`inspect RUN TARGET` or `inspect PATH`: the rows of a step's tables, a file or a token shard."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from pipeline.audit.display import (
    as_json,
    cells,
    clean,
    coloured,
    counted,
    cut,
    paint,
    rows_text,
    schema_line,
    shown,
    size_text,
    width,
    wrapped,
)
from pipeline.audit.lookup import Run, open_run
from pipeline.audit.shards import Decoder, footer_of, open_parquet, tokenizer_beside
from pipeline.audit.targets import Condition, Rows, Table, file_table, find_target, targets
from pipeline.cli import add_run, count
from pipeline.errors import ConfigError, IntegrityError
from pipeline.files.uris import open_storage
from pipeline.results.records import run_id_of


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `inspect`."""
    add_run(parser, "RUN|PATH", ", a dataset's folder, or any other file")
    parser.add_argument(
        "target", nargs="?", metavar="TARGET",
        help="step, step.metrics, step.dropped, step.<phase>, or a file of the workdir; "
        "without it: what there is",
    )  # fmt: skip
    parser.add_argument("--rows", type=count, default=5, metavar="N", help="rows (default 5)")
    parser.add_argument("--columns", metavar="A,B", help="only these columns")
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE",
        help="only such rows; also != < > <= >=, and the value null; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--tokens", type=count, default=60, metavar="N", help="tokens of a shard's row (default 60)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    """Print rows. Returns 0; errors are raised."""
    is_file = os.path.isfile(args.run) and not args.run.endswith((".yaml", ".yml"))
    is_file = is_file and run_id_of(args.run) is None
    is_file = is_file or ("://" in args.run and args.run.endswith((".parquet", ".jsonl")))
    if is_file:
        if args.target is not None:
            raise ConfigError(f"{args.run} is a file: give it alone, or a workdir and a target.")
        table = file_table(args.run)
    elif args.target is None and (dataset := _dataset_json(args.run)):
        return _dataset(dataset, args)
    else:
        run = open_run(args.run, args.run_id)
        if args.target is None:
            return _overview(run, args)
        table = find_target(run, args.target)
    conditions = [Condition.parse(text) for text in args.where]
    columns = args.columns.split(",") if args.columns else None
    if columns is None and len(table.paths) == 1 and table.paths[0].endswith(".parquet"):
        with open_parquet(table.storage, table.paths[0]) as file:
            footer = footer_of(file)
        if footer is not None:
            return _shard(table, footer, conditions, args)
    found = table.read(args.rows, columns, conditions)
    if args.json:
        print(json.dumps(_table_json(table, found)))
        return 0
    print(paint(table.title, "bold"))
    rows = counted(found.total, "row")
    if found.matching != found.total:
        rows = f"{found.matching:,} of {rows}"
    print(f"  {rows} in {counted(len(table.paths), 'file')}, {size_text(found.num_bytes)}")
    if table.note and (found.matching == 0 or "fused" in table.note):
        print(wrapped(table.note.split(" "), "  ", " "))
    if found.schema is not None and columns is None:
        names = table.columns or found.schema.names
        print(paint(schema_line([found.schema.field(name) for name in names]), "dim"))
    numbers = found.numbers if len(table.paths) == 1 else range(len(found.rows))
    print(f"\n{rows_text(found.rows, numbers)}")
    if found.matching > len(found.rows):
        print(f"\n  first {len(found.rows):,} of {found.matching:,} (--rows N shows more)")
    return 0


def _table_json(table: Table, found: Rows) -> dict[str, Any]:
    schema = found.schema
    return {
        "title": table.title,
        "note": table.note,
        "files": [f"{table.storage.root}/{path}" for path in table.paths],
        "num_bytes": found.num_bytes,
        "total_rows": found.total,
        "matching_rows": found.matching,
        "columns": None if schema is None else {field.name: str(field.type) for field in schema},
        "rows": as_json(found.rows),
    }


# --- what there is -----------------------------------------------------------------------------


def _overview(run: Run, args: argparse.Namespace) -> int:
    """The targets of a run."""
    version = run.version or {}
    shards = [f"{run.folder}/{entry['file']}" for entry in version.get("shards", [])]
    if args.json:
        found = {"run_id": run.record["run_id"], "targets": targets(run), "shards": shards}
        print(json.dumps(found))
        return 0
    print(f"{paint(run.plan.config.name, 'bold')}, run {run.label}, workdir {run.storage.root}\n")
    names = targets(run)
    left = max(len(step.id) for step in run.plan.steps)
    for step in run.plan.steps:
        own = [name for name in names if name.partition(".")[0] == step.id]
        lines = wrapped(own or ["-"], " " * (left + 4)).strip()
        print(f"  {paint(step.id.ljust(left), 'cyan')}  {lines}")
    if shards:
        print(f"\n  {counted(len(shards), 'token shard')}, for example {shards[0]}")
    print(f"\n  python -m pipeline inspect {args.run} TARGET")
    return 0


def _dataset_json(place: str) -> dict[str, Any] | None:
    """dataset.json of a dataset's folder; None for anything else."""
    if place.endswith((".yaml", ".yml", ".json")):
        return None
    storage = open_storage(place)
    if storage.info("dataset.json") is None:
        return None
    try:
        found: dict[str, Any] = json.loads(storage.get("dataset.json"))
    except ValueError as error:
        raise IntegrityError(f"{place}/dataset.json: not whole JSON ({error}).") from error
    return found


def _dataset(found: dict[str, Any], args: argparse.Namespace) -> int:
    """What a published dataset holds, without the run that made it."""
    root = args.run.rstrip("/")
    shards = [f"{root}/{entry['file']}" for entry in found.get("shards", [])]
    if args.json:
        print(json.dumps({**found, "shards": shards}))
        return 0
    version = f"dataset version {found.get('version', '?')} in {root}"
    print(f"{paint(str(found.get('name', 'no name')), 'bold')}, {version}\n")
    for total in found.get("totals", []):
        stage = f" {total['stage']}" if total.get("stage") else ""
        print(
            f"  {paint(clean(total['split'] + stage + '/' + total['group']), 'cyan')}  "
            f"{counted(total['written_documents'], 'document')}, {total['written_tokens']:,} "
            f"tokens in {counted(total['shards'], 'shard')}, {total['epochs']:.4g} epochs"
        )
    if "tokenizer" in found:
        size, sha256 = found["tokenizer"]["vocab_size"], found["tokenizer"]["sha256"]
        print(f"\n  {found['dtype']} ids of a vocabulary of {size:,}, tokenizer {sha256[:12]}")
    if shards:
        print(f"\n  {counted(len(shards), 'token shard')}; for one of them:")
        print(f"  python -m pipeline inspect {shards[0]}")
    return 0


# --- token shards ------------------------------------------------------------------------------


def _shard(
    table: Table, footer: dict[str, Any], conditions: list[Condition], args: argparse.Namespace
) -> int:
    """Print the rows of a token shard, decoded where its tokenizer lies beside it."""
    found = table.read(args.rows, None, conditions)
    path = table.paths[0]
    tokenizer = tokenizer_beside(table.storage, path, footer["tokenizer_sha256"])
    decoder = Decoder(tokenizer) if tokenizer else None
    if args.json:
        rows = [_row_json(row, decoder, args.tokens) for row in found.rows]
        print(json.dumps({**_table_json(table, found), "footer": footer, "rows": rows}))
        return 0
    _print_footer(table, footer, found)
    if decoder is None:
        print("  no dataset.json with this tokenizer beside the shard: ids only")
    for number, row in zip(found.numbers, found.rows, strict=True):
        _print_row(number, row, decoder, args.tokens)
    if found.matching > len(found.rows):
        print(f"\n  first {len(found.rows):,} of {found.matching:,} (--rows N shows more)")
    return 0


def _print_footer(table: Table, footer: dict[str, Any], found: Rows) -> None:
    """What the shard says of itself."""
    with open_parquet(table.storage, table.paths[0]) as file:
        column = file.read(columns=["num_tokens"], use_threads=False)["num_tokens"]
        groups = file.num_row_groups
    tokens = sum(column.to_pylist())
    special = ", ".join(
        f"{clean(name)} {number}" for name, number in footer["special_tokens"].items()
    )
    stage = f".{footer['stage']}" if "stage" in footer else ""
    print(paint(table.title, "bold"))
    print(
        f"  token shard {footer['shard']} of {footer['shards']} of {footer['split']}{stage}/"
        f"{clean(footer['group'])}, format {footer['format_version']}"
    )
    print(
        f"  {counted(found.total, 'document')}, {tokens:,} tokens ({footer['dtype']}), "
        f"{counted(groups, 'row group')}, {size_text(found.num_bytes)}"
        f" ({found.num_bytes / max(tokens, 1):.2f} bytes a token)"
    )
    print(f"  tokenizer {footer['tokenizer_sha256'][:12]}, special tokens: {special or 'none'}")
    print(f"  row group checksums (xxh3-128): {', '.join(c[:12] for c in footer['xxh3_128'][:4])}")
    if found.schema is not None:
        print(paint(schema_line(found.schema), "dim"))


def _row_json(row: dict[str, Any], decoder: Decoder | None, wanted: int) -> dict[str, Any]:
    """A row with its first tokens decoded, the rest of the ids left out."""
    ids = row["tokens"][:wanted]
    pieces = decoder.pieces(ids) if decoder else None
    return as_json({**row, "tokens": ids, "pieces": pieces})  # type: ignore[no-any-return]


def _print_row(number: int, row: dict[str, Any], decoder: Decoder | None, wanted: int) -> None:
    """Provenance, decoded tokens with their boundaries, ids."""
    copy = f"  copy {row['copy']}" if row["copy"] else ""
    title = paint(f"  row {number}", "bold")
    print(f"\n{title}  {row['num_tokens']:,} tokens{copy}  doc_id {row['doc_id'].hex()}")
    print(f"    {paint(cut(clean(row['url'] or 'no url'), width() - 4), 'cyan')}")
    place = f"at {row['offset']:,}, source {row['source']}"
    print(f"    {cut(clean(row['file'] or ''), width() - len(place) - 5)} {place}")
    ids = row["tokens"][:wanted]
    if decoder:
        print(token_lines(decoder.pieces(ids), len(row["tokens"]) - len(ids)))
    print(paint(f"    {shown(row['tokens'], width() - 4)}", "dim"))


def token_lines(pieces: list[str], more: int) -> str:
    """Tokens in a row: alternating colours on a terminal, `|` between them elsewhere."""
    lines, used = ["    "], 0
    room = width() - 4
    for at, piece in enumerate(pieces):
        text = clean(piece)
        text = paint(text, *(("cyan",) if at % 2 else ())) if coloured() else f"|{text}"
        length = cells(clean(piece)) + (0 if coloured() else 1)
        if used and used + length > room:
            lines, used = [*lines, "    "], 0
        lines[-1] += text
        used += length
    tail = "" if coloured() else "|"
    return "\n".join(lines) + tail + (f" … {counted(more, 'more token')}" if more else "")
