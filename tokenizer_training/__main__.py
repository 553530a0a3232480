"""`python -m tokenizer_training train|evaluate|compare|export`.

    train FILES --out DIR         tokenizer.json and meta.json from files
    evaluate TOKENIZER FILES      fertility by group, unused ids, samples, speed
    compare --tokenizer A --tokenizer B FILES   the same of several, side by side
    export TOKENIZER FORM DIR     huggingface, tiktoken or tsv

Exit codes are the pipeline's: 2 for wrong options, 3 for an input that is missing or broken.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import EXIT_INTERRUPTED, ConfigError, PipelineError
from tokenizer_training.evaluate import Encoder, measured, table
from tokenizer_training.export import FORMATS, exported
from tokenizer_training.files import documents, make_folder, write_files
from tokenizer_training.train_files import add_train_arguments, train_files

TOKENIZER_HELP = (
    "file, folder, or tiktoken:NAME with gpt2, cl100k_base, o200k_base and the like: tiktoken "
    "ships no ranks, so it downloads them, or finds them in $TIKTOKEN_CACHE_DIR"
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tokenizer_training", description="Train, judge and export tokenizers."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    train = commands.add_parser("train", help="train a byte-level BPE on files")
    add_train_arguments(train)
    train.set_defaults(run=train_files)
    evaluate = commands.add_parser("evaluate", help="how well a tokenizer fits texts")
    evaluate.add_argument("tokenizer", metavar="TOKENIZER", help=TOKENIZER_HELP)
    _add_inputs(evaluate)
    evaluate.set_defaults(run=_evaluate)
    compare = commands.add_parser("compare", help="several tokenizers side by side")
    compare.add_argument(
        "--tokenizer", action="append", required=True, dest="tokenizers", metavar="TOKENIZER",
        help=f"{TOKENIZER_HELP}; several times",
    )  # fmt: skip
    _add_inputs(compare)
    compare.set_defaults(run=_evaluate)
    export = commands.add_parser("export", help="in a form that others load")
    export.add_argument("tokenizer", type=Path, metavar="TOKENIZER", help="tokenizer.json")
    export.add_argument("form", choices=FORMATS, help="form of the files")
    export.add_argument("out", type=Path, metavar="DIR", help="folder for the files")
    export.add_argument("--end-of-document", metavar="TOKEN", help="eos_token of huggingface")
    export.set_defaults(run=_export)
    return parser


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILES", help="text, .jsonl, .jsonl.gz, Parquet"
    )
    parser.add_argument("--text-column", default="text", metavar="NAME", help="default: text")
    parser.add_argument(
        "--by", action="append", default=[], metavar="COLUMN", help="figures by it; several times"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def _evaluate(args: argparse.Namespace) -> int:
    names = args.tokenizers if args.command == "compare" else [args.tokenizer]
    results = [
        measured(Encoder(name), documents(args.files, args.text_column, args.by)) for name in names
    ]
    if args.json:
        print(json.dumps(results if args.command == "compare" else results[0], ensure_ascii=False))
    else:
        print(table(results))
    return 0


def _export(args: argparse.Namespace) -> int:
    from tokenizers import Tokenizer

    path = args.tokenizer / "tokenizer.json" if args.tokenizer.is_dir() else args.tokenizer
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; expected a tokenizer.json.") from error
    try:
        Tokenizer.from_buffer(content)
    except Exception as error:  # `tokenizers` raises bare Exception for any bad file
        raise ConfigError(f"{path} is no tokenizer.json: {error}.") from error
    try:
        files = exported(content, args.form, args.end_of_document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    make_folder(args.out)
    write_files(args.out, files)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except PipelineError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # a reader like `head` has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
