"""whatif against real runs with the knob changed, and what it refuses to foretell."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from cli_site import Cli, cli, prose
from conftest import ROOT, write_jsonl

from pipeline.audit.bounds import bound_knobs
from pipeline.audit.estimate import beyond
from pipeline.audit.lookup import Run, open_run
from pipeline.audit.whatif import UNKNOWN, Answer, Verdicts, what_if
from pipeline.errors import IntegrityError
from pipeline.execution.runner import Options, run
from pipeline.files.tables import iter_batches
from pipeline.planning.build import catalogue, stage_class
from pipeline.planning.config import parse_config
from pipeline.planning.plan import make_plan
from pipeline.stage import (
    Apply,
    Emit,
    Exchange,
    Filter,
    GlobalStage,
    Page,
    Phase,
    Processed,
    RowStage,
    Rules,
    Side,
    TextBatch,
    at_least,
    at_most,
    knob,
)
from stages.classify.linear import train
from stages.classify.stage import Classify

__all__ = ["cli"]  # a fixture

ALL = 10**6
WEB = f'steps.web.paths=["{ROOT}/samples/web/*.warc.gz"]'
FILTERS = """\
name: filters
workdir: {workdir}
seed: 3
steps:
  - id: web
    read_warc: {{paths: ["{root}/samples/web/*.warc.gz"]}}
  - extract: {{engine: resiliparse}}
  - gopher_repetition: {{}}
  - gopher_quality: {{}}
  - fineweb_quality: {{}}
  - c4_lines: {{}}
  - language: {{keep: [en]}}
  - bad_words: {{}}
  - exact_dedup: {{}}
  - write_documents: {{}}
"""

Verdict = tuple[str, str | None]
"""(url, drop reason)."""


def ran(config: str | Path, *overrides: str, until: str | None = None) -> Run:
    """A run of a configuration's text or file, in this process."""
    text = config.read_text() if isinstance(config, Path) else config
    parsed = parse_config(text, "c4like.yaml", overrides)
    result = run(make_plan(parsed), Options(until=until))
    return open_run(parsed.workdir, result.run_id)


def stored(run: Run, step: str) -> Counter[Verdict]:
    """The verdicts at the end of the segments that hold a step."""
    return Counter(
        (row["url"] or row["doc_id"].hex(), row["drop_reason"])
        for name, _ in run.segments_with(step)
        for _, dataset in run.datasets(name, "metrics")
        for batch in iter_batches(run.storage, dataset)
        for row in batch.select(["doc_id", "url", "drop_reason"]).to_pylist()
    )


def foretold(run: Run, step: str, answer: Answer) -> Counter[Verdict]:
    """The run's verdicts with the changed ones exchanged; every changed document is sampled."""
    found = stored(run, step)
    for one in answer.sample:
        name = one.document["url"] or one.document["doc_id"].hex()
        found[name, one.before] -= 1
        found[name, one.after] += 1
    return +found


def totals(verdicts: Verdicts) -> dict[str, int]:
    return {reason: number for (_, reason), number in verdicts.after.items()}


def assert_equal_to_a_run(before: Run, after: Run, step: str, settings: Sequence[str]) -> Answer:
    """What whatif says of the run before is what the run after did, document by document."""
    answer = what_if(before, step, settings, ALL)
    assert answer.at_end.unknown == 0
    assert foretold(before, step, answer) == stored(after, step)
    reasons = Counter(reason for _, reason in stored(after, step).elements() if reason)
    assert totals(answer.at_end) == reasons
    rows = {row["step"]: row for row in after.record["funnel"]["steps"]}
    assert answer.at_step.documents_in == rows[step]["documents_in"]
    assert totals(answer.at_step) == rows[step]["dropped"]
    assert answer.at_step.kept(answer.at_step.after) == rows[step]["kept"]
    last = answer.ends[0]
    assert answer.at_end.kept(answer.at_end.after) == rows[last]["kept"]
    changed = (answer.newly_kept, answer.newly_dropped, answer.other_reason)
    assert sum(tally.documents for tally in changed) == len(answer.sample)
    chars = sum(one.document["num_chars"] for one in answer.sample)
    assert sum(tally.chars for tally in changed) == chars
    return answer


