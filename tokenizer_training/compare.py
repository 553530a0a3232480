"""Whether a tokenizer.json gives the ids that another library gave."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from stages.encoders.backends import is_panic


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


def compare_with_tiktoken(made: bytes, texts: Sequence[str], encoding: Any) -> None:
    """`compare` with a `tiktoken.Encoding`. Raises ValueError also where its regex fails."""
    try:
        wanted = [encoding.encode_ordinary(text) for text in texts]
    except BaseException as error:
        if not is_panic(error):
            raise
        raise ValueError(f"tiktoken fails with the regex: {error}") from error
    compare(made, texts, wanted, "tiktoken")


def texts_of(tokens: Iterable[bytes]) -> list[str]:
    """Those of the tokens that are text by themselves."""
    found = []
    for token in tokens:
        with contextlib.suppress(UnicodeDecodeError):
            found.append(token.decode())
    return found
