"""The commit protocol: one manifest a work, whoever was first; nothing counts without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest import ROOT, RunConfig, write_jsonl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError, IntegrityError
from pipeline.execution.runner import run
from pipeline.execution.work import Env, Made, MadeFile, Work
from pipeline.execution.worker import execute, run_call
from pipeline.files.local_storage import LocalStorage, file_sha256
from pipeline.files.storage import Storage
from pipeline.files.uris import open_storage
from pipeline.planning.config import parse_config
from pipeline.planning.plan import make_plan
from pipeline.results.manifest import (
    Dataset,
    FileRef,
    Manifest,
    commit_manifest,
    load_manifest,
    manifest_path,
    parse_manifest,
)
from pipeline.results.publish import published_sha256


@dataclass(frozen=True)
class Writes:
    """A call that writes the given bytes, one file an output."""

    contents: dict[str, bytes]
    publish_as: str = ""

    def run(self, env: Env) -> Made:
        outputs = {}
        for name, data in self.contents.items():
            path = env.scratch / name
            path.write_bytes(data)
            outputs[name] = [MadeFile(path, len(data), publish_as=self.publish_as)]
        return Made(outputs, {"documents_in": 3})


@dataclass(frozen=True)
class RunsAnotherFirst:
    """A zombie: while it works, another attempt at the same work starts and commits."""

    first: Work
    contents: dict[str, bytes]

    def run(self, env: Env) -> Made:
        execute(env.storage.root, self.first)
        return Writes(self.contents).run(env)


@dataclass(frozen=True)
class FailsToWrite:
    def run(self, env: Env) -> Made:
        raise OSError(28, "No space left on device")


for kind in (Writes, RunsAnotherFirst, FailsToWrite):
    run_call.register(kind, kind.run)

WORK = Work("0" * 32, "segment", "ab" * 16, "steps/segment-000000000000", Writes({"docs": b"x"}))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return LocalStorage(str(tmp_path))


def named(manifest: Manifest) -> list[str]:
    return [ref.path for output in manifest.outputs.values() for ref in output.files]


def test_a_manifest_names_every_output_with_its_checksum_and_rows(storage: Storage) -> None:
    work = replace(WORK, call=Writes({"docs": b"some", "metrics": b"numbers"}))
    manifest = execute(storage.root, work)
    assert load_manifest(storage, work.key) == manifest
    assert (manifest.node, manifest.unit) == (work.node, work.unit)
    assert manifest.counters == {"documents_in": 3}
    for output, data in (("docs", b"some"), ("metrics", b"numbers")):
        [ref] = manifest.outputs[output].files
        assert storage.get(ref.path) == data
        assert ref.path.startswith(f"{work.folder}/{output}-")
        assert (ref.num_bytes, ref.rows) == (len(data), len(data))
        assert ref.sha256 == file_sha256(Path(storage.root, ref.path))


def test_a_second_attempt_at_a_finished_work_does_nothing(storage: Storage) -> None:
    first = execute(storage.root, WORK)
    again = execute(storage.root, replace(WORK, call=FailsToWrite()))
    assert again == first


def test_two_attempts_with_equal_outputs_commit_once_and_agree(storage: Storage) -> None:
    zombie = replace(WORK, call=RunsAnotherFirst(WORK, {"docs": b"x"}))
    manifest = execute(storage.root, zombie)
    assert manifest == load_manifest(storage, WORK.key)
    [counted] = named(manifest)
    written = [info.path for info in storage.list("steps")]
    assert len(written) == 2  # the zombie's file lies there, and nobody names it
    assert counted in written
    assert len(list(storage.list("manifests"))) == 1


@pytest.mark.parametrize(
    ("contents", "output"),
    [({"docs": b"y"}, "docs"), ({"docs": b"x", "side": b""}, "side"), ({"metrics": b"x"}, "docs")],
)
def test_two_attempts_with_different_outputs_fail_and_say_where(
    storage: Storage, contents: dict[str, bytes], output: str
) -> None:
    first = replace(WORK, call=Writes({"docs": b"x"}))
    zombie = replace(WORK, call=RunsAnotherFirst(first, contents))
    with pytest.raises(IntegrityError) as caught:
        execute(storage.root, zombie)
    for word in ("segment", WORK.unit, output, "not deterministic"):
        assert word in str(caught.value)
    manifest = load_manifest(storage, WORK.key)
    assert manifest is not None
    assert storage.get(named(manifest)[0]) == b"x"


def test_a_file_under_its_content_name_is_put_once_and_never_changed(storage: Storage) -> None:
    name = "dataset/shards/train-{checksum}.parquet"
    first = execute(storage.root, replace(WORK, call=Writes({"files": b"tokens"}, name)))
    [path] = named(first)
    assert path == "dataset/shards/train-c3ec65fa.parquet".replace(
        "c3ec65fa", first.outputs["files"].files[0].sha256[:8]
    )
    before = Path(storage.root, path).stat()
    other = replace(WORK, key="1" * 32, call=Writes({"files": b"tokens"}, name))
    assert named(execute(storage.root, other)) == [path]
    assert Path(storage.root, path).stat() == before
    Path(storage.root, path).write_bytes(b"tok")
    with pytest.raises(IntegrityError, match="was changed or cut short"):
        execute(storage.root, replace(other, key="2" * 32))


def test_a_run_cut_by_limit_publishes_into_its_own_folder(storage: Storage) -> None:
    call = Writes({"files": b"tokens"}, "dataset/shards/{checksum}")
    manifest = execute(storage.root, replace(WORK, call=call, dataset="dataset-limit-5"))
    assert named(manifest)[0].startswith("dataset-limit-5/shards/")


def test_a_failed_work_leaves_no_manifest_and_no_scratch(storage: Storage) -> None:
    with pytest.raises(InputError, match=r"segment, unit abab.*No space left"):
        execute(storage.root, replace(WORK, call=FailsToWrite()))
    assert load_manifest(storage, WORK.key) is None
    assert list(storage.list("")) == []


# --- killed between the data and the manifest --------------------------------------------------

CONFIG = """\
seed: 3
workdir: {workdir}
steps:
  - read_jsonl: {{paths: ["{inputs}"], id: id}}
  - exact_dedup: {{}}
  - write_documents: {{}}
