"""Token shards: what they hold, and that nothing but the documents decides it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from token_phase_driver import TOKENISED, Outcome, parts, publish, run_phases, store, texts_table

import stages.shard_writer
from pipeline.draw import draw
from pipeline.errors import StageError
from pipeline.schema import shard_schema
from pipeline.stage import Side
from stages.mix import Mix
from stages.shard_writer import row_groups, safe
from stages.write_documents import WriteDocuments
from stages.write_shards import WriteShards, scaled


def tokenizer_folder(folder: Path, max_id: int = 999) -> Path:
    """The artefact of a tokenizer that needs no tokenizer: write_shards reads meta.json alone."""
    meta = {
        "vocab_size": max_id + 1,
        "max_id": max_id,
        "special_tokens": {"<|endoftext|>": 0},
        "sha256": "ab" * 32,
    }
    return store({"meta.json": json.dumps(meta).encode()}, folder)


def tokenised(sizes: dict[str, list[int]], top: int = 999) -> pa.Table:
    """Documents of the given token counts, their ids drawn from 1..top, with end id 0."""
    keys = [(group, str(at), "") for group, found in sizes.items() for at in range(len(found))]
    table = texts_table(keys).drop_columns(["text"])
    lengths = [size for found in sizes.values() for size in found]
    random = np.random.default_rng(7)
    tokens = [[*random.integers(1, top + 1, size - 1).tolist(), 0] for size in lengths]
    columns = [*table.columns, pa.array(lengths, pa.int32()), pa.array(tokens, TOKENISED[-1].type)]
    return pa.table(columns, schema=TOKENISED)


def written(
    docs: pa.Table, folder: Path, mix: Mix, *, count: int = 1, seed: int = 0, per_shard: int = 200
) -> Outcome:
    stage = WriteShards(tokens_per_shard=per_shard)
    return run_phases(
        stage,
        parts(docs, count, seed),
        folder,
        stages={"mixture": mix},
        artefacts={"tokenizer": tokenizer_folder(folder / "tokenizer")},
    )


def totals(outcome: Outcome) -> list[dict[str, Any]]:
    part = json.loads(outcome.artefacts["dataset"]["dataset.json"])
    found: list[dict[str, Any]] = part["totals"]
    return found


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@settings(max_examples=30, deadline=None)
@given(SIZES, SIZES, st.integers(1, 6), st.integers(0, 99), st.sampled_from([40, 200, 10_000]))
def test_partitions_and_order_do_not_change_a_byte_of_any_shard(
    tmp_path_factory: Any, web: list[int], books: list[int], count: int, seed: int, per_shard: int
) -> None:
    docs = tokenised({"web": web, "books": books})
    mix = Mix(weights={"web": 0.6, "books": 0.4}, max_epochs=2.5, validation_permille=0)
    one = written(docs, tmp_path_factory.mktemp("one"), mix, per_shard=per_shard)
    many = written(
        docs, tmp_path_factory.mktemp("many"), mix, count=count, seed=seed, per_shard=per_shard
    )
    assert one.files == many.files  # the names hold the sha256
    assert one.artefacts == many.artefacts


@settings(max_examples=30, deadline=None)
@given(SIZES, SIZES, st.floats(0.2, 3.9), st.integers(0, 500))
def test_documents_times_copies_is_written_plus_cut_and_is_what_the_files_hold(
    tmp_path_factory: Any, web: list[int], books: list[int], epochs: float, permille: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    docs = tokenised({"web": web, "books": books})
    mix = Mix(tokens=None, max_epochs=epochs, validation_permille=permille)
    outcome = written(docs, folder, mix, count=3)
    found: dict[tuple[str, str], list[int]] = {}
    for name, info in outcome.files.items():
        rows = pq.read_table(folder / name)
        counts = found.setdefault((info["split"], info["group"]), [0, 0])
        counts[0] += rows.num_rows
        counts[1] += sum(rows["num_tokens"].to_pylist())
    for group in totals(outcome):
        documents, tokens = found.get((group["split"], group["group"]), [0, 0])
        assert (documents, tokens) == (group["written_documents"], group["written_tokens"])
        assert group["documents"] * group["copies"] == documents + group["cut_documents"]
        assert group["tokens"] * group["copies"] == tokens + group["cut_tokens"]


STAGED = Mix(
    stages=(
        {"name": "main", "tokens": "75%", "weights": {"web": 0.8, "books": 0.2}},
        {"name": "end", "tokens": "25%", "weights": {"web": 0.3, "books": 0.7}},
    ),
    max_epochs=2.5,
    upsample={"column": "num_tokens", "copies": {1: 1, 15: 2, 30: 0}},
    validation_permille=100,
)


@settings(max_examples=20, deadline=None)
@given(SIZES, SIZES, st.integers(2, 6), st.integers(0, 99))
def test_stages_and_copies_give_the_same_bytes_for_any_partitions_and_lose_no_document(
    tmp_path_factory: Any, web: list[int], books: list[int], count: int, seed: int
) -> None:
    docs = tokenised({"web": [*web, *[9] * 5], "books": [*books, *[7] * 5]})
    folder = tmp_path_factory.mktemp("one")
    one = written(docs, folder, STAGED)
    many = written(docs, tmp_path_factory.mktemp("many"), STAGED, count=count, seed=seed)
    assert one.files == many.files
    assert one.artefacts == many.artefacts
    found: dict[tuple[str, str, str], list[int]] = {}
    for name, info in one.files.items():
        rows = pq.read_table(folder / name)
        footer = json.loads(pq.read_metadata(folder / name).metadata[b"tokenmill"])
        stage = footer.get("stage", "")
        assert (info.get("stage", ""), stage == "") == (stage, info["split"] == "validation")
        assert Path(name).name.startswith(f"train.{stage}-" if stage else "validation-")
        counts = found.setdefault((info["split"], info["group"], stage), [0, 0])
        counts[0] += rows.num_rows
        counts[1] += sum(rows["num_tokens"].to_pylist())
        assert not [n for n in rows["num_tokens"].to_pylist() if n >= 30]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in totals(one):
        key = (row["split"], row["group"], row.get("stage", ""))
        assert found.pop(key, [0, 0]) == [row["written_documents"], row["written_tokens"]]
        groups.setdefault(key[:2], []).append(row)
    assert not found
    for rows_of in groups.values():
        copies = sum(row["copies"] for row in rows_of)
        for unit in ("documents", "tokens"):
            there = copies * rows_of[0][f"epoch_{unit}"]
            assert there == sum(row[f"written_{unit}"] + row[f"cut_{unit}"] for row in rows_of)
    left_out = sum(rows_of[0]["left_out"] for rows_of in groups.values())
    assert left_out == sum(size >= 30 for size in (*web, *books))


def test_epochs_write_whole_copies_and_cut_only_the_last(tmp_path: Path) -> None:
    docs = tokenised({"web": [10] * 20, "books": [10] * 20})
    mix = Mix(weights={"web": 250.0, "books": 50.0}, tokens=600, validation_permille=0)
    outcome = written(docs, tmp_path, mix)
    copies: dict[str, list[int]] = {"web": [], "books": []}
    for name, info in outcome.files.items():
        copies[info["group"]] += pq.read_table(tmp_path / name)["copy"].to_pylist()
    assert sorted(copies["web"]) == [0] * 20 + [1] * 20 + [2] * 10
    assert sorted(copies["books"]) == [0] * 10
    by_group = {group["group"]: group for group in totals(outcome)}
    assert (by_group["web"]["epochs"], by_group["books"]["epochs"]) == (2.5, 0.5)


def test_rows_stand_in_shuffle_order_over_the_shards_of_a_group(tmp_path: Path) -> None:
    docs = tokenised({"web": [9] * 100})
    mix = Mix(tokens=1800, validation_permille=0)  # every document twice
    outcome = written(docs, tmp_path, mix, count=4)
    shards = sorted(outcome.files, key=lambda name: outcome.files[name]["shard"])
    assert len(shards) == 9  # 1,800 tokens over 200
    order = []
    for name in shards:
        rows = pq.read_table(tmp_path / name)
        number = outcome.files[name]["shard"]
        nodes = zip(rows["doc_id"].to_pylist(), rows["copy"].to_pylist(), strict=True)
        h = [draw(1, "shuffle", doc_id, copy) for doc_id, copy in nodes]
        assert {value * 9 >> 64 for value in h} == {number}
        order += h
    assert order == sorted(order)
    assert len(order) == 200


def test_a_shard_reads_back_as_the_documents_with_their_provenance(tmp_path: Path) -> None:
    docs = tokenised({"web": [5, 1, 30], "Büch/er": [4]})
    outcome = written(docs, tmp_path, Mix(validation_permille=0))
    expected = {row["doc_id"]: row for row in docs.to_pylist()}
    for name, info in outcome.files.items():
        table = pq.read_table(tmp_path / name)
        assert table.schema.equals(shard_schema("uint16"))
        for row in table.to_pylist():
            assert row.pop("copy") == 0
            assert row == expected.pop(row["doc_id"])
        assert Path(name).name.startswith(f"train-{safe(info['group'])}-{info['shard']}-")
    assert not expected
    assert any("b_ch_er" in name for name in outcome.files)


def test_footers_hold_the_checksum_of_each_row_groups_token_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages.shard_writer, "ROW_GROUP_TOKENS", 50)
    docs = tokenised({"web": [20, 20, 20, 20, 90, 1]})
    outcome = written(docs, tmp_path, Mix(validation_permille=0), per_shard=10_000)
    ((name, info),) = outcome.files.items()
    file = pq.ParquetFile(tmp_path / name)
    footer = json.loads(file.metadata.metadata[b"tokenmill"])
    assert footer["special_tokens"] == {"<|endoftext|>": 0}
    assert (footer["dtype"], footer["shard"], footer["shards"]) == ("uint16", 0, 1)
    assert file.num_row_groups == len(footer["xxh3_128"]) == len(info["row_groups"]) > 1
    first = 0
    for at, group in enumerate(info["row_groups"]):
        rows = file.read_row_group(at)
        values = np.concatenate(rows["tokens"].to_numpy()).astype("<u2")
        assert xxhash.xxh3_128_hexdigest(values.tobytes()) == footer["xxh3_128"][at]
        assert group == {
            "first_token": first,
            "tokens": len(values),
            "documents": rows.num_rows,
            "checksum": footer["xxh3_128"][at],
        }
        first += len(values)
    assert first == info["tokens"] == 171


@pytest.mark.parametrize(("max_id", "dtype"), [(65_535, "uint16"), (65_536, "uint32")])
def test_ids_above_65535_are_written_as_uint32(max_id: int, dtype: str, tmp_path: Path) -> None:
    stage = WriteShards()
    artefacts = {"tokenizer": tokenizer_folder(tmp_path / "t", max_id=max_id)}
    docs = tokenised(
        {"web": [50]}, top=999
    )  # the largest possible id decides, not the largest seen
    outcome = run_phases(stage, [docs], tmp_path, artefacts=artefacts)
    ((name, info),) = outcome.files.items()
    assert info["dtype"] == dtype
    assert pq.read_table(tmp_path / name).schema.equals(shard_schema(dtype))


def test_an_id_that_the_tokenizer_lacks_is_never_written(tmp_path: Path) -> None:
    docs = tokenised({"web": [50]}, top=70_000)
    with pytest.raises(StageError, match="not encoded with this tokenizer"):
        written(docs, tmp_path, Mix())


def test_a_corpus_without_documents_has_no_shard(tmp_path: Path) -> None:
    outcome = written(TOKENISED.empty_table(), tmp_path, Mix())
    assert outcome.files == {}
    assert totals(outcome) == []


@given(st.integers(0, 2**64 - 1), st.integers(1, 2**32 - 1))
def test_the_shard_number_is_exact_integer_arithmetic(h: int, count: int) -> None:
    found = scaled(np.array([h], np.uint64), np.array([count], np.uint64))
    assert found.tolist() == [h * count >> 64]


@given(st.lists(st.integers(0, 30), max_size=50), st.integers(1, 60))
def test_row_groups_hold_whole_rows_and_close_at_the_limit(sizes: list[int], limit: int) -> None:
    ranges = list(row_groups(np.array(sizes, np.int64), limit))
    assert [row for start, stop in ranges for row in range(start, stop)] == list(range(len(sizes)))
    for start, stop in ranges:
        assert sum(sizes[start : stop - 1]) < limit
        assert stop == len(sizes) or sum(sizes[start:stop]) >= limit


@pytest.mark.parametrize("knobs", [("parquet", "auto"), ("jsonl", "auto"), ("jsonl", "none")])
def test_documents_are_written_with_the_same_bytes_whatever_the_batches(
    tmp_path: Path, knobs: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.write_documents.ROW_GROUP_BYTES", 100_000)
    rows = [("web", str(at), f"text ünd {at} " * (at * 7 % 900)) for at in range(300)]
    docs = texts_table(rows)
    stage = WriteDocuments(format=knobs[0], compression=knobs[1])
    stage.check()
    names = []
    for size in (300, 17):
        scratch = tmp_path / str(size)
        scratch.mkdir()
        cut = (docs.slice(at, size) for at in range(0, 300, size))
        made = stage.write(cut, "ab" * 16, Side("clean", 1, scratch=scratch))
        assert made is not None
        names.append(publish(made, tmp_path / "out")[0])
    assert names[0] == names[1]
    path = tmp_path / "out" / names[0]
    assert names[0].startswith(f"documents/clean/{'ab' * 16}-")
    if knobs[0] == "parquet":
        assert pq.read_table(path).equals(docs)
        assert pq.read_metadata(path).num_row_groups > 3
        return
    content = path.read_bytes() if knobs[1] == "none" else gzip.decompress(path.read_bytes())
    lines = [json.loads(line) for line in content.decode().splitlines()]
    assert [line["text"] for line in lines] == docs["text"].to_pylist()
    assert lines[0]["doc_id"] == docs["doc_id"][0].as_py().hex()


def test_a_partition_without_documents_writes_no_file(tmp_path: Path) -> None:
    side = Side("clean", 1, scratch=tmp_path)
    assert WriteDocuments().write(iter([texts_table([])]), "00", side) is None
