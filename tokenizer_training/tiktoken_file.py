"""A tiktoken file (`.tiktoken`: base64 of a token's bytes and its number a line) as tokenizer.json.

tiktoken gives a piece that is a token its number, and otherwise merges the two neighbours whose
joint bytes have the smallest number. `ignore_merges` says the first. For the second each token of
two bytes or more gets one merge: the two parts that are left of it when its own bytes are merged
with smaller numbers alone. No other pair of parts can lie side by side when the token's turn
comes: what happens between its first and last byte is what happens to its bytes alone. A token of
which more than two parts are left is only met as a whole piece, if no two tokens make it; if two
do, one of them has a larger number than itself, tiktoken merges out of order, and no list of merges
says that: such a file (no training makes one) is refused.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from collections.abc import Mapping
from typing import Any

from stages.encoders.backends import is_panic, made_of_two
from tokenizer_training.bpe import MAX_ID, shown_bytes

BYTES = 256
PROBE = "a B1 .\n"
"""A text that no regex for tokenizers leaves a part of out: tiktoken panics at an empty match."""


def read_numbers(data: bytes) -> dict[bytes, int]:
    """Token -> number. Raises ValueError where a line is none, or a single byte has no token."""
    found: dict[bytes, int] = {}
    owners: dict[int, bytes] = {}
    for at, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            written, digits = line.split()
            token, number = base64.b64decode(written, validate=True), int(digits)
        except (ValueError, binascii.Error) as error:
            raise ValueError(f"line {at}: {line[:40]!r} is not 'base64 number'") from error
        if not 0 <= number <= MAX_ID:
            raise ValueError(f"line {at}: number {number}, expected 0 to {MAX_ID:,}")
        if token in found:
            raise ValueError(f"line {at}: {token!r} is there a second time")
        if number in owners:
            raise ValueError(f"line {at}: {token!r} has number {number}, as has {owners[number]!r}")
        found[token], owners[number] = number, token
    missing = [byte for byte in range(BYTES) if bytes([byte]) not in found]
    if missing:
        raise ValueError(f"{len(missing)} single bytes have no token, the first is {missing[0]}")
    return found


def check_special_tokens(special_tokens: Mapping[str, int]) -> None:
    """Raises ValueError for a name that is empty, and an id that is none or another name's."""
    names: dict[int, str] = {}
    for name, number in special_tokens.items():
        if not name:
            raise ValueError(f"special_tokens: id {number} has an empty text.")
        if not 0 <= number <= MAX_ID:
            raise ValueError(f"special_tokens: {name} = {number}, expected 0 to {MAX_ID:,}.")
        if number in names:
            raise ValueError(f"special_tokens: {names[number]} and {name} both have id {number}.")
        names[number] = name


def check_pattern(pattern: str) -> None:
    """Raises ValueError for a regex that tokenizers (Oniguruma) or tiktoken does not take."""
    import tiktoken
    from tokenizers import Regex

    try:
        Regex(pattern)
        tiktoken.Encoding(
            "check", pat_str=pattern, special_tokens={},
            mergeable_ranks={bytes([byte]): byte for byte in range(BYTES)},
        ).encode_ordinary(PROBE)  # fmt: skip
    except BaseException as error:
        if not is_panic(error):
            raise
        raise ValueError(f"pattern {pattern!r} is no regex: {error}.") from error


def shown_tokens(
    numbers: Mapping[bytes, int], special_tokens: Mapping[str, int]
) -> dict[bytes, str]:
    """Each token as tokenizer.json writes it.

    Raises ValueError where a special token has the number of a token, or is written as one.
    """
    characters = shown_bytes()
    shown = {token: "".join(characters[byte] for byte in token) for token in numbers}
    taken = {number: token for token, number in numbers.items()}
    written = {name: token for token, name in shown.items()}
    for name, number in special_tokens.items():
        if number in taken:
            raise ValueError(
                f"special token '{name}' has number {number}, as has {taken[number]!r}"
            )
        if name in written:
            token = written[name]
            raise ValueError(
                f"special token '{name}' is written as the token {token!r}, number {numbers[token]}"
            )
    return shown


def tokenizer_json(
    numbers: Mapping[bytes, int], pattern: str, special_tokens: Mapping[str, int]
) -> bytes:
    """The tokenizer.json that gives the ids of `tiktoken.Encoding` with these three.

    Raises ValueError as `shown_tokens`, and where numbers are not in the order of merging.
    """
    shown = shown_tokens(numbers, special_tokens)
    ordered = sorted(numbers.items(), key=lambda entry: entry[1])
    vocab = {shown[token]: number for token, number in ordered}
    merges = []
    for token, number in ordered:
        parts = parts_before(token, number, numbers)
        if len(parts) == 2:
            merges.append([shown[parts[0]], shown[parts[1]]])
        elif made_of_two(token, numbers):
            raise ValueError(
                f"token {token!r} has a smaller number than a token that it is made of"
            )
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    special = sorted(special_tokens.items(), key=lambda entry: entry[1])
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    steps = [{**split, "invert": False}, {**byte_level, "use_regex": False}]
    body: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": name, **plain, "special": True} for name, number in special
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": None,
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            # Here too, because the library numbers added tokens that it does not find anew.
            "vocab": {**vocab, **dict(special)},
            "merges": merges,
        },
    }
    return json.dumps(body, ensure_ascii=False).encode()


def parts_before(token: bytes, number: int, numbers: Mapping[bytes, int]) -> list[bytes]:
    """What is left of the token's bytes when they are merged with numbers below its own alone."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 1:
        pairs = [numbers.get(a + b, number) for a, b in itertools.pairwise(parts)]
        least = min(pairs)
        if least >= number:
            break
        at = pairs.index(least)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts
