"""datatrove's side of `end_to_end`; runs under the peer's own interpreter.

    python datatrove_pipeline.py INPUT OUT '{"files": 8, "workers": 2, "extract": {...}}'

Trafilatura, Gopher repetition, Gopher quality, C4 without the end mark rule, FineWeb, MinHash
14 x 8 over 5-grams in its four stages, Parquet between and at the end (cheaper than its usual
gzipped JSON lines). As many partitions as files; two at a time. With `"words": "ours"` its words
are Tokenmill's (DESIGN section 4) in place of spaCy's tokens; sentences stay spaCy's.
"""

import json
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import minhash
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers import ParquetReader, WarcReader
from datatrove.pipeline.writers import ParquetWriter


class OurWords:
    """Runs of non-space characters; one character a word in scripts without spaces."""

    SCRIPTS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"

    def __init__(self) -> None:
        import regex

        self.find = regex.compile(rf"[{self.SCRIPTS}]|[^\s{self.SCRIPTS}]+").findall

    def __call__(self, text: str) -> list[str]:
        return self.find(text)


def use_our_words(data, rank, world_size):
    """A step that changes nothing but the words of the process that it runs in."""
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    load_word_tokenizer("eng").word_tokenize = OurWords()
    yield from data


def main(source: str, out: Path, settings: dict) -> None:
    files, workers = settings["files"], settings["workers"]
    layout = minhash.MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)

    def run(name: str, partitions: int, steps: list) -> None:
        LocalPipelineExecutor(
            steps, tasks=partitions, workers=workers, logging_dir=str(out / "logs" / name)
        ).run()

    clean = [
        WarcReader(source, glob_pattern="*.warc.gz"),
        Trafilatura(timeout=60, **settings["extract"]),
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
        ParquetWriter(str(out / "clean")),
    ]
    signatures = minhash.MinhashDedupSignature(str(out / "sigs"), layout)
    if settings.get("words") == "ours":
        clean.insert(2, use_our_words)
        signatures.word_tokenizer.word_tokenize = OurWords()
    run("clean", files, clean)
    cleaned = ParquetReader(str(out / "clean"), glob_pattern="*.parquet")
    run("signatures", files, [cleaned, signatures])
    buckets = minhash.MinhashDedupBuckets(str(out / "sigs"), str(out / "dups"), config=layout)
    run("buckets", layout.num_buckets, [buckets])
    clusters = minhash.MinhashDedupCluster(str(out / "dups"), str(out / "remove"), config=layout)
    run("clusters", 1, [clusters])
    last = [
        ParquetReader(str(out / "clean"), glob_pattern="*.parquet"),
        minhash.MinhashDedupFilter(str(out / "remove")),
        ParquetWriter(str(out / "documents")),
    ]
    run("filter", files, last)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
