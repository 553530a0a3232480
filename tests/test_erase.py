"""A page erased from a finished run: gone everywhere, and nothing else has changed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from erase_run import (
    names,
    rows_of,
    run_it,
    sentences,
    text_of,
    url_of,
    version_of,
    write_inputs,
)
from workdir_scan import holding

from pipeline.audit.verify import verify
from pipeline.cli import main
from pipeline.erasure.erase import Erased, erase
from pipeline.erasure.pages import MIN_BYTES, Windows, windows
from pipeline.erasure.url_form import url_entry
from pipeline.errors import InputError, IntegrityError
from pipeline.execution.lease import Lease
from pipeline.files.local_storage import LocalStorage, file_sha256
from pipeline.files.uris import open_storage

GONE = ("a3k", "b17k")
PARTS = [part for name in GONE for part in (*sentences(name), url_of(name), f"page/{name}")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run (`work`) and its inputs (`in`); not to be changed."""
    folder = tmp_path_factory.mktemp("erase")
    write_inputs(folder / "in")
    run_it(folder / "in", folder / "work")
    return folder


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished / "work", tmp_path / "work")
    return tmp_path / "work"


def erased(work: Path, *urls: str, **more: Any) -> Erased:
    entries = [url_entry(url) for url in urls]
    return erase(open_storage(str(work)), entries, **more)


def published(work: Path) -> set[str]:
    files = [*(work / "dataset" / "shards").iterdir(), *(work / "documents").rglob("*.*")]
    return {str(path.relative_to(work)) for path in files}


def whole(work: Path) -> None:
    """Every file is what its manifest and version say."""
    report = verify(open_storage(str(work)), True)
    assert not report.problems
    assert report.versions == 1


@pytest.fixture(scope="module")
def outcome(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Erased]:
    """The run with both pages erased, and the report; not to be changed."""
    work = tmp_path_factory.mktemp("outcome") / "work"
    shutil.copytree(finished / "work", work)
    return work, erased(work, *(url_of(name).replace("https://www.", "http://") for name in GONE))


def test_before_it_the_page_is_everywhere(finished: Path) -> None:
    kinds = {path.split("/")[0] for path in holding(finished / "work", PARTS)}
    assert {"steps", "documents", "dataset"} <= kinds


def test_nothing_of_an_erased_page_is_left_under_the_workdir(
    finished: Path, outcome: tuple[Path, Erased]
) -> None:
    work, report = outcome
    assert report.pages == 2
    assert not holding(work, PARTS)
    tokens = [
        row["tokens"][:20]
        for rows in rows_of(finished / "work").values()
        for row in rows
        if row["url"] in map(url_of, GONE)
    ]
    assert len(tokens) > 2
    assert not holding(work, tokens)
    assert report.proof.found == []
    assert report.proof.parts > 50
    assert report.trained == {"train_tokenizer": "tokenizer"}
    whole(work)


def test_only_the_files_that_held_it_are_rewritten(
    finished: Path, outcome: tuple[Path, Erased]
) -> None:
    work, report = outcome
    before, after = published(finished / "work"), published(work)
    held = {
        path
        for path in holding(finished / "work", [url_of(name) for name in GONE])
        if not path.startswith(("steps/", "manifests/"))
    }
    assert before - after == held
    new = {path for path in report.files_rewritten.values() if path and path in after}
    assert after - before == new
    assert {path.split("/")[0] for path in before & after} == {"dataset", "documents"}
    for path in before & after:
        assert (work / path).read_bytes() == (finished / "work" / path).read_bytes()


