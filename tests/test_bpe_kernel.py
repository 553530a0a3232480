"""The kernel that encodes: ids of the slow definition and of `tokenizers`, bounds, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cpu_time import assert_time_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st
from test_encoders import PROSE, SPECIAL, real_texts, rows

from pipeline.errors import ConfigError
from pipeline.texts.hostile import hostile_corpus, hostile_strings
from stages.encoders import tables, verified
from stages.encoders.backends import Kernel, Tokenizers
from stages.encoders.source import Source, Unsuitable, byte_alphabet
from stages.encoders.tables import KernelEncoder
from stages.encoders.verified import Encoder, Mismatch
from stages.kernels.bpe_join import SHORT
from stages.kernels.expressions import DIGITS, NAMES, WHITESPACE
from tokenizer_training.bpe import BpeOptions, train_on_texts
from tokenizer_training.bpe import artefact as artefact_of


@cache
def tokenizer_file(pattern: str, digits: str = "published", whitespace: str = "published") -> str:
    """A tokenizer.json of 900 tokens."""
    options = BpeOptions(900, pattern, digits, whitespace, special_tokens=tuple(SPECIAL))
    tokenizer = train_on_texts([PROSE * 3, *hostile_strings(300)], options)
    return artefact_of(tokenizer.to_str().encode(), {})["tokenizer.json"].decode()


def changed(text: str, **model: Any) -> Source:
    """The tokenizer with other options of its model."""
    raw = json.loads(text)
    raw["model"].update(model)
    return Source(None, json.dumps(raw))


def column(texts: Sequence[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def slow_ids(piece: str, raw: dict[str, Any]) -> list[int]:
    """Greedy: the merge that stands first, of equal ones the leftmost; nothing clever."""
    vocab = raw["model"]["vocab"]
    order = {tuple(merge): at for at, merge in enumerate(raw["model"]["merges"])}
    shown = {byte: character for character, byte in byte_alphabet().items()}
    tokens = [shown[byte] for byte in piece.encode()]
    while True:
        pairs = enumerate(pairwise(tokens))
        found = [(order.get(pair, len(order)), at) for at, pair in pairs]
        first, at = min(found, default=(len(order), 0))
        if first == len(order):
            return [vocab[token] for token in tokens]
        tokens[at : at + 2] = [tokens[at] + tokens[at + 1]]


# --- Equal ids -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", list(product(sorted(NAMES), DIGITS, WHITESPACE)), ids="-".join)
def test_every_pattern_and_option_gives_the_ids_of_tokenizers(options: tuple[str, ...]) -> None:
    source = Source(None, tokenizer_file(*options))
    texts = [*real_texts()[::3], *hostile_strings(1500, SPECIAL, first=10_000)]
    assert rows(Kernel(source).encode(texts)) == rows(Tokenizers(source).encode(texts))


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "llama3", "o200k"])
def test_every_cut_is_that_of_tokenizers(pattern: str) -> None:
    texts = [*hostile_corpus(SPECIAL), *hostile_strings(3000, first=500_000)]
    probe = Source(None, tokenizer_file(pattern)).probe(texts)
    assert probe is not None
    assert rows(Kernel(probe).encode(texts)) == rows(Tokenizers(probe).encode(texts))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab c", min_size=1, max_size=30), min_size=1, max_size=5),
    st.lists(st.text("abc d\u00e9\n", max_size=200), max_size=5),
    st.booleans(),
)
def test_any_small_vocabulary_gives_the_ids_of_the_slow_definition(
    corpus: list[str], texts: list[str], ignore_merges: bool
) -> None:
    text = train_on_texts(corpus, BpeOptions(290, "gpt2", special_tokens=tuple(SPECIAL))).to_str()
    source = changed(text, ignore_merges=ignore_merges)
    reference = Tokenizers(source)
    found = rows(KernelEncoder(source, 1).encode(column(texts)))
    assert found == rows(reference.encode(texts))
    if not ignore_merges:
        cutter = reference.tokenizer.pre_tokenizer
        for row, ids in zip(texts, found, strict=True):
            spans = [span for _, span in cutter.pre_tokenize_str(row)]
            assert ids == [i for a, b in spans for i in slow_ids(row[a:b], source.raw)]


def test_long_pieces_are_joined_as_short_ones_are() -> None:
    source = Source(None, tokenizer_file("llama3"))
    letters = "".join(PROSE.split()).translate({ord(c): None for c in ".,:;?!'=()[]/0123456789"})
    texts = [(letters * 9)[at : at + size] for at in range(0, 300, 7)
             for size in (SHORT - 1, SHORT, SHORT + 1, 300, 5000)]  # fmt: skip
    texts += ["a" * size for size in (47, 48, 49, 50, 255, 256, 257, 4095, 4096, 4097, 70_000)]
    assert rows(Kernel(source).encode(texts)) == rows(Tokenizers(source).encode(texts))
    assert rows(Kernel(source).encode(["the" * 50]))[0] == slow_ids("the" * 50, source.raw)


def test_a_piece_that_is_a_token_is_that_token_only_where_the_file_says_so() -> None:
    text = tokenizer_file("llama3")
    raw = json.loads(text)
    vocab = {**raw["model"]["vocab"], "zqzq": 5000}  # no merge leads there
    found = {}
    for ignore in (False, True):
        source = changed(text, vocab=vocab, ignore_merges=ignore)
        texts = ["zqzq", " zqzq", "zqzq zqzq", "the mill zqzq."]
        found[ignore] = rows(Kernel(source).encode(texts))
        assert found[ignore] == rows(Tokenizers(source).encode(texts))
    assert found[True][0] == [5000]
    assert 5000 not in found[False][0]


@pytest.mark.parametrize("cache_rows", [1, 2, 64, 1024])
def test_a_cache_that_overflows_changes_no_id(cache_rows: int) -> None:
    source = Source(None, tokenizer_file("o200k"))
    texts = [*real_texts()[::6], *hostile_strings(500)]
    small = KernelEncoder(source, cache_rows)
    wanted = rows(Tokenizers(source).encode(texts))
    for _ in range(2):
        assert rows(small.encode(column(texts))) == wanted


def test_columns_with_an_offset_and_empty_ones_are_encoded() -> None:
    encoder = KernelEncoder(Source(None, tokenizer_file("gpt2")))
    texts = ["before", "", "one two", "", "after"]
    ids, lengths = encoder.encode(column(texts).slice(1, 3), 7)
    one = encoder.encode(column(["one two"]))[0].tolist()
    assert ids.tolist() == [7, *one, 7, 7]
    assert lengths.tolist() == [1, len(one) + 1, 1]
    for empty in (column([]), column(["", ""]), column(texts).slice(5)):
        ids, lengths = encoder.encode(empty)
        assert len(ids) == 0
        assert lengths.tolist() == [0] * len(empty)


# --- Bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hostile",
    ["a" * 1_000_000, " " * 1_000_000, "\u4e2d" * 300_000, "ab" * 500_000, "'s" * 300_000,
     "1" * 500_000, "".join(map(chr, range(0x4E00, 0x9000))) * 20],
    ids=["letter", "blank", "han", "two letters", "contraction", "digit", "all han"],
)  # fmt: skip
def test_hostile_text_takes_time_in_proportion(hostile: str) -> None:
    encoder = KernelEncoder(Source(None, tokenizer_file("llama3")))
    encoder.encode(column(["once"]))
    assert_time_in_proportion(lambda text: encoder.encode(column([text])), hostile)


def test_pieces_that_all_differ_take_time_in_proportion() -> None:
    encoder = KernelEncoder(Source(None, tokenizer_file("llama3")), 256)
    encoder.encode(column(["once"]))
    numbers = np.random.default_rng(0).integers(97, 123, 900_000, np.uint8)
    numbers[::40] = 32
    assert_time_in_proportion(lambda t: encoder.encode(column([t])), numbers.tobytes().decode())


# --- Refusals and checks -------------------------------------------------------------------------


def test_a_tokenizer_that_the_kernel_cannot_say_is_refused() -> None:
    raw = json.loads(tokenizer_file("llama3"))
    bytes_lost = {token: at for token, at in raw["model"]["vocab"].items() if token != "!"}
    plain = [{**raw["added_tokens"][0], "special": False}]
    other = {"type": "Whitespace"}
    changes: list[tuple[dict[str, Any], str]] = [
        ({"normalizer": {"type": "NFC"}}, "normalizer"),
        ({"pre_tokenizer": other}, "pre-tokenizer"),
        ({"added_tokens": plain}, "added plain tokens"),
        ({"model": {**raw["model"], "byte_fallback": True}}, "byte fallback"),
        ({"model": {**raw["model"], "dropout": 0.1}}, "dropout"),
        ({"model": {**raw["model"], "vocab": bytes_lost}}, "single bytes"),
        ({"model": {**raw["model"], "merges": raw["model"]["merges"][:3] * 2}}, "twice"),
        ({"model": {**raw["model"], "vocab": {**bytes_lost, "!": 1 << 21}}}, "below"),
    ]
    for change, why in changes:
        with pytest.raises(Unsuitable, match=why):
            Kernel(Source(None, json.dumps({**raw, **change})))


def test_merges_in_another_order_than_their_ids_are_right() -> None:
    raw = json.loads(tokenizer_file("llama3"))
    source = changed(tokenizer_file("llama3"), merges=raw["model"]["merges"][::-1])
    texts = [PROSE, *hostile_strings(500)]
    assert rows(Kernel(source).encode(texts)) == rows(Tokenizers(source).encode(texts))


def test_the_checks_stand_around_the_kernel_too(monkeypatch: pytest.MonkeyPatch) -> None:
    real_encode = tables.KernelEncoder.encode

    def wrong(self: KernelEncoder, texts: pa.Array, end: int = -1) -> Any:
        replaced = [text.as_py().replace("\U0001f9ff", "k") for text in texts]
        return real_encode(self, column(replaced), end)

    source = Source(None, tokenizer_file("llama3"))
    monkeypatch.setattr(verified, "CALL_BYTES", 2000)
    encoder = Encoder(source, "kernel")
    texts = ["fine", "The mill. " * 500 + "\U0001f9ff", "\U0001f9ff"]
    wanted = rows(encoder.reference.encode(texts))
    found = rows(encoder.encode(column(texts), 0, {0, 1, 2}))
    assert found == [[*ids, 0] for ids in wanted]
    monkeypatch.setattr(tables.KernelEncoder, "encode", wrong)
    with pytest.raises(Mismatch, match="kernel 2 gives other ids than tokenizers"):
        encoder.encode(column(texts), 0, {2})
    monkeypatch.setattr(verified, "hostile_corpus", lambda special: ["a \U0001f9ff b"])
    with pytest.raises(ConfigError, match=r"backend 'kernel' cannot be used: .* other ids"):
        Encoder(source, "kernel")


def test_a_worker_that_uses_the_kernel_compiles_it_before_its_first_batch() -> None:
    code = """
from stages.tokenize import Tokenize
assert not Tokenize(backend="fastokens").warm_up()
for call in Tokenize().warm_up():
    call()
from stages.encoders.tables import KernelEncoder
from stages.kernels import bpe_encode, bpe_join
kernels = (bpe_encode.encode, bpe_join.fill)
before = [len(kernel.signatures) for kernel in kernels]
assert before == [1, 1]
import sys
import pyarrow as pa
from stages.encoders.source import Source
source = Source(None, sys.stdin.read())
KernelEncoder(source).encode(pa.array(["a", "b" * 9000, "c"], pa.large_string()).slice(1), 7)
assert [len(kernel.signatures) for kernel in kernels] == before
"""
    file = tokenizer_file("llama3")
    subprocess.run([sys.executable, "-c", code], input=file, text=True, check=True)
