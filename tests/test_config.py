"""All that is wrong in a configuration is found before work starts, with file and line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pyarrow as pa
import pytest

from pipeline.errors import ConfigError
from pipeline.planning.build import stage_class
from pipeline.planning.config import expand, parse_config
from pipeline.planning.fetching import FetchingSource
from pipeline.planning.plan import make_plan, union_schema
from pipeline.stage import (
    Filter,
    GlobalStage,
    Output,
    RowStage,
    Source,
    Stage,
    TextMap,
    lacking,
)

GOOD = """\
name: small
seed: 7
steps:
  - id: web
    read_jsonl: {paths: ["*.jsonl"], text: text}
  - language: {keep: [en, no]}
  - write_documents: {}
"""


def broken(text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        make_plan(parse_config(text, "c.yaml", overrides))
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_good_configuration_becomes_a_plan_with_defaults() -> None:
    plan = make_plan(parse_config(GOOD, "c.yaml"))
    assert [step.id for step in plan.steps] == ["web", "language", "write_documents"]
    assert plan.config.workdir == "runs/small"
    assert plan["language"].inputs == ("web",)


def test_the_country_code_no_is_text_and_not_false() -> None:
    config = parse_config(GOOD, "c.yaml")
    assert config.steps[1].knobs["keep"] == ["en", "no"]


def test_numbers_may_carry_underscores_and_exponents() -> None:
    text = GOOD.replace("seed: 7", "seed: 1_000").replace("name: small", "max_drop_ratio: 1e-3")
    config = parse_config(text, "c.yaml")
    assert (config.seed, config.max_drop_ratio) == (1000, 0.001)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seed: 7", "sed: 7"), "c.yaml:2: unknown key 'sed'. Did you mean 'seed'?"),
        (("seed: 7", "seed: x"), "c.yaml:2: 'seed' is 'x', expected a whole number."),
        (("seed: 7", "seed: -1"), "c.yaml:2: seed must be in 0..2^64-1."),
        (("seed: 7", "seed: 7\nseed: 8"), "c.yaml:3: 'seed' is given twice (first in line 2)."),
        (
            ("language:", "langauge:"),
            "c.yaml:6: unknown stage 'langauge'. Did you mean 'language'?",
        ),
        (("keep:", "kep:"), "c.yaml:6: unknown knob 'kep' for language. Did you mean 'keep'?"),
        (("[en, no]", "3"), "c.yaml:6: knob 'keep' of language: Expected `array`"),
        (("id: web", "id: Web"), "c.yaml:4: step id 'Web' must match"),
        (
            ("- language", "- inputs: [wep]\n    language"),
            "unknown input 'wep'. Did you mean 'web'?",
        ),
        (("- id: web", "- id: language"), "two steps have the id 'language' (first in line"),
        (("  - write_documents: {}\n", ""), "c.yaml:6: nothing uses the step 'language'."),
        (("read_jsonl: {", "read_warc: {"), "unknown knob 'text' for read_warc."),
        (("steps:", "steps: 3\nsteps2:"), "unknown key 'steps2'"),
        (("[en, no]}", "[en, no"), "not valid YAML"),
        (("write_documents: {}", "mine:Filter: {}"), "cannot import the stage 'mine:Filter'"),
        (("write_documents: {}", "pipeline.errors:ConfigError: {}"), "is no stage"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_nearest_name(
    change: tuple[str, str], message: str
) -> None:
    assert message in broken(GOOD.replace(*change))


@pytest.mark.parametrize(
    ("base", "missing"),
    [
        (Source, "read"), (FetchingSource, "read"), (RowStage, "process"),
        (Filter, "measure or measure_batch or process"), (TextMap, "rewrite or process"),
        (GlobalStage, "phases"), (Output, "write"),
    ],
)  # fmt: skip
def test_a_stage_that_lacks_its_method_is_refused_before_the_run(
    base: type[Stage], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dataclass(frozen=True)(type("Mine", (base,), {}))
    monkeypatch.setitem(sys.modules, "lacking_stage", SimpleNamespace(Mine=made))
    with pytest.raises(ConfigError, match=f"'lacking_stage:Mine' does not implement {missing}: "):
        stage_class("lacking_stage:Mine", "c.yaml:6")


def test_a_filter_may_measure_a_page_or_a_batch_or_do_it_all_itself() -> None:
    for method in ("measure", "measure_batch", "process"):
        assert lacking(type("Mine", (Filter,), {method: lambda self, *_: None})) is None


def test_a_missing_column_names_the_stage_that_would_give_it() -> None:
    text = GOOD.replace('read_jsonl: {paths: ["*.jsonl"], text: text}', 'read_warc: {paths: ["x"]}')
    message = broken(text)
    assert "'language' reads the column 'text'" in message
    assert "Put an `extract` step between." in message


def test_a_cycle_is_shown_as_a_path() -> None:
    text = """\
