"""use_tokenizer: each kind of file gives the ids of the library that it comes from."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_encoders import PROSE, trained
from token_phase_driver import process, run_phases, store, texts_table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from pipeline.cli import main
from pipeline.errors import ConfigError
from pipeline.knobs import knob_info
from pipeline.stage import GlobalStage, Side
from pipeline.texts.hostile import hostile_strings
from stages.catalogue import CATALOGUE
from stages.encoders.backends import made_of_two, tiktoken_numbers
from stages.encoders.source import Source
from stages.encoders.verified import Encoder
from stages.tokenize import Tokenize, load_tokenizer
from tokenizer_training.patterns import PATTERNS
from tokenizer_training.tiktoken_file import parts_before
from tokenizer_training.use import UseTokenizer

END = "<|endoftext|>"


def used(stage: UseTokenizer, folder: Path) -> Path:
    """The stage's artefact as a folder. Raises ConfigError, for `check` as a plan does."""
    try:
        stage.check()
    except ValueError as error:
        raise ConfigError(str(error)) from error
    docs = texts_table([("a", "1", "text")])
    return store(run_phases(stage, [docs], folder).artefacts["tokenizer"], folder / "artefact")


def ids_of(folder: Path, texts: list[str], end: str) -> list[list[int]]:
    docs = texts_table([("a", str(n), text) for n, text in enumerate(texts)])
    done = process(
        Tokenize(end_of_document=end), docs, Side("tokenize", 1, artefacts={"tokenizer": folder})
    )
    return [tokens[:-1] for tokens in done["tokens"].to_pylist()]


# --- tokenizer.json ----------------------------------------------------------------------------


def test_another_file_in_the_same_workdir_makes_the_dataset_anew(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"text": "Twelve boats lay in the harbour, 1999."}\n')
    found = []
    for name in ("llama3", "gpt2"):
        folder = tmp_path / name
        folder.mkdir()
        path = trained(name, folder)
        config = tmp_path / f"{name}.yaml"
        config.write_text(
            f"name: t\nseed: 1\nworkdir: {tmp_path / 'run'}\nsteps:\n"
            f"  - id: web\n    read_jsonl: {{paths: ['{tmp_path / 'docs.jsonl'}']}}\n"
            f"  - mix: {{validation_permille: 0}}\n  - use_tokenizer: {{file: {path}}}\n"
            f"  - tokenize: {{end_of_document: '{END}'}}\n  - write_shards: {{}}\n"
        )
        assert main(["run", str(config), "--workers", "0", "--quiet"]) == 0
        said = json.loads((tmp_path / "run" / "dataset" / "dataset.json").read_bytes())
        assert hashlib.sha256(path.read_bytes()).hexdigest() in json.dumps(said)
        found.append(said["tokenizer"])
    assert found[0] != found[1]


def test_every_knob_of_a_global_stage_that_makes_its_output_is_read_by_a_phase() -> None:
    """A knob in no phase is in no key: what was made with another value would be used again."""
    checked = 0
    for name, where in CATALOGUE.items():
        module, _, kind = where.partition(":")
        stage = getattr(importlib.import_module(module), kind)
        if not issubclass(stage, GlobalStage):
            continue
        fields = dataclasses.fields(stage)
        needed = {
            field.name: "x" for field in fields
            if field.default is field.default_factory is dataclasses.MISSING
        }  # fmt: skip
        given = {"against": ["x"], "store": "x"} if name == "minhash_dedup" else {}
        made = stage(**needed, **given)
        read = {knob.partition(".")[0] for phase in made.phases() for knob in phase.knobs}
        counted = {
            field.name for field in fields
            if knob_info(field).identity or knob_info(field).model_file
        }  # fmt: skip
        assert counted <= read, (name, counted - read)
        checked += 1
    assert checked > 5


def test_a_folder_with_a_tokenizer_json_is_that_file(tmp_path: Path) -> None:
    path = trained("llama3", tmp_path)
    found = used(UseTokenizer(file=str(tmp_path)), tmp_path / "run")
    assert (found / "tokenizer.json").read_bytes() == path.read_bytes()


