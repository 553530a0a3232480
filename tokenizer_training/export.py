"""A byte-level BPE `tokenizer.json` in the forms that others load.

huggingface   a folder for `AutoTokenizer.from_pretrained(folder)`
tiktoken      `vocabulary.tiktoken` (a line a token: base64 of its bytes, rank) and
              `tiktoken.json` (pat_str, special_tokens), which `load_tiktoken` puts together;
              its ids are compared with those of `tokenizers` before it is given out
tsv           `vocabulary.tsv`, to be read: id, kind, token, bytes, and the merge that makes it
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError
from pipeline.texts.hostile import hostile_corpus
from stages.encoders.backends import tiktoken_numbers
from stages.encoders.source import Source, Unsuitable
from tokenizer_training.bpe import token_bytes
from tokenizer_training.compare import compare_with_tiktoken, texts_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FORMATS = ("huggingface", "tiktoken", "tsv")
MODEL_MAX_LENGTH = 10**30
"""What transformers writes for "no limit": the length is the model's, not the tokenizer's."""


def exported(tokenizer_json: bytes, form: str, end_of_document: str | None) -> dict[str, bytes]:
    """Files of the form. Raises ConfigError where it cannot say what the tokenizer does."""
    if form == "huggingface":
        return _huggingface(tokenizer_json, end_of_document)
    return _tiktoken(tokenizer_json) if form == "tiktoken" else _tsv(tokenizer_json)


def parsed(tokenizer_json: bytes) -> dict[str, Any]:
    """The JSON. Raises ConfigError if it is no byte-level BPE."""
    try:
        found: dict[str, Any] = json.loads(tokenizer_json)
        level = found["model"]["type"] == "BPE" and "ByteLevel" in json.dumps(found["decoder"])
    except (ValueError, KeyError, TypeError):
        level = False
    if not level:
        raise ConfigError("the tokenizer is no byte-level BPE of the tokenizers library.")
    return found


def _added(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Added tokens in order of ids."""
    return sorted(found.get("added_tokens") or (), key=lambda token: int(token["id"]))


def specials_of(found: Mapping[str, Any]) -> dict[str, int]:
    """Special tokens and their ids, in order of ids."""
    return {token["content"]: token["id"] for token in _added(found) if token["special"]}


def _huggingface(tokenizer_json: bytes, end: str | None) -> dict[str, bytes]:
    found = parsed(tokenizer_json)
    specials = specials_of(found)
    if end is None:
        end = next(iter(specials), None)
    elif end not in specials:
        raise ConfigError(f"'{end}' is no special token of the tokenizer: {list(specials)}.")
    named = {"eos_token": end} if end is not None else {}
    others = [name for name in specials if name != end]
    config = {
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in _added(found)
        },
        "clean_up_tokenization_spaces": False,
        "model_max_length": MODEL_MAX_LENGTH,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "additional_special_tokens": others,
        **named,
    }
    return {
        "tokenizer.json": tokenizer_json,
        "tokenizer_config.json": _pretty(config),
        "special_tokens_map.json": _pretty({**named, "additional_special_tokens": others}),
    }


def _pretty(value: Any) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def _merges(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    merges = found["model"]["merges"]
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]
    return [(left, right) for left, right in pairs]


def _tiktoken(tokenizer_json: bytes) -> dict[str, bytes]:
    found = parsed(tokenizer_json)
    source = Source(None, tokenizer_json.decode())
    try:
        files = _tiktoken_files(source)
        lost = _lost(found)
        if lost:
            raise Unsuitable(
                f"{len(lost)} tokens, {lost[0]!r} for one, are no result of their own bytes' "
                f"merges, and it would use them"
            )
        corpus = hostile_corpus(list(source.special))
        probe = source.probe(corpus)
        if probe is not None:
            _prove(probe, _tiktoken_files(probe), corpus)
        _prove(source, files, [*corpus, *_own_texts(source)])
    except Unsuitable as error:
        raise ConfigError(f"tiktoken would give other ids: {error}. Export huggingface.") from error
    return files


