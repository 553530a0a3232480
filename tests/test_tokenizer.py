"""Training, using and applying a tokenizer."""

from __future__ import annotations

import gzip
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_phase_driver import parts, process, run_phases, store, texts_table

from pipeline.errors import ConfigError
from pipeline.mixture.sampling import VALIDATION, split_column
from pipeline.stage import Side
from stages.mix import Mix
from stages.tokenize import Tokenize, load_tokenizer
from tokenizer_training.bpe import BpeOptions, train_on_texts
from tokenizer_training.patterns import PATTERNS
from tokenizer_training.train import TrainTokenizer
from tokenizer_training.use import UseTokenizer

SHARED = Path(os.environ.get("TOKENMILL_SHARED", "../shared"))
FILES = {"speech": "nltk_state_union", "help": "libreoffice_help_multilingual"}


@cache
def real_texts(limit: int = 60) -> pa.Table:
    """The first `limit` documents of each real corpus."""
    rows = []
    for source, name in FILES.items():
        path = SHARED / "data" / "text" / f"{name}.jsonl.gz"
        if not path.exists():
            pytest.skip(f"real text is missing: {path}; set TOKENMILL_SHARED")
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for _, line in zip(range(limit), lines, strict=False):
                row = json.loads(line)
                rows.append((source, row["id"], row["text"][:20_000]))
    return texts_table(rows)


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer trained on real text: a folder with tokenizer.json and meta.json."""
    folder = tmp_path_factory.mktemp("tokenizer")
    found = run_phases(TrainTokenizer(vocab_size=1000), [real_texts()], folder)
    return store(found.artefacts["tokenizer"], folder / "artefact")


def trained(docs: pa.Table, folder: Path, count: int = 1, **knobs: Any) -> dict[str, Any]:
    stage = TrainTokenizer(**{"vocab_size": 400, **knobs})
    stage.check()
    files = run_phases(stage, parts(docs, count, count), folder).artefacts["tokenizer"]
    return {"json": files["tokenizer.json"], **json.loads(files["meta.json"])}


def test_partitions_and_order_do_not_change_a_byte_of_the_tokenizer(tmp_path: Path) -> None:
    docs = real_texts()
    found = [trained(docs, tmp_path / str(n), n, sample_bytes=150_000) for n in (1, 2, 5)]
    assert found[0] == found[1] == found[2]


def test_the_sample_holds_each_groups_share_exact_to_one_document(tmp_path: Path) -> None:
    docs = real_texts()
    mix = Mix(weights={"speech": 3.0, "help": 1.0})
    stage = TrainTokenizer(vocab_size=300, sample_bytes=40_000, max_document_bytes=1000)
    found = run_phases(stage, parts(docs, 3), tmp_path, stages={"mixture": mix})
    sample = json.loads(found.artefacts["tokenizer"]["meta.json"])["sample"]
    assert 29_000 < sample["speech"]["bytes"] <= 30_000
    assert 9_000 < sample["help"]["bytes"] <= 10_000


def test_validation_documents_never_enter_the_sample(tmp_path: Path) -> None:
    docs = real_texts()
    mix = Mix(validation_permille=400)
    stage = TrainTokenizer(vocab_size=300)
    found = run_phases(stage, parts(docs, 2), tmp_path, stages={"mixture": mix})
    sample = json.loads(found.artefacts["tokenizer"]["meta.json"])["sample"]
    held_out = split_column(docs, 400).to_pylist().count(VALIDATION)
    assert held_out > 10
    assert sum(g["documents"] for g in sample.values()) == docs.num_rows - held_out


def test_a_small_sample_gives_a_smaller_vocabulary_and_says_so(tmp_path: Path) -> None:
    found = trained(texts_table([("a", "1", "aa bb aa bb")]), tmp_path, vocab_size=5000)
    assert found["vocab_size"] < 300
    assert "of 5,000 tokens" in found["warning"]


def test_an_empty_sample_is_an_error_that_names_the_knob(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sample_bytes = 1 "):
        trained(texts_table([("a", "1", "text")]), tmp_path, sample_bytes=1)


def test_a_vocabulary_below_the_byte_alphabet_is_refused() -> None:
    with pytest.raises(ValueError, match="256 bytes and 2 special tokens"):
        TrainTokenizer(vocab_size=257, special_tokens=("<|a|>", "<|b|>")).check()


def test_meta_holds_no_time_or_path(artefact: Path) -> None:
    meta = json.loads((artefact / "meta.json").read_bytes())
    assert set(meta) == {"max_id", "pattern", "sample", "sha256", "special_tokens", "vocab_size"}
    assert meta["special_tokens"] == {"<|endoftext|>": 0}
    assert (meta["vocab_size"], meta["max_id"]) == (1000, 999)


def test_use_tokenizer_makes_the_same_artefact(artefact: Path, tmp_path: Path) -> None:
    stage = UseTokenizer(file=str(artefact / "tokenizer.json"))
    files = run_phases(stage, [real_texts()], tmp_path).artefacts["tokenizer"]
    assert files["tokenizer.json"] == (artefact / "tokenizer.json").read_bytes()
    assert json.loads(files["meta.json"])["special_tokens"] == {"<|endoftext|>": 0}
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    with pytest.raises(ConfigError, match=r"broken\.json: no tokenizer\.json"):
        run_phases(UseTokenizer(file=str(broken)), [real_texts()], tmp_path)


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_any_text_decodes_to_itself_with_every_pattern(pattern: str) -> None:
    options = BpeOptions(300, pattern, special_tokens=("<|endoftext|>",))
    tokenizer = train_on_texts(["some text, 12345 and ünïcode"], options)

    @settings(max_examples=50, deadline=None)
    @given(st.text())
    def check(text: str) -> None:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text

    check()


def test_tokenize_adds_every_document_and_its_end_and_drops_the_text(artefact: Path) -> None:
    docs = real_texts().append_column("title", pa.array(["t"] * real_texts().num_rows))
    side = Side("tokenize", 1, artefacts={"tokenizer": artefact})
    done = process(Tokenize(), docs, side)
    assert done.column_names == [*docs.column_names[:5], "num_tokens", "tokens"]
    tokenizer, end = load_tokenizer(artefact, "<|endoftext|>")
    rows = zip(docs["text"].to_pylist(), done["tokens"].to_pylist(), strict=True)
    for text, tokens in rows:
        assert tokens[-1] == end
        assert tokenizer.decode(tokens[:-1], skip_special_tokens=False) == text
    assert done["num_tokens"].to_pylist() == [len(t) for t in done["tokens"].to_pylist()]


def test_a_special_token_written_in_a_page_is_plain_text(artefact: Path) -> None:
    page = "before <|endoftext|> after<|endoftext|>"
    side = Side("tokenize", 1, artefacts={"tokenizer": artefact})
    done = process(Tokenize(), texts_table([("web", "1", page)]), side)
    tokens = done["tokens"][0].as_py()
    tokenizer, end = load_tokenizer(artefact, "<|endoftext|>")
    assert tokens.count(end) == 1
    assert tokens[-1] == end
    assert tokenizer.decode(tokens[:-1], skip_special_tokens=False) == page


def test_special_token_text_in_the_sample_makes_no_token(tmp_path: Path) -> None:
    docs = texts_table([("a", str(at), "x <|endoftext|> y " * 20) for at in range(50)])
    found = trained(docs, tmp_path)
    folder = store({"tokenizer.json": found["json"]}, tmp_path / "artefact")
    tokenizer, end = load_tokenizer(folder, "<|endoftext|>")
    assert end not in tokenizer.encode("x <|endoftext|> y", add_special_tokens=False).ids


def test_a_page_whose_text_becomes_the_end_id_refuses_the_tokenizer(tmp_path: Path) -> None:
    found = json.loads(trained(real_texts(), tmp_path)["json"])
    found["added_tokens"][0]["special"] = False
    folder = store({"tokenizer.json": json.dumps(found).encode()}, tmp_path / "plain")
    with pytest.raises(ConfigError, match="is no special token"):
        load_tokenizer(folder, "<|endoftext|>")


def test_an_unknown_end_of_document_names_the_nearest(artefact: Path) -> None:
    with pytest.raises(ConfigError, match=r"Did you mean '<\|endoftext\|>'"):
        load_tokenizer(artefact, "<|endoftxt|>")


def test_an_empty_batch_and_an_empty_text_are_tokenised(artefact: Path) -> None:
    side = Side("tokenize", 1, artefacts={"tokenizer": artefact})
    done = process(Tokenize(), texts_table([("web", "1", "")]), side)
    assert done["tokens"].to_pylist() == [[0]]
    assert process(Tokenize(), texts_table([]), side).num_rows == 0
