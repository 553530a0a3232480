"""verify and gc on a real run: damage is found, named and made again; nothing needed is deleted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_site import Cli, age_runs, cli, copied, finished, flip, run_again, shards, step_file

from pipeline.execution.lease import Lease
from pipeline.files.uris import open_storage
from pipeline.results.publish import published_sha256

__all__ = ["cli", "copied", "finished"]  # fixtures


# --- verify ------------------------------------------------------------------------------------


def test_a_whole_workdir_verifies_by_path_and_by_config(finished: Path, cli: Cli) -> None:
    for run in (finished / "work", finished / "config.yaml"):
        code, out, _ = cli("verify", run)
        assert (code, "all as written" in out) == (0, True)
    code, out, _ = cli("verify", finished / "work", "--all", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)


def test_a_dataset_that_was_copied_elsewhere_verifies_alone(
    finished: Path, tmp_path: Path, cli: Cli
) -> None:
    copy = tmp_path / "my data" / "web 32k"
    shutil.copytree(finished / "work" / "dataset", copy)
    code, out, _ = cli("verify", f"{copy}/")
    assert (code, "1 dataset version: all as written" in out) == (0, True)
    assert "0 manifests" in out
    code, _, err = cli("verify", copy, "--repair")
    assert (code, "without the run that made it" in err) == (2, True)
    shard = next(iter(sorted((copy / "shards").iterdir())))
    flip(shard)
    (meta,) = copy.glob("tokenizer-*/meta.json")
    meta.write_text(meta.read_text().replace('"vocab_size"', '"vocab_sizes"'))
    code, out, _ = cli("verify", copy, "--json")
    report = json.loads(out)
    assert code != 0
    assert {Path(one["path"]).name for one in report["problems"]} == {shard.name, "meta.json"}
    code, _, err = cli("verify", copy)
    assert "Copy these files again" in err


def damage_shard(folder: Path) -> Path:
    flip(shards(folder)[0])
    return shards(folder)[0]


def damage_step(folder: Path) -> Path:
    path = step_file(folder, "extract", "docs")
    flip(path)
    return path


def lose_step(folder: Path) -> Path:
    path = step_file(folder, "exact_dedup", "metrics")
    path.unlink()
    return path


def cut_manifest(folder: Path) -> Path:
    path = sorted((folder / "work" / "manifests").iterdir())[5]
    path.write_bytes(path.read_bytes()[:90])
    return path


def damage_document(folder: Path) -> Path:
    path = next(iter(sorted((folder / "work" / "documents").rglob("*.parquet"))))
    path.write_bytes(path.read_bytes()[:-20])
    return path


def damage_tokenizer(folder: Path) -> Path:
    path = next((folder / "work" / "dataset").glob("tokenizer-*/tokenizer.json"))
    flip(path)
    return path


def damage_meta(folder: Path) -> Path:
    path = next((folder / "work" / "dataset").glob("tokenizer-*/meta.json"))
    flip(path)
    return path


def damage_index(folder: Path) -> Path:
    path = next((folder / "work" / "dataset").glob("index-*.parquet"))
    flip(path, 40)
    return path


def cut_dataset(folder: Path) -> Path:
    path = folder / "work" / "dataset" / "dataset.json"
    path.write_bytes(path.read_bytes()[:200])
    return path


def cut_version(folder: Path) -> Path:
    path = folder / "work" / "dataset" / "versions" / "1.json"
    path.write_bytes(b"{}")
    return path


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (damage_shard, "damaged"),
        (damage_step, "damaged"),
        (lose_step, "missing"),
        (cut_manifest, "corrupt"),
        (damage_document, "damaged"),
        (damage_tokenizer, "damaged"),
        (damage_meta, "damaged"),
        (damage_index, "damaged"),
        (cut_dataset, "corrupt"),
        (cut_version, "corrupt"),
    ],
)
def test_damage_is_found_named_repaired_and_made_again(
    damage: Callable[[Path], Path], kind: str, copied: Path, cli: Cli
) -> None:
    storage = open_storage(str(copied / "work"))
    published = published_sha256(storage)
    path = damage(copied).relative_to(copied / "work")
    code, out, err = cli("verify", copied / "work")
    assert code == 5
    assert f"{kind}  {path}" in out
    assert "1 problem in" in err
    assert "--repair" in err
    code, out, _ = cli("verify", copied / "work", "--repair")
    assert (code, "repaired" in out) == (0, True)
    summary = run_again(copied, cli)
    assert summary["works_executed"] <= 2
    assert published_sha256(storage) == published
    assert cli("verify", copied / "work", "--all")[0] == 0
    assert [p.name for p in (copied / "work/dataset/versions").iterdir()] == ["1.json"]


def test_verify_reads_what_a_run_without_a_record_left(copied: Path, cli: Cli) -> None:
    shutil.rmtree(copied / "work" / "runs")
    path = damage_step(copied)
    code, out, _ = cli("verify", copied / "work")
    assert (code, path.name in out) == (5, True)


def test_earlier_runs_are_hashed_with_all_only(copied: Path, cli: Cli) -> None:
    old = step_file(copied, "gopher_quality", "metrics")
    age_runs(copied)
    run_again(copied, cli, "--set", "steps.gopher_quality.min_words=10")
    flip(old, 20)
    assert cli("verify", copied / "work")[0] == 0
    assert cli("verify", copied / "work", "--all")[0] == 5


def test_there_is_nothing_to_verify_or_collect_in_an_empty_folder(tmp_path: Path, cli: Cli) -> None:
    for command in ("verify", "gc", "inspect", "explain"):
        more = ["https://example.org/"] if command == "explain" else []
        code, _, err = cli(command, tmp_path / "nothing", *more)
        assert (code, "nothing" in err) == (3, True), command
    assert not (tmp_path / "nothing").exists()


# --- gc ----------------------------------------------------------------------------------------


def files_of(folder: Path) -> set[str]:
    work = folder / "work"
    return {str(path.relative_to(work)) for path in work.rglob("*") if path.is_file()}


def test_gc_deletes_nothing_that_a_kept_run_needs(copied: Path, cli: Cli) -> None:
    before = files_of(copied)
    code, _, _ = cli("gc", copied / "work", "--keep-runs", "1", "--min-age-hours", "0")
    assert code == 0
    assert files_of(copied) == before
    assert run_again(copied, cli)["works_executed"] == 0


def test_gc_deletes_the_work_of_forgotten_runs_and_keeps_every_version(
    copied: Path, cli: Cli
) -> None:
    work = copied / "work"
    age_runs(copied)
    before = files_of(copied)
    change = ("--set", "steps.gopher_quality.min_words=10")
    run_again(copied, cli, *change)
    both = files_of(copied)
    code, out, _ = cli("gc", work, "--keep-runs", "1")
    assert (code, "spared" in out) == (0, True)
    assert files_of(copied) == both
    arguments = ("gc", copied / "config.yaml", "--keep-runs", "1", "--min-age-hours", "0")
    _, out, _ = cli(*arguments, "--dry-run", "--json")
    planned = set(json.loads(out)["paths"])
    assert files_of(copied) == both
    (work / ".scratch" / "tmpdead").mkdir(parents=True)
    (work / ".scratch" / "tmpdead" / "half").write_bytes(b"x")
    assert cli(*arguments)[0] == 0
    after = files_of(copied)
    assert after == both - planned
    assert planned
    assert all(path.startswith(("steps/", "manifests/")) for path in planned)
    assert planned <= before
    assert not (work / ".scratch" / "tmpdead").exists()
    assert cli("verify", work, "--all")[0] == 0
    assert run_again(copied, cli, *change)["works_executed"] == 0
    assert sorted(p.name for p in (work / "dataset/versions").iterdir()) == ["1.json", "2.json"]


def test_gc_keeps_as_many_runs_as_asked(copied: Path, cli: Cli) -> None:
    run_again(copied, cli, "--set", "steps.gopher_quality.min_words=10")
    before = files_of(copied)
    cli("gc", copied / "work", "--keep-runs", "2", "--min-age-hours", "0")
    assert files_of(copied) == before


def test_gc_refuses_while_a_run_holds_the_lease(copied: Path, cli: Cli) -> None:
    with Lease(open_storage(str(copied / "work"))):
        code, _, err = cli("gc", copied / "work", "--min-age-hours", "0")
        assert (code, "another driver" in err) == (3, True)
        assert cli("verify", copied / "work", "--repair")[0] == 3
        assert cli("verify", copied / "work")[0] == 0


def test_gc_refuses_when_it_cannot_read_what_a_run_needs(copied: Path, cli: Cli) -> None:
    cut_manifest(copied)
    before = files_of(copied)
    code, _, err = cli("gc", copied / "work", "--min-age-hours", "0")
    assert (code, "--repair" in err) == (5, True)
    assert files_of(copied) == before
