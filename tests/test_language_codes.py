"""One name a language whatever a backend calls it, its scripts, and the kernel that counts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.stage import Processed, Side, TextBatch
from stages.kernels.scripts import script_bytes
from stages.language import Language, make_tables
from stages.language.backends import identifier
from stages.language.codes import main_script, scripts_of, subtag, tables
from stages.language.scripts import Letters

SCRIPTS = ("Arab", "Cyrl", "Deva", "Grek", "Hang", "Hani", "Hira", "Kana", "Latn", "Thai")
RUSSIAN = "Погода была хорошая, и они долго гуляли вдоль реки, пока не стемнело."


def judged(stage: Language, *texts: str) -> Processed:
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    return stage.process(TextBatch(table), Side("language", 1))


@pytest.mark.parametrize(
    ("code", "labels"),
    [
        ("en", "en eng eng_Latn en-GB"),
        ("zh", "zh zho cmn cmn_Hani zho_Hans cmn_Hant zh-Hant"),
        ("ar", "ar ara arb arb_Arab"),
        ("no", "no nb nob nob_Latn nor"),
        ("tl", "tl tgl fil fil_Latn"),
        ("he", "he iw heb heb_Hebr"),
        ("sw", "sw swh_Latn swa"),
        ("yue", "yue yue_Hant"),
        ("nn", "nn nno_Latn"),
        ("sr", "sr srp_Cyrl sr-ME"),
        ("und", "un und xx-Grek und_Mong zxx_Latn"),
    ],
)
def test_labels_of_all_backends_have_one_primary_subtag(code: str, labels: str) -> None:
    assert {subtag(label) for label in labels.split()} == {code}


def test_a_subtag_stands_for_itself() -> None:
    found = {subtag(code) for code in tables()["aliases"]}
    assert {code for code in found if subtag(code) != code} == set()


def test_a_label_with_a_script_is_in_that_script_and_others_in_all_of_their_language() -> None:
    assert scripts_of("srp_Latn") == {"Latn"}
    assert scripts_of("sr") == {"Cyrl", "Latn"}
    assert scripts_of("ja") == scripts_of("jpn_Jpan") == {"Hani", "Hira", "Kana"}
    assert scripts_of("zh") == {"Hani", "Bopo", "Phag"}
    assert scripts_of("zh-Hant") == {"Hani"}
    assert scripts_of("hi") is not None
    assert "Latn" not in (scripts_of("hi") or ())
    assert scripts_of("qqq") is None
    assert [main_script(code) for code in ("sr", "zh", "ko", "de", "ur")] == [
        "Cyrl", "Hani", "Hang", "Latn", "Arab",
    ]  # fmt: skip


def test_the_stored_letters_are_those_of_the_package_they_come_from() -> None:
    if make_tables.unicode_of_regex() != tables()["unicode"]:
        pytest.skip(f"the tables are Unicode {tables()['unicode']}, this `regex` is another")
    assert make_tables.letters(SCRIPTS) == {name: tables()["letters"][name] for name in SCRIPTS}


CHARACTERS = st.one_of(
    st.sampled_from("aé яжαω漢字かなカナ한글กขअआ1.\n\0"), st.characters(exclude_categories=["Cs"])
)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.text(CHARACTERS, max_size=30), max_size=5))
def test_the_kernel_counts_the_bytes_that_a_regular_expression_finds(texts: list[str]) -> None:
    counts = Letters.of(pa.array(texts, pa.large_string())).counts
    names = sorted(tables()["letters"])
    for text, row in zip(texts, counts, strict=True):
        for name in SCRIPTS:
            letters = regex.findall(rf"(?V1)[\p{{L}}&&\p{{Script={name}}}]", text)
            assert row[names.index(name)] == len("".join(letters).encode())


def test_nulls_slices_and_bytes_that_are_no_text_are_counted_within_their_bounds() -> None:
    table = np.zeros(0x110000, dtype=np.uint8)
    table[ord("a")] = 1
    texts = pa.array(["aaa", None, "ba", "aa"], pa.large_string())
    assert script_bytes(texts.slice(1), table, 2).tolist() == [[0, 0], [1, 1], [0, 2]]
    ends = pa.py_buffer(np.array([0, 3, 5], np.int64))
    buffers = [None, ends, pa.py_buffer(b"a\xe2\x82a\xff")]
    broken = pa.Array.from_buffers(pa.large_string(), 2, buffers)
    assert script_bytes(broken, table, 2)[:, 1].tolist() == [1, 1]


def test_the_main_script_is_that_of_most_bytes() -> None:
    texts = pa.array(["Hello мир мир мир", "abc", "12 !", "명령 save 명령", ""], pa.large_string())
    assert Letters.of(texts).main() == ["Cyrl", "Latn", None, "Hang", None]


def test_a_document_in_letters_of_another_language_is_dropped_with_a_reason() -> None:
    stage = Language(min_script_ratio=0.5)
    out = judged(stage, RUSSIAN, "1, 2, 3", "abc")
    assert out.columns["lang"].to_pylist()[0] == "ru"
    assert out.columns["lang_script"].to_pylist() == ["Cyrl", None, "Latn"]
    assert [rule.reasons()[0] for rule in stage.rules()] == ["other_script"]
    ratios: Any = Letters.of(pa.array([RUSSIAN] * 4, pa.large_string())).ratios(
        ["ru", "eng_Latn", "und", "srp_Cyrl"]
    )
    assert ratios[:2].tolist() == [1.0, 0.0]
    assert np.isnan(ratios[2])
    assert ratios[3] == 1


def test_codes_that_no_document_can_have_are_refused_with_the_right_ones() -> None:
    for stage, says in (
        (Language(keep=("eng_Latn",)), "'eng_Latn' is 'en' here"),
        (Language(keep=("cmn",)), "'cmn' is 'zh' here"),
        (Language(min_scores={"iw": 0.5}), "'iw' is 'he' here"),
        (Language(min_scores={"en": 1.5}), "expected 0 to 1"),
        (Language(keep=("xyz",)), "cld2 knows no language 'xyz'"),
        (Language(per_language=True), "GlotLID"),
        (Language(cut=True), "level: paragraph"),
    ):
        with pytest.raises(ValueError, match=says):
            stage.check()
    Language(keep=("zh", "tl"), min_scores={"zh": 0.9}).check()


def test_a_language_has_the_bound_that_is_set_for_it_and_others_the_common_one() -> None:
    stage = Language(keep=("en", "ru"), min_scores={"ru": 1.0})
    out = judged(stage, RUSSIAN, "They walked along the river until it was dark.")
    scores = out.metrics["score"]
    assert out.metrics["score_above_min"] == [scores[0] - 1.0, scores[1] - 0.65]
    (rule,) = [rule for rule in stage.rules() if rule.name == "low_score"]
    assert (rule.metric, rule.minimum) == ("score_above_min", 0)


HOSTILE = (
    "\0" * 1000,
    "a\0b " * 500,
    "\ud800\udfff text with surrogates \udc00",
    "\ufffe\uffff\x01\x1b[0m",
    "\u202e\u200b\u2066" * 300,
    "e\u0301\u0301\u0301" * 2000,
    "x" * 10_000_000,
    "\n" * 1_000_000,
    " \t" * 1_000_000,
)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_has_an_answer(text: str) -> None:
    label, score = identifier("cld2", None)(text[:5000])
    assert isinstance(subtag(label), str)
    assert 0 <= score <= 1
    stored = text.encode("utf-8", "replace").decode()
    for stage in (Language(min_script_ratio=0.5), Language(level="paragraph", cut=True)):
        out = judged(stage, stored)
        assert 0 <= out.metrics["score"][0] <= 1