# --- against real runs ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Run]:
    """(configuration, its run) of the sample web through five filters in one segment."""
    text = FILTERS.format(workdir=tmp_path_factory.mktemp("filters"), root=ROOT)
    return text, ran(text)


LOOSER = [
    ("gopher_repetition", ["max_top_2gram_ratio=1", "max_top_3gram_ratio=1",
                           "max_top_4gram_ratio=0.3", "max_duplicate_5gram_ratio=0.5"]),
    ("gopher_quality", ["min_words=10", "min_mean_word_length=1", "min_stop_words=0"]),
    ("fineweb_quality", ["min_line_punctuation_ratio=0", "max_duplicate_line_char_ratio=0.5"]),
    ("bad_words", ["max_bad_words=1000"]),
]  # fmt: skip
TIGHTER = [
    ("gopher_repetition", ["max_duplicate_10gram_ratio=0.001", "max_top_2gram_ratio=0.05"]),
    ("gopher_quality", ["min_words=200", "max_words=900"]),
    ("fineweb_quality", ["max_short_line_ratio=0.2", "min_line_punctuation_ratio=0.7"]),
    ("c4_lines", ["min_sentences=12", "max_page_chars=3000"]),
]


@pytest.mark.parametrize(("step", "settings"), LOOSER, ids=lambda value: str(value)[:20])
def test_a_looser_bound_is_foretold_as_a_run_with_it_ends(
    filters: tuple[str, Run], step: str, settings: list[str]
) -> None:
    text, before = filters
    after = ran(text, *(f"steps.{step}.{setting}" for setting in settings))
    answer = assert_equal_to_a_run(before, after, step, settings)
    assert not answer.newly_dropped.documents
    if step != "bad_words":  # the sample's bad pages are dropped before
        assert answer.newly_kept.documents + answer.other_reason.documents > 0
    else:
        assert {rule.after for rule in answer.rules} == {(None, 1000)}


@pytest.mark.parametrize(("step", "settings"), TIGHTER, ids=lambda value: str(value)[:20])
def test_a_tighter_bound_is_foretold_as_a_run_with_it_ends(
    filters: tuple[str, Run], step: str, settings: list[str]
) -> None:
    text, before = filters
    after = ran(text, *(f"steps.{step}.{setting}" for setting in settings))
    answer = assert_equal_to_a_run(before, after, step, settings)
    assert answer.newly_dropped.documents > 0
    assert not answer.newly_kept.documents


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[str, ...], Run]:
    """(overrides, run) of configs/c4like.yaml up to the duplicates, with the quick extractor."""
    settings = (
        f"workdir={tmp_path_factory.mktemp('c4like')}",
        f'steps.books.paths=["{ROOT}/samples/books.jsonl.gz"]',
        WEB,
        "steps.extract.engine=resiliparse",
        "steps.language.keep=[en, de, fr, es]",
        "steps.language.min_score=0.985",
        "steps.c4_lines.min_sentences=2",
    )
    return settings, ran(ROOT / "configs" / "c4like.yaml", *settings, until="bad_words")


@pytest.mark.parametrize(
    ("step", "setting", "kept"),
    [
        ("c4_lines", "min_sentences=1", 1),
        ("c4_lines", "min_sentences=9", -1),
        ("language", "min_score=0.5", 1),
        ("language", "min_score=0.995", -1),
    ],
)
def test_c4like_is_foretold_in_both_directions(
    preset: tuple[tuple[str, ...], Run], step: str, setting: str, kept: int
) -> None:
    settings, before = preset
    overrides = (*settings, f"steps.{step}.{setting}")
    after = ran(ROOT / "configs" / "c4like.yaml", *overrides, until="bad_words")
    answer = assert_equal_to_a_run(before, after, step, [setting])
    assert answer.sample
    assert (answer.newly_dropped if kept > 0 else answer.newly_kept).documents == 0


