"""Mixtures through whole runs: copies by cluster, stages up to the loader, appended dumps."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, RunConfig, write_jsonl

from loader import Loader, open_dataset
from pipeline.commands.run import print_summary
from pipeline.errors import ConfigError
from pipeline.execution.runner import Options, RunResult, run
from pipeline.planning.config import load_config
from pipeline.planning.plan import make_plan

TOKENS = """
  - train_tokenizer: {vocab_size: 300}
  - tokenize: {}
  - write_shards: {tokens_per_shard: 4000}
"""


def pages(source: str, number: int, words: int = 60) -> list[dict[str, Any]]:
    """Documents of different words and lengths."""
    random = np.random.default_rng(len(source))
    return [
        {
            "id": f"{source}-{at}",
            "url": f"https://{source}.example/{at}",
            "text": " ".join(letters(word) for word in random.integers(0, 900, words + at % 17)),
        }
        for at in range(number)
    ]


def letters(word: int) -> str:
    """A word without digits, which MinHash does not tell apart."""
    return "".join(chr(ord("a") + word // 10**place % 10) for place in range(3))


def shard_rows(workdir: Path, dataset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every row of every listed shard, with its split, group and stage from the file's footer."""
    rows = []
    for entry in dataset["shards"]:
        file = pq.ParquetFile(workdir / "dataset" / entry["file"])
        footer = json.loads(file.metadata.metadata[b"tokenmill"])
        facts = {name: footer.get(name) for name in ("split", "group", "stage")}
        rows += [{**row, **facts} for row in file.read().to_pylist()]
    return rows


def test_documents_come_back_as_often_as_the_size_of_their_cluster_says(
    run_yaml: RunConfig, tmp_path: Path
) -> None:
    rows = pages("web", 40)
    copies = [{**rows[at], "id": f"again-{at}-{n}"} for at in range(6) for n in range(at)]
    path = write_jsonl(tmp_path / "web.jsonl", [*rows, *copies])
    result = run_yaml(
        f"""
steps:
  - id: web
    read_jsonl: {{paths: ["{path}"], id: id}}
  - minhash_dedup: {{}}
  - mix:
      upsample: {{column: minhash_dedup.cluster_size, copies: {{1: 1, 2: 2, 3: 3, 5: 5}}}}
      validation_permille: 0
{TOKENS}"""
    )
    found = Counter(row["doc_id"] for row in shard_rows(tmp_path / "work", result.dataset))
    # Clusters of 1 (35 pages), 2, 3, 4 (as 3), 5 and 6 (as 5) pages, one of each kept.
    assert sorted(found.values()) == [1] * 35 + [2, 3, 3, 5, 5]
    (totals,) = result.dataset["totals"]
    assert (totals["documents"], totals["epoch_documents"], totals["left_out"]) == (40, 53, 0)
    assert totals["written_documents"] == 53


STAGES = """
steps:
  - id: web
    read_jsonl: {{paths: ["{folder}/web.jsonl"], id: id, url: url}}
  - id: books
    read_jsonl: {{paths: ["{folder}/books.jsonl"], id: id, url: url}}
  - mix:
      tokens: 40K
      validation_permille: 50
      stages:
        - {{name: main, tokens: 80%, weights: {{web: 0.9, books: 0.1}}}}
        - {{name: anneal, tokens: 20%, weights: {{web: 0.25, books: 0.75}}}}
  - inputs: [web, books]
    train_tokenizer: {{vocab_size: 300}}
  - inputs: [web, books]
    tokenize: {{}}
  - write_shards: {{tokens_per_shard: 4000}}
"""


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("staged")
    for source, number in (("web", 120), ("books", 30)):
        write_jsonl(folder / f"{source}.jsonl", pages(source, number))
    (folder / "config.yaml").write_text(STAGES.format(folder=folder))
    config = load_config(folder / "config.yaml", [f"workdir={folder / 'work'}"])
    return folder / "work", run(make_plan(config), Options())


