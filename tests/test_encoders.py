"""Encoders: libraries must give the ids of `tokenizers`; what happens when one does not."""

from __future__ import annotations

import gzip
import importlib.util
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cpu_time import assert_time_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st
from token_phase_driver import process, texts_table

from pipeline.errors import ConfigError, IntegrityError
from pipeline.stage import Processed, Side, TextBatch
from pipeline.texts.hostile import hostile_corpus, hostile_strings
from stages.encoders import verified
from stages.encoders.backends import BACKENDS, Fastokens, Tiktoken, Tokenizers
from stages.encoders.pieces import cuts_are_harmless, pieces
from stages.encoders.source import Source, Unsuitable
from stages.encoders.verified import Encoder, Mismatch, vocabulary
from stages.tokenize import Tokenize
from tokenizer_training.bpe import BpeOptions, train_on_texts
from tokenizer_training.bpe import artefact as artefact_of
from tokenizer_training.patterns import PATTERNS

SHARED = Path(os.environ.get("TOKENMILL_SHARED", "../shared"))
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<pad>")
PROSE = (
    "The mill grinds what the farmers bring: wheat, rye and, in 1873, oats. It's they'll DON'T.\n"
    "  Der Müller mahlt für 12,50 Mark; l'été, où ça? Мельница мелет муку. 水车磨面粉。\n\n"
    "def mill(grain):\n    return [flour for flour in grain if flour != 0]\n"
)
HAVE = [name for name in BACKENDS if importlib.util.find_spec(name)]


@cache
def real_texts() -> list[str]:
    """The first documents of every real file of texts, 6,000 characters of each."""
    found: list[str] = []
    for folder, name in (("text", "nltk_state_union"), ("text", "libreoffice_help_multilingual"),
                         ("langid", "lingua_sentences"),
                         ("langid", "udhr_paragraphs")):  # fmt: skip
        path = SHARED / "data" / folder / f"{name}.jsonl.gz"
        if not path.exists():
            pytest.skip(f"real text is missing: {path}; set TOKENMILL_SHARED")
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for _, line in zip(range(100), lines, strict=False):
                found.append(json.loads(line)["text"][:6000])
    return found


@pytest.fixture(scope="module", params=sorted(PATTERNS))
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(trained(request.param, tmp_path_factory.mktemp(request.param)))


@pytest.fixture(scope="module")
def llama3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tokenizer.json and meta.json."""
    return trained("llama3", tmp_path_factory.mktemp("artefact")).parent


def trained(pattern: str, folder: Path) -> Path:
    options = BpeOptions(900, pattern, special_tokens=tuple(SPECIAL))
    tokenizer = train_on_texts([PROSE * 3, *hostile_strings(300)], options)
    for name, data in artefact_of(tokenizer.to_str(pretty=True).encode(), {}).items():
        (folder / name).write_bytes(data)
    return folder / "tokenizer.json"


@pytest.fixture(autouse=True)
def nothing_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts of one test are not those of another, which may replace a library."""
    monkeypatch.setenv("TOKENMILL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def no_kernel() -> Iterator[None]:
    """Only libraries; afterwards all are there in their order."""
    all_of_them = dict(BACKENDS)
    del BACKENDS["kernel"]  # type: ignore[attr-defined]
    yield
    BACKENDS.clear()  # type: ignore[attr-defined]
    BACKENDS.update(all_of_them)  # type: ignore[attr-defined]


@cache
def encoder_of(path: Path) -> Encoder:
    """One for all tests that change nothing in it: the choice takes a second."""
    return Encoder(Source(path))


def rows(found: tuple[Any, Any]) -> list[list[int]]:
    ends = np.cumsum(found[1]).tolist()
    return [found[0][a:b].tolist() for a, b in zip([0, *ends], ends, strict=False)]


def texts_column(texts: Sequence[str | None]) -> pa.Array:
    return pa.array(texts, pa.large_string())


class Wrong(Fastokens):
    """The real library, but one letter comes out as another."""

    letter = "q"

    def encode(self, texts: Sequence[str]) -> tuple[Any, Any]:
        return super().encode([text.replace(self.letter, "k") for text in texts])


# --- The libraries -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fastokens", "tiktoken"])
def test_a_library_gives_the_ids_of_tokenizers_on_real_and_hostile_texts(
    source: Source, name: str
) -> None:
    texts = real_texts()
    if name != "fastokens" or r"[\\s\\S]" not in source.text:  # else refused: see below
        texts = [*texts, *hostile_strings(2000, SPECIAL, first=10_000)]
    assert rows(BACKENDS[name](source).encode(texts)) == rows(Tokenizers(source).encode(texts))


def test_any_text_gets_equal_ids_and_decodes_to_itself(llama3: Path) -> None:
    source = Source(llama3 / "tokenizer.json")
    reference, others = Tokenizers(source), (Fastokens(source), Tiktoken(source))

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.text(), max_size=5))
    def check(texts: list[str]) -> None:
        wanted = rows(reference.encode(texts))
        decode = reference.tokenizer.decode
        assert [decode(ids, skip_special_tokens=False) for ids in wanted] == texts
        for backend in others:
            assert rows(backend.encode(texts)) == wanted

    check()


