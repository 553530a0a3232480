"""Packings against slow definitions: what stands in a row, and that nothing is lost."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loader import SIZES, published, stored

import loader.order
import loader.packing
import stages.shard_writer
from loader.dataset import Dataset, Stream, open_dataset
from loader.loader import IGNORED, PAD, Loader
from loader.packing_kernels import best_fit, document_rows
from loader.plan import Plan
from pipeline.errors import ConfigError

BLOCK_ROWS = 4
"""PACKED_ROWS in these tests: the sample dataset has several blocks then."""
Piece = tuple[int, int]
"""(first token, end)"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.shard_writer, "ROW_GROUP_TOKENS", 40)
        return open_dataset(str(published(tmp_path_factory.mktemp("dataset"), SIZES)))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader.packing, "PACKED_ROWS", BLOCK_ROWS)
    monkeypatch.setattr(loader.order, "PACKED_ROWS", BLOCK_ROWS)


# --- Slow definitions --------------------------------------------------------------------------


def slow_best_fit(pieces: list[Piece], seq_len: int, rows: int) -> list[list[Piece]]:
    """Whole rows of long pieces; then the longest that fits; else the longest, cut."""
    found: list[list[Piece]] = []
    pool: list[tuple[int, int, Piece]] = []  # (minus length, turn, piece)
    for turn, (begin, end) in enumerate(pieces):
        while end - begin >= seq_len:
            found.append([(begin, begin + seq_len)])
            begin += seq_len
        if end > begin:
            pool.append((begin - end, turn, (begin, end)))
    turn = -1
    while len(found) < rows:
        row: list[Piece] = []
        left = seq_len
        while left and pool:
            pool.sort()
            fitting = [one for one in pool if -one[0] <= left]
            chosen = (fitting or pool)[0]
            pool.remove(chosen)
            begin, end = chosen[2]
            taken = min(end - begin, left)
            row.append((begin, begin + taken))
            left -= taken
            if begin + taken < end:
                pool.append((begin + taken - end, turn, (begin + taken, end)))
                turn -= 1  # what was cut last goes before its equals
        found.append(row)
    assert not pool
    return found


def slow_document_rows(pieces: list[Piece], seq_len: int) -> list[list[Piece]]:
    """Documents in order; one that does not fit begins a row; a longer one takes several."""
    found: list[list[Piece]] = []
    left = 0
    for begin, end in pieces:
        if end - begin > left or not found:
            found.append([])
            left = seq_len
        while end - begin > seq_len:
            found[-1].append((begin, begin + seq_len))
            found.append([])
            begin += seq_len
        found[-1].append((begin, end))
        left = (seq_len if len(found[-1]) == 1 else left) - (end - begin)
    return found


def pieces_of(lengths: list[int]) -> list[Piece]:
    ends = np.cumsum(lengths).tolist()
    return [(end - length, end) for end, length in zip(ends, lengths, strict=True)]


