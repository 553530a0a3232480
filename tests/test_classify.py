"""Classifiers: the models against definitions and oracles, hostile text, bounds and draws."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from classifier_documents import text
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shingles import slow_shingles

from pipeline.draw import draw_column
from pipeline.errors import ConfigError
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


def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    for name in ("x.bin", "x.npz"):
        (tmp_path / name).write_bytes(b"no model")
        with pytest.raises(ConfigError, match="is no"):
            load(tmp_path / name)


def test_a_label_that_the_model_lacks_is_an_error(models: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="no label '__label__hq'; it has __label__"):
        load(models["fasttext"], ("__label__hq",))
