"""State and resume: exact to the token for any world size, batch size, packing and mixture."""

from __future__ import annotations

import hashlib
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loader import SHUFFLES, SIZES, published, rows_of

import loader.order
import loader.packing
import stages.shard_writer
from loader.dataset import INDEX, Dataset, open_dataset
from loader.loader import Loader
from pipeline.errors import IntegrityError
from pipeline.schema import FORMAT_VERSION


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.shard_writer, "ROW_GROUP_TOKENS", 40)
        patch.setattr(loader.packing, "PACKED_ROWS", 4)
        patch.setattr(loader.order, "PACKED_ROWS", 4)
        yield open_dataset(str(published(tmp_path_factory.mktemp("dataset"), SIZES)))


KNOBS = st.fixed_dictionaries(
    {
        "packing": st.sampled_from(["concat", "best_fit", "document"]),
        "shuffle": st.sampled_from(SHUFFLES),
        "weights": st.sampled_from([None, {"web": 0.3, "books": 0.7}, {"web": 1.0, "books": 0.0}]),
        "epochs": st.integers(1, 3),
        "seed": st.integers(0, 3),
        "cross_document_labels": st.booleans(),
    }
)


def together(dataset: Dataset, world_size: int, batch_size: int, state: Any, **knobs: Any) -> Any:
    """(loaders of all ranks at a state, a function that takes one batch of all ranks)."""
    ranks = [
        Loader(dataset, 24, batch_size, rank=rank, world_size=world_size, **knobs)
        for rank in range(world_size)
    ]
    for one in ranks:
        if state is not None:
            one.load_state_dict(state)
    return ranks


@settings(max_examples=40)
@given(
    KNOBS,
    st.lists(
        st.tuples(st.integers(1, 8), st.integers(1, 3), st.integers(0, 6), st.integers(0, 3)),
        min_size=1,
        max_size=4,
    ),
)
def test_any_chain_of_resizes_gives_the_one_order(
    dataset: Dataset, knobs: dict[str, Any], legs: list[tuple[int, int, int, int]]
) -> None:
    whole = rows_of(list(Loader(dataset, 24, 5, prefetch=0, **knobs)))
    found: list[Any] = []
    state: Any = None
    for world_size, rows, batches, prefetch in legs:
        ranks = together(dataset, world_size, world_size * rows, state, prefetch=prefetch, **knobs)
        for _ in range(batches):
            of_ranks = [next(one, None) for one in ranks]
            found += rows_of([batch for batch in of_ranks if batch is not None])
        states = [json.dumps(one.state_dict()) for one in ranks]
        assert len(set(states)) == 1
        assert len(states[0]) < 1024
        state = json.loads(states[0])
        for one in ranks:
            one.close()
    last = Loader(dataset, 24, 3, prefetch=0, **knobs)
    last.load_state_dict(state)
    assert found + rows_of(list(last)) == whole


def test_what_was_made_ahead_is_not_consumed(dataset: Dataset) -> None:
    ahead, now = Loader(dataset, 24, 4, prefetch=8), Loader(dataset, 24, 4, prefetch=0)
    for _ in range(3):
        assert rows_of([next(ahead)]) == rows_of([next(now)])
        assert ahead.state_dict() == now.state_dict()
    assert ahead._coming or ahead._ready


def test_a_state_can_be_loaded_in_the_middle(dataset: Dataset) -> None:
    found = Loader(dataset, 24, 4)
    state = found.state_dict()
    first = rows_of([next(found), next(found)])
    found.load_state_dict(state)
    assert rows_of([next(found), next(found)]) == first


@pytest.mark.parametrize("packing", ["best_fit", "document"])
def test_a_state_of_another_packing_is_refused(dataset: Dataset, packing: str) -> None:
    state = Loader(dataset, 24, 4).state_dict()
    with pytest.raises(IntegrityError, match=r"packing is .* in the state, .* here"):
        Loader(dataset, 24, 4, packing=packing).load_state_dict(state)


def test_a_state_of_another_dataset_says_both_fingerprints(
    dataset: Dataset, tmp_path: Path
) -> None:
    other = open_dataset(str(published(tmp_path, {"web": [5, 6, 7]})))
    state = Loader(other, 24, 4).state_dict()
    said = f"dataset is '{other.fingerprint}' in the state, '{dataset.fingerprint}' here"
    with pytest.raises(IntegrityError, match=said):
        Loader(dataset, 24, 4).load_state_dict(state)