@pytest.mark.parametrize("name", HAVE)
def test_the_text_of_a_special_token_never_becomes_its_id(source: Source, name: str) -> None:
    texts = [f"{a}{token}{b}" for token in SPECIAL for a in ("", " ", "x") for b in ("", "\n", "y")]
    found, _ = BACKENDS[name](source).encode(texts)
    assert set(source.special.values()) == {0, 1, 2}
    assert not set(found.tolist()) & {0, 1, 2}


def test_tiktoken_refuses_what_it_cannot_say(llama3: Path, tmp_path: Path) -> None:
    def changed(change: Any) -> Source:
        raw = json.loads((llama3 / "tokenizer.json").read_bytes())
        change(raw)
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(raw))
        return Source(path)

    for change, why in (
        (lambda raw: raw.update(normalizer={"type": "NFC"}), "no normalizer .NFC"),
        (lambda raw: raw["model"]["merges"].reverse(), "order of their ids"),
        (
            lambda raw: raw["added_tokens"][1].update(special=False),
            "added tokens that are not special",
        ),
        (
            lambda raw: (
                raw["model"].update(ignore_merges=True),
                raw["model"]["vocab"].update({"zqx": 90_000, "zq": 90_001}),
            ),
            "no merge makes the token 'zq",
        ),
    ):
        with pytest.raises(Unsuitable, match=why):
            Tiktoken(changed(change))


@pytest.mark.parametrize("name", ["fastokens", "tiktoken"])
def test_a_library_makes_the_cuts_of_tokenizers(source: Source, name: str) -> None:
    texts = [*hostile_corpus(SPECIAL), *hostile_strings(3000, first=500_000)]
    probe = source.probe(texts)
    assert probe is not None
    if name == "fastokens" and r"[\\s\\S]" in source.text:
        # U+180E is white space to it in today's cl100k: it is refused.
        with pytest.raises(ConfigError, match=r"fastokens .* gives other ids"):
            Encoder(Source(None, source.text), name)
        return
    assert rows(BACKENDS[name](probe).encode(texts)) == rows(Tokenizers(probe).encode(texts))


