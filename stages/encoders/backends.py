"""Libraries that encode with one tokenizer.json, each behind the same call.

`encode(texts)` gives the ids of all texts in a row (uint32) and the number of ids of each (int64),
without special ids: the text of a special token is plain text. `tokenizers` is the reference; that
another library gives equal ids is checked, never believed (`stages/encoders/verified.py`).

Why each: our kernel is the fastest, for byte-level BPE with the expressions that it knows
(`stages/kernels/expressions.py`); fastokens is the fastest library that is exact with the GPT-2,
GPT-4, Llama-3 and o200k patterns (given them in the right form), and depends on nothing; tiktoken
is the careful middle; gigatoken
(an extra, it brings awkward and typer) is faster still, but 0.10 has letters of a younger Unicode
than tokenizers, so it is refused today.

No library may start threads: a worker has one core.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError
from stages.encoders.source import Ids, Lengths, Source, Unsuitable, byte_alphabet


class Backend:
    """One library with one tokenizer. Raises Unsuitable or ImportError when made."""

    name = ""

    def __init__(self, source: Source) -> None:
        self.label = f"{self.name} {version(self.name)}"

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        raise NotImplementedError

    def wrong(self) -> str | None:
        """Where it differs from `tokenizers` in more than texts show, or None."""
        return None


class Tokenizers(Backend):
    """The reference."""

    name = "tokenizers"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_str(source.text)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.encode_special_tokens = True

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return _joined([encoding.ids for encoding in found])


class Sentencepiece(Backend):
    """The reference of a model that no tokenizer.json says exactly. The only one that knows it."""

    name = "sentencepiece"

    def __init__(self, source: Source) -> None:
        from sentencepiece import SentencePieceProcessor

        super().__init__(source)
        self._processor = SentencePieceProcessor(model_file=str(source.model))

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        return _joined(self._processor.encode(list(texts)))


class Kernel(Backend):
    """Ours (`stages/kernels/bpe_encode.py`): columns in, no Python object a document."""

    name = "kernel"
    edition = 2

    def __init__(self, source: Source) -> None:
        from stages.encoders.tables import KernelEncoder  # loads kernels

        self.label = f"{self.name} {self.edition}"
        self._encoder = KernelEncoder(source)
        self.encode(["once"])  # is compiled before any check begins

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        return self.encode_column(pa.array(texts, pa.large_string()))

    def wrong(self) -> str | None:
        from stages.kernels.piece_classes import same_as_tokenizers

        return None if same_as_tokenizers() else "in the classes of characters"

    def encode_column(self, column: pa.Array, end: int = -1) -> tuple[Ids, Lengths]:
        """Of large_string without nulls; the ids of each text are followed by `end` if there is."""
        return self._encoder.encode(column, end)


class Fastokens(Backend):
    """With the Llama-3 and o200k patterns 0.3.5 cuts an apostrophe and U+017F elsewhere: it folds
    to s, so that they are a contraction. Texts with these two get their ids from `tokenizers`."""

    name = "fastokens"
    avoided = "'\u017f"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        os.environ.setdefault("RAYON_NUM_THREADS", "1")
        import fastokens

        self._source = source
        self._tokenizer = _made(fastokens.Tokenizer.from_json_str, source.plain)

    @cached_property
    def _careful(self) -> Tokenizers:
        return Tokenizers(self._source)

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        found, offsets = self._tokenizer.encode_batch_flat(list(texts), add_special_tokens=False)
        ids, ends = np.frombuffer(found, "<u4"), np.frombuffer(offsets, "<u8").astype(np.int64)
        odd = [at for at, text in enumerate(texts) if self.avoided in text]
        if not odd:
            return ids, np.diff(ends)
        rows: list[Any] = [ids[a:b] for a, b in itertools.pairwise(ends)]
        for at in odd:
            rows[at], _ = self._careful.encode([texts[at]])
        return _joined(rows)


class Gigatoken(Backend):
    name = "gigatoken"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        import gigatoken

        self._tokenizer = _made(gigatoken.Tokenizer.from_json, source.plain)

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        found = self._tokenizer.encode_batch(list(texts), parallel=False).layout
        offsets = np.asarray(found.offsets.data).astype(np.int64)
        ids = np.asarray(found.content.data)[offsets[0] : offsets[-1]]
        return ids.astype(np.uint32, copy=False), np.diff(offsets)


class Tiktoken(Backend):
    """A byte-level BPE whose merges stand in the order of their ids."""

    name = "tiktoken"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        import tiktoken

        ranks = tiktoken_numbers(source)
        self._encoding = _made(
            lambda pattern: tiktoken.Encoding(
                "tokenmill", pat_str=pattern, mergeable_ranks=ranks, special_tokens={}
            ),
            source.pattern or "",
        )

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        return _joined([self._encoding.encode_ordinary(text) for text in texts])


BACKENDS: Mapping[str, type[Backend]] = {
    backend.name: backend for backend in (Kernel, Fastokens, Gigatoken, Tiktoken, Tokenizers)
}
"""In the order in which `auto` tries them."""


def reference_of(source: Source) -> Backend:
    """What says which ids are right. Raises ConfigError where it is not installed."""
    if source.model is None:
        return Tokenizers(source)
    try:
        return Sentencepiece(source)
    except ImportError as error:
        raise ConfigError(
            "tokenize: this tokenizer is a sentencepiece model that no tokenizer.json says "
            "exactly: pip install 'tokenmill[sentencepiece]'."
        ) from error


def _joined(ids: Sequence[Sequence[int]]) -> tuple[Ids, Lengths]:
    lengths = np.fromiter(map(len, ids), np.int64, count=len(ids))
    parts = [np.array(one, np.uint32) for one in ids]
    return np.concatenate([np.empty(0, np.uint32), *parts]), lengths


def _made(make: Callable[[str], Any], text: str) -> Any:
    try:
        return make(text)
    except Exception as error:  # each library raises what it likes
        raise Unsuitable(f"it does not take this tokenizer: {error}") from error


def tiktoken_numbers(source: Source) -> dict[bytes, int]:
    """Bytes -> id of a tokenizer.json, as tiktoken wants them.

    tiktoken merges the pair that makes the smallest id, and a piece that is a token is that token.
    Both must be what the file says: merges in the order of their ids, one a token, each token made
    by its merges. Raises Unsuitable where the form alone says no; the rest is the check's.
    """
    model = source.raw["model"]
    if model.get("type") != "BPE" or source.pattern is None:
        raise Unsuitable("it knows byte-level BPE with one pre-tokenisation regex alone")
    if source.raw.get("normalizer"):
        raise Unsuitable(f"it knows no normalizer ({source.raw['normalizer'].get('type')})")
    options = ("continuing_subword_prefix", "end_of_word_suffix", "dropout", "byte_fallback")
    if any(model.get(name) for name in options):
        raise Unsuitable(f"it knows none of {', '.join(options)}")
    plain = [token["content"] for token in source.added if not token["special"]]
    if plain:
        raise Unsuitable(f"it knows no added tokens that are not special, such as {plain[0]!r}")
    alphabet, vocab, special = byte_alphabet(), model["vocab"], set(source.special.values())
    made = [vocab["".join(_pair(merge))] for merge in model["merges"]]
    if any(a >= b for a, b in itertools.pairwise(made)):
        raise Unsuitable("the merges do not stand in the order of their ids")
    tokens = {**{c: vocab[c] for c in alphabet if c in vocab}}
    if len(tokens) < len(alphabet):
        raise Unsuitable("the vocabulary lacks single bytes")
    tokens |= {"".join(_pair(merge)): at for merge, at in zip(model["merges"], made, strict=True)}
    whole = {}
    if model.get("ignore_merges"):  # a piece that is a token is that token, merges or not
        whole = {t: at for t, at in vocab.items() if at not in special and t not in tokens}
    odd = [token for token in whole if not alphabet.keys() >= set(token)]
    if odd:
        raise Unsuitable(f"the token {odd[0]!r} is not written in bytes")
    numbers = {bytes(map(alphabet.__getitem__, t)): at for t, at in {**tokens, **whole}.items()}
    for token in whole:
        if made_of_two(bytes(map(alphabet.__getitem__, token)), numbers):
            raise Unsuitable(
                f"no merge makes the token {token!r}, and it would make it of two tokens in a piece"
            )
    return numbers


def made_of_two(token: bytes, numbers: Mapping[bytes, int]) -> bool:
    """True if two tokens side by side are this one."""
    return any(token[:at] in numbers and token[at:] in numbers for at in range(1, len(token)))


def is_panic(error: BaseException) -> bool:
    """True for what Rust libraries raise, which may be no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _pair(merge: str | Sequence[str]) -> Sequence[str]:
    return merge.split(" ") if isinstance(merge, str) else merge
