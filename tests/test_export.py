"""Exports: the stored order, six formats, and that nothing half-made stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_site import Cli, cli, copied, finished, flip  # noqa: F401
from conftest import ROOT, RunConfig, write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_exports import READERS, joined, same, stored_documents
from test_loader import published, published_documents
from test_mixture_run import DUMP, TRAIN, pages
from test_shards import tokenised

import stages.shard_writer
from benchmarks.peers import peer_environment, python_of
from loader import export_chunks, export_flat, export_parquet, open_dataset, stored_order
from loader.export import FORMATS, export
from loader.export_format import Facts
from pipeline.errors import ConfigError, InputError, IntegrityError
from stages.mix import Mix

SIZES = {"web": [17, 3, 40, 1, 25, 60, 9, 9, 30, 14, 70, 2], "books": [50, 33, 8, 90, 21]}
LENGTHS = st.lists(st.integers(1, 40), min_size=2, max_size=40)
MIXTURES = [
    Mix(validation_permille=0),
    Mix(weights={"web": 0.3, "books": 0.7}, max_epochs=3.5, validation_permille=200),
    Mix(
        stages=(
            {"name": "main", "tokens": 60, "weights": {"web": 0.5, "books": 0.5}},
            {"name": "end", "tokens": 50, "weights": {"web": 0.1, "books": 0.9}},
        ),
        max_epochs=200.0,
        validation_permille=100,
    ),
]


@pytest.fixture(scope="module")
def small_pieces() -> Any:
    """Every bound so small that a few documents cross it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.shard_writer, "ROW_GROUP_TOKENS", 40)
        patch.setattr(stored_order, "BATCH_ROWS", 3)
        patch.setattr(export_flat, "READ_IDS", 7)
        patch.setattr(export_chunks, "CHUNK_BYTES", 300)
        patch.setattr(export_parquet, "FILE_TOKENS", 90)
        yield


@pytest.fixture(scope="module")
def dataset(small_pieces: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("dataset"), SIZES)


# --- What is exported --------------------------------------------------------------------------


def twins(docs: pa.Table) -> pa.Table:
    """The same with pairs of equal ids, across groups and in one, and a missing offset."""
    ids, offsets = docs["doc_id"].to_pylist(), docs["offset"].to_pylist()
    half = len(ids) // 2
    ids[half : 2 * half] = ids[:half]
    ids[1], offsets[0] = ids[0], None
    docs = docs.set_column(0, docs.schema.field("doc_id"), pa.array(ids, pa.binary(16)))
    files = [f"{'cab'[at % 3]}.jsonl" for at in range(len(ids))]  # in no group's order
    for name, values in (("offset", pa.array(offsets, pa.int64())), ("file", pa.array(files))):
        docs = docs.set_column(docs.column_names.index(name), name, values)
    return docs


