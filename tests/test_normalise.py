"""Normalised text: what changes, what must stay, and that the kernel never hides a change."""

from __future__ import annotations

import unicodedata
from typing import Any

import ftfy.chardata
import numpy as np
import pyarrow as pa
import pytest
from cpu_time import assert_time_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.stage import Side, TextBatch
from stages import normalise as module
from stages.normalise import (
    Normalise,
    character_table,
    composed,
    encoded_bytes,
    mend,
    with_plain_space,
    without_control_characters,
    without_zero_width,
)

STEPS = ("mojibake", "control_characters", "zero_width", "white_space", "nfc")
CHAIN = (mend, without_control_characters, without_zero_width, with_plain_space, composed)


def only(*names: str) -> Normalise:
    return Normalise(**{name: name in names for name in STEPS})


def run(stage: Normalise, texts: list[str | None]) -> tuple[list[str | None], dict[str, list[Any]]]:
    stage.check()
    batch = TextBatch(pa.table({"text": pa.array(texts, pa.large_string())}))
    done = stage.process(batch, Side("normalise", 0))
    out = done.columns["text"].to_pylist() if done.columns else texts
    return out, {name: pa.array(values).to_pylist() for name, values in done.metrics.items()}


def one(stage: Normalise, text: str) -> str:
    [out] = run(stage, [text])[0]
    assert out is not None
    return out


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Itâ€™s a cafÃ©", "It’s a café"),
        ("Itâ\x80\x99s here", "It’s here"),
        ("РџСЂРёРІРµС‚, мир", "Привет, мир"),
        ("Ã¼ber alles\nÜber Ärger", "über alles\nÜber Ärger"),
        ("café, naïve, Ærøskøbing, Ångström, L’Été “à la”", None),
        ("Він їде до Києва — «Європа» № 5", None),
        ("Ελληνικά, ελλάδα, ΐ", None),
        ("日本語の文章、「かぎ括弧」", None),
        ("x² + y³ ≥ ½ × 4°", None),
        ("&amp; ﬁne ＦＵＬＬ ‘quotes’", None),
    ],
)
def test_mojibake_is_mended_and_good_text_is_left(text: str, wanted: str | None) -> None:
    assert one(only("mojibake"), text) == (text if wanted is None else wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\x00b\x07c\x7fd\x93e\ufff9f\u206ag", "abcdefg"),
        ("tab\there\nnew\r\n", None),
    ],
)
def test_control_characters_go_and_tabs_and_breaks_stay(text: str, wanted: str | None) -> None:
    assert one(only("control_characters"), text) == (text if wanted is None else wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("zero\u200bwidth, hy\u00adphen", "zerowidth, hyphen"),
        ("\ufeffbyte order, no\u2060break", "byte order, nobreak"),
        ("te\u200dst a\u200cb \u200d", "test ab "),
        ("می\u200cخواهم", None),  # Persian: a suffix that does not join
        ("क्\u200dष and क्\u200cष", None),  # Hindi: half form, visible virama
        ("ශ්\u200dරී", None),  # Sinhala
        ("ខ្ញុំ\u200bទៅ", None),  # Khmer: where a line may break
        ("👨\u200d👩\u200d👧 👩🏽\u200d🚒 ❤️\u200d🔥 🏳️\u200d🌈", None),
        ("👨\u200d x", "👨 x"),
        ("a\u200d👩", "a👩"),
        ("\u200dstart and end\u200c", "start and end"),
    ],
)  # fmt: skip
def test_joiners_stay_where_they_mean_something(text: str, wanted: str | None) -> None:
    assert one(only("zero_width"), text) == (text if wanted is None else wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\r\nb\rc\x0bd\x0ce\x85f\u2028g\u2029h", "a\nb\nc\nd\ne\nf\ng\nh"),
        ("10\u00a0km,\u202fthin\u2009space", "10 km, thin space"),
        ("line  \t\nnext\n\n\n\n\nlast", "line\nnext\n\nlast"),
        (" \n\t text \n ", "text"),
        ("code:\n    indented  twice\n\ttab", None),
        ("全角\u3000空白", None),
        ("   ", ""),
        ("\r\n\r\n\r\na", "a"),
    ],
)
def test_white_space_is_plain(text: str, wanted: str | None) -> None:
    assert one(only("white_space"), text) == (text if wanted is None else wanted)


def test_nfc_composes_and_keeps_what_nfkc_would_rewrite() -> None:
    texts = ["Cafe\u0301", "\u1112\u1161\u11ab", "\u212b", "x² ﬁ Ａ", "\u0958", "한글"]
    wanted = [unicodedata.normalize("NFC", text) for text in texts]
    out, metrics = run(only("nfc"), [*texts])
    assert out == wanted
    assert metrics["nfc_changed"] == [1, 1, 1, 0, 1, 0]


