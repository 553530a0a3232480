"""Byte-level BPE, and the artefact that a tokenizer step makes.

The trainer of record is Hugging Face `tokenizers`, which reads texts. `train_on_counts` trains on
counted pieces by the kernel `bpe_merges` and gives the same bytes of `tokenizer.json`; its counts
are 64 bits, those of `tokenizers` 32 (`TOKENIZERS_MAX_BYTES`).

The artefact is two files: `tokenizer.json` (what any library loads) and `meta.json`, with the
facts that later steps need without loading it. Neither holds a time, a path or a host.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.kernels.piece_rules import Cut
from tokenizer_training.patterns import cut, regular_expression

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from stages.kernels.piece_counts import PieceCounts

ALPHABET = 256
"""Every byte is a token, so that any text can be encoded and decoded."""
TOKENIZERS_MAX_BYTES = 2**31 - 1
"""The largest sample of the trainer of record: `tokenizers` counts pairs in 32 bits with a sign
(models/bpe/trainer.rs, `AHashMap<Pair, i32>`), and a pair occurs at most once a byte."""
RESERVED = "<|reserved_{}|>"
MAX_ID = (1 << 24) - 1
"""The largest id: encoders and figures hold tables of all ids below it. The largest published
vocabulary, Gemma 3's, has 262,144."""


@dataclass(frozen=True)
class BpeOptions:
    """What a byte-level BPE is to be."""

    vocab_size: int
    """Special and reserved tokens included; padding comes on top."""
    pattern: str = "llama3"
    digits: str = "published"
    whitespace: str = "published"
    special_tokens: tuple[str, ...] = ()
    reserved_tokens: int = 0
    """`<|reserved_0|>` and so on, special tokens behind the named ones."""
    pad_to_multiple_of: int = 1
    """Further reserved tokens at the end of the vocabulary."""
    min_frequency: int = 2

    @property
    def expression(self) -> str:
        """The regular expression that cuts text into pieces."""
        return regular_expression(self.pattern, self.digits, self.whitespace)

    @property
    def cut(self) -> Cut:
        """The same for the kernels."""
        return cut(self.pattern, self.digits, self.whitespace)

    @property
    def specials(self) -> tuple[str, ...]:
        """All special tokens, which have the first ids."""
        return (*self.special_tokens, *map(RESERVED.format, range(self.reserved_tokens)))

    def check(self) -> None:
        """Raises ValueError where no such tokenizer can be."""
        count = len(self.special_tokens) + self.reserved_tokens
        if self.vocab_size < ALPHABET + count:  # first: their names may not fit into memory
            raise ValueError(
                f"vocab_size = {self.vocab_size}, expected at least {ALPHABET} bytes and "
                f"{count} special tokens."
            )
        names = self.specials
        if len(set(names)) != len(names) or "" in names:
            raise ValueError(f"special_tokens {list(names)}: each once, none empty.")
        for name in names:
            try:
                name.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"special_tokens: {name!a} is no UTF-8 text.") from error
        if self.pad_to_multiple_of < 1:
            raise ValueError(f"pad_to_multiple_of = {self.pad_to_multiple_of}, expected 1 or more.")
        if not 0 <= self.min_frequency < 2**63:
            raise ValueError(f"min_frequency = {self.min_frequency}, expected 0 to 2^63 - 1.")


