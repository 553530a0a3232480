"""Token shards -> batches. No Ray; numpy alone."""

from loader.dataset import Dataset, open_dataset
from loader.loader import Batch, Loader

__all__ = ["Batch", "Dataset", "Loader", "open_dataset"]