ENGLISH = "The old carpenter mended the wooden ladder before the rain began in the evening. "
GERMAN = "Der alte Schreiner reparierte die hölzerne Leiter, bevor abends der Regen begann. "


@pytest.mark.parametrize("setting", ["min_score=0.4", "min_score=0.9", "min_score=null"])
def test_the_bound_on_mixed_languages_is_foretold_as_a_run_with_it_ends(
    tmp_path: Path, setting: str
) -> None:
    rows = [
        {"text": ENGLISH * n + GERMAN * (20 - n), "url": f"https://site.example/{n}"}
        for n in range(21)
    ]
    write_jsonl(tmp_path / "in.jsonl", rows)
    steps = f"""\
workdir: {tmp_path}/work
steps:
  - read_jsonl: {{paths: ["{tmp_path}/in.jsonl"], url: url}}
  - language: {{keep: [en], min_score: 0.7}}
  - c4_sentences: {{min_sentences: 3}}
  - write_documents: {{}}
"""
    before, after = ran(steps), ran(steps, f"steps.language.{setting}")
    answer = assert_equal_to_a_run(before, after, "language", [setting])
    assert len(answer.sample) >= 1


# --- what the metrics do not tell ----------------------------------------------------------------


@dataclass(frozen=True)
class Costly(Filter):
    """Counts a letter; only of documents that are still kept."""

    max_letters: int = knob(40, unit="letters", source="test")
    measure_kept_only: ClassVar[bool] = True

    def measure(self, page: Page) -> dict[str, float]:
        return {"letters": page.text.count("e")}

    def rules(self) -> Rules:
        return (at_most("letters", self.max_letters),)


@dataclass(frozen=True)
class Twins(GlobalStage):
    """Drops by a rule, and by an apply: a document that breaks the rule may have been dropped."""

    max_chars: int = knob(10**9, unit="characters", source="test")
    metrics: ClassVar[dict[str, type]] = {"chars": int}

    def rules(self) -> Rules:
        return (at_most("chars", self.max_chars),)

    def phases(self) -> tuple[Phase, ...]:
        columns = ("partition", "doc_id", "file", "offset")
        kinds = (pa.binary(16), pa.binary(16), pa.string(), pa.int64())
        schema = pa.schema(list(zip(columns, kinds, strict=True)))
        emitted = pa.schema([schema.field(name) for name in columns[1:]])
        return (
            Emit("rows", partial(_nodes, emitted), emitted),
            Exchange(
                "same",
                ("rows",),
                "partition",
                partial(_same, schema),
                schema,
                buckets="partition",
            ),
            Apply("drop", "same", drop_odd, ("max_chars",)),
        )


def _nodes(schema: pa.Schema, batch: TextBatch, side: Side) -> pa.Table:
    return batch.table.select(schema.names).cast(schema)


def _same(schema: pa.Schema, table: pa.Table, side: Side) -> pa.Table:
    return table.select(schema.names)


def drop_odd(batch: TextBatch, side: Side) -> Processed:
    """Drops documents of odd length."""
    lengths = np.array([len(text) for text in batch.texts])
    return Processed(metrics={"chars": lengths}, drop=lengths % 2 == 1, reason="odd")


SMALL = """\
name: small
seed: 1
steps:
  - read_jsonl: {{paths: ["{folder}/*.jsonl"], url: url}}
  - gopher_quality: {{min_words: {min_words}, min_stop_words: 0}}
{steps}
  - write_documents: {{}}
"""