def train_on_texts(texts: Iterable[str], options: BpeOptions) -> Tokenizer:
    """A tokenizer of at most `vocab_size` tokens and padding, by Hugging Face `tokenizers`.

    Equal texts, in any order, give equal bytes of `tokenizer.json`.
    """
    from tokenizers import pre_tokenizers, trainers

    tokenizer = _assembled(None, options)
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocab_size,
        min_frequency=options.min_frequency,
        special_tokens=_added(options.specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _padded(tokenizer, options)


def train_on_counts(pieces: PieceCounts, options: BpeOptions) -> Tokenizer:
    """The same tokenizer from counted pieces, each of them once, in any order."""
    import numpy as np
    from tokenizers import models

    from stages.kernels.bpe_merges import train

    names, first, byte_ids = _first_tokens(options.specials)
    ends = np.cumsum([0, *map(len, first)], dtype=np.int64)
    text = np.frombuffer(b"".join(first), np.uint8).copy()
    merges, text, ends = train(
        *pieces, byte_ids, text, ends, options.vocab_size, options.min_frequency
    )
    shown = shown_bytes()
    joined, limits = "".join(shown[byte] for byte in text.tolist()), ends.tolist()
    tokens = [joined[start:end] for start, end in itertools.pairwise(limits)]
    tokens[: len(names)] = names
    # A pair that was merged twice stands where it was last: tokenizers keeps a map of pairs.
    last = {(left, right): at for at, (left, right, _, _) in enumerate(merges.tolist())}
    pairs = [(tokens[left], tokens[right]) for left, right in sorted(last, key=last.__getitem__)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = _assembled(models.BPE(vocab=vocabulary, merges=pairs), options)
    if options.specials:
        tokenizer.add_special_tokens(_added(options.specials))
    return _padded(tokenizer, options)


def shown_bytes() -> list[str]:
    """The character by which `tokenizer.json` shows each byte: GPT-2's `bytes_to_unicode`."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    found = {byte: chr(byte) for byte in plain}
    found |= {byte: chr(256 + at) for at, byte in enumerate(others)}
    return [found[byte] for byte in range(256)]


def token_bytes(token: str) -> bytes:
    """The bytes of a token of a byte-level `tokenizer.json`. Raises KeyError if it is none."""
    if not _BYTES:
        _BYTES.update({char: byte for byte, char in enumerate(shown_bytes())})
    return bytes(_BYTES[char] for char in token)


_BYTES: dict[str, int] = {}


def _first_tokens(specials: Sequence[str]) -> tuple[list[str], list[bytes], Any]:
    """Special tokens and bytes as `tokenizers` numbers them: (names, bytes, id of each byte).

    A special token that cannot be spelled in bytes has none, so that no merge gives it; one that
    can be is the result of a merge of that spelling, as in `tokenizers`.
    """
    import numpy as np

    shown = shown_bytes()
    alphabet = sorted(set(shown) - set(specials))
    spelled = [token_bytes(name) if set(name) <= set(shown) else b"" for name in specials]
    names = [*specials, *alphabet]
    ids = {name: at for at, name in enumerate(names)}
    byte_ids = np.array([ids[char] for char in shown], np.int32)
    return names, [*spelled, *map(token_bytes, alphabet)], byte_ids


def _added(names: Sequence[str]) -> list[Any]:
    from tokenizers import AddedToken

    return [AddedToken(name, special=True) for name in names]


def _assembled(model: Any, options: BpeOptions) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(model or models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(options.expression), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _padded(tokenizer: Tokenizer, options: BpeOptions) -> Tokenizer:
    """With reserved tokens up to the multiple."""
    missing = -tokenizer.get_vocab_size() % options.pad_to_multiple_of
    names = map(RESERVED.format, itertools.count(options.reserved_tokens))
    free = (name for name in names if tokenizer.token_to_id(name) is None)
    if missing:
        tokenizer.add_special_tokens(_added(list(itertools.islice(free, missing))))
    return tokenizer


def artefact(tokenizer_json: bytes, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a tokenizer step: `tokenizer.json` as given and a `meta.json` of its facts.

    `meta.json` holds vocab_size (tokens, added ones included), max_id (the largest id that any
    text can get), special_tokens (text -> id), sha256 of tokenizer.json, and `facts`.
    Raises ValueError where an id is above MAX_ID.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(tokenizer_json)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    added = tokenizer.get_added_tokens_decoder()
    if max(ids.values()) > MAX_ID:
        raise ValueError(f"its largest id is {max(ids.values()):,}, expected {MAX_ID:,} at most")
    meta = {
        "vocab_size": len(ids),
        "max_id": max(ids.values()),
        "special_tokens": {t.content: i for i, t in sorted(added.items()) if t.special},
        "sha256": hashlib.sha256(tokenizer_json).hexdigest(),
        **facts,
    }
    text = json.dumps(meta, indent=2, sort_keys=True, ensure_ascii=False)
    return {"tokenizer.json": tokenizer_json, "meta.json": text.encode() + b"\n"}
