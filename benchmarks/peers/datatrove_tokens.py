"""datatrove's side of `tokens`: Parquet to shuffled token files; under its own interpreter.

    python datatrove_tokens.py INPUT OUT TOKENIZER.JSON

As many tasks as files, one after the other in this process; documents are shuffled in each file and
an end-of-document id follows each.
"""

import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.tokens import DocumentTokenizer


def main(source: str, out: Path, tokenizer: str) -> None:
    steps = [
        ParquetReader(source, glob_pattern="*.parquet"),
        DocumentTokenizer(
            str(out / "tokens"),
            tokenizer,
            local_working_dir=str(out / "scratch"),
            eos_token="<|endoftext|>",
            seed=1,
        ),
    ]
    files = len(list(Path(source).glob("*.parquet")))
    LocalPipelineExecutor(steps, tasks=files, workers=1, logging_dir=str(out / "logs")).run()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
