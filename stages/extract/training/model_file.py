"""The file of a trained model: hashes and numbers only, no text of any page.

`blocks.npz` (numpy's format, at most 1 MB), which `stages.extract.model` reads:

| array | type | what |
|---|---|---|
| `token_hashes`, `token_odds` | uint32, float32 | class tokens and their log-odds |
| `word_hashes`, `word_odds` | uint32, float32 | words and their log-odds |
| `P_features`, `P_thresholds`, `P_leaves`, `P_depth` | uint16, float32, float32, int64 | trees |
| `meta` | one string | JSON: digests, versions, parameters |

P is `first` (blocks by `FEATURES`), `second` (blocks by these and `CONTEXT`) and `kind` (pages by
`PAGE_VECTOR`, tree i votes for kind i mod 7), in the layout of `stages.kernels.trees`.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError
from stages.extract.forest import Trees
from stages.extract.training.odds import Table

MAX_BYTES = 1 << 20
PARTS = ("first", "second", "kind")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every entry of the file, so that equal models are equal bytes."""


@dataclass(frozen=True)
class Trained:
    """All that the file holds."""

    tokens: Table
    words: Table
    first: Trees
    second: Trees
    kind: Trees
    meta: Mapping[str, Any]


def model_bytes(model: Trained) -> bytes:
    """The model's file: equal models give equal bytes. Raises ValueError if it is over 1 MB."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "token_hashes": model.tokens[0], "token_odds": model.tokens[1],
        "word_hashes": model.words[0], "word_odds": model.words[1],
    }  # fmt: skip
    for name in PARTS:
        trees: Trees = getattr(model, name)
        arrays[f"{name}_features"] = trees.features
        arrays[f"{name}_thresholds"] = trees.thresholds
        arrays[f"{name}_leaves"] = trees.leaves
        arrays[f"{name}_depth"] = np.array(trees.depth, dtype=np.int64)
    arrays["meta"] = np.array(json.dumps(model.meta, sort_keys=True))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED, 9)
    if len(found := out.getvalue()) > MAX_BYTES:
        raise ValueError(f"the model has {len(found):,} bytes: expected at most {MAX_BYTES:,}")
    return found


def write_model(model: Trained, path: Path) -> int:
    """Write the file, there only once it is whole; gives its size in bytes."""
    content = model_bytes(model)
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)
    part.replace(path)
    return len(content)


def read_meta(path: Path) -> dict[str, Any]:
    """What a model's file says of itself. Raises InputError at a file that is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            meta: dict[str, Any] = json.loads(str(file["meta"]))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no model of the blocks engine: {error}") from error
    return meta
