"""The trainer on counted pieces gives what Hugging Face `tokenizers` gives, byte for byte."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokenizer import real_texts, trained
from token_phase_driver import parts, run_phases, texts_table
from tokenizers import Regex, pre_tokenizers

from pipeline.errors import ConfigError
from stages.kernels import piece_classes as classes_of
from stages.kernels.unicode_tables import NUM_CODE_POINTS
from tokenizer_training import counts
from tokenizer_training.bpe import BpeOptions, train_on_counts, train_on_texts
from tokenizer_training.patterns import DIGITS, NAMES, WHITESPACE, cut, regular_expression
from tokenizer_training.train import TrainTokenizer

CHOICES = list(itertools.product(NAMES, DIGITS, WHITESPACE))
HOSTILE = st.text(
    st.one_of(
        st.sampled_from("aAbzsStTdmlLvVeErR'''   \n\r\t\x0b\x85\xa0\u2028 /!-.12٣²½ǅʰªアあ한中"),
        st.sampled_from("\u0301\u0903\u200d\u200bſKßİıΣς\u1680\u3000😀𝟘𐐀\U000e0100\x00\x1c"),
        st.characters(exclude_categories=("Cs",)),
    ),
    max_size=40,
)


@cache
def splitter(choice: tuple[str, str, str]) -> Any:
    return pre_tokenizers.Split(Regex(regular_expression(*choice)), "isolated")


def pieces_by_tokenizers(texts: list[str], choice: tuple[str, str, str]) -> Counter[bytes]:
    cut_up = (splitter(choice).pre_tokenize_str(text) for text in texts)
    return Counter(piece.encode() for found in cut_up for piece, _ in found)


def pieces_by_kernel(texts: list[str], choice: tuple[str, str, str]) -> Counter[bytes]:
    column = pa.array(texts, pa.large_string())
    found = counts.count_texts(column, cut(*choice), regular_expression(*choice))
    state = counts.pieces_table(found)
    return Counter(dict(zip(state["piece"].to_pylist(), state["count"].to_pylist(), strict=True)))


def by_counts(texts: list[str], options: BpeOptions) -> bytes:
    sample = pa.table({"text": pa.array(texts, pa.large_string()), "group": ["a"] * len(texts)})
    state = counts.summed(counts.counted(sample, options.cut, options.expression))
    return train_on_counts(counts.pieces_of(state), options).to_str(pretty=True).encode()


def by_tokenizers(texts: list[str], options: BpeOptions) -> bytes:
    return train_on_texts(texts, options).to_str(pretty=True).encode()


# --- Pieces ------------------------------------------------------------------------------------


@settings(max_examples=600, deadline=None)
@given(HOSTILE, st.sampled_from(CHOICES))
def test_any_text_is_cut_as_tokenizers_cuts_it(text: str, choice: tuple[str, str, str]) -> None:
    assert pieces_by_kernel([text], choice) == pieces_by_tokenizers([text], choice)


@pytest.mark.parametrize("choice", CHOICES)
def test_real_texts_are_cut_as_tokenizers_cuts_them(choice: tuple[str, str, str]) -> None:
    texts = real_texts(12)["text"].to_pylist()
    assert pieces_by_kernel(texts, choice) == pieces_by_tokenizers(texts, choice)


@pytest.mark.parametrize("name", ["gpt2", "llama3", "o200k"])
def test_every_character_in_its_place_is_cut_as_tokenizers_cuts_it(name: str) -> None:
    codes = np.delete(np.arange(NUM_CODE_POINTS), np.arange(0xD800, 0xE000))
    # Unassigned and private planes are of one class each: a few of them stand for all.
    codes = np.concatenate([codes[codes < 0x33480], codes[(codes >= 0xE0000) & (codes < 0xE0400)]])
    text = "".join(f"'{chr(code)}a {chr(code)}A" for code in codes[:: 7 if name != "o200k" else 5])
    choice = (name, "published", "published")
    assert pieces_by_kernel([text], choice) == pieces_by_tokenizers([text], choice)


def test_all_code_points_are_in_the_class_that_tokenizers_sees() -> None:
    assert classes_of.same_as_tokenizers()


@pytest.mark.parametrize(("code", "flag"), [(0x378, 2), (ord("A"), 2)])
def test_one_differing_code_point_is_noticed(
    monkeypatch: pytest.MonkeyPatch, code: int, flag: int
) -> None:
    changed = classes_of.piece_classes().copy()
    changed[code] = flag
    monkeypatch.setattr(classes_of, "piece_classes", lambda: changed)
    assert not classes_of.same_as_tokenizers.__wrapped__()


@pytest.mark.parametrize("name", ["gpt2", "llama3", "o200k"])
@settings(max_examples=100, deadline=None)
@given(HOSTILE)
def test_the_package_regex_cuts_alike_where_it_knows_the_same_characters(
    name: str, text: str
) -> None:
    flags = classes_of.piece_classes()
    kept = "".join(  # `regex` knows later versions of Unicode
        char
        for char in text
        if all(
            bool(flags[ord(char)] & flag) == bool(regex.match(pattern, char))
            for flag, pattern in classes_of.CLASSES.values()
        )
    )
    found = regex.findall(regular_expression(name), kept)
    assert "".join(found) == kept
    assert Counter(p.encode() for p in found) == pieces_by_kernel(
        [kept], (name, "published", "published")
    )


def test_pieces_are_cut_by_tokenizers_itself_where_classes_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = real_texts(3)["text"].to_pylist()
    choice = ("llama3", "published", "published")
    expected = pieces_by_kernel(texts, choice)
    monkeypatch.setattr(classes_of, "same_as_tokenizers", lambda: False)
    assert pieces_by_kernel(texts, choice) == expected
    with pytest.raises(ConfigError, match="trainer: auto"):
        counts.require_kernel("tokenizer")


# --- Merges ------------------------------------------------------------------------------------

SMALL = st.sampled_from(["ab", "abc", "aé", "ab ", "a\n ", "abcdefgh ", "aAbB' 12"]).flatmap(
    lambda alphabet: st.lists(st.text(alphabet, max_size=60), min_size=1, max_size=20)
)
SPECIALS = st.sampled_from([(), ("<|endoftext|>",), ("ab",), ("a", "b"), ("aa", "<s>"), ("a b",)])


@settings(max_examples=150, deadline=None)
@given(
    SMALL, SPECIALS, st.sampled_from(sorted(NAMES)), st.integers(0, 3), st.integers(0, 3),
    st.sampled_from([262, 270, 300, 1000]), st.sampled_from([1, 8, 64]),
)  # fmt: skip
def test_small_corpora_full_of_ties_give_the_same_bytes(
    texts: list[str], specials: tuple[str, ...], pattern: str, reserved: int, frequency: int,
    size: int, multiple: int,
) -> None:  # fmt: skip
    options = BpeOptions(
        size, pattern, special_tokens=specials, reserved_tokens=reserved,
        pad_to_multiple_of=multiple, min_frequency=frequency,
    )  # fmt: skip
    assert by_counts(texts, options) == by_tokenizers(texts, options)


@pytest.mark.parametrize("pattern", ["gpt2", "llama3", "o200k"])
def test_real_texts_give_the_same_bytes(pattern: str) -> None:
    texts = real_texts(40)["text"].to_pylist()
    options = BpeOptions(6000, pattern, special_tokens=("<|endoftext|>",))
    made = by_counts(texts, options)
    assert made == by_tokenizers(texts, options)
    assert len(json.loads(made)["model"]["merges"]) == 6000 - 257


def test_both_trainers_of_the_step_give_the_same_artefact_for_any_partitions(
    tmp_path: Path,
) -> None:
    docs = real_texts()
    expected = trained(docs, tmp_path / "0", trainer="tokenizers", vocab_size=2000)
    for count in (1, 3):
        folder = tmp_path / str(count)
        assert trained(docs, folder, count, trainer="counts", vocab_size=2000) == expected


def test_counts_beyond_32_bits_are_kept() -> None:
    # tokenizers would see count % 2^32 - 2^32 here: a pair that is never merged.
    pieces = pa.array([b"the", b"cat", b"dog"], pa.large_binary())
    found = counts.added(pieces, pa.array([3_000_000_000, 2_000, 1_000]))
    doubled = counts.folded(counts.pieces_table(found), counts.pieces_table(found))
    made = train_on_counts(counts.pieces_of(doubled), BpeOptions(259))
    assert [made.id_to_token(256 + at) for at in range(3)] == ["he", "the", "at"]


def test_folding_counts_in_any_order_gives_the_same_sums() -> None:
    docs = real_texts(9)
    texts = [docs.slice(at, 5) for at in range(0, docs.num_rows, 5)]
    options = BpeOptions(300)
    states = [
        counts.counted(
            pa.table({"text": t["text"], "group": t["source"]}), options.cut, options.expression
        )
        for t in texts
    ]
    left, right = states[0], states[-1]
    for state in states[1:]:
        left = counts.folded(left, state)
    for state in reversed(states[:-1]):
        right = counts.folded(state, right)
    keys = [("piece", "ascending"), ("group", "ascending")]
    assert left.sort_by(keys).equals(right.sort_by(keys))


# --- Options and bounds ------------------------------------------------------------------------


def test_reserved_tokens_follow_the_special_ones_and_padding_ends_the_vocabulary(
    tmp_path: Path,
) -> None:
    made = trained(real_texts(), tmp_path, reserved_tokens=2, pad_to_multiple_of=128)
    assert made["vocab_size"] == 512
    specials = made["special_tokens"]
    assert sorted(specials.items(), key=lambda entry: entry[1])[:3] == [
        ("<|endoftext|>", 0), ("<|reserved_0|>", 1), ("<|reserved_1|>", 2),
    ]  # fmt: skip
    assert specials["<|reserved_2|>"] == 400
    assert max(specials.values()) == made["max_id"] == 511


def test_single_digits_and_single_blanks_make_no_token_of_two() -> None:
    texts = ["year 1999 and 2024    in\n\n        code 1999  \t 12345"] * 9
    options = BpeOptions(400, digits="single", whitespace="single", min_frequency=1)
    tokens = json.loads(by_counts(texts, options))["model"]["vocab"]
    assert not [t for t in tokens if sum(c.isdigit() for c in t) > 1]
    assert not [t for t in tokens if len(t) > 1 and set(t) <= set("ĠĊĉ")]


def test_a_sample_too_large_for_32_bits_needs_the_other_trainer() -> None:
    with pytest.raises(ValueError, match="trainer `counts`"):
        TrainTokenizer(trainer="tokenizers", sample_bytes=2**31).check()
    TrainTokenizer(sample_bytes=2**40).check()


def test_more_pieces_than_memory_is_an_error_that_names_the_knob(tmp_path: Path) -> None:
    stage = TrainTokenizer(vocab_size=300, max_memory_bytes=1000)
    with pytest.raises(ConfigError, match="max_memory_bytes = 1,000"):
        run_phases(stage, parts(texts_table([("a", "1", "text")]), 1, 1), tmp_path)
