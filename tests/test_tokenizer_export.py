"""Exports of a tokenizer give equal ids, and the command line trains, judges and exports."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from ast import literal_eval
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokenizer import real_texts
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from pipeline.batch import split_words
from pipeline.errors import ConfigError
from tokenizer_training.__main__ import main
from tokenizer_training.bpe import BpeOptions, shown_bytes, token_bytes, train_on_texts
from tokenizer_training.evaluate import SAMPLES, UNDERTRAINED, Encoder, measured
from tokenizer_training.evaluate import table as shown_table
from tokenizer_training.export import exported, load_tiktoken
from tokenizer_training.sentencepiece_file import sentencepiece_files

CHARACTERS = st.characters(exclude_categories=("Cs",))


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer.json trained on real text."""
    options = BpeOptions(2000, special_tokens=("<|endoftext|>", "<|pad|>"), reserved_tokens=2)
    folder = tmp_path_factory.mktemp("trained")
    text = train_on_texts(real_texts()["text"].to_pylist(), options).to_str(pretty=True)
    (folder / "tokenizer.json").write_text(text)
    return folder / "tokenizer.json"


def opened(path: Path) -> Any:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    return tokenizer


def export(path: Path, form: str, folder: Path) -> Path:
    folder.mkdir()
    for name, content in exported(path.read_bytes(), form, None).items():
        (folder / name).write_bytes(content)
    return folder


def test_tiktoken_gives_equal_ids_for_any_text(tokenizer_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("tiktoken", reason="tiktoken is not installed")
    ours = opened(tokenizer_file)
    theirs = load_tiktoken(export(tokenizer_file, "tiktoken", tmp_path / "out"))
    for text in real_texts()["text"].to_pylist():
        assert theirs.encode_ordinary(text) == ours.encode(text, add_special_tokens=False).ids

    @settings(max_examples=500, deadline=None)
    @given(st.text(st.one_of(CHARACTERS, st.sampled_from("aeT 's\n\r1 <|endoftext|>éਅ"))))
    def check(text: str) -> None:
        assert theirs.encode_ordinary(text) == ours.encode(text, add_special_tokens=False).ids

    check()
    assert theirs.encode("<|pad|>", allowed_special="all") == [1]
    assert theirs.n_vocab == 2000


def test_a_merge_that_tiktoken_cannot_say_is_refused() -> None:
    # "the" is a special token that a merge also gives: ids are not in the order of merges.
    made = train_on_texts(["the the the then"] * 5, BpeOptions(262, special_tokens=("the",)))
    with pytest.raises(ConfigError, match="merges do not stand in the order of their ids"):
        exported(made.to_str().encode(), "tiktoken", None)


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    found = json.loads(path.read_bytes())
    change(found)
    content = json.dumps(found).encode()
    Tokenizer.from_buffer(content)  # it is a tokenizer
    return content


def split(pattern: dict[str, str], behavior: str = "Isolated") -> dict[str, Any]:
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": False}


LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
PLAIN = {
    "id": 2000, "content": "New York", "single_word": False, "lstrip": False, "rstrip": False,
    "normalized": True, "special": False,
}  # fmt: skip
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a normalizer": ({"normalizer": {"type": "Lowercase"}}, "normalizer .Lowercase"),
    "two splits": (
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            split({"Regex": r"\d"}), split({"Regex": r"\s+"}), LEVEL]}},
        "one pre-tokenisation regex",
    ),
    "a split that removes": (
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            split({"Regex": r"\s+"}, "Removed"), LEVEL]}},
        "one pre-tokenisation regex",
    ),
    "a split by a string": (
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split({"String": " "}), LEVEL]}},
        "one pre-tokenisation regex",
    ),
    "a space before": (
        {"pre_tokenizer": {**LEVEL, "use_regex": True, "add_prefix_space": True}},
        "one pre-tokenisation regex",
    ),
    "a regex that only tokenizers knows": (
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            split({"Regex": r"\X"}), LEVEL]}},
        "does not take the regex",
    ),
    "a regex that matches nothing": (
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            split({"Regex": r"\p{L}*|\P{L}"}), LEVEL]}},
        "fails with the regex",
    ),
    "an end that is of lines to tokenizers and of texts to tiktoken": (
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            split({"Regex": r"and$|\p{L}|\P{L}"}), LEVEL]}},
        r"differ for '\\n ?and\\n'",
    ),
    "a class that other characters are in": (
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            split({"Regex": r"\w+|\W+"}), LEVEL]}},
        "differ for",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_tiktoken_cannot_say_is_refused_with_the_part_that_it_cannot(
    tokenizer_file: Path, case: str
) -> None:
    parts, problem = REFUSED[case]
    with pytest.raises(ConfigError, match=problem):
        exported(changed(tokenizer_file, lambda found: found.update(parts)), "tiktoken", None)