@settings(max_examples=12)
@given(
    LENGTHS,
    LENGTHS,
    st.sampled_from(MIXTURES),
    st.sampled_from([30, 100, 10_000]),
    st.booleans(),
    st.sampled_from([999, 70_000]),
)
def test_every_export_is_the_documents_of_all_shards_sorted_as_the_design_says(
    small_pieces: None, tmp_path_factory: pytest.TempPathFactory, web: list[int],
    books: list[int], mix: Mix, per_shard: int, paired: bool, top: int,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("exports")
    docs = tokenised({"web": web, "books": books}, top)
    docs = twins(docs) if paired else docs
    where = published_documents(folder, docs, mix, per_shard, top)
    splits = open_dataset(str(where)).splits
    expected = {split: stored_documents(where, split) for split in splits}
    for name in FORMATS:
        done = export(str(where), name, folder / name)
        for split in splits:
            same(name, folder / name, split, expected[split])
            assert done["splits"][split]["documents"] == len(expected[split])
            assert done["splits"][split]["tokens"] == len(joined(expected[split]))


def test_stages_follow_each_other_and_export_json_says_where_each_begins(tmp_path: Path) -> None:
    where = published_documents(tmp_path, tokenised(SIZES), MIXTURES[2], 30)
    done = export(str(where), "bin", tmp_path / "out")
    assert json.loads((tmp_path / "out/export.json").read_text()) == done
    first, second = done["splits"]["train"]["stages"]
    assert (first["name"], second["name"]) == ("main", "end")
    assert (first["first_token"], second["first_token"]) == (0, first["tokens"])
    ids = np.fromfile(tmp_path / "out/train.bin", np.uint16)
    index = pq.read_table(where / open_dataset(str(where)).facts["index"]).to_pylist()
    for number, stage in enumerate((first, second)):
        part = ids[stage["first_token"] : stage["first_token"] + stage["tokens"]]
        files = {r["file"] for r in index if r["split"] == "train" and r["stage"] == number}
        stored = [pq.read_table(where / file)["tokens"].to_pylist() for file in sorted(files)]
        assert sorted(part.tolist()) == sorted(joined([t for rows in stored for t in rows]))
        assert stage["documents"] == sum(map(len, stored))


def test_appended_dumps_are_merged_and_an_earlier_version_is_exported_by_its_number(
    run_yaml: RunConfig, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    use = TRAIN
    for name, rows in (("one", pages("web", 100)), ("two", pages("other", 90))):
        path = write_jsonl(tmp_path / f"{name}.jsonl", rows)
        values = {"seed": 0, "permille": 30, "append": "true", "path": path, "tokenizer": use}
        version = run_yaml(DUMP.format(**values), work)
        folder = work / "dataset" / version.dataset["tokenizer"]["folder"]
        use = f"use_tokenizer: {{file: {folder}/tokenizer.json}}"
    shards = [entry["file"] for entry in version.dataset["shards"]]
    assert len({file.rsplit("-", 1)[0] for file in shards}) < len(shards)  # two of one number
    for number in (None, 1):
        out = tmp_path / f"out-{number}"
        export(str(work / "dataset"), "megatron", out, version=number)
        for split in ("train", "validation"):
            same("megatron", out, split, stored_documents(work / "dataset", split, number))
    sizes = [(tmp_path / f"out-{number}/train.bin").stat().st_size for number in (None, 1)]
    assert sizes[0] > sizes[1]


def test_one_split_alone_can_be_exported_to_an_empty_folder(tmp_path: Path) -> None:
    where = published_documents(tmp_path, tokenised(SIZES), MIXTURES[1], 100)
    (tmp_path / "out").mkdir()
    export(str(where), "bin", tmp_path / "out", ["validation"])
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["export.json", "validation.bin", "validation.json"]


def test_chunks_and_files_end_where_their_bounds_say(dataset: Path, tmp_path: Path) -> None:
    for name, pattern in (("mds", "*.mds"), ("litdata", "*.bin"), ("hf", "*.parquet")):
        export(str(dataset), name, tmp_path / name)
        assert len(list((tmp_path / name).rglob(pattern))) > 3
    for path in (tmp_path / "litdata/train").glob("*.bin"):
        count = int.from_bytes(path.read_bytes()[:4], "little")
        assert count == 1 or path.stat().st_size <= 300 + 4 + 4


# --- The projects' own readers -----------------------------------------------------------------


@pytest.mark.slow  # the readers' environment is made where it is not there
def test_the_projects_own_readers_give_the_same_documents(tmp_path: Path) -> None:
    python = python_of("readers")
    where = published_documents(tmp_path, tokenised(SIZES), MIXTURES[1], 100)
    names = [name for name in FORMATS if name != "bin"]
    for name in names:
        export(str(where), name, tmp_path / "out" / name)
    command = [python, "-W", "ignore", "benchmarks/peers/read_export.py",
               tmp_path / "out", "train", tmp_path / "found.json", *names]  # fmt: skip
    home = {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        command, cwd=ROOT, env={**peer_environment(), **home}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "found.json").read_text())
    expected = stored_documents(where, "train")
    assert found.pop("litdata") == [joined(expected)]
    assert found == dict.fromkeys(("megatron", "ds", "mds", "hf"), expected)


# --- What goes wrong ---------------------------------------------------------------------------


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def end_of_a_page(path: Path) -> int:
    """A byte of a Parquet file's first pages: not every bit of a footer says something."""
    column = pq.read_metadata(path).row_group(0).column(0)
    first = column.dictionary_page_offset or column.data_page_offset
    return int(first + column.total_compressed_size - 2)


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_that_reads_back_otherwise_gets_no_name(
    dataset: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit of the data files of the finished export is turned, file by file."""
    writer = FORMATS[name][0]
    close = writer.close
    export(str(dataset), name, tmp_path / "whole")
    data = [p for p in (tmp_path / "whole").rglob("*") if p.is_file() and p.suffix != ".json"]
    data = [path.relative_to(tmp_path / "whole") for path in data]
    assert data
    for path in data:

        def broken(self: Any, path: Path = path) -> None:
            close(self)
            folder = self.folder.parent if self.folder.name == self.split else self.folder
            flip(folder / path, end_of_a_page(folder / path) if name == "hf" else None)

        monkeypatch.setattr(writer, "close", broken)
        with pytest.raises(IntegrityError, match="read back"):
            export(str(dataset), name, tmp_path / "out")
        assert left(tmp_path) == ["whole"]


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_that_lost_its_end_gets_no_name(
    dataset: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last block never reaches the writer, which makes a whole file without it."""
    writer = FORMATS[name][0]
    write = writer.write
    last = list(stored_order.stored_order(open_dataset(str(dataset)), "train"))[-1]

    def forgetful(self: Any, block: stored_order.Block) -> None:
        if not np.array_equal(block.tokens, last.tokens):
            write(self, block)

    monkeypatch.setattr(writer, "write", forgetful)
    with pytest.raises(IntegrityError, match="got the end when it was read back"):
        export(str(dataset), name, tmp_path / "out")
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", FORMATS)
def test_an_error_while_writing_leaves_nothing(
    dataset: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = FORMATS[name][0]
    write = writer.write
    seen: list[int] = []

    def full(self: Any, block: stored_order.Block) -> None:
        write(self, block)
        seen.append(len(block.tokens))
        if len(seen) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "write", full)
    with pytest.raises(InputError, match=r"cannot write .*/out: No space left"):
        export(str(dataset), name, tmp_path / "out")
    assert left(tmp_path) == []


def test_a_killed_export_leaves_the_wanted_name_free(dataset: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom loader import export, export_flat\n"
        "export_flat.RawWriter.close = lambda self: os.kill(os.getpid(), 9)\n"
        "export.export(sys.argv[1], 'bin', sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(dataset), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, check=False)
    assert done.returncode == -9
    (partial,) = left(tmp_path)
    assert partial.startswith(".out.")
    assert partial.endswith(".partial")
    export(str(dataset), "bin", tmp_path / "out")
    same("bin", tmp_path / "out", "train", stored_documents(dataset, "train"))


def test_a_damaged_shard_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    where = published(tmp_path, SIZES)
    shard = sorted((where / "shards").iterdir())[0]
    table = pq.read_table(shard)
    tokens = table["tokens"].to_pylist()
    tokens[0][0] ^= 1
    column = pa.array(tokens, table.schema.field("tokens").type)
    table = table.set_column(
        table.column_names.index("tokens"), table.schema.field("tokens"), column
    )
    footer = pq.read_metadata(shard).metadata[b"tokenmill"]
    with pq.ParquetWriter(shard, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({b"tokenmill": footer})
    with pytest.raises(IntegrityError, match=rf"{shard.name}, row group 0: got .* expected"):
        export(str(where), "bin", tmp_path / "out")
    shard.unlink()
    with pytest.raises(InputError, match=rf"{shard.name}: no such file"):
        export(str(where), "bin", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_shards_that_are_not_in_the_order_of_their_draws_are_refused(tmp_path: Path) -> None:
    where = published(tmp_path, SIZES)
    facts = json.loads((where / "dataset.json").read_text())
    (where / "dataset.json").write_text(json.dumps({**facts, "shuffle_seed": 99}))
    with pytest.raises(IntegrityError, match="not in the order of their draws"):
        export(str(where), "bin", tmp_path / "out")


def test_ids_that_a_format_cannot_hold_are_refused_before_anything_is_written() -> None:
    facts = Facts(np.dtype("<u4"), (1 << 31) + 1, {}, "x", {}, {})
    for name in ("megatron", "mds", "litdata", "hf"):
        with pytest.raises(ConfigError, match=r"2,147,483,649 ids.* choose `bin` or `ds`"):
            FORMATS[name][0].dtype_of(facts)
    assert FORMATS["bin"][0].dtype_of(facts) == FORMATS["ds"][0].dtype_of(facts) == np.uint32


# --- The command -------------------------------------------------------------------------------


def test_the_command_exports_what_a_run_published(copied: Path, cli: Cli) -> None:  # noqa: F811
    where = copied / "work/dataset"
    for name in READERS:
        code, out, err = cli("export", where, name, copied / name, "--json")
        assert code == 0, err
        about = json.loads(out)
        facts = json.loads((where / "dataset.json").read_text())
        assert about["dataset_fingerprint"] == facts["fingerprint"]
        for split in about["splits"]:
            same(name, copied / name, split, stored_documents(where, split))
    code, out, err = cli("export", where, "bin", copied / "text")
    assert code == 0
    assert "read back, equal to the shards token by token" in out


def test_the_command_says_what_is_wrong_and_what_to_do(copied: Path, cli: Cli) -> None:  # noqa: F811
    where = copied / "work/dataset"
    (copied / "full").mkdir()
    (copied / "full/mine.txt").write_text("mine")
    for arguments, wanted, says in (
        ((where, "megatrn", copied / "x"), 2, "no format 'megatrn'. Did you mean 'megatron'?"),
        ((where, "bin", copied / "full"), 2, "full exists. Expected a new or empty folder"),
        ((where, "bin", copied / "full/mine.txt"), 2, "mine.txt exists"),
        ((where, "bin", "s3://bucket/x"), 2, "expected a local folder"),
        ((where, "bin", copied / "x", "--split", "trian"), 2, "Did you mean 'train'?"),
        ((where, "bin", copied / "x", "--version", "7"), 3, "versions/7.json: no such file"),
        ((copied / "work", "bin", copied / "x"), 3, "dataset.json: no such file"),
        ((where, "bin", copied / "full/mine.txt/x"), 3, "cannot write"),
    ):
        code, _, err = cli("export", *arguments)
        assert (code, says in err) == (wanted, True), err
        assert not (copied / "x").exists()
