"""What every export format is made of: a writer, and a reader that gives back what was written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from loader.exports.stored_order import Block
from pipeline.errors import ConfigError, IntegrityError


@dataclass(frozen=True)
class Facts:
    """What a writer may say of the dataset."""

    dtype: np.dtype[Any]
    """Type of the stored ids, little-endian."""
    vocab_size: int
    special_tokens: Mapping[str, int]
    tokenizer: str
    """`tokenmill-<8 hex>`: the digits of the tokenizer's sha256."""
    tokens: Mapping[str, int]
    """Of each split."""
    documents: Mapping[str, int]

    def signed_or_uint16(self) -> np.dtype[Any]:
        """The stored type where it is uint16, else int32. Raises ConfigError."""
        return self.dtype if self.dtype.itemsize == 2 else self.int32()

    def int32(self) -> np.dtype[Any]:
        """Raises ConfigError if an id may not fit."""
        if self.vocab_size > 1 << 31:
            raise ConfigError(
                f"the vocabulary has {self.vocab_size:,} ids, and this format holds int32. "
                f"Expected at most {1 << 31:,}: choose `bin` or `ds`, which hold uint32."
            )
        return np.dtype("<i4")


@dataclass(frozen=True)
class Part:
    """A piece of what an export holds. Ids and lengths come in order, each for itself."""

    tokens: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64] | None
    """None in a format that knows no documents."""


class Writer(ABC):
    """Writes one split under a folder. `write` gets its blocks in order, then `close` is called."""

    def __init__(self, folder: Path, split: str, facts: Facts) -> None:
        self.folder, self.split, self.facts = folder, split, facts
        self.dtype = self.dtype_of(facts)

    @classmethod
    def dtype_of(cls, facts: Facts) -> np.dtype[Any]:
        """Type of the ids in this format. Raises ConfigError where the vocabulary does not fit."""
        return facts.int32()

    @abstractmethod
    def write(self, block: Block) -> None:
        """Add a block's documents."""

    @abstractmethod
    def close(self) -> None:
        """Finish the files."""

    def abort(self) -> None:  # noqa: B027  # a writer may have nothing open
        """Close what is open; the files are deleted by the caller."""


@dataclass(frozen=True)
class Reader(ABC):
    """Reads one split back, in bounded memory, with no knowledge of what was written."""

    keeps_documents: ClassVar[bool] = True

    folder: Path
    split: str
    facts: Facts

    @abstractmethod
    def parts(self) -> Iterator[Part]:
        """Everything that the split holds. Raises IntegrityError where it breaks its format."""

    def expect(self, path: Path, got: Any, expected: Any, what: str = "") -> None:
        """Raises IntegrityError unless the two are equal."""
        if got != expected:
            raise IntegrityError(
                f"{path}: {f'{what}: ' if what else ''}got {got!r} when it was read back, expected "
                f"{expected!r}. The disk is full or faulty, or this is our bug: export again."
            )
