"""CCNet's perplexity buckets: how surprising a text is to a language model of Wikipedia.

As cc_net (Wenzek et al. 2020, arXiv:1911.00359; `perplexity.py`, `text_normalizer.py`): every line
is normalised (`normalise: ccnet`: lower case, no accents, digits as 0, punctuation as ASCII, no
control characters), cut into pieces by a SentencePiece model where one is given, and scored by a
KenLM model; the perplexity is 10 to the negative log10 score of all lines by their words and ends
of line. `cutoffs` are the 30th and 60th percentiles of the language (cc_net `data/cutoff.csv`):
head lies below the first, middle below the second, tail above, `all` without cutoffs.

The models are files of yours. KenLM (package `kenlm`, LGPL-2.1) is an extra and no dependency:
`pip install 'tokenmill[perplexity]'`. Without it, or without a model that can be read, the stage
says so before any document is read.

Differences: a text without words has no perplexity and stays; scores are rounded to 1e-4.
"""

from __future__ import annotations

import functools
import importlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pyarrow as pa

from pipeline.errors import InputError
from pipeline.stage import (
    Processed,
    RowStage,
    Rules,
    Side,
    TextBatch,
    equals,
    knob,
    model_file,
)

BUCKETS = ("head", "middle", "tail", "all")
_SOURCE = "cc_net perplexity.py, mine.py"

# cc_net text_normalizer.py UNICODE_PUNCT; the full-width 1 is a quotation mark there, here it is a
# digit like others (recipes, trap 8).
_PUNCTUATION = str.maketrans(
    dict(zip("，。、；：？！（）％～∶━", ",.,;:?!()%~:-", strict=True))
    | dict.fromkeys("„”“«»「」《》", '"')
    | dict.fromkeys("´’", "'")
    | {"–": "-", "—": " - ", "．": ". ", "…": "...", "►": "-"}
    | {"〈": "<", "〉": ">", "【": "[", "】": "]"}
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DIGIT = re.compile(r"\d")


def ccnet_line(line: str) -> str:
    """A line as the models of cc_net want it."""
    line = unicodedata.normalize("NFD", line.strip().lower())
    line = "".join(c for c in line if unicodedata.category(c) != "Mn")
    line = _DIGIT.sub("0", line).translate(_PUNCTUATION)
    return _CONTROL.sub("", line)


def _library(name: str) -> Any:
    """The module of an extra. Raises InputError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"perplexity: the package '{name}' is not installed. It is no dependency of Tokenmill "
            f"(KenLM is LGPL): pip install 'tokenmill[perplexity]', or leave the step out."
        ) from error


@functools.lru_cache(maxsize=4)
def _model(path: str) -> Any:
    library = _library("kenlm")
    try:
        return library.Model(path)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"perplexity: '{path}' is no KenLM model: {error}. Expected an .arpa or .bin file."
        ) from error


@functools.lru_cache(maxsize=4)
def _pieces(path: str) -> Any:
    processor = _library("sentencepiece").SentencePieceProcessor()
    try:
        processor.load(path)
    except (OSError, RuntimeError) as error:
        raise InputError(f"perplexity: '{path}' is no SentencePiece model: {error}") from error
    return processor


@dataclass(frozen=True)
class Perplexity(RowStage):
    """Adds `perplexity_bucket`; with `keep`, drops the other buckets."""

    adds: ClassVar[Mapping[str, pa.DataType]] = {"perplexity_bucket": pa.string()}
    metrics: ClassVar[Mapping[str, type]] = {"perplexity": float}

    model: str = model_file("", source=_SOURCE, help="KenLM model, .arpa or .bin")
    sentencepiece: str | None = model_file(
        None, source=_SOURCE, help="SentencePiece model; none: words at white space"
    )
    cutoffs: tuple[float, ...] = knob(
        (), unit="perplexity", source="none: they belong to the model (cc_net data/cutoff.csv)"
    )
    keep: tuple[str, ...] = knob(
        (), unit="head, middle, tail", source="none: documents are only labelled"
    )
    normalise: Literal["ccnet", "none"] = knob(
        "ccnet", unit="how lines are written", source=_SOURCE, choices=("ccnet", "none")
    )

    def check(self) -> None:
        if not self.model:
            raise ValueError("perplexity needs `model`, the path of a KenLM model")
        if self.cutoffs and (len(self.cutoffs) != 2 or self.cutoffs[0] > self.cutoffs[1]):
            raise ValueError(f"cutoffs: got {list(self.cutoffs)}, expected two, the lower first")
        if unknown := set(self.keep) - set(BUCKETS[:3]):
            raise ValueError(f"keep: {sorted(unknown)}: expected of head, middle, tail")
        if self.keep and not self.cutoffs:
            raise ValueError("`keep` needs `cutoffs`")

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """Only what this configuration uses: the packages are extras."""
        if not self.model:
            return ()
        return ("kenlm", "sentencepiece") if self.sentencepiece else ("kenlm",)

    def rules(self) -> Rules:
        return (equals("kept_bucket", 1, name="bucket"),) if self.keep else ()

    def perplexity(self, text: str) -> float | None:
        """Of the whole text, rounded to 1e-4; None where it has no words."""
        model = _model(self.model)
        score, length = 0.0, 0
        for raw in text.split("\n"):
            line = ccnet_line(raw) if self.normalise == "ccnet" else raw.strip()
            if self.sentencepiece:
                line = " ".join(_pieces(self.sentencepiece).encode_as_pieces(line))
            if words := len(line.split()):
                score += model.score(line)
                length += words + 1
        return round(10.0 ** (-score / length), 4) if length else None

    def bucket(self, value: float | None) -> str | None:
        if value is None:
            return None
        if not self.cutoffs:
            return "all"
        return BUCKETS[sum(value >= cutoff for cutoff in self.cutoffs)]

    def process(self, batch: TextBatch, side: Side) -> Processed:
        values = [self.perplexity(text) for text in batch.texts]
        buckets = [self.bucket(value) for value in values]
        metrics: dict[str, Any] = {"perplexity": pa.array(values, pa.float64())}
        if self.keep:
            kept = [None if bucket is None else int(bucket in self.keep) for bucket in buckets]
            metrics["kept_bucket"] = pa.array(kept, pa.float64())
        return Processed({"perplexity_bucket": pa.array(buckets, pa.string())}, metrics)
