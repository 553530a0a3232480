"""Classifiers: the models against definitions and oracles, hostile text, bounds and draws."""

from __future__ import annotations

import ast
import io
import json
import math
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from classifier_documents import text
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shingles import slow_shingles

from pipeline.draw import draw_column
from pipeline.errors import ConfigError
from pipeline.knobs import knob_info
from pipeline.stage import Processed, Side, TextBatch
from stages.classify import fasttext_model, linear, report
from stages.classify.models import load
from stages.classify.stage import Classify, pareto
from stages.kernels.shingles import Normalisation

KNOBS = {"dim": 8, "bucket": 2000, "lr": 0.5, "epoch": 10, "wordNgrams": 2, "seed": 1}
EXAMPLES = [(text(n % 2 == 0, n), n % 2 == 0) for n in range(120)]
UNSEEN = [(text(n % 2 == 0, 500 + n), n % 2 == 0) for n in range(60)]
HOSTILE = (
    "",
    " \n\t ",
    "\0" * 1000,
    "a\0b " * 500,
    "\ufffe\uffff\x01\x1b[0m",
    "\u202e\u200b\u2066" * 300,
    "__label__positive __label__x </s> " * 50,
    "x" * 10_000_000,
    "river " * 1_700_000,
    "\n" * 1_000_000,
)


def column(texts: list[Any]) -> pa.Array:
    return pa.array(texts, pa.large_string())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A trained model file of each kind."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "scratch").mkdir()
    made = fasttext_model.train(EXAMPLES, KNOBS, folder / "scratch", "test")
    (folder / "model.bin").write_bytes(made.read_bytes())
    weights = linear.train(
        column([t for t, _ in EXAMPLES]), [p for _, p in EXAMPLES], 12, 2, 1e-4, 50
    )
    (folder / "model.npz").write_bytes(weights.to_bytes())
    return {"fasttext": folder / "model.bin", "linear": folder / "model.npz"}


KINDS = pytest.mark.parametrize("kind", ["fasttext", "linear"])


# --- Figures -----------------------------------------------------------------------------------

SCORED = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), max_size=30
)


@given(SCORED)
def test_the_auc_is_how_often_a_positive_scores_above_a_negative(rows: list[Any]) -> None:
    positive = np.array([p for p, _ in rows], bool)
    scores = np.array([s for _, s in rows], float)
    pairs = [(a > b) + (a == b) / 2 for p, a in rows for q, b in rows if p and not q]
    found = report.auc(positive, scores)
    assert found is None if not pairs else math.isclose(found or 0, sum(pairs) / len(pairs))


def test_precision_at_a_kept_share_is_that_worked_by_hand() -> None:
    positive = np.array([1, 1, 0, 1, 0, 0, 0, 0, 0, 0], bool)
    scores = np.array([0.9, 0.8, 0.8, 0.3, 0.3, 0.2, 0.1, 0.1, 0.0, 0.0])
    found = report.at_kept_share(positive, scores, 0.2)
    # One of the two that tie at .8 is kept: half a positive is expected.
    assert found["documents"] == 2
    assert (found["precision"], found["recall"]) == (0.75, 0.5)
    found = report.at_threshold(positive, scores, 0.3)
    assert (found["documents"], found["precision"], found["recall"]) == (5, 0.6, 1.0)
    bins = report.calibration(positive, scores)
    assert [row["documents"] for row in bins] == [2, 2, 1, 2, 0, 0, 0, 0, 2, 1]
    assert bins[3] == {
        "from": 0.3, "to": 0.4, "documents": 2, "mean_score": 0.3, "positive_share": 0.5
    }  # fmt: skip


def test_a_hold_out_without_a_class_says_so() -> None:
    for size in (0, 3):
        found = report.held_out(np.ones(size, bool), np.full(size, 0.5))
        assert found["roc_auc"] is None
        assert "lacks a class" in found["warning"]
        assert json.dumps(report.rows(found))


# --- Models ------------------------------------------------------------------------------------


@KINDS
def test_a_model_tells_unseen_documents_apart(models: dict[str, Path], kind: str) -> None:
    scores = load(models[kind]).scores(column([t for t, _ in UNSEEN]))
    assert (report.auc(np.array([p for _, p in UNSEEN]), scores) or 0) > 0.98


