"""tokenize: text -> token ids, once a document, an end-of-document id last.

Adds `num_tokens` (int32, the end-of-document id included) and `tokens` (list of uint32); `text` and
`title` are gone. A special token that stands as text in a web page is encoded as plain text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import ConfigError, nearest
from pipeline.schema import TOKENS
from pipeline.stage import Processed, RowStage, Side, TextBatch, knob, reference
from stages.content import Content

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CALL_CHARS = 1_000_000
"""Characters encoded in one call: the library's Encoding objects take about 100 bytes a token."""


@dataclass(frozen=True)
class Tokenize(RowStage):
    """Encode every document once; mixing and cutting come later and repeat no encoding."""

    expensive: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("text",)
    adds: ClassVar[Mapping[str, pa.DataType]] = {"num_tokens": pa.int32(), "tokens": TOKENS}
    removes: ClassVar[tuple[str, ...]] = ("text", "title")
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    metrics: ClassVar[Mapping[str, type]] = {"num_tokens": int}

    end_of_document: str = knob(
        "<|endoftext|>",
        unit="special token",
        source="openai/gpt-2 encoder.json",
        help="appended to every document",
    )
    tokenizer: str = reference("tokenizer")

    def process(self, batch: TextBatch, side: Side) -> Processed:
        tokenizer, end = load_tokenizer(side.artefacts["tokenizer"], self.end_of_document)
        values, lengths = encode(tokenizer, batch.texts, end)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        tokens = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), type=TOKENS)
        num_tokens = pa.array(lengths.astype(np.int32))
        columns = {"num_tokens": num_tokens, "tokens": tokens}
        return Processed(columns, {"num_tokens": num_tokens})


def encode(
    tokenizer: Tokenizer, texts: Sequence[str], end: int
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Ids of all texts in a row, each text followed by `end`, and the number of ids of each."""
    lengths = np.empty(len(texts), np.int64)
    parts = [np.empty(0, np.uint32)]
    for start, stop in _calls(texts):
        found = tokenizer.encode_batch_fast(list(texts[start:stop]), add_special_tokens=False)
        for row, encoding in enumerate(found, start):
            ids = encoding.ids
            ids.append(end)
            lengths[row] = len(ids)
            parts.append(np.array(ids, np.uint32))
    return np.concatenate(parts), lengths


def _calls(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Ranges of whole texts of at most CALL_CHARS characters, or one longer text."""
    start = size = 0
    for at, text in enumerate(texts):
        if at > start and size + len(text) > CALL_CHARS:
            yield start, at
            start, size = at, 0
        size += len(text)
    if start < len(texts):
        yield start, len(texts)


def load_tokenizer(folder: Path, end_of_document: str) -> tuple[Tokenizer, int]:
    """The artefact's tokenizer and its end-of-document id; read once a process and content."""
    return _load(Content(folder / "tokenizer.json"), end_of_document)


@lru_cache(maxsize=2)
def _load(content: Content, end_of_document: str) -> tuple[Tokenizer, int]:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # threads = 1 a worker
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(content.path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # special tokens in a page are plain text
    end = _end_id(tokenizer, end_of_document)
    if end in tokenizer.encode(f"a{end_of_document}b", add_special_tokens=False).ids:
        raise ConfigError(
            f"tokenize: '{end_of_document}' in a page's text would become the end-of-document id "
            f"{end}: tokenizer.json lists it as an ordinary token. Mark it special there."
        )
    return tokenizer, end


def _end_id(tokenizer: Tokenizer, name: str) -> int:
    special = {t.content: i for i, t in tokenizer.get_added_tokens_decoder().items() if t.special}
    if name not in special:
        raise ConfigError(
            f"tokenize: end_of_document = '{name}' is no special token of the tokenizer."
            f"{nearest(name, special)}"
        )
    return special[name]
