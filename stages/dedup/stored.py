"""What a run stores of its MinHash signatures for later runs, and how it is found again.

Under `dataset/dedup/` of a version lie two tables of the documents that the step kept, each cut
into a power of two of ranges, sorted within:

- `bands`: (key, doc_id), a row a document and band, by key; range r holds the keys whose leading
  bits are r;
- `signatures`: (doc_id, signature), by doc_id; range r holds the ids whose leading bits are r.

The version lists them under `dedup`, with the knobs that they were made with.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.files.uris import open_input
from pipeline.phases import Combine, Exchange, OutputFile, Phase, Tables
from pipeline.stage import Side
from stages.dedup.clusters import Int64s, matching_rows
from stages.dedup.minhash_walk import keys_of

if TYPE_CHECKING:
    from stages.dedup.minhash import MinhashDedup

TEXT_KNOBS = (
    "ngram",
    "num_hashes",
    "hash_seed",
    "scheme",
    "lower",
    "digits",
    "punctuation",
    "marks",
    "words",
    "shingle",
    "engine",
)
"""The knobs that a signature depends on."""
LAYOUT = ("bands", "rows")
"""Those that its bands depend on besides."""
SIGNATURE_VERSION = 1
"""Bump when equal knobs give other signatures or keys: another table of Unicode, another hash."""
RANGE_ROWS = 2_000_000
"""Rows a range of bands is planned for: 50 MB as it is stored, as much again where it is read."""
MAX_RANGES = 4096
USUAL_SCHEME = "affine32"
"""Not named in what is stored: what was stored before there was another one names none."""
BANDS, SIGNATURES = "bands", "signatures"
RANGES = pa.schema([("ranges", pa.int64())])


# --- Ranges ------------------------------------------------------------------------------------


def range_of(bits: npt.NDArray[np.uint64], ranges: int) -> Int64s:
    """The range of each value: its leading log2(ranges) bits."""
    if ranges == 1:
        return np.zeros(len(bits), dtype=np.int64)
    return (bits >> np.uint64(65 - ranges.bit_length())).astype(np.int64)


def id_bits(doc_ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """The first 64 bits of each doc_id, so that their order is that of the ids."""
    array = doc_ids.combine_chunks() if isinstance(doc_ids, pa.ChunkedArray) else doc_ids
    raw = np.frombuffer(array.buffers()[1] or b"", dtype=">u8")
    return raw[2 * array.offset : 2 * (array.offset + len(array)) : 2].astype(np.uint64)


def planned_ranges(rows: int) -> int:
    """A power of two, from the number of rows alone."""
    wanted = max(1, -(-rows // RANGE_ROWS))
    return int(min(MAX_RANGES, 1 << (wanted - 1).bit_length()))


# --- Storing -----------------------------------------------------------------------------------


def count_documents(tables: Tables, side: Side) -> pa.Table:
    """The number of signatures of one partition."""
    return pa.table({"ranges": pa.array([tables["signatures"].num_rows], pa.int64())})


def plan_ranges(counts: pa.Table, bands: int) -> pa.Table:
    """How many ranges the stored tables are cut into; a row."""
    documents = pc.sum(counts["ranges"]).as_py() if counts.num_rows else 0
    return pa.table({"ranges": [planned_ranges((documents or 0) * bands)]}, schema=RANGES)


def ranges_in(tables: Tables) -> int:
    return int(tables["ranges"]["ranges"][0].as_py())


def kept_signatures(tables: Tables, action: str) -> pa.Table:
    """The signatures of the documents of a partition that stay: all of them with `annotate`."""
    signatures, verdicts = tables["signatures"], tables["verdicts"]
    if action == "annotate":
        return signatures
    lost = verdicts.filter(pc.is_valid(verdicts["matched_doc_id"]))
    return signatures.filter(matching_rows(signatures, lost).is_null())


def stored_file(table: pa.Table, side: Side, what: str, about: Mapping[str, Any]) -> OutputFile:
    """One range as a finished file; its rows come sorted. `about` goes into the version's list."""
    number = table["range"][0].as_py()
    name = f"{side.step}-{what}-{number:05d}"
    path = side.scratch / f"{name}.parquet"
    columns = ["key", "doc_id"] if what == BANDS else ["doc_id", "signature"]
    # Hashes do not compress; sorted keys do, by their differences.
    encoding = {"key": "DELTA_BINARY_PACKED"} if what == BANDS else None
    rows = table.select(columns)
    if what == BANDS:
        rows = rows.set_column(0, "key", rows["key"].combine_chunks().view(pa.int64()))
    pq.write_table(rows, path, compression="zstd", use_dictionary=False, column_encoding=encoding)
    info = {"table": what, "step": side.step, "range": number, "ranges": ranges_in(side.tables),
            "documents": rows.num_rows, **about}  # fmt: skip
    return OutputFile(path, f"dataset/dedup/{name}-{{checksum}}.parquet", info)


# --- Earlier corpora ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Corpus:
    """What an earlier run stored."""

    path: str
    bands: Mapping[int, str]
    """Range -> file."""
    signatures: Mapping[int, str]
    ranges: int
    documents: int


def version_file(path: str) -> str:
    """The dataset's version that a path names: a workdir, a dataset's folder or the JSON itself.

    Raises ConfigError.
    """
    if path.endswith(".json"):
        return path
    tried = [f"{path.rstrip('/')}/{name}" for name in ("dataset/dataset.json", "dataset.json")]
    for name in tried:
        try:
            with open_input(name):
                return name
        except FileNotFoundError:
            continue
    raise ConfigError(
        f"against: no dataset at {path} (looked for {' and '.join(tried)}). Name the workdir of a "
        f"run that is done, or a file of its dataset/versions."
    )