def test_fasttext_trains_the_same_bytes_whatever_the_memory_held_before(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The variable makes glibc fill what it hands out with the value's complement: fastText would
    # take that for the weights of nine tenths of its rows.
    for turn in ("", "1", "170"):
        if turn:
            monkeypatch.setenv("MALLOC_PERTURB_", turn)
        (tmp_path / f"turn-{turn}").mkdir()
        again = fasttext_model.train(EXAMPLES, KNOBS, tmp_path / f"turn-{turn}", "test")
        assert again.read_bytes() == models["fasttext"].read_bytes()


def test_another_seed_or_order_is_another_fasttext_model(
    models: dict[str, Path], tmp_path: Path
) -> None:
    other = fasttext_model.train(EXAMPLES, {**KNOBS, "seed": 2}, tmp_path, "test").read_bytes()
    turned = fasttext_model.train(EXAMPLES[::-1], KNOBS, tmp_path, "test").read_bytes()
    assert len({models["fasttext"].read_bytes(), other, turned}) == 3


def test_training_that_ends_in_nan_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"train: fastText's training failed: .*NaN.*learning_rate"
    ):
        fasttext_model.train(EXAMPLES[:40], {**KNOBS, "lr": 1e4}, tmp_path, "train")


def test_no_text_can_give_itself_a_label(tmp_path: Path) -> None:
    poison = "__label__positive </s> __label__evil buy now"
    examples = [(f"{poison} {t}", p) for t, p in EXAMPLES]
    path = fasttext_model.train(examples, KNOBS, tmp_path, "test")
    import fasttext

    assert sorted(fasttext.load_model(str(path)).get_labels()) == [
        "__label__negative", "__label__positive"
    ]  # fmt: skip
    assert fasttext_model.line_of("a</s>b\nc") == "a b c"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=6), st.integers(1, 3))
def test_features_are_the_hashed_shingles_of_all_orders(texts: list[str], ngram: int) -> None:
    texts = [t.encode("utf-8", "replace").decode() for t in texts]
    made = linear.features(column(texts), 10, ngram)
    for row, one in enumerate(texts):
        own = made.slots[made.ends[row] : made.ends[row + 1]].tolist()
        wanted = [
            value % 1024
            for n in range(1, ngram + 1)
            for value in slow_shingles(one, n, Normalisation())
        ]
        assert own == wanted


def test_the_linear_model_is_the_least_of_its_loss_as_scipy_finds_it() -> None:
    from scipy.optimize import minimize

    texts, truth = column([t for t, _ in EXAMPLES]), np.array([p for _, p in EXAMPLES])
    made = linear.features(texts, 8, 1)
    dense = np.zeros((len(truth), 257))
    for row in range(len(truth)):
        slots = made.slots[made.ends[row] : made.ends[row + 1]]
        np.add.at(dense[row], slots, 1 / np.sqrt(len(slots)))
        dense[row, 256] = 1.0
    sign = np.where(truth, 1.0, -1.0)

    def loss(point: Any) -> Any:
        margin = sign * (dense @ point)
        gradient = dense.T @ (-sign / (1 + np.exp(margin))) / len(sign)
        gradient[:-1] += 0.01 * point[:-1]
        return np.logaddexp(0, -margin).mean() + 0.005 * point[:-1] @ point[:-1], gradient

    best = minimize(loss, np.zeros(257), jac=True, method="BFGS", options={"gtol": 1e-7})
    ours = linear.train(texts, truth, 8, 1, 0.01, 200)
    assert loss(np.append(ours.weights, ours.bias))[0] == pytest.approx(best.fun, abs=1e-7)
    assert np.abs(ours.weights - best.x[:-1]).max() < 2e-3


def test_the_linear_model_is_stored_and_read_byte_for_byte(tmp_path: Path) -> None:
    model = linear.LinearModel(np.arange(256, dtype=np.float32), 0.25, 2)
    (tmp_path / "m.npz").write_bytes(model.to_bytes())
    again = linear.LinearModel.read(tmp_path / "m.npz")
    assert again.to_bytes() == model.to_bytes()
    assert (again.bias, again.ngram, again.bits) == (0.25, 2, 8)