@pytest.mark.usefixtures("no_kernel")
def test_known_errors_of_fastokens_are_found_where_they_are_not_gone_around(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U+180E is white space to its GPT-2 regex, an apostrophe and U+017F no contraction to it."""
    monkeypatch.setattr(Fastokens, "avoided", "\x00 nowhere")
    monkeypatch.setattr("stages.encoders.source.GPT2_PATTERN", "none")
    fresh = Source(None, source.text)
    assert "fastokens" in Encoder(fresh).refused


def test_the_corpus_is_the_same_each_time_and_has_every_byte_and_special_text() -> None:
    corpus = hostile_corpus(SPECIAL)
    assert corpus == hostile_corpus(SPECIAL)
    assert set(map(chr, range(256))) <= set(corpus)
    assert set(SPECIAL) <= set(corpus)
    assert sum(len(text.encode()) for text in corpus) < 1_000_000


# --- The choice --------------------------------------------------------------------------------


def test_auto_takes_the_fastest_that_is_right(source: Source) -> None:
    assert Encoder(source).backend.name == "kernel"


@pytest.mark.usefixtures("no_kernel")
def test_without_the_kernel_auto_takes_the_fastest_library(llama3: Path) -> None:
    assert Encoder(Source(llama3 / "tokenizer.json")).backend.name == "fastokens"


@pytest.mark.usefixtures("no_kernel")
def test_a_library_that_errs_on_the_corpus_is_refused_with_the_text(
    llama3: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(BACKENDS, "fastokens", Wrong)  # type: ignore[index]
    monkeypatch.setitem(BACKENDS, "gigatoken", Wrong)  # type: ignore[index]
    with caplog.at_level(logging.WARNING):
        encoder = Encoder(Source(llama3 / "tokenizer.json"))
    assert encoder.backend.name == "tiktoken"
    assert "fastokens 0" in caplog.text
    assert "gives other ids than tokenizers" in caplog.text
    assert "'q'" in encoder.warnings["warning.fastokens"]


@pytest.mark.usefixtures("no_kernel")
def test_a_library_that_errs_on_the_first_documents_is_refused(
    llama3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rare(Wrong):
        letter = "\U0001f9ff"

    monkeypatch.setitem(BACKENDS, "fastokens", Rare)  # type: ignore[index]
    monkeypatch.delitem(BACKENDS, "gigatoken")  # type: ignore[attr-defined]
    monkeypatch.setattr(verified, "hostile_corpus", lambda special: ["a"])
    encoder = Encoder(Source(llama3 / "tokenizer.json"))
    assert encoder.backend.name == "fastokens"
    found, lengths = encoder.encode(texts_column(["plain", "a \U0001f9ff b"]), 0)
    assert encoder.backend.name == "tiktoken"
    assert "U0001f9ff" in encoder.warnings["warning.fastokens"]
    wanted = rows(encoder.reference.encode(["plain", "a \U0001f9ff b"]))
    assert rows((found, lengths)) == [[*ids, 0] for ids in wanted]


def test_a_library_asked_for_by_name_that_errs_is_an_error(
    llama3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "fastokens", Wrong)  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"backend 'fastokens' cannot be used: .* other ids"):
        Encoder(Source(llama3 / "tokenizer.json"), "fastokens")


@pytest.mark.usefixtures("no_kernel")
def test_a_document_that_differs_is_named_with_the_remedy(
    llama3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rare(Wrong):
        letter = "\U0001f9ff"

    monkeypatch.setitem(BACKENDS, "fastokens", Rare)  # type: ignore[index]
    monkeypatch.setattr(verified, "hostile_corpus", lambda special: ["a"])
    monkeypatch.setattr("stages.tokenize.load_encoder", _fresh)
    docs = texts_table(
        [("a", str(n), "word " * 300) for n in range(200)] + [("a", "x", "\U0001f9ff")]
    )
    side = Side("tokens", 1, artefacts={"tokenizer": llama3})
    doc_id = docs["doc_id"][200].as_py().hex()
    with pytest.raises(IntegrityError, match=f"doc_id {doc_id}") as caught:
        Tokenize(check_every=1).process(TextBatch(docs), side)
    assert "Set `tokens: {backend: tokenizers}`" in str(caught.value)
    assert "steps/tokens-*" in str(caught.value)
    unchecked = Tokenize(check_every=10**9).process(TextBatch(docs), side)
    assert unchecked.used == {"backend": Rare(Source(llama3 / "tokenizer.json")).label}


def _fresh(folder: Path, backend: str) -> Encoder:
    return Encoder(Source(folder / "tokenizer.json"), backend)


@pytest.mark.parametrize("every", [1, 3, 1000])
def test_one_document_in_n_is_checked_whatever_the_batch(
    llama3: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(Encoder, "_check", lambda self, text, got, row: seen.append(text))
    docs = texts_table([("a", str(n), f"text {n}") for n in range(600)])
    side = Side("tokenize", 1, artefacts={"tokenizer": llama3})
    process(Tokenize(check_every=every), docs, side)
    first, seen[:] = list(seen), []
    Tokenize(check_every=every).process(TextBatch(docs), side)
    assert sorted(first) == sorted(seen)
    assert 0.5 * 600 / every - 2 <= len(seen) <= 1.6 * 600 / every + 2


def test_no_backend_and_no_check_changes_a_byte(llama3: Path) -> None:
    docs = texts_table([("real", str(n), text) for n, text in enumerate(real_texts()[::2])])
    side = Side("tokenize", 1, artefacts={"tokenizer": llama3})
    found = {
        backend: process(Tokenize(backend=backend, check_every=50), docs, side)
        for backend in ("auto", "kernel", "fastokens", "tiktoken", "tokenizers")
    }
    assert all(table.equals(found["tokenizers"]) for table in found.values())


def test_the_library_used_is_told_and_is_no_part_of_the_columns(llama3: Path) -> None:
    side = Side("tokenize", 1, artefacts={"tokenizer": llama3})
    batch = TextBatch(texts_table([("a", "1", "text")]))
    done: Processed = Tokenize(backend="tiktoken").process(batch, side)
    assert done.used["backend"].startswith("tiktoken ")
    assert set(done.columns) == {"num_tokens", "tokens"}


def test_every_token_of_the_vocabulary_that_is_a_text_is_tried(llama3: Path) -> None:
    found = "\n".join(vocabulary(Source(llama3 / "tokenizer.json"))).split("\n")
    assert " the" in found
    assert 600 < len(found) <= 920


# --- Long documents ----------------------------------------------------------------------------


def test_cuts_change_no_id_in_any_pattern(source: Source) -> None:
    cutter = Tokenizers(source).tokenizer.pre_tokenizer
    texts = [*hostile_strings(1500, first=50_000), *real_texts()[::8]]
    cut_texts = 0
    for text in texts:
        data = text.encode()
        parts = [data[a:b].decode() for a, b in pieces(data, 1)]
        assert "".join(parts) == text
        cut_texts += len(parts) > 1
        whole = cutter.pre_tokenize_str(text)
        cut = [p for part in parts for p in cutter.pre_tokenize_str(part)]
        assert [piece for piece, _ in whole] == [piece for piece, _ in cut]
    assert cut_texts > 500


def test_a_pre_tokenizer_that_cuts_may_harm_is_never_cut(tmp_path: Path) -> None:
    raw = json.loads(trained("llama3", tmp_path).read_bytes())
    for pattern, harmless in ((PATTERNS["gpt2"], True), (r"\w+ \w+|\s+|.", False)):
        raw["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern
        path = tmp_path / "other.json"
        path.write_text(json.dumps(raw))
        source = Source(path)
        corpus = [PROSE, *hostile_strings(500)]
        assert cuts_are_harmless(source, Tokenizers(source).tokenizer, corpus) is harmless


@pytest.mark.usefixtures("no_kernel")
def test_a_long_document_has_the_ids_of_the_whole(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(real_texts()[:300:10])
    encoder = Encoder(source)
    whole, _ = encoder.reference.encode([text])
    monkeypatch.setattr(verified, "CALL_BYTES", 1000)
    calls: list[int] = []
    real_call = Encoder._call
    monkeypatch.setattr(
        Encoder, "_call", lambda self, texts: (calls.append(len(texts)), real_call(self, texts))[1]
    )
    column = texts_column(["before", text, None, "after"]).slice(0, 4)
    found, lengths = encoder.encode(column.slice(1), 7, {0, 1})
    assert found[: lengths[0]].tolist() == [*whole.tolist(), 7]
    assert lengths[1] == 1
    assert len(calls) > 20


@pytest.mark.usefixtures("no_kernel")
def test_a_long_document_that_differs_is_caught_too(
    llama3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "hostile_corpus", lambda special: [PROSE])
    monkeypatch.setattr(verified, "vocabulary", lambda source: [])
    monkeypatch.setattr(verified, "CALL_BYTES", 2000)
    monkeypatch.setattr(verified, "SAMPLE_BYTES", 1000)
    monkeypatch.setitem(BACKENDS, "fastokens", Wrong)  # type: ignore[index]
    encoder = Encoder(Source(llama3 / "tokenizer.json"))
    with pytest.raises(Mismatch, match="at token"):
        encoder.encode(texts_column(["word " * 300 + "q " * 600]), 0, {0})


@pytest.mark.parametrize("hostile", ["a" * 400_000, " " * 400_000, "\n" * 400_000, "'s" * 200_000,
                                     "1" * 400_000, ".," * 200_000,
                                     "\u4e2d" * 150_000])  # fmt: skip
def test_long_runs_take_time_in_proportion(llama3: Path, hostile: str) -> None:
    encoder = encoder_of(llama3 / "tokenizer.json")
    assert_time_in_proportion(lambda text: encoder.encode(texts_column([text]), 0), hostile)


def test_a_document_of_60_mb_takes_less_than_three_times_its_size(llama3: Path) -> None:
    code = f"""
import resource
from pathlib import Path
import pyarrow as pa
from stages.encoders.source import Source
from stages.encoders.verified import Encoder
encoder = Encoder(Source(Path({str(llama3 / "tokenizer.json")!r})))
text = {PROSE!r}.encode()
encoder.encode(pa.array([text.decode() * 9000], pa.large_string()), 0)  # 3 MB: all is loaded
data = pa.py_buffer(text * (60_000_000 // len(text)))
offsets = pa.py_buffer(b"".join(n.to_bytes(8, "little") for n in (0, data.size)))
column = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, data])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
ids, lengths = encoder.encode(column, 0)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / data.size)
print(4 * len(ids) / data.size)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took, ids = map(float, done.stdout.split())
    assert took < ids + 0.5  # the ids themselves, and one piece
    assert took < 3