def test_each_stage_reaches_its_tokens_within_one_document_a_group(
    staged: tuple[Path, RunResult],
) -> None:
    workdir, result = staged
    rows = shard_rows(workdir, result.dataset)
    wanted = {("main", "web"): 28_800, ("main", "books"): 3_200}
    wanted |= {("anneal", "web"): 2_000, ("anneal", "books"): 6_000}
    longest = max(row["num_tokens"] for row in rows)
    for (stage, group), tokens in wanted.items():
        of = [r for r in rows if (r["stage"], r["group"]) == (stage, group)]
        assert abs(sum(row["num_tokens"] for row in of) - tokens) < longest
    totals = {(t.get("stage"), t["group"]): t for t in result.dataset["totals"]}
    for key, tokens in wanted.items():
        assert totals[key]["wanted_tokens"] == totals[key]["target_tokens"] == tokens
    for split in ("train", "validation"):
        for group in ("web", "books"):
            of = [t for t in result.dataset["totals"] if (t["split"], t["group"]) == (split, group)]
            copies, documents = sum(t["copies"] for t in of), of[0]["documents"]
            assert copies * documents == sum(
                t["written_documents"] + t["cut_documents"] for t in of
            )


def test_a_document_of_the_first_stage_comes_in_the_second_only_as_its_next_copy(
    staged: tuple[Path, RunResult],
) -> None:
    workdir, result = staged
    seen: dict[bytes, int] = {}
    rows = shard_rows(workdir, result.dataset)
    train = [row for row in rows if row["split"] == "train"]
    order = {"main": 0, "anneal": 1}
    for row in sorted(train, key=lambda row: (order[row["stage"]], row["copy"])):
        assert row["copy"] == seen.get(row["doc_id"], -1) + 1
        seen[row["doc_id"]] = row["copy"]
    books = [row for row in train if row["group"] == "books"]
    first = {row["doc_id"] for row in books if row["stage"] == "main"}
    again = Counter(row["copy"] for row in books if row["stage"] == "anneal")
    assert 0 < len(first) < 30
    assert again[0] == len({row["doc_id"] for row in books}) - len(first)  # the unseen come first
    assert again[1] > 0
    validation = Counter(row["doc_id"] for row in rows if row["split"] == "validation")
    assert validation
    assert set(validation.values()) == {1}
    assert not validation.keys() & seen.keys()


def test_the_loader_reads_stage_after_stage_and_resumes_in_the_second(
    staged: tuple[Path, RunResult],
) -> None:
    workdir, result = staged
    dataset = open_dataset(str(workdir / "dataset"))
    assert dataset.stages == ("main", "anneal")
    whole = Loader(dataset, seq_len=64, batch_size=8, seed=3, epochs=2)
    batches = list(whole)
    rows = shard_rows(workdir, result.dataset)
    stored = {
        stage: sorted(token for r in rows if r["stage"] == stage for token in r["tokens"])
        for stage in ("main", "anneal")
    }
    samples = [
        (whole._streams[group].stage, row[mask])
        for batch in batches
        for group, row, mask in zip(
            batch.groups_B, batch.tokens_BT, _inputs(whole, batch), strict=True
        )
        if group >= 0
    ]
    stages = [stage for stage, _ in samples]
    half = len(stages) // 2
    assert stages == stages[:half] * 2  # two epochs
    assert stages[:half] == sorted(stages[:half])  # the whole first stage, then the second
    for number, stage in enumerate(("main", "anneal")):
        read = [token for at, row in samples[:half] if at == number for token in row.tolist()]
        assert sorted(read) == stored[stage]
        (alone,) = {s.stage for s in Loader(dataset, 64, 8, stage=stage)._streams}
        assert alone == number
    at = next(n for n, batch in enumerate(batches) if stages[n * 8] == 1)
    first = Loader(dataset, seq_len=64, batch_size=8, seed=3, epochs=2)
    for _ in range(at + 1):
        next(first)
    second = Loader(dataset, seq_len=64, batch_size=8, seed=3, epochs=2)
    second.load_state_dict(first.state_dict())
    for expected, found in zip(batches[at + 1 :], second, strict=True):
        np.testing.assert_array_equal(expected.tokens_BT, found.tokens_BT)
    with pytest.raises(ConfigError, match="no stage 'end'"):
        Loader(dataset, 64, 8, stage="end")
    with pytest.raises(ConfigError, match="its order is a mixture already"):
        Loader(dataset, 64, 8, weights={"web": 1, "books": 1})
    assert len(Loader(dataset, 64, 8, split="validation")._streams) == 2


