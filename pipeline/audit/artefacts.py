"""Tables that an artefact brings along: its JSON Lines files, such as a classifier's hold-out."""

from __future__ import annotations

import posixpath

from pipeline.audit.lookup import Run
from pipeline.planning.nodes import MergeNode

_SUFFIX = ".jsonl"


def artefact_tables(run: Run, step_id: str) -> dict[str, str]:
    """Name -> path of each JSON Lines file of a step's artefact; `inspect` shows `step.name`."""
    found: dict[str, str] = {}
    for name, node in run.nodes.items():
        if isinstance(node, MergeNode) and node.step.id == step_id and node.phase.schema is None:
            paths = [ref.path for _, data in run.datasets(name, "artefact") for ref in data.files]
            for path in paths:
                if path.endswith(_SUFFIX):
                    found[posixpath.basename(path).removesuffix(_SUFFIX)] = path
    return found