"""

KILLED_BEFORE_COMMIT = """
import os, signal, sys
from pipeline.execution import worker
from pipeline.cli import main

commit, left = worker.commit_manifest, int(sys.argv[2])

def killed(storage, manifest):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return commit(storage, manifest)

worker.commit_manifest = killed
main(["run", sys.argv[1], "--workers", "0", "--quiet"])
"""


def published(workdir: Path) -> str:
    return published_sha256(open_storage(str(workdir)))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A workdir of an undisturbed run, with its input beside it, and the number of its works."""
    folder = tmp_path_factory.mktemp("clean")
    rows = [{"id": str(n), "text": f"the text of page {n % 30} is here"} for n in range(40)]
    inputs = write_jsonl(folder / "in.jsonl", rows)
    text = CONFIG.format(workdir=folder / "work", inputs=inputs)
    return folder / "work", run(make_plan(parse_config(text, "line.yaml"))).executed


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_a_driver_killed_between_data_and_manifest_loses_one_work_and_doubles_nothing(
    tmp_path: Path, clean: tuple[Path, int], run_yaml: RunConfig, share: float
) -> None:
    undisturbed, total = clean
    works, workdir, config = round(share * (total - 1)), tmp_path / "work", tmp_path / "line.yaml"
    inputs = undisturbed.parent / "in.jsonl"
    config.write_text(CONFIG.format(workdir=workdir, inputs=inputs))
    words = [sys.executable, "-c", KILLED_BEFORE_COMMIT, str(config), str(works)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(manifests(workdir)) == works
    again = run_yaml(config.read_text(), workdir)
    assert (again.executed, again.reused) == (total - works, works)
    assert published(workdir) == published(undisturbed)
    names = [path for manifest in manifests(workdir) for path in named(manifest)]
    assert len(names) == len(set(names))
    assert sorted(digests(workdir)) == sorted(digests(undisturbed))


def manifests(workdir: Path) -> list[Manifest]:
    storage = open_storage(str(workdir))
    keys = [path.stem for path in sorted((workdir / "manifests").glob("*.json"))]
    return [m for m in (load_manifest(storage, key) for key in keys) if m is not None]


def digests(workdir: Path) -> list[tuple[str, str, str, str]]:
    """(node, unit, output, digest) of everything that is committed."""
    return [
        (m.node, m.unit, name, output.digest)
        for m in manifests(workdir)
        for name, output in m.outputs.items()
    ]


# --- manifests as files ------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), max_size=12)
facts = st.dictionaries(words, st.integers(0, 2**53) | words | st.lists(st.integers(0, 9)))
files = st.builds(
    FileRef,
    path=words,
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    num_bytes=st.integers(0, 2**60),
    rows=st.integers(0, 2**60),
    info=facts,
)
manifest_values = st.builds(
    Manifest,
    key=st.text("0123456789abcdef", min_size=32, max_size=32),
    node=words,
    unit=words,
    outputs=st.dictionaries(words, st.lists(files, max_size=3).map(Dataset.of), max_size=3),
    counters=st.dictionaries(words, facts, max_size=3),
)


@given(manifest_values)
def test_a_manifest_survives_its_file_and_equal_ones_have_equal_bytes(manifest: Manifest) -> None:
    data = manifest.to_json()
    read = parse_manifest(data, manifest_path(manifest.key))
    assert read == manifest
    assert read.to_json() == data
    json.loads(data)


@given(manifest_values, st.data())
def test_a_manifest_cut_short_is_an_integrity_error(
    manifest: Manifest, data: st.DataObject
) -> None:
    whole = manifest.to_json()
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(IntegrityError, match=r"corrupt manifest.*verify CONFIG --repair"):
        parse_manifest(whole[:cut], manifest_path(manifest.key))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"[]",
        b"null",
        b'{"key": "k"}',
        b'{"key":"k","node":"n","unit":"u","outputs":[],"counters":{}}',
        b'{"key":"k","node":"n","unit":"u","outputs":{"d":{"files":[{"x":1}],"digest":"0"}},'
        b'"counters":{}}',
        b'{"key":"other","node":"n","unit":"u","outputs":{},"counters":{}}',
    ],
)
def test_a_file_that_is_no_manifest_of_its_key_is_an_integrity_error(
    storage: Storage, content: bytes
) -> None:
    storage.put("manifests/k.json", content)
    with pytest.raises(IntegrityError, match=r"manifests/k\.json"):
        load_manifest(storage, "k")


