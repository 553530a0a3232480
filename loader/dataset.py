"""A published dataset as the loader sees it: dataset.json, the index, and token streams.

Opening reads two small files, never a shard's footer. Of dataset.json the loader uses
`format_version`, `dtype`, `index` (file name beside it) and `fingerprint`; of the index the
columns of `INDEX` and `stage`, where the mixture has stages (named in dataset.json's
`mixture.stages`). A **stream** is the row groups of one (split, stage, group) in order of shard
number: a single run of tokens in stored order, in which whole documents follow each other.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from loader.packed_ids import bits_of
from pipeline.errors import ConfigError, InputError, IntegrityError, nearest
from pipeline.schema import FORMAT_VERSION

INDEX = pa.schema(
    [
        ("file", pa.string()),  # relative to the dataset's folder
        ("group", pa.string()),
        ("split", pa.string()),
        ("row_group", pa.int32()),
        ("first_token", pa.int64()),  # tokens of the file before this row group
        ("tokens", pa.int64()),
        ("documents", pa.int64()),
        ("checksum", pa.string()),  # xxh3-128 of the decoded little-endian token bytes, hex
    ]
)


class Place(NamedTuple):
    """One row group as the index names it."""

    file: str
    """Relative to the dataset's folder."""
    row_group: int
    """Its number in the file."""
    tokens: int
    documents: int
    checksum: str


_NAMES = ["file", "group", "split"]


