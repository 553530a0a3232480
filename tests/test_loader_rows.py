"""Rows that the device plans: loader/rows.cu, compiled for the CPU, against the host's plans."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from host_kernel import KINDS, compiled
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loader_device import HOST, aligned, made_context, of_two_types, packed_as, some_ids

from loader.copy_crew import CopyCrew
from loader.dataset import Dataset
from loader.device_kernels import CALLS
from loader.loader import Loader
from loader.numpy_backend import NumpyBackend
from loader.pieces import bytes_of_row, piece_ids
from loader.plan_kernels import most_inside
from loader.row_kernels import FIELDS, KERNELS, copy_rows
from loader.windows import LineTable, Windows, table_of_line

ROWS = (
    HOST
    + """
#include "rows.cu"
extern "C" void rows(const Work* work) {
    Work w = *work;
    u64 before = 0;
    for (i64 row = 0; row < w.rows; row++) count_row(w, row);
    for (i64 row = 0; row < w.rows; row++) {
        u64 after = before + w.counts[row];
        w.counts[row] = before;
        note_row(w, row, before, after);
        before = after;
    }
    i64 batches = w.rows / w.rows_a_batch;
    int *longest = w.facts + 1 + batches, *pieces = longest + batches;
    for (i64 row = 0; row < w.rows; row++)
        for (int lane = 0; lane < 32; lane++) {
            int found = write_row(w, row, lane);
            if (found > longest[row / w.rows_a_batch]) longest[row / w.rows_a_batch] = found;
        }
    expand(w.pieces, pieces[batches] - 1, w.starts, w.tails, w.tokens, w.labels, w.positions,
           w.stride);
}
"""
)
"""The kernels' own functions, threads one after the other."""