def test_a_manifest_that_is_corrupt_stops_a_commit_instead_of_being_replaced(
    storage: Storage,
) -> None:
    manifest = execute(storage.root, WORK)
    storage.put(manifest_path(WORK.key), b"{")
    with pytest.raises(IntegrityError, match=r"corrupt manifest"):
        commit_manifest(storage, manifest)
    assert storage.get(manifest_path(WORK.key)) == b"{"


@given(st.lists(files, min_size=1, max_size=3), st.data())
def test_a_digest_is_of_contents_and_rows_and_of_nothing_else(
    refs: list[FileRef], data: st.DataObject
) -> None:
    moved = [replace(ref, path=ref.path + "x", num_bytes=1, info={}) for ref in refs]
    assert Dataset.of(moved).digest == Dataset.of(refs).digest
    at = data.draw(st.integers(0, len(refs) - 1))
    for other in (
        replace(refs[at], rows=refs[at].rows + 1),
        replace(
            refs[at], sha256=refs[at].sha256[1:] + "0123456789abcdef"[refs[at].rows % 16] + "!"
        ),
    ):
        changed = [*refs[:at], other, *refs[at + 1 :]]
        assert Dataset.of(changed).digest != Dataset.of(refs).digest
    assert Dataset.of([*refs, refs[0]]).digest != Dataset.of(refs).digest


def test_an_attempt_has_a_folder_of_its_own(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = execute(storage.root, WORK)
    os.remove(Path(storage.root, manifest_path(WORK.key)))
    two = execute(storage.root, WORK)
    assert named(one) != named(two)
    assert one.outputs["docs"].digest == two.outputs["docs"].digest
    monkeypatch.setattr("pipeline.execution.worker.secrets.token_hex", lambda _: "00000000")
    assert "docs-00000000/" in named(execute(storage.root, replace(WORK, key="3" * 32)))[0]