def _inputs(loader: Loader, batch: Any) -> list[Any]:
    """Of each row: which places hold tokens, not padding."""
    masks = []
    for group, sample in zip(batch.groups_B, batch.samples_B, strict=True):
        mask = np.zeros(loader.seq_len, bool)
        if group >= 0:
            window = int(loader.order.locate(np.array([sample])).windows[0])
            mask[: loader._streams[group].tokens - window * loader.seq_len] = True
        masks.append(mask)
    return masks


def test_the_summary_of_a_run_says_what_each_group_missed(
    staged: tuple[Path, RunResult], capsys: pytest.CaptureFixture[str]
) -> None:
    print_summary(staged[1], "work")
    out = capsys.readouterr().out
    assert "train.anneal/books" in out
    assert " of 28,800 wanted" in out


def test_a_group_held_at_max_epochs_is_a_warning_with_figures(
    run_yaml: RunConfig, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "web.jsonl", pages("web", 20))
    mix = "budgets: {web: 1M}, over_max_epochs: cap, max_epochs: 2, validation_permille: 0"
    source = f'- id: web\n    read_jsonl: {{paths: ["{tmp_path}/web.jsonl"], id: id}}'
    result = run_yaml(f"steps:\n  {source}\n  - mix: {{{mix}}}{TOKENS}")
    (warning,) = [line for line in result.warnings if "max_epochs" in line]
    (totals,) = result.dataset["totals"]
    assert totals["epochs"] == 2
    assert totals["shortfall_tokens"] == 1_000_000 - 2 * totals["tokens"]
    assert f"{totals['shortfall_tokens']:,} tokens" in warning


# --- A new dump --------------------------------------------------------------------------------

DUMP = """
seed: {seed}
steps:
  - id: web
    read_jsonl: {{paths: ["{path}"], id: id, url: url}}
  - mix: {{validation_permille: {permille}}}
  - {tokenizer}
  - tokenize: {{}}
  - write_shards: {{tokens_per_shard: 4000, append: {append}}}
"""
TRAIN = "train_tokenizer: {vocab_size: 300}"