def test_the_other_documents_are_as_they_were_and_the_totals_say_what_is_missing(
    finished: Path, outcome: tuple[Path, Erased]
) -> None:
    work, _ = outcome
    for kind in ("shards", "documents"):
        old = [row for rows in rows_of(finished / "work", kind).values() for row in rows]
        new = [row for rows in rows_of(work, kind).values() for row in rows]
        assert new == [row for row in old if row["url"] not in map(url_of, GONE)]
        assert len(new) < len(old)
    body, was = version_of(work), version_of(finished / "work")
    assert body["version"] == was["version"] + 1
    assert body["tokenizer"] == was["tokenizer"]
    assert body["recipe_fingerprint"] == was["recipe_fingerprint"]
    missing = 0
    for row, old_row in zip(body["totals"], was["totals"], strict=True):
        for unit in ("documents", "tokens"):
            written, lost = row[f"written_{unit}"], row.get(f"erased_{unit}", 0)
            assert written + lost == old_row[f"written_{unit}"]
            assert row[unit] * row["copies"] == written + lost + row[f"cut_{unit}"]
        missing += row.get("erased_documents", 0)
    copies = [row for rows in rows_of(finished / "work").values() for row in rows]
    assert missing == sum(row["url"] in map(url_of, GONE) for row in copies)
    assert [path.name for path in (work / "dataset" / "versions").iterdir()] == ["2.json"]


