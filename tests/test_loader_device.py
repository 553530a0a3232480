"""The CUDA paths as far as a machine without a GPU goes: the same code, another compiler."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from host_kernel import KINDS, compiled
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loader import SIZES, published_documents, tokenised

import stages.shard_writer
from loader.backends import NAMES, cuda_lacks, made_backend
from loader.cuda_driver import CudaError, driver
from loader.dataset import Dataset, open_dataset
from loader.device_kernels import CALLS, gather_runs, queue_gather, queue_ring, write_pieces
from loader.loader import Loader
from loader.numpy_backend import NumpyBackend
from loader.packed_ids import pack
from loader.pieces import LINE, layout_of, piece_ids, table_of
from loader.plan import Plan
from pipeline.errors import ConfigError
from stages.mix import Mix

ROOT = Path(__file__).resolve().parent.parent
HOST = """
#define __device__
#define __forceinline__ inline
#include "expand.cu"
#include <cstring>
extern "C" void expand(const Piece* pieces, int count, const int* starts, const int* tails,
                       OUT* tokens, OUT* labels, OUT* positions, u64 stride) {
    for (int at = 0; at < count; at++) {
        Piece piece = pieces[at], next = pieces[at + 1];
        u64 from = ADDRESS(piece.address), skip = BATCH(piece.address) * stride;
        long ids = (long)next.start - piece.start + (piece.address & MORE ? 1 : 0);
        u32 slot[SLOT / 4];
        if (from && ids > 0) memcpy(slot, (const void*)(from / 8), (from % 8 + ids * BITS + 7) / 8);
        Outputs out = {tokens + skip, labels + skip, positions + skip};
        for (int thread = 0; thread < CONSUMERS; thread++)
            write_piece(slot, from % 8, !from, piece.start, next.start, starts + piece.segment,
                        tails + piece.segment, next.segment - piece.segment, out, thread);
    }
}
"""
"""The kernel's own function, with the threads of a block one after the other."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return of_two_types(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    return of_two_types(tmp_path_factory)


