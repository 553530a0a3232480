"""What goes wrong is said clearly, with the right exit code; nothing is lost; a rerun finishes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, write_jsonl

from pipeline.files.uris import open_storage
from pipeline.results.publish import published_sha256

CONFIG = """\
seed: 3
workdir: {workdir}
steps:
  - id: help
    read_jsonl: {{paths: ["{paths}"], id: id, url: url}}
  - exact_dedup: {{}}
  - write_documents: {{}}
"""


class Line:
    """One small configuration and the command line on it."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        self.workdir = folder / "work"
        self.config = folder / "line.yaml"
        for number in range(3):
            write_jsonl(folder / "in" / f"{number}.jsonl", rows[number::3])
        self.inputs = folder / "in"
        text = CONFIG.format(workdir=self.workdir, paths=f"{self.inputs}/*.jsonl")
        self.config.write_text(text)

    def run(self, *arguments: str, command: str = "run") -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "pipeline", command, str(self.config), *arguments]
        if command == "run":
            words += ["--workers", "0", "--quiet"]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)

    def sha(self) -> str:
        return published_sha256(open_storage(str(self.workdir)))


@pytest.fixture
def line(tmp_path: Path, real_texts: list[dict[str, Any]]) -> Line:
    return Line(tmp_path, real_texts[:90])


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_input_is_an_input_error_that_names_the_pattern(line: Line) -> None:
    refused(line.run("--set", 'steps.help.paths=["/nowhere/*.jsonl"]'), 3, "/nowhere/*.jsonl")


def test_an_unreadable_yaml_is_a_config_error_with_its_line(line: Line) -> None:
    line.config.write_text("steps: [\n  - x: {")
    refused(line.run(), 2, "line.yaml:", "not valid YAML")
    line.config.unlink()
    refused(line.run(), 2, "cannot read the configuration")


def test_a_second_driver_on_one_workdir_is_refused_and_a_dead_one_taken_over(line: Line) -> None:
    assert line.run().returncode == 0
    first = line.sha()
    stat = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    owner = {
        "host": os.uname().nodename,
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "pid": os.getpid(),
        "process_start": stat,
        "heartbeat": 0,
    }
    lease = line.workdir / "lease.json"
    lease.write_text(json.dumps(owner))
    refused(line.run(), 3, "another driver works on", f"pid {os.getpid()}", "--set workdir=")
    assert lease.exists()
    lease.write_text(json.dumps({**owner, "process_start": "1"}))
    assert line.run().returncode == 0
    assert not lease.exists()
    assert line.sha() == first


def manifests(line: Line) -> Iterator[Path]:
    return iter(sorted((line.workdir / "manifests").glob("*.json")))


def test_a_corrupt_manifest_is_an_integrity_error_and_its_mend_is_named(line: Line) -> None:
    assert line.run().returncode == 0
    first = line.sha()
    victim = next(manifests(line))
    victim.write_bytes(victim.read_bytes()[:100])
    refused(line.run(), 5, "corrupt manifest", victim.name, "verify")
    victim.unlink()
    assert line.run().returncode == 0
    assert line.sha() == first


def test_a_truncated_intermediate_parquet_is_found_and_only_its_work_is_redone(line: Line) -> None:
    assert line.run().returncode == 0
    first = line.sha()
    victim = next(
        Path(line.workdir, file["path"])
        for path in manifests(line)
        for name, output in json.loads(path.read_text())["outputs"].items()
        for file in output["files"]
        if name == "docs"
    )
    victim.write_bytes(victim.read_bytes()[:-50])
    refused(line.run(), 5, victim.name, "--repair")
    assert line.run("--repair", command="verify").returncode == 0
    done = line.run("--json")
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["works_executed"] < 5
    assert line.sha() == first


