"""Batches of the CUDA paths against the numpy backend's: the same bits, or not."""

from __future__ import annotations

import itertools
from typing import Any

from loader.backends import made_backend
from loader.bench import touch_all
from loader.dataset import open_dataset
from loader.loader import Loader
from loader.numpy_backend import NumpyBackend

SHAPES = [(2048, 64), (8192, 16), (37, 501)]
OPTIONS: list[dict[str, Any]] = [
    {}, {"cross_document_labels": True}, {"shuffle": "none"}, {"packing": "best_fit"},
    {"packing": "document"},
]  # fmt: skip
BATCHES = 6


def compared(folder: str, cache: str) -> dict[str, dict[str, int]]:
    """Of each path: batches compared, and those of them that are equal in all that they hold."""
    found: dict[str, dict[str, int]] = {}
    dataset = open_dataset(folder)
    kinds: list[tuple[str, dict[str, Any]]] = [("gather", {}), ("ring", {})]
    others: list[tuple[str, dict[str, Any]]] = [
        ("ring", {"threads": 5, "chunk_bytes": 1 << 16}),
        ("gather", {"defines": {"BULK": 0}}), ("gather", {"packed": False}),
        ("ring", {"packed": False}),
    ]  # fmt: skip
    for (t, b), options, dtype in itertools.product(SHAPES, OPTIONS, ("int64", "int32")):
        if (t > 10_000 and options.get("packing") == "best_fit") or (dtype == "int32" and t > 2048):
            continue
        for path, extra in kinds + (others if t == 2048 and dtype == "int64" else []):
            backend = made_backend(path, dtype, launch_tokens=3 * t * b, **extra)
            asked: dict[str, Any] = {"cache": cache, "epochs": None, **options}
            name = f"{path} {extra or ''} {options.get('packing', 'concat')}".strip()
            here = found.setdefault(name, {"compared": 0, "equal": 0, "by_the_device": 0})
            with (
                Loader(dataset, t, b, backend=backend, prefetch=8, **asked) as loader,
                Loader(dataset, t, b, **asked) as plain,
            ):
                if t != 8192:  # those begin on the host's plans, and go on on the device's
                    touch_all(loader)
                total = loader.order.epoch_samples
                # The last batch of an epoch has the stream's last, padded window where unshuffled.
                for first in (0, max(0, total - b * BATCHES // 2)):
                    loader.load_state_dict({**loader.state_dict(), "consumed": first})
                    for at in range(BATCHES):
                        plan = plain.plan(first + at * b)
                        expected = NumpyBackend(dtype).fill(plan)
                        batch = next(loader)
                        here["compared"] += 1
                        here["equal"] += _equal(batch, expected, plan)
                        here["by_the_device"] += type(batch).__name__ == "RowBatch"
    return found


def _equal(batch: Any, expected: Any, plan: Any) -> bool:
    return (
        bool((batch.tokens_BT.cpu().numpy() == expected.tokens_BT).all())
        and bool((batch.labels_BT.cpu().numpy() == expected.labels_BT).all())
        and bool((batch.position_ids_BT.cpu().numpy() == expected.position_ids_BT).all())
        and batch.cu_seqlens.tolist() == plan.cu_seqlens.tolist()
        and batch.max_seqlen == plan.max_seqlen
        and bool((batch.samples_B == plan.samples_B).all())
    )
