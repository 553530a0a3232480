"""Bounds and stop words by language: FineWeb-2's figures, folders in its layout, verdicts."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import RunConfig, write_jsonl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, InputError
from pipeline.planning.fingerprint import identity, path_digest
from pipeline.stage import Filter, RowStage, Rule, Rules, Side, TextBatch, at_most, between
from stages.fineweb import FinewebQuality
from stages.gopher import GopherQuality, GopherRepetition
from stages.language import Language
from stages.language.codes import TABLES
from stages.limits.by_language import ByLanguage, distance_rules, distances
from stages.limits.stop_words import PACKAGE, packaged
from stages.limits.table import KEYS, read_configs, table

GERMAN = "Das Wetter war schön, und sie gingen am Fluss entlang, bis es dunkel wurde. "
ENGLISH = "The weather was fine, and they walked along the river until it was dark. "
STAGES: tuple[type[ByLanguage], ...] = (GopherQuality, GopherRepetition, FinewebQuality)


def batch(texts: list[str], langs: list[str | None], scripts: Any = None) -> TextBatch:
    columns = {"text": pa.array(texts, pa.large_string()), "lang": pa.array(langs, pa.string())}
    if scripts is not None:
        columns["lang_script"] = pa.array(scripts, pa.string())
    return TextBatch(pa.table(columns))


def metrics_of(stage: RowStage, given: TextBatch) -> dict[str, list[Any]]:
    found = stage.process(given, Side("test", 0)).metrics
    return {name: pa.array(values, from_pandas=True).to_pylist() for name, values in found.items()}


def reasons(stage: RowStage, given: TextBatch) -> list[set[str]]:
    """Broken rules of each document."""
    found = stage.process(given, Side("test", 0)).metrics
    broken: list[set[str]] = [set() for _ in range(len(given))]
    for rule in stage.rules():
        for reason, beyond in rule.broken(pa.array(found[rule.metric], from_pandas=True)):
            for row in np.flatnonzero(beyond):
                broken[row].add(reason)
    return broken


@pytest.fixture
def configs(tmp_path: Path) -> str:
    """A folder in FineWeb-2's layout, of two languages."""
    (tmp_path / "deu_Latn.yml").write_text(
        "dup_line_frac: 0.1\nline_punct_thr: 0.5\nnew_line_ratio: 0.2\nlanguage_score: 0.8\n"
        "min_avg_word_length: 0\nmax_avg_word_length: 5\nmax_non_alpha_words_ratio: 0.7\n"
        "top_n_grams:\n- [2, 0.5]\ndup_n_grams:\n- [5, 0.4]\nstopwords: [und, DAS, es]\n"
    )
    (tmp_path / "tha_Thai.yml").write_text("min_avg_word_length: 2\nstopwords: [และ, ของ]\n")
    return str(tmp_path)


def test_languages_find_their_row_by_subtag_and_by_script() -> None:
    known = table(None)
    assert len(known.limits) == 1929
    found = [known.label(code) for code in ("de", "zh", "sr", "sw", "no", "tl", "eng_Latn", None)]
    assert found == [
        "deu_Latn", "cmn_Hani", "srp_Cyrl", "swh_Latn", "nob_Latn", "fil_Latn", None, None,
    ]  # fmt: skip
    assert known.label("sr", "Latn") == "srp_Latn"
    assert known.label("sr", "Thai") == "srp_Cyrl"
    assert known.label("hi", "Latn") == "hin_Latn"


def test_a_bound_that_is_no_bound_is_broken_by_nothing() -> None:
    thai, german = table(None).limits["tha_Thai"], table(None).limits["deu_Latn"]
    assert thai["min_mean_word_length"] == -math.inf
    assert thai["max_duplicate_5gram_ratio"] == math.inf
    assert german["min_mean_word_length"] == -math.inf  # 0 there: datatrove does not look
    assert german["max_mean_word_length"] == 15
    assert all(set(limits) == set(KEYS) for limits in table(None).limits.values())


def test_every_knob_of_the_table_is_a_bound_of_a_stage() -> None:
    knobs = {name for cls in STAGES for name in cls.__dataclass_fields__} | {"min_score"}
    assert set(KEYS) <= knobs


