"""`python -m stages.extract train GOLD`: the model of the engine `blocks`, by gold pages.

Writes the model's file; with `--evaluate` also what models of this recipe score on pages held out,
which takes twelve more trainings. Equal pages, libraries and threads give equal bytes on a machine.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError
from stages.extract.gold import gold_digest, gold_files, read_gold
from stages.extract.kind import PAGE_VECTOR
from stages.extract.page import Scanner
from stages.extract.result import SHIPPED_MODEL
from stages.extract.training.boost import parameters
from stages.extract.training.corpus import Corpus
from stages.extract.training.dataset import TrainingPage, training_page
from stages.extract.training.evaluate import LARGE, evaluate
from stages.extract.training.model_file import write_model
from stages.extract.training.pseudo import pseudo_texts
from stages.extract.training.train import train
from stages.kernels.html_columns import FEATURES
from stages.kernels.html_context import CONTEXT

FORMAT = 1
"""Of the model's file."""
LIBRARIES = ("lightgbm", "numpy", "trafilatura")


def add_train_command(commands: Any) -> None:
    """`train` and its options, into the subcommands of `python -m stages.extract`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "train", help="train the model", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("gold", type=Path, metavar="GOLD", help="a .jsonl(.gz) file, or a folder")
    parser.add_argument(
        "--out",
        type=Path,
        default=SHIPPED_MODEL,
        metavar="MODEL.npz",
        help="default: the shipped one",
    )
    parser.add_argument(
        "--evaluate",
        type=Path,
        metavar="OUT.json",
        help="cross-validate too, and write the figures",
    )
    parser.add_argument("--threads", type=int, default=2, help="of LightGBM (default 2)")
    parser.set_defaults(run=_run)


def training_pages(files: Sequence[Path], scanner: Scanner | None = None) -> list[TrainingPage]:
    """All gold pages, labelled, in file order."""
    scanner = scanner or Scanner()
    pseudo = pseudo_texts(lambda: read_gold(files), gold_digest(files))
    return [training_page(row, scanner, pseudo.get(row["id"], ())) for row in read_gold(files)]


def about(files: Sequence[Path], num_pages: int, threads: int) -> dict[str, Any]:
    """What the model's file says of itself."""
    return {
        "format": FORMAT,
        "features": _digest(FEATURES),
        "context": _digest(CONTEXT),
        "page_vector": _digest(PAGE_VECTOR),
        "gold": gold_digest(files),
        "pages": num_pages,
        "threads": threads,
        "parameters": parameters(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _run(args: argparse.Namespace) -> int:
    if args.threads < 1:
        raise InputError(f"--threads {args.threads}: expected at least 1")
    if importlib.util.find_spec("lightgbm") is None:
        raise InputError("training needs LightGBM: pip install 'tokenmill[train]'")
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:7.0f} s  {line}", flush=True)

    files = gold_files(args.gold)
    pages = training_pages(files)
    say(f"{len(pages):,} pages, {sum(len(page.words) for page in pages):,} blocks")
    corpus = Corpus.of(pages)
    meta = about(files, len(pages), args.threads)
    size = write_model(
        train(corpus, np.ones(len(pages), dtype=np.bool_), args.threads, meta), args.out
    )
    say(f"wrote {args.out}: {size:,} bytes")
    if args.evaluate:
        rows = [{**row, "html": ""} for row in read_gold(files)]
        large = frozenset(
            row["id"] for row in read_gold(file for file in files if file.name.startswith(LARGE))
        )
        figures = evaluate(corpus, rows, large, args.threads, say)
        found = {"digest": meta["gold"], "pages": len(pages), "meta": meta, **figures}
        args.evaluate.parent.mkdir(parents=True, exist_ok=True)
        args.evaluate.write_text(json.dumps(found, indent=2) + "\n")
        say(f"wrote {args.evaluate}")
    return 0
