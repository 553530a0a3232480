"""kill -9 of a worker, of the driver and of a raylet at random points: the same published bytes.

A point is a share of the works of a whole run, drawn from the seed, so that both row work and
global phases are hit. Four seeds run by default; the others with `-m slow`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import ROOT

from pipeline.files.uris import open_storage
from pipeline.results.publish import published_sha256

CONFIG = "configs/c4like.yaml"
PATIENCE_SECONDS = 240


def start(workdir: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The pipeline as a user starts it, in a process group of its own."""
    command = [sys.executable, "-m", "pipeline", "run", CONFIG, "--set", f"workdir={workdir}"]
    environment = {**os.environ, "RAY_ADDRESS": "local"}
    return subprocess.Popen(
        [*command, "--json", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> dict[str, object]:
    """Wait for a run; its summary. Fails with the run's own words."""
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, err.decode()
    summary: dict[str, object] = json.loads(out)
    return summary


def wait_for_works(workdir: Path, works: int, process: subprocess.Popen[bytes]) -> None:
    """Until so many manifests are committed, or the run is over."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    folder = workdir / "manifests"
    while process.poll() is None and time.monotonic() < deadline:
        if folder.is_dir() and sum(1 for _ in folder.glob("*.json")) >= works:
            return
        time.sleep(0.02)


def sha(workdir: Path) -> str:
    return published_sha256(open_storage(str(workdir)))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int, object]:
    """(sha256 of the published bytes, works, funnel) of an undisturbed run without Ray."""
    workdir = tmp_path_factory.mktemp("clean")
    summary = finish(start(workdir, "--workers", "0"))
    works = summary["works_executed"]
    assert isinstance(works, int)
    return sha(workdir), works, summary["funnel"]


def seeds(first: int, count: int, by_default: int) -> list[object]:
    """Seeds of which only the first few are in the default suite."""
    return [
        seed if seed < first + by_default else pytest.param(seed, marks=pytest.mark.slow)
        for seed in range(first, first + count)
    ]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow), 4])
def test_any_number_of_workers_publishes_the_same_bytes(
    workers: int, clean: tuple[str, int, object], tmp_path: Path
) -> None:
    summary = finish(start(tmp_path, "--workers", str(workers)))
    assert sha(tmp_path) == clean[0]
    assert summary["funnel"] == clean[2]


def ray_workers(driver: int) -> list[psutil.Process]:
    """Workers and agents of a driver's local Ray; a raylet whose agent dies goes down with it."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if process.name().startswith("ray::"):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("seed", seeds(0, 7, 1))
def test_a_killed_worker_changes_no_published_byte(
    seed: int, clean: tuple[str, int, object], tmp_path: Path
) -> None:
    draw = random.Random(f"worker-{seed}")
    process = start(tmp_path, "--workers", "2")
    for _ in range(2):
        wait_for_works(tmp_path, int(draw.random() * 0.9 * clean[1]), process)
        workers = ray_workers(process.pid) if process.poll() is None else []
        if workers:
            draw.choice(sorted(workers, key=lambda w: w.pid)).kill()
    summary = finish(process)
    assert sha(tmp_path) == clean[0]
    assert summary["funnel"] == clean[2]


@pytest.mark.parametrize("seed", seeds(0, 7, 2))
def test_a_killed_driver_is_taken_over_and_changes_no_published_byte(
    seed: int, clean: tuple[str, int, object], tmp_path: Path
) -> None:
    draw = random.Random(f"driver-{seed}")
    workers = "0" if seed % 2 else "2"
    process = start(tmp_path, "--workers", workers)
    wait_for_works(tmp_path, int(draw.random() * 0.95 * clean[1]), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "lease.json").exists()
    summary = finish(start(tmp_path, "--workers", "0"))
    done = summary["works_executed"]
    assert isinstance(done, int)
    assert done < clean[1]
    assert sha(tmp_path) == clean[0]
    assert summary["funnel"] == clean[2]


@pytest.fixture(scope="module")
def cluster_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A driver of its own for each test: three nodes, one of which it kills on request."""
    path = tmp_path_factory.mktemp("cluster") / "three_nodes.py"
    path.write_text(
        "import sys\n"
        "from ray.cluster_utils import Cluster\n"
        "cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 1,\n"
        "    'include_dashboard': False})\n"
        "nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]\n"
        "cluster.wait_for_nodes()\n"
        "print(cluster.address, flush=True)\n"
        "for line in sys.stdin:\n"
        "    if line.startswith('kill'):\n"
        "        cluster.remove_node(nodes[int(line.split()[1])], allow_graceful=False)\n"
        "        print('killed', flush=True)\n"
        "cluster.shutdown()\n"
    )
    return path


@pytest.mark.parametrize("seed", seeds(0, 6, 1))
def test_a_killed_raylet_of_three_nodes_changes_no_published_byte(
    seed: int, clean: tuple[str, int, object], tmp_path: Path, cluster_script: Path
) -> None:
    draw = random.Random(f"raylet-{seed}")
    cluster = subprocess.Popen(
        [sys.executable, str(cluster_script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        cwd=ROOT,
        text=True,
    )
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    try:
        address = cluster.stdout.readline().strip()
        process = start(tmp_path / "work", "--address", address)
        wait_for_works(tmp_path / "work", int(draw.random() * 0.9 * clean[1]), process)
        cluster.stdin.write(f"kill {draw.randrange(2)}\n")
        cluster.stdin.flush()
        summary = finish(process)
        assert sha(tmp_path / "work") == clean[0]
        assert summary["funnel"] == clean[2]
    finally:
        cluster.stdin.close()
        cluster.wait(60)