def test_a_folder_gives_bounds_and_stop_words(configs: str) -> None:
    known = table(configs)
    assert known.limits["deu_Latn"]["max_duplicate_line_ratio"] == 0.1
    assert known.stop_words["deu_Latn"] == {"und", "das", "es"}
    assert "max_top_3gram_ratio" not in known.limits["deu_Latn"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]", "expected a mapping"),
        ("line_punkt_thr: 1", "unknown key 'line_punkt_thr'"),
        ("new_line_ratio: many", "expected a number"),
        ("top_n_grams: [[7, 0.1]]", "7-grams are not measured"),
        ("dup_n_grams: 3", "deu_Latn.yml"),
        ("stopwords: und", "expected a list of words"),
        ("a: [", "deu_Latn.yml"),
    ],
)
def test_a_wrong_configuration_says_where_and_what(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "deu_Latn.yml").write_text(text)
    with pytest.raises(InputError, match=says):
        read_configs(tmp_path)


def test_a_folder_without_configurations_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no configuration"):
        read_configs(tmp_path)


def test_the_tables_of_codes_are_part_of_the_identity_where_codes_are_read(configs: str) -> None:
    codes = ("tables.json", path_digest(str(TABLES)))
    for stage in (
        Language(),
        Language(backend="fasttext", model=__file__, per_language=True),
        GopherQuality(per_language=True),
        FinewebQuality(per_language=True, thresholds=configs),
    ):
        assert codes in identity(stage, 0)["models"].items()
    assert not identity(GopherQuality(), 0)["models"]


def test_bounds_by_language_need_the_language_and_are_part_of_the_identity(configs: str) -> None:
    for cls in STAGES:
        plain, by_language = cls(), cls(per_language=True)
        assert plain.reads == ("text",)
        assert by_language.reads == ("text", "lang")
        assert "fineweb2.json" in identity(by_language, 0)["models"]
        assert "fineweb2.json" not in identity(plain, 0)["models"]
        given = cls(per_language=True, thresholds=configs)
        assert set(identity(given, 0)["models"]) == {"thresholds", "tables.json"}
        with pytest.raises(ValueError, match="per_language"):
            cls(thresholds=configs).check()
    assert PACKAGE in identity(GopherQuality(per_language=True), 0)["libraries"]
    assert PACKAGE not in identity(GopherQuality(), 0)["libraries"]


@given(
    st.floats(0, 20) | st.just(math.nan),
    st.floats(0, 20) | st.sampled_from([-math.inf, math.inf]),
    st.booleans(),
)
def test_a_distance_breaks_its_rule_exactly_where_the_value_breaks_the_bound(
    value: float, bound: float, upper: bool
) -> None:
    name, metric = ("max", "newline_word_ratio") if upper else ("min", "mean_word_length")
    rule = at_most(metric, bound) if upper else Rule(metric, bound, None)
    (found,) = distances((rule,), {metric: np.array([value])}, [None], None).values()
    broken = bool(value > bound if upper else value < bound) and math.isfinite(bound)
    assert bool(found[0] < 0) == broken
    assert name in ("max", "min")


def judging(rules: Rules) -> list[str]:
    """Reasons in the order of the rules, of the bounds that they have."""
    return [
        reason
        for rule in rules
        for reason, bound in zip(rule.reasons(), (rule.minimum, rule.maximum), strict=True)
        if bound is not None
    ]


def test_the_rules_keep_their_order_and_reasons() -> None:
    for cls in STAGES:
        plain, made = (judging(stage.rules()) for stage in (cls(), cls(per_language=True)))
        assert made == plain
        assert set(cls().metric_types()) <= set(cls(per_language=True).metric_types())
    (low, high, both) = distance_rules((between("mean_word_length", 3, 10),))
    assert (low.metric, high.metric) == ("mean_word_length_above_min", "mean_word_length_below_max")
    assert (both.metric, both.minimum, both.maximum) == ("mean_word_length", None, None)


