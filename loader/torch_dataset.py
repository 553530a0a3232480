"""The loader as PyTorch knows data: an IterableDataset with a state.

    data = TokenDataset(open_dataset(folder), seq_len=2048, batch_size=512, backend="auto")
    for batch in data:
        step(batch["tokens"], batch["labels"], batch["position_ids"])
        state = data.state_dict()

It has the shape of torchdata's StatefulDataLoader (`state_dict`, `load_state_dict`, iteration goes
on where it was). It gives whole batches: hand it to the trainer as it is, or to
`torch.utils.data.DataLoader(data, batch_size=None, num_workers=0)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from loader.dataset import Dataset
from loader.loader import Loader
from pipeline.errors import ConfigError


class TokenDataset(IterableDataset[dict[str, Any]]):  # type: ignore[misc]
    """Batches as a dict of tensors: tokens, labels, position_ids (B, T), cu_seqlens (int32), and
    max_seqlen. On the device of the backend; of numpy, on the CPU.
    """

    def __init__(
        self, dataset: Dataset, seq_len: int, batch_size: int, *, backend: str = "auto",
        **options: Any,
    ) -> None:  # fmt: skip
        """`options` are those of `loader.Loader`. Raises ConfigError."""
        super().__init__()
        self.loader = Loader(dataset, seq_len, batch_size, backend=backend, **options)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Goes on after the last batch given out. Raises ConfigError in a worker process."""
        worker = get_worker_info()
        if worker is not None:
            raise ConfigError(
                f"TokenDataset in a DataLoader with num_workers = {worker.num_workers}: expected "
                f"0. Its threads read ahead; copies of it in processes would each give every batch."
            )
        return map(as_tensors, self.loader)

    def state_dict(self) -> dict[str, Any]:
        """As `Loader.state_dict`: under 1 KB, the same on every rank."""
        return self.loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after the last consumed sample. Raises IntegrityError if the order differs."""
        self.loader.load_state_dict(state)

    def close(self) -> None:
        self.loader.close()


def as_tensors(batch: Any) -> dict[str, Any]:
    """A batch of any backend as a dict of tensors; numpy arrays are shared, not copied."""
    found = {
        "tokens": batch.tokens_BT,
        "labels": batch.labels_BT,
        "position_ids": batch.position_ids_BT,
        "cu_seqlens": batch.cu_seqlens,
    }
    tensors: dict[str, Any] = {
        name: torch.as_tensor(value) for name, value in found.items() if value is not None
    }
    return {**tensors, "max_seqlen": batch.max_seqlen}