TRAIN = """
import hashlib
import sys
import pyarrow as pa
from classifier_documents import text
from stages.classify import linear
texts = pa.array([text(n % 2 == 0, n) for n in range(60)], pa.large_string())
for bits in (14, 17):
    made = linear.train(texts, [n % 2 == 0 for n in range(60)], bits, 2, 1e-4, 25)
    print(hashlib.sha256(made.to_bytes()).hexdigest())
"""


def test_the_linear_model_is_the_same_with_any_number_of_threads() -> None:
    # A worker of Ray has another number of BLAS threads than this process.
    made = []
    for threads in ("1", "2"):
        path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
        names = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"))
        env = {**os.environ, **dict.fromkeys(names, threads), "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", TRAIN], env=env, capture_output=True, text=True, check=True
        )
        made.append(done.stdout.split())
    assert made[0] == made[1]
    assert len(set(made[0])) == 2


BLAS = {"dot", "vdot", "inner", "matmul", "tensordot", "einsum", "linalg", "lstsq", "polyfit"}


def test_no_product_of_a_stage_goes_through_blas() -> None:
    # Its sums depend on threads and machine, and what a stage writes may not.
    found = []
    for package in ("pipeline", "stages", "tokenizer_training", "loader"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                product = isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(
                    node.op, ast.MatMult
                )
                named = isinstance(node, ast.Attribute) and node.attr in BLAS
                if product or named:
                    found.append(f"{path.relative_to(ROOT)}:{ast.unparse(node)}")
    assert not found


def stored(**arrays: Any) -> bytes:
    out = io.BytesIO()
    good = {
        "facts": np.array([1, 2]), "bias": np.zeros(1), "weights": np.zeros(256, np.float32)
    }  # fmt: skip
    np.savez(out, **{name: a for name, a in {**good, **arrays}.items() if a is not None})
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no hashed linear model: "),
        (b"no archive at all", "is no hashed linear model: File is not a zip file"),
        (stored()[:500], "is no hashed linear model"),
        (stored(weights=None), "no item named 'weights.npy'"),
        (stored(facts=np.array([1])), "is no hashed linear model"),
        (stored(facts=np.array(1)), "is no hashed linear model"),
        (stored(bias=np.zeros(0)), "is no hashed linear model"),
        (stored(bias=np.array(["a"])), "is no hashed linear model"),
        (stored(weights=np.array([{}], object)), "is no hashed linear model"),
        (stored(facts=np.array([9, 2])), "has format 9, expected 1"),
        (stored(facts=np.array([1, 6])), "for runs of 6 words, expected"),
        (stored(weights=np.zeros(0, np.float32)), r"weights of shape \(0,\)"),
        (stored(weights=np.zeros(255, np.float32)), r"weights of shape \(255,\)"),
        (stored(weights=np.zeros((2, 2), np.float32)), r"weights of shape \(2, 2\)"),
        (stored(weights=np.zeros(256)), "has float64 weights"),
        (stored(weights=np.full(256, np.nan, np.float32)), "has NaN or infinity in it"),
    ],
)
def test_a_file_that_is_no_linear_model_is_refused_by_its_path(
    content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"m\.npz .*{said}"):
        linear.LinearModel.read(tmp_path / "m.npz")