def test_a_new_dump_is_appended_without_rewriting_a_shard(
    run_yaml: RunConfig, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    both = pages("web", 160)
    one = write_jsonl(tmp_path / "one.jsonl", both[:100])
    two = write_jsonl(tmp_path / "two.jsonl", both[100:])

    def dump(path: Path, append: str = "true", tokenizer: str = "", **knobs: int) -> RunResult:
        values = {"seed": 0, "permille": 30, **knobs}
        text = DUMP.format(path=path, append=append, tokenizer=tokenizer or use, **values)
        return run_yaml(text, work)

    use = TRAIN
    first = dump(one)  # nothing to append to yet
    folder = work / "dataset" / first.dataset["tokenizer"]["folder"]
    use = f"use_tokenizer: {{file: {folder}/tokenizer.json}}"
    before = {path: path.stat().st_mtime_ns for path in (work / "dataset/shards").iterdir()}
    second = dump(two)
    assert (first.version, second.version) == (1, 2)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    files = [entry["file"] for entry in second.dataset["shards"]]
    assert {e["file"] for e in first.dataset["shards"]} < set(files)
    rows = shard_rows(work, second.dataset)
    assert sorted(row["offset"] for row in rows) == sorted([*range(100), *range(60)])
    totals = {row["split"]: row for row in second.dataset["totals"]}
    assert sum(row["written_documents"] for row in totals.values()) == 160
    assert len(second.dataset["parts"]) == 2
    assert dump(two).version == 2  # nothing new
    loader = Loader(open_dataset(str(work / "dataset")), 64, 8)
    read = sum(stream.tokens for stream in loader._streams)
    assert read == totals["train"]["written_tokens"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "verify", str(work)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

    three = write_jsonl(tmp_path / "three.jsonl", pages("new", 20))
    with pytest.raises(ConfigError, match=r"tokenizer sha256 is .* the version in force has"):
        dump(three, tokenizer=TRAIN)
    with pytest.raises(ConfigError, match=r"mix validation_permille is 31, .* has 30"):
        dump(three, permille=31)
    with pytest.raises(ConfigError, match=r"shuffle_seed is 5, .* has 0"):
        dump(three, seed=5)
    assert dump(three, append="false").version == 3
    assert len(dump(three).dataset["shards"]) < len(files)  # the version in force is the third


# --- Real text ---------------------------------------------------------------------------------

REAL = """
steps:
  - id: speeches
    read_jsonl: {{paths: ["{data}/text/nltk_state_union.jsonl.gz"], id: id}}
  - id: help
    read_jsonl: {{paths: ["{folder}/help.jsonl.gz"], id: id}}
  - inputs: [speeches, help]
    language: {{}}
  - mix: {mix}
  - train_tokenizer: {{vocab_size: 1000, sample_bytes: 400_000}}
  - tokenize: {{}}
  - write_shards: {{tokens_per_shard: 200K}}
"""
REAL_MIXES = {
    "weights": "{weights: {speeches: 0.7, help: 0.3}, tokens: 500K}",
    "alpha": "{by: [source, lang], alpha: 0.3, tokens: 300K, over_max_epochs: cap, max_epochs: 3}",
    "stages": """{stages: [{name: a, tokens: 300K, budgets: {speeches: 100K, help: 200K}},
        {name: b, tokens: 200K, weights: {speeches: 1, help: 1}}]}""",
}


def real_config(folder: Path, shared_data: Path, mix: str) -> Path:
    """A configuration over the speeches and every twelfth page of the help in 29 languages."""
    with gzip.open(shared_data / "text" / "libreoffice_help_multilingual.jsonl.gz") as lines:
        (folder / "help.jsonl.gz").write_bytes(gzip.compress(b"".join(list(lines)[::12])))
    path = folder / "config.yaml"
    path.write_text(REAL.format(data=shared_data, folder=folder, mix=REAL_MIXES[mix]))
    return path


@pytest.mark.parametrize(
    "mix", ["weights", "alpha", pytest.param("stages", marks=pytest.mark.slow)]
)
def test_real_text_is_mixed_to_a_thousandth_or_one_document(
    mix: str, shared_data: Path, tmp_path: Path
) -> None:
    path = real_config(tmp_path, shared_data, mix)
    result = run(make_plan(load_config(path, [f"workdir={tmp_path / 'work'}"])), Options())
    by = result.dataset["mixture"]["by"]
    longest: Counter[str] = Counter()
    for key in result.keys["tokenize"].values():
        manifest = json.loads((tmp_path / "work" / "manifests" / f"{key}.json").read_text())
        for file in manifest["outputs"]["docs"]["files"]:
            for row in pq.read_table(tmp_path / "work" / file["path"]).to_pylist():
                group = "/".join(row[name] or "none" for name in by)
                longest[group] = max(longest[group], row["num_tokens"])
    train = [row for row in result.dataset["totals"] if row["split"] == "train"]
    assert len(train) > 1
    for row in train:
        slack = max(row["target_tokens"] / 1000, longest[row["group"]])
        assert abs(row["target_tokens"] - row["written_tokens"]) <= slack, row
    if mix == "alpha":
        assert {"help/ja", "help/pl", "speeches/en"} <= {row["group"] for row in train}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_writes_the_same_mixture(
    workers: int, shared_data: Path, tmp_path: Path
) -> None:
    path = real_config(tmp_path, shared_data, "stages")
    clean = run(make_plan(load_config(path, [f"workdir={tmp_path / 'clean'}"])), Options())
    command = [sys.executable, "-m", "pipeline", "run", str(path), "--workers", str(workers)]
    subprocess.run(
        [*command, "--set", f"workdir={tmp_path / 'many'}", "--quiet"], cwd=ROOT, check=True
    )
    many = json.loads((tmp_path / "many/dataset/dataset.json").read_text())
    assert many == json.loads(json.dumps(clean.dataset))
