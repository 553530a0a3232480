"""Shares, budgets, temperature, caps and stages of a mixture, against slow definitions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mix import CutBytes, corpus, totals_of
from token_phase_driver import parts, run_phases

from pipeline.draw import draw
from pipeline.errors import ConfigError
from pipeline.knobs import as_counts
from pipeline.mixture.rank_cut import taken_nodes
from pipeline.mixture.sampling import MAX_COPIES, TRAIN, Mixture, Take
from pipeline.mixture.shares import Group, Recipe, power
from pipeline.mixture.upsample import Upsample
from pipeline.planning.config import parse_config
from pipeline.planning.plan import make_plan
from pipeline.stage import Side
from stages.mix import Mix

SIZES = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d", "e"]), st.integers(1, 10**7), min_size=1
)


def targets(mixture: Mixture, **sizes: int) -> dict[str, int]:
    """Size to write of each group, all stages together."""
    takes = mixture.takes(totals_of(**sizes))
    return {take.group: take.whole * take.epoch_size + take.target for take in takes}


# --- Budgets -----------------------------------------------------------------------------------


def test_budgets_are_met_to_the_token_and_may_need_epochs() -> None:
    mixture = Mixture(budgets={"web": 1500, "books": 250})
    mixture.check()
    assert targets(mixture, web=1000, books=1000) == {"web": 1500, "books": 250}
    assert mixture.total == 1750


def test_weights_share_what_the_budgets_leave() -> None:
    mixture = Mixture(budgets={"books": 100}, weights={"web": 3.0, "code": 1.0}, tokens=500)
    mixture.check()
    found = targets(mixture, web=1000, books=1000, code=1000)
    assert found == {"web": 300, "books": 100, "code": 100}
    assert mixture.shares({"web": 9, "books": 9, "code": 9})["web"] == Fraction(3, 5)


def test_budgets_beside_alpha_leave_the_rest_to_all_other_groups() -> None:
    mixture = Mixture(budgets={"books": 0}, alpha=0.0, tokens=500)
    mixture.check()
    assert targets(mixture, web=1000, books=1000, code=700) == {"web": 250, "books": 0, "code": 250}


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({"weights": {"a": 1.0}, "alpha": 0.3}, "weights and alpha both"),
        ({"weights": {"a": 1.0}, "budgets": {"a": 5}}, "'a' has a weight and a budget"),
        ({"weights": {"b": 1.0}, "budgets": {"a": 5}}, "need `tokens`"),
        (
            {"weights": {"b": 1.0}, "budgets": {"a": 5}, "tokens": 4},
            r"budgets of 5 tokens are over 4",
        ),
        ({"budgets": {"a": 5}, "tokens": 9}, r"budgets are 5 tokens, tokens says 9"),
        ({"budgets": {"a": 0}}, "at least one group with a positive budget"),
        ({"budgets": {"a": -1}}, "expected 0 or more"),
        ({"max_epochs": {"a": 0.0}}, "max_epochs of 'a' = 0"),
        ({"over_max_epochs": "cap"}, "cap needs `tokens`"),
        ({"stages": ({"weights": {"a": 1.0}},)}, "stage 1 needs `tokens`"),
        ({"stages": ({"tokens": 5, "weight": {}},)}, "stage 1 has no 'weight'.*weights"),
        ({"stages": ({"tokens": "80%"}, {"tokens": "10%"})}, "90 % in all. Expected 100 %"),
        ({"stages": ({"tokens": "80%"}, {"tokens": 5})}, "Expected 100 %"),
        ({"stages": ({"tokens": 5, "name": "x"}, {"tokens": 5, "name": "x"})}, "stage name 'x'"),
        ({"stages": ({"tokens": "100%", "budgets": {"a": 5}},)}, "no share in %"),
        ({"stages": ({"tokens": 5},), "tokens": 6}, "tokens = 6, but the stages have 5"),
        ({"upsample": {"column": "n", "copies": {1: 64}}}, "over 255 copies in all"),
        ({"upsample": {"column": "n", "copies": {"x": 1}}}, "bound 'x'"),
        ({"upsample": {"column": "n", "copies": {1: -1}}}, "expected a whole number"),
        ({"upsample": {"column": "n", "copy": {}}}, "upsample has no 'copy'.*copies"),
    ],
)
def test_knobs_that_contradict_each_other_are_refused(knobs: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Mix(**knobs).check()


def test_where_nothing_else_is_asked_max_epochs_below_one_takes_that_share_of_a_group() -> None:
    assert targets(Mixture(), a=1000, b=501) == {"a": 1000, "b": 501}
    assert targets(Mixture(max_epochs=3), a=1000, b=501) == {"a": 1000, "b": 501}
    assert targets(Mixture(max_epochs=0.5), a=1000, b=501) == {"a": 500, "b": 250}
    assert targets(Mixture(max_epochs={"b": 0.1}), a=1000, b=501) == {"a": 1000, "b": 50}
    assert targets(Mixture(max_epochs=0.5, by=("lang",)), a=1000) == {"a": 500}


def test_a_group_that_max_epochs_names_and_nobody_has_is_an_error() -> None:
    for mixture in (
        Mixture(max_epochs={"bokos": 2}),
        Mixture(weights={"books": 1}, max_epochs={"bokos": 2}),
    ):
        with pytest.raises(ConfigError, match=r"max_epochs names the group 'bokos'.*books"):
            targets(mixture, books=100)


def test_a_budget_above_max_epochs_is_an_error_or_held_there() -> None:
    over = {"budgets": {"a": 500, "b": 100}, "max_epochs": 4}
    with pytest.raises(ConfigError, match=r"budget of 500 tokens needs 5\.00 epochs.*most 400"):
        targets(Mixture(**over), a=100, b=100)
    capped = Mixture(**over, over_max_epochs="cap")
    assert targets(capped, a=100, b=100) == {"a": 400, "b": 100}  # nobody fills a budget
    wanted = [take.wanted for take in capped.takes(totals_of(a=100, b=100))]
    assert wanted == [500, 100]


def test_each_group_may_have_epochs_of_its_own() -> None:
    mixture = Mixture({"a": 0.5, "b": 0.5}, max_epochs={"a": 1, "b": 3})
    assert targets(mixture, a=900, b=200) == {"a": 600, "b": 600}
    assert targets(mixture, a=100, b=200) == {"a": 100, "b": 100}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.5B", 2_500_000_000),
        ("1_000_000", 1_000_000),
        ("3K", 3000),
        ("1.5e3", 1500),
        ("1e9", 10**9),
        (1e9, 10**9),
        ("1.5T", 1_500_000_000_000),
        ("80%", "80%"),
        ("1.0001K", "1.0001K"),
        ("10 apples", "10 apples"),
        (2.5, 2.5),
    ],
)
def test_counts_are_written_as_people_write_them(text: Any, expected: Any) -> None:
    assert as_counts(text) == expected
    assert as_counts({"a": [text]}) == {"a": [expected]}


# --- Temperature -------------------------------------------------------------------------------


@given(st.integers(1, 10**15), st.integers(0, 20))
def test_a_power_is_right_to_fifty_digits(number: int, twentieths: int) -> None:
    alpha = twentieths / 20
    found = power(number, alpha) * 10**60
    exponent = Fraction(str(alpha))
    scaled = number**exponent.numerator * 10 ** (60 * exponent.denominator)
    low, high = 0, number * 10**60 + 1  # the root of an integer by bisection
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**exponent.denominator <= scaled else (low, middle)
    assert abs(found - low) <= Fraction(number * 10**60, 10**50)


@settings(max_examples=60)
@given(SIZES, st.integers(0, 10), st.randoms(use_true_random=False))
def test_temperature_shares_are_those_of_the_formula_in_any_order(
    sizes: dict[str, int], tenths: int, random: Any
) -> None:
    alpha = tenths / 10
    recipe = Recipe(alpha=alpha)
    names = list(sizes)
    random.shuffle(names)
    shares = recipe.shares({name: Group(1, sizes[name]) for name in names})
    assert shares == recipe.shares({name: Group(1, sizes[name]) for name in sorted(sizes)})
    assert sum(shares.values()) == 1
    p = {name: size / sum(sizes.values()) for name, size in sizes.items()}  # XLM, section 3.1
    for name, share in shares.items():
        assert math.isclose(share, p[name] ** alpha / sum(q**alpha for q in p.values()))


def test_alpha_counts_tokens_or_documents() -> None:
    groups = {"a": Group(documents=9, size=100), "b": Group(documents=1, size=400)}
    assert Recipe(alpha=0.5).shares(groups) == {"a": Fraction(1, 3), "b": Fraction(2, 3)}
    by_documents = Recipe(alpha=0.5, alpha_of="documents").shares(groups)
    assert by_documents == {"a": Fraction(3, 4), "b": Fraction(1, 4)}


def unimax(sizes: dict[str, int], budget: int, epochs: int) -> dict[str, Fraction]:
    """Algorithm 1 of Chung et al. 2023, before its last line, which divides by the sum."""
    left = Fraction(budget)
    found = {}
    for at, name in enumerate(sorted(sizes, key=lambda name: sizes[name])):
        fair = left / (len(sizes) - at)
        found[name] = min(fair, Fraction(sizes[name] * epochs))
        left -= found[name]
    return found


@settings(max_examples=80)
@given(SIZES, st.integers(1, 4 * 10**7), st.integers(1, 6))
def test_equal_shares_held_at_max_epochs_are_unimax(
    sizes: dict[str, int], budget: int, epochs: int
) -> None:
    mixture = Mixture(alpha=0, over_max_epochs="cap", max_epochs=epochs, tokens=budget)
    mixture.check()
    expected = {name: int(amount) for name, amount in unimax(sizes, budget, epochs).items()}
    assert targets(mixture, **sizes) == expected


@settings(max_examples=80)
@given(SIZES, st.integers(1, 10), st.integers(1, 5), st.floats(0.01, 1.3))
def test_what_a_capped_group_cannot_give_goes_to_the_others_by_their_shares(
    sizes: dict[str, int], tenths: int, epochs: int, part: float
) -> None:
    total = max(1, int(part * epochs * sum(sizes.values())))
    knobs: dict[str, Any] = {"alpha": tenths / 10, "tokens": total, "max_epochs": epochs}
    capped = Mixture(over_max_epochs="cap", **knobs).takes(totals_of(**sizes))
    given_to = {t.group: t.whole * t.epoch_size + t.target for t in capped}
    shares = Mixture(**knobs).shares(sizes)
    full = [name for name in sizes if given_to[name] == epochs * sizes[name]]
    free = [name for name in sizes if name not in full]
    assert all(given_to[name] < epochs * sizes[name] for name in free)
    missing = total - sum(given_to.values())
    if free:
        assert 0 <= missing < len(free) + 1  # whole tokens
        levels = [Fraction(given_to[name]) / shares[name] for name in free]
        slack = max(1 / shares[name] for name in free)
        assert max(levels) - min(levels) <= slack
    else:
        assert missing >= 0
    wanted = {take.group: take.wanted for take in capped}
    assert wanted == {name: int(total * shares[name]) for name in sizes}
    if any(total * shares[name] > epochs * sizes[name] for name in sizes):
        with pytest.raises(ConfigError, match="epochs of the group"):
            Mixture(**knobs).takes(totals_of(**sizes))
    else:
        assert targets(Mixture(**knobs), **sizes) == given_to


# --- Stages and copies, against the definition -------------------------------------------------

Node = tuple[bytes, int]


def row_of_nodes(docs: pa.Table, group: str, epochs: int) -> list[tuple[Node, int]]:
    """All nodes of a group in their order, each with its size: what `rank_cut` cuts."""
    row: list[tuple[Node, int]] = []
    for epoch in range(epochs):
        ranked = []
        for doc in docs.to_pylist():
            if doc["source"] == group:
                m = doc["size"]
                drawn = sorted(draw(1, "mix", doc["doc_id"], epoch * m + k) for k in range(m))
                for k, rank in enumerate(drawn):
                    ranked.append((rank, (doc["doc_id"], epoch * m + k), len(doc["text"])))
        row += [(node, size) for _, node, size in sorted(ranked)]
    return row


def by_definition(docs: pa.Table, takes: list[Take], group: str) -> list[set[Node]]:
    """Nodes of each stage: the row is cut at the last node with which each target still holds."""
    takes = [take for take in takes if take.group == group]
    row = row_of_nodes(docs, group, max(take.whole for take in takes) + 1)
    ends = [0]
    for take in takes:
        size = end = 0
        whole = take.whole * take.epoch_documents
        for at, (_, tokens) in enumerate(row):
            size += tokens
            if at >= whole and size > take.whole * take.epoch_size + take.target:
                break
            end = at + 1
        ends.append(end)
    return [{node for node, _ in row[a:b]} for a, b in pairwise(ends)]


DOCS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 4)), min_size=1, max_size=25)


def with_copies(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> pa.Table:
    """Documents of groups a and b with lengths and, as `size`, the number of their copies."""
    docs = corpus({"a": [n for n, _ in first], "b": [n for n, _ in second]})
    copies = [m for _, m in (*first, *second)]
    return docs.append_column("size", pa.array(copies, pa.int32()))


BY_SIZE = {"column": "size", "copies": {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}}


@settings(max_examples=40, deadline=None)
@given(
    DOCS, DOCS, st.integers(1, 9), st.integers(1, 99), st.floats(0.2, 3.2), st.integers(1, 4),
    st.integers(0, 9),
)  # fmt: skip
def test_stages_and_copies_take_what_the_definition_takes_for_any_partitioning(
    tmp_path_factory: Any,
    first: list[tuple[int, int]],
    second: list[tuple[int, int]],
    weight: int,
    percent: int,
    epochs: float,
    count: int,
    seed: int,
) -> None:
    docs = with_copies([*first, (3, 1)], [*second, (5, 2)])
    stages = (
        {"tokens": f"{percent}%", "weights": {"a": weight, "b": 10 - weight}},
        {"tokens": f"{100 - percent}%", "weights": {"a": 10 - weight, "b": weight}},
    )
    mix = Mix(stages=stages, max_epochs=epochs, upsample=BY_SIZE, validation_permille=0)
    mix.check()
    folder = tmp_path_factory.mktemp("stages")
    outcome = run_phases(CutBytes(), parts(docs, count, seed), folder, stages={"mixture": mix})
    cuts, mixture = outcome.tables["cuts"], mix.mixture
    split, group = mixture.split_and_group(docs)
    side = Side("step", 1, stages={"mixture": mix})
    taken = taken_nodes(docs, split, group, mixture.copies(docs, split), cuts, side)
    ids, names = docs["doc_id"].to_pylist(), group.to_pylist()
    takes = mixture.takes(outcome.tables["totals"])
    found: dict[tuple[str, int], set[Node]] = {}
    for row, copy, stage in zip(taken.rows, taken.copies, taken.stages, strict=True):
        found.setdefault((names[row], int(stage)), set()).add((ids[row], int(copy)))
    for name in ("a", "b"):
        expected = by_definition(docs, takes, name)
        assert [found.get((name, stage), set()) for stage in (0, 1)] == expected
    for row in range(docs.num_rows):  # copies 0, 1, 2, ... without a gap, stage after stage
        own = taken.rows == row
        assert taken.copies[own].tolist() == list(range(int(own.sum())))
    written = {(r["group"], r["stage"]): r["written_documents"] for r in cuts.to_pylist()}
    assert written == {key: len(found.get(key, ())) for key in written}


@settings(max_examples=40)
@given(SIZES, SIZES, st.integers(1, 10**6), st.integers(1, 10**6))
def test_stages_end_at_their_totals_within_a_token_a_group(
    sizes: dict[str, int], weights: dict[str, int], first: int, second: int
) -> None:
    sizes = {name: 10**5 + sizes.get(name, 0) for name in {*sizes, *weights}}
    later = {name: float(weights.get(name, 1)) for name in sizes}
    stages = ({"tokens": first, "alpha": 0.5}, {"tokens": second, "weights": later})
    mixture = Mixture(stages=stages, max_epochs=255)
    mixture.check()
    takes = mixture.takes(totals_of(**dict(sorted(sizes.items()))))
    for stage, total in enumerate((first, first + second)):
        ends = [t.whole * t.epoch_size + t.target for t in takes if t.stage == stage]
        assert 0 <= total - sum(ends) < len(sizes)


def test_a_stage_that_passes_max_epochs_is_named() -> None:
    stages = ({"name": "main", "tokens": 300, "weights": {"a": 1.0, "b": 0.0}}, {
        "name": "anneal", "tokens": 200, "weights": {"a": 0.5, "b": 0.5}})  # fmt: skip
    with pytest.raises(ConfigError, match=r"stage 'anneal'.*needs 4\.00 epochs of the group 'a'"):
        targets(Mixture(stages=stages, max_epochs=3.5), a=100, b=100)
    capped = Mixture(stages=stages, max_epochs=3.5, over_max_epochs="cap")
    assert targets(capped, a=100, b=100)["a"] == 350


# --- Copies of documents -----------------------------------------------------------------------

FINEWEB2 = {"column": "n", "copies": {1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1}}


def test_copies_are_those_of_the_highest_bound_that_the_value_reaches() -> None:
    values = [None, 0, 1, 2, 3, 4, 5, 99, 100, 999, 1000, 10**6]
    table = pa.table({"n": pa.array(values, pa.int64())})
    expected = [1, 1, 1, 2, 3, 3, 5, 5, 8, 8, 1, 1]
    assert Upsample.parse(FINEWEB2).of(table).tolist() == expected
    scores = pa.table({"n": pa.array([0.5, 0.49, math.nan, None], pa.float64())})
    good = Upsample.parse({"column": "n", "copies": {0.5: 3}, "otherwise": 0})
    assert good.of(scores).tolist() == [3, 0, 0, 0]


def test_a_column_of_text_is_refused_as_a_number() -> None:
    with pytest.raises(ConfigError, match="which is string: expected a number"):
        Upsample.parse(FINEWEB2).of(pa.table({"n": ["1"]}))
    with pytest.raises(ConfigError, match="which the documents lack"):
        Upsample.parse(FINEWEB2).of(pa.table({"m": [1]}))


def test_validation_documents_are_never_repeated() -> None:
    docs = with_copies([(5, 4)] * 50, [(5, 0)])
    mixture = Mixture(upsample=BY_SIZE, validation_permille=500)
    split = mixture.split_and_group(docs)[0]
    copies = mixture.copies(docs, split)
    train = np.array(split.to_pylist()) == TRAIN
    assert 0 < train[:50].sum() < 50
    assert set(copies[:50][train[:50]]) == {4}
    assert set(copies[:50][~train[:50]]) == {1}
    assert copies[50] == 0


def test_no_copy_number_passes_one_byte() -> None:
    Mix(max_epochs=MAX_COPIES).check()
    with pytest.raises(ValueError, match="over 255 copies in all"):
        Mix(max_epochs=MAX_COPIES, upsample=BY_SIZE).check()


# --- The plan ----------------------------------------------------------------------------------

CONFIG = """
steps:
  - id: web
    read_jsonl: {{paths: ["{paths}"]}}
  - language: {{}}
  - mix: {{{mix}}}
  - train_tokenizer: {{vocab_size: 300}}
  - tokenize: {{}}
  - write_shards: {{tokens_per_shard: 2M}}
