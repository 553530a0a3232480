"""One side of MinHash signatures: every text, in this process alone.

    python sign_texts.py ENGINE FOLDER OUT

FOLDER holds Parquet files with a column `text`. Engines: `ours` (`minhash_dedup`'s signatures),
`datatrove` (`MinhashDedupSignature`: its shingles, its signature; spaCy's words), and
`datatrove_our_words`. OUT becomes a folder with `about.json`: CPU seconds of the calls alone,
texts, bytes, signatures made. Files, their sorting and the engine around it are on neither side.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 8192


def ours(column: Any) -> tuple[float, int]:
    from pipeline.schema import DOC_ID
    from pipeline.stage import Side, TextBatch
    from stages.dedup.minhash import MinhashDedup

    stage, side = MinhashDedup(), Side("minhash", 1)

    def batch(texts: Any) -> Any:
        count = len(texts)
        ids = pa.array([n.to_bytes(16, "big") for n in range(count)], DOC_ID)
        nodes = [ids, pa.repeat("file", count), pa.array(range(count), pa.int64())]
        names = ["doc_id", "file", "offset", "text"]
        return TextBatch(pa.table([*nodes, texts], names=names))

    for call in stage.warm_up():
        call()
    batches = [batch(column.slice(at, ROWS)) for at in range(0, len(column), ROWS)]
    begun = time.process_time()
    made = sum(stage.signatures(one, side).num_rows for one in batches)
    return time.process_time() - begun, made


def datatrove(column: Any, our_words: bool, out: Path) -> tuple[float, int]:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    step = MinhashDedupSignature(str(out / "sigs"), MinhashConfig())
    if our_words:
        sys.path.insert(0, str(Path(__file__).parent))
        from datatrove_pipeline import OurWords

        step.word_tokenizer.word_tokenize = OurWords()
    texts = column.to_pylist()
    step.get_signature(step.get_shingles("one text to load what is loaded once"))
    made = 0
    begun = time.process_time()
    for text in texts:
        shingles = step.get_shingles(text)
        if shingles.size != 0:
            step.get_signature(shingles)
            made += 1
    return time.process_time() - begun, made


def main(engine: str, folder: Path, out: Path) -> None:
    out.mkdir(parents=True)
    tables = [pq.read_table(path, columns=["text"]) for path in sorted(folder.glob("*.parquet"))]
    column = pa.concat_tables(tables)["text"].cast(pa.large_string()).combine_chunks()
    size = sum(map(len, (text.encode() for text in column.to_pylist())))
    if engine == "ours":
        seconds, made = ours(column)
    else:
        seconds, made = datatrove(column, engine == "datatrove_our_words", out)
    about = {"seconds": seconds, "signatures": made, "texts": len(column), "bytes": size}
    (out / "about.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