@functools.lru_cache(maxsize=16)
def read_corpus(path: str, wanted: str) -> Corpus:
    """The corpus at a path. `wanted`: what its signatures must have been made with, as JSON.

    Raises ConfigError if nothing is stored there, or if it was made with something else.
    """
    name = version_file(path)
    try:
        with open_input(name) as stream:
            body = orjson.loads(stream.read())
    except (FileNotFoundError, orjson.JSONDecodeError) as error:
        raise ConfigError(f"against: {name} cannot be read: {error}.") from error
    entries = body.get("dedup", [])
    if not entries:
        raise ConfigError(
            f"against: {name} lists no signatures. Set `store: true` in the minhash_dedup of that "
            f"run and run it again: its texts are not read anew."
        )
    made = {entry["made_with"] for entry in entries}
    fitting = [entry for entry in entries if entry["made_with"] == wanted]
    if not fitting:
        raise ConfigError(
            f"against: the signatures of {name} were made otherwise: {_differences(made, wanted)}. "
            f"Give this step the same knobs, or store that run's signatures anew."
        )
    steps = {entry["step"] for entry in fitting}
    if len(steps) > 1:
        raise ConfigError(
            f"against: {name} holds signatures of several steps: {', '.join(sorted(steps))}. "
            f"Let one of them store."
        )
    folder = posixpath.dirname(name)
    if posixpath.basename(folder) == "versions":
        folder = posixpath.dirname(folder)
    files: dict[str, dict[int, str]] = {BANDS: {}, SIGNATURES: {}}
    for entry in fitting:
        files[entry["table"]][entry["range"]] = f"{folder}/{entry['file']}"
    documents = sum(e["documents"] for e in fitting if e["table"] == SIGNATURES)
    return Corpus(path, files[BANDS], files[SIGNATURES], fitting[0]["ranges"], documents)


def _differences(made: set[str], wanted: str) -> str:
    theirs, ours = ({"scheme": USUAL_SCHEME} | orjson.loads(one) for one in (min(made), wanted))
    names = [k for k in {**theirs, **ours} if theirs.get(k) != ours.get(k)]
    return ", ".join(f"{k} is {theirs.get(k)} there and {ours.get(k)} here" for k in sorted(names))


def bases(corpora: Sequence[Corpus]) -> list[int]:
    """The first bucket of each corpus; its ranges follow one another. One more ends the list."""
    return [sum(corpus.ranges for corpus in corpora[:n]) for n in range(len(corpora) + 1)]


def place_of(bucket: int, corpora: Sequence[Corpus]) -> tuple[int, int]:
    """(corpus, range) of a bucket."""
    starts = bases(corpora)
    number = max(n for n in range(len(corpora)) if starts[n] <= bucket)
    return number, bucket - starts[number]


def read_stored(path: str | None, columns: Sequence[str]) -> pa.Table | None:
    """A stored file; None for a range that holds nothing."""
    if path is None:
        return None
    with open_input(path) as stream:
        return pq.read_table(stream, columns=list(columns))


# --- Phases ------------------------------------------------------------------------------------


def made_with(stage: MinhashDedup) -> str:
    """What stored signatures and bands must share to be compared, as JSON."""
    left_out = {"engine"} | ({"scheme"} if stage.scheme == USUAL_SCHEME else set())
    names = [name for name in (*TEXT_KNOBS, *LAYOUT) if name not in left_out]
    found = {"signature_version": SIGNATURE_VERSION} | {n: getattr(stage, n) for n in names}
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()


def storing(stage: MinhashDedup) -> tuple[Phase, ...]:
    """With `store` the two tables of what is kept, for later runs."""
    if not stage.store:
        return ()
    about = {"made_with": made_with(stage)}

    def bands(tables: Tables, side: Side) -> pa.Table:
        kept, ranges = kept_signatures(tables, stage.action), ranges_in(tables)
        keys = keys_of(kept, stage.bands, stage.rows, stage.scheme).ravel()
        row = pa.array(np.repeat(np.arange(kept.num_rows), stage.bands))
        return pa.table(
            [pa.array(range_of(keys, ranges)), pa.array(keys), kept["doc_id"].take(row)],
            names=["range", "key", "doc_id"],
        )

    def signatures(tables: Tables, side: Side) -> pa.Table:
        kept = kept_signatures(tables, stage.action)
        at = pa.array(range_of(id_bits(kept["doc_id"]), ranges_in(tables)))
        return kept.select(["doc_id", "signature"]).append_column("range", at)

    def written(what: str) -> Callable[[pa.Table, Side], list[OutputFile]]:
        return lambda rows, side: [stored_file(rows, side, what, about)] if rows.num_rows else []

    reads = ("signatures", "verdicts", "ranges")
    return (
        Combine("ranges", ("signatures",), lambda rows, side: plan_ranges(rows, stage.bands),
                RANGES, count_documents, RANGES, ("bands",)),
        Exchange("stored_bands", reads, "range", written(BANDS), None, bands,
                 ("bands", "rows", "store", "action"), "value", ("key", "doc_id")),
        Exchange("stored_signatures", reads, "range", written(SIGNATURES), None, signatures,
                 ("store", "action"), "value", ("doc_id",)),
    )  # fmt: skip
