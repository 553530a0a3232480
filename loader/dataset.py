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
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

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


@dataclass(frozen=True, eq=False)
class Stream:
    """The row groups of one (split, stage, group), in order."""

    group: str
    stage: int
    """Number of the stage, from 0; 0 where the mixture has none."""
    rows: pa.Table
    """The index rows of these row groups: of 100,000 shards there are millions, so that a row is
    made into Python objects when it is asked for."""
    starts: npt.NDArray[np.int64]
    """Tokens before each row group, and last the tokens of the whole stream."""

    def place(self, number: int) -> Place:
        """Row group `number` of the stream."""
        row = (self.rows[name][number].as_py() for name in Place._fields)
        return Place(*row)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """File of each row group."""
        return tuple(self.rows["file"].to_pylist())

    @cached_property
    def row_groups(self) -> tuple[int, ...]:
        """Number of each row group in its file."""
        return tuple(self.rows["row_group"].to_pylist())

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
    index: pa.Table

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored ids, little-endian."""
        kind: np.dtype[Any] = np.dtype(self.facts["dtype"])
        return kind.newbyteorder("<")

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
        return tuple(sorted(pc.unique(self.index["split"]).to_pylist()))

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
        rows = self.index.filter(pc.equal(self.index["split"], split))
        if stage is not None:
            if stage not in self.stages:
                raise ConfigError(f"{self.root}: no stage '{stage}'.{nearest(stage, self.stages)}")
            rows = rows.filter(pc.equal(rows["stage"], self.stages.index(stage)))
            if not rows.num_rows:
                raise ConfigError(f"{self.root}: stage '{stage}' has no tokens in '{split}'.")
        names = rows.group_by(["stage", "group"]).aggregate([])
        found = []
        pairs = zip(names["stage"].to_pylist(), names["group"].to_pylist(), strict=True)
        for number, group in sorted(pairs):
            of_group = pc.and_(pc.equal(rows["group"], group), pc.equal(rows["stage"], number))
            found.append(_stream(rows.filter(of_group), group, number))
        return tuple(found)


def shard_number(file: str) -> int:
    """k of `shards/<split>-<group>-<k>-<8 hex>.parquet`."""
    try:
        return int(file.rsplit("-", 2)[1])
    except (IndexError, ValueError):
        raise InputError(
            f"{file}: expected a name like shards/<split>-<group>-<number>-<8 hex>.parquet in the "
            f"dataset's index. Shards are never renamed."
        ) from None


def _stream(rows: pa.Table, group: str, stage: int) -> Stream:
    files = rows["file"].combine_chunks().dictionary_encode()
    if isinstance(files, pa.ChunkedArray):
        files = files.combine_chunks()
    names = files.dictionary.to_pylist()
    ranked = sorted(range(len(names)), key=lambda at: (shard_number(names[at]), names[at]))
    turns = np.empty(len(names), np.int64)
    turns[ranked] = np.arange(len(names))
    order = np.lexsort((rows["row_group"].to_numpy(), turns[files.indices.to_numpy()]))
    if not np.array_equal(order, np.arange(len(order))):
        rows = rows.take(pa.array(order))
    rows = rows.combine_chunks()
    starts = np.concatenate([[0], np.cumsum(rows["tokens"].to_numpy())]).astype(np.int64)
    return Stream(group, stage, rows, starts)


def open_dataset(uri: str, version: int | None = None, *, filesystem: Any = None) -> Dataset:
    """The dataset in a folder: a local path or a URI that pyarrow.fs knows (s3://, gs://, ...).

    With `filesystem`, of pyarrow or of fsspec (such as `obstore.fsspec.FsspecStore`), `uri` is a
    path on it. The version in force, or an earlier one by its number. Raises InputError where there
    is none or it is of another format, IntegrityError where the index is not the file that it names.
    """
    root = uri
    if filesystem is not None:
        if not isinstance(filesystem, pafs.FileSystem):
            filesystem = pafs.PyFileSystem(pafs.FSSpecHandler(filesystem))
    elif "://" in uri:
        filesystem, root = pafs.FileSystem.from_uri(uri)
    else:
        filesystem = pafs.LocalFileSystem()
    root = root.rstrip("/")
    path = f"{root}/dataset.json" if version is None else f"{root}/versions/{version}.json"
    facts = json.loads(_read(filesystem, path))
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
    """The index with the column `stage`, verified against the digits of its sha256 in its name."""
    content = _read(filesystem, path)
    name = path.rpartition("/")[2]
    found = hashlib.sha256(content).hexdigest()[:8]
    if found not in name:
        raise IntegrityError(
            f"{path}: its sha256 begins with {found}, its name says otherwise. The file is "
            f"damaged: restore it, or publish the dataset again."
        )
    table = pq.read_table(pa.BufferReader(content))
    stage = pa.array([0] * table.num_rows, pa.int32())
    if "stage" in table.column_names:
        stage = pc.fill_null(table["stage"].cast(pa.int32()), 0)
    return table.select(INDEX.names).cast(INDEX).append_column("stage", stage)


def _read(filesystem: pafs.FileSystem, path: str) -> bytes:
    try:
        with filesystem.open_input_file(path) as stream:
            content: bytes = stream.read()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Give the folder that holds it.") from error
    return content
