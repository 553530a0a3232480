"""train_classifier, classify and keep_top in whole runs: the same bytes whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from classifier_documents import CONFIG, write_corpus
from conftest import ROOT, RunConfig, write_jsonl

from pipeline.audit.lookup import open_run
from pipeline.cli import main
from pipeline.errors import ConfigError
from pipeline.execution.runner import Options, run
from pipeline.files.tables import artefact_folder
from pipeline.files.uris import open_storage
from pipeline.planning.config import load_config, parse_config
from pipeline.planning.plan import make_plan
from pipeline.results.publish import published_sha256


def artefact(workdir: Path) -> dict[str, bytes]:
    """The files of the step train_classifier."""
    found = open_run(str(workdir))
    (_, data) = next(found.datasets("train_classifier.classifier", "artefact"))
    folder = artefact_folder(found.storage, data)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def kept(workdir: Path) -> dict[bytes, float]:
    """doc_id -> score of the documents that were written."""
    found: dict[bytes, float] = {}
    for path in sorted((workdir / "documents").rglob("*.parquet")):
        table = pq.read_table(path)
        found.update(zip(table["doc_id"].to_pylist(), table["score"].to_pylist(), strict=True))
    return found


def scores(workdir: Path) -> dict[bytes, float]:
    """doc_id -> score of every document that was judged."""
    found = open_run(str(workdir))
    tables = [
        pq.read_table(pa.BufferReader(found.storage.get(ref.path)))
        for name, _ in found.segments_with("classify")
        for _, data in found.datasets(name, "metrics")
        for ref in data.files
    ]
    rows = pa.concat_tables(tables).select(["doc_id", "classify.score"]).to_pylist()
    return {row["doc_id"]: row["classify.score"] for row in rows}


@pytest.mark.parametrize("model", ["fasttext", "linear"])
def test_model_scores_and_selection_depend_on_no_partition_or_order_of_files(
    model: str, tmp_path: Path, run_yaml: RunConfig
) -> None:
    found = []
    for files, reverse in ((1, False), (3, True)):
        corpus, workdir = tmp_path / f"in-{files}", tmp_path / f"work-{files}"
        write_corpus(corpus, files, reverse)
        run_yaml(CONFIG.format(folder=corpus, model=model), workdir)
        found.append((artefact(workdir), scores(workdir), kept(workdir)))
    assert found[0] == found[1]
    files_made, all_scores, best = found[0]
    name = "model.bin" if model == "fasttext" else "model.npz"
    assert set(files_made) == {name, "meta.json", "report.json", "holdout.jsonl"}
    # A quarter of the web is of the wanted kind, and a quarter is kept.
    assert len(best) == 40
    assert min(best.values()) >= max(v for k, v in all_scores.items() if k not in best)
    report = json.loads(files_made["report.json"])
    meta = json.loads(files_made["meta.json"])
    assert report["roc_auc"] == meta["roc_auc"] > 0.7
    trained, held = meta["trained_on"], meta["held_out"]
    for label, source in (("positive", "wanted"), ("negative", "web")):
        assert trained[label][source]["documents"] + held[label][source]["documents"] == 100
        assert 15 < held[label][source]["documents"] < 45


def test_the_kept_documents_are_of_the_wanted_kind(tmp_path: Path, run_yaml: RunConfig) -> None:
    write_corpus(tmp_path / "in", 2)
    run_yaml(CONFIG.format(folder=tmp_path / "in", model="linear"), tmp_path / "work")
    paths = (tmp_path / "work/documents").rglob("*.parquet")
    urls = [url for path in paths for url in pq.read_table(path)["url"].to_pylist()]
    right = sum(int(url.rpartition("/")[2]) % 4 == 0 for url in urls)
    assert right / len(urls) > 0.9


def test_sample_and_seed_make_the_model_and_a_knob_of_the_other_kind_does_not(
    tmp_path: Path, run_yaml: RunConfig
) -> None:
    write_corpus(tmp_path / "in", 1)
    config = CONFIG.format(folder=tmp_path / "in", model="linear")
    made = []
    for number, override in enumerate(
        ("seed=5", "seed=6", "steps.train_classifier.sample_documents=50",
         "steps.train_classifier.dim=9")
    ):  # fmt: skip
        run_yaml(config, tmp_path / str(number), override)
        made.append(artefact(tmp_path / str(number))["model.npz"])
    assert made[0] == made[3]
    assert len(set(made)) == 3


def start(config: Path, workdir: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--set", f"workdir={workdir}"]
    return subprocess.Popen(
        [*command, "--json", *arguments],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err.decode()
    found: dict[str, Any] = json.loads(out)
    return found


def published(workdir: Path) -> str:
    return published_sha256(open_storage(str(workdir)))


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_a_run_killed_and_started_again_makes_the_same_bytes(workers: str, tmp_path: Path) -> None:
    write_corpus(tmp_path / "in", 3)
    config = tmp_path / "classified.yaml"
    config.write_text(CONFIG.format(folder=tmp_path / "in", model="fasttext"))
    clean = run(make_plan(load_config(str(config), [f"workdir={tmp_path / 'clean'}"])), Options())
    killed = start(config, tmp_path / "killed", "--workers", workers)
    manifests, deadline = tmp_path / "killed/manifests", time.monotonic() + 120
    while killed.poll() is None and time.monotonic() < deadline:
        if manifests.is_dir() and sum(1 for _ in manifests.glob("*.json")) >= 20:
            break
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    again = finish(start(config, tmp_path / "killed", "--workers", workers))
    assert 0 < again["works_executed"] < clean.executed
    assert artefact(tmp_path / "clean") == artefact(tmp_path / "killed")
    assert published(tmp_path / "clean") == published(tmp_path / "killed")


def test_the_example_configuration_runs_on_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    knobs = ("model=linear", "holdout_permille=400")
    smaller = [f"steps.train_classifier.{knob}" for knob in knobs]
    config = load_config("configs/classified.yaml", [f"workdir={tmp_path}", *smaller])
    done = run(make_plan(config), Options(limit=16))
    rows = {row.step: row for row in done.funnel.rows}
    assert rows["keep_top"].kept == rows["classify"].kept // 2 > 0
    assert rows["wanted"].kept == 16
    assert main(["inspect", str(tmp_path), "train_classifier.holdout", "--rows", "30"]) == 0
    shown = capsys.readouterr().out
    assert "at_kept_share" in shown
    assert "calibration" in shown


# --- The plan ----------------------------------------------------------------------------------

HEAD = """
name: x
steps:
  - id: web
    read_jsonl: {paths: ["a.jsonl"], id: id}
  - id: books
    read_jsonl: {paths: ["b.jsonl"], id: id}