def of_two_types(paths: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    """The same documents in uint16 and in uint32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.shard_writer, "ROW_GROUP_TOKENS", 40)
        narrow, wide = (
            published_documents(
                paths.mktemp("dataset"), tokenised(SIZES), Mix(validation_permille=0), 100, largest
            )
            for largest in (999, 1 << 20)
        )
    return open_dataset(str(narrow)), open_dataset(str(wide))


@pytest.fixture(scope="module", params=KINDS, ids=str)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(function, bits of an id, type of the outputs)."""
    library = compiled(HOST, request.param, tmp_path_factory.mktemp("kernel"))
    return (library.expand, *request.param)


def some_ids(count: int, bits: int) -> Any:
    """The largest among them."""
    most = min(1 << bits, 1 << 31)  # what outputs of 4 bytes hold
    ids = np.random.default_rng(1).integers(0, most, count)
    ids[7::11] = most - 1
    return ids.astype("<u2" if bits <= 16 else "<u4")


def plan_of(lengths: list[int], rows: int, seq_len: int, bits: int, ids: Any) -> Plan:
    """Rows of documents of these lengths in turn; each third one lies elsewhere, one is padding."""
    addresses, starts, tails, at, place = [], [], [], 0, 0
    total, number = rows * seq_len, 0
    packed = np.append(pack(ids, bits), np.zeros(8, np.uint8))
    while at < total:
        length = min(lengths[number % len(lengths)], seq_len - at % seq_len, total - at)
        padding = number % 7 == 5
        place = (place * 31 + 17) % (len(ids) - seq_len - 1) if number % 3 == 0 else place
        place = min(place, len(ids) - seq_len - 1)
        addresses.append(0 if padding else 8 * packed.ctypes.data + place * bits)
        starts.append(at)
        tails.append(-100 if padding or number % 2 else int(ids[place + length]))
        at, place, number = at + length, place + length, number + 1
    none, rest = np.zeros(len(starts), np.int64), np.zeros(rows, np.int64)
    return Plan(
        rows, seq_len, bits, np.array(addresses, np.uint64), np.array(starts, np.int64),
        np.array(tails, np.int64), none, none, rest, rest, (packed,),
    )  # fmt: skip


def aligned(size: int) -> Any:
    raw = np.zeros(size + 256, np.uint8)
    return raw[-raw.ctypes.data % 256 :][:size]


def made_context() -> Any:
    """As `loader.cuda_driver.Context`, of no device."""
    return SimpleNamespace(
        handle=1, event=lambda: 0, forget=lambda _: None, passed=lambda _: None,
        pinned=lambda count: aligned(4 * count).view(np.int32), unpinned=lambda _: None,
    )  # fmt: skip


def expanded(kernel: Any, plans: list[Plan], *, ring: bool) -> tuple[list[Any], list[int]]:
    """Tokens, labels and position ids of each plan, by the kernel's code."""
    function, bits, dtype = kernel
    layout, total = layout_of(plans), plans[0].rows * plans[0].seq_len
    block, longest_K = aligned(layout.num_bytes), np.zeros(len(plans), np.int64)
    table, shift = table_of(plans), 0
    if ring:
        slot = aligned(total * len(plans) * bits // 8 + 2 * LINE * layout.segments)
        moved, offsets_S = np.empty_like(table), np.empty(layout.segments, np.uint64)
        runs_R3 = np.empty((layout.segments, 3), np.int64)
        gather_runs(table, total, bits, LINE, slot.ctypes.data, offsets_S, runs_R3, moved)
        table, shift = moved, 8 * slot.ctypes.data - 1
    count = write_pieces(
        table, total, bits, piece_ids(bits), shift, block.ctypes.data, layout.pieces,
        layout.segments, longest_K,
    )  # fmt: skip
    assert count < layout.pieces
    stride = -(-total // 4) * 4
    outputs = np.full((3, len(plans), stride), 77, dtype)
    base, tails = block.ctypes.data, (layout.num_bytes + layout.starts) // 2
    function(
        *map(ctypes.c_void_p, (base,)), count, ctypes.c_void_p(base + layout.starts),
        ctypes.c_void_p(base + tails), *(ctypes.c_void_p(out.ctypes.data) for out in outputs),
        ctypes.c_uint64(stride),
    )  # fmt: skip
    return [outputs[:, number, :total] for number in range(len(plans))], longest_K.tolist()


class PackedNumpy(NumpyBackend):
    """Takes ids as the CUDA backends do."""

    packed = True


def packed_as(datasets: tuple[Dataset, Dataset], bits: int) -> tuple[Dataset, NumpyBackend]:
    """The dataset whose ids have so many bits for the backend."""
    dataset = datasets[bits > 16]
    facts = {**dataset.facts, "tokenizer": {"max_id": (1 << bits) - 1}}
    found = replace(dataset, facts=facts)
    assert found.id_bits == bits
    return found, PackedNumpy()


@pytest.mark.parametrize("ring", [False, True], ids=["gather", "ring"])
@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=8),
    shape=st.sampled_from([(1, 1), (3, 37), (5, 1000), (2, 5000), (4, 64)]),
    batches=st.integers(1, 3),
)
def test_the_kernel_gives_the_bits_of_the_numpy_backend(
    kernel: Any, ring: bool, lengths: list[int], shape: tuple[int, int], batches: int
) -> None:
    bits, dtype = kernel[1:]
    ids = some_ids(12_000, bits)
    plans = [plan_of(lengths[turn:] + lengths, *shape, bits, ids) for turn in range(batches)]
    found, longest = expanded(kernel, plans, ring=ring)
    assert longest == [plan.max_seqlen for plan in plans]
    for (tokens, labels, positions), plan in zip(found, plans, strict=True):
        batch = NumpyBackend(dtype).fill(plan)
        assert (tokens == batch.tokens_BT.ravel()).all()
        assert (labels == batch.labels_BT.ravel()).all()
        assert (positions == batch.position_ids_BT.ravel()).all()


@pytest.mark.parametrize("packing", ["concat", "best_fit", "document"])
def test_batches_of_a_dataset_are_the_same_by_the_kernel(
    kernel: Any, datasets: tuple[Dataset, Dataset], packing: str
) -> None:
    dataset, backend = packed_as(datasets, kernel[1])
    with Loader(
        dataset, 24, 5, cache="memory", packing=packing, prefetch=0, backend=backend
    ) as loader:
        for ring in (False, True):
            plans = loader.plans(0, 3)
            for found, plan in zip(expanded(kernel, plans, ring=ring)[0], plans, strict=True):
                batch = NumpyBackend().fill(plan)
                assert (found[0] == batch.tokens_BT.ravel()).all()
                assert (found[1] == batch.labels_BT.ravel()).all()
                assert (found[2] == batch.position_ids_BT.ravel()).all()


def test_a_piece_reads_one_id_more_only_inside_a_document() -> None:
    ids = np.arange(9000, dtype="<u2")
    plans = [plan_of([5000], 2, 4000, 16, ids)]
    layout = layout_of(plans)
    block, longest = aligned(layout.num_bytes), np.zeros(1, np.int64)
    count = write_pieces(
        table_of(plans), 8000, 16, 2048, 0, block.ctypes.data, layout.pieces, layout.segments,
        longest,
    )  # fmt: skip
    pieces = block[: 16 * (count + 1)].view(np.uint64).reshape(-1, 2)
    sizes = np.diff((pieces[:, 1] & np.uint64(0xFFFFFFFF)).astype(np.int64))
    more = (pieces[:count, 0] >> np.uint64(63)).astype(np.int64)
    assert sizes.max() <= 2048
    ends = np.cumsum(sizes)
    within = ~np.isin(ends, [*plans[0].starts_S, 8000])
    padding = (pieces[:count, 0] << np.uint64(1)) == 0
    assert within.any()
    assert (more[~padding] == within[~padding]).all(), "an id more where a document goes on"
    assert not more[padding].any()


@pytest.mark.parametrize("failing", CALLS)
def test_a_launch_stops_at_the_first_call_that_fails_and_gives_its_error(failing: str) -> None:
    said: list[str] = []
    kind = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int64] * 4)

    def answer(name: str) -> Any:
        return kind(lambda *_: (said.append(name), 719 if name == failing else 0)[1])

    functions = [answer(name) for name in CALLS]
    calls = np.array([ctypes.cast(f, ctypes.c_void_p).value for f in functions], np.int64)
    ids = np.arange(4000, dtype="<u2")
    plans = [plan_of([100], 2, 512, 16, ids)]
    layout, values = layout_of(plans), np.zeros(8, np.int64)
    host = aligned(1 << 16)
    pointers = values.ctypes.data + 8 * np.arange(8, dtype=np.int64)
    longest = np.zeros(1, np.int64)
    shared = (
        calls, 1, 0, table_of(plans), 1024, 16, 2048, layout.pieces, layout.segments,
        host.ctypes.data, host.ctypes.data, layout.num_bytes, longest, 1, values, pointers, 8, 288,
        0, 0,
    )  # fmt: skip
    expected = {
        "gather": ["cuCtxSetCurrent", "cuEventSynchronize", "cuMemcpyHtoDAsync_v2",
                   "cuLaunchKernel", "cuEventRecord"],
        "ring": ["cuCtxSetCurrent", "cuEventSynchronize", "cuMemcpyHtoDAsync_v2", "cuEventRecord",
                 "cuStreamWaitEvent", "cuMemcpyDtoDAsync_v2", "cuLaunchKernel", "cuEventRecord"],
    }  # fmt: skip
    for path, order in expected.items():
        said.clear()
        if path == "gather":
            done = queue_gather(*shared)
        else:
            room = np.empty((layout.segments, 4), np.int64)
            done = queue_ring(*shared, LINE, 0, 0, 0, room)
        stop = order.index(failing) + 1 if failing in order else len(order)
        assert said == order[:stop]
        assert done == (719 if failing in order else 0)