def test_metrics_say_which_step_changed_a_text() -> None:
    out, metrics = run(Normalise(), ["plain", "Itâ€™s", "a\u200bb", None, "end ", ""])
    assert out == ["plain", "It’s", "ab", None, "end", ""]
    assert metrics["text_changed"] == [0, 1, 1, 0, 1, 0]
    assert metrics["mojibake_changed"] == [0, 1, 0, 0, 0, 0]
    assert metrics["zero_width_changed"] == [0, 0, 1, 0, 0, 0]
    assert metrics["white_space_changed"] == [0, 0, 0, 0, 1, 0]
    assert run(only("nfc"), ["a"])[1]["mojibake_changed"] == [None]


def test_a_stage_with_every_step_off_is_refused() -> None:
    with pytest.raises(ValueError, match="every step is switched off"):
        only().check()


ALPHABET = st.one_of(
    st.sampled_from(
        "ab \t\n\r\x00\x7f\x85\x93\xa0\xad\u200b\u200c\u200d\u2028\ufeff\u0301é👩❤️मक्می"
    ),
    st.characters(codec="utf-8"),
)
DIRTY = st.lists(
    st.one_of(
        st.text(ALPHABET, max_size=8), st.integers(0, 70).map(lambda n: "x" * n),
        st.sampled_from(["â€™", "Ã©", "РџСЂ", " \n", "\n\n\n"]),
    ),
    max_size=8,
).map("".join)  # fmt: skip


@settings(deadline=None, max_examples=120)
@given(st.lists(DIRTY, min_size=1, max_size=4))
def test_the_kernel_hides_no_change_besides_mojibake(texts: list[str]) -> None:
    wanted = []
    for text in texts:
        for function in CHAIN[1:]:
            text = function(text)
        wanted.append(text)
    assert run(only(*STEPS[1:]), [*texts])[0] == wanted


@settings(deadline=None, max_examples=100)
@given(DIRTY)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    stage = only(*STEPS[1:])
    once = one(stage, text)
    assert one(stage, once) == once


@settings(deadline=None)
@given(st.text(st.sampled_from("abcé’üßñ€漢Жї “"), min_size=1, max_size=30), st.integers(0, 130))
def test_text_in_the_wrong_encoding_is_always_looked_at(text: str, before: int) -> None:
    for encoding in ("latin-1", "sloppy-windows-1252", "macroman", "cp437"):
        wrong = "x" * before + text.encode().decode(encoding)
        # Three bytes that a reader of Latin-1 took for C1 or a whole sequence: never unseen.
        if any(ord(c) > 127 for c in text):
            flags = Normalise()._flags(pa.array([wrong], pa.large_string()))
            assert flags[0] & 16


def test_the_encodings_are_those_of_ftfy() -> None:
    assert list(module._ENCODINGS) == ftfy.chardata.CHARMAP_ENCODINGS
    assert encoded_bytes().any(axis=1)[[0xC3, 0xA9, 0x2019, 0x0420]].all()


def test_the_table_flags_every_character_that_composition_can_change() -> None:
    table = character_table()
    for code in (*range(0x80, 0xD800), *range(0xE000, 0x110000, 7)):
        if not table[code] & 8:
            assert unicodedata.is_normalized("NFC", chr(code))
            assert not unicodedata.combining(chr(code))
    assert table[0x0301] & table[0x1161] & table[0x09BE] & 8
    assert not np.any(table[[0xE9, 0x4E00, 0xAC00, 0x0416]])


def test_real_texts_change_only_where_something_is_wrong(real_texts: list[dict[str, Any]]) -> None:
    texts = [row["text"] for row in real_texts]
    out, metrics = run(Normalise(), [*texts])
    assert sum(metrics["mojibake_changed"]) <= 3
    slow = []
    for text in texts:
        for function in CHAIN:
            text = function(text) if function is not mend or ftfy.badness.is_bad(text) else text
        slow.append(text)
    assert out == slow


@pytest.mark.parametrize("piece", [" ", " \n", "\n", "\u200b", "\u200d", "\r", "\u0301", "a\xad",
                                   "\xa0", "â€™", "\x93"])  # fmt: skip
def test_a_page_of_one_hostile_line_takes_time_by_its_length_alone(piece: str) -> None:
    text = piece * (1_000_000 // len(piece.encode()))
    one(Normalise(), "wârm â€™")
    assert_time_in_proportion(lambda part: one(Normalise(), part), text)
