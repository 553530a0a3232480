"""use_tokenizer: take a finished tokenizer.json. Makes the same artefact as train_tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.phases import Combine, Phase
from pipeline.stage import GlobalStage, Side, model_file
from tokenizer_training.bpe import artefact


@dataclass(frozen=True)
class UseTokenizer(GlobalStage):
    """A tokenizer.json of Hugging Face `tokenizers`, stored byte for byte as it is."""

    kind: ClassVar[str] = "tokenizer"
    reads: ClassVar[tuple[str, ...]] = ()
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)

    file: str = model_file("", help="path of a tokenizer.json")

    def check(self) -> None:
        if not self.file:
            raise ValueError("needs the knob 'file': the path of a tokenizer.json.")

    def phases(self) -> tuple[Phase, ...]:
        return (Combine("tokenizer", (), merge=self.store, schema=None),)

    def store(self, _: pa.Table, side: Side) -> dict[str, bytes]:
        """The artefact of the file. Raises ConfigError if it is no tokenizer.json."""
        content = Path(self.file).read_bytes()
        try:
            return artefact(content, {})
        except Exception as error:  # `tokenizers` raises bare Exception for any bad file
            raise ConfigError(
                f"{side.step}: {self.file} is no tokenizer.json of the tokenizers library: {error}."
            ) from error
