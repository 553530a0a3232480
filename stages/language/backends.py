"""The backends: text -> (label, score). Each has labels of its own; `codes.subtag` names them.

- `cld2` (the package pycld2, no download): the share of the text's bytes that CLD2 gives to the
  top language, 0 where CLD2 calls its answer unreliable.
- `fasttext` (lid.176, GlotLID, OpenLID, ... by path): the probability of the top label.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from stages.fasttext_file import load_fasttext
from stages.language.codes import UNDETERMINED, subtag

Identify = Callable[[str], tuple[str, float]]

MIN_SCORES: Mapping[str, float] = {"cld2": 0.65, "fasttext": 0.65}
# CLD2 raises on control characters, non-characters and surrogates.
_NOT_INTERCHANGE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd"
    + "".join(f"{chr(p << 16)}-{chr((p << 16) + 0xFFFD)}" for p in range(1, 17))
    + "]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")


def identifier(backend: str, model: str | None) -> Identify:
    """The backend of this name, loaded once a process."""
    return _cld2() if backend == "cld2" else _fasttext(model or "")


@functools.cache
def cld2_codes() -> frozenset[str]:
    """The languages that CLD2 can answer."""
    import pycld2

    names = dict(pycld2.LANGUAGES)
    codes = {subtag(names[name]) for name in pycld2.DETECTED_LANGUAGES if name in names}
    return frozenset(codes - {UNDETERMINED})


@functools.cache
def _cld2() -> Identify:
    import pycld2

    def identify(text: str) -> tuple[str, float]:
        clean = _NOT_INTERCHANGE.sub(" ", text)
        try:
            reliable, _, found = pycld2.detect(clean, isPlainText=True)
        except pycld2.error:
            return UNDETERMINED, 0.0
        _, code, percent, _ = found[0]
        return code, percent / 100 if reliable else 0.0

    return identify


@functools.cache
def _fasttext(path: str) -> Identify:
    """Labels by fastText's raw `predict`, equal in every fork of the package."""
    model = load_fasttext(Path(path))

    def identify(text: str) -> tuple[str, float]:
        # What is split here, by Unicode's white space, is more than what fastText splits at.
        line = " ".join(_SURROGATES.sub("\ufffd", text).split())
        found = model.f.predict(line + "\n", 1, 0.0, "strict") if line else []
        if not found:
            return UNDETERMINED, 0.0
        probability, label = found[0]
        return label.removeprefix("__label__"), min(float(probability), 1.0)

    return identify
