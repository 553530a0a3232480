"""`gpt4` cuts as cl100k_base of the installed tiktoken; `llama3` as it was before."""

from __future__ import annotations

import ast
import inspect
import itertools

import pytest
from test_bpe_kernel import tokenizer_file
from test_encoders import SPECIAL, rows

from pipeline.texts.hostile import hostile_corpus, hostile_strings
from stages.encoders.backends import Kernel, Tokenizers, tiktoken_numbers
from stages.encoders.source import Source
from stages.kernels.expressions import PATTERNS

tiktoken = pytest.importorskip("tiktoken")
BLANKS = ["".join(row) for size in range(1, 6) for row in itertools.product(" \n\r\t", repeat=size)]
"""Every short run of white space."""


def published() -> str:
    """The expression in tiktoken's own source; calling it would download the ranks."""
    from tiktoken_ext import openai_public

    tree = ast.parse(inspect.getsource(openai_public.cl100k_base))
    found = [
        value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "pat_str"
        and isinstance(value, ast.Constant)
    ]  # fmt: skip
    (pattern,) = found
    return str(pattern)


def test_gpt4_cuts_as_the_installed_tiktoken_does() -> None:
    texts = [f"{a}{blanks}{b}" for blanks in BLANKS for a in ("", "a", "1.") for b in ("", "b")]
    texts += [*hostile_corpus(SPECIAL), *hostile_strings(4000, first=700_000)]
    probe = Source(None, tokenizer_file("gpt4")).probe(texts)
    assert probe is not None
    peer = tiktoken.Encoding(
        "peer", pat_str=published(), mergeable_ranks=tiktoken_numbers(probe), special_tokens={}
    )
    wanted = [peer.encode_ordinary(text) for text in texts]
    assert rows(Tokenizers(probe).encode(texts)) == wanted
    assert rows(Kernel(probe).encode(texts)) == wanted


def test_gpt4_and_llama3_differ_only_in_white_space_at_the_end_of_a_text() -> None:
    assert PATTERNS["gpt4"] != PATTERNS["llama3"]
    texts = ["a \n  ", "a \n  b", "a  ", "a\n\n", " \n "]
    found = {}
    for name in ("gpt4", "llama3"):
        cutter = Tokenizers(Source(None, tokenizer_file(name))).tokenizer.pre_tokenizer
        found[name] = [[span for _, span in cutter.pre_tokenize_str(text)] for text in texts]
    same = [a == b for a, b in zip(found["gpt4"], found["llama3"], strict=True)]
    assert same == [False, True, True, True, False]
    assert found["gpt4"][0] == [(0, 1), (1, 5)]
