"""datatrove's side of `dedup`: its four MinHash stages over Parquet; under its own interpreter.

    python datatrove_minhash.py INPUT OUT '{"files": 8, "workers": 2, "words": "spacy"}'

14 x 8 over 5-grams, as many partitions as files, two at a time; Parquet in and out. With
`"words": "ours"` its words are Tokenmill's in place of spaCy's tokens.
"""

import json
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import minhash
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove_pipeline import OurWords


def main(source: str, out: Path, settings: dict) -> None:
    files, workers = settings["files"], settings["workers"]
    layout = minhash.MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)

    def run(name: str, partitions: int, steps: list) -> None:
        LocalPipelineExecutor(
            steps, tasks=partitions, workers=workers, logging_dir=str(out / "logs" / name)
        ).run()

    def texts() -> ParquetReader:
        return ParquetReader(source, glob_pattern="*.parquet")

    signatures = minhash.MinhashDedupSignature(str(out / "sigs"), layout)
    if settings.get("words") == "ours":
        signatures.word_tokenizer.word_tokenize = OurWords()
    run("signatures", files, [texts(), signatures])
    buckets = minhash.MinhashDedupBuckets(str(out / "sigs"), str(out / "dups"), config=layout)
    run("buckets", layout.num_buckets, [buckets])
    clusters = minhash.MinhashDedupCluster(str(out / "dups"), str(out / "remove"), config=layout)
    run("clusters", 1, [clusters])
    kept = [
        texts(),
        minhash.MinhashDedupFilter(str(out / "remove")),
        ParquetWriter(str(out / "documents")),
    ]
    run("filter", files, kept)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