@dataclass(frozen=True, eq=False)
class Stream:
    """The row groups of one (split, stage, group), in order."""

    split: str
    group: str
    stage: int
    """Number of the stage, from 0; 0 where the mixture has none."""
    listed: pa.Table
    """The index. Of 100,000 shards it has millions of rows: one is made into Python objects when
    it is asked for."""
    order: npt.NDArray[np.int64]
    """Its row of each row group."""
    starts: npt.NDArray[np.int64]
    """Tokens before each row group, and last the tokens of the whole stream."""

    def place(self, number: int) -> Place:
        """Row group `number` of the stream."""
        row = int(self.order[number])
        return Place(*(self.listed[name][row].as_py() for name in Place._fields))

    @cached_property
    def files(self) -> tuple[str, ...]:
        """File of each row group."""
        return tuple(self.listed["file"].take(pa.array(self.order)).to_pylist())

    @cached_property
    def row_groups(self) -> tuple[int, ...]:
        """Number of each row group in its file."""
        return tuple(self.listed["row_group"].take(pa.array(self.order)).to_pylist())

    @property
    def tokens(self) -> int:
        return int(self.starts[-1])

    def windows(self, seq_len: int) -> int:
        """Windows of `seq_len` input tokens, the last one possibly shorter."""
        return -(-self.tokens // seq_len)


@dataclass(frozen=True)
class Dataset:
    """An opened dataset. Make it with `open_dataset`."""

    filesystem: pafs.FileSystem
    root: str
    """Folder of dataset.json on `filesystem`."""
    facts: dict[str, Any]
    """The content of dataset.json."""
    listed: pa.Table
    """The index with its repeated names as dictionaries, each column in one piece."""

    @cached_property
    def index(self) -> pa.Table:
        """The index with the column `stage`, as `INDEX` says."""
        stage = pa.field("stage", pa.int32())
        return self.listed.cast(INDEX.append(stage))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored ids, little-endian."""
        kind: np.dtype[Any] = np.dtype(self.facts["dtype"])
        return kind.newbyteorder("<")

    @property
    def id_bits(self) -> int:
        """Bits that hold every id, by the tokenizer's largest one; those of `dtype` where
        dataset.json does not say it. Raises InputError."""
        width = 8 * self.dtype.itemsize
        largest = (self.facts.get("tokenizer") or {}).get("max_id")
        if largest is None:
            return width
        if not isinstance(largest, int) or not 0 <= largest < 1 << width:
            raise InputError(
                f"{self.root}/dataset.json: tokenizer.max_id is {largest!r}, expected an id that "
                f"{self.dtype} holds. Copy the dataset again."
            )
        return max(bits_of(largest), width // 2 + 1)

    @property
    def fingerprint(self) -> str:
        return str(self.facts["fingerprint"])

    @property
    def shuffle_seed(self) -> int:
        """Seed of the draws that the stored order goes by. Raises InputError."""
        if "shuffle_seed" not in self.facts:
            raise InputError(
                f"{self.root}/dataset.json: lacks 'shuffle_seed'. Is this a finished token dataset?"
            )
        return int(self.facts["shuffle_seed"])

    @cached_property
    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(pc.unique(self.listed["split"]).to_pylist()))

    def path(self, file: str) -> str:
        return f"{self.root}/{file}"

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Names of the mixture's stages in order; none where it has none."""
        found = self.facts.get("mixture", {}).get("stages", ())
        return tuple(str(stage["name"]) for stage in found)

    def check_split(self, split: str) -> None:
        """Raises ConfigError unless the dataset has such a split."""
        if split not in self.splits:
            raise ConfigError(f"{self.root}: no split '{split}'.{nearest(split, self.splits)}")

    def streams(self, split: str, stage: str | None = None) -> tuple[Stream, ...]:
        """The streams of a split, or of one stage of it, in order of (stage, group); at least one.

        Raises ConfigError.
        """
        self.check_split(split)
        stages = self.listed["stage"].to_numpy()
        chosen = _codes(self.listed["split"], split)
        if stage is not None:
            if stage not in self.stages:
                raise ConfigError(f"{self.root}: no stage '{stage}'.{nearest(stage, self.stages)}")
            chosen &= stages == self.stages.index(stage)
            if not chosen.any():
                raise ConfigError(f"{self.root}: stage '{stage}' has no tokens in '{split}'.")
        turns = _file_turns(self.listed["file"])
        row_groups, tokens = (self.listed[name].to_numpy() for name in ("row_group", "tokens"))
        found = []
        for number in np.unique(stages[chosen]).tolist():
            for group in sorted(pc.unique(self.listed["group"]).to_pylist()):
                here = chosen & (stages == number) & _codes(self.listed["group"], group)
                rows = np.flatnonzero(here)
                if len(rows):
                    order = rows[np.lexsort((row_groups[rows], turns[rows]))]
                    starts = np.concatenate([[0], np.cumsum(tokens[order])]).astype(np.int64)
                    found.append(Stream(split, group, number, self.listed, order, starts))
        return tuple(found)


def _codes(column: pa.ChunkedArray, value: str) -> npt.NDArray[np.bool_]:
    """Where a dictionary column has the value."""
    array = column.chunk(0)
    at = array.dictionary.index(value).as_py()
    found: npt.NDArray[np.bool_] = array.indices.to_numpy() == at
    return found


def _file_turns(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Each row's file by its turn: files follow each other by shard number, then by name."""
    array = column.chunk(0)
    names = array.dictionary
    numbers = pc.struct_field(pc.extract_regex(names, r"-(?P<k>[0-9]+)-[^-]*$"), "k")
    if numbers.null_count:
        shard_number(names[numbers.is_null().index(True).as_py()].as_py())  # raises
    files = pa.table({"number": numbers.cast(pa.int64()), "name": names})
    order = pc.sort_indices(files, [("number", "ascending"), ("name", "ascending")])
    turns = np.empty(len(names), np.int64)
    turns[order.to_numpy()] = np.arange(len(names))
    found: npt.NDArray[np.int64] = turns[array.indices.to_numpy()]
    return found


def shard_number(file: str) -> int:
    """k of `shards/<split>-<group>-<k>-<8 hex>.parquet`."""
    try:
        return int(file.rsplit("-", 2)[1])
    except (IndexError, ValueError):
        raise InputError(
            f"{file}: expected a name like shards/<split>-<group>-<number>-<8 hex>.parquet in the "
            f"dataset's index. Shards are never renamed."
        ) from None


def open_dataset(
    uri: str | os.PathLike[str], version: int | None = None, *, filesystem: Any = None
) -> Dataset:
    """The dataset in a folder: a local path or a URI that pyarrow.fs knows (s3://, gs://, ...).

    With `filesystem`, of pyarrow or of fsspec (such as `obstore.fsspec.FsspecStore`), `uri` is a
    path on it. The version in force, or an earlier one by its number.

    Raises InputError where there is none or it is of another format, IntegrityError where the index
    is not the file that it names.
    """
    root = uri = os.fspath(uri)
    if filesystem is not None:
        if not isinstance(filesystem, pafs.FileSystem):
            filesystem = pafs.PyFileSystem(pafs.FSSpecHandler(filesystem))
    elif "://" in uri:
        filesystem, root = pafs.FileSystem.from_uri(uri)
    else:
        filesystem, root = pafs.LocalFileSystem(), os.path.abspath(uri)  # may change folders later
    root = root.rstrip("/")
    path = f"{root}/dataset.json" if version is None else f"{root}/versions/{version}.json"
    try:
        facts = json.loads(_read(filesystem, path))
    except ValueError as error:
        raise InputError(f"{path}: not whole JSON ({error}). Copy the dataset again.") from None
    if facts.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: format_version is {facts.get('format_version')}, this loader reads "
            f"{FORMAT_VERSION}. Use the Tokenmill version that wrote the dataset."
        )
    for name in ("dtype", "index", "fingerprint"):
        if name not in facts:
            raise InputError(f"{path}: lacks '{name}'. Is this a finished token dataset?")
    return Dataset(filesystem, root, facts, read_index(filesystem, f"{root}/{facts['index']}"))


def read_index(filesystem: pafs.FileSystem, path: str) -> pa.Table:
    """The index with the column `stage`, verified against the digits of its sha256 in its name.

    Files, groups and splits are dictionaries; each column is one piece.
    """
    content = _read(filesystem, path)
    name = path.rpartition("/")[2]
    found = hashlib.sha256(content).hexdigest()[:8]
    if found not in name:
        raise IntegrityError(
            f"{path}: its sha256 begins with {found}, its name says otherwise. The file is "
            f"damaged: restore it, or publish the dataset again."
        )
    table = pq.read_table(pa.BufferReader(content), read_dictionary=_NAMES)
    stage = pa.array([0] * table.num_rows, pa.int32())
    if "stage" in table.column_names:
        stage = pc.fill_null(table["stage"].cast(pa.int32()), 0)
    table = table.select(INDEX.names).append_column("stage", stage)
    table = table.unify_dictionaries().combine_chunks()
    kinds = {field.name: field.type for field in INDEX}
    kinds |= {name: pa.dictionary(pa.int32(), pa.string()) for name in _NAMES}
    return table.cast(pa.schema([*kinds.items(), ("stage", pa.int32())]))


def _read(filesystem: pafs.FileSystem, path: str) -> bytes:
    try:
        with filesystem.open_input_file(path) as stream:
            content: bytes = stream.read()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Give the folder that holds it.") from error
    return content