def small(folder: Path, steps: str, min_words: int = 60) -> str:
    """A configuration over texts of 10 to 120 words; some of them several times."""
    for part in range(2):
        rows = [
            {"text": prose(n % 50, 10 + 110 * (n % 50) // 50), "url": f"https://site.example/{n}"}
            for n in range(part, 90, 2)
        ]
        write_jsonl(folder / f"{part}.jsonl", rows)
    text = SMALL.format(folder=folder, steps=steps, min_words=min_words)
    return f"workdir: {folder}/work\n{text}"


def test_a_freed_document_that_a_costly_filter_skipped_is_unknown_and_the_truth_lies_between(
    tmp_path: Path,
) -> None:
    text = small(tmp_path, "  - id: costly\n    test_whatif:Costly: {}")
    before = ran(text)
    answer = what_if(before, "gopher_quality", ["min_words=20"], ALL)
    [(step, reason)] = [key for key in answer.at_end.after if key[1] == UNKNOWN]
    assert (step, reason) == ("costly", UNKNOWN)
    assert answer.at_end.unknown == answer.unknown.documents > 0
    assert answer.at_step.unknown == 0
    after = ran(text, "steps.gopher_quality.min_words=20")
    kept = Counter(reason for _, reason in stored(after, "costly").elements())[None]
    least = answer.at_end.kept(answer.at_end.after)
    assert least < kept < least + answer.at_end.unknown
    tighter = ["min_words=80"]
    after = ran(text, "steps.gopher_quality.min_words=80")
    assert_equal_to_a_run(before, after, "gopher_quality", tighter)
    after = ran(text, "steps.costly.max_letters=1000")
    assert_equal_to_a_run(before, after, "costly", ["max_letters=1000"])


def test_a_document_that_an_apply_may_have_dropped_too_is_unknown(tmp_path: Path) -> None:
    text = small(tmp_path, "  - id: twins\n    test_whatif:Twins: {max_chars: 500}")
    before = ran(text)
    answer = what_if(before, "twins", ["max_chars=100000"], ALL)
    assert answer.at_step.unknown == answer.at_end.unknown > 0
    after = ran(text, "steps.twins.max_chars=100000")
    kept = Counter(reason for _, reason in stored(after, "twins").elements())[None]
    least = answer.at_end.kept(answer.at_end.after)
    assert least < kept < least + answer.at_end.unknown
    after = ran(text, "steps.twins.max_chars=450")
    assert_equal_to_a_run(before, after, "twins", ["max_chars=450"])


def test_the_rules_behind_a_line_dedup_are_exact_since_its_apply_only_rewrites(
    tmp_path: Path,
) -> None:
    text = small(tmp_path, "  - line_dedup: {min_sentences: 4}")
    before = ran(text)
    assert stored(before, "line_dedup") != stored(before, "gopher_quality")
    for value in (1, 9):
        after = ran(text, f"steps.line_dedup.min_sentences={value}")
        assert_equal_to_a_run(before, after, "line_dedup", [f"min_sentences={value}"])


@pytest.mark.parametrize("alpha", ["null", "3"])
def test_the_bound_of_a_score_is_exact_with_a_draw_behind_it(alpha: str, tmp_path: Path) -> None:
    texts = [prose(n, 40 + n) for n in range(60)]
    made = train(
        pa.array(texts, pa.large_string()), [n % 3 == 0 for n in range(60)], 8, 1, 1e-3, 30
    )
    (tmp_path / "model.npz").write_bytes(made.to_bytes())
    step = f"  - classify: {{file: {tmp_path}/model.npz, min_score: 0.3, alpha: {alpha}}}"
    text = small(tmp_path, step)
    before = ran(text)
    for value in (0.1, 0.6):
        after = ran(text, f"steps.classify.min_score={value}")
        assert stored(after, "classify") != stored(before, "classify")
        assert_equal_to_a_run(before, after, "classify", [f"min_score={value}"])


def test_a_freed_document_named_in_quarantine_further_on_is_quarantined_as_in_a_run(
    tmp_path: Path,
) -> None:
    text = small(tmp_path, "  - c4_lines: {min_sentences: 0}")
    before = ran(text)
    [short] = {
        one.document["doc_id"]
        for one in what_if(before, "gopher_quality", ["min_words=20"], 1).sample
    }
    for unit in before.keys["c4_lines"]:
        path = tmp_path / "work" / "quarantine" / f"{unit}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps([{"doc_id": short.hex(), "step": "c4_lines"}]))
    before = ran(text)
    answer = what_if(before, "gopher_quality", ["min_words=20"], ALL)
    assert answer.at_end.after["c4_lines", "quarantined"] == 1
    after = ran(text, "steps.gopher_quality.min_words=20")
    assert foretold(before, "gopher_quality", answer) == stored(after, "gopher_quality")


def test_behind_the_segment_each_source_keeps_the_shares_of_the_run(tmp_path: Path) -> None:
    before = ran(small(tmp_path, "  - exact_dedup: {}"))
    answer = what_if(before, "gopher_quality", ["min_words=20"], 0)
    [row] = beyond(before, answer)
    [after] = [kept for segment in answer.kept_of.values() for kept in segment.values()]
    assert (row.step, row.documents_in) == ("exact_dedup", after[0])
    assert 0 < row.kept < row.documents_in
    assert row.after_in == (after[1], after[1])
    assert row.after_kept[0] == pytest.approx(after[1] * row.kept / row.documents_in)
    assert beyond(before, what_if(before, "gopher_quality", ["min_words=60"], 0))[0].after_kept == (
        pytest.approx((row.kept, row.kept))
    )


def test_bounds_that_do_not_give_the_stored_verdicts_back_are_refused(tmp_path: Path) -> None:
    before = ran(small(tmp_path, "  - c4_lines: {min_sentences: 0}"))
    record = json.loads(json.dumps(before.record))
    [knobs] = [s["gopher_quality"] for s in record["config"]["steps"] if "gopher_quality" in s]
    knobs["min_words"] = 75
    with pytest.raises(IntegrityError, match="do not give its verdicts back"):
        what_if(Run(before.storage, record), "gopher_quality", ["min_words=20"])


# --- which knobs are bounds ----------------------------------------------------------------------


def built_in() -> list[str]:
    """Row-wise stages of the catalogue that can be made without knobs."""
    found = []
    for name in catalogue():
        cls = stage_class(name, "test")
        if issubclass(cls, RowStage) and bound_knobs_of(cls):
            found.append(name)
    return found


def bound_knobs_of(cls: type[Any]) -> tuple[str, ...]:
    try:
        return bound_knobs(cls())
    except TypeError:  # a knob without a default
        return ()


def test_the_bounds_of_built_in_filters_are_the_knobs_of_their_rules() -> None:
    assert set(built_in()) >= {
        "extract", "language", "gopher_quality", "gopher_repetition", "fineweb_quality",
        "c4_lines", "c4_sentences", "c4_paragraphs", "bad_words", "line_dedup", "pii",
    }  # fmt: skip
    quality = bound_knobs_of(stage_class("gopher_quality", "test"))
    assert "min_words" in quality
    assert not {"stop_words", "per_language", "thresholds"} & set(quality)
    assert "min_top_count" not in bound_knobs_of(stage_class("gopher_repetition", "test"))
    assert "short_line_chars" not in bound_knobs_of(stage_class("fineweb_quality", "test"))
    assert bound_knobs_of(stage_class("c4_lines", "test")) == ("min_sentences", "max_page_chars")
    assert "max_other_ratio" in bound_knobs_of(stage_class("language", "test"))
    assert "keep" not in bound_knobs_of(stage_class("language", "test"))


@pytest.mark.parametrize("name", built_in())
def test_moving_a_bound_moves_no_metric(name: str, real_texts: list[dict[str, Any]]) -> None:
    cls: Any = stage_class(name, "test")
    if name == "extract" or issubclass(cls, GlobalStage):
        pytest.skip("reads html or rows of an exchange, not these texts")
    if name == "classify":
        pytest.skip("needs a model: the next test gives it one")
    unmoved(cls(), [row["text"] for row in real_texts[:25]])


@pytest.mark.parametrize("alpha", [None, 3.0])
def test_moving_a_bound_of_classify_moves_no_score(
    alpha: float | None, real_texts: list[dict[str, Any]], tmp_path: Path
) -> None:
    texts = [row["text"] for row in real_texts[:40]]
    truth = [n % 2 == 0 for n in range(40)]
    made = train(pa.array(texts, pa.large_string()), truth, 10, 1, 1e-4, 20)
    (tmp_path / "model.npz").write_bytes(made.to_bytes())
    stage = Classify(file=str(tmp_path / "model.npz"), alpha=alpha)
    assert {"min_score", "max_score"} <= set(bound_knobs(stage))
    assert "alpha" not in bound_knobs(stage)
    assert len(set(metrics_of(stage, texts)["score"])) > 20
    unmoved(stage, texts)


def unmoved(stage: Any, texts: list[str]) -> None:
    """Whatever the bounds of the stage, its metrics are the same."""
    plain = metrics_of(stage, texts)
    for field in bound_knobs(stage):
        old = getattr(stage, field)
        for value in (0, 1, 0.5 if old is None else old * 2, 10**6):
            assert metrics_of(replace(stage, **{field: value}), texts) == plain, field


def metrics_of(stage: Any, texts: list[str]) -> dict[str, list[Any]]:
    table = pa.table(
        {
            "doc_id": pa.array([n.to_bytes(16, "big") for n in range(len(texts))], pa.binary(16)),
            "text": pa.array(texts, pa.large_string()),
        }
    )
    found = stage.process(TextBatch(table), Side("s", 1)).metrics
    return {name: np.nan_to_num(np.array(v, float), nan=-1).tolist() for name, v in found.items()}


@pytest.mark.parametrize(
    ("knobs", "bounds"),
    [({"min_score": 0.5}, True), ({"min_scores": {"en": 0.5}}, False)],
)
def test_a_bound_that_is_measured_as_a_distance_is_no_bound(
    knobs: dict[str, Any], bounds: bool
) -> None:
    assert ("min_score" in bound_knobs(stage_class("language", "test")(**knobs))) is bounds
    quality = stage_class("gopher_quality", "test")
    assert ("min_words" in bound_knobs(quality(per_language=not bounds))) is bounds


@dataclass(frozen=True)
class Plain(Filter):
    least: int = 1
    window: int = 2

    def measure(self, page: Page) -> dict[str, float]:
        return {"n": len(page.text) // self.window}

    def rules(self) -> Rules:
        return (at_least("n", self._bound()),)

    def _bound(self) -> int:
        return self.least


@dataclass(frozen=True)
class Shares(Plain):
    def measure(self, page: Page) -> dict[str, float]:
        return {"n": len(page.text) + self._bound()}


@dataclass(frozen=True)
class AsksItsRules(Plain):
    def measure(self, page: Page) -> dict[str, float]:
        return {"n": len(self.rules())}


@dataclass(frozen=True)
class HandsItselfOut(Plain):
    def measure(self, page: Page) -> dict[str, float]:
        return {"n": _look(self)}


def _look(stage: Plain) -> int:
    return stage.least


@dataclass(frozen=True)
class Borrows(Plain):
    process = RowStage.process


@dataclass(frozen=True)
class AtBirth(Plain):
    def __post_init__(self) -> None:
        object.__setattr__(self, "window", self.least)


@pytest.mark.parametrize(
    ("cls", "bounds"),
    [
        (Plain, ("least",)),
        (Shares, ()),
        (AsksItsRules, ()),
        (HandsItselfOut, ()),
        (Borrows, ()),
        (AtBirth, ()),
    ],
)
def test_only_a_knob_that_nothing_but_rules_can_read_is_a_bound(
    cls: type[Plain], bounds: tuple[str, ...]
) -> None:
    assert tuple(name for name in bound_knobs(cls()) if name == "least") == bounds


# --- the command ---------------------------------------------------------------------------------


def test_whatif_prints_what_changes_and_marks_the_estimate(
    filters: tuple[str, Run], cli: Cli
) -> None:
    before = filters[1]
    arguments = (
        "whatif",
        before.storage.root,
        "gopher_quality",
        "min_words=20",
        "min_stop_words=1",
    )
    named = ("--run", before.record["run_id"])
    code, out, _ = cli(*arguments, *named, "--sample", 3)
    text = " ".join(out.split())
    assert code == 0
    assert "gopher_quality.min_words: 50 -> 20 words" in text
    assert "word_count >= 50 and <= 100000 -> >= 20 and <= 100000" in text
    assert "at gopher_quality, exact" in text
    assert "to the end of its segment (bad_words), exact" in text
    assert "beyond the segment, an estimate" in text
    assert out.count("doc_id ") == 3
    code, out, _ = cli(*arguments, *named, "--sample", 3, "--json")
    found = json.loads(out)
    assert (code, found["beyond"]["estimate"], len(found["sample"])) == (0, True, 3)
    assert found["at_segment_end"]["exact"] is True
    one = found["sample"][0]
    assert {"url", "doc_id", "num_chars"} <= set(one["document"])
    assert one["metrics"]["word_count"] is not None
    again = cli(*arguments, *named, "--sample", 3, "--json")[1]
    assert again == out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("gopher_quality", "stop_words=[a]"), 2, "only min_words, max_words,"),
        (("gopher_quality", "min_word=1"), 2, "Did you mean 'min_words'?"),
        (("gopher_quality", "min_words"), 2, "expected knob=value"),
        (("gopher_quality", "min_words=many"), 2, "Expected `int`, got `str`"),
        (("gopher_quality", "min_words=-1"), 2, "expected 0..inf"),
        (("gopher_qualty", "min_words=1"), 2, "Did you mean"),
        (("web", "paths=[x]"), 2, "no knob of this step can"),
        (("exact_dedup", "keep=[x]"), 2, "Run it: --set steps.exact_dedup.keep=[x]"),
    ],
)
def test_whatif_says_which_knobs_it_can_answer(
    filters: tuple[str, Run], cli: Cli, arguments: tuple[str, ...], code: int, message: str
) -> None:
    found = cli("whatif", filters[1].storage.root, *arguments)
    assert (found[0], message in found[2]) == (code, True), found[2]