def test_an_added_token_that_is_not_special_is_refused_by_tiktoken_and_no_special_one_elsewhere(
    tokenizer_file: Path,
) -> None:
    content = changed(tokenizer_file, lambda found: found["added_tokens"].append(PLAIN))
    with pytest.raises(ConfigError, match="added tokens that are not special, such as 'New York'"):
        exported(content, "tiktoken", None)
    files = exported(content, "huggingface", None)
    config = json.loads(files["tokenizer_config.json"])
    assert config["added_tokens_decoder"]["2000"]["special"] is False
    assert "New York" not in config["additional_special_tokens"]
    with pytest.raises(ConfigError, match="no special token"):
        exported(content, "huggingface", "New York")
    last = exported(content, "tsv", None)["vocabulary.tsv"].decode().splitlines()[-1]
    assert last.split("\t")[:3] == ["2000", "added", "New York"]


def test_a_pre_tokenizer_of_gpt2s_kind_is_exported_with_its_expression(
    tokenizer_file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tiktoken", reason="tiktoken is not installed")
    content = changed(
        tokenizer_file, lambda found: found.update(pre_tokenizer={**LEVEL, "use_regex": True})
    )
    (tmp_path / "tokenizer.json").write_bytes(content)
    ours = opened(tmp_path / "tokenizer.json")
    theirs = load_tiktoken(export(tmp_path / "tokenizer.json", "tiktoken", tmp_path / "out"))
    for text in real_texts()["text"].to_pylist():
        assert theirs.encode_ordinary(text) == ours.encode(text, add_special_tokens=False).ids


def with_whole_pieces(found: dict[str, Any], *names: str) -> None:
    """Tokens that no merge makes: a piece that is one is that token, in no longer piece."""
    vocab = found["model"]["vocab"]
    found["model"]["ignore_merges"] = True
    vocab.update({name: 5000 + at for at, name in enumerate(names)})


def test_a_token_that_no_merge_makes_is_exported_where_tiktoken_makes_it_of_no_two_tokens(
    tokenizer_file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tiktoken", reason="tiktoken is not installed")
    content = changed(tokenizer_file, lambda found: with_whole_pieces(found, "zqxjk"))
    (tmp_path / "tokenizer.json").write_bytes(content)
    theirs = load_tiktoken(export(tmp_path / "tokenizer.json", "tiktoken", tmp_path / "out"))
    ours = opened(tmp_path / "tokenizer.json")
    for text in ("zqxjk", "azqxjk", "zqxjkzqxjk", " zqxjk 1"):
        assert theirs.encode_ordinary(text) == ours.encode(text, add_special_tokens=False).ids
    assert theirs.encode_ordinary("zqxjk") == [5000]
    content = changed(tokenizer_file, lambda found: with_whole_pieces(found, "zq", "zqx"))
    with pytest.raises(ConfigError, match="no merge makes the token 'zq"):
        exported(content, "tiktoken", None)


def test_a_merge_whose_token_its_own_bytes_do_not_become_is_refused_with_whole_pieces_too(
    tokenizer_file: Path,
) -> None:
    def change(found: dict[str, Any]) -> None:
        with_whole_pieces(found, "qx", "zq", "zqx")  # z q x become z qx: no merge goes on from it
        found["model"]["merges"] += [["q", "x"], ["z", "q"], ["zq", "x"]]

    with pytest.raises(ConfigError, match="1 tokens, 'zqx' for one, are no result"):
        exported(changed(tokenizer_file, change), "tiktoken", None)


def test_a_token_that_is_not_written_in_bytes_is_refused_by_tiktoken_and_shown_by_tsv(
    tokenizer_file: Path,
) -> None:
    content = changed(tokenizer_file, lambda found: with_whole_pieces(found, "a b"))
    with pytest.raises(ConfigError, match="the token 'a b' is not written in bytes"):
        exported(content, "tiktoken", None)
    last = exported(content, "tsv", None)["vocabulary.tsv"].decode().splitlines()[-1]
    assert last.split("\t")[:3] == ["5000", "byte", "'a b'"]


def test_auto_tokenizer_loads_the_folder_with_equal_ids(
    tokenizer_file: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    folder = export(tokenizer_file, "huggingface", tmp_path / "out")
    theirs = transformers.AutoTokenizer.from_pretrained(str(folder))
    ours = opened(tokenizer_file)
    for text in [*real_texts()["text"].to_pylist(), *SAMPLES.values()]:
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        assert ids == ours.encode(text, add_special_tokens=False).ids
        assert theirs.decode(ids) == text
    assert (theirs.eos_token, theirs.eos_token_id) == ("<|endoftext|>", 0)
    assert len(theirs) == 2000
    assert theirs.convert_tokens_to_ids("<|reserved_1|>") == 3


def test_the_folder_of_huggingface_names_special_tokens(tokenizer_file: Path) -> None:
    files = exported(tokenizer_file.read_bytes(), "huggingface", "<|pad|>")
    assert files["tokenizer.json"] == tokenizer_file.read_bytes()
    config = json.loads(files["tokenizer_config.json"])
    assert config["eos_token"] == "<|pad|>"
    assert config["added_tokens_decoder"]["1"]["content"] == "<|pad|>"
    with pytest.raises(ConfigError, match="no special token"):
        exported(tokenizer_file.read_bytes(), "huggingface", "<|none|>")


def test_the_readable_vocabulary_has_a_line_an_id_whose_merge_makes_its_bytes(
    tokenizer_file: Path,
) -> None:
    lines = exported(tokenizer_file.read_bytes(), "tsv", None)["vocabulary.tsv"].decode()
    rows = [line.split("\t") for line in lines.splitlines()[1:]]
    tokenizer = opened(tokenizer_file)
    assert [int(row[0]) for row in rows] == list(range(2000))
    assert [row[1] for row in rows] == ["special"] * 4 + ["byte"] * 256 + ["merge"] * 1740
    for number, kind, shown, content, merge in rows:
        if kind != "special":
            assert bytes.fromhex(content) == token_bytes(tokenizer.id_to_token(int(number)))
            said = (literal_eval(shown).encode(), shown.isascii() and literal_eval("b" + shown))
            assert bytes.fromhex(content) in said
        assert (" + " in merge) == (kind == "merge")


def test_what_is_no_byte_level_bpe_is_refused() -> None:
    for content in (b"{}", b"no json", b'{"model": {"type": "WordPiece"}, "decoder": null}'):
        with pytest.raises(ConfigError, match="no byte-level BPE"):
            exported(content, "tsv", None)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=60))
def test_every_byte_string_comes_back(tokenizer_file: Path, content: bytes) -> None:
    model = opened(tokenizer_file).model
    found = model.tokenize("".join(shown_bytes()[byte] for byte in content))
    assert b"".join(token_bytes(token.value) for token in found) == content


def test_figures_are_those_of_a_plain_count(tokenizer_file: Path) -> None:
    docs = real_texts(20)
    table = pa.table({"text": docs["text"], "group": docs["source"]})
    found = measured(Encoder(str(tokenizer_file)), [table.slice(0, 7), table.slice(7)])
    tokenizer = opened(tokenizer_file)
    texts = [row["text"] for row in docs.to_pylist() if row["source"] == "speech"]
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    speech = found["groups"]["speech"]
    assert speech["documents"] == len(texts)
    assert speech["tokens"] == sum(map(len, ids))
    assert speech["bytes_per_token"] == round(
        sum(len(text.encode()) for text in texts) / sum(map(len, ids)), 4
    )
    assert speech["tokens_per_word"] == round(
        sum(map(len, ids)) / sum(len(split_words(text)) for text in texts), 4
    )
    assert found["documents_changed_by_round_trip"] == 0
    every = tokenizer.encode("".join(docs["text"].to_pylist()), add_special_tokens=False).ids
    assert found["ids"]["merged"] == 1740
    assert abs(found["ids"]["unused"] - len(set(range(260, 2000)) - set(every))) <= 2
    assert found["ids"]["undertrained"] >= found["ids"]["unused"]
    assert all(row["uses"] < UNDERTRAINED for row in found["ids"]["undertrained_examples"])
    assert found["ids"]["unreachable"] == []


def test_byte_fallback_is_evaluated_and_gaps_between_ids_are_no_ids(tmp_path: Path) -> None:
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    model = models.BPE(unk_token="<unk>", byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=names)
    tokenizer.train_from_iterator(["the cat sat on the mat"] * 9, trainer)
    found = json.loads(tokenizer.to_str())
    found["added_tokens"] = found["added_tokens"][:1]
    vocab = found["model"]["vocab"]
    last = max(vocab, key=vocab.__getitem__)
    vocab[last] = 4_000_000_000
    (tmp_path / "tokenizer.json").write_text(json.dumps(found))
    with pytest.raises(ConfigError, match=r"largest id is 4,000,000,000, expected 16,777,215"):
        measured(Encoder(str(tmp_path)), [])
    count, vocab[last] = len(vocab), 5000
    (tmp_path / "tokenizer.json").write_text(json.dumps(found))
    text = "the cat <sat>\u00e9"
    table = pa.table({"text": [text], "group": ["all"]})
    figures = measured(Encoder(str(tmp_path)), [table])
    ids = opened(tmp_path / "tokenizer.json").encode(text).ids
    assert figures["all"]["tokens"] == len(ids)
    assert figures["vocab_size"] == count
    assert figures["ids"]["unreachable"] is None, "not known of such a model"
    assert all(len(one["token"]) < 12 for one in figures["ids"]["longest"]), "a byte is a byte"
    assert "'<'" in figures["samples"]["markup"]


def test_a_sentencepiece_model_beside_tokenizer_json_is_what_is_evaluated(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    stored = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the cat sat on the mat", "ﬁne ①②③ Ａ"] * 50), model_writer=stored,
        vocab_size=60, hard_vocab_limit=False, control_symbols=["<|endoftext|>"],
        normalization_rule_name="nmt_nfkc", minloglevel=2,
    )  # fmt: skip
    (tmp_path / "m.model").write_bytes(stored.getvalue())
    files, _ = sentencepiece_files(tmp_path / "m.model")
    assert set(files) == {"tokenizer.json", "sentencepiece.model"}, "it normalises"
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    texts = ["the  cat ﬁne ① Ａ", "", "a <|endoftext|>", "zzz <unk>"]
    wanted = sentencepiece.SentencePieceProcessor(model_proto=stored.getvalue()).encode(texts)
    assert Encoder(str(tmp_path)).encode(texts) == wanted
    assert opened(tmp_path / "tokenizer.json").encode(texts[3]).ids != wanted[3]


def test_a_damaged_sentencepiece_model_beside_tokenizer_json_is_named(
    tokenizer_file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_file.read_bytes())
    (tmp_path / "sentencepiece.model").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"sentencepiece\.model is no sentencepiece model"):
        Encoder(str(tmp_path))


