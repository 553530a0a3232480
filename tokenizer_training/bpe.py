"""Byte-level BPE with Hugging Face `tokenizers`, and the artefact that a tokenizer step makes.

The artefact is two files: `tokenizer.json` (what any library loads) and `meta.json`, with the
facts that later steps need without loading it. Neither holds a time, a path or a host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tokenizer_training.patterns import PATTERNS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ALPHABET = 256
"""Every byte is a token, so that any text can be encoded and decoded."""


def train_bpe(
    texts: Iterable[str],
    *,
    vocab_size: int,
    pattern: str,
    special_tokens: Sequence[str],
    min_frequency: int,
) -> Tokenizer:
    """A byte-level BPE tokenizer of at most `vocab_size` tokens, special tokens first.

    Equal texts in equal order give equal bytes of `tokenizer.json`.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[AddedToken(token, special=True) for token in special_tokens],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def artefact(tokenizer_json: bytes, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a tokenizer step: `tokenizer.json` as given and a `meta.json` of its facts.

    `meta.json` holds vocab_size (tokens, added ones included), max_id (the largest id that any
    text can get), special_tokens (text -> id), sha256 of tokenizer.json, and `facts`.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(tokenizer_json)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    added = tokenizer.get_added_tokens_decoder()
    meta = {
        "vocab_size": len(ids),
        "max_id": max(ids.values()),
        "special_tokens": {t.content: i for i, t in sorted(added.items()) if t.special},
        "sha256": hashlib.sha256(tokenizer_json).hexdigest(),
        **facts,
    }
    text = json.dumps(meta, indent=2, sort_keys=True, ensure_ascii=False)
    return {"tokenizer.json": tokenizer_json, "meta.json": text.encode() + b"\n"}
