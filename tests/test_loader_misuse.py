"""What callers do to a loader by mistake: an error that says so, or the batches all the same."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_loader import published

from loader.dataset import Dataset, open_dataset
from loader.loader import Loader
from pipeline.cli import main
from pipeline.errors import ConfigError, InputError, IntegrityError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    sizes = np.random.default_rng(5).integers(1, 200, 60).tolist()
    return open_dataset(str(published(tmp_path_factory.mktemp("dataset"), {"web": sizes})))


def test_a_used_loader_refuses_to_go_on_in_a_forked_process(dataset: Dataset) -> None:
    for prefetch in (None, 0):
        loader = Loader(dataset, 16, 4, cache="memory", prefetch=prefetch)
        next(loader)
        child = os.fork()
        if not child:
            signal.alarm(20)  # hangs without the check
            try:
                for _ in loader:
                    pass
            except ConfigError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("prefetch", [None, 0])
def test_a_closed_loader_says_so_and_still_has_its_state(
    dataset: Dataset, prefetch: int | None
) -> None:
    loader = Loader(dataset, 16, 4, cache="memory", prefetch=prefetch)
    next(loader)
    loader.close()
    with pytest.raises(ConfigError, match="is closed"):
        next(loader)
    assert loader.state_dict()["consumed"] == 4


@pytest.mark.parametrize("consumed", [-1, 10**9, None, "4", 1.5])
def test_a_state_that_is_no_place_in_the_order_is_refused(dataset: Dataset, consumed: Any) -> None:
    loader = Loader(dataset, 16, 4, cache="memory", epochs=1)
    state = {**loader.state_dict(), "consumed": consumed}
    with pytest.raises(IntegrityError, match=r"consumed is .* expected 0 to"):
        loader.load_state_dict(state)
    assert loader.consumed == 0


def test_the_end_of_the_epochs_is_a_place_in_the_order(dataset: Dataset) -> None:
    loader = Loader(dataset, 16, 4, cache="memory", epochs=1)
    assert list(loader)
    again = Loader(dataset, 16, 4, cache="memory", epochs=1)
    again.load_state_dict(loader.state_dict())
    assert not list(again)


def test_sizes_of_numpy_give_the_batches_and_state_of_plain_ones(dataset: Dataset) -> None:
    plain = Loader(dataset, 16, 4, cache="memory", seed=3)
    sizes: dict[str, Any] = {"seq_len": np.int64(16), "batch_size": np.int32(4)}
    ranks: dict[str, Any] = {"seed": np.uint8(3), "rank": np.int64(0), "world_size": np.int64(1)}
    numpys = Loader(dataset, cache="memory", **sizes, **ranks)
    assert (next(plain).tokens_BT == next(numpys).tokens_BT).all()
    assert json.dumps(plain.state_dict()) == json.dumps(numpys.state_dict())


@pytest.mark.parametrize(
    "knobs", [{"epochs": -1}, {"cache_bytes": 0}, {"weights": {"web": float("nan")}},
              {"weights": {"web": float("inf")}}],
)  # fmt: skip
def test_values_that_mean_nothing_are_refused(dataset: Dataset, knobs: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"expected|needs a finite weight"):
        Loader(dataset, 16, 4, cache="memory", **knobs)


def test_a_relative_path_stays_where_it_was_when_the_folder_changes(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(dataset.root)
    monkeypatch.chdir(root.parent)
    loader = Loader(open_dataset(Path(root.name)), 16, 4, cache=Path("hot"), prefetch=0)
    monkeypatch.chdir(tmp_path)
    assert list(loader)
    assert (root.parent / "hot").is_dir()
    assert not list(tmp_path.iterdir())


def test_a_dataset_file_that_breaks_off_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json: not whole JSON"):
        open_dataset(str(tmp_path))


def test_a_negative_count_on_the_command_line_is_a_matter_of_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "shard.parquet", "--rows", "-1"])
    assert ended.value.code == 2
    assert "at least 0, got -1" in capsys.readouterr().err