"""
TAIL = """
  - inputs: [web]
    classify: {}
  - write_documents: {}
"""


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("train_classifier: {positives: [books]}", "needs `positives` and `negatives`"),
        ("train_classifier: {positives: [web], negatives: [web]}", "'web' is named in `positives`"),
        ("train_classifier: {positives: [boks], negatives: [web]}", "'boks'.*Did you mean 'books'"),
        (
            "{inputs: [web], train_classifier: {positives: [books], negatives: [web]}}",
            "the inputs of 'train_classifier' are books, web: no `inputs:`",
        ),
    ],
)
def test_steps_that_cannot_be_told_apart_are_named(step: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(parse_config(f"{HEAD}  - {step}\n{TAIL}", "x.yaml"))


def test_classify_needs_a_classifier_above_it_or_a_file(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"'classify' needs a step that makes a classifier above it\. Or give `file:`",
    ):
        make_plan(parse_config(HEAD + TAIL.replace("[web]", "[web, books]"), "x.yaml"))
    two = "".join(
        f"  - id: {name}\n    train_classifier: {{positives: [books], negatives: [web]}}\n"
        for name in ("a", "b")
    )
    with pytest.raises(ConfigError, match=r"several classifier steps \(a, b\)"):
        make_plan(parse_config(HEAD + two + TAIL, "x.yaml"))


def test_the_same_pages_may_be_negative_before_and_positive_behind_a_filter(
    tmp_path: Path, run_yaml: RunConfig
) -> None:
    write_corpus(tmp_path, 2)
    text = f"""
name: x
steps:
  - id: web
    read_jsonl: {{paths: ["{tmp_path}/web-*.jsonl"], id: id, url: url}}
  - id: top
    keep_top: {{by: offset, share: 0.25}}
  - train_classifier: {{positives: [top], negatives: [web], model: linear, bits: 10}}
  - inputs: [web]
    classify: {{}}
  - write_documents: {{}}
"""
    run_yaml(text)
    meta = json.loads(artefact(tmp_path / "work")["meta.json"])
    counts = {
        label: sum(meta[part][label].get("web", {}).get("documents", 0)
                   for part in ("trained_on", "held_out"))
        for label in ("positive", "negative")
    }  # fmt: skip
    assert counts == {"positive": 40, "negative": 120}


def test_no_page_of_a_positive_step_is_a_negative_even_beyond_the_sample(
    tmp_path: Path, run_yaml: RunConfig
) -> None:
    write_corpus(tmp_path, 2)
    # The first 20 of 160 pages are the sample of `web`; those of `top` reach further.
    text = f"""
name: x
steps:
  - id: web
    read_jsonl: {{paths: ["{tmp_path}/web-*.jsonl"], id: id, url: url}}
  - id: wanted
    read_jsonl: {{paths: ["{tmp_path}/wanted-*.jsonl"], id: id}}
  - id: top
    inputs: [web]
    keep_top: {{by: offset, share: 0.25}}
  - train_classifier: {{positives: [web], negatives: [top, wanted], model: linear, bits: 10,
      sample_documents: 20}}
  - inputs: [web]
    classify: {{}}
  - write_documents: {{}}
"""
    run_yaml(text)
    meta = json.loads(artefact(tmp_path / "work")["meta.json"])
    for part in ("trained_on", "held_out"):
        assert set(meta[part]["negative"]) == {"wanted"}
        assert set(meta[part]["positive"]) == {"web"}


def test_a_class_without_documents_is_an_error_that_names_its_steps(
    tmp_path: Path, run_yaml: RunConfig
) -> None:
    write_jsonl(tmp_path / "wanted-0.jsonl", [{"id": "a", "text": ""}])
    write_jsonl(tmp_path / "web-0.jsonl", [{"id": "b", "text": "some words", "url": "u"}])
    with pytest.raises(ConfigError, match=r"no positive document with a text .*steps: wanted"):
        run_yaml(CONFIG.format(folder=tmp_path, model="linear"))
