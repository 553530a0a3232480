"""RefinedWeb's lines, MADLAD's sentences, repetitions, quality signals: values and verdicts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_measures import measured, rewritten

from pipeline.errors import InputError
from stages.madlad import MadladSentences, Repetitions, most_repetitions
from stages.quality_signals import QualitySignals
from stages.refinedweb import RefinedwebLines

PROSE = "The old mill stood by the river, and nobody had lived in it for years."


@pytest.mark.parametrize(
    ("line", "metric"),
    [
        (PROSE, None),
        ("THE OLD MILL IS FOR SALE", "lines_uppercase"),
        ("1024", "lines_numeric"),
        ("1,024 likes", "lines_counter"),
        ("* 3.5K Views *", "lines_counter"),
        ("3 likes for the mill", None),
        ("Home", "lines_short"),
        ("3 items in cart", None),
        ("Items in cart", "lines_phrase"),
        ("Sign-in", "lines_short"),
        ("Sign-in or register", "lines_cut"),
        ("The mill is sold. Read more...", "lines_cut"),
    ],
)
def test_each_line_meets_the_rules_of_dclm(line: str, metric: str | None) -> None:
    found = rewritten(RefinedwebLines(), f"{PROSE}\n{line}").metrics
    if metric:
        assert found[metric] == 1
    elif "cart" in line:
        assert found["lines_cut"] == 1
    else:
        assert not any(v for k, v in found.items() if k.startswith("lines_"))


def test_phrases_are_cut_out_of_short_lines_alone() -> None:
    page = f"Sign-in or register\n{PROSE} Read more...\n\n\n\nThe mill is sold. READ MORE..."
    assert (
        rewritten(RefinedwebLines(), page).text
        == f"or register\n{PROSE} Read more...\n\nThe mill is sold."
    )
    dropped = RefinedwebLines(drop_phrases=("cookies",))
    assert rewritten(dropped, f"{PROSE}\nWe use Cookies here").text == PROSE


@pytest.mark.parametrize(("menu_lines", "kept"), [(1, True), (9, False)])
def test_a_page_that_loses_more_than_a_twentieth_of_its_words_breaks_the_rule(
    menu_lines: int, kept: bool
) -> None:
    stage = RefinedwebLines()
    page = "\n".join([PROSE] * 5 + ["HOME PAGE"] * menu_lines)
    value = rewritten(stage, page).metrics["removed_word_ratio"]
    [rule] = stage.rules()
    assert rule.reasons()[1] == "too_much_removed"
    assert rule.maximum is not None
    assert value == pytest.approx(2 * menu_lines / (75 + 2 * menu_lines))
    assert (value <= rule.maximum) is kept


def test_words_that_begin_with_a_mark_are_none_of_the_removed() -> None:
    page = "\n".join([PROSE, "(HOME) *ABOUT* __US__ MENU"])
    ratio = rewritten(RefinedwebLines(), page).metrics["removed_word_ratio"]
    assert ratio == pytest.approx(1 / 16)


def test_a_page_of_nothing_but_a_menu_loses_all_of_its_words() -> None:
    assert rewritten(RefinedwebLines(), "HOME\nABOUT US").metrics["removed_word_ratio"] == 1.0
    assert rewritten(RefinedwebLines(), " \n ").metrics["removed_word_ratio"] is None


@settings(max_examples=100)
@given(st.text(alphabet="aB1 \n.", max_size=80))
def test_every_line_of_a_page_is_kept_cut_or_counted_once(text: str) -> None:
    out = rewritten(RefinedwebLines(), text)
    lost = sum(out.metrics[f"lines_{f}"] for f in ("uppercase", "numeric", "short"))
    kept = [line for line in out.text.split("\n") if line]
    lines = [line for line in text.split("\n") if line]
    assert len(lines) - lost >= len(kept) >= len(lines) - lost - text.count(" ")
    assert out.metrics["lines"] == len(re.sub(r"\n{3,}", "\n\n", text).split("\n"))


# --- MADLAD, Dolma -----------------------------------------------------------------------------

TITLE = "Hotels In Paris And Flights To London Or Rome With Breakfast And Taxi "


def test_sentences_of_capitals_are_questionable() -> None:
    stage = MadladSentences()
    good = measured(stage, f"{PROSE} " * 6)
    assert (good["sentences"], good["questionable_sentences"]) == (6, 0)
    bad = measured(stage, f"{PROSE} " * 4 + f"{TITLE}. " * 2)
    assert bad["questionable_ratio"] == pytest.approx(2 / 6)
    assert stage.rules()[1].name == "questionable_sentences"
    assert measured(stage, "")["questionable_ratio"] is None
    assert measured(stage, "Big City Tours. " * 6)["questionable_sentences"] == 0  # short ones


def test_lengths_numbers_and_listed_strings_are_questionable_where_asked(tmp_path: Path) -> None:
    numbers = "(12) 34/56 (78) 90/12 (34) and so on. "
    assert measured(MadladSentences(), numbers)["questionable_sentences"] == 0
    technical = MadladSentences(sentence_rules=("technical",))
    assert measured(technical, numbers)["questionable_sentences"] == 1
    lengths = MadladSentences(sentence_rules=("length",))
    assert measured(lengths, f"Too short. {PROSE}")["questionable_sentences"] == 1
    listed = tmp_path / "cursed.txt"
    listed.write_text("click here (\n")
    cursed = MadladSentences(sentence_rules=("cursed",), cursed=str(listed))
    cursed.check()
    assert measured(cursed, f"Now click here (x). {PROSE}")["questionable_sentences"] == 1
    listed.write_text("")
    with pytest.raises(InputError, match="one a line"):
        measured(MadladSentences(sentence_rules=("cursed",), cursed=str(listed)), PROSE)


def test_rules_and_list_of_cursed_strings_go_together() -> None:
    with pytest.raises(ValueError, match="go together"):
        MadladSentences(sentence_rules=("cursed",)).check()
    with pytest.raises(ValueError, match="list_cases"):
        MadladSentences(sentence_rules=("list_cases",)).check()


def slow_repetitions(text: str, longest: int) -> int:
    """Every string at every place, counted on."""
    text = "".join(text.split())
    most = min(len(text), 1)
    for at in range(len(text)):
        for size in range(1, longest + 1):
            unit, count = text[at : at + size], 1
            while len(unit) == size and text.startswith(unit, at + count * size):
                count += 1
            most = max(most, count)
    return most


@settings(max_examples=200)
@given(st.text(alphabet="ab 中", max_size=30), st.integers(1, 5))
def test_repetitions_are_those_that_a_reader_counts(text: str, longest: int) -> None:
    assert most_repetitions(text, longest) == slow_repetitions(text, longest)


def test_a_string_repeated_a_hundred_times_breaks_the_rule() -> None:
    stage = Repetitions()
    [rule] = stage.rules()
    assert rule.maximum == 99
    assert measured(stage, PROSE + "ha" * 100)["repetitions"] == 100
    assert measured(stage, PROSE + "\n" * 500)["repetitions"] < 5


# --- RedPajama-V2 ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "metric", "value"),
    [
        ("a b a B", "word_count", 4),
        ("a b a B", "unique_word_ratio", 0.5),
        ("a b a B", "unigram_entropy", 0.693147),
        ("NASA went UP", "caps_word_ratio", 2 / 3),
        ("the cat, of the", "stop_word_ratio", 0.75),
        ("Ab cD", "uppercase_letter_ratio", 0.5),
        ("a1b2", "numeric_char_ratio", 0.5),
        ("{a} b", "curly_bracket_ratio", 0.4),
        ("Lorem Ipsum", "lorem_ipsum_ratio", 1 / 11),
        ("JavaScript is off\n\nfine", "javascript_line_ratio", 0.5),
        ("One. Two.", "sentences", 2),
        ("- a\nb.", "bullet_line_ratio", 0.5),
        ("- a\nb.", "terminal_line_ratio", 0.5),
        ("a b c\nd", "words_per_line", 2.0),
        ("a 1 2 3", "no_alpha_word_ratio", 0.75),
        ("a b c", "top_2gram_ratio", 0.0),
        ("", "word_count", 0),
        ("", "unigram_entropy", None),
        ("", "words_per_line", None),
    ],
)
def test_signals_have_these_values(text: str, metric: str, value: float | None) -> None:
    assert measured(QualitySignals(), text)[metric] == pytest.approx(value)


def test_signals_never_drop_a_document() -> None:
    stage = QualitySignals()
    assert stage.rules() == ()
    assert set(measured(stage, PROSE)) == set(stage.metric_types())
