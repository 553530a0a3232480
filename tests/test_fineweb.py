"""FineWeb's quality metrics: a table of texts, values and verdicts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_measures import measured

from stages.fineweb import TERMINAL_PUNCTUATION, FinewebQuality

PROSE = "\n".join(f"This is sentence number {n}, and it is long enough to count." for n in range(9))


@pytest.mark.parametrize(
    ("text", "metric", "value"),
    [
        ("a.\nb\n\n  \nc!\nd? ", "line_punctuation_ratio", 0.5),
        ("你好。\nhello", "line_punctuation_ratio", 0.5),
        ("x" * 30 + "\n" + "x" * 31, "short_line_ratio", 0.5),
        ("ab\ncd\nab", "duplicate_line_char_ratio", 2 / 6),
        ("ab \nab", "duplicate_line_char_ratio", 0.0),
        ("a b\nc\n\nd", "newline_word_ratio", 3 / 4),
        ("", "newline_word_ratio", None),
        (" \n ", "short_line_ratio", None),
    ],
)
def test_metrics_have_these_values(text: str, metric: str, value: float | None) -> None:
    assert measured(FinewebQuality(), text)[metric] == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROSE, None),
        (PROSE.replace(".", ""), "line_punctuation_ratio"),
        ("Short line.\n" * 3 + "Another one of a good length, for once here.", "short_line_ratio"),
        (PROSE + "\n" + PROSE.split("\n")[0], "duplicate_line_char_ratio"),
        ("Wordsthatareverylongindeedandmore here.\n" * 1 + "\n".join("abcd"), "newline_word_ratio"),
    ],
)
def test_a_text_breaks_the_rule(text: str, reason: str | None) -> None:
    stage = FinewebQuality()
    metrics = measured(stage, text)
    broken = set()
    for rule in stage.rules():
        value = metrics[rule.metric]
        assert value is not None
        if not (rule.minimum or 0) <= value <= (rule.maximum or 1e9):
            broken.add(rule.name)
    assert (reason in broken) if reason else not broken


def test_terminal_punctuation_knows_many_scripts() -> None:
    assert len(TERMINAL_PUNCTUATION) == 172
    assert set(".!?。！？؟।።") <= TERMINAL_PUNCTUATION
    assert not set(",;:\"')…") & TERMINAL_PUNCTUATION


@settings(deadline=None)  # the first call compiles
@given(st.text(alphabet="ab. \n", max_size=60))
def test_ratios_lie_between_zero_and_one(text: str) -> None:
    metrics = measured(FinewebQuality(), text)
    assert set(metrics) == set(FinewebQuality().metric_types())
    for name, value in metrics.items():
        assert value is None or name == "newline_word_ratio" or 0 <= value <= 1