def _tiktoken_files(source: Source) -> dict[str, bytes]:
    """Raises Unsuitable where the form of the tokenizer alone says no."""
    lines = [
        base64.b64encode(token) + f" {number}\n".encode()
        for token, number in sorted(tiktoken_numbers(source).items(), key=lambda entry: entry[1])
    ]
    facts = {"pat_str": source.pattern, "special_tokens": specials_of(source.raw)}
    return {"vocabulary.tiktoken": b"".join(lines), "tiktoken.json": _pretty(facts)}


def _lost(found: Mapping[str, Any]) -> list[str]:
    """Results of merges that are none of their own bytes'.

    Not of a whole piece that is a token: within a longer piece tiktoken would make them.
    """
    from tokenizers import Tokenizer

    model = {**found["model"], "ignore_merges": False}
    merged = {left + right for left, right in _merges(found)}
    lost = unreachable(Tokenizer.from_str(json.dumps({**found, "model": model})), found)
    return [token for token in lost if token in merged or not found["model"].get("ignore_merges")]


def _prove(source: Source, files: Mapping[str, bytes], texts: Sequence[str]) -> None:
    """Raises Unsuitable if tiktoken fails, or an id differs, for one of the texts."""
    try:
        encoding = _encoding("exported", files)
    except Exception as error:  # of its regex library
        raise Unsuitable(f"it does not take the regex {source.pattern!r}: {error}") from error
    try:
        compare_with_tiktoken(source.text.encode(), texts, encoding)
    except ValueError as error:
        raise Unsuitable(str(error)) from error


def _own_texts(source: Source) -> list[str]:
    """The text of every token, alone and as a line: `^` and `$` are of lines to tokenizers."""
    found = texts_of(tiktoken_numbers(source))
    return [*found, *(f"\n{text}\n" for text in found)]


def unreachable(tokenizer: Tokenizer, found: Mapping[str, Any]) -> list[str]:
    """Tokens that are not what their own bytes become: no text has them by itself."""
    added = {token["content"] for token in _added(found)}
    return [
        token
        for token, number in sorted(found["model"]["vocab"].items(), key=lambda entry: entry[1])
        if token not in added and [t.id for t in tokenizer.model.tokenize(token)] != [number]
    ]


def load_tiktoken(folder: Path) -> Any:
    """The `tiktoken.Encoding` of an exported folder."""
    names = ("vocabulary.tiktoken", "tiktoken.json")
    return _encoding(folder.name, {name: (folder / name).read_bytes() for name in names})


def _encoding(name: str, files: Mapping[str, bytes]) -> Any:
    import tiktoken

    ranks = {}
    for line in files["vocabulary.tiktoken"].splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    facts = json.loads(files["tiktoken.json"])
    return tiktoken.Encoding(
        name,
        pat_str=facts["pat_str"],
        mergeable_ranks=ranks,
        special_tokens=facts["special_tokens"],
    )


def _tsv(tokenizer_json: bytes) -> dict[str, bytes]:
    found = parsed(tokenizer_json)
    added = {token["content"]: token for token in _added(found)}
    merges = {left + right: (left, right) for left, right in _merges(found)}
    ids = {**found["model"]["vocab"], **{name: token["id"] for name, token in added.items()}}
    lines = ["id\tkind\ttoken\tbytes\tmerge"]
    for token, number in sorted(ids.items(), key=lambda entry: entry[1]):
        if token in added:
            kind = "special" if added[token]["special"] else "added"
            lines.append(f"{number}\t{kind}\t{token}\t\t")
            continue
        content = plain_bytes(token)
        parts = [readable(token_bytes(part)) for part in merges.get(token, ())]
        kind = "merge" if parts else "byte"
        lines.append(
            f"{number}\t{kind}\t{readable(content)}\t{content.hex(' ')}\t{' + '.join(parts)}"
        )
    return {"vocabulary.tsv": "\n".join(lines).encode() + b"\n"}


def plain_bytes(token: str) -> bytes:
    """Bytes of a token; of one that is not written in bytes, its UTF-8."""
    try:
        return token_bytes(token)
    except KeyError:
        return token.encode()


def readable(content: bytes) -> str:
    r"""Bytes for the eye, in quotes: UTF-8 as it is, all else as `\x..` or another escape."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return repr(content)[1:]
    return repr(text)


__all__ = [
    "FORMATS", "exported", "load_tiktoken", "parsed", "plain_bytes", "readable", "unreachable",
]  # fmt: skip
