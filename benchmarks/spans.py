"""Span, line and paragraph dedup: MB/s of a core, text to kept documents, on real pages.

Texts are those of Debian's documentation packages (`benchmarks.bulk`), 60,000 by default. Each step
runs in one process (workers 0); a run that reads and writes the same texts without the step is
taken off. The pages repeat the frame and whole passages of one another, in 30 languages and two
releases: much is removed, and what is removed costs more than what stays.
"""

from __future__ import annotations

import pyarrow.parquet as pq

from benchmarks import dedup
from benchmarks.bulk import bulk_texts, packages_of, spread
from benchmarks.report import Options, Report, input_json, our_versions
from benchmarks.text_steps import run_sides, step_json, step_side
from benchmarks.turns import say

DOCUMENTS = 60_000
STEPS = ("line_dedup", "span_dedup", "paragraph_dedup")


def run(options: Options) -> Report:
    path = bulk_texts()
    rows = pq.read_table(path).slice(0, options.pages or DOCUMENTS)
    web, empty = spread(rows, "dedup", dedup.FILES), dedup.start_up_input()
    say(f"{web.documents:,} texts, {web.bytes / 1e6:.1f} MB")
    sides = {name: step_side(name, f"{name}: {{}}") for name in STEPS}
    without = step_side("without", "")
    run_sides({"without": without, **sides}, web, empty, 1 if options.quick else options.turns)
    steps = {
        name: step_json(side, without, web, {"workers": 0, name: "{}"})
        for name, side in sides.items()
    }
    return Report(
        "spans",
        input_json(web, files=dedup.FILES, source="texts of Debian's documentation packages",
                   packages=packages_of(path)),
        {**steps["span_dedup"], "steps": steps},
        {},
        {},
        {},
        our_versions(),
    )  # fmt: skip
