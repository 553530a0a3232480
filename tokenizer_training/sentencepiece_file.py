"""A sentencepiece model (`.model`, BPE or unigram) as tokenizer.json, and tried against itself.

The conversion is that of `transformers` (convert_slow_tokenizer.py: SpmConverter, LlamaConverter).
It is compared with sentencepiece on a hostile corpus. It is exact for BPE with byte fallback and
without normalisation (Llama 1 and 2), and not with NFKC, which tokenizers does grapheme by
grapheme. Where one id differs the model itself joins the artefact, and `tokenize` encodes with
sentencepiece; tokenizer.json then serves to decode.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.texts.hostile import hostile_corpus
from tokenizer_training.compare import compare

SENTENCEPIECE_MODEL = "sentencepiece.model"
"""The artefact's file with which `tokenize` encodes; see `stages/encoders/backends.py`."""
SPACE = "\u2581"
UNIGRAM, BPE = 1, 2
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
NEVER = -1e9
"""Score at which a unigram piece is never taken: special tokens stand in no text."""


def sentencepiece_files(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """tokenizer.json, with the model if that is not exact, and the facts of meta.json.

    Raises ValueError where the file is no model, or of a type that cannot be decoded from
    tokenizer.json.
    """
    data = path.read_bytes()
    model, processor = parsed(data, path)
    import sentencepiece

    made = tokenizer_json(model)
    special = [piece.piece for piece in model.pieces if piece.type in (UNKNOWN, CONTROL)]
    texts = hostile_corpus(special)
    texts += [piece.piece.replace(SPACE, " ") for piece in model.pieces]
    try:
        compare(made, texts, processor.encode(texts), "sentencepiece")
    except ValueError as difference:
        facts = {
            "from": "sentencepiece",
            "encoded_by": f"sentencepiece {sentencepiece.__version__}",
            "warning": f"tokenizer.json decodes, but encode with sentencepiece: {difference}",
        }
        return {"tokenizer.json": made, SENTENCEPIECE_MODEL: data}, facts
    return {"tokenizer.json": made}, {"from": "sentencepiece"}


def parsed(data: bytes, path: Path) -> tuple[Any, Any]:
    """The model as a message and as sentencepiece's processor. Raises ValueError if it is none.

    Raises ConfigError, with the path, where sentencepiece is not installed.
    """
    try:
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2
    except ImportError as error:
        raise ConfigError(
            f"{path}: a sentencepiece model is compared with sentencepiece itself, which is not "
            f"installed: pip install 'tokenmill[sentencepiece]'."
        ) from error
    model = sentencepiece_model_pb2.ModelProto()
    try:
        model.ParseFromString(data)
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
    except Exception as error:  # protobuf and sentencepiece raise what they like
        raise ValueError(f"no sentencepiece model: {error}") from error
    if not any(piece.type == UNKNOWN for piece in model.pieces):
        raise ValueError(
            f"no sentencepiece model: {len(model.pieces)} pieces, none of them the unknown one"
        )
    return model, processor


def tokenizer_json(model: Any) -> bytes:
    """The tokenizer.json of a parsed model. Raises ValueError for a model type without one."""
    pieces, kind = list(model.pieces), model.trainer_spec.model_type
    if kind not in (UNIGRAM, BPE):
        raise ValueError("its model type is neither unigram nor BPE, so no tokenizer.json has it")
    if (
        model.trainer_spec.treat_whitespace_as_suffix
        or not model.normalizer_spec.escape_whitespaces
    ):
        raise ValueError("it puts white space last or does not escape it")
    unknown = next(at for at, piece in enumerate(pieces) if piece.type == UNKNOWN)
    fallback = bool(model.trainer_spec.byte_fallback)
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    body = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": at,
                "content": piece.piece,
                **plain,
                "special": piece.type != USER_DEFINED,
            }
            for at, piece in enumerate(pieces)
            if piece.type in (UNKNOWN, CONTROL, USER_DEFINED)
        ],
        "normalizer": _normaliser(model.normalizer_spec),
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": _decoder(bool(model.normalizer_spec.add_dummy_prefix)),
        "model": (_unigram if kind == UNIGRAM else _bpe)(pieces, unknown, fallback),
    }
    return json.dumps(body, ensure_ascii=False).encode()


def _normaliser(spec: Any) -> dict[str, Any] | None:
    import base64

    steps: list[dict[str, Any]] = []
    if spec.precompiled_charsmap:
        charsmap = base64.b64encode(spec.precompiled_charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    if spec.remove_extra_whitespaces:
        # Not `Strip`: that takes white space of any kind, sentencepiece the space alone.
        for pattern, content in (("^ +| +$", ""), (" {2,}", " ")):
            steps.append({"type": "Replace", "pattern": {"Regex": pattern}, "content": content})
    if spec.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": SPACE})
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
    return {"type": "Sequence", "normalizers": steps}


def _decoder(prefix: bool) -> dict[str, Any]:
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else []
    steps = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        *strip,
    ]
    return {"type": "Sequence", "decoders": steps}


def _unigram(pieces: Sequence[Any], unknown: int, fallback: bool) -> dict[str, Any]:
    hidden = (UNKNOWN, CONTROL, UNUSED, BYTE)
    vocab = [[p.piece, NEVER if p.type in hidden else p.score] for p in pieces]
    return {"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": fallback}


def _bpe(pieces: Sequence[Any], unknown: int, fallback: bool) -> dict[str, Any]:
    vocab = {piece.piece: at for at, piece in enumerate(pieces)}
    merges: list[tuple[float, int, int, str, str]] = []
    for piece in pieces:
        if piece.type != NORMAL:
            continue
        for at in range(1, len(piece.piece)):
            left, right = piece.piece[:at], piece.piece[at:]
            if left in vocab and right in vocab:
                merges.append((-piece.score, vocab[left], vocab[right], left, right))
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": pieces[unknown].piece,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": fallback,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": [[left, right] for *_, left, right in sorted(merges)],
    }
