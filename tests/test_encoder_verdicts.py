"""The verdict of the check of encoders: kept from process to process, and no change is hidden."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_bpe_kernel import tokenizer_file

from pipeline.errors import ConfigError
from stages.encoders import verdicts, verified
from stages.encoders.backends import Fastokens, Tokenizers
from stages.encoders.source import Source
from stages.encoders.verified import Encoder
from stages.url_lists import default_cache


@pytest.fixture(autouse=True)
def nothing_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENMILL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The libraries that were compared with the reference, one for each part of the check."""
    seen: list[str] = []
    real = Encoder._difference

    def difference(self: Encoder, backend: Any, texts: Any, wanted: Any) -> str | None:
        seen.append(backend.name)
        return real(self, backend, texts, wanted)

    monkeypatch.setattr(Encoder, "_difference", difference)
    return seen


def source() -> Source:
    return Source(None, tokenizer_file("llama3"))


def kept() -> list[Path]:
    return sorted((default_cache() / "encoders").glob("*.json"))


@pytest.mark.parametrize("name", ["kernel", "fastokens"])
def test_a_library_that_passed_is_not_checked_again(checks: list[str], name: str) -> None:
    assert Encoder(source(), name).backend.name == name
    assert checks == [name, name]
    assert len(kept()) == 1
    assert Encoder(source(), name).backend.name == name
    assert checks == [name, name]


def test_the_first_documents_are_compared_even_so(checks: list[str]) -> None:
    import pyarrow as pa

    Encoder(source(), "kernel")
    again = Encoder(source(), "kernel")
    del checks[:]
    again.encode(pa.array(["The mill grinds."], pa.large_string()), 0)
    assert checks == ["kernel"]


def _other_package(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = importlib.metadata.distribution

    class Rebuilt:
        def __init__(self, found: importlib.metadata.Distribution) -> None:
            self.version, self._record = found.version, found.read_text("RECORD")

        def read_text(self, file: str) -> str:
            return f"{self._record}\nanother,sha256=0,1"

    monkeypatch.setattr(
        importlib.metadata,
        "distribution",
        lambda wanted: Rebuilt(real(wanted)) if wanted == name else real(wanted),
    )
    verdicts._package.cache_clear()
    monkeypatch.setattr(verdicts, "_package", verdicts._package.__wrapped__)


def _other_source(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    real = verdicts._sources
    monkeypatch.setattr(
        verdicts, "_sources", lambda path: real(path) + ("changed" if path.name == folder else "")
    )


CHANGES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "tokenizers": lambda patch: _other_package(patch, "tokenizers"),
    "numba": lambda patch: _other_package(patch, "numba"),
    "llvmlite": lambda patch: _other_package(patch, "llvmlite"),
    "fastokens": lambda patch: _other_package(patch, "fastokens"),
    "a kernel": lambda patch: _other_source(patch, "kernels"),
    "an encoder": lambda patch: _other_source(patch, "encoders"),
    "processor": lambda patch: patch.setattr(verdicts, "_target", lambda: "another"),
    "the corpus": lambda patch: patch.setattr(verified, "hostile_corpus", lambda names: ["abc"]),
    "the vocabulary's texts": lambda patch: patch.setattr(verified, "vocabulary", lambda s: ["a"]),
    "options of numba": lambda patch: patch.setenv("NUMBA_CPU_NAME", "generic"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_version_of_anything_is_checked_again(
    monkeypatch: pytest.MonkeyPatch, checks: list[str], what: str
) -> None:
    Encoder(source(), "fastokens")
    assert len(checks) == 2
    CHANGES[what](monkeypatch)
    Encoder(source(), "fastokens")
    assert len(checks) == 4


def test_another_tokenizer_is_checked_again(checks: list[str]) -> None:
    Encoder(source(), "fastokens")
    raw = json.loads(tokenizer_file("llama3"))
    Encoder(Source(None, json.dumps(raw, indent=3)), "fastokens")
    assert len(checks) == 4


def test_a_library_that_errs_is_refused_though_another_of_its_name_passed(
    monkeypatch: pytest.MonkeyPatch, checks: list[str]
) -> None:
    class Wrong(Fastokens):
        def encode(self, texts: Any) -> Any:
            return super().encode([text.replace("q", "k") for text in texts])

    assert Encoder(source(), "fastokens").backend.name == "fastokens"
    monkeypatch.setattr(verified, "BACKENDS", {"fastokens": Wrong})
    for _ in range(2):  # a refusal is not kept: it is told each time
        with pytest.raises(ConfigError, match="other ids"):
            Encoder(source(), "fastokens")


def test_what_is_kept_is_read_whole_not_by_its_name(checks: list[str]) -> None:
    Encoder(source(), "fastokens")
    (path,) = kept()
    for broken in (b"", b"{}", b"[1", path.read_bytes()[:-20]):
        path.write_bytes(broken)
        before = len(checks)
        Encoder(source(), "fastokens")
        assert len(checks) == before + 2
        assert json.loads(path.read_bytes())["backend"].endswith("Fastokens")


def test_where_nothing_can_be_kept_the_check_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checks: list[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TOKENMILL_CACHE", str(tmp_path / "file"))
    for turn in (1, 2):
        assert Encoder(source(), "fastokens").backend.name == "fastokens"
        assert len(checks) == 2 * turn


def test_a_changed_file_of_a_folder_changes_its_digest(tmp_path: Path) -> None:
    digest = verdicts._sources.__wrapped__
    (tmp_path / "a.py").write_text("one = 1\n")
    (tmp_path / "table.json").write_text("[1]")
    found = {digest(tmp_path)}
    (tmp_path / "table.json").write_text("[2]")
    found.add(digest(tmp_path))
    (tmp_path / "a.py").write_text("one = 2\n")
    found.add(digest(tmp_path))
    (tmp_path / "b.py").write_text("")
    found.add(digest(tmp_path))
    assert len(found) == 4


def test_a_kernel_whose_classes_are_not_those_of_tokenizers_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from stages.kernels import piece_classes

    monkeypatch.setattr(piece_classes, "same_as_tokenizers", lambda: False)
    encoder = Encoder(source())
    assert "in the classes of characters" in encoder.warnings["warning.kernel"]
    assert encoder.backend.name != "kernel"
    assert isinstance(encoder.reference, Tokenizers)
