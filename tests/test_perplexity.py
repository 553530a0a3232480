"""Perplexity: CCNet's lines and buckets, a KenLM model of our own, what a missing one says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from slow_measures import measured, processed

from pipeline.errors import ConfigError, InputError
from pipeline.planning.fingerprint import identity
from stages.perplexity import Perplexity, ccnet_line

# A model of three words, by hand: log10 probabilities, then back-off weights.
ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0\t<unk>\t0
0\t<s>\t-0.3
-0.7\t</s>\t0
-0.5\tmill\t-0.2
-0.6\told\t-0.1

\\2-grams:
-0.2\t<s> old
-0.1\told mill
-0.3\tmill </s>

\\end\\
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "tiny.arpa"
    path.write_text(ARPA)
    return str(path)


def test_lines_are_written_as_ccnet_writes_them() -> None:
    assert ccnet_line("  Größe “1999” — Café… ") == 'große "0000"  -  cafe...'
    assert ccnet_line("a\x07b１") == "ab0"


def test_the_perplexity_is_that_of_the_model_by_hand(model: str) -> None:
    pytest.importorskip("kenlm")
    stage = Perplexity(model=model)
    # old mill </s>: -0.2 -0.1 -0.3 over 3; then mill </s> on a line: -0.3-0.5 -0.3 over 2.
    assert stage.perplexity("Old mill") == pytest.approx(10 ** (0.6 / 3), abs=1e-4)
    assert stage.perplexity("Old mill\n\nmill") == pytest.approx(10 ** (1.7 / 5), abs=1e-4)
    assert stage.perplexity(" \n") is None


def test_cutoffs_make_head_middle_and_tail_and_keep_drops_the_others(model: str) -> None:
    pytest.importorskip("kenlm")
    stage = Perplexity(model=model, cutoffs=(2.0, 5.0), keep=("head", "middle"))
    stage.check()
    texts = ["old mill", "mill", "x y z", ""]
    made = processed(stage, texts)
    assert made.columns["perplexity_bucket"].to_pylist() == ["head", "middle", "tail", None]
    assert [measured(stage, text)["kept_bucket"] for text in texts] == [1, 1, 0, None]
    assert [rule.name for rule in stage.rules()] == ["bucket"]
    assert Perplexity(model=model).bucket(3.0) == "all"


def test_without_the_package_the_error_says_what_to_install(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)
    from stages import perplexity

    perplexity._model.cache_clear()
    with pytest.raises(InputError, match=r"tokenmill\[perplexity\]"):
        Perplexity(model=model).perplexity("old mill")


def test_planning_fails_where_the_package_is_not_installed(model: str) -> None:
    if importlib.util.find_spec("kenlm") is None:
        with pytest.raises(ConfigError, match="kenlm"):
            identity(Perplexity(model=model), 0)
    else:
        assert "kenlm" in identity(Perplexity(model=model), 0)["libraries"]


def test_a_file_that_is_no_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    pytest.importorskip("kenlm")
    bad = tmp_path / "bad.arpa"
    bad.write_text("nothing")
    with pytest.raises(InputError, match=r"bad\.arpa"):
        Perplexity(model=str(bad)).perplexity("old mill")


@pytest.mark.parametrize(
    "knobs",
    [
        {"model": ""},
        {"cutoffs": (1.0,)},
        {"cutoffs": (2.0, 1.0)},
        {"keep": ("head",)},
        {"cutoffs": (1.0, 2.0), "keep": ("all",)},
    ],
)
def test_knobs_that_contradict_each_other_are_refused(knobs: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Perplexity(**{"model": "x.arpa", **knobs}).check()  # type: ignore[arg-type]
