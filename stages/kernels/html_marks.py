"""Blocks under elements whose names say what they are: readers' comments."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_text import NODE, PARENT, TOKENS_FROM, TOKENS_TO
from stages.kernels.jit import jit


@jit
def under_names(nodes: Any, blocks: Any, tokens: Any, names: Any) -> Any:
    """For each block whether an element above it has a token of `names`, which is sorted."""
    marked = np.zeros(len(nodes), dtype=np.bool_)
    for n in range(1, len(nodes)):
        if marked[nodes[n, PARENT]]:
            marked[n] = True
            continue
        for k in range(nodes[n, TOKENS_FROM], nodes[n, TOKENS_TO]):
            at = np.searchsorted(names, tokens[k])
            if at < len(names) and names[at] == tokens[k]:
                marked[n] = True
                break
    found = np.zeros(len(blocks), dtype=np.bool_)
    for b in range(len(blocks)):
        found[b] = marked[blocks[b, NODE]]
    return found
