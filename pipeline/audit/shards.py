"""Reading token shards back: rows, footer, tokenizer, decoded pieces, and whether they are whole.

A shard's footer says under `tokenmill` what is true of the file (DESIGN section 7).
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pipeline.errors import InputError, IntegrityError
from pipeline.files.storage import Storage
from pipeline.files.uris import open_storage
from pipeline.schema import SHARD_FOOTER

"""Key of the footer's metadata that makes a Parquet file a token shard."""


def open_parquet(storage: Storage, path: str) -> pq.ParquetFile:
    """A stored Parquet file, opened. Raises FileNotFoundError, IntegrityError."""
    local = storage.local_path(path)
    try:
        return pq.ParquetFile(local if local is not None else storage.open(path))
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        raise IntegrityError(
            f"{storage.root}/{path} cannot be read as Parquet: {first_line(error)}. "
            f"`python -m pipeline verify` says which files of a workdir are damaged."
        ) from error


def first_line(error: Exception) -> str:
    """The first line of an error's text, without the full stop."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def footer_of(file: pq.ParquetFile) -> dict[str, Any] | None:
    """What a shard says of itself; None if the file is no token shard."""
    raw = (file.metadata.metadata or {}).get(SHARD_FOOTER)
    if raw is None:
        return None
    footer: dict[str, Any] = json.loads(raw)
    return footer


def read_rows(
    file: pq.ParquetFile, start: int, stop: int, columns: Sequence[str] | None = None
) -> pa.Table:
    """Rows start..stop-1 of a Parquet file, reading only the row groups that hold them."""
    groups, first, before = [], None, 0
    for number in range(file.num_row_groups):
        count = file.metadata.row_group(number).num_rows
        if before < stop and before + count > start:
            groups.append(number)
            first = before if first is None else first
        before += count
    table = file.read_row_groups(groups, columns=columns, use_threads=False)
    return table.slice(start - (first or 0), max(0, stop - start))


def read_row(file: pq.ParquetFile, row: int, path: str) -> dict[str, Any]:
    """One row of a shard. Raises InputError if it has no such row."""
    if not 0 <= row < file.metadata.num_rows:
        raise InputError(
            f"{path} has no row {row:,}: it holds {file.metadata.num_rows:,} rows, counted from 0."
        )
    found: dict[str, Any] = read_rows(file, row, row + 1).to_pylist()[0]
    return found


# --- tokenizer ---------------------------------------------------------------------------------


def tokenizer_beside(storage: Storage, path: str, sha256: str) -> bytes | None:
    """tokenizer.json with this sha256 of the dataset that a shard lies in; None if there is none.

    A shard's dataset is the folder above its own; a dataset may hold several versions' tokenizers.
    """
    dataset = open_storage(posixpath.dirname(posixpath.dirname(f"{storage.root}/{path}")))
    names = ["dataset.json", *(info.path for info in dataset.list("versions"))]
    for name in names:
        try:
            tokenizer = json.loads(dataset.get(name)).get("tokenizer") or {}
            if tokenizer.get("sha256") == sha256:
                return dataset.get(f"{tokenizer['folder']}/tokenizer.json")
        except (FileNotFoundError, ValueError, AttributeError):
            continue
    return None


class Decoder:
    """Token ids back to text, token by token."""

    def __init__(self, tokenizer_json: bytes) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_buffer(tokenizer_json)

    def text(self, ids: Sequence[int]) -> str:
        """The text of a run of tokens, special ones included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each token. One that ends inside a character is empty; the token that ends
        the character has it."""
        found: list[str] = []
        context, read = 0, 0  # decoders need the token before: they join and strip at the start
        for at in range(len(ids)):
            before, now = self.text(ids[context:read]), self.text(ids[context : at + 1])
            inside = now.endswith("\ufffd") and at - read < 16 and at + 1 < len(ids)
            if inside:
                found.append("")
                continue
            found.append(now[len(before) :])
            context, read = read, at + 1
        return found


# --- checks ------------------------------------------------------------------------------------


def check_shard(file: pq.ParquetFile) -> tuple[list[str], list[dict[str, Any]]]:
    """What is wrong with a shard (empty = whole), and each row group's documents, tokens, checksum.

    The checksum is the xxh3-128 of the row group's decoded little-endian token bytes.
    """
    footer = footer_of(file)
    if footer is None:
        return ["its footer lacks 'tokenmill': it is no token shard"], []
    wrong: list[str] = []
    groups: list[dict[str, Any]] = []
    promised = list(footer["xxh3_128"])
    if len(promised) != file.num_row_groups:
        wrong.append(f"{file.num_row_groups} row groups, its footer names {len(promised)}")
    first = 0
    for number in range(file.num_row_groups):
        table = file.read_row_group(number, columns=["num_tokens", "tokens"], use_threads=False)
        made = row_group_facts(table, footer["dtype"], first)
        if number < len(promised) and made["checksum"] != promised[number]:
            wrong.append(
                f"row group {number}: xxh3-128 {made['checksum'][:12]}, "
                f"its footer says {promised[number][:12]}"
            )
        if made.pop("lengths_differ"):
            wrong.append(f"row group {number}: num_tokens differs from the length of tokens")
        groups.append(made)
        first += made["tokens"]
    return wrong, groups


def row_group_facts(table: pa.Table, dtype: str, first: int) -> dict[str, Any]:
    """What the index says of a row group, and `lengths_differ`: num_tokens is not as it should."""
    tokens = table["tokens"].combine_chunks()
    if isinstance(tokens, pa.ChunkedArray):  # a row group may come back in several chunks
        tokens = pa.concat_arrays(tokens.chunks)
    values = tokens.flatten().to_numpy().astype(np.dtype(dtype).newbyteorder("<"), copy=False)
    lengths = np.diff(tokens.offsets.to_numpy())
    return {
        "first_token": first,
        "tokens": len(values),
        "documents": table.num_rows,
        "checksum": xxhash.xxh3_128_hexdigest(np.ascontiguousarray(values).data),
        "lengths_differ": not np.array_equal(lengths, table["num_tokens"].to_numpy()),
    }


def shard_number(h: int, count: int) -> int:
    """Number of the shard that holds a document of shuffle draw `h`: floor(h * count / 2^64)."""
    return (h * count) >> 64


def number_in_name(file: str) -> int:
    """k of a shard's name `<split>-<group>-<k>-<8 hex>.parquet`; -1 for another name."""
    parts = posixpath.basename(file).removesuffix(".parquet").rsplit("-", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else -1


def row_of(
    storage: Storage, path: str, document: Mapping[str, Any], copy: int | None
) -> tuple[int, int] | None:
    """(row, tokens) of a document in a shard or (copy None) in a Parquet document file.

    `document` has doc_id, file and offset.
    """
    columns = ["doc_id", "file", "offset", *(["copy", "num_tokens"] if copy is not None else [])]
    with open_parquet(storage, path) as file:
        before = 0
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, columns=columns, use_threads=False)
            ids = table["doc_id"].to_pylist()
            for at, doc_id in enumerate(ids):
                if doc_id != document["doc_id"]:
                    continue
                row = table.slice(at, 1).to_pylist()[0]
                same = (row["file"], row["offset"]) == (document["file"], document["offset"])
                if same and row.get("copy") == copy:
                    return before + at, int(row.get("num_tokens", 0))
            before += len(ids)
    return None
