"""fastText files: whole ones of every layout are read, all others refused before they are."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from classifier_documents import text

from pipeline.errors import ConfigError
from stages.classify.fasttext_model import ZEROED
from stages.classify.models import load
from stages.fasttext_file import load_fasttext
from stages.language.backends import identifier

MAKE = """
import json, sys
import fasttext
for call in json.load(sys.stdin):
    kind = call.pop("train", "train_supervised")
    steps, path = call.pop("quantize", None), call.pop("path")
    model = getattr(fasttext, kind)(thread=1, verbose=0, dim=4, epoch=1, **call)
    if steps is not None:
        model.quantize(**steps)
    model.save_model(path)
"""
SMALL: dict[str, Any] = {"wordNgrams": 1}
MANY: dict[str, Any] = {"input": "many", "bucket": 1000, "wordNgrams": 2}
LAYOUTS: dict[str, dict[str, Any]] = {
    "words": SMALL,
    "n-grams": {"wordNgrams": 2, "bucket": 500},
    "characters": {"wordNgrams": 1, "minn": 2, "maxn": 3, "bucket": 300},
    "hierarchical": {**SMALL, "loss": "hs"},
    "quantised": {**MANY, "quantize": {"qnorm": True}},
    "quantised-output": {**MANY, "quantize": {"qnorm": True, "qout": True}},
    "pruned": {**MANY, "quantize": {"cutoff": 300}},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each layout, and one of word vectors."""
    folder = tmp_path_factory.mktemp("layouts")
    few = [f"__label__{'b' if n % 2 else 'a'} {text(n % 2 == 0, n)}\n" for n in range(40)]
    # Quantising takes at least 256 rows, of the output as well.
    many = [f"__label__l{n % 260} w{n} {text(n % 2 == 0, n, 20)}\n" for n in range(520)]
    for name, lines in (("few", few), ("many", many)):
        (folder / f"{name}.txt").write_text("".join(lines))
    layouts = {**LAYOUTS, "vectors": {"train": "train_unsupervised", "minn": 0, "maxn": 0}}
    calls = [
        {**call, "input": f"{folder}/{call.get('input', 'few')}.txt", "path": f"{folder}/{name}"}
        for name, call in layouts.items()
    ]
    subprocess.run(
        [sys.executable, "-c", MAKE],
        input=json.dumps(calls).encode(),
        env={**os.environ, **ZEROED},
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return {name: folder / name for name in layouts}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_whole_file_of_any_layout_is_read(layout: str, files: dict[str, Path]) -> None:
    model = load_fasttext(files[layout])
    assert model.f.predict("river stone valley\n", 1, 0.0, "strict")
    with pytest.raises(ConfigError, match=r"bytes, expected [\d,]+ by its header"):
        load_fasttext(written(files[layout], files[layout].read_bytes() + b"\0"))


def written(beside: Path, data: bytes) -> Path:
    path = beside.with_name(f"{beside.name}.damaged")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_ends_early_is_refused_wherever_it_ends(
    layout: str, files: dict[str, Path]
) -> None:
    data = files[layout].read_bytes()
    ends = range(len(data)) if layout == "words" else range(0, len(data), len(data) // 40)
    for end in (*ends, len(data) - 1):
        path = written(files[layout], data[:end])
        with pytest.raises(ConfigError, match="is no whole fastText model") as raised:
            load_fasttext(path)
        assert str(path) in str(raised.value)
        assert ", expected " in str(raised.value)


def test_a_short_file_is_refused_by_classify_and_by_language(files: dict[str, Path]) -> None:
    data = files["n-grams"].read_bytes()
    # fastText itself loads the first, and scores; of the second it reads words for ever.
    for end, said in ((len(data) - 20, "it ends in the output matrix"), (200, "ends in word")):
        path = written(files["n-grams"], data[:end])
        with pytest.raises(ConfigError, match=said):
            load(path, ("__label__a",)).scores(pa.array(["river"]))
        with pytest.raises(ConfigError, match=said):
            identifier("fasttext", str(path))("river")
        path.unlink()


@pytest.mark.parametrize(
    ("offset", "layout", "value", "said"),
    [
        (0, "i", 1, "its first number is 1, expected 793712314"),
        (4, "i", 13, "its version is 13, expected 11 or 12"),
        (8, "i", 0, "its header says 0 units"),
        (8, "i", 5, r"its input matrix is \d+ x 4, expected \d+ x 5 by its header"),
        (40, "i", -1, "-1 slots, expected"),
        (40, "i", 7, r"its input matrix is \d+ x 4, expected"),
        (64, "i", 3, "its dictionary says 3 entries"),
        (72, "i", 2**31 - 1, "its dictionary says"),
        (84, "q", 2**60, "it ends in the pruned n-grams"),
    ],
)
def test_a_header_that_cannot_be_is_refused_with_what_it_says(
    files: dict[str, Path], offset: int, layout: str, value: int, said: str
) -> None:
    data = bytearray(files["n-grams"].read_bytes())
    struct.pack_into(f"<{layout}", data, offset, value)
    with pytest.raises(ConfigError, match=said):
        load_fasttext(written(files["n-grams"], bytes(data)))


def test_word_vectors_are_no_classifier(files: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="it is of kind 2, expected 3, a classifier"):
        load_fasttext(files["vectors"])


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no fastText model"):
        load_fasttext(tmp_path)
