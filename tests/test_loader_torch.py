"""The loader as PyTorch sees it, on the CPU, and the reference trainer killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_loader import SIZES, published

from loader.dataset import Dataset, open_dataset
from loader.loader import Loader
from pipeline.errors import ConfigError, IntegrityError

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(str(published(tmp_path_factory.mktemp("dataset"), SIZES)))


def token_dataset(dataset: Dataset, **options: Any) -> Any:
    from loader.torch_dataset import TokenDataset

    return TokenDataset(dataset, 16, 4, backend="numpy", cache="memory", **options)


def test_batches_are_tensors_of_the_loaders_arrays(dataset: Dataset) -> None:
    expected = list(Loader(dataset, 16, 4, cache="memory"))
    data = token_dataset(dataset)
    found = list(data)
    assert len(found) == len(expected)
    for batch, arrays in zip(found, expected, strict=True):
        assert batch["tokens"].dtype == batch["labels"].dtype == torch.int64
        assert (batch["tokens"].numpy() == arrays.tokens_BT).all()
        assert (batch["labels"].numpy() == arrays.labels_BT).all()
        assert (batch["position_ids"].numpy() == arrays.position_ids_BT).all()
        assert (batch["cu_seqlens"].numpy() == arrays.cu_seqlens).all()
        assert batch["max_seqlen"] == arrays.max_seqlen
    data.close()


def test_a_state_continues_on_another_loader(dataset: Dataset) -> None:
    whole = [batch["tokens"].tolist() for batch in token_dataset(dataset)]
    first = token_dataset(dataset)
    batches = iter(first)
    begun = [next(batches)["tokens"].tolist() for _ in range(5)]
    second = token_dataset(dataset)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert begun + [batch["tokens"].tolist() for batch in second] == whole
    with pytest.raises(IntegrityError, match="seed"):
        token_dataset(dataset, seed=1).load_state_dict(first.state_dict())


def test_it_works_inside_a_dataloader_without_workers(dataset: Dataset) -> None:
    from torch.utils.data import DataLoader

    data = token_dataset(dataset)
    found = [batch["tokens"].tolist() for batch in DataLoader(data, batch_size=None)]
    assert found == [batch["tokens"].tolist() for batch in token_dataset(dataset)]
    assert data.state_dict()["consumed"] == data.loader.total


def test_worker_processes_are_refused_with_what_to_do(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import loader.torch_dataset

    class Worker:
        num_workers = 2

    monkeypatch.setattr(loader.torch_dataset, "get_worker_info", Worker)
    with pytest.raises(ConfigError, match="num_workers = 2: expected 0"):
        iter(token_dataset(dataset))


TINY = [
    "--batch", "2", "--seq-len", "16", "--layers", "1", "--heads", "2", "--width", "16", "--vocab",
    "1000", "--no-compile", "--log-every", "1", "--save-every", "2", "--cache", "memory",
    "--backend", "numpy",
]  # fmt: skip


def trainer(dataset: Dataset, out: Path, steps: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "examples" / "train_gpt.py"), dataset.root]
    command += ["--out", str(out), "--steps", str(steps), *TINY]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def lines_of(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, _ = process.communicate(timeout=120)
    return [json.loads(line) for line in out.splitlines()]


def test_a_killed_trainer_goes_on_with_the_same_losses_and_samples(
    dataset: Dataset, tmp_path: Path
) -> None:
    process = trainer(dataset, tmp_path / "whole", 12)
    whole = {line["step"]: (line["loss"], line["samples"]) for line in lines_of(process)}
    assert process.returncode == 0
    assert sorted(whole) == list(range(1, 13))
    killed = trainer(dataset, tmp_path / "killed", 12)
    assert killed.stdout is not None
    for line in killed.stdout:
        if json.loads(line)["step"] >= 5:
            killed.send_signal(signal.SIGKILL)
            break
    killed.communicate(timeout=60)
    resumed = lines_of(trainer(dataset, tmp_path / "killed", 12))
    assert 3 <= resumed[0]["step"] <= 12, "it began where a checkpoint stood"
    assert all((line["loss"], line["samples"]) == whole[line["step"]] for line in resumed)
    assert resumed[-1]["step"] == 12
