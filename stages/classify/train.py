"""train_classifier: a model that tells the documents of some steps from those of others.

The order of training is that of the draw, so the model depends on no partition, worker or order of
files. A share of the sample, by hash of the doc_id, is held out; what the model is worth on it
stands in `report.json` beside the model, and as rows in `holdout.jsonl`, which
`inspect RUN STEP.holdout` shows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.draw import draw
from pipeline.errors import ConfigError
from pipeline.knobs import knob_info
from pipeline.phases import Combine, Phase
from pipeline.stage import GlobalStage, Side, input_steps, knob
from stages.classify import fasttext_model, linear, report
from stages.classify.models import FASTTEXT, FILES, LINEAR, load, rounded
from stages.classify.sample import Bounds, joined, sample_phases, shared_phase
from stages.classify.words import NEGATIVE, POSITIVE

_SAMPLE_KNOBS = ("sample_documents", "sample_bytes", "max_document_bytes")


@dataclass(frozen=True)
class TrainClassifier(GlobalStage):
    """Train a classifier. Makes the artefact `classifier`: the model, meta.json, report.json.

    `positives` and `negatives` name any steps that yield documents. A document of both classes is
    never a negative, also where the sample of the positives ends before it.

    2: `linear` trains the same bytes with any number of threads; documents of both classes beyond
       the sample of the positives are no negatives; a cut text counts by its own bytes; a class of
       several steps ends at the first document that passes `sample_bytes`.
    """

    version: ClassVar[int] = 2
    kind: ClassVar[str] = "classifier"
    reads: ClassVar[tuple[str, ...]] = ("text", "doc_id", "source", "file", "offset")
    draws: ClassVar[bool] = True

    positives: tuple[str, ...] = input_steps(help="ids of the steps whose documents are wanted")
    negatives: tuple[str, ...] = input_steps(help="ids of the steps to tell them from")
    model: Literal["fasttext", "linear"] = knob(
        FASTTEXT,
        unit="kind of model",
        source="DCLM (arXiv:2406.11794, section 4.4); linear is GPT-3's",
        choices=(FASTTEXT, LINEAR),
    )
    sample_documents: int = knob(
        200_000,
        unit="documents a class",
        source="DCLM (arXiv:2406.11794, section 4.4): 400,000, half of them positive",
        minimum=1,
    )
    sample_bytes: int = knob(
        500_000_000,
        unit="bytes of UTF-8 a class",
        source="own choice: both classes fit into one worker's memory",
        minimum=1,
    )
    max_document_bytes: int = knob(
        100_000,
        unit="bytes of UTF-8",
        source="own choice: no document is a large share of the sample",
        minimum=1,
    )
    holdout_permille: int = knob(
        100,
        unit="documents in 1,000",
        source="own choice: a tenth, never trained on",
        minimum=0,
        maximum=900,
    )
    ngram: int = knob(
        2,
        unit="words",
        source="Joulin et al. 2016 (arXiv:1607.01759): bigrams",
        minimum=1,
        maximum=5,
    )
    dim: int = knob(
        16,
        unit="hidden units of fasttext",
        source="Joulin et al. 2016: 10",
        minimum=1,
        maximum=1024,
    )
    buckets: int = knob(
        200_000,
        unit="slots of fasttext's n-grams",
        source="own choice: 13 MB of model; fastText's default is 2,000,000",
        minimum=1,
        maximum=100_000_000,
    )
    learning_rate: float = knob(
        0.5,
        unit="step of fasttext",
        source="own choice, for little text; fastText's default is 0.1",
        minimum=0.0001,
        maximum=10,
    )
    epochs: int = knob(
        25,
        unit="passes of fasttext",
        source="own choice, for little text; fastText's default is 5",
        minimum=1,
        maximum=1000,
    )
    min_count: int = knob(
        1, unit="occurrences of a word for fasttext", source="fastText supervised: 1", minimum=1
    )
    bits: int = knob(
        18,
        unit="bits of a slot of linear",
        source="Spark HashingTF: 2^18 features",
        minimum=8,
        maximum=26,
    )
    l2: float = knob(1e-4, unit="weight decay of linear", source="own choice", minimum=0)
    rounds: int = knob(
        100,
        unit="L-BFGS steps of linear",
        source="Spark LogisticRegression: maxIter 100",
        minimum=1,
    )

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("fasttext-numpy2",) if self.model == FASTTEXT else ("numpy",)

    def check(self) -> None:
        if not self.positives or not self.negatives:
            raise ValueError("needs `positives` and `negatives`: ids of steps that yield documents")
        both = sorted(set(self.positives) & set(self.negatives))
        if both:
            raise ValueError(f"'{both[0]}' is named in `positives` and in `negatives`")

    @property
    def _bounds(self) -> Bounds:
        return Bounds(self.sample_documents, self.sample_bytes, self.max_document_bytes)

    def _names(self) -> dict[str, dict[str, str]]:
        """Class -> phase that samples a step -> that step."""
        steps = {POSITIVE: self.positives, NEGATIVE: self.negatives}
        return {
            label: {f"{label}_{at}": step for at, step in enumerate(dict.fromkeys(names))}
            for label, names in steps.items()
        }

    def _shared(self) -> dict[str, str]:
        """Phase that finds sampled negatives in a positive step -> that step."""
        return {f"shared_{at}": step for at, step in enumerate(dict.fromkeys(self.positives))}

    def phases(self) -> tuple[Phase, ...]:
        sampled = {name: step for found in self._names().values() for name, step in found.items()}
        samples = [
            phase
            for name, step in sampled.items()
            for phase in sample_phases(step, name, self._bounds, _SAMPLE_KNOBS)
        ]
        negatives = tuple(self._names()[NEGATIVE])
        both = [shared_phase(step, name, negatives) for name, step in self._shared().items()]
        fields = dataclasses.fields(self)
        knobs = tuple(field.name for field in fields if knob_info(field).identity)
        reads = (*sampled, *self._shared())
        last = Combine("classifier", reads, merge=self.train, schema=None, knobs=knobs)
        return (*samples, *both, last)

    def train(self, _: pa.Table, side: Side) -> dict[str, bytes]:
        """The artefact, from the samples in `side.tables`. Raises ConfigError."""
        names = self._names()
        classes = {n: joined(side.tables, list(names[n]), self._bounds) for n in names}
        positive, negative = classes[POSITIVE], classes[NEGATIVE]
        for name in self._shared():
            ids = side.tables[name]["doc_id"].combine_chunks()
            negative = negative.filter(pc.invert(pc.is_in(negative["doc_id"], value_set=ids)))
        rows = pa.concat_tables([positive, negative])
        truth = np.arange(rows.num_rows) < positive.num_rows
        # Ties of (draw, doc_id) are documents of one class: the place behind it is their own.
        order = np.argsort(rows["draw"].to_numpy(), kind="stable")
        rows, truth = rows.take(pa.array(order)), truth[order]
        held = _held_out(rows["doc_id"], self.holdout_permille)
        for label, wanted in ((POSITIVE, True), (NEGATIVE, False)):
            if not (truth[~held] == wanted).any():
                steps = ", ".join(names[label].values())
                raise ConfigError(
                    f"{side.step}: no {label} document with a text to train on (steps: {steps}). "
                    f"Name other steps, sample more or lower holdout_permille."
                )
        path = self._fit(rows["text"].filter(pa.array(~held)), truth[~held], side)
        scores = load(path).scores(rows["text"].filter(pa.array(held)).combine_chunks())
        found = report.held_out(truth[held], rounded(scores))
        return self._files(path, rows, truth, held, found)

    def _fit(self, texts: pa.ChunkedArray, truth: npt.NDArray[np.bool_], side: Side) -> Path:
        """The model's file in the scratch folder."""
        if self.model == LINEAR:
            made = linear.train(
                texts.combine_chunks(), truth, self.bits, self.ngram, self.l2, self.rounds
            )
            path = side.scratch / FILES[LINEAR]
            path.write_bytes(made.to_bytes())
            return path
        knobs = {"dim": self.dim, "bucket": self.buckets, "lr": self.learning_rate}
        knobs |= {"epoch": self.epochs, "minCount": self.min_count, "wordNgrams": self.ngram}
        knobs |= {"seed": side.seed & 0x7FFFFFFF}
        examples = zip((text.as_py() for text in texts), truth.tolist(), strict=True)
        return fasttext_model.train(examples, knobs, side.scratch, side.step)

    def _files(
        self,
        path: Path,
        rows: pa.Table,
        truth: npt.NDArray[np.bool_],
        held: npt.NDArray[np.bool_],
        found: dict[str, Any],
    ) -> dict[str, bytes]:
        model = path.read_bytes()
        meta = {
            "model": self.model,
            "file": FILES[self.model],
            "sha256": hashlib.sha256(model).hexdigest(),
            "trained_on": _facts(rows.filter(pa.array(~held)), truth[~held]),
            "held_out": _facts(rows.filter(pa.array(held)), truth[held]),
            "roc_auc": found["roc_auc"],
        }
        lines = "".join(json.dumps(row) + "\n" for row in report.rows(found))
        return {
            FILES[self.model]: model,
            "meta.json": _json(meta),
            "report.json": _json(found),
            "holdout.jsonl": lines.encode(),
        }


def _held_out(doc_ids: pa.ChunkedArray, permille: int) -> npt.NDArray[np.bool_]:
    """By hash of the doc_id alone: another seed holds out the same documents."""
    numbers = (draw(0, "holdout", doc_id) % 1000 for doc_id in doc_ids.to_pylist())
    return np.fromiter(numbers, np.int64, len(doc_ids)) < permille


def _facts(rows: pa.Table, truth: npt.NDArray[np.bool_]) -> dict[str, dict[str, dict[str, int]]]:
    """Documents and bytes by class and source."""
    found: dict[str, dict[str, Counter[str]]] = {POSITIVE: {}, NEGATIVE: {}}
    sizes = pc.binary_length(rows["text"]).to_pylist()
    for source, size, wanted in zip(rows["source"].to_pylist(), sizes, truth.tolist(), strict=True):
        counts = found[POSITIVE if wanted else NEGATIVE].setdefault(source, Counter())
        counts.update(documents=1, bytes=size)
    return {
        label: {source: dict(counts[source]) for source in sorted(counts)}
        for label, counts in found.items()
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
