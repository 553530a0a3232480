"""tokenize: text -> token ids, once a document, an end-of-document id last.

Adds `num_tokens` (int32, the end-of-document id included) and `tokens` (list of uint32); `text` and
`title` are gone. A special token that stands as text in a web page is encoded as plain text.

The ids are those of Hugging Face `tokenizers`, whichever library makes them: a faster one is used
where it is proven to give equal ids, at start and document by document while it works
(`stages/encoders/verified.py`). So `backend` is no part of the identity. The library and its
version are counted in the run record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError, nearest
from pipeline.execution.warm_up import Call
from pipeline.schema import TOKENS
from pipeline.stage import Processed, RowStage, Side, TextBatch, knob, reference
from stages.content import Content
from stages.encoders.backends import BACKENDS, Kernel, Tokenizers, reference_of
from stages.encoders.source import Source
from stages.encoders.verified import AUTO, LIBRARIES, Encoder, Mismatch

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SMALL_INPUT = 64_000_000
"""Stored bytes of all inputs. The kernel takes 13 s of CPU time to compile, once a machine, and is
the faster one from then on (docs/notes/documents-to-shards.md). Where that has paid off was
reckoned, not measured, and no output depends on it."""


@dataclass(frozen=True)
class Tokenize(RowStage):
    """Encode every document once; mixing and cutting come later and repeat no encoding."""

    expensive: ClassVar[bool] = True
    compiles: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("text", "doc_id")
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
    backend: str = knob(
        AUTO,
        unit="library",
        source="benchmarks tokens: the fastest whose ids are those of tokenizers",
        choices=(AUTO, LIBRARIES, *BACKENDS),
        identity=False,
        help="auto takes the first of these that is installed and gives equal ids; kernel is ours; "
        "libraries is auto without it, as auto is where less than 64 MB of inputs would wait for "
        "its compiling",
    )
    check_every: int = knob(
        2000,
        unit="documents",
        source="one in 2,000 at 1/80 of the speed costs 4 % (benchmarks tokens)",
        minimum=1,
        identity=False,
        help="one in so many documents is encoded by tokenizers too, and compared",
    )
    tokenizer: str = reference("tokenizer")

    def sized(self, input_bytes: int) -> Tokenize:
        """`auto` of a small run takes a library: its text is encoded before the kernel compiles.

        Where the kernel was compiled for another run, it is taken at any size.
        """
        if self.backend != AUTO or input_bytes >= SMALL_INPUT or _kernel_is_compiled():
            return self
        return replace(self, backend=LIBRARIES)

    def warm_up(self) -> Sequence[Call]:
        return (_compile_kernel,) if self.backend in (AUTO, Kernel.name) else ()

    def process(self, batch: TextBatch, side: Side) -> Processed:
        folder = side.artefacts["tokenizer"]
        _, end = load_tokenizer(folder, self.end_of_document)
        encoder = load_encoder(folder, self.backend)
        # The seed is no part of the identity: which documents are checked changes no id.
        draws = side.draw("tokenize check", batch.column("doc_id"))
        checked = set(np.flatnonzero(draws % np.uint64(self.check_every) == 0).tolist())
        try:
            values, lengths = encoder.encode(batch.column("text"), end, checked)
        except Mismatch as found:
            raise found.error(side.step, batch.values("doc_id")[found.row]) from found
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        tokens = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), type=TOKENS)
        num_tokens = pa.array(lengths.astype(np.int32))
        columns = {"num_tokens": num_tokens, "tokens": tokens}
        used = {"backend": encoder.backend.label, **encoder.warnings}
        return Processed(columns, {"num_tokens": num_tokens}, used=used)


def _kernel_is_compiled() -> bool:
    from stages.encoders.tables import kernel_is_compiled

    return kernel_is_compiled()


def _compile_kernel() -> None:
    from stages.encoders.tables import compile_kernel

    compile_kernel()


def load_tokenizer(folder: Path, end_of_document: str) -> tuple[Tokenizer, int]:
    """The artefact's tokenizer and its end-of-document id; read once a process and content.

    Raises ConfigError where a special token's text would become its id.
    """
    return _load(Content(folder / "tokenizer.json"), end_of_document)


def load_encoder(folder: Path, backend: str) -> Encoder:
    """The artefact's encoder; chosen once a process and content. Raises ConfigError."""
    return _encoder(Content(folder / "tokenizer.json"), backend)


@lru_cache(maxsize=2)
def _encoder(content: Content, backend: str) -> Encoder:
    return Encoder(Source(content.path), backend)


@lru_cache(maxsize=2)
def _load(content: Content, end_of_document: str) -> tuple[Tokenizer, int]:
    source = Source(content.path)
    tokenizer: Tokenizer = Tokenizers(source).tokenizer
    end = _end_id(tokenizer, end_of_document)
    reference = reference_of(source)
    unknown = source.unknown
    for name, number in _special(tokenizer).items():
        if number == unknown and number != end:
            continue  # what any text may have in the place of a character that the model lacks
        texts = [name, f"a{name}b", f" {name} ", f"\n{name}\n"]
        try:
            found = reference.encode(texts)[0]
        except Exception as error:  # `tokenizers` raises bare Exception
            raise ConfigError(
                f"tokenize: the tokenizer cannot encode the text {texts[1]!r}: {error}. Give its "
                f"model an unknown token that is in its vocabulary."
            ) from error
        if number in found:
            raise ConfigError(
                f"tokenize: '{name}' in a page's text would become the special id {number}: "
                f"tokenizer.json lists it as an ordinary token too. Give the special token another "
                f"text, take it out of the model's vocabulary, or use the sentencepiece .model "
                f"that it was made from."
            )
    return tokenizer, end


def _special(tokenizer: Tokenizer) -> dict[str, int]:
    return {t.content: i for i, t in tokenizer.get_added_tokens_decoder().items() if t.special}


def _end_id(tokenizer: Tokenizer, name: str) -> int:
    special = _special(tokenizer)
    if name not in special:
        raise ConfigError(
            f"tokenize: end_of_document = '{name}' is no special token of the tokenizer."
            f"{nearest(name, special)}"
        )
    return special[name]
