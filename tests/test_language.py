"""Language identification: accuracy on real sentences, verdicts, both backends."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stage import Processed, Side, TextBatch
from stages.language import Language, cld2_codes

ENGLISH = "The weather was fine, and they walked along the river until it was dark."
GERMAN = "Das Wetter war schön, und sie gingen am Fluss entlang, bis es dunkel wurde."


def judged(stage: Language, *texts: str) -> Processed:
    return stage.process(
        TextBatch(pa.table({"text": pa.array(texts, pa.large_string())})), Side("language", 1)
    )


def test_languages_are_named_and_other_ones_not_wanted() -> None:
    out = judged(Language(keep=("en",)), ENGLISH, GERMAN, "")
    assert out.columns["lang"].to_pylist() == ["en", "de", "und"]
    assert out.metrics["wanted"] == [1, 0, 0]
    assert out.metrics["score"][2] == 0


def test_a_half_translated_page_has_a_low_score() -> None:
    out = judged(Language(keep=("en",)), " ".join([ENGLISH, GERMAN] * 3))
    assert out.metrics["score"][0] < 0.65


def test_without_keep_documents_are_labelled_and_none_is_judged() -> None:
    assert Language().rules() == ()
    assert judged(Language(), GERMAN).metrics["wanted"] == [1]


def test_the_rules_name_other_language_before_low_score() -> None:
    names = [rule.name for rule in Language(keep=("en", "de")).rules()]
    assert names == ["other_language", "low_score"]


def test_old_and_script_codes_are_given_as_primary_subtags() -> None:
    hebrew = "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם, כולם חוננו בתבונה ובמצפון"
    traditional = (
        "人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心，並應以兄弟關係的精神互相對待。"
    )
    assert judged(Language(), hebrew, traditional).columns["lang"].to_pylist() == ["he", "zh"]
    assert {"he", "zh", "no", "en"} <= cld2_codes()


def test_knobs_that_contradict_each_other_are_refused() -> None:
    for stage in (
        Language(backend="fasttext"),
        Language(model="lid.176.ftz"),
        Language(keep=("english",)),
    ):
        with pytest.raises(ValueError):
            stage.check()
    Language(keep=("en", "zh")).check()


@given(st.text(max_size=80))
def test_no_text_makes_cld2_raise(text: str) -> None:
    out = judged(Language(), text)
    assert 0 <= out.metrics["score"][0] <= 1


def test_scores_are_rounded_to_four_digits_and_only_the_start_is_read() -> None:
    long = ENGLISH * 100
    head = judged(Language(max_chars=200), long, long[:200])
    assert head.metrics["score"][0] == head.metrics["score"][1]
    assert head.metrics["score"][0] == round(head.metrics["score"][0], 4)


TRAIN = """
import fasttext, sys
model = fasttext.train_supervised(
    sys.argv[1], thread=1, seed=1, epoch=25, lr=0.5, dim=16, minn=2, maxn=4, bucket=20000, verbose=0
)
model.save_model(sys.argv[2])
"""


def trained_model(folder: Path) -> str:
    """A model of two languages. fastText leaves most of its matrix unset when it has few threads;
    fresh pages of the system are zero, recycled memory is not, hence the process and the setting.
    """
    words = {"en": "the dog and cat is on mat of house", "de": "der hund und die katze ist auf"}
    rng = random.Random(3)
    lines = [
        f"__label__{code} {' '.join(rng.choices(words[code].split(), k=12))}"
        for code in ("en", "de") * 60
    ]
    (folder / "train.txt").write_text("\n".join(lines))
    subprocess.run(
        [sys.executable, "-c", TRAIN, str(folder / "train.txt"), str(folder / "lid.bin")],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "1024"},
        check=True,
    )
    return str(folder / "lid.bin")


def test_a_fasttext_model_is_read_from_its_path(tmp_path: Path) -> None:
    stage = Language(keep=("en",), backend="fasttext", model=trained_model(tmp_path))
    stage.check()
    out = judged(stage, "the dog is\non the mat", "die katze und der hund", " ")
    assert out.columns["lang"].to_pylist() == ["en", "de", "und"]
    assert out.metrics["score"][0] > 0.65
    assert stage.libraries == ("fasttext-numpy2",)


def test_sentences_of_75_languages_are_recognised(shared_data: Path) -> None:
    with gzip.open(shared_data / "langid" / "lingua_sentences.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    known = cld2_codes()
    rows = [row for row in rows if row["lang"] in known][::3]
    out = judged(Language(), *(row["text"] for row in rows))
    answers = out.columns["lang"].to_pylist()
    right = sum(a == row["lang"] for a, row in zip(answers, rows, strict=True))
    assert right / len(rows) > 0.93