def stream_rows(packing: str, stream: Stream, lengths: list[int], seq_len: int) -> Any:
    """The pieces of each row of a stream."""
    documents = pieces_of(lengths)
    total = sum(lengths)
    if packing == "concat":
        return [
            [
                (max(a, at), min(b, at + seq_len))
                for a, b in documents
                if a < at + seq_len and b > at
            ]
            for at in range(0, total, seq_len)
        ]
    rows: list[list[Piece]] = []
    if packing == "document":
        for a, b in zip(stream.starts.tolist(), stream.starts.tolist()[1:], strict=False):
            rows += slow_document_rows([one for one in documents if a <= one[0] < b], seq_len)
        return rows
    size = BLOCK_ROWS * seq_len
    for first in range(0, total, size):
        last = min(first + size, total)
        cut = [(max(a, first), min(b, last)) for a, b in documents if a < last and b > first]
        rows += slow_best_fit(cut, seq_len, -(-(last - first) // seq_len))
    return rows


LENGTHS = st.lists(st.integers(1, 70), min_size=1, max_size=40)


@settings(max_examples=150)
@given(LENGTHS, st.integers(1, 40))
def test_best_fit_packs_as_its_slow_definition(lengths: list[int], seq_len: int) -> None:
    rows = -(-sum(lengths) // seq_len)
    begins, ends = np.array(pieces_of(lengths)).T
    first, at, sizes = best_fit(begins, ends - begins, seq_len, rows)
    found = [
        [(int(a), int(a + n)) for a, n in zip(at[i:j], sizes[i:j], strict=True)]
        for i, j in itertools.pairwise(first)
    ]
    assert found == slow_best_fit(pieces_of(lengths), seq_len, rows)


@settings(max_examples=50)
@given(LENGTHS, st.integers(1, 5000))
def test_best_fit_fills_every_row_and_uses_every_token_once(
    lengths: list[int], seq_len: int
) -> None:
    lengths = [length * 97 for length in lengths]
    total = sum(lengths)
    rows = -(-total // seq_len)
    begins, ends = np.array(pieces_of(lengths)).T
    first, at, sizes = best_fit(begins, ends - begins, seq_len, rows)
    filled = np.add.reduceat(sizes, first[:-1])
    assert (filled[:-1] == seq_len).all()
    assert filled.sum() == total
    used = np.concatenate([np.arange(a, a + n) for a, n in zip(at, sizes, strict=True)])
    assert np.array_equal(np.sort(used), np.arange(total))
    # A row cuts at most one document, beyond the whole rows that long ones take.
    unavoidable = sum(length // seq_len for length in lengths)
    assert len(at) - len(lengths) <= unavoidable + rows


@settings(max_examples=150)
@given(LENGTHS, st.integers(1, 80))
def test_document_rows_are_those_of_the_slow_definition(lengths: list[int], seq_len: int) -> None:
    slow = slow_document_rows(pieces_of(lengths), seq_len)
    begins = np.empty(len(slow), np.int64)
    assert document_rows(np.cumsum(lengths), seq_len, begins) == len(slow)
    assert begins.tolist() == [row[0][0] for row in slow]


# --- Batches -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("shuffle", ["full", "none", {"window": 5}], ids=str)
@pytest.mark.parametrize("packing", ["concat", "best_fit", "document"])
@pytest.mark.parametrize("seq_len", [7, 33])
def test_batches_are_what_the_slow_definition_says(
    dataset: Dataset, packing: str, shuffle: Any, seq_len: int, across: bool
) -> None:
    found = Loader(
        dataset, seq_len, 5, packing=packing, shuffle=shuffle, cross_document_labels=across
    )
    docs = [[tokens for _, tokens in stored(dataset)[group]] for group in found.groups]
    streams = dataset.streams("train")
    rows = [
        stream_rows(packing, stream, list(map(len, of)), seq_len)
        for stream, of in zip(streams, docs, strict=True)
    ]
    flat = [[token for document in of for token in document] for of in docs]
    ends = [set(np.cumsum(list(map(len, of))).tolist()) for of in docs]
    seen: Counter[tuple[int, int]] = Counter()
    for batch in found:
        real = batch.samples_B >= 0
        located = found.order.locate(batch.samples_B[real])
        assert (batch.groups_B[real] == located.groups).all()
        for row in range(5):
            tokens, labels, positions = [], [], []
            if real[row]:
                group, window = int(located.groups[row]), int(located.windows[row])
                seen[group, window] += 1
                for begin, end in rows[group][window]:
                    if across and tokens and labels[-1] == IGNORED:
                        labels[-1] = flat[group][begin]
                    tokens += flat[group][begin:end]
                    cut = end not in ends[group]
                    after = cut or (across and packing == "concat" and len(tokens) == seq_len)
                    last = (flat[group] + [IGNORED])[end] if after else IGNORED
                    labels += [*flat[group][begin + 1 : end], last]
                    positions += range(end - begin)
            padding = seq_len - len(tokens)
            assert batch.tokens_BT[row].tolist() == tokens + [PAD] * padding
            assert batch.labels_BT[row].tolist() == labels + [IGNORED] * padding
            assert batch.position_ids_BT[row].tolist() == [*positions, *range(padding)]
        starts = np.flatnonzero(batch.position_ids_BT.ravel() == 0)
        assert batch.cu_seqlens.tolist() == [*starts.tolist(), 5 * seq_len]
        assert batch.max_seqlen == np.diff(batch.cu_seqlens).max()
    assert seen == {(g, w): 1 for g, of in enumerate(rows) for w in range(len(of))}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("packing", ["concat", "best_fit", "document"])
def test_every_token_is_used_once_an_epoch_and_none_is_dropped(
    dataset: Dataset, packing: str
) -> None:
    found = Loader(dataset, 16, 8, packing=packing)
    used: Counter[int] = Counter()
    for batch in found:
        plan: Plan = batch.plan
        lengths = np.diff(plan.cu_seqlens)
        for at in np.flatnonzero(plan.addresses_S):
            here = found.line.edges_R[plan.row_groups_S[at]]
            held = next(
                one for one in plan.held
                if one.address <= plan.addresses_S[at] // 8 < one.address + one.num_bytes
            )  # fmt: skip
            first = here + (int(plan.addresses_S[at]) - 8 * held.address) // plan.bits
            used.update(range(first, first + lengths[at]))
    total = int(found.line.edges_R[-1])
    assert used == dict.fromkeys(range(total), 1)


def test_a_block_is_packed_in_less_than_50_ms_whatever_its_documents_are() -> None:
    best_fit(np.array([0]), np.array([3]), 2, 2)
    for seq_len, mean in ((2048, 700), (2048, 20), (8192, 700), (512, 5000)):
        total = 1024 * seq_len
        cuts = np.random.default_rng(1).integers(1, total, total // mean)
        begins = np.unique(np.append(0, cuts))
        lengths = np.diff(begins, append=total)
        took = []
        for _ in range(5):
            start = time.process_time()
            best_fit(begins, lengths, seq_len, 1024)
            took.append(time.process_time() - start)
        assert min(took) < 0.05


def test_best_fit_cuts_far_fewer_documents_than_concat() -> None:
    lengths = np.random.default_rng(1).lognormal(6, 1, 3000).astype(np.int64) + 1
    ends = np.cumsum(lengths)
    rows = -(-int(ends[-1]) // 2048)
    _, begins, _ = best_fit(ends - lengths, lengths, 2048, rows)
    cuts = len(begins) - len(lengths)
    unavoidable = int((np.maximum(lengths - 1, 0) // 2048).sum())
    by_window = int(((ends - 1) // 2048 - (ends - lengths) // 2048).sum())
    assert cuts - unavoidable < (by_window - unavoidable) / 4


def test_rows_of_documents_are_counted_once_and_the_count_is_kept(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Loader(dataset, 16, 4, packing="document", cache=tmp_path)
    calls: list[Any] = []
    monkeypatch.setattr(loader.packing, "_counted", lambda *a: calls.append(a))
    again = Loader(dataset, 16, 4, packing="document", cache=tmp_path)
    assert again.order.sizes == first.order.sizes
    assert not calls
    (path,) = (tmp_path / "rows").iterdir()
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    monkeypatch.undo()
    mended = Loader(dataset, 16, 4, packing="document", cache=tmp_path)
    assert mended.order.sizes == first.order.sizes


def test_an_unknown_packing_is_refused_with_the_nearest(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'best_fit'"):
        Loader(dataset, 8, 4, packing="bestfit")


def test_documents_of_a_batch_are_named_on_request(dataset: Dataset) -> None:
    found = Loader(dataset, 33, 4, packing="document")
    known = {key: tokens for rows in stored(dataset).values() for key, tokens in rows}
    batch = next(found)
    table = found.documents(batch)
    starts, ends = batch.cu_seqlens[:-1].tolist(), batch.cu_seqlens[1:].tolist()
    flat = batch.tokens_BT.ravel().tolist()
    assert table.num_rows == len(starts)
    for row, begin, end in zip(table.to_pylist(), starts, ends, strict=True):
        assert (row["row"], row["start"]) == divmod(begin, 33)
        if row["doc_id"] is None:
            assert set(flat[begin:end]) == {PAD}
        else:
            tokens = known[row["doc_id"]]
            at = [tokens[i : i + end - begin] for i in range(len(tokens))]
            assert flat[begin:end] in at


def test_a_batch_of_padding_alone_has_the_columns_of_all_others(dataset: Dataset) -> None:
    """The last batch of an epoch may bring a rank nothing."""
    total = Loader(dataset, 33, 4).total
    assert total is not None
    ranks = [
        Loader(dataset, 33, 2 * total, rank=rank, world_size=2, cache="memory") for rank in (0, 1)
    ]
    tables = [one.documents(next(one), columns=["num_tokens", "source"]) for one in ranks]
    assert tables[0].schema == tables[1].schema
    assert tables[0].num_rows > 0
    assert set(tables[1]["num_tokens"].to_pylist()) == {None}
