"""Examples of benchmarks, and the runs of their words that a contaminated document holds.

A benchmark is a file: JSON Lines (plain, gzip, bzip2, zstd) or Parquet (gzip too); its name is that
of the file without its suffixes. An example is a row, numbered from 0. Its passages are

- the wanted fields, one after the other;
- each wanted string field alone that is shorter than n words, but has `min_ngram`: a question
  without its answers. (A longer one is in the whole run by run.)

A passage of n words gives each run of n words; a shorter one is looked for as a whole. Each is
looked for twice: with punctuation between words, and with punctuation taken out (`well-known` as
`well known` and `wellknown`). Examples of fewer than `min_example_words` are counted and not looked
for.
"""

from __future__ import annotations

import functools
import io
import itertools
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError, nearest
from pipeline.files.uris import find_inputs, open_input
from pipeline.planning.fingerprint import path_digest

if TYPE_CHECKING:
    from stages.kernels.grams import Grams

_SUFFIXES = re.compile(r"(\.(jsonl|json|ndjson|parquet|gz|bz2|zst))+$")
_PACKED = ((b"\x1f\x8b", "gzip"), (b"BZh", "bz2"), (b"\x28\xb5\x2f\xfd", "zstd"))
PERCENTILE = 5
"""GPT-3, appendix C: n is the 5th percentile of the examples' lengths."""
MAX_PLACES = 1000
"""A run that more passages hold is the benchmark's form, not an example: it is taken for one of the
first so many, so that a common phrase in many documents stays cheap."""
Int64s = npt.NDArray[np.int64]
_NONE = np.empty(0, np.int64)
_TERM = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Lengths:
    """How long runs are; the knobs of `decontaminate` say where each comes from."""

    ngram: int
    min_ngram: int
    percentile: bool
    min_example_words: int
    seed_words: int
    skip_words: int


@dataclass(frozen=True)
class Benchmark:
    """One benchmark, as it is looked for."""

    name: str
    ngram: int
    examples: int
    short_examples: int
    """Examples of fewer than `min_example_words`, which are not looked for."""


@dataclass(frozen=True)
class Index:
    """The runs of all benchmarks. A gram's places are places[ends[g]:ends[g + 1]]."""

    benchmarks: tuple[Benchmark, ...]
    grams: Grams
    ends: Int64s
    places: Int64s
    """(passage, number of its word) a row."""
    passage_example: Int64s
    """Item of each passage, counted over all benchmarks."""
    passage_words: Int64s
    first_example: Int64s
    """Of each benchmark, and at the end the number of all examples."""


def benchmark_files(patterns: Sequence[str]) -> dict[str, str]:
    """Name -> path of every benchmark, by name. Raises ValueError."""
    found: dict[str, str] = {}
    for pattern in patterns:
        files = find_inputs(pattern)
        if not files:
            raise ValueError(f"benchmarks: no file at {pattern}. Give the path of existing files.")
        for path in (info.path for info in files):
            name = _SUFFIXES.sub("", posixpath.basename(path))
            if found.setdefault(name, path) != path:
                raise ValueError(
                    f"benchmarks: {found[name]} and {path} have one name, '{name}'. The report "
                    f"tells benchmarks apart by their names: rename one."
                )
    return dict(sorted(found.items()))


def read_rows(path: str) -> list[dict[str, Any]]:
    """The rows of a benchmark's file. Raises InputError: what cannot be read is not looked for."""
    with open_input(path) as stream:
        data = stream.read()
    for magic, codec in _PACKED:
        if data.startswith(magic):
            try:
                data = pa.CompressedInputStream(pa.BufferReader(data), codec).read()
            except (OSError, pa.ArrowInvalid) as error:
                raise InputError(f"{path}: broken {codec}: {error}. Get the file anew.") from error
    try:
        if data.startswith(b"PAR1"):
            return list(pq.read_table(io.BytesIO(data)).to_pylist())
        return list(_json_rows(data, path))
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: {error}. Expected Parquet.") from error