def made_by(trainer: Any, model: Any, folder: Path, **parts: Any) -> Path:
    """A tokenizer.json of a model whose unknown token stands for whatever it has not seen."""
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(["the cat sat on the mat"] * 20, trainer)
    tokenizer.add_special_tokens([END])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


UNKNOWN = {
    "word level": (
        lambda: models.WordLevel(unk_token="<unk>"),
        lambda: trainers.WordLevelTrainer(special_tokens=["<unk>"]),
        {"pre_tokenizer": pre_tokenizers.Whitespace()},
    ),
    "unigram": (
        models.Unigram,
        lambda: trainers.UnigramTrainer(vocab_size=40, special_tokens=["<unk>"], unk_token="<unk>"),
        {"pre_tokenizer": pre_tokenizers.Metaspace(), "decoder": decoders.Metaspace()},
    ),
    "BPE without bytes": (
        lambda: models.BPE(unk_token="<unk>"),
        lambda: trainers.BpeTrainer(vocab_size=60, special_tokens=["<unk>"]),
        {"pre_tokenizer": pre_tokenizers.Whitespace()},
    ),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_model_that_does_not_know_every_character_tokenises_with_its_unknown_token(
    kind: str, tmp_path: Path
) -> None:
    model, trainer, parts = UNKNOWN[kind]
    path = made_by(trainer(), model(), tmp_path, **parts)
    folder = used(UseTokenizer(file=str(path)), tmp_path / "run")
    texts = ["the cat <b>sat</b>", "<unk>", f"the {END} mat", "\n<\n", *PROSE[:20]]
    reference = Tokenizer.from_file(str(path))
    reference.encode_special_tokens = True
    wanted = [reference.encode(text, add_special_tokens=False).ids for text in texts]
    found = ids_of(folder, texts, END)
    assert found == wanted
    assert any(0 in ids for ids in found), "something in them is unknown"
    end = reference.token_to_id(END)
    assert not any(end in ids for ids in found), "no text has the end of a document in it"


def test_a_model_that_cannot_say_what_it_does_not_know_is_refused(tmp_path: Path) -> None:
    model, trainer, parts = UNKNOWN["unigram"]
    path = made_by(trainer(), model(), tmp_path, **parts)
    found = json.loads(path.read_bytes())
    found["model"]["unk_id"] = None
    path.write_text(json.dumps(found))
    folder = used(UseTokenizer(file=str(path)), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"cannot encode the text 'a.*an unknown token that is"):
        load_tokenizer(folder, END)


def test_an_id_too_large_for_a_table_of_all_ids_is_refused(tmp_path: Path) -> None:
    found = json.loads(trained("gpt2", tmp_path).read_bytes())
    found["model"]["vocab"]["zqxjk"] = 4_000_000_000
    (tmp_path / "tokenizer.json").write_text(json.dumps(found))
    with pytest.raises(ConfigError, match=r"largest id is 4,000,000,000, expected 16,777,215"):
        used(UseTokenizer(file=str(tmp_path)), tmp_path / "run")


def test_an_unknown_token_that_ends_documents_is_refused_where_a_text_can_have_it(
    tmp_path: Path,
) -> None:
    model, trainer, parts = UNKNOWN["word level"]
    path = made_by(trainer(), model(), tmp_path, **parts)
    folder = used(UseTokenizer(file=str(path)), tmp_path / "run")
    with pytest.raises(ConfigError, match="would become the special id 0"):
        load_tokenizer(folder, "<unk>")


@pytest.mark.parametrize(
    ("knobs", "problem"),
    [
        ({"file": "x.tiktoken"}, "needs `pattern`"),
        ({"file": "x.tiktoken", "pattern": "gpt2"}, "needs `pattern`"),
        ({"file": "tokenizer.json", "pattern": "gpt2"}, "for a .tiktoken file"),
        ({}, "the path of a tokenizer.json"),
    ],
)
def test_knobs_that_do_not_fit_the_file_are_refused(knobs: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        UseTokenizer(**knobs).check()


# --- tiktoken ----------------------------------------------------------------------------------


def written(numbers: dict[bytes, int], path: Path) -> Path:
    lines = (f"{base64.b64encode(token).decode()} {n}" for token, n in numbers.items())
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module", params=["llama3", "gpt2", "o200k"])
def tiktoken_file(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[bytes, int], str, Path]:
    """Numbers, pattern, file: with a gap before its special tokens, and a token of no merge."""
    folder = tmp_path_factory.mktemp("tiktoken")
    ranks = sorted(
        tiktoken_numbers(Source(trained(request.param, folder))).items(), key=lambda p: p[1]
    )
    numbers = {token: at for at, (token, _) in enumerate(ranks)}
    numbers[b"zqxjk"] = len(numbers)
    return numbers, request.param, written(numbers, folder / "own.tiktoken")


def test_a_tiktoken_file_gives_the_ids_of_tiktoken(
    tiktoken_file: tuple[dict[bytes, int], str, Path], tmp_path: Path
) -> None:
    import tiktoken

    numbers, pattern, path = tiktoken_file
    special = {END: len(numbers) + 7, "<|pad|>": len(numbers) + 3}
    folder = used(UseTokenizer(file=str(path), pattern=pattern, special_tokens=special), tmp_path)
    encoding = tiktoken.Encoding(
        "own", pat_str=PATTERNS[pattern], mergeable_ranks=numbers, special_tokens=special
    )
    texts = [PROSE, "zqxjk zqxjk xzqxjk", f"a{END}b", *hostile_strings(3000, [END], first=70_000)]
    assert ids_of(folder, texts, END) == [encoding.encode_ordinary(text) for text in texts]
    tokenizer, end = load_tokenizer(folder, END)
    assert end == special[END]
    assert [tokenizer.decode(ids) for ids in ids_of(folder, texts, END)] == texts
    assert json.loads((folder / "meta.json").read_bytes())["special_tokens"] == special
    assert Encoder(Source(folder / "tokenizer.json")).backend.name == "kernel"


def test_one_merge_a_token_says_what_tiktoken_does() -> None:
    """The argument of the module, on vocabularies that no training would make."""
    accepted = 0

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(st.text("ab", min_size=2, max_size=6), max_size=10),
        st.lists(st.text("ab", max_size=14), min_size=1, max_size=5),
        st.booleans(),
    )
    def check(tokens: list[str], texts: list[str], by_length: bool) -> None:
        nonlocal accepted
        numbers = {bytes([byte]): byte for byte in range(256)}
        for token in sorted(tokens, key=len) if by_length else tokens:
            numbers.setdefault(token.encode(), len(numbers))
        merges = {}
        for token, number in numbers.items():
            parts = parts_before(token, number, numbers)
            if len(parts) == 2:
                merges[parts[0], parts[1]] = number
            elif made_of_two(token, numbers):
                return
        accepted += 1
        for text in texts:
            assert merged(text.encode(), merges) == parts_before(text.encode(), 10**9, numbers)

    check()
    assert accepted > 60


def merged(data: bytes, merges: dict[tuple[bytes, bytes], int]) -> list[bytes]:
    """What `tokenizers` makes of one piece: the merge of the smallest number first, leftmost."""
    found = [bytes([byte]) for byte in data]
    while True:
        pairs = list(itertools.pairwise(found))
        known = [(merges[pair], at) for at, pair in enumerate(pairs) if pair in merges]
        if not known:
            return found
        at = min(known)[1]
        found[at : at + 2] = [found[at] + found[at + 1]]


def test_a_tiktoken_file_with_numbers_out_of_order_is_refused(tmp_path: Path) -> None:
    numbers = {bytes([byte]): byte for byte in range(256)} | {b"aaa": 256, b"aa": 257}
    path = written(numbers, tmp_path / "odd.tiktoken")
    with pytest.raises(ConfigError, match="b'aaa' has a smaller number than a token"):
        used(UseTokenizer(file=str(path), pattern="gpt2", special_tokens={END: 300}), tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda numbers: numbers.pop(b"a"), "1 single bytes have no token, the first is 97"),
        (
            lambda numbers: numbers.update({b"ab": 3}),
            r"line 257: b'ab' has number 3, as has b'\\x03'",
        ),
        (lambda numbers: numbers.update({b"ab": 400}), "special token .* has number 400"),
        (lambda numbers: numbers.update({b"ab": -4}), "number -4, expected 0 to"),
        (lambda numbers: numbers.update({b"ab": 1 << 40}), "line 257: number 1099511627776"),
    ],
)
def test_a_tiktoken_file_that_is_none_is_refused(change: Any, problem: str, tmp_path: Path) -> None:
    numbers = {bytes([byte]): byte for byte in range(256)}
    change(numbers)
    path = written(numbers, tmp_path / "bad.tiktoken")
    stage = UseTokenizer(file=str(path), pattern="gpt2", special_tokens={END: 400})
    with pytest.raises(ConfigError, match=problem):
        used(stage, tmp_path / "run")


