"""C4's rules: the tfds order of line rules, page rules, sentences."""

from __future__ import annotations

import pytest
from cpu_time import assert_time_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_measures import measured, rewritten

from pipeline.stage import RowStage
from stages.c4 import C4Lines, C4Paragraphs, C4Sentences

GOOD = "This is a good line of text. It has two sentences."


def first_broken_rule(stage: RowStage, metrics: dict[str, float]) -> str | None:
    for rule in stage.rules():
        value = metrics[rule.metric]
        if rule.minimum is not None and value < rule.minimum:
            return rule.reasons()[0]
        if rule.maximum is not None and value > rule.maximum:
            return rule.reasons()[1]
    return None


@pytest.mark.parametrize(
    ("line", "metric"),
    [
        (GOOD, None),
        ('He said that "this is the end"', None),
        ("Is this a question of some length?", None),
        ("A line that goes on without an end", "lines_no_end_mark"),
        ("A line that trails off into nothing...", "lines_no_end_mark"),
        ("Only four words here.", "lines_too_short"),
        ("One " + "x" * 1001 + " word is far too long.", "lines_long_word"),
        ("Please enable JavaScript to see this page.", "lines_javascript"),
        ("By going on you accept our Cookie Policy.", "lines_policy"),
        ("We read the terms of use with care.", "lines_policy"),
        ("A line where Lorem Ipsum stands in the middle.", "lorem_ipsum"),
        ("if (a == b) { return the first of them.", "curly_brackets"),
        ("Our privacy policy is { this } one here.", "curly_brackets"),
        ("This javascript line has a { in it.", "lines_javascript"),
        ("A short { line.", "lines_too_short"),
        ("Lorem ipsum without a mark", "lines_no_end_mark"),
    ],
)
def test_each_line_meets_the_rules_in_the_order_of_tfds(line: str, metric: str | None) -> None:
    metrics = rewritten(C4Lines(), line).metrics
    faults = {"lorem_ipsum", "curly_brackets", *(m for m in metrics if m.startswith("lines_"))}
    broken = {name for name in faults - {"lines_kept"} if metrics[name]}
    assert broken == ({metric} if metric else set())
    assert set(metrics) == set(C4Lines().metric_types())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{GOOD}\n{GOOD}", None),
        (GOOD, "too_few_sentences"),
        ("", "too_few_sentences"),
        (f"{GOOD}\n{GOOD}\nA whole line of lorem ipsum is here.", "lorem_ipsum"),
        (f"{GOOD}\n{GOOD}\nA line of code {{ and more of it.", "curly_bracket"),
        (f"{GOOD}\n{GOOD}\nfunction x() {{", None),  # gone before `{{` is looked for
        (f"{GOOD}\n" * 4000, "too_long"),
    ],
)
def test_a_page_is_dropped_for_the_reason(text: str, reason: str | None) -> None:
    stage = C4Lines()
    assert first_broken_rule(stage, dict(rewritten(stage, text).metrics)) == reason


def test_the_surviving_lines_are_stripped_and_their_citations_cut() -> None:
    page = f"Menu\n  {GOOD}  \nHome | About\nIt was said[12] so[citation needed] before[]."
    assert rewritten(C4Lines(), page).text == f"{GOOD}\nIt was said so before."


def test_a_line_may_be_too_short_only_after_its_citations_are_cut() -> None:
    out = rewritten(C4Lines(), "One two three four [1].")
    assert out.metrics["lines_too_short"] == 0  # `.` is a word of its own, as in tfds
    assert rewritten(C4Lines(), "One two three four[1].").metrics["lines_too_short"] == 1


def test_the_papers_numbers_are_knobs() -> None:
    paper = C4Lines(min_words_per_line=3, min_sentences=5)
    assert rewritten(paper, "Three words here.").metrics["lines_kept"] == 1
    assert rewritten(C4Lines(end_marks=()), "no mark at the end of it").text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("no mark", 1),
        ("One. Two. Three.", 3),
        ("Really? Yes! Good.", 3),
        ('She said "Stop." Then she left.', 2),
        ("Mr. Smith met Dr. Jones at 5 p.m. on Monday.", 1),
        ("J. R. R. Tolkien wrote it.", 1),
        ("See e.g. Figure 3 and Fig. 4 there.", 1),
        ("Version 2.0 came out. It works.", 2),
        ("This line looks like it has three sentences...but it's actually just 1.", 1),
        ("He paused... Then he went on.", 2),
        ("He said no. Then he left.", 2),
    ],
)
def test_sentences_are_counted(text: str, count: int) -> None:
    assert measured(C4Sentences(), text)["sentences"] == count


def test_cleaning_takes_time_in_proportion_to_the_text() -> None:
    def clean(text: str) -> None:
        measured(C4Lines(end_marks=(), min_words_per_line=0), text)
        measured(C4Sentences(), text)

    for text in (
        "." * 300_000, "x" * 300_000, ". " * 150_000, "a.b" * 100_000, '."' * 150_000,
        "[" * 300_000, "[1" * 150_000, "[" + "1" * 300_000, ".)" * 150_000, "\r" * 300_000,
        "lorem ipsu" * 30_000, "A.\u00a0" * 100_000,
    ):  # fmt: skip
        assert_time_in_proportion(clean, text)


@settings(deadline=None)  # the first call compiles
@given(st.text(alphabet='ab .!?"\n[1]{', max_size=200))
def test_no_text_is_invented(text: str) -> None:
    out = rewritten(C4Lines(min_words_per_line=1, min_sentences=0), text)
    remaining = iter(text.splitlines())
    for line in out.text.split("\n") if out.text else []:
        # Each line left comes, citations apart, from a later line of the page than the one before.
        assert any(_without_citations(raw.strip()).strip() == line.strip() for raw in remaining)
    assert out.metrics["lines"] == len(text.splitlines())


def _without_citations(line: str) -> str:
    for cut in ("[]", "[1]", "[11]", "[111]", "[1111]", "[11111]", "[111111]"):
        line = line.replace(cut, "")
    return line


def test_sentences_are_checked_again_after_lines_were_removed() -> None:
    stage = C4Sentences()
    assert first_broken_rule(stage, measured(stage, GOOD)) == "too_few_sentences"
    assert first_broken_rule(stage, measured(stage, f"{GOOD}\n{GOOD}")) is None


def test_mc4_wants_three_long_lines() -> None:
    stage = C4Paragraphs()
    long = "x" * 200
    assert first_broken_rule(stage, measured(stage, f"{long}\n{long}")) is not None
    assert first_broken_rule(stage, measured(stage, f"{long}\na\n{long}\n{long}")) is None