steps:
  - id: web
    read_jsonl: {paths: ["x"]}
  - id: a
    inputs: [web, b]
    language: {}
  - id: b
    inputs: [a]
    language: {}
  - write_documents: {}
"""
    assert "the steps form a cycle: a -> b -> a" in broken(text)


def test_two_inputs_with_documents_of_one_source_are_refused() -> None:
    text = """\
steps:
  - id: web
    read_jsonl: {paths: ["x"]}
  - id: english
    language: {keep: [en]}
  - id: german
    inputs: [web]
    language: {keep: [de]}
  - inputs: [english, german]
    write_documents: {}
"""
    message = broken(text)
    assert "gets documents of 'web' by two inputs, 'english' and 'german'" in message


def test_one_column_name_with_two_types_is_refused() -> None:
    number, text = pa.schema([("score", pa.int64())]), pa.schema([("score", pa.string())])
    with pytest.raises(ConfigError, match="'score' is int64 in 'a' and string in 'b'"):
        union_schema([("a", number), ("b", text)], "c.yaml:3")


def test_a_reader_of_an_artefact_needs_one_candidate_above() -> None:
    text = GOOD.replace("write_documents", "tokenize")
    assert "needs a step that makes a tokenizer above it" in broken(text)


def test_overrides_reach_settings_and_knobs_of_any_step() -> None:
    config = parse_config(GOOD, "c.yaml", ["seed=9", 'steps.web.paths=["a", "b"]'])
    assert (config.seed, config.steps[0].knobs["paths"]) == (9, ["a", "b"])
    assert "no step 'wep'. Did you mean 'web'?" in broken(GOOD, "steps.wep.paths=[]")
    assert "unknown knob 'txt' for read_jsonl. Did you mean 'text'?" in broken(
        GOOD, "steps.web.txt=a"
    )


def test_variables_are_expanded_in_paths_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWL", "/data/crawl")
    monkeypatch.delenv("NOWHERE", raising=False)
    assert expand("${CRAWL}/x/${NOWHERE:-y}") == "/data/crawl/x/y"
    with pytest.raises(ConfigError, match="the environment has no NOWHERE"):
        expand("${NOWHERE}")
    text = GOOD.replace('"*.jsonl"', '"${CRAWL}/*.jsonl"').replace("text: text", 'text: "${CRAWL}"')
    stage = make_plan(parse_config(text, "c.yaml"))["web"].stage
    assert vars(stage)["paths"] == ("/data/crawl/*.jsonl",)
    assert vars(stage)["text"] == "${CRAWL}"


@pytest.mark.parametrize("value", [".nan", "-0.1", "1.5", ".inf"])
def test_a_number_out_of_a_knobs_bounds_or_none_at_all_is_refused(value: str) -> None:
    step = f"- fineweb_quality: {{min_line_punctuation_ratio: {value}}}"
    text = GOOD.replace("- language: {keep: [en, no]}", step)
    assert "expected 0..1 ratio" in broken(text)


def test_inputs_of_a_mixture_are_an_error_since_its_readers_would_not_get_them() -> None:
    text = GOOD.replace("  - write_documents: {}\n", "") + (
        "  - id: books\n    read_jsonl: {paths: [x.jsonl]}\n"
        "  - inputs: [language, books]\n    mix: {}\n  - train_tokenizer: {}\n"
        "  - tokenize: {}\n  - write_shards: {}\n"
    )
    said = broken(text)
    assert "'mix' takes no inputs" in said
    assert "give `inputs: [language, books]` to every step that reads documents" in said


def test_half_a_character_is_refused_with_its_line() -> None:
    text = GOOD.replace("name: small", 'name: "a\\ud83d"')
    assert "c.yaml:1: 'a\\ud83d' has a lone surrogate" in broken(text)
    text = GOOD.replace("keep: [en, no]", 'keep: ["\\udc00"]')
    assert "c.yaml:6: '\\udc00' has a lone surrogate" in broken(text)
    assert "lone surrogate" in broken(GOOD, 'name="a\\ud83d"')


@pytest.mark.parametrize("value", ["2026-02-30", "=", "!!foo x", "{? [1] : 2}", "&a [*a]"])
def test_what_yaml_has_no_value_for_is_an_error(value: str) -> None:
    said = broken(GOOD.replace("keep: [en, no]", f"keep: {value}"))
    assert "not a value of YAML" in said or "nested too deeply" in said