def test_a_truncated_input_parquet_is_damage_and_above_the_bound_an_input_error(
    tmp_path: Path, real_texts: list[dict[str, Any]]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    line = Line(tmp_path, real_texts[:90])
    path = tmp_path / "books.parquet"
    pq.write_table(pa.table({"text": [row["text"] for row in real_texts[90:100]]}), path)
    path.write_bytes(path.read_bytes()[:-20])
    text = line.config.read_text().replace("read_jsonl", "read_parquet")
    line.config.write_text(text.replace(f"{line.inputs}/*.jsonl", str(path)).replace(
        ", id: id, url: url", ""))  # fmt: skip
    refused(line.run(), 3, "books.parquet", "max_damage_ratio")
    assert not (line.workdir / "dataset").exists()


def test_a_non_empty_file_that_yields_no_document_is_damage_and_never_silence(
    tmp_path: Path, shared_data: Path
) -> None:
    """fastwarc reads no record from such a file, and says nothing."""
    noise = tmp_path / "noise.warc"
    noise.write_bytes(b"Nothing of this is an archive.\n" * 50)
    good = shared_data / "warc" / "webrecorder__warcio" / "example.warc.gz"
    config = tmp_path / "noise.yaml"
    config.write_text(
        f"workdir: {tmp_path / 'work'}\nmax_damage_ratio: 0.9\nsteps:\n  - id: web\n"
        f"    read_warc: {{paths: ['{good}', '{noise}']}}\n  - extract: {{engine: resiliparse}}\n"
        f"  - write_documents: {{}}\n"
    )
    words = [sys.executable, "-m", "pipeline", "run", str(config), "--workers", "0", "--json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    [damage] = json.loads(done.stdout)["funnel"]["damage"]
    assert damage["file"] == "noise.warc"
    assert damage["num_bytes"] == noise.stat().st_size
    assert damage["reason"].startswith("no readable record")
    strict = subprocess.run(
        [*words, "--set", "max_damage_ratio=0.05"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    refused(strict, 3, "noise.warc", "max_damage_ratio")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 66 MB, just above what a run asks for at its start."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=66m", "tokenmill-test", str(mount)],
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("no right to mount a file system here")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_is_an_input_error_and_a_rerun_with_room_finishes(
    tmp_path: Path, small_disk: Path
) -> None:
    noise = random.Random(1)  # does not compress: each output needs about 40 MB
    rows = [{"id": str(n), "text": b64encode(noise.randbytes(1 << 20)).decode()} for n in range(75)]
    line = Line(tmp_path, rows)
    there = f"workdir={small_disk}/work"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * (10 << 20))
    refused(line.run("--set", there), 3, "MB free", "--set workdir=")
    ballast.unlink()
    refused(line.run("--set", there), 3, "ree room", "finished work is kept")
    assert list((small_disk / "work" / "manifests").glob("*.json"))
    subprocess.run(["mount", "-o", "remount,size=400m", str(small_disk)], check=True)
    done = line.run("--set", there, "--json")
    assert json.loads(done.stdout)["works_reused"] > 0
    assert line.run().returncode == 0
    assert line.sha() == published_sha256(open_storage(str(small_disk / "work")))


def test_a_read_only_workdir_is_an_input_error_before_work_starts(
    line: Line, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = line.run("--set", f"workdir={small_disk}/work")
    refused(done, 3, "read-only", "set another workdir")


def test_a_workdir_that_is_a_file_is_an_input_error(line: Line, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    refused(line.run("--set", f"workdir={tmp_path}/file"), 3, "set another workdir")


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(
    line: Line, real_texts: list[dict[str, Any]]
) -> None:
    import signal
    import time

    for number in range(40):
        write_jsonl(line.inputs / f"more-{number}.jsonl", real_texts[number::40])
    words = [sys.executable, "-m", "pipeline", "run", str(line.config), "--workers", "0"]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    folder = line.workdir / "manifests"
    while not any(folder.glob("*.json")):  # one that is being written has another name
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    assert b"goes on" in err
    assert b"Traceback" not in err
    assert not (line.workdir / "lease.json").exists()
    done = line.run("--json")
    assert json.loads(done.stdout)["works_reused"] > 0