def test_arrays_that_somebody_keeps_are_never_written_to_again(dataset: Dataset) -> None:
    found = Loader(dataset, 24, 4, epochs=3)
    kept = [(batch.tokens_BT[1:], batch.labels_BT.T, batch) for batch in found]
    copies = [(a.copy(), b.copy()) for a, b, _ in kept]
    views = [memoryview(next(Loader(dataset, 24, 4)).tokens_BT) for _ in range(3)]
    again = Loader(dataset, 24, 4, epochs=3)
    for (tokens, labels, _), (a, b), other in zip(kept, copies, again, strict=True):
        assert (tokens == a).all()
        assert (labels == b).all()
        assert (other.tokens_BT[1:] == a).all()
    assert len({bytes(view) for view in views}) == 1


def test_arrays_that_nobody_keeps_are_used_again(dataset: Dataset) -> None:
    found = Loader(dataset, 24, 4, epochs=5, prefetch=0)
    places = {batch.tokens_BT.__array_interface__["data"][0] for batch in found}
    assert len(places) <= 3


# --- Size --------------------------------------------------------------------------------------


def listed(folder: Path, shards: int, row_groups: int, place: Any) -> None:
    """A dataset that lists so many shards, each of whose row groups is said to be like `place`."""
    rows = shards * row_groups
    names = pa.array([f"shards/train-web-{k}-{k:08x}.parquet" for k in range(shards)])
    of = pa.array(np.repeat(np.arange(shards, dtype=np.int32), row_groups))
    columns = [
        pa.DictionaryArray.from_arrays(of, names).cast(pa.string()),
        *(pa.array([name]).take(pa.array(np.zeros(rows, np.int64))) for name in ("web", "train")),
        pa.array(np.tile(np.arange(row_groups, dtype=np.int32), shards)),
        pa.array(np.tile(np.arange(row_groups) * place.tokens, shards)),
        *(pa.array(np.full(rows, count)) for count in (place.tokens, place.documents)),
        pa.array([place.checksum]).take(pa.array(np.zeros(rows, np.int64))),
    ]
    out = io.BytesIO()
    pq.write_table(pa.table(columns, schema=INDEX), out)
    index = f"index-{hashlib.sha256(out.getvalue()).hexdigest()[:8]}.parquet"
    (folder / "shards").mkdir(parents=True)
    (folder / index).write_bytes(out.getvalue())
    facts = {"format_version": FORMAT_VERSION, "dtype": "uint16", "index": index}
    (folder / "dataset.json").write_text(json.dumps({**facts, "fingerprint": "listed"}))


def test_the_first_batch_of_100_000_shards_needs_the_index_and_the_shards_it_touches(
    dataset: Dataset, tmp_path: Path
) -> None:
    place = dataset.streams("train")[0].place(0)
    listed(tmp_path, 100_000, 1, place)
    touched = Loader(open_dataset(str(tmp_path)), 8, 16, cache="memory", prefetch=0)
    for number in touched._planner.row_groups(np.arange(16)).tolist():
        shard = Path(touched.dataset.path(touched.line.place(number).file))
        shard.write_bytes(Path(dataset.path(place.file)).read_bytes())
    start = time.process_time()
    found = Loader(open_dataset(str(tmp_path)), 8, 16, cache="memory", prefetch=0)
    batch = next(found)
    spent = time.process_time() - start
    assert len(set(found.order.locate(batch.samples_B).windows.tolist())) == 16
    assert spent < 2


@pytest.mark.parametrize("packing", ["concat", "best_fit"])
def test_seeking_in_15_t_tokens_takes_no_longer_than_in_a_page(
    dataset: Dataset, tmp_path: Path, packing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (loader.packing, loader.order):
        monkeypatch.setattr(module, "PACKED_ROWS", 1024)
    place = dataset.streams("train")[0].place(0)
    large = place._replace(tokens=100_000_000, documents=10)
    listed(tmp_path, 150_000, 1, large)
    found = Loader(
        open_dataset(str(tmp_path)), 2048, 64, packing=packing, cache="memory", cache_bytes=1 << 60
    )
    assert int(found.line.edges_R[-1]) == 15 * 10**12
    state = {**found.state_dict(), "consumed": 5 * 10**9 + 17}
    found._planner.row_groups(np.arange(64))  # loads the kernels
    start = time.process_time()
    found.load_state_dict(state)
    needed = found._planner.row_groups(found.consumed + np.arange(64))
    assert time.process_time() - start < 0.5
    assert len(needed) <= 65 if packing == "concat" else len(needed) <= 4
    assert len(json.dumps(found.state_dict())) < 1024