@pytest.fixture(scope="module", params=KINDS, ids=str)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(function, bits of an id, type of the outputs)."""
    library = compiled(ROWS, request.param, tmp_path_factory.mktemp("kernel"))
    return (library.rows, *request.param)


def filled(kernel: Any, windows: Windows, *, ring: bool) -> tuple[Any, Any, Any]:
    """(tokens, labels and position ids of each batch, cu_seqlens of each, longest of each)."""
    function, bits, dtype = kernel
    assert windows.bits == bits
    rows, batches, t = len(windows.samples_R), windows.batches, windows.seq_len
    segments, groups = windows.table.most(t)
    limit = piece_ids(bits)
    most, pieces = (
        rows * (segments + 1) + batches,
        rows * (-(-t // limit) + 1 + 2 * groups) + batches,
    )
    row_bytes = bytes_of_row(t, bits) if ring else 0
    slot, next_R = aligned(rows * row_bytes + 256), np.zeros(rows, np.int64)
    if ring:
        slot[:] = 0xAB
        copy_rows(
            windows.begins_R, windows.lengths_R, t, windows.table.edges_G,
            windows.table.addresses_G, bits, row_bytes, slot.ctypes.data, next_R,
        )  # fmt: skip
    stride = -(-windows.rows * t // 4) * 4
    out = np.full((3, batches, stride), 77, dtype)
    kept = {
        "counts": np.zeros(rows, np.uint64), "spans": np.zeros(rows, np.uint64),
        "pieces": np.zeros((pieces, 2), np.uint64), "starts": np.full(most, -7, np.int32),
        "tails": np.full(most, -7, np.int32), "facts": np.zeros(2 + 3 * batches, np.int32),
    }  # fmt: skip
    table = windows.table
    values = {
        "begins": windows.begins_R.ctypes.data,
        "lengths": windows.lengths_R.ctypes.data if len(windows.lengths_R) else 0,
        "next": next_R.ctypes.data if ring else 0,
        "stops": windows.stops_R.ctypes.data if len(windows.stops_R) else 0,
        "rows": rows, "rows_a_batch": windows.rows, "seq_len": t,
        "edges": table.edges_G.ctypes.data, "addresses": table.addresses_G.ctypes.data,
        "groups": len(table.addresses_G), "documents": table.documents_D.ctypes.data,
        "document_count": len(table.documents_D) - 1,
        "staging": slot.ctypes.data if ring else 0, "row_bytes": row_bytes,
        **{name: array.ctypes.data for name, array in kept.items()},
        **{name: out[at].ctypes.data for at, name in enumerate(("tokens", "labels", "positions"))},
        "stride": stride, "first_batch": 0, "batch_count": batches,
    }  # fmt: skip
    work = np.array([values[name] for name in FIELDS], np.int64)
    function(ctypes.c_void_p(work.ctypes.data))
    facts, starts = kept["facts"], kept["starts"]
    assert facts[batches] <= most
    assert facts[-1] <= pieces
    lists = [starts[facts[k] : facts[k + 1]] for k in range(batches)]
    size = windows.rows * t
    return (
        [out[:, k, :size] for k in range(batches)],
        lists,
        facts[1 + batches : 1 + 2 * batches].tolist(),
    )


def same(kernel: Any, windows: Windows, across: str = "") -> None:
    """Both paths give what the numpy backend makes of the host's plans."""
    dtype = kernel[2]
    for ring in (False, True):
        batches, lists, longest = filled(kernel, windows, ring=ring)
        for number, found in enumerate(batches):
            plan = windows.plan(number)
            batch = NumpyBackend(dtype).fill(plan)
            assert (found[0] == batch.tokens_BT.ravel()).all(), (ring, across)
            assert (found[1] == batch.labels_BT.ravel()).all(), (ring, across)
            assert (found[2] == batch.position_ids_BT.ravel()).all(), (ring, across)
            assert lists[number].tolist() == plan.cu_seqlens.tolist()
            assert longest[number] == plan.max_seqlen


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    return of_two_types(tmp_path_factory)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cross_document_labels": True},
        {"shuffle": "none", "cross_document_labels": True},
        {"weights": "even"},
        {"rank": 1, "world_size": 5, "epochs": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("seq_len", [7, 24, 130])
def test_batches_that_the_device_plans_are_the_hosts(
    kernel: Any, datasets: tuple[Dataset, Dataset], seq_len: int, options: dict[str, Any]
) -> None:
    dataset, backend = packed_as(datasets, kernel[1])
    options = {**options, "backend": backend}
    if "weights" in options:
        groups = {stream.group for stream in dataset.streams("train")}
        options |= {"weights": dict.fromkeys(groups, 1.0), "epochs": 2}
    with Loader(dataset, seq_len, 5, cache="memory", prefetch=0, **options) as loader:
        table = loader._planner.table
        assert table is not None
        assert loader.total is not None
        for first in (0, loader.total // 2 // 5 * 5, loader.total - 1):
            samples = loader._samples(first, 3)
            windows = loader._planner.windows(table, samples, loader._rows)
            same(kernel, windows, str(options))
            others = loader._windows(table, first, 3)
            for name in ("samples_R", "groups_R", "begins_R", "lengths_R", "stops_R"):
                assert (getattr(others, name) == getattr(windows, name)).all(), name


def line(lengths: list[int], cuts: list[int], bits: int) -> tuple[LineTable, Any]:
    """Documents of these lengths, in row groups that end behind the documents `cuts`; and all ids
    in a row."""
    from loader.hot_cache import copied
    from loader.row_groups import RowGroup

    ends = np.cumsum(lengths)
    ids = some_ids(int(ends[-1]), bits)
    marks = sorted({len(lengths), *(1 + cut % len(lengths) for cut in cuts)})
    held, edges, first = [], [0], 0
    for mark in marks:
        begin, end = edges[-1], int(ends[mark - 1])
        starts = np.append(0, ends[first : mark - 1] - begin).astype(np.int64)
        held.append(copied(RowGroup(ids[begin:end], starts), bits))
        edges.append(end)
        first = mark
    table = table_of_line(np.array(edges, np.int64), tuple(held))
    assert table is not None
    return table, ids


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9000), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 50), max_size=6),
    seq_len=st.sampled_from([1, 5, 100, 2048, 5000]),
    follows=st.booleans(),
    draw=st.randoms(use_true_random=False),
)
def test_any_rows_of_any_line_have_the_definitions_labels_and_positions(
    kernel: Any, lengths: list[int], cuts: list[int], seq_len: int, follows: bool, draw: Any
) -> None:
    table, ids = line(lengths, cuts, kernel[1])
    total = len(ids)
    begins = np.array([draw.randrange(total) for _ in range(6)], np.int64)
    sizes = np.minimum(total - begins, seq_len)
    sizes[draw.randrange(6)] = 0
    stops = np.full(6, total, np.int64) if follows else np.empty(0, np.int64)
    none = np.zeros(6, np.int64)
    windows = Windows(table, 3, seq_len, kernel[1], none, none, begins, sizes, stops, lambda _: [])
    document = np.repeat(np.arange(len(lengths)), lengths)
    for ring in (False, True):
        batches, lists, _ = filled(kernel, windows, ring=ring)
        for row in range(6):
            begin, size = int(begins[row]), int(sizes[row])
            tokens, labels, positions = (
                part[row % 3 * seq_len :][:seq_len] for part in batches[row // 3]
            )
            assert (tokens[:size] == ids[begin : begin + size]).all()
            assert (tokens[size:] == 0).all()
            assert (labels[size:] == -100).all()
            here = np.arange(begin, begin + size)
            behind = np.minimum(here + 1, total - 1)
            goes_on = (here + 1 < total) & (follows | (document[here] == document[behind]))
            assert (labels[:size] == np.where(goes_on, ids[behind].astype(np.int64), -100)).all()
            first = np.searchsorted(document, document[here])
            assert (positions[:size] == here - np.maximum(first, begin)).all()
            assert (positions[size:] == np.arange(seq_len - size)).all()
        assert [int(one[-1]) for one in lists] == [3 * seq_len] * 2


@pytest.mark.parametrize("bits", [15, 16, 17, 32])
@pytest.mark.parametrize("seq_len", [33, 100, 2048])
def test_full_rows_are_copied_whole_whether_together_or_across_row_groups(
    seq_len: int, bits: int
) -> None:
    """Thirteen rows: some fours, one of them with a row over a row group's end, and one alone."""
    table, ids = line([3000, 4000, 70, 5000], [1], bits)
    edge, total = int(table.edges_G[1]), len(ids)
    begins = np.linspace(0, total - seq_len, 13).astype(np.int64)
    begins[5] = edge - seq_len // 2
    row_bytes = bytes_of_row(seq_len, bits)
    slot, next_R = aligned(13 * row_bytes + 8), np.zeros(13, np.int64)
    slot[:] = 0xAB
    copy_rows(
        begins, np.empty(0, np.int64), seq_len, table.edges_G, table.addresses_G, bits, row_bytes,
        slot.ctypes.data, next_R,
    )  # fmt: skip
    for row, begin in enumerate(begins.tolist()):
        bit = (begin - (edge if begin >= edge else 0)) * bits % 8
        here = slot[row * row_bytes :]
        for at in range(seq_len):
            first = bit + at * bits
            word = int.from_bytes(here[first // 8 : first // 8 + 8].tobytes(), "little")
            assert word >> first % 8 & ((1 << bits) - 1) == ids[begin + at]
        used = (bit + seq_len * bits + 7) // 8 + (bits % 8 > 0)
        assert (here[used:row_bytes] == 0xAB).all()
        end = begin + seq_len
        assert next_R[row] == (ids[end] if end < total else -1)


def test_a_line_with_an_empty_document_is_left_to_the_host() -> None:
    table, _ = line([3, 4], [], 16)
    held = table.held[0]
    empty = type(held)(held.num_tokens, held.bits, np.array([0, 3, 3]), held.buffer, held.on_disk)
    assert table_of_line(table.edges_G, (empty,)) is None


@given(st.lists(st.integers(0, 60), min_size=1, unique=True), st.integers(1, 20))
def test_the_most_values_in_any_range_are_counted(values: list[int], width: int) -> None:
    values.sort()
    slow = max(sum(low <= v < low + width for v in values) for low in values)
    assert most_inside(np.array(values, np.int64), width) == slow


@pytest.mark.parametrize("chunk_bytes", [0, 1, 600, 1 << 20], ids="chunk={}".format)
@pytest.mark.parametrize("batches", [1, 2, 5])
def test_a_launch_lays_out_its_memory_as_the_kernels_read_it(
    kernel: Any, datasets: tuple[Dataset, Dataset], batches: int, chunk_bytes: int
) -> None:
    """All of `torch_rows.queue` with the driver's calls done by the CPU; the fast lane: chunk 0."""
    dataset, packed = packed_as(datasets, kernel[1])
    torch = pytest.importorskip("torch")
    from loader.torch_cuda import CudaBackend, Slot
    from loader.torch_rows import DeviceTable, RowBatch, queue

    kind = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int64] * 11)

    def copied(to: int, source: int, size: int, *_: int) -> int:
        ctypes.memmove(to, source, size)
        return 0

    def launched(function: int, *rest: int) -> int:
        if function == KERNELS.index("write_rows"):  # before the host is told the facts
            pointer = ctypes.cast(rest[8], ctypes.POINTER(ctypes.c_void_p))[0]
            kernel[0](ctypes.c_void_p(pointer))
        return 0

    does = {
        "cuMemcpyHtoDAsync_v2": copied, "cuMemcpyDtoHAsync_v2": copied, "cuLaunchKernel": launched
    }  # fmt: skip
    functions = [kind(does.get(name, lambda *_: 0)) for name in CALLS]
    context = made_context()
    backend: Any = SimpleNamespace(
        context=context, device=torch.device("cpu"), kinds=3, dtype=getattr(torch, kernel[2]),
        calls=np.array([ctypes.cast(f, ctypes.c_void_p).value for f in functions], np.int64),
        blocks=16, row_functions=lambda _: np.arange(len(KERNELS)), check=lambda done: None,
    )  # fmt: skip
    backend.outputs = lambda *given: CudaBackend.outputs(backend, *given)
    backend.plans = lane = SimpleNamespace(cuda_stream=0, synchronize=lambda: None)

    class CpuSlot(Slot):
        def reserve(self, size: int, staging: int = 0, device: Any = None) -> int:
            self.host = torch.from_numpy(aligned(size))
            self.staging = torch.from_numpy(aligned(staging))
            return int(self.host.data_ptr())

    crew = CopyCrew(context, backend.calls, 0, 3, 1, chunk_bytes) if chunk_bytes else None
    with Loader(dataset, 24, 5, cache="memory", prefetch=0, backend=packed) as loader:
        line_table = loader._planner.table
        assert line_table is not None
        table = DeviceTable.__new__(DeviceTable)
        table.of = line_table
        table.edges, table.documents, table.addresses = (
            array.ctypes.data
            for array in (line_table.edges_G, line_table.documents_D, line_table.addresses_G)
        )
        for first in (0, loader.total - 3):  # type: ignore[operator]
            windows = loader._planner.windows(line_table, loader._samples(first, batches), 5)
            slot = CpuSlot(context, lane)
            unit = queue(backend, windows, slot, table, min(2, batches), crew)
            for number in range(batches):
                batch = RowBatch(unit, number)
                plan = loader.plans(first + 5 * number, 1)[0]
                expected = NumpyBackend(kernel[2]).fill(plan)
                assert (batch.tokens_BT.numpy() == expected.tokens_BT).all()
                assert (batch.labels_BT.numpy() == expected.labels_BT).all()
                assert (batch.position_ids_BT.numpy() == expected.position_ids_BT).all()
                assert batch.cu_seqlens.tolist() == plan.cu_seqlens.tolist()
                assert batch.max_seqlen == plan.max_seqlen
                assert (batch.samples_B == plan.samples_B).all()
                assert (batch.groups_B == plan.groups_B).all()
                assert (batch.plan.starts_S == plan.starts_S).all()
    if crew:
        crew.close()
