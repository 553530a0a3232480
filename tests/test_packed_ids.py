"""Ids of as few bits as hold the vocabulary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loader import SIZES, published
from test_loader_device import PackedNumpy

import stages.shard_writer
from loader.dataset import Dataset, open_dataset
from loader.loader import Loader
from loader.packed_ids import TooLarge, bits_of, pack, packed_bytes, unpack
from pipeline.errors import InputError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.shard_writer, "ROW_GROUP_TOKENS", 40)
        return open_dataset(str(published(tmp_path_factory.mktemp("dataset"), SIZES)))


@settings(deadline=None)
@given(st.integers(1, 32), st.integers(0, 200), st.integers(0, 2**32 - 1))
def test_ids_lie_behind_each_other_with_the_lowest_bit_first(
    bits: int, count: int, seed: int
) -> None:
    dtype = "<u2" if bits <= 16 else "<u4"
    ids = np.random.default_rng(seed).integers(0, 1 << bits, count).astype(dtype)
    packed = pack(ids, bits)
    assert len(packed) == packed_bytes(count, bits)
    slow = sum(one << number * bits for number, one in enumerate(ids.tolist()))
    assert packed.tobytes() == slow.to_bytes(len(packed), "little")
    behind = np.append(packed, np.full(8, 255, np.uint8))
    assert (unpack(behind, bits, count) == ids).all()


def test_an_id_that_does_not_fit_is_refused_with_its_value() -> None:
    for at in (0, 5, 99):
        ids = np.zeros(100, "<u2")
        ids[at] = 1 << 15
        with pytest.raises(TooLarge, match="32768, expected 15 bits"):
            pack(ids, 15)


def test_a_vocabularys_bits_hold_its_largest_id() -> None:
    known = {31_999: 15, 32_767: 15, 32_768: 16, 50_256: 16, 128_255: 17, 200_018: 18}
    assert {largest: bits_of(largest) for largest in known} == known


def test_a_dataset_says_how_many_bits_its_ids_need(dataset: Dataset) -> None:
    assert dataset.facts["tokenizer"]["max_id"] == 999
    assert dataset.id_bits == 10
    tokenizer = {"sha256": dataset.facts["tokenizer"]["sha256"]}
    before = replace(dataset, facts={**dataset.facts, "tokenizer": tokenizer})
    assert before.id_bits == 16, "of a dataset that does not say it the ids stay as they are"
    for wrong in ("many", -1, 1 << 16, 3.5):
        broken = replace(dataset, facts={**dataset.facts, "tokenizer": {"max_id": wrong}})
        with pytest.raises(InputError, match=r"tokenizer.max_id is .*expected an id that uint16"):
            broken.id_bits  # noqa: B018
    wide = {**dataset.facts, "dtype": "uint32"}
    assert replace(dataset, facts=wide).id_bits == 17, "never so few that the type would change"


@pytest.mark.parametrize("packing", ["concat", "best_fit", "document"])
def test_batches_are_the_same_packed_or_not_and_both_share_a_cache(
    dataset: Dataset, tmp_path: Path, packing: str
) -> None:
    with (
        Loader(dataset, 24, 5, cache=tmp_path, packing=packing, backend=PackedNumpy()) as packed,
        Loader(dataset, 24, 5, cache=tmp_path, packing=packing) as raw,
    ):
        assert (packed.line.bits, raw.line.bits) == (10, 16)
        batches = 0
        for one, other in zip(packed, raw, strict=True):
            assert (one.tokens_BT == other.tokens_BT).all()
            assert (one.labels_BT == other.labels_BT).all()
            assert (one.position_ids_BT == other.position_ids_BT).all()
            assert packed.documents(one).equals(raw.documents(other))
            batches += 1
    assert batches > 3
    sizes = sorted(path.stat().st_size for path in tmp_path.glob("*/*.tokens"))
    assert len(sizes) == 2 * (len(raw.line.edges_R) - 1)