def test_a_text_that_a_tokenizer_cannot_encode_is_an_error_and_such_samples_are_left_out(
    tmp_path: Path,
) -> None:
    tokenizer = Tokenizer(models.Unigram())
    trainer = trainers.UnigramTrainer(vocab_size=40, special_tokens=["<unk>"], unk_token="<unk>")
    tokenizer.train_from_iterator(["the cat sat on the mat"] * 20, trainer)
    found = json.loads(tokenizer.to_str())
    found["model"]["unk_id"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(found))
    encoder = Encoder(str(tmp_path))
    figures = measured(encoder, [pa.table({"text": ["the cat"], "group": ["all"]})])
    assert figures["samples"] == {}
    assert "unreachable not known of its kind" in shown_table([figures])
    with pytest.raises(ConfigError, match=r"cannot encode a text: .* Give the model an unknown"):
        encoder.encode(["a dog?"])


def test_the_command_line_trains_compares_and_exports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = real_texts(20).select(["source", "text"])
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in docs.slice(0, 20).to_pylist())
    pq.write_table(docs.slice(20), tmp_path / "b.parquet")
    names = [str(tmp_path / "a.jsonl.gz"), str(tmp_path / "b.parquet")]
    made = []
    for at, (trainer, files) in enumerate([("auto", names), ("tokenizers", names[::-1])]):
        out = tmp_path / f"made{at}"
        common = ["--vocab-size", "700", "--sample-bytes", "120000", "--trainer", trainer]
        assert main(["train", *files, "--out", str(out), *common]) == 0
        made.append([(out / name).read_bytes() for name in ("tokenizer.json", "meta.json")])
    assert made[0] == made[1]
    sample = json.loads(made[0][1])["sample"]["all"]
    assert 100_000 < sample["bytes"] <= 120_000
    tokenizers = ["--tokenizer", str(tmp_path / "made0"), "--tokenizer", str(tmp_path / "tik")]
    assert main(["export", str(tmp_path / "made0"), "tiktoken", str(tmp_path / "tik")]) == 0
    capsys.readouterr()
    pytest.importorskip("tiktoken", reason="tiktoken is not installed")
    assert main(["compare", *tokenizers, *names, "--by", "source", "--json"]) == 0
    one, other = json.loads(capsys.readouterr().out)
    assert one["groups"] == other["groups"]
    assert set(one["groups"]) == {"speech", "help"}
    assert main(["evaluate", str(tmp_path / "made0"), *names]) == 0
    assert "unreachable 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["train", "{}/none.jsonl", "--out", "{}/x"], 3, "no such file"),
        (["train", "{}/bad.jsonl", "--out", "{}/x"], 3, "bad.jsonl:2: expected a JSON object"),
        (["train", "{}/bad.parquet", "--out", "{}/x"], 3, "cannot be read"),
        (
            ["train", "{}/a.txt", "--out", "{}/x", "--vocab-size", "9"],
            2,
            "'vocab_size' of train is 9",
        ),
        (
            ["train", "{}/a.txt", "--out", "{}/x", "--pad-to-multiple-of", "0"],
            2,
            "is 0, expected 1",
        ),
        (["train", "{}/a.txt", "--out", "{}/x", "--sample-bytes", "-5"], 2, "is -5, expected 1"),
        (["train", "{}/a.txt", "--out", "{}/a.txt"], 2, "expected a folder to write to"),
        (["train", "{}/a.txt", "--out", "{}/a.txt/x"], 2, "expected a folder to write to"),
        (["train", "{}/cut.jsonl.gz", "--out", "{}/x"], 3, "cut.jsonl.gz: cannot be read"),
        (["train", "{}/flipped.jsonl.gz", "--out", "{}/x"], 3, "flipped.jsonl.gz: cannot be read"),
        (["train", "{}/half.jsonl", "--out", "{}/x"], 3, "half.jsonl:1: expected"),
        (["train", "{}/number.jsonl", "--out", "{}/x"], 3, "int is no text"),
        (["train", "{}/number.parquet", "--out", "{}/x"], 3, "column 'text' is int64"),
        (["train", "{}/bytes.parquet", "--out", "{}/x"], 3, "cannot be read as UTF-8"),
        (["train", "{}/latin.txt", "--out", "{}/x"], 3, "latin.txt: cannot be read as UTF-8"),
        (["export", "{}/ok.json", "tsv", "{}/a.txt"], 2, "expected a folder to write to"),
        (["evaluate", "{}/a.txt", "{}/a.txt"], 2, "is no tokenizer.json"),
        (["export", "{}/none", "tsv", "{}/x"], 2, "expected a tokenizer.json"),
        (["export", "{}/a.txt", "tsv", "{}/x"], 2, "a.txt is no tokenizer.json: "),
        (["export", "{}/negative.json", "huggingface", "{}/x"], 2, "integer `-1`, expected u32"),
        (["export", "{}/deep.json", "tsv", "{}/x"], 2, "deep.json is no tokenizer.json: "),
        (["export", "{}/words.json", "tsv", "{}/x"], 2, "words.json: the tokenizer is no byte-"),
        (["train", "{}/tail.jsonl.gz", "--out", "{}/x"], 3, "behind line 50: Not a gzipped file"),
        (["train", "{}/deep.jsonl", "--out", "{}/x"], 3, "deep.jsonl:2: expected a JSON object"),
        (["train", "{}/twice.parquet", "--out", "{}/x"], 3, "has 2 columns 'text', expected one"),
        (["evaluate", "{}/ok.json", "{}/group.jsonl", "--by", "lang"], 3, "group.jsonl:1: expect"),
        (["evaluate", "{}/ok.json", "{}/date.parquet", "--by", "lang"], 3, "date.parquet: cannot"),
        (
            ["train", "{}/a.txt", "--out", "{}/x", "--min-frequency", "9" * 20],
            2,
            "expected 0 to 2^63 - 1",
        ),
        (["train", "{}/a.txt", "--out", "{}/x", "--special", "\udcff"], 2, "is no UTF-8 text"),
    ],
)
def test_wrong_input_is_an_error_with_the_pipelines_exit_code(
    arguments: list[str], code: int, said: str, tokenizer_file: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "a.txt").write_text("plain text")
    (tmp_path / "bad.jsonl").write_text('{"text": "fine"}\n{"body": 1}\n')
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    packed = gzip.compress(b'{"text": "a b c d e f g"}\n' * 50)
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[:-20])
    (tmp_path / "flipped.jsonl.gz").write_bytes(packed[:12] + b"\xff\xff" + packed[14:])
    (tmp_path / "tail.jsonl.gz").write_bytes(packed + b"no gzip")
    (tmp_path / "half.jsonl").write_text('{"text": "\\ud83d"}\n')
    (tmp_path / "number.jsonl").write_text('{"text": 7}\n')
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "number.parquet")
    broken = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": broken}), tmp_path / "bytes.parquet")
    (tmp_path / "ok.json").write_bytes(tokenizer_file.read_bytes())
    (tmp_path / "deep.jsonl").write_text('{"text": "fine"}\n' + "[" * 100_000 + "\n")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "group.jsonl").write_text('{"text": "fine", "lang": "\\ud83d"}\n')
    pq.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), tmp_path / "twice.parquet")
    far = pa.array([1 << 62], pa.timestamp("ms"))
    pq.write_table(pa.table({"text": ["a"], "lang": far}), tmp_path / "date.parquet")
    found = json.loads(tokenizer_file.read_text())
    found["model"]["vocab"]["zz"] = -1
    (tmp_path / "negative.json").write_text(json.dumps(found))
    Tokenizer(models.WordLevel({"a": 0}, "a")).save(str(tmp_path / "words.json"))
    assert main([argument.format(tmp_path) for argument in arguments]) == code
    assert said in capsys.readouterr().err


def test_reserved_tokens_beyond_the_vocabulary_are_refused_before_their_names_are_made() -> None:
    options = BpeOptions(vocab_size=300, reserved_tokens=10**18)
    with pytest.raises(ValueError, match=r"256 bytes and 10{18} special tokens"):
        options.check()


@pytest.mark.parametrize("knob", ["pad_to_multiple_of", "min_frequency"])
def test_options_that_no_tokenizer_can_have_are_refused_without_the_command_line(
    knob: str,
) -> None:
    with pytest.raises(ValueError, match=f"{knob} = -1, expected"):
        BpeOptions(vocab_size=300, **{knob: -1}).check()  # type: ignore[arg-type]


def test_a_reader_that_has_had_enough_ends_evaluate_without_a_traceback(
    tokenizer_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("the cat sat on the mat")
    command = [sys.executable, "-m", "tokenizer_training", "evaluate", str(tokenizer_file)]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*command, str(tmp_path / "a.txt")],
        stdout=write, stderr=subprocess.PIPE, text=True, timeout=100, check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
