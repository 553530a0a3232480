"""Mixed pages: shares by language over paragraphs, and paragraphs of other languages cut."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stage import Processed, Side, TextBatch
from stages.language import Language
from stages.language.paragraphs import main_part, mixture, parts

ENGLISH = "The weather was fine, and they walked along the river until it was dark."
GERMAN = "Das Wetter war schön, und sie gingen am Fluss entlang, bis es dunkel wurde."
FRENCH = "Il faisait beau, et ils se promenèrent le long de la rivière jusqu'à la nuit."
MIXED = "\n".join([ENGLISH, "", GERMAN, ENGLISH, FRENCH, ENGLISH])


def judged(stage: Language, *texts: str) -> Processed:
    stage.check()
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    return stage.process(TextBatch(table), Side("language", 1))


def test_the_language_is_that_of_most_bytes_and_the_score_its_share() -> None:
    out = judged(Language(level="paragraph"), MIXED, GERMAN, "", "12 34")
    assert out.columns["lang"].to_pylist() == ["en", "de", "und", "und"]
    whole = sum(len(line.encode()) for line in MIXED.split("\n"))
    assert out.metrics["score"] == [round(3 * len(ENGLISH) / whole, 4), 1.0, 0.0, 0.0]
    assert out.metrics["paragraphs"] == [5, 1, 0, 1]
    assert out.metrics["other_ratio"][0] == pytest.approx(1 - 3 * len(ENGLISH) / whole)
    assert out.metrics["other_ratio"][2] is None
    assert out.metrics["cut_bytes"] == [0, 0, 0, 0]
    assert "text" not in out.columns


def test_paragraphs_of_other_languages_are_cut_and_the_rest_is_as_it_was() -> None:
    out = judged(Language(level="paragraph", cut=True), MIXED, ENGLISH + "\n")
    assert out.columns["text"].to_pylist() == ["\n".join([ENGLISH] * 3), ENGLISH + "\n"]
    assert out.metrics["score"] == [1.0, 1.0]
    assert out.metrics["cut_bytes"] == [len(GERMAN.encode()) + len(FRENCH.encode()), 0]


def test_wanted_languages_stay_all_and_a_page_of_others_alone_is_left_empty() -> None:
    stage = Language(keep=("en", "de"), level="paragraph", cut=True)
    out = judged(stage, MIXED, FRENCH)
    assert FRENCH not in out.columns["text"][0].as_py()
    assert GERMAN in out.columns["text"][0].as_py()
    assert out.columns["text"][1].as_py() == ""
    assert out.metrics["wanted"] == [1, 0]
    names = [rule.name for rule in stage.rules()]
    assert names == ["other_language", "mixed_languages", "low_score"]
    assert out.metrics["other_ratio"] == [pytest.approx(0.21, abs=0.03), 1.0]


def test_a_short_line_goes_with_what_stands_behind_it_and_the_last_one_with_the_one_before() -> (
    None
):
    text = f"Wetter\n{ENGLISH}\nNews\n{GERMAN}\nEnd"
    for keep, left in (("en", f"Wetter\n{ENGLISH}"), ("de", f"News\n{GERMAN}\nEnd")):
        out = judged(Language(keep=(keep,), level="paragraph", cut=True), text)
        assert out.columns["text"].to_pylist() == [left]
        assert out.metrics["paragraphs"] == [2]
    short = "\n".join(ENGLISH.split())
    assert judged(Language(level="paragraph"), short).columns["lang"].to_pylist() == ["en"]


def test_a_page_in_one_language_has_the_answer_of_the_document(shared_data: Path) -> None:
    with gzip.open(shared_data / "langid" / "lingua_sentences.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    pages = {
        name: "\n".join([row["text"] for row in rows if row["lang"] == name][:20])
        for name in ("fr", "hi", "ru", "ja", "el", "th", "pl", "hu")
    }
    for level in ("document", "paragraph"):
        out = judged(Language(level=level), *pages.values())
        assert out.columns["lang"].to_pylist() == list(pages), level


LINES = st.lists(st.sampled_from([ENGLISH, GERMAN, FRENCH, "", " ", "ok", "12"]), max_size=9)


@given(LINES, st.booleans(), st.sampled_from([1, 10, 40, 1000]))
def test_parts_hold_every_line_once_and_a_cut_leaves_lines_in_order(
    lines: list[str], cut: bool, min_bytes: int
) -> None:
    def identify(text: str) -> tuple[str, float]:
        for label, sentence in (("en", ENGLISH), ("de", GERMAN), ("fr", FRENCH)):
            if sentence in text:
                return label, 0.9
        return "un", 0.0

    text = "\n".join(lines)
    found = list(parts(text, identify, min_bytes, 0.5, 5000))
    if found:
        assert [line for part in found for line in part.lines] == text.split("\n")
    assert sum(part.num_bytes for part in found) == sum(
        len(line.strip().encode()) for line in lines
    )
    made = mixture(text, found, frozenset(), cut)
    assert 0 <= made.share <= 1
    left = [line for line in made.text.split("\n") if line.strip()]
    rest = iter(line for line in lines if line.strip())
    assert all(line in rest for line in left)
    if made.cut_bytes == 0:
        assert made.text == text
    else:
        assert made.label == main_part(found)[0]
    assert made.other_ratio is None or 0 <= made.other_ratio < 1


def test_ten_megabytes_of_short_lines_take_no_more_than_their_length() -> None:
    text = "ab\n" * 200_000 + ENGLISH
    out = judged(Language(level="paragraph"), text)
    assert out.metrics["paragraphs"][0] == 200_000 // 20 + 1
