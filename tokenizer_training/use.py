"""use_tokenizer: take a finished tokenizer. Makes the same artefact as train_tokenizer.

`file` is a tokenizer.json, a folder with one, a tiktoken file (`.tiktoken`; its pattern and special
tokens are knobs, because the file holds neither), or a sentencepiece model (`.model`). The last two
are written as the tokenizer.json that gives their ids, which is tried on a hostile corpus against
tiktoken or sentencepiece itself. Nothing is fetched by name: give a path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.phases import Combine, Phase
from pipeline.stage import GlobalStage, Side, knob, model_file
from pipeline.texts.hostile import hostile_corpus
from tokenizer_training.bpe import artefact
from tokenizer_training.compare import compare_with_tiktoken, texts_of
from tokenizer_training.export import plain_bytes
from tokenizer_training.patterns import PATTERNS
from tokenizer_training.sentencepiece_file import SENTENCEPIECE_MODEL, parsed, sentencepiece_files
from tokenizer_training.tiktoken_file import (
    check_pattern,
    check_special_tokens,
    read_numbers,
    shown_tokens,
    tokenizer_json,
)

FILE = "tokenizer.json"


@dataclass(frozen=True)
class UseTokenizer(GlobalStage):
    """A finished tokenizer; a tokenizer.json of Hugging Face is stored byte for byte as it is.

    A published folder with a sentencepiece.model is that model again.

    `version` history:
    2: the pattern `gpt4` of a tiktoken file is cl100k_base of today's tiktoken.
    """

    version: ClassVar[int] = 2
    kind: ClassVar[str] = "tokenizer"
    reads: ClassVar[tuple[str, ...]] = ()
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)

    file: str = model_file(
        "", help="tokenizer.json, a folder with one, a .tiktoken file or a sentencepiece .model"
    )
    pattern: str = knob(
        "",
        unit="pre-tokenisation regex",
        source="none: a .tiktoken file does not say with which it was made",
        help=f"of a .tiktoken file: {', '.join(PATTERNS)}, or the regex itself",
    )
    special_tokens: dict[str, int] = knob(  # noqa: RUF009
        {},
        unit="ids",
        source="none: a .tiktoken file holds no special tokens",
        help="of a .tiktoken file: text to id, such as {<|endoftext|>: 50256}",
    )

    def check(self) -> None:
        if not self.file:
            raise ValueError("needs the knob 'file': the path of a tokenizer.json.")
        numbers = self.file.endswith(".tiktoken")
        if numbers and not (self.pattern and self.special_tokens):
            raise ValueError(
                f"{self.file} needs `pattern` ({', '.join(PATTERNS)}, or a regex) and "
                f"`special_tokens` (text: id), which a .tiktoken file does not hold."
            )
        if numbers:
            check_special_tokens(self.special_tokens)
            check_pattern(PATTERNS.get(self.pattern, self.pattern))
        if not numbers and (self.pattern or self.special_tokens):
            raise ValueError(
                f"`pattern` and `special_tokens` are for a .tiktoken file; {self.file} has its own."
            )
        self._check_content()

    def _check_content(self) -> None:
        """Raises ValueError for a damaged file: the steps before `store` may work for days."""
        path = Path(self.content_of(self.file))
        try:
            content = path.read_bytes()
        except OSError:
            return  # `plan` says so of any model file that cannot be read
        try:
            if path.suffix == ".tiktoken":
                shown_tokens(read_numbers(content), self.special_tokens)
            elif path.suffix == ".model":
                parsed(content, path)
            else:
                self._json_artefact(content)
        except ValueError as error:
            raise ValueError(f"{self.file}: {error}.") from error

    def content_of(self, path: str) -> str:
        """Beside a tokenizer.json that only decodes stands the sentencepiece model that encodes."""
        file = Path(path, FILE) if Path(path).is_dir() else Path(path)
        model = file.with_name(SENTENCEPIECE_MODEL)
        return str(model if file.name == FILE and model.is_file() else file)

    def phases(self) -> tuple[Phase, ...]:
        knobs = ("file", "pattern", "special_tokens")
        return (Combine("tokenizer", (), merge=self.store, schema=None, knobs=knobs),)

    def store(self, _: pa.Table, side: Side) -> dict[str, bytes]:
        """The artefact of the file. Raises ConfigError if the file is not what its name says."""
        path = Path(self.content_of(self.file))
        try:
            if path.suffix == ".tiktoken":
                return artefact(self._of_tiktoken(path), {"from": "tiktoken"})
            if path.suffix == ".model":
                files, facts = sentencepiece_files(path)
                return {**files, **artefact(files["tokenizer.json"], facts)}
            return self._json_artefact(path.read_bytes())
        except ValueError as error:
            raise ConfigError(f"{side.step}: {self.file}: {error}.") from error

    def _json_artefact(self, content: bytes) -> dict[str, bytes]:
        """Raises ValueError."""
        try:
            return artefact(content, {})
        except Exception as error:  # `tokenizers` raises bare Exception for any bad file
            raise ValueError(f"no tokenizer.json of the tokenizers library: {error}") from error

    def _of_tiktoken(self, path: Path) -> bytes:
        """Raises ValueError."""
        import tiktoken

        numbers = read_numbers(path.read_bytes())
        pattern = PATTERNS.get(self.pattern, self.pattern)
        made = tokenizer_json(numbers, pattern, self.special_tokens)
        names: dict[str, Any] = {"mergeable_ranks": numbers, "special_tokens": self.special_tokens}
        encoding = tiktoken.Encoding(path.stem, pat_str=pattern, **names)
        texts = hostile_corpus(sorted(self.special_tokens))
        # A name is a key of the vocabulary as tokens are, which are written in other characters.
        tokens = [*numbers, *(plain_bytes(name) for name in self.special_tokens)]
        compare_with_tiktoken(made, [*texts, *texts_of(tokens)], encoding)
        return made
