"""One tokenizer's encoder: the first library that gives the ids of `tokenizers`, and stays checked.

Before use, once a machine and tokenizer (seconds of CPU; `stages/encoders/verdicts.py` keeps that
it passed), each library is compared with `tokenizers` on a fixed corpus: `hostile_corpus`, with a
vocabulary that shows every wrong cut (`Source.probe`), and the tokenizer's own vocabulary; of our
kernel the class of every code point too. Equal inputs give equal verdicts, so all workers with
equal packages choose alike. Then it is compared on the first documents that this process gets,
which differ from worker to worker: a library may be refused in one worker alone. Either way it is
refused with a warning and the next is tried, and whatever
ids leave an encoder are meant to be those of `tokenizers`: which library made them shows in no
output byte. It shows in the run record (documents by library), so that no mix is silent.

While documents are encoded, those that the stage draws are compared again; a difference there is
an IntegrityError, because documents of the same kind may have gone by unseen.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError, IntegrityError
from pipeline.texts.hostile import hostile_corpus, hostile_strings, special_texts
from stages.encoders import verdicts
from stages.encoders.backends import BACKENDS, Backend, Kernel, Tokenizers, is_panic, reference_of
from stages.encoders.pieces import cuts_are_harmless, pieces
from stages.encoders.source import Ids, Lengths, Source, Unsuitable, byte_alphabet

AUTO = "auto"
LIBRARIES = "libraries"
"""`auto` without our kernel, which a machine compiles for 13 s of CPU time before its first use."""
CALL_BYTES = 1_000_000
"""Bytes encoded in one call: the objects of `tokenizers` take about 100 bytes a token. A longer
document goes in pieces of about that."""
SAMPLE_BYTES = 200_000
"""So much of the first batch is compared: 0.15 CPU seconds of `tokenizers`."""
VOCABULARY_BYTES = 400_000
OWN_STRINGS = 500
SHOWN_CHARS = 60

_log = logging.getLogger(__name__)


class Encoder:
    """Encodes columns of texts. `backend` is a library's name, `auto` or `libraries`."""

    def __init__(self, source: Source, backend: str = AUTO) -> None:
        self.source = source
        self.reference = reference_of(source)
        self.refused: dict[str, str] = {}
        """Library -> why it is not used."""
        self._asked = backend
        left_out = {Kernel.name} if backend == LIBRARIES else set()
        every = [name for name in BACKENDS if name not in left_out]
        self._left = every if backend in (AUTO, LIBRARIES) else [backend]
        if source.model is not None:
            self._left = [Tokenizers.name]  # the reference, which is sentencepiece
        self._sampled = False
        self.backend = self._next()

    # --- choice ------------------------------------------------------------------------------

    def _next(self) -> Backend:
        """The first of the libraries left that is there and right. Raises ConfigError."""
        while self._left:
            name = self._left.pop(0)
            if name == Tokenizers.name:
                return self.reference
            try:
                found = BACKENDS[name](self.source)
            except (ImportError, Unsuitable) as error:
                self._refuse(name, f"not usable: {error}", logging.INFO)
                continue
            wrong = self._wrong(name, found)
            if wrong is None:
                return found
            self._refuse(name, f"{found.label} gives other ids than {self.reference.label} {wrong}")
        raise ConfigError(
            f"tokenize: backend '{self._asked}' cannot be used: {self.refused[self._asked]}. "
            f"Set `tokenize: {{backend: auto}}`, or install the package."
        )

    def _refuse(self, name: str, why: str, level: int = logging.WARNING) -> None:
        self.refused[name] = why
        _log.log(level, "tokenize: %s. The next library is tried.", why)

    def _wrong(self, name: str, backend: Backend) -> str | None:
        """Where the library errs on the fixed texts first, or None."""
        known = verdicts.facts(
            type(backend), name, self.source.text, [texts for _, texts in self._texts]
        )
        if verdicts.is_known(known):
            return None
        wrong = backend.wrong()
        for (source, texts), wanted in zip(self._texts, self._wanted, strict=True):
            if wrong is not None:
                return wrong
            here = backend if source is self.source else BACKENDS[name](source)
            wrong = self._difference(here, texts, wanted)
        if wrong is None:
            verdicts.keep(known)
        return wrong

    @cached_property
    def _corpus(self) -> list[str]:
        return hostile_corpus(sorted(self.source.special))

    @cached_property
    def _texts(self) -> list[tuple[Source, list[str]]]:
        """(tokenizer, texts): the cuts on the whole corpus, then the vocabulary."""
        special, corpus = sorted(self.source.special), self._corpus
        probe = self.source.probe(corpus)
        own = [*special_texts(special), *hostile_strings(OWN_STRINGS, special)] if probe else corpus
        checks = [(self.source, [*own, *vocabulary(self.source)])]
        return checks if probe is None else [(probe, corpus), *checks]

    @cached_property
    def _wanted(self) -> list[tuple[Ids, Lengths]]:
        """The right ids of `_texts`."""
        found = []
        for source, texts in self._texts:
            here = self.reference if source is self.source else Tokenizers(source)
            found.append(here.encode(texts))
        return found

    def _difference(
        self, backend: Backend, texts: Sequence[str], wanted: tuple[Ids, Lengths]
    ) -> str | None:
        """Where the library's ids differ first, or None."""
        try:
            ids, lengths = backend.encode(texts)
        except BaseException as error:
            if not is_panic(error):
                raise
            return f"on the check's texts: it fails with {error}"
        if np.array_equal(lengths, wanted[1]) and np.array_equal(ids, wanted[0]):
            return None
        for text, got, expected in zip(texts, _split(ids, lengths), _split(*wanted), strict=True):
            if not np.array_equal(got, expected):
                return f"for {_around(text, got, expected)}"
        raise AssertionError("ids differ as a whole, but in no text")

    def check_sample(self, column: pa.Array) -> None:
        """Compare on the first documents that come; the next library is taken until all agree."""
        if self._sampled:
            return
        self._sampled = True
        texts = _sample(column)
        wanted = None if self.backend is self.reference else self.reference.encode(texts)
        while self.backend is not self.reference and wanted is not None:
            wrong = self._difference(self.backend, texts, wanted)
            if wrong is None:
                return
            label = self.backend.label
            self._refuse(
                self.backend.name, f"{label} gives other ids than {self.reference.label} {wrong}"
            )
            self.backend = self._next()

    @property
    def warnings(self) -> dict[str, str]:
        """For the run record: libraries that gave other ids, and where."""
        return {f"warning.{name}": why for name, why in self.refused.items() if "other ids" in why}

    # --- encoding ----------------------------------------------------------------------------

    def encode(
        self, column: pa.Array, end: int, checked: Collection[int] = ()
    ) -> tuple[Ids, Lengths]:
        """Ids of all texts in a row, each text followed by `end`, and the number of ids of each.

        `checked` rows are compared with `tokenizers` in their first CALL_BYTES. Besides its input
        it takes 4 bytes an id and one piece: a document of n bytes about 1.2 n for common text, at
        most 4 n, where it has a harmless cut in every CALL_BYTES. Raises IntegrityError.
        """
        column = column.cast(pa.large_string())
        if column.null_count:  # filling copies all texts
            column = pc.fill_null(column, "")
        self.check_sample(column)
        if isinstance(self.backend, Kernel):
            return self._whole(self.backend, column, end, checked)
        sizes = pc.binary_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
        lengths = np.empty(len(column), np.int64)
        ids = _Growing(int(sizes.sum()) + len(column))
        for start, stop in _calls(sizes):
            long = stop - start == 1 and sizes[start] > CALL_BYTES
            if long and self._cuts:
                lengths[start] = self._long(column, start, ids, start in checked) + 1
                ids.append(np.array([end], np.uint32))
                continue
            texts = column.slice(start, stop - start).to_pylist()
            found, counts = self._call(texts)
            lengths[start:stop] = counts + 1
            for row, part in enumerate(_split(found, counts), start):
                if row in checked:
                    self._check(texts[row - start], part, row)
                ids.append(part, end)
        return ids.values(), lengths

    def _whole(
        self, backend: Kernel, column: pa.Array, end: int, checked: Collection[int]
    ) -> tuple[Ids, Lengths]:
        """All texts in one call; a checked one is compared as far as `encode` says."""
        ids, lengths = backend.encode_column(column, end)
        ends = np.cumsum(lengths)
        for row in sorted(checked):
            text, part = column[row].as_py(), ids[ends[row] - lengths[row] : ends[row] - 1]
            if len(text) > CALL_BYTES and self._cuts:
                data = text.encode()
                first, stop = next(pieces(data, CALL_BYTES))
                text = data[first:stop].decode()
                if stop < len(data):
                    part = part[: len(self.reference.encode([text])[0])]
            self._check(text, part, row)
        return ids, lengths

    @cached_property
    def _cuts(self) -> bool:
        reference = self.reference
        return isinstance(reference, Tokenizers) and cuts_are_harmless(
            self.source, reference.tokenizer, self._corpus[::6]
        )

    def _long(self, column: pa.Array, row: int, ids: _Growing, checked: bool) -> int:
        """Append the ids of one long text, piece by piece; their number."""
        _, offsets, data = column.buffers()
        at = column.offset + row
        first, last = np.frombuffer(offsets, np.int64)[at : at + 2]
        view, total = memoryview(data)[first:last], 0
        for number, (start, stop) in enumerate(pieces(view, CALL_BYTES)):
            text = str(view[start:stop], "utf-8")
            found, _ = self._call([text])
            if checked and number == 0:
                self._check(text, found, row)
            ids.append(found)
            total += len(found)
        return total

    def _call(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        try:
            return self.backend.encode(texts)
        except BaseException as error:
            if not is_panic(error):
                raise
            raise RuntimeError(f"{self.backend.label} failed: {error}") from error

    def _check(self, text: str, got: Ids, row: int) -> None:
        if self.backend is self.reference:
            return
        expected, _ = self.reference.encode([text])
        if not np.array_equal(got, expected):
            raise Mismatch(row, self.backend.label, _around(text, got, expected))


class Mismatch(Exception):
    """A document's ids are not those of `tokenizers`."""

    def __init__(self, row: int, label: str, where: str) -> None:
        super().__init__(f"{label} gives other ids than tokenizers for {where}")
        self.row = row
        self.label = label

    def error(self, step: str, doc_id: bytes) -> IntegrityError:
        """The error for people: which document, and what to do."""
        return IntegrityError(
            f"step '{step}', doc_id {doc_id.hex()}: {self}. Set `{step}: {{backend: tokenizers}}`. "
            f"Partitions done so far may hold such ids unseen: delete the workdir's "
            f"`steps/{step}-*`, run `python -m pipeline verify WORKDIR --repair`, then run again."
        )


class _Growing:
    """Ids appended to one buffer. Memory that was never written to is never taken."""

    def __init__(self, room: int) -> None:
        self._values = np.empty(room, np.uint32)
        self._used = 0

    def append(self, ids: Ids, end: int | None = None) -> None:
        used = self._used + len(ids) + (end is not None)
        if used > len(self._values):  # a normaliser may make more ids than bytes
            larger = np.empty(2 * used, np.uint32)
            larger[: self._used] = self._values[: self._used]
            self._values = larger
        self._values[self._used : self._used + len(ids)] = ids
        if end is not None:
            self._values[used - 1] = end
        self._used = used

    def values(self) -> Ids:
        return self._values[: self._used]


def vocabulary(source: Source) -> list[str]:
    """Every token that is a text of its own, 16 lines a text; of a large vocabulary one in k."""
    alphabet, vocab = byte_alphabet(), source.raw["model"].get("vocab") or ()
    names = list(vocab) if isinstance(vocab, dict) else [piece for piece, _ in vocab]
    step = 1 + sum(map(len, names)) // VOCABULARY_BYTES
    texts = []
    for name in names[::step]:
        try:
            texts.append(bytes(alphabet[c] for c in name).decode())
        except KeyError:  # no byte-level token
            texts.append(name.replace("\u2581", " "))
        except UnicodeDecodeError:  # part of a character
            continue
    return ["\n".join(texts[at : at + 16]) for at in range(0, len(texts), 16)]


def _sample(column: pa.Array) -> list[str]:
    """The first documents, up to SAMPLE_BYTES in all, the last one cut."""
    texts, left = [], SAMPLE_BYTES
    for value in column:
        text = value.as_py()[:left]
        texts.append(text)
        left -= len(text.encode())
        if left <= 0:
            break
    return texts


def _calls(sizes: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of whole texts of at most CALL_BYTES, or one longer text."""
    start = total = 0
    for at, size in enumerate(sizes.tolist()):
        if at > start and total + size > CALL_BYTES:
            yield start, at
            start, total = at, 0
        total += size
    if start < len(sizes):
        yield start, len(sizes)


def _split(ids: Ids, lengths: Lengths) -> Iterator[Ids]:
    ends = np.cumsum(lengths).tolist()
    for start, stop in zip([0, *ends], ends, strict=False):
        yield ids[start:stop]


def _around(text: str, got: Ids, expected: Ids) -> str:
    """The text, shortened, and the first ids that differ."""
    common = min(len(got), len(expected))
    at = int(np.argmin(np.append(got[:common] == expected[:common], False)))
    shown = text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."
    return (
        f"{shown!a}: at token {at} got {got[at : at + 4].tolist()}, "
        f"expected {expected[at : at + 4].tolist()}"
    )
