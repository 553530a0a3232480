"""Language of a document, from its extracted text.

Two backends, whose scores do not mean the same:

- `cld2` (the package pycld2, no download): the share of the text's bytes that CLD2 gives to the
  top language, 0 where CLD2 calls its answer unreliable. Measured on lingua's sentences
  (75 languages, five joined to a document): .976 right of all; a bound of .65 keeps 98.6 % of them
  (.978 right) and lets 3 % of documents through as English of which only two in five sentences
  are, against 17 % at .5.
- `fasttext` (lid.176, GlotLID, OpenLID, ... by path): the probability of the top label.

Codes are the primary subtags of BCP 47 for cld2 (its `iw` is `he`, `zh-Hant` is `zh`) and the
model's labels for fasttext. `und` = no answer.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from pipeline.errors import nearest
from pipeline.stage import (
    Processed,
    RowStage,
    Rules,
    Side,
    TextBatch,
    at_least,
    equals,
    knob,
    model_file,
)

Identify = Callable[[str], tuple[str, float]]

UNDETERMINED = "und"
_RENAMED = {"iw": "he", "jw": "jv", "in": "id", "mo": "ro", "un": UNDETERMINED, "xx": UNDETERMINED}
# CLD2 raises on control characters, non-characters and surrogates.
_NOT_INTERCHANGE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd"
    + "".join(f"{chr(p << 16)}-{chr((p << 16) + 0xFFFD)}" for p in range(1, 17))
    + "]"
)
MIN_SCORES: Mapping[str, float] = {"cld2": 0.65, "fasttext": 0.65}


def _subtag(code: str) -> str:
    primary = code.split("-")[0]
    return _RENAMED.get(primary, primary)


@functools.cache
def cld2_codes() -> frozenset[str]:
    """The languages that CLD2 can answer."""
    import pycld2

    names = dict(pycld2.LANGUAGES)
    codes = {_subtag(names[name]) for name in pycld2.DETECTED_LANGUAGES if name in names}
    return frozenset(codes - {UNDETERMINED})


@functools.cache
def _cld2() -> Identify:
    import pycld2

    def identify(text: str) -> tuple[str, float]:
        clean = _NOT_INTERCHANGE.sub(" ", text)
        try:
            reliable, _, found = pycld2.detect(clean, isPlainText=True)
        except pycld2.error:
            return UNDETERMINED, 0.0
        _, code, percent, _ = found[0]
        return _subtag(code), percent / 100 if reliable else 0.0

    return identify


@functools.cache
def _fasttext(path: str) -> Identify:
    """The only contact with fastText: its raw `predict`, equal in every fork of the package."""
    import fasttext

    model = fasttext.load_model(path)

    def identify(text: str) -> tuple[str, float]:
        line = " ".join(text.split())
        found = model.f.predict(line + "\n", 1, 0.0, "strict") if line else []
        if not found:
            return UNDETERMINED, 0.0
        probability, label = found[0]
        return label.removeprefix("__label__"), min(float(probability), 1.0)

    return identify


@dataclass(frozen=True)
class Language(RowStage):
    """Adds `lang` and `lang_score`; with `keep`, drops other languages and unsure answers."""

    keep: tuple[str, ...] = knob(
        (), unit="language codes", source="none: every language stays, documents are only labelled"
    )
    backend: Literal["cld2", "fasttext"] = knob(
        "cld2",
        unit="library",
        source="notes/components.md section 1: .91 of UDHR paragraphs, no model to download",
        choices=("cld2", "fasttext"),
    )
    model: str | None = model_file(None, help="fastText model (.bin or .ftz), for backend fasttext")
    min_score: float | None = knob(
        None,
        unit="ratio",
        source=(
            "cld2: .65, measured, see stages/language.py; fasttext: .65, FineWeb and DCLM. "
            "Without `keep` no bound"
        ),
        minimum=0,
        maximum=1,
    )
    max_chars: int = knob(
        5000,
        unit="characters",
        source="measured on 199 extracted pages: the answer of cld2 is that of the whole text",
        minimum=1,
    )

    reads: ClassVar[tuple[str, ...]] = ("text",)
    adds: ClassVar[Mapping[str, pa.DataType]] = {"lang": pa.string(), "lang_score": pa.float32()}
    metrics: ClassVar[Mapping[str, type]] = {"wanted": int, "score": float}

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """Only the package of the backend in use."""
        return ("pycld2",) if self.backend == "cld2" else ("fasttext-numpy2",)

    def check(self) -> None:
        if self.backend == "fasttext" and not self.model:
            raise ValueError("backend 'fasttext' needs `model`, the path of a fastText model")
        if self.backend == "cld2" and self.model:
            raise ValueError("`model` is for backend 'fasttext'; backend is 'cld2'")
        if self.backend == "cld2":
            for code in self.keep:
                if code not in cld2_codes():
                    raise ValueError(
                        f"keep: cld2 knows no language '{code}'.{nearest(code, cld2_codes())}"
                    )

    def rules(self) -> Rules:
        bound = self.min_score
        if bound is None and self.keep:
            bound = MIN_SCORES[self.backend]
        wanted = (equals("wanted", 1, name="other_language"),) if self.keep else ()
        return wanted + ((at_least("score", bound, name="low_score"),) if bound else ())

    def process(self, batch: TextBatch, side: Side) -> Processed:
        identify = _cld2() if self.backend == "cld2" else _fasttext(self.model or "")
        found = [identify(text[: self.max_chars]) for text in batch.texts]
        scores = [round(score, 4) for _, score in found]
        return Processed(
            columns={
                "lang": pa.array([code for code, _ in found], pa.string()),
                "lang_score": pa.array(scores, pa.float32()),
            },
            metrics={
                "wanted": [int(not self.keep or code in self.keep) for code, _ in found],
                "score": scores,
            },
        )
