"""Peak memory of a worker does not grow with its input: ten times the input, the same peak.

The bounds (batch, run, bucket) are made small in the child, so that a few megabytes of input reach
them already and anything that is held whole stands out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT

from benchmarks.memory import write_input

CHILD = """
import json, sys
import pipeline.execution.exchange, pipeline.execution.schedule
import pipeline.files.tables, stages.documents
from pipeline.planning.config import load_config
from pipeline.planning.plan import make_plan
from pipeline.execution.runner import Options, run

for module in (pipeline.files.tables, stages.documents):
    module.MAX_BATCH_ROWS, module.MAX_BATCH_BYTES = 512, 2 << 20
pipeline.execution.exchange.RUN_BYTES = 2 << 20
pipeline.execution.schedule.BUCKET_BYTES = 1 << 20
result = run(make_plan(load_config(sys.argv[1])), Options())
status = open("/proc/self/status").read()  # getrusage counts the parent's from before exec
peak = int(status.partition("VmHWM:")[2].split()[0])
rows = {row.step: [row.documents_in, row.kept] for row in result.funnel.rows}
print(json.dumps({"peak_mb": peak >> 10, "rows": rows}))
"""

CONFIG = """\
seed: 1
workdir: {folder}/work
steps:
  - read_jsonl: {{paths: ["{folder}/in/*.jsonl"], id: id, url: url}}
  - gopher_quality: {{}}
  - exact_dedup: {{}}
  - minhash_dedup: {{}}
  - write_documents: {{}}
  - mix: {{validation_permille: 5}}
  - train_tokenizer: {{vocab_size: 600, sample_bytes: 200_000}}
  - tokenize: {{}}
  - write_shards: {{tokens_per_shard: 100_000}}
"""

DOCUMENTS = 4_000
"""About 4 MB."""


@dataclass(frozen=True)
class Peak:
    peak_mb: int
    rows: dict[str, list[int]]


def peak(folder: Path, documents: int, files: int) -> Peak:
    write_input(folder / "in", documents, files)
    config = folder / "memory.yaml"
    config.write_text(CONFIG.format(folder=folder))
    words = [sys.executable, "-c", CHILD, str(config)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return Peak(**json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_ten_times_the_input_in_one_file_or_in_ten_needs_no_more_memory(tmp_path: Path) -> None:
    base = peak(tmp_path / "base", DOCUMENTS, 1)
    one = peak(tmp_path / "one", 10 * DOCUMENTS, 1)
    ten = peak(tmp_path / "ten", 10 * DOCUMENTS, 10)
    print(base, one, ten)
    assert one.rows["exact_dedup"][0] == 10 * base.rows["exact_dedup"][0] == 10 * DOCUMENTS
    assert one.rows == ten.rows
    assert one.rows["minhash_dedup"][1] < one.rows["exact_dedup"][1] < 10 * DOCUMENTS
    assert one.peak_mb < 1.2 * base.peak_mb
    assert ten.peak_mb < 1.2 * base.peak_mb