def test_a_line_that_is_no_token_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.tiktoken"
    path.write_text("YQ== 0\nnot-a-line\n")
    with pytest.raises(ConfigError, match=r"line 2: .*not-a-line"):
        used(
            UseTokenizer(file=str(path), pattern="gpt2", special_tokens={END: 1}), tmp_path / "run"
        )


# --- sentencepiece -----------------------------------------------------------------------------


def model_file(folder: Path, **knobs: Any) -> tuple[Any, Path]:
    """A small model trained here, and sentencepiece with it."""
    sentencepiece = pytest.importorskip("sentencepiece")
    lines = [*(PROSE * 5).split("\n"), *(text.replace("\n", " ") for text in hostile_strings(400))]
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=written, vocab_size=900, minloglevel=3,
        hard_vocab_limit=False, num_threads=1, **knobs,
    )  # fmt: skip
    path = folder / "own.model"
    path.write_bytes(written.getvalue())
    return sentencepiece.SentencePieceProcessor(model_file=str(path)), path


LLAMA = {
    "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
}  # fmt: skip
TEXTS = ["", " ", "a</s>b <s> <unk>", PROSE, *hostile_strings(2000, ["</s>"], first=90_000)]


def test_a_sentencepiece_model_of_llamas_kind_becomes_a_tokenizer_json(tmp_path: Path) -> None:
    processor, path = model_file(tmp_path, **LLAMA)
    folder = used(UseTokenizer(file=str(path)), tmp_path / "run")
    assert {p.name for p in folder.iterdir()} == {"tokenizer.json", "meta.json"}
    assert ids_of(folder, TEXTS, "</s>") == processor.encode(TEXTS)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_sentencepiece_model_that_normalises_encodes_by_itself(tmp_path: Path, kind: str) -> None:
    processor, path = model_file(tmp_path, model_type=kind)
    folder = used(UseTokenizer(file=str(path)), tmp_path / "run")
    meta = json.loads((folder / "meta.json").read_bytes())
    assert meta["encoded_by"].startswith("sentencepiece ")
    assert "decodes, but encode with sentencepiece" in meta["warning"]
    wanted = processor.encode(TEXTS)
    assert ids_of(folder, TEXTS, "</s>") == wanted
    assert not any(processor.eos_id() in ids for ids in wanted)
    again = used(UseTokenizer(file=str(folder / "tokenizer.json")), tmp_path / "again")
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }
    tokenizer, _ = load_tokenizer(folder, "</s>")
    known = [ids for ids in wanted if processor.unk_id() not in ids]
    assert len(known) > 20
    assert [tokenizer.decode(ids, skip_special_tokens=False) for ids in known] == [
        processor.decode(ids) for ids in known
    ]