def test_documents_are_judged_by_the_bounds_of_their_language(configs: str) -> None:
    long = "Donaudampfschifffahrt und das es " * 20
    texts, langs = [long, long, long], ["de", "en", None]
    stage = GopherQuality(per_language=True, thresholds=configs, min_stop_words=0)
    found = metrics_of(stage, batch(texts, langs))
    mean = found["mean_word_length"][0]
    assert found["mean_word_length_below_max"] == [5 - mean, 10 - mean, 10 - mean]
    assert found["mean_word_length_above_min"] == [None, mean - 3, mean - 3]
    assert reasons(stage, batch(texts, langs)) == [{"mean_word_length_too_high"}, set(), set()]


def test_stop_words_are_those_of_the_language_and_a_language_without_a_list_is_not_measured() -> (
    None
):
    texts = [GERMAN * 5, GERMAN * 5, ENGLISH * 5, GERMAN * 5, GERMAN * 5]
    langs: list[str | None] = ["de", "en", "en", "xh", None]
    found = metrics_of(GopherQuality(per_language=True), batch(texts, langs))["stop_word_count"]
    assert found[0] >= 5
    assert found[1:] == [0, 2, None, None]  # Gopher's own list: "the", "and"
    assert reasons(GopherQuality(per_language=True), batch(texts, langs))[0] == set()


def test_stop_words_of_a_script_without_spaces_count_anywhere(configs: str) -> None:
    thai = "ฉันและเพื่อนของฉันไปตลาด"
    for stage in (
        GopherQuality(per_language=True),
        GopherQuality(per_language=True, thresholds=configs),
    ):
        assert metrics_of(stage, batch([thai], ["th"]))["stop_word_count"][0] >= 2
    assert packaged("th")


def test_a_word_that_ends_in_a_vowel_sign_is_found() -> None:
    bengali = "করে এই কথা তারা বলে"  # the first and the last end in a mark
    counted = metrics_of(GopherQuality(per_language=True), batch([bengali], ["bn"]))
    marked = sum(word in packaged("bn") for word in bengali.split())
    assert marked >= 2
    assert counted["stop_word_count"] == [marked]


def test_the_plain_filters_measure_what_they_measured() -> None:
    given = batch([GERMAN * 9, ENGLISH * 9, ""], ["de", "en", "en"])
    for cls in STAGES:
        plain, by_language = metrics_of(cls(), given), metrics_of(cls(per_language=True), given)
        assert set(plain) <= set(by_language)
        for name in set(plain) - {"stop_word_count"}:
            assert plain[name] == by_language[name]


def test_prose_of_many_languages_passes_where_english_bounds_drop_it(shared_data: Path) -> None:
    with gzip.open(shared_data / "text" / "libreoffice_help_multilingual.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines][::8]
    langs = [row["lang"].partition("-")[0] for row in rows]
    given = batch([row["text"] for row in rows], langs)

    def kept(stage: Filter) -> float:
        return sum(not broken for broken in reasons(stage, given)) / len(rows)

    assert kept(GopherQuality()) < 0.35
    assert kept(GopherQuality(per_language=True)) > 0.93
    assert kept(GopherRepetition()) + 0.04 < kept(GopherRepetition(per_language=True))


def test_a_run_judges_by_language_and_refuses_to_where_there_is_none(
    tmp_path: Path, run_yaml: RunConfig, configs: str
) -> None:
    # One line of three ends a sentence: too few for the folder's German, enough for English.
    rows = [
        {"text": "\n".join([f"{line * 5}-"] * 2 + [line.strip()])} for line in (GERMAN, ENGLISH)
    ]
    write_jsonl(tmp_path / "in.jsonl", rows)
    text = f"""
name: by-language
steps:
  - read_jsonl: {{paths: ["{tmp_path}/in.jsonl"]}}
  - language: {{min_script_ratio: 0.5}}
  - gopher_quality: {{per_language: true}}
  - fineweb_quality:
      per_language: true
      thresholds: "{configs}"
      max_duplicate_line_char_ratio: 1
      max_short_line_ratio: 1
  - write_documents: {{format: jsonl}}
"""
    result = run_yaml(text)
    dropped = {row.step: row.dropped for row in result.funnel.rows}
    assert dropped["gopher_quality"] == {}
    assert dropped["fineweb_quality"] == {"fineweb_quality.line_punctuation_ratio": 1}
    without = text.replace("  - language: {min_script_ratio: 0.5}\n", "")
    with pytest.raises(ConfigError, match="reads the column 'lang'"):
        run_yaml(without)
