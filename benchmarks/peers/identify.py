"""One side of the language benchmark: every text through one identifier, in this process alone.

python identify.py ENGINE MODEL TEXTS OUT

TEXTS holds a JSON list a line: [set, language, text]. OUT becomes a folder with `answers.json`:
[label, score] a text (score null where the engine has none), and CPU seconds by set, of the calls
alone. Engines of ours need PYTHONPATH; the others nothing but their package.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

Answer = tuple[str, float | None]
Identify = Callable[[str], Answer]


def engine(name: str, model: str) -> Identify:
    """The identifier of this name, with its model loaded."""
    if name in ("cld2", "fasttext"):
        from stages.language.backends import identifier

        return identifier(name, model or None)
    if name == "py3langid":
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

        def classify(text: str) -> Answer:
            label, score = found.classify(text)
            return label, float(score)

        return classify
    raise ValueError(f"no engine '{name}'")


def main(name: str, model: str, texts: str, out: str) -> None:
    identify = engine(name, model)
    identify("One sentence, so that what is loaded late is loaded now.")
    answers: list[Answer] = []
    seconds: dict[str, float] = {}
    with open(texts, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for of, _, text in rows:
        began = time.process_time()
        answers.append(identify(text))
        seconds[of] = seconds.get(of, 0.0) + time.process_time() - began
    folder = Path(out)
    folder.mkdir(parents=True)
    (folder / "answers.json").write_text(json.dumps({"answers": answers, "seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
