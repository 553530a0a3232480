"""Language of a document, from its extracted text.

Backends (`backends.py`) differ in what a score means: for `cld2` the share of the text's bytes in
the language, for `fasttext` the probability of the label. `python -m benchmarks language` has the
figures of every backend. CLD2 on lingua's sentences (75 languages, five joined to a document): .976
right of all; a bound of .65 keeps 98.6 % of them (.978 right).

`lang` is the primary subtag of BCP 47 whatever the backend calls it (`codes.py`), `und` without an
answer. `level: paragraph` (`paragraphs.py`) makes `lang` the language of most bytes and
`lang_score` its share of those that have one. `min_script_ratio` adds `lang_script`, the script of
most letters, and drops documents whose letters are not those of their language (`scripts.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import nearest
from pipeline.stage import (
    Processed,
    RowStage,
    Rules,
    Side,
    TextBatch,
    at_least,
    at_most,
    equals,
    knob,
    model_file,
)
from stages.language.backends import MIN_SCORES, cld2_codes, identifier
from stages.language.codes import TABLES, check_keep, split_label, subtag
from stages.language.paragraphs import Mixture, mixture, parts

FINEWEB2 = "FineWeb-2 configs, language_score (stages/limits/fineweb2.json)"


@dataclass(frozen=True)
class Language(RowStage):
    """Adds `lang` and `lang_score`; with `keep`, drops other languages and unsure answers.

    2: `lang` of backend fasttext is the primary subtag (`en`), not the model's label (`eng_Latn`);
    cld2's `bh` is `bho`, `tw` is `ak`.
    3: `als` of lid.176 is `gsw` (Alemannic), not `sq`.
    """

    version = 3

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
            "cld2: .65, measured, see stages/language; fasttext: .65, FineWeb and DCLM. "
            "Without `keep` no bound"
        ),
        minimum=0,
        maximum=1,
    )
    min_scores: Mapping[str, float] = knob(
        {}, unit="ratio by language code", source="none: `min_score` for every language"
    )
    per_language: bool = knob(
        False, unit="true or false", source=f"false: `min_score`. True: {FINEWEB2}, for GlotLID"
    )
    max_chars: int = knob(
        5000,
        unit="characters",
        source="own choice: as much as a long article",
        minimum=1,
    )
    level: Literal["document", "paragraph"] = knob(
        "document",
        unit="what is asked for",
        source="C4, FineWeb and DCLM ask for the document",
        choices=("document", "paragraph"),
    )
    cut: bool = knob(
        False, unit="true or false", source="none: paragraphs of other languages are only counted"
    )
    max_other_ratio: float = knob(
        0.5,
        unit="ratio of sure bytes in other languages, before the cut",
        source="own choice: most of a page is in what is wanted",
        minimum=0,
        maximum=1,
    )
    min_paragraph_bytes: int = knob(
        40,
        unit="bytes",
        source="own choice: about a short sentence; less is a guess",
        minimum=1,
    )
    min_paragraph_score: float | None = knob(
        None, unit="ratio", source="as min_score: .65", minimum=0, maximum=1
    )
    min_script_ratio: float | None = knob(
        None,
        unit="ratio of the letters' bytes in scripts of the language",
        source="none: CLD2 knows scripts; .5 is for fastText, see docs/benchmarks.md",
        minimum=0,
        maximum=1,
    )

    @property
    def adds(self) -> Mapping[str, pa.DataType]:  # type: ignore[override]
        script = {} if self.min_script_ratio is None else {"lang_script": pa.string()}
        return {"lang": pa.string(), "lang_score": pa.float32(), **script}

    @property
    def metrics(self) -> Mapping[str, type]:  # type: ignore[override]
        found: dict[str, type] = {"wanted": int, "score": float}
        if self.level == "paragraph":
            found |= {"paragraphs": int, "cut_bytes": int}
            found |= {"other_ratio": float, "unsure_ratio": float}
        return found

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """Only the package of the backend in use."""
        return ("pycld2",) if self.backend == "cld2" else ("fasttext-numpy2",)

    @property
    def files(self) -> tuple[str, ...]:  # type: ignore[override]
        """The tables of codes and scripts; FineWeb-2's figures, where they are used."""
        from stages.limits.table import TABLE

        return (str(TABLES), str(TABLE)) if self.per_language else (str(TABLES),)

    @property
    def judging(self) -> tuple[str, ...]:  # type: ignore[override]
        """Bounds by language are measured as distances to them; one bound only judges."""
        return () if self._by_language() else ("_bound_of",)

    def check(self) -> None:
        if self.backend == "fasttext" and not self.model:
            raise ValueError("backend 'fasttext' needs `model`, the path of a fastText model")
        if self.backend == "cld2" and self.model:
            raise ValueError("`model` is for backend 'fasttext'; backend is 'cld2'")
        if self.backend == "cld2" and self.per_language:
            raise ValueError("`per_language` bounds GlotLID's probabilities; backend is 'cld2'")
        if self.level == "document" and self.cut:
            raise ValueError("`cut` takes paragraphs out: it needs `level: paragraph`")
        check_codes("keep", self.keep, self.backend)
        check_codes("min_scores", tuple(self.min_scores), self.backend)
        for code, score in self.min_scores.items():
            if not 0 <= score <= 1:
                raise ValueError(f"min_scores: '{code}' is {score}, expected 0 to 1")

    def rules(self) -> Rules:
        wanted = (equals("wanted", 1, name="other_language"),) if self.keep else ()
        mixed: Rules = ()
        if self.level == "paragraph" and self.keep:
            mixed = (at_most("other_ratio", self.max_other_ratio, name="mixed_languages"),)
        script: Rules = ()
        if self.min_script_ratio is not None:
            script = (at_least("script_ratio", self.min_script_ratio, name="other_script"),)
        bound = self._bound()
        score = (at_least("score", bound, name="low_score"),) if bound else ()
        if self._by_language():
            score = (at_least("score_above_min", 0, name="low_score"),)
        return wanted + mixed + script + score

    def process(self, batch: TextBatch, side: Side) -> Processed:
        labels, scores, texts, metrics = self._answers(batch)
        codes = [subtag(label) for label in labels]
        columns: dict[str, Any] = {
            "lang": pa.array(codes, pa.string()),
            "lang_score": pa.array(scores, pa.float32()),
        }
        metrics["wanted"] = [int(not self.keep or code in self.keep) for code in codes]
        metrics["score"] = scores
        if self._by_language():
            bounds = [self._bound_of(label) for label in labels]
            metrics["score_above_min"] = [
                None if bound is None else score - bound
                for score, bound in zip(scores, bounds, strict=True)
            ]
        if self.cut:
            columns["text"] = texts
        if self.min_script_ratio is not None:
            from stages.language.scripts import Letters

            letters = Letters.of(pc.utf8_slice_codeunits(texts, 0, self.max_chars))
            columns["lang_script"] = pa.array(letters.main(), pa.string())
            metrics["script_ratio"] = letters.ratios(labels)
        return Processed(columns, metrics)

    def _answers(self, batch: TextBatch) -> tuple[list[str], list[float], pa.Array, dict[str, Any]]:
        """Labels, scores of four digits, texts, and the metrics of paragraphs."""
        identify = identifier(self.backend, self.model)
        if self.level == "document":
            found = [identify(text[: self.max_chars]) for text in batch.texts]
            labels = [label for label, _ in found]
            return labels, [round(score, 4) for _, score in found], batch.column("text"), {}
        mixed = [self._mixture(text) for text in batch.texts]
        metrics = {
            "paragraphs": [found.paragraphs for found in mixed],
            "other_ratio": [found.other_ratio for found in mixed],
            "unsure_ratio": [found.unsure_ratio for found in mixed],
            "cut_bytes": [found.cut_bytes for found in mixed],
        }
        texts = pa.array([found.text for found in mixed], pa.large_string())
        scores = [round(found.share, 4) for found in mixed]
        return [found.label for found in mixed], scores, texts, metrics

    def _mixture(self, text: str) -> Mixture:
        sure = self.min_paragraph_score
        sure = MIN_SCORES[self.backend] if sure is None else sure
        identify = identifier(self.backend, self.model)
        found = list(parts(text, identify, self.min_paragraph_bytes, sure, self.max_chars))
        return mixture(text, found, frozenset(self.keep), self.cut)

    def _by_language(self) -> bool:
        return bool(self.min_scores) or self.per_language

    def _bound(self) -> float | None:
        """The bound for languages without one of their own."""
        if self.min_score is None and self.keep:
            return MIN_SCORES[self.backend]
        return self.min_score

    def _bound_of(self, label: str) -> float | None:
        """The least score for an answer; None if there is none."""
        from stages.limits.table import table

        own = self.min_scores.get(subtag(label))
        if own is None and self.per_language:
            known = table(None)
            row = known.label(subtag(label), split_label(label)[1])
            own = known.limits[row]["min_score"] if row else None
        bound = self._bound() if own is None else own
        return None if bound is None or math.isinf(bound) else bound


def check_codes(name: str, codes: tuple[str, ...], backend: str) -> None:
    """Raise ValueError for a code that no document can have."""
    check_keep(name, codes)
    if backend == "cld2":
        for code in codes:
            if code not in cld2_codes():
                hint = nearest(code, cld2_codes())
                raise ValueError(f"{name}: cld2 knows no language '{code}'.{hint}")