"""


def planned(mix: str) -> Any:
    text = CONFIG.format(paths=__file__, mix=mix)
    return make_plan(parse_config(text, "test.yaml", ["workdir=unused"]))


@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        ("by: [source, langs]", r"names the column 'langs'.*Did you mean 'lang'"),
        ("upsample: {column: cluster_sise, copies: {1: 1}}", "upsample names the column"),
        ("upsample: {column: language.wrong, copies: {1: 1}}", "needs the metric 'language.wrong'"),
        ("budgets: {wep: 5}", r"budgets name the source 'wep'.*Did you mean 'web'"),
        ("budgets: {web: many}", "Expected `int`"),
        ("max_epochs: {wep: 5}", r"max_epochs names the source 'wep'"),
        ("stages: [{tokens: 5, budgets: {wep: 5}}]", r"stage 'stage1': budgets name the source"),
        ("stages: [{tokens: 100%, weights: {web: x}}]", r"stage 1: weights = .*Expected `float`"),
        ("stages: [{tokens: 100%, weights: [web]}]", r"stage 1: weights = \['web'\]: Expected"),
        ("stages: [{tokens: 100%, alpha: '0.3'}]", r"stage 1: alpha = '0.3': Expected `float"),
        ("stages: [{tokens: 100%, alpha: true}]", r"stage 1: alpha = True: .*got `bool`"),
        ("stages: [{budgets: {web: 1.5}}]", r"stage 1: budgets = .*Expected `int`"),
        ("tokens: 1e19, over_max_epochs: cap", "expected at most 9,223,372,036,854,775,807"),
    ],
)
def test_names_are_checked_before_any_work(mix: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        planned(mix)


def test_the_plan_says_what_is_known_of_the_mixture() -> None:
    plan = planned("budgets: {web: 2.5B}, max_epochs: {web: 2}")
    notes = "\n".join(plan["mix"].stage.plan_notes())
    assert "2,500,000,000 tokens: web 2,500,000,000" in notes
    assert "web 2; any other 4 epochs" in notes
    assert plan["write_shards"].stage.tokens_per_shard == 2_000_000
    notes = "\n".join(planned("max_epochs: 0.5")["mix"].stage.plan_notes())
    assert "at most 0.5 epochs; a group that needs more is taken in part" in notes
    stages = "[{name: main, tokens: 80%, weights: {web: 1}}, {name: end, tokens: 20%, alpha: 0.3}]"
    plan = planned(f"tokens: 1e6, stages: {stages}")
    notes = "\n".join(plan["mix"].stage.plan_notes())
    assert "main: 800,000 tokens: web 100 % = 800,000" in notes
    assert "end: 200,000 tokens: by tokens^0.3" in notes