@pytest.mark.parametrize("content", [b"", b"\n\x00", b"\x0a\x03\x0a\x01a"], ids=repr)
def test_a_model_without_an_unknown_piece_is_no_sentencepiece_model(
    content: bytes, tmp_path: Path
) -> None:
    pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    (tmp_path / "m.model").write_bytes(content)
    with pytest.raises(ConfigError, match="no sentencepiece model"):
        used(UseTokenizer(file=str(tmp_path / "m.model")), tmp_path / "run")


@pytest.mark.parametrize(
    ("knobs", "problem"),
    [
        ({"pattern": r"(\w+"}, "is no regex"),
        ({"pattern": r"\X"}, "is no regex"),
        ({"special_tokens": {END: -1}}, "= -1, expected 0 to 16,777,215"),
        ({"special_tokens": {END: 1 << 32}}, "= 4294967296, expected 0 to"),
        ({"special_tokens": {END: 300, "<|pad|>": 300}}, "both have id 300"),
        ({"special_tokens": {"": 300}}, "empty text"),
        ({"pattern": "a*"}, "is no regex"),
    ],
    ids=str,
)
def test_what_no_tokenizer_can_have_is_refused_before_the_run(
    knobs: dict[str, Any], problem: str
) -> None:
    given = {"file": "own.tiktoken", "pattern": "gpt2", "special_tokens": {END: 300}, **knobs}
    with pytest.raises(ValueError, match=problem):
        UseTokenizer(**given).check()