# --- choosing ----------------------------------------------------------------------------------


def test_a_backend_that_cannot_run_here_is_refused_with_the_reason() -> None:
    if not cuda_lacks():
        pytest.skip("there is a CUDA device here")
    assert isinstance(made_backend("auto"), NumpyBackend)
    for name in ("ring", "gather"):
        with pytest.raises(ConfigError, match=r"(PyTorch|compute capability).*'auto' takes numpy"):
            made_backend(name)


def test_an_unknown_backend_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="gather"):
        made_backend("gater")
    assert "auto" in NAMES


def test_a_machine_without_the_driver_says_so() -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        with pytest.raises(CudaError, match="no CUDA driver"):
            driver()
    else:
        pytest.skip("there is a CUDA driver here")


def test_the_benchmark_prints_a_row_a_path_and_thread_count(dataset: Dataset) -> None:
    command = [sys.executable, "-m", "loader", "bench", dataset.root, "--seq-len", "16"]
    command += ["--batch-size", "4", "--seconds", "0.05", "--cache", "memory", "--json"]
    command += ["--threads", "1", "2", "--paths", "numpy"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert [(row["path"], row["threads"]) for row in found["rows"]] == [("numpy", 1), ("numpy", 2)]
    assert all(row["tokens_per_second"] > 0 for row in found["rows"])