def test_a_step_that_the_run_did_not_reach_has_no_answer(tmp_path: Path, cli: Cli) -> None:
    text = small(tmp_path, "  - exact_dedup: {}\n  - c4_sentences: {}")
    short = ran(text, until="gopher_quality")
    code, _, err = cli("whatif", short.storage.root, "c4_sentences", "min_sentences=1")
    assert (code, "did not reach 'c4_sentences'" in err) == (3, True)


# --- runs other than the newest ------------------------------------------------------------------


def test_an_earlier_run_is_chosen_by_its_id_or_by_the_path_of_its_record(
    tmp_path: Path, cli: Cli
) -> None:
    text = small(tmp_path, "  - exact_dedup: {}")
    first, second = ran(text), ran(text, "steps.gopher_quality.min_words=20")
    workdir, url = first.storage.root, "https://site.example/10"
    for one, bound in ((first, 60), (second, 20)):
        run_id = one.record["run_id"]
        for named in ((workdir, "--run", run_id), (f"{workdir}/runs/{run_id}.json",)):
            found = json.loads(cli("explain", named[0], url, *named[1:], "--json")[1])
            assert found["run_id"] == run_id
            metrics = {m["name"]: m for m in found["documents"][0]["steps"][1]["metrics"]}
            assert metrics["word_count"]["minimum"] == bound
            where = ("gopher_quality.metrics", "--where", "drop_reason!=null", "--json")
            rows = json.loads(cli("inspect", named[0], *where, *named[1:])[1])["matching_rows"]
            dropped = sum(n for (_, reason), n in stored(one, "gopher_quality").items() if reason)
            assert rows == dropped
    code, _, err = cli("explain", workdir, url, "--run", "1999")
    assert (code, "no run whose id begins with '1999'" in err) == (3, True)
    code, _, err = cli("explain", workdir, url, "--run", "2")
    assert (code, "2 runs whose ids begin with '2'" in err) == (3, True)