def test_a_file_that_is_no_sentencepiece_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    path = tmp_path / "bad.model"
    path.write_bytes(b"\xff\xfe no model")
    with pytest.raises(ConfigError, match="no sentencepiece model"):
        used(UseTokenizer(file=str(path)), tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("own.tiktoken", b"YQ== 0\nnot-a-line\n", r"own\.tiktoken: line 2: b'not-a-line'"),
        ("own.model", b"", "no sentencepiece model: 0 pieces"),
        ("tokenizer.json", b"", "no tokenizer.json of the tokenizers library"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_tokenizer_is_refused_before_any_document_is_read(
    name: str, content: bytes, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name.endswith(".model"):
        pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    (tmp_path / name).write_bytes(content)
    knobs = f"file: {tmp_path / name}"
    if name.endswith(".tiktoken"):
        knobs += f", pattern: gpt2, special_tokens: {{'{END}': 300}}"
    (tmp_path / "docs.jsonl").write_text('{"text": "Twelve boats lay in the harbour."}\n')
    (tmp_path / "t.yaml").write_text(
        f"name: t\nseed: 1\nworkdir: {tmp_path / 'run'}\nsteps:\n"
        f"  - id: web\n    read_jsonl: {{paths: ['{tmp_path / 'docs.jsonl'}']}}\n"
        f"  - exact_dedup: {{}}\n  - mix: {{}}\n  - use_tokenizer: {{{knobs}}}\n"
        f"  - tokenize: {{end_of_document: '{END}'}}\n  - write_shards: {{}}\n"
    )
    assert main(["run", str(tmp_path / "t.yaml"), "--workers", "0", "--quiet"]) == 2
    assert re.search(
        rf"ConfigError: .*t\.yaml:9: use_tokenizer: .*{problem}", capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a", r"special token 'a' is written as the token b'a', number 97"),
        ("\u0120zqx", r"differ for ' zqx'"),
    ],
)
def test_a_special_token_that_a_page_could_spell_is_refused(
    name: str, problem: str, tmp_path: Path
) -> None:
    """U+0120 is how tokenizer.json writes a space: as a name it would be what ` zqx` becomes."""
    path = written({bytes([byte]): byte for byte in range(256)}, tmp_path / "own.tiktoken")
    stage = UseTokenizer(file=str(path), pattern="gpt2", special_tokens={END: 300, name: 301})
    with pytest.raises(ConfigError, match=problem):
        used(stage, tmp_path / "run")


def test_a_regex_at_which_tiktoken_panics_is_an_error_of_the_step(tmp_path: Path) -> None:
    """It matches nothing at one place of one text, which no probe before the run has."""
    path = written({bytes([byte]): byte for byte in range(256)}, tmp_path / "own.tiktoken")
    pattern = r"(?=\u3042)|[\s\S]"
    stage = UseTokenizer(file=str(path), pattern=pattern, special_tokens={END: 300})
    with pytest.raises(ConfigError, match="tiktoken fails with the regex"):
        used(stage, tmp_path / "run")