def _json_rows(data: bytes, path: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InputError(
                f"{path}, line {number}: {error}. Expected a JSON object a line, or Parquet."
            ) from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: {line[:40]!r} is no JSON object.")
        yield row


def _strings(value: Any) -> Iterator[str]:
    """All strings of a value, lists and objects looked through, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from itertools.chain.from_iterable(map(_strings, value.values()))
    elif isinstance(value, (list, tuple)):
        yield from itertools.chain.from_iterable(map(_strings, value))


def _passages(row: Mapping[str, Any], fields: Sequence[str]) -> list[str]:
    """The wanted fields of a row together, then each that is a string alone."""
    names = fields or tuple(row)
    whole = "\n".join(_strings([row.get(name) for name in names]))
    alone = [row[name] for name in names if isinstance(row.get(name), str)]
    return [whole, *(text for text in alone if text != whole)]


def _check_fields(tables: Mapping[str, list[dict[str, Any]]], fields: Sequence[str]) -> None:
    """Raise InputError for a field that no benchmark has, and a benchmark that has none of them."""
    known = {name: {key for row in rows for key in row} for name, rows in tables.items()}
    everything = sorted(set().union(*known.values()))
    for field in fields:
        if field not in everything:
            raise InputError(f"fields: no benchmark has '{field}'.{nearest(field, everything)}")
    for name, has in known.items():
        if fields and not has.intersection(fields):
            raise InputError(
                f"fields: the benchmark '{name}' has none of {', '.join(fields)}; it has "
                f"{', '.join(sorted(has))}. Name one of these too."
            )


@functools.lru_cache(maxsize=1)
def _deleted() -> Mapping[int, None]:
    from stages.kernels.unicode_tables import members

    return dict.fromkeys(np.flatnonzero(members("punct") & ~members("space")).tolist())


def count_examples(patterns: Sequence[str], fields: Sequence[str]) -> dict[str, int]:
    """Examples of each benchmark. Raises ValueError, InputError if they cannot be looked for."""
    tables = {name: read_rows(path) for name, path in benchmark_files(patterns).items()}
    _check_fields(tables, fields)
    return {name: len(rows) for name, rows in tables.items()}


@functools.lru_cache(maxsize=4)
def _load(files: tuple[tuple[str, str, str], ...], fields: tuple[str, ...], by: Lengths) -> Index:
    """The index of (name, path, digest of the content)."""
    tables = {name: read_rows(path) for name, path, _ in files}
    _check_fields(tables, fields)
    builder = _Builder(by)
    for name, rows in tables.items():
        builder.add(name, [_passages(row, fields) for row in rows])
    return builder.index()


def load_index(patterns: Sequence[str], fields: Sequence[str], lengths: Lengths) -> Index:
    """The runs of the benchmarks at these patterns. Raises ValueError, InputError."""
    files = tuple(
        (name, path, path_digest(path)) for name, path in benchmark_files(patterns).items()
    )
    return _load(files, tuple(fields), lengths)


class _Builder:
    """Gathers passages, then makes their runs."""

    def __init__(self, by: Lengths) -> None:
        self.by = by
        self.benchmarks: list[Benchmark] = []
        self.first_example = [0]
        self.examples: list[int] = []
        self.runs: list[int] = []
        """Of each passage: the words of a run."""
        self.words: list[npt.NDArray[np.uint64]] = []

    def add(self, name: str, examples: Sequence[Sequence[str]]) -> None:
        from stages.kernels.grams import word_hashes

        texts = [text for passages in examples for text in passages]
        numbers = [n for n, passages in enumerate(examples) for _ in passages]
        firsts = np.cumsum([0, *map(len, examples)])[:-1].tolist()
        plain = _cut(*word_hashes(pa.array(texts, pa.large_string())))
        bare = [text.translate(_deleted()) for text in texts]
        joined = _cut(*word_hashes(pa.array(bare, pa.large_string())))
        by = self.by
        sizes = [len(plain[first]) for first in firsts]
        ngram = by.ngram
        if by.percentile and sizes:
            low = int(np.percentile(sizes, PERCENTILE, method="lower"))
            ngram = min(max(low, by.min_ngram), by.ngram)
        whole = set(firsts)
        short = {n for n, size in enumerate(sizes) if size < by.min_example_words}
        for at, number in enumerate(numbers):
            if number in short or (at not in whole and not by.min_ngram <= len(plain[at]) < ngram):
                continue
            forms = [plain[at]]
            if len(joined[at]) and not np.array_equal(plain[at], joined[at]):
                forms.append(joined[at])
            for words in forms:
                self.examples.append(self.first_example[-1] + number)
                self.runs.append(min(ngram, len(words)))
                self.words.append(words)
        self.benchmarks.append(Benchmark(name, ngram, len(examples), len(short)))
        self.first_example.append(self.first_example[-1] + len(examples))

    def index(self) -> Index:
        from stages.kernels.grams import make_grams

        words = np.concatenate([np.empty(0, np.uint64), *self.words])
        sizes = np.fromiter(map(len, self.words), np.int64, len(self.words))
        begins = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)
        runs = np.array(self.runs, np.int64)
        first, size, ends, places = [_NONE], [_NONE], [_NONE], [_NONE.reshape(0, 2)]
        for run in np.unique(runs).tolist():
            of = np.flatnonzero(runs == run)
            counts = sizes[of] - run + 1
            passage = np.repeat(of, counts)
            at = np.arange(len(passage)) - np.repeat(np.cumsum(counts) - counts, counts)
            starts = begins[passage] + at
            order, new = _sorted_runs(words, starts, run)
            first.append(starts[order][new])
            size.append(np.full(len(first[-1]), run, np.int64))
            counts = np.diff(np.append(np.flatnonzero(new), len(order)))
            number = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
            ends.append(np.minimum(counts, MAX_PLACES))
            places.append(np.stack([passage, at], axis=1)[order][number < MAX_PLACES])
        lengths = np.concatenate(size).astype(np.int32)
        seeds = self._seeds(lengths)
        return Index(
            tuple(self.benchmarks),
            make_grams(words, np.concatenate(first), lengths, seeds, self.by.skip_words),
            np.concatenate([[0], np.cumsum(np.concatenate(ends))]).astype(np.int64),
            np.concatenate(places),
            np.array(self.examples, np.int64),
            sizes,
            np.array(self.first_example, np.int64),
        )

    def _seeds(self, sizes: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """How many first words each run is looked up by: few lengths, since each costs a pass.

        Words may differ only behind the seed of a run of `min_ngram` words or more.
        """
        by = self.by
        ladder = {by.min_example_words, by.min_ngram, *(b.ngram for b in self.benchmarks)}
        seed = np.minimum(sizes, by.min_example_words)
        for step in sorted(ladder):
            seed = np.where(sizes >= step, step, seed)
        if by.skip_words:
            seed = np.where(sizes >= by.min_ngram, np.minimum(sizes, by.seed_words), seed)
        return seed.astype(np.int32)


def _sorted_runs(
    words: npt.NDArray[np.uint64], starts: Int64s, run: int
) -> tuple[Int64s, npt.NDArray[np.bool_]]:
    """An order in which equal runs of `run` words stand together, and where a new one begins.

    Runs are ordered by a hash and compared word by word with the one before.
    """
    total = np.zeros(len(starts), np.uint64)
    for i in range(run):
        total = total * _TERM + words[starts + i]
    order = np.argsort(total, kind="stable")
    sorted_starts = starts[order]
    new = np.ones(len(starts), np.bool_)
    same = total[order][1:] == total[order][:-1]
    for i in range(run):
        same &= words[sorted_starts[1:] + i] == words[sorted_starts[:-1] + i]
    new[1:] = ~same
    return order, new


def _cut(words: npt.NDArray[np.uint64], ends: Int64s) -> list[npt.NDArray[np.uint64]]:
    return [words[a:b] for a, b in itertools.pairwise(ends.tolist())]
