"""The loader: windows, resume, ranks, verification."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shards import tokenised, tokenizer_folder
from token_phase_driver import parts, run_phases

import stages.shard_writer
from loader.dataset import INDEX, Dataset, open_dataset
from loader.loader import IGNORED, Batch, Loader
from loader.row_groups import read_row_group
from pipeline.errors import ConfigError, InputError, IntegrityError
from pipeline.results.dataset_index import STAGE
from stages.mix import Mix
from stages.write_shards import WriteShards

SIZES = {
    "web": [17, 3, 40, 1, 25, 60, 9, 9, 30, 14, 70, 2],
    "books": [50, 33, 8, 90, 21],
}


def published(folder: Path, sizes: dict[str, list[int]], per_shard: int = 100) -> Path:
    """A dataset as the engine publishes it, from documents of the given token counts."""
    return published_documents(folder, tokenised(sizes), Mix(validation_permille=0), per_shard)


def published_documents(
    folder: Path, docs: pa.Table, mix: Mix, per_shard: int = 100, max_id: int = 999
) -> Path:
    """A dataset as the engine publishes it, from these documents and this mixture."""
    outcome = run_phases(
        WriteShards(tokens_per_shard=per_shard),
        parts(docs, 2),
        folder,
        stages={"mixture": mix},
        artefacts={"tokenizer": tokenizer_folder(folder / "tokenizer", max_id)},
    )
    rows = [
        {"file": name.removeprefix("dataset/"), "row_group": at, **info, **group}
        for name, info in sorted(outcome.files.items())
        for at, group in enumerate(info["row_groups"])
    ]
    out = io.BytesIO()
    schema = INDEX.append(STAGE) if any("stage_number" in row for row in rows) else INDEX
    columns = [
        {**{field: row[field] for field in INDEX.names}, "stage": row.get("stage_number")}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(columns, schema=schema), out)
    index = f"index-{hashlib.sha256(out.getvalue()).hexdigest()[:8]}.parquet"
    facts = json.loads(outcome.artefacts["dataset"]["dataset.json"])
    facts |= {"index": index, "fingerprint": hashlib.md5(str(rows).encode()).hexdigest()}
    (folder / "dataset" / index).write_bytes(out.getvalue())
    (folder / "dataset" / "dataset.json").write_text(json.dumps(facts))
    return folder / "dataset"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.shard_writer, "ROW_GROUP_TOKENS", 40)
        return published(tmp_path_factory.mktemp("dataset"), SIZES)


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return open_dataset(str(folder))


def stored(dataset: Dataset) -> dict[str, list[tuple[bytes, list[int]]]]:
    """(doc_id, tokens) of every document of each group, read with pyarrow in stored order."""
    found: dict[str, list[tuple[bytes, list[int]]]] = {}
    for stream in dataset.streams("train"):
        rows: list[tuple[bytes, list[int]]] = []
        for file in dict.fromkeys(stream.files):
            table = pq.read_table(dataset.path(file))
            rows += zip(table["doc_id"].to_pylist(), table["tokens"].to_pylist(), strict=True)
        found[stream.group] = rows
    return found


def rows_of(batches: list[Batch]) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    return [
        (int(sample), tuple(tokens), tuple(labels))
        for batch in batches
        for sample, tokens, labels in zip(
            batch.samples_B, batch.tokens_BT.tolist(), batch.labels_BT.tolist(), strict=True
        )
        if sample >= 0
    ]


SHUFFLES: list[Any] = ["full", "none", {"window": 5}]


# --- Windows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", SHUFFLES, ids=str)
@pytest.mark.parametrize(("seq_len", "batch_size"), [(1, 7), (16, 4), (33, 5), (500, 3)])
def test_a_pass_holds_every_token_once(
    dataset: Dataset, shuffle: Any, seq_len: int, batch_size: int
) -> None:
    loader = Loader(dataset, seq_len, batch_size, shuffle=shuffle, cross_document_labels=True)
    pieces: dict[tuple[int, int], list[int]] = {}
    after: dict[tuple[int, int], list[int]] = {}
    for batch in loader:
        located = loader.order.locate(batch.samples_B[batch.samples_B >= 0])
        for row, (group, window) in enumerate(
            zip(located.groups.tolist(), located.windows.tolist(), strict=True)
        ):
            assert (group, window) not in pieces
            size = loader._streams[group].tokens - window * seq_len
            pieces[group, window] = batch.tokens_BT[row].tolist()[:size]
            after[group, window] = batch.labels_BT[row].tolist()
            assert set(batch.labels_BT[row].tolist()[size:]) <= {IGNORED}
    for number, group in enumerate(loader.groups):
        expected = [token for _, tokens in stored(dataset)[group] for token in tokens]
        keys = sorted(key for key in pieces if key[0] == number)
        assert [token for key in keys for token in pieces[key]] == expected
        labels = [token for key in keys for token in after[key] if token != IGNORED]
        assert labels == expected[1:]


def test_boundaries_come_from_document_lengths(dataset: Dataset) -> None:
    loader = Loader(dataset, 32, 4, shuffle="none")
    ends = {
        group: np.cumsum([len(tokens) for _, tokens in rows])
        for group, rows in stored(dataset).items()
    }
    for batch in loader:
        assert batch.cu_seqlens[0] == 0
        assert batch.cu_seqlens[-1] == 4 * 32
        lengths = np.diff(batch.cu_seqlens)
        assert lengths.min() > 0
        assert lengths.max() == batch.max_seqlen
        flat = np.concatenate([np.arange(length) for length in lengths])
        assert (batch.position_ids_BT.ravel() == flat).all()
        located = loader.order.locate(batch.samples_B[batch.samples_B >= 0])
        for row, (group, window) in enumerate(
            zip(located.groups.tolist(), located.windows.tolist(), strict=True)
        ):
            stream = ends[loader.groups[group]]
            begin = window * 32
            starts = {0} | {int(e - begin) for e in stream if 0 < e - begin < 32}
            assert starts == set(np.flatnonzero(batch.position_ids_BT[row] == 0).tolist())
            masked = set(np.flatnonzero(batch.labels_BT[row] == IGNORED).tolist())
            last = {int(e - begin - 1) for e in stream if 0 < e - begin <= 32}
            size = int(stream[-1]) - begin
            assert masked == last | set(range(size, 32))


def test_shuffle_none_is_stored_order_within_a_group(dataset: Dataset) -> None:
    loader = Loader(dataset, 16, 1, shuffle="none")
    for number in range(len(loader.groups)):
        located = loader.order.locate(np.arange(loader.order.epoch_samples))
        windows = located.windows[located.groups == number]
        assert windows.tolist() == sorted(windows.tolist())


def test_shards_follow_each_other_by_number_not_by_name(tmp_path: Path) -> None:
    found = open_dataset(str(published(tmp_path, {"web": [10] * 60}, per_shard=40)))
    (stream,) = found.streams("train")
    numbers = [int(file.rsplit("-", 2)[1]) for file in stream.files]
    assert max(numbers) > 9
    assert numbers == sorted(numbers)


# --- Resume and ranks --------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20), st.sampled_from(SHUFFLES), st.booleans(), st.sampled_from([1, 2, 3, 8]))
def test_resuming_anywhere_continues_as_if_nothing_had_happened(
    dataset: Dataset, stop: int, shuffle: Any, weighted: bool, batch_size: int
) -> None:
    weights = {"web": 0.3, "books": 0.7} if weighted else None
    knobs: dict[str, Any] = {"shuffle": shuffle, "weights": weights, "epochs": 2, "seed": 9}
    whole = rows_of(list(Loader(dataset, 24, 4, **knobs)))
    first = Loader(dataset, 24, 4, **knobs)
    before = [batch for _, batch in zip(range(stop), first, strict=False)]
    state = json.loads(json.dumps(first.state_dict()))
    assert len(json.dumps(state)) < 1024
    second = Loader(dataset, 24, batch_size, **knobs)  # another batch size continues too
    second.load_state_dict(state)
    assert rows_of(before) + rows_of(list(second)) == whole


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_ranks_together_give_what_one_process_gives(dataset: Dataset, world_size: int) -> None:
    one = list(Loader(dataset, 24, 8, epochs=2))
    ranks = [
        list(Loader(dataset, 24, 8, epochs=2, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert {len(batches) for batches in ranks} == {len(one)}
    for at, batch in enumerate(one):
        joined = np.concatenate([batches[at].tokens_BT for batches in ranks])
        assert (joined == batch.tokens_BT).all()
        samples = np.concatenate([batches[at].samples_B for batches in ranks])
        assert (samples == batch.samples_B).all()


def test_the_state_is_the_same_on_every_rank_and_moves_to_another_world_size(
    dataset: Dataset,
) -> None:
    one = list(Loader(dataset, 24, 4))
    two = [Loader(dataset, 24, 4, rank=rank, world_size=2) for rank in (0, 1)]
    for loader in two:
        next(loader)
        next(loader)
    assert two[0].state_dict() == two[1].state_dict()
    four = Loader(dataset, 24, 4, rank=3, world_size=4)
    four.load_state_dict(two[0].state_dict())
    assert (next(four).tokens_BT[0] == one[2].tokens_BT[3]).all()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seq_len": 25}, "seq_len"),
        ({"seed": 1}, "seed"),
        ({"shuffle": "none"}, "shuffle"),
        ({"weights": {"web": 1.0, "books": 1.0}}, "mixture"),
        ({"cross_document_labels": True}, "packing"),
    ],
)
def test_a_state_of_another_order_is_refused_with_both_values(
    dataset: Dataset, change: dict[str, Any], name: str
) -> None:
    knobs: dict[str, Any] = {"seq_len": 24, "batch_size": 4}
    state = Loader(dataset, **knobs).state_dict()
    other = Loader(dataset, **{**knobs, **change})
    with pytest.raises(IntegrityError, match=f"{name} is .* in the state, .* here"):
        other.load_state_dict(state)


def test_a_state_of_another_dataset_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    other = open_dataset(str(published(tmp_path, {"web": [5, 6, 7]})))
    with pytest.raises(IntegrityError, match="dataset is"):
        Loader(other, 24, 4).load_state_dict(Loader(dataset, 24, 4).state_dict())


def test_knobs_that_cannot_be_are_refused(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="not divisible by world_size = 3"):
        Loader(dataset, 8, 4, world_size=3)
    with pytest.raises(ConfigError, match="Did you mean 'train'"):
        Loader(dataset, 8, 4, split="trian")
    with pytest.raises(ConfigError, match="shuffle = 'some'"):
        Loader(dataset, 8, 4, shuffle="some")


def test_without_end_there_is_always_a_next_batch(dataset: Dataset) -> None:
    loader = Loader(dataset, 100, 4, epochs=None)
    assert all((next(loader).samples_B >= 0).all() for _ in range(30))


# --- Verification ------------------------------------------------------------------------------


def copied(folder: Path, to: Path) -> Dataset:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            target = to / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return open_dataset(str(to))


def test_a_flipped_bit_in_any_token_byte_is_found(folder: Path, tmp_path: Path) -> None:
    damaged = copied(folder, tmp_path / "copy")
    (stream, *_) = damaged.streams("train")
    file, row_group = stream.files[0], stream.row_groups[0]
    path = Path(damaged.path(file))
    clean = path.read_bytes()
    columns = pq.read_metadata(path).row_group(row_group)
    chunk = columns.column(columns.num_columns - 1)
    assert chunk.path_in_schema == "tokens.list.element"
    for at in range(chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size):
        broken = bytearray(clean)
        broken[at] ^= 0x10
        path.write_bytes(broken)
        try:
            found = list(Loader(damaged, 16, 4, cache="memory", prefetch=0))
        except IntegrityError as error:
            assert file in str(error)  # noqa: PT017
            assert f"row group {row_group}" in str(error)  # noqa: PT017
        else:  # a byte of the page header that decoding does not use
            path.write_bytes(clean)
            assert rows_of(found) == rows_of(
                list(Loader(damaged, 16, 4, cache="memory", prefetch=0))
            )


def test_other_tokens_under_a_valid_page_are_found_by_the_checksum(
    folder: Path, tmp_path: Path
) -> None:
    damaged = copied(folder, tmp_path / "copy")
    stream = damaged.streams("train")[0]
    path = Path(damaged.path(stream.files[0]))
    table = pq.read_table(path)
    tokens = table["tokens"].to_pylist()
    tokens[0][0] += 1
    column = pa.array(tokens, table.schema.field("tokens").type)
    sizes = [pq.read_metadata(path).row_group(g).num_rows for g in stream.row_groups[:1]]
    changed = table.set_column(table.num_columns - 1, table.schema.field("tokens"), column)
    pq.write_table(changed.slice(0, sizes[0]), path)
    with pytest.raises(IntegrityError, match=r"row group 0: got xxh3-128 .*, expected "):
        read_row_group(damaged, stream, 0)


def test_a_missing_shard_and_a_damaged_index_name_the_file(folder: Path, tmp_path: Path) -> None:
    damaged = copied(folder, tmp_path / "copy")
    file = damaged.streams("train")[0].files[0]
    Path(damaged.path(file)).unlink()
    with pytest.raises(InputError, match=f"{file}.*no such file"):
        list(Loader(damaged, 16, 4, cache="memory", prefetch=0))
    index = Path(damaged.path(damaged.facts["index"]))
    index.write_bytes(index.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="index-"):
        open_dataset(str(tmp_path / "copy"))
    with pytest.raises(InputError, match=r"dataset\.json: no such file"):
        open_dataset(str(tmp_path))
