"""The command `train`: a tokenizer from files, without a pipeline.

The knobs are those of the step `train_tokenizer`. The sample is of the documents whose texts have
the smallest draws, so it does not depend on the order of files.
"""

from __future__ import annotations

import argparse
import typing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.knobs import knob_info
from pipeline.planning.build import typed_knob
from pipeline.stage import Side
from tokenizer_training import counts
from tokenizer_training.files import documents, drawn, make_folder, sample_bound, write_files
from tokenizer_training.patterns import DIGITS, PATTERNS, WHITESPACE
from tokenizer_training.train import TrainTokenizer

_DEFAULT = TrainTokenizer()


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `train`."""
    parser.add_argument(
        "files", nargs="+", metavar="FILES", help="text, .jsonl, .jsonl.gz, Parquet"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--text-column", default="text", metavar="NAME", help="default: text")
    for name in ("vocab_size", "sample_bytes", "max_document_bytes", "reserved_tokens",
                 "pad_to_multiple_of", "min_frequency", "max_memory_bytes"):  # fmt: skip
        default = getattr(_DEFAULT, name)
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"default {default}")
    for name, choices in (("pattern", tuple(PATTERNS)), ("digits", DIGITS),
                          ("whitespace", WHITESPACE),
                          ("trainer", ("auto", "counts", "tokenizers"))):  # fmt: skip
        default = getattr(_DEFAULT, name)
        parser.add_argument(
            f"--{name}", choices=choices, default=default, help=f"default {default}"
        )
    parser.add_argument(
        "--special", action="append", dest="special_tokens", metavar="TOKEN",
        help="special token, several times; default <|endoftext|>",
    )  # fmt: skip


def train_files(args: argparse.Namespace) -> int:
    """Write tokenizer.json and meta.json; returns the exit code."""
    names = TrainTokenizer.__dataclass_fields__
    knobs = {name: value for name, value in vars(args).items() if name in names}
    knobs["special_tokens"] = list(args.special_tokens or _DEFAULT.special_tokens)
    hints = typing.get_type_hints(TrainTokenizer)
    stage = TrainTokenizer(
        **{
            name: typed_knob(name, value, hints[name], knob_info(names[name]), "train", "options")
            for name, value in knobs.items()
        }
    )
    make_folder(args.out)
    try:
        stage.check()
    except ValueError as error:
        raise ConfigError(f"train: {error}") from error
    side = Side("train", 1)
    if stage.trainer == "tokenizers":
        made = stage.train_texts(_sample(args), side)
    else:
        made = stage.train_counted(_counted(stage, args), side)
    write_files(args.out, made)
    return 0


def _batches(args: argparse.Namespace) -> Iterator[pa.Table]:
    return documents(args.files, args.text_column, (), args.max_document_bytes)


def _sample(args: argparse.Namespace) -> Iterator[pa.Table]:
    """Batches of the sampled documents. Reads the files twice."""
    bound = sample_bound(_batches(args), args.sample_bytes)
    for table in _batches(args):
        if bound < 2**64:
            table = table.filter(pa.array(drawn(table) < np.uint64(bound)))
        if table.num_rows:
            yield table


def _counted(stage: TrainTokenizer, args: argparse.Namespace) -> pa.Table:
    """Counts of the sample, added up batch by batch as in a tree."""
    options = stage.options
    if stage.trainer == "counts":
        counts.require_kernel("train")
    tables = _sample(args)
    return counts.added_up(
        counts.counted(table, options.cut, options.expression) for table in tables
    )
