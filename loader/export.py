"""`export DATASET FORMAT OUT`: a published dataset in the format of another trainer.

Each split in stored order, stage after stage, the mixture baked in, end-of-document ids included.
What was written is then read back by a reader of its own and compared with the shards, which are
read, verified and merged a second time: every token, and every document's length where the format
knows documents. Only then does OUT get its name.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from loader.dataset import Dataset, open_dataset
from loader.exports.chunks import LitdataReader, LitdataWriter, MdsReader, MdsWriter
from loader.exports.compare import compare
from loader.exports.flat import (
    DsReader,
    DsWriter,
    MegatronReader,
    MegatronWriter,
    RawReader,
    RawWriter,
)
from loader.exports.format import Facts, Reader, Writer
from loader.exports.parquet import ParquetReader, ParquetWriter
from loader.exports.stored_order import Block, stored_order
from pipeline.errors import ConfigError, InputError, IntegrityError, nearest

FORMATS: dict[str, tuple[type[Writer], type[Reader]]] = {
    "bin": (RawWriter, RawReader),
    "megatron": (MegatronWriter, MegatronReader),
    "ds": (DsWriter, DsReader),
    "mds": (MdsWriter, MdsReader),
    "litdata": (LitdataWriter, LitdataReader),
    "hf": (ParquetWriter, ParquetReader),
}
"""Name -> what writes it and what reads it back."""
ABOUT = "export.json"
"""What was exported: dataset, format, and of each split its stages, documents and tokens."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns 0 or raises PipelineError."""
    args = _parser().parse_args(argv)
    done = export(args.dataset, args.format, args.out, args.split, args.version)
    if args.json:
        print(json.dumps(done))
        return 0
    for split, found in done["splits"].items():
        print(f"{split}: {found['documents']:,} documents, {found['tokens']:,} tokens")
    print(f"{done['format']} in {args.out}: read back, equal to the shards token by token")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tokenmill export",
        description="A published dataset in another trainer's format, in stored order, verified.",
        epilog="bin: nanoGPT. megatron: Megatron-LM. ds: nanotron, datatrove. mds: "
        "mosaicml-streaming. litdata: its TokensLoader. hf: Parquet for Hugging Face datasets.",
    )
    parser.add_argument("dataset", metavar="DATASET", help="the folder of dataset.json, or a URI")
    parser.add_argument("format", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("out", metavar="OUT", help="a new or empty local folder")
    parser.add_argument(
        "--split", action="append", metavar="SPLIT", help="export this split only (may repeat)"
    )
    parser.add_argument("--version", type=int, metavar="N", help="a version (default: in force)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def export(
    uri: str,
    format_name: str,
    out: str | Path,
    splits: Sequence[str] | None = None,
    version: int | None = None,
) -> dict[str, Any]:
    """Write, read back, and put under its name; gives the content of `export.json`.

    Raises ConfigError for a format, split or OUT that cannot be, InputError for a dataset that
    cannot be read or a disk that cannot be written, IntegrityError for a damaged shard or an export
    that reads back otherwise. OUT is then as it was.
    """
    if format_name not in FORMATS:
        raise ConfigError(f"export: no format '{format_name}'.{nearest(format_name, FORMATS)}")
    target = _target(out)
    dataset = open_dataset(uri, version)
    chosen = _splits(dataset, splits)
    facts = _facts(dataset, chosen)
    writer, reader = FORMATS[format_name]
    writer.dtype_of(facts)  # raises before anything is written
    with _new_folder(target) as folder:
        found = {split: _write(dataset, split, writer(folder, split, facts)) for split in chosen}
        for split in chosen:
            try:
                compare(stored_order(dataset, split), reader(folder, split, facts), folder)
            except (
                ValueError,
                LookupError,
                OSError,
                struct.error,
            ) as error:  # what was written is not this format
                raise IntegrityError(
                    f"export: {folder} cannot be read back: {type(error).__name__}: {error}. The "
                    f"disk is full or faulty, or this is our bug: export again."
                ) from error
        done = _about(dataset, format_name, writer.dtype_of(facts).name, found)
        (folder / ABOUT).write_text(json.dumps(done, indent=2) + "\n")
    return done


def _splits(dataset: Dataset, wanted: Sequence[str] | None) -> list[str]:
    for split in wanted or ():
        dataset.check_split(split)
    return [split for split in dataset.splits if not wanted or split in wanted]


def _facts(dataset: Dataset, splits: Sequence[str]) -> Facts:
    tokenizer: Mapping[str, Any] = dataset.facts.get("tokenizer", {})
    if "sha256" not in tokenizer or "vocab_size" not in tokenizer:
        raise InputError(f"{dataset.root}: lacks 'tokenizer'. Is this a finished token dataset?")
    rows = {
        split: dataset.index.filter(pc.equal(dataset.index["split"], split)) for split in splits
    }
    return Facts(
        dtype=dataset.dtype,
        vocab_size=int(tokenizer["vocab_size"]),
        special_tokens=dict(tokenizer.get("special_tokens", {})),
        tokenizer=f"tokenmill-{tokenizer['sha256'][:8]}",
        tokens={split: pc.sum(table["tokens"]).as_py() for split, table in rows.items()},
        documents={split: pc.sum(table["documents"]).as_py() for split, table in rows.items()},
    )


# --- writing -----------------------------------------------------------------------------------


@dataclass
class _Stage:
    """What one stage of a split came to."""

    number: int
    first_token: int
    first_document: int
    tokens: int = 0
    documents: int = 0


def _write(dataset: Dataset, split: str, writer: Writer) -> list[_Stage]:
    """Write one split; gives its stages."""
    stages: list[_Stage] = []
    try:
        for block in stored_order(dataset, split):
            _count(stages, block)
            writer.write(block)
        writer.close()
    except BaseException:
        writer.abort()
        raise
    return stages


def _count(stages: list[_Stage], block: Block) -> None:
    if not stages or stages[-1].number != block.stage:
        tokens, documents = (sum(getattr(s, name) for s in stages) for name in _SIZES)
        stages.append(_Stage(block.stage, tokens, documents))
    stages[-1].tokens += len(block.tokens)
    stages[-1].documents += len(block.lengths)


_SIZES = ("tokens", "documents")


def _about(
    dataset: Dataset, format_name: str, dtype: str, found: Mapping[str, list[_Stage]]
) -> dict[str, Any]:
    splits: dict[str, Any] = {}
    for split, stages in found.items():
        splits[split] = {name: sum(getattr(s, name) for s in stages) for name in _SIZES}
        if dataset.stages and split == "train":
            splits[split]["stages"] = [
                {"name": dataset.stages[stage.number], "first_token": stage.first_token,
                 "first_document": stage.first_document, "tokens": stage.tokens,
                 "documents": stage.documents}
                for stage in stages
            ]  # fmt: skip
    return {
        "format": format_name,
        "dtype": dtype,
        "order": "stored",
        "dataset_fingerprint": dataset.fingerprint,
        "dataset_version": dataset.facts.get("version"),
        "tokenizer_sha256": dataset.facts["tokenizer"]["sha256"],
        "vocab_size": dataset.facts["tokenizer"]["vocab_size"],
        "special_tokens": dataset.facts["tokenizer"].get("special_tokens", {}),
        "splits": splits,
    }


# --- the folder --------------------------------------------------------------------------------


def _target(out: str | Path) -> Path:
    """OUT as an absolute path. Raises ConfigError unless it is free."""
    if "://" in str(out):
        raise ConfigError(f"export: OUT is {out}, expected a local folder. Export, then copy it.")
    target = Path(os.path.abspath(out))
    if target.is_dir() and not any(target.iterdir()):
        return target
    if os.path.lexists(target):
        raise ConfigError(
            f"export: {target} exists. Expected a new or empty folder: nothing is overwritten."
        )
    return target


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` that gets its name at the end, and is deleted on an error."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(".partial", f".{target.name}.", target.parent))
    except OSError as error:
        raise _os_error(target, error) from error
    try:
        yield folder
        _sync(folder)
        folder.chmod(0o777 & ~_umask())
        folder.rename(target)  # onto an empty folder too; fails if it was filled meanwhile
        _sync_one(target.parent)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _os_error(target, error) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _os_error(target: Path, error: OSError) -> InputError:
    return InputError(
        f"export: cannot write {target}: {error.strerror or error}. Free room or choose another "
        f"OUT, then export again: nothing was left there."
    )


def _umask() -> int:
    """Permissions that new files lack; mkdtemp makes folders for their owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(folder: Path) -> None:
    """Everything below is on the disk when this returns."""
    for path in sorted(folder.rglob("*")):
        _sync_one(path)
    _sync_one(folder)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot sync folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
