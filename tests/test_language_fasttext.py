"""The fastText backend with a model of GlotLID's labels, trained on real sentences in the test."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from test_language import TRAIN
from test_language_codes import HOSTILE

from pipeline.stage import Processed, Side, TextBatch
from stages.language import Language
from stages.language.backends import identifier
from stages.limits.table import table

LABELS = {
    "de": "deu_Latn",
    "en": "eng_Latn",
    "zh": "cmn_Hani",
    "ja": "jpn_Jpan",
    "ru": "rus_Cyrl",
    "ar": "arb_Arab",
    "hi": "hin_Deva",
    "sw": "swh_Latn",
    "fa": "pes_Arab",
    "el": "ell_Grek",
}
"""Language of the sentences -> GlotLID's label."""


@pytest.fixture(scope="module")
def sentences(shared_data: Path) -> list[tuple[str, str]]:
    """(language, sentence) of the languages of LABELS."""
    with gzip.open(shared_data / "langid" / "lingua_sentences.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["lang"], row["text"]) for row in rows if row["lang"] in LABELS]


@pytest.fixture(scope="module")
def model(sentences: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model trained on every second sentence."""
    lines = [f"__label__{LABELS[code]} {' '.join(text.split())}" for code, text in sentences[::2]]
    return trained(lines, tmp_path_factory.mktemp("model"))


def trained(lines: list[str], folder: Path) -> str:
    """A model of the labelled lines."""
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    # Memory fresh from the system: see `trained_model` in test_language.py.
    subprocess.run(
        [sys.executable, "-c", TRAIN, str(folder / "train.txt"), str(folder / "lid.bin")],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "1024"},
        check=True,
    )
    return str(folder / "lid.bin")


def judged(stage: Language, *texts: str) -> Processed:
    stage.check()
    batch = TextBatch(pa.table({"text": pa.array(texts, pa.large_string())}))
    return stage.process(batch, Side("language", 1))


def test_sentences_it_has_not_seen_are_named_by_primary_subtags(
    model: str, sentences: list[tuple[str, str]]
) -> None:
    held_out = sentences[1::2]
    out = judged(Language(backend="fasttext", model=model), *(text for _, text in held_out))
    found = out.columns["lang"].to_pylist()
    assert set(found) <= {*LABELS, "und"}
    right = sum(a == code for a, (code, _) in zip(found, held_out, strict=True))
    assert right / len(held_out) > 0.9


def test_keep_means_the_same_with_any_backend(model: str, sentences: list[tuple[str, str]]) -> None:
    texts = [" ".join(t for c, t in sentences if c == code)[:3000] for code in ("zh", "en", "sw")]
    for stage in (
        Language(keep=("zh", "sw")),
        Language(keep=("zh", "sw"), backend="fasttext", model=model),
    ):
        assert judged(stage, *texts).metrics["wanted"] == [1, 0, 1]


def test_bounds_by_language_are_those_of_the_label_in_fineweb2(
    model: str, sentences: list[tuple[str, str]]
) -> None:
    texts = [next(t for c, t in sentences if c == code) for code in ("de", "zh", "en")]
    stage = Language(backend="fasttext", model=model, per_language=True, keep=("de", "zh", "en"))
    out = judged(stage, *texts)
    assert out.columns["lang"].to_pylist() == ["de", "zh", "en"]
    limits = table(None).limits
    bounds = [limits["deu_Latn"]["min_score"], limits["cmn_Hani"]["min_score"], 0.65]
    assert bounds[:2] == [0.821, 0.692]
    distances = [score - bound for score, bound in zip(out.metrics["score"], bounds, strict=True)]
    assert out.metrics["score_above_min"] == distances


def test_the_script_check_drops_what_no_letter_speaks_for(model: str) -> None:
    georgian = "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებით"
    english = "They walked along the river until it was dark and the weather was fine."
    stage = Language(backend="fasttext", model=model, min_script_ratio=0.5)
    out = judged(stage, georgian, english)
    # The model knows no Georgian, so whatever it says is wrong.
    assert out.columns["lang_script"].to_pylist() == ["Geor", "Latn"]
    ratios = np.nan_to_num(out.metrics["script_ratio"], nan=-1).tolist()
    assert ratios[0] <= 0
    assert ratios[1] == 1


def test_paragraphs_of_other_languages_are_cut_with_this_backend_too(
    model: str, sentences: list[tuple[str, str]]
) -> None:
    own = [t for c, t in sentences if c == "el"][:3]
    other = next(t for c, t in sentences if c == "ru")
    stage = Language(backend="fasttext", model=model, level="paragraph", cut=True)
    out = judged(stage, "\n".join([own[0], other, *own[1:]]))
    assert out.columns["text"].to_pylist() == ["\n".join(own)]


ALEMANNIC = "Mir händ geschter am Obig no lang zäme gredt, und denn isch es scho spoot gsi. "
ALBANIAN = "Mbrëmë folëm gjatë së bashku në shtëpi, dhe pastaj ishte tashmë vonë. "


def test_als_beside_sq_is_alemannic_and_alone_or_with_a_script_albanian(tmp_path: Path) -> None:
    for first, second, wanted in (
        ("als", "sq", ["gsw", "sq"]),  # lid.176: names of Wikipedia's editions
        ("gsw", "als", ["gsw", "sq"]),
        ("gsw_Latn", "als_Latn", ["gsw", "sq"]),  # GlotLID
    ):
        lines = [f"__label__{first} {ALEMANNIC}", f"__label__{second} {ALBANIAN}"] * 30
        folder = tmp_path / first
        folder.mkdir()
        stage = Language(backend="fasttext", model=trained(lines, folder))
        assert judged(stage, ALEMANNIC, ALBANIAN).columns["lang"].to_pylist() == wanted


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_has_an_answer(model: str, text: str) -> None:
    label, score = identifier("fasttext", model)(text)
    assert label == "und" or label in LABELS.values()
    assert 0 <= score <= 1