def test_a_later_run_does_nothing_and_publishes_nothing(
    finished: Path, outcome: tuple[Path, Erased], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(outcome[0], work)
    result = run_it(finished / "in", work)
    assert (result.executed, result.version) == (0, 2)
    rows = {row.step: row for row in result.funnel.rows}
    assert rows["a"].dropped == {"a.excluded": 1}
    assert rows["b"].dropped == {"b.excluded": 1}
    assert rows["exact_dedup"].dropped == {"exact_dedup.duplicate": 4}
    assert version_of(work) == version_of(outcome[0])
    assert not holding(work, PARTS)


def test_a_later_run_with_another_knob_keeps_it_out_and_extracts_nothing_again(
    finished: Path, outcome: tuple[Path, Erased], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(outcome[0], work)
    result = run_it(finished / "in", work, "steps.write_shards.tokens_per_shard=2000")
    assert 0 < result.executed < 60
    assert not result.executed_keys & set(result.keys["line_dedup"].values())
    assert result.version == 3
    assert not holding(work, PARTS)
    assert not verify(open_storage(str(work)), True).problems


def test_a_copy_that_lost_to_an_erased_page_stays_dropped_and_is_named(
    finished: Path, work: Path
) -> None:
    documents = [row for rows in rows_of(work, "documents").values() for row in rows]
    (kept,) = (row for row in documents if row["url"] in (url_of("a30k"), url_of("a31k")))
    report = erased(work, kept["url"])
    copy = {"a30k": "a31k", "a31k": "a30k"}[kept["url"].split("/")[-1].split("?")[0]]
    files = [path for paths in report.proof.shared.values() for path in paths]
    assert files
    assert all(path.startswith("steps/") for path in files)
    result = run_it(finished / "in", work)
    assert result.executed == 0
    rows = {row.step: row.dropped for row in result.funnel.rows}
    assert rows["exact_dedup"] == {"exact_dedup.duplicate": 4}
    text = [row for rows in rows_of(work, "documents").values() for row in rows]
    assert not [row for row in text if "a30kq" in row["text"]]
    assert holding(work, [url_of(copy)])
    assert not holding(work, [kept["url"]])


@pytest.mark.slow
def test_new_files_do_not_bring_it_back(
    finished: Path, outcome: tuple[Path, Erased], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(outcome[0], work)
    shutil.copytree(finished / "in", tmp_path / "in")
    shutil.copyfile(tmp_path / "in/a/part-0.jsonl", tmp_path / "in/a/part-8.jsonl")
    folder = f'steps.a.paths=["{tmp_path}/in/a/*.jsonl"]'
    result = run_it(finished / "in", work, folder)
    assert {row.step: row.dropped for row in result.funnel.rows}["a"] == {"a.excluded": 2}
    assert not holding(work, PARTS)


@pytest.mark.slow
def test_pages_erased_one_after_the_other_are_gone_as_if_at_once(
    work: Path, outcome: tuple[Path, Erased], finished: Path
) -> None:
    for number, name in enumerate(GONE, start=1):
        assert erased(work, url_of(name)).number == number
    assert not holding(work, PARTS)
    assert version_of(work)["version"] == 3
    same = {"shards", "documents", "totals", "index", "fingerprint"}
    body, expected = version_of(work), version_of(outcome[0])
    assert {name: body[name] for name in same} == {name: expected[name] for name in same}
    assert run_it(finished / "in", work).executed == 0


def test_a_page_that_was_dropped_leaves_no_trace_and_the_version_stays(work: Path) -> None:
    before = version_of(work)
    report = erased(work, url_of("a5k"))
    assert (report.pages, report.versions) == (1, {})
    assert version_of(work) == before
    assert not holding(work, [url_of("a5k"), "page/a5k"])
    whole(work)


def test_a_page_that_nobody_knows_changes_nothing_now_and_stays_out_later(work: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*.parquet")}
    report = erased(work, "https://c.example/unknown")
    assert (report.pages, report.files_rewritten, report.versions) == (0, {}, {})
    assert before == {path: path.stat().st_mtime_ns for path in work.rglob("*.parquet")}
    assert json.loads((work / "exclusions/erased-1.json").read_text())["entries"] == [
        url_entry("https://c.example/unknown")
    ]


@pytest.mark.slow
def test_older_versions_that_name_it_are_gone_and_others_stay(finished: Path, work: Path) -> None:
    run_it(finished / "in", work, "steps.write_shards.tokens_per_shard=2500")
    assert version_of(work)["version"] == 2
    report = erased(work, url_of(GONE[0]))
    assert report.versions_deleted == ["dataset/versions/1.json", "dataset/versions/2.json"]
    assert not holding(work, sentences(GONE[0]))
    whole(work)
    # Both configurations were carried over.
    assert run_it(finished / "in", work, "steps.write_shards.tokens_per_shard=2500").executed == 0
    assert run_it(finished / "in", work).executed == 0


@pytest.mark.slow
def test_leftovers_of_killed_works_are_purged_whatever_their_age(work: Path) -> None:
    (work / ".scratch" / "tmpabc").mkdir(parents=True)
    (work / ".scratch" / "tmpabc" / "docs").write_text(sentences(GONE[0])[0])
    half = work / "documents" / "write_documents" / f".x.parquet.{'0' * 12}.tmp"
    half.write_text(sentences(GONE[0])[1])
    erased(work, *map(url_of, GONE))
    assert not holding(work, PARTS)
    assert not half.exists()


def test_a_stray_file_that_holds_it_fails_the_proof_until_it_is_gone(work: Path) -> None:
    stray = work / "notes.txt"
    stray.write_text("Look: " + text_of(GONE[0]))
    with pytest.raises(IntegrityError, match=r"notes\.txt: a part of its text"):
        erased(work, url_of(GONE[0]))
    assert not (work / "exclusions" / "erased-1.report.json").exists()
    stray.unlink()
    report = erased(work)
    assert report.proof.found == []
    assert report.proof.parts > 20
    assert not holding(work, [*sentences(GONE[0]), url_of(GONE[0])])


@pytest.mark.slow
def test_what_a_tokenizer_learned_is_kept_and_said_or_learned_anew(
    finished: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = work.parent / "urls.txt"
    urls.write_text(url_of(GONE[0]))
    old = version_of(work)["tokenizer"]["sha256"]
    assert main(["erase", str(work), "--urls", str(urls)]) == 0
    said = capsys.readouterr().out
    assert "the tokenizer of 'train_tokenizer' had them among its documents and is kept" in said
    assert "out of reach: the inputs themselves, exports" in said
    assert version_of(work)["tokenizer"]["sha256"] == old
    urls.write_text(url_of(GONE[1]))
    assert main(["erase", str(work), "--urls", str(urls), "--retrain", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["retrained"]
    assert version_of(work)["tokenizer"]["sha256"] != old
    assert not holding(work, PARTS)
    tokenizers = [file_sha256(path) for path in work.rglob("tokenizer.json")]
    assert len(tokenizers) == 2  # the step's and the dataset's
    assert old not in tokenizers
    assert run_it(finished / "in", work).executed == 0
    whole(work)


def test_it_holds_the_lease_and_wants_something_to_do(work: Path) -> None:
    storage = open_storage(str(work))
    with Lease(storage), pytest.raises(InputError, match="another driver works on"):
        erased(work, url_of(GONE[0]))
    with pytest.raises(InputError, match="nothing to erase"):
        erased(work)
    with pytest.raises(InputError, match="no finished run"):
        erase(open_storage(str(work / "nowhere")), ["u:0"])


# --- Killed --------------------------------------------------------------------------------------


class Killed(BaseException):
    """What no one catches."""


@contextlib.contextmanager
def killed_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Storage dies with its n-th change, for good, as a process that is killed."""
    left = [calls]

    def mortal(name: str) -> Any:
        real = getattr(LocalStorage, name)

        def call(self: LocalStorage, *args: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(self, *args, **more)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "put", mortal("put"))
        patch.setattr(LocalStorage, "delete", mortal("delete"))
        yield left


CHANGES = 165
"""What one erase puts and deletes, about: the last points may come after its end."""


def points(seed: int, count: int) -> list[float]:
    draw = random.Random(seed)
    return [draw.random() for _ in range(count)]


@pytest.mark.parametrize(
    "share",
    [*points(1, 2), *(pytest.param(s, marks=pytest.mark.slow) for s in (0.0, 1.0, *points(2, 8)))],
)
def test_killed_anywhere_and_begun_again_it_ends_as_if_it_had_not_been(
    share: float,
    work: Path,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with contextlib.suppress(Killed), killed_after(1 + int(share * CHANGES), monkeypatch):
        erased(work, *map(url_of, GONE))
    requests = [path.name for path in (work / "exclusions").glob("erased-*")]
    (work / "lease.json").unlink(missing_ok=True)
    if requests and random.Random(share).random() < 0.5:  # a run in between
        result = run_it(finished / "in", work)
        warned = any("erase 1 of" in warning for warning in result.warnings)
        assert warned == ("erased-1.report.json" not in requests)
        assert {row.step: row.dropped for row in result.funnel.rows}["a"] == {"a.excluded": 1}
    if "erased-1.report.json" not in requests:
        erased(work, *([] if requests else map(url_of, GONE)))
    assert not holding(work, PARTS)
    assert not list((work / "exclusions").glob("pending*"))
    whole(work)
    assert run_it(finished / "in", work).executed == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_kill_9_at_a_random_moment_is_mended_by_the_next_erase(
    seed: int, work: Path, finished: Path
) -> None:
    urls = work.parent / "urls.txt"
    urls.write_text("\n".join(map(url_of, GONE)))
    command = [sys.executable, "-m", "pipeline", "erase", str(work), "--json", "--urls", str(urls)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and not (work / "exclusions" / "erased-1.json").exists():
        time.sleep(0.01)
    time.sleep(random.Random(seed).random() * 1.5)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert not holding(work, PARTS)
    whole(work)
    assert run_it(finished / "in", work).executed == 0


# --- Parts ---------------------------------------------------------------------------------------


def test_windows_are_found_wherever_they_stand() -> None:
    texts = [f"{name} " + " ".join(sentences(name)) for name in names("a")[:20]]
    parts = set().union(*(windows(text.encode(), 48) for text in texts))
    found = Windows(parts)
    assert len(found) == len(parts) > 150
    data = b"..".join(sorted(parts)) + b"tail"
    assert {part for _, part in found.find(data)} == parts
    assert all(data[at : at + len(part)] == part for at, part in found.find(data))
    assert found.find(b"") == found.find(b"none of it " * 50) == []
    assert windows(b"-" * 500, 48) == set()
    assert windows(b"x" * (MIN_BYTES - 1), 48) == set()
