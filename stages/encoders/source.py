"""A tokenizer.json as all encoders see it, and what they say where they cannot follow it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint32]
Lengths = npt.NDArray[np.int64]

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What `ByteLevel(use_regex=True)` of tokenizers cuts with."""


class Unsuitable(Exception):
    """The library cannot encode as this tokenizer.json says; the message says why."""


class Source:
    """A tokenizer.json, read once for all libraries."""

    def __init__(self, path: Path | None, text: str = "") -> None:
        self.text = path.read_text("utf-8") if path else text
        model = path.with_name("sentencepiece.model") if path else None
        self.model = model if model and model.exists() else None
        """The sentencepiece model that encodes, where tokenizer.json only decodes."""

    @cached_property
    def raw(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    @cached_property
    def added(self) -> Sequence[Mapping[str, Any]]:
        return tuple(self.raw.get("added_tokens") or ())

    @cached_property
    def special(self) -> Mapping[str, int]:
        """Text -> id of the special tokens."""
        return {t["content"]: t["id"] for t in self.added if t["special"]}

    @cached_property
    def unknown(self) -> int | None:
        """Id of what the model does not know; None where it has none."""
        model = self.raw["model"]
        if model.get("type") == "Unigram":
            found: int | None = model.get("unk_id")
            return found
        known: Mapping[str, int] = model.get("vocab") or {}
        return known.get(model.get("unk_token") or "")

    @cached_property
    def plain(self) -> str:
        """The file without what makes special tokens: none is found in a text or put around it."""
        bare = {
            **self.raw,
            "added_tokens": [token for token in self.added if not token["special"]],
            "post_processor": None,
            "truncation": None,
            "padding": None,
        }
        vocab = self.raw["model"].get("vocab")
        if self.pattern and isinstance(vocab, dict):
            # fastokens wants every id to be a token's. No byte is written as U+0000.
            ids = set(vocab.values())
            missing = {f"\x00{at}": at for at in range(max(ids, default=0)) if at not in ids}
            bare["model"] = {**self.raw["model"], "vocab": {**vocab, **missing}}
        if self.pattern == GPT2_PATTERN:
            # The same cuts, said in the way that gigatoken knows and that fastokens 0.3.5 gets
            # right: given the regex it takes U+180E before a contraction for white space.
            bare["pre_tokenizer"] = {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": True,
            }
        return json.dumps(bare)

    def probe(self, texts: Sequence[str]) -> Source | None:
        """This pre-tokenizer with a vocabulary that shows its cuts; None where it cuts by no regex.

        Every two bytes that are neighbours in the texts are a token, so a piece's ids tell where
        it begins and ends. With a real vocabulary a wrong cut often changes no id, until it does.
        """
        if self.pattern is None or self.raw.get("normalizer"):
            return None
        data = np.frombuffer("".join(texts).encode(), np.uint8).astype(np.int64)
        pairs = np.unique(data[:-1] * 256 + data[1:]).tolist()
        shown = {byte: character for character, byte in byte_alphabet().items()}
        merges = [[shown[pair >> 8], shown[pair & 255]] for pair in pairs]
        names = [*shown.values(), *("".join(merge) for merge in merges)]
        model = {
            **dict.fromkeys(("dropout", "unk_token", "continuing_subword_prefix")),
            **{"type": "BPE", "end_of_word_suffix": None, "fuse_unk": False},
            **{"byte_fallback": False, "ignore_merges": False, "merges": merges},
            "vocab": {name: at for at, name in enumerate(names)},
        }
        return Source(None, json.dumps({**self.raw, "model": model, "added_tokens": []}))

    @cached_property
    def pattern(self) -> str | None:
        """The regex of a byte-level pre-tokenizer that cuts by one and does nothing else."""
        kind = self.raw.get("pre_tokenizer") or {}
        steps = kind.get("pretokenizers", []) if kind.get("type") == "Sequence" else [kind]
        if not steps or steps[-1].get("type") != "ByteLevel" or steps[-1].get("add_prefix_space"):
            return None
        if len(steps) == 1:
            return GPT2_PATTERN if steps[0].get("use_regex", True) else None
        split = steps[0]
        if len(steps) > 2 or split.get("type") != "Split" or steps[1].get("use_regex", True):
            return None
        if split.get("behavior") != "Isolated" or split.get("invert"):
            return None
        found: str | None = split["pattern"].get("Regex")
        return found


def byte_alphabet() -> dict[str, int]:
    """Character -> byte, as byte-level tokenizers write bytes (openai/gpt-2 src/encoder.py)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(b): b for b in shown} | {chr(256 + n): b for n, b in enumerate(hidden)}
