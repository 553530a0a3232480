"""Whether a tokenizer.json gives the ids that another library gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def compare(made: bytes, texts: Sequence[str], wanted: Sequence[Sequence[int]], name: str) -> None:
    """Raises ValueError, with the first text, if the tokenizer.json gives other ids."""
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_str(made.decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    for text, encoding, ids in zip(texts, found, wanted, strict=True):
        if encoding.ids != list(ids):
            raise ValueError(
                f"tokenizer.json and {name} differ for {text[:60]!a}: {encoding.ids[:8]} and "
                f"{list(ids)[:8]}"
            )