def test_a_damaged_linear_model_is_refused_or_is_the_same_model(tmp_path: Path) -> None:
    whole, path = stored(weights=np.arange(256, dtype=np.float32)), tmp_path / "m.npz"
    damaged = [whole[:end] for end in range(0, len(whole), 23)]
    for at in range(0, len(whole), 7):
        damaged.append(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            model = linear.LinearModel.read(path)
        except ConfigError as error:
            refused += str(path) in str(error)
        else:
            assert model.weights.tolist() == list(range(256))
    assert refused > len(damaged) * 0.8


# --- The stage ---------------------------------------------------------------------------------


def judged(stage: Classify, texts: list[str], seed: int = 1) -> Processed:
    stage.check()
    ids = [at.to_bytes(16, "big") for at in range(len(texts))]
    table = pa.table({"doc_id": pa.array(ids, pa.binary(16)), "text": column(texts)})
    return stage.process(TextBatch(table), Side("classify", seed))


@KINDS
def test_hostile_text_has_a_score(models: dict[str, Path], kind: str) -> None:
    out = judged(Classify(file=str(models[kind])), list(HOSTILE))
    scores = out.metrics["score"]
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores[:2].tolist() == [0.0, 0.0]
    assert scores[8] > 0.5
    assert scores.tolist() == np.round(scores, 4).tolist()


@KINDS
def test_hostile_text_can_be_trained_on(kind: str, tmp_path: Path) -> None:
    examples = [*EXAMPLES, *((one, True) for one in HOSTILE)]
    if kind == "fasttext":
        assert fasttext_model.train(examples, KNOBS, tmp_path, "test").stat().st_size
        return
    made = linear.train(column([t for t, _ in examples]), [p for _, p in examples], 10, 2, 1e-4, 5)
    assert np.isfinite(made.weights).all()


def test_a_null_text_has_the_score_0(models: dict[str, Path]) -> None:
    for path in models.values():
        assert load(path).scores(column([None])).tolist() == [0.0]


def test_bounds_and_the_draw_are_rules_with_reasons() -> None:
    reasons = [
        rule.reasons()[0] for rule in Classify(min_score=0.1, max_score=0.9, alpha=9).rules()
    ]
    assert reasons == ["low_score", "high_score", "not_drawn"]
    assert Classify().rules() == ()


def test_the_draw_is_numpys_pareto_and_a_function_of_the_doc_id() -> None:
    ids = pa.array([at.to_bytes(16, "big") for at in range(20_000)], pa.binary(16))
    found = np.sort(pareto(draw_column(1, "pareto", ids), 9))
    theirs = np.sort(np.random.default_rng(0).pareto(9, 20_000))
    quantiles = np.arange(1, 20) * 1000
    assert np.abs(found[quantiles] - theirs[quantiles]).max() < 0.02
    assert found.min() >= 0
    # GPT-3: P(kept) = P(pareto > 1 - score) = (2 - score)^-9
    assert (found > 0.5).mean() == pytest.approx(1.5**-9, abs=0.004)
    assert (found > 0.1).mean() == pytest.approx(1.1**-9, abs=0.02)


def test_what_the_draw_keeps_depends_on_seed_and_doc_id_not_on_the_batch(
    models: dict[str, Path],
) -> None:
    stage, texts = Classify(file=str(models["linear"]), alpha=9.0), [t for t, _ in UNSEEN]
    whole = judged(stage, texts).metrics
    part = judged(stage, texts[:7]).metrics
    assert whole["drawn"][:7].tolist() == part["drawn"].tolist()
    assert whole["drawn"].tolist() != judged(stage, texts, seed=2).metrics["drawn"].tolist()
    expected = whole["pareto"] > 1 - whole["score"]
    assert whole["drawn"].tolist() == expected.astype(int).tolist()


def test_two_steps_draw_apart_and_one_step_always_the_same(models: dict[str, Path]) -> None:
    texts = ["river stone"] * 400
    draws = [
        judged(Classify(file=str(models["linear"]), alpha=3.0, column=name), texts).metrics
        for name in ("quality", "toxicity", "quality")
    ]
    one, other, again = (found["pareto"] for found in draws)
    assert one.tolist() == again.tolist()
    assert not np.isin(one, other).any()
    # As of two fair coins: both above the median in a quarter of the cases.
    both = (one > np.median(one)) & (other > np.median(other))
    assert 0.18 < both.mean() < 0.32


def test_no_draw_is_beyond_what_a_float_holds() -> None:
    least = next(f for f in fields(Classify) if f.name == "alpha")
    alpha = knob_info(least).minimum
    assert alpha == 0.1
    ends = np.array([0, 2**64 - 1], np.uint64)
    found = pareto(ends, alpha)
    assert np.isfinite(found).all()
    assert found[0] > found[1] >= 0


def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    for name in ("x.bin", "x.npz"):
        (tmp_path / name).write_bytes(b"no model")
        with pytest.raises(ConfigError, match="is no"):
            load(tmp_path / name)


def test_a_label_that_the_model_lacks_is_an_error(models: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="no label '__label__hq'; it has __label__"):
        load(models["fasttext"], ("__label__hq",))
