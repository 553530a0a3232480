"""How good models of this recipe are on pages that they have not seen.

Two ways to hold pages out: 5 folds of domains (`cv`), and each origin in turn, which is the truest
figure, as every origin has its own idea of main text (`leave_one_origin_out`). Pages of a file
named `LARGE` are trained on and judged; `without_large` judges the same texts without them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.extract.blocks import BlocksEngine
from stages.extract.gold import Row, quality
from stages.extract.training.corpus import Corpus, Mask
from stages.extract.training.dataset import TrainingPage
from stages.extract.training.model_file import Trained, write_model
from stages.extract.training.train import train

LARGE = "wcxb-large"
"""How the name of the file of large pages begins: older figures are on the pages without them."""
Split = tuple[str, Mask]
"""What is held out, in words and as a mask."""
Say = Callable[[str], None]
TextsOf = Callable[[Trained, Iterable[TrainingPage]], dict[str, str]]


def by_domain(corpus: Corpus) -> Iterator[Split]:
    for fold in np.unique(corpus.fold):
        yield f"fold {fold}", corpus.fold == fold


def by_origin(corpus: Corpus) -> Iterator[Split]:
    origins = np.array([page.origin for page in corpus.pages])
    for origin in np.unique(origins):
        yield str(origin), origins == origin


WAYS: Mapping[str, Callable[[Corpus], Iterator[Split]]] = {
    "cv": by_domain,
    "leave_one_origin_out": by_origin,
}


def engine_texts(model: Trained, pages: Iterable[TrainingPage]) -> dict[str, str]:
    """The texts that the engine writes with this model: what is judged is what a user gets."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        write_model(model, path)
        engine = BlocksEngine(model=path)
        return {page.id: engine.extract(page.page, page.json_ld).text for page in pages}


def held_out_texts(
    corpus: Corpus, splits: Iterable[Split], threads: int, texts_of: TextsOf, say: Say
) -> dict[str, str]:
    """Each page's text, by a model trained on the pages of all other splits."""
    texts: dict[str, str] = {}
    for name, held in splits:
        say(f"training without {name}")
        pages = [corpus.pages[at] for at in np.flatnonzero(held).tolist()]
        texts |= texts_of(train(corpus, ~held, threads), pages)
    return texts


def evaluate(
    corpus: Corpus,
    rows: Sequence[Row],
    large: frozenset[str],
    threads: int,
    say: Say = print,
    texts_of: TextsOf = engine_texts,
) -> dict[str, Any]:
    """Way -> `quality` of its texts; under `without_large` the same without these pages."""
    found: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    small = [row for row in rows if row["id"] not in large]
    for way, splits in WAYS.items():
        texts = held_out_texts(corpus, splits(corpus), threads, texts_of, say)
        found[way] = quality(rows, texts)
        rest[way] = quality(small, {row["id"]: texts[row["id"]] for row in small})
        say(f"{way}: macro {found[way]['macro']}, without large pages {rest[way]['macro']}")
    return {**found, "without_large": rest}
