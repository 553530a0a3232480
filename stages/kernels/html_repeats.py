"""Kept blocks that say again what kept blocks under another parent have said already.

Pages hold their article twice: once for readers and once for printing, folded away, or as one long
block beside its paragraphs. Equal blocks are told by their hash (`html_select`); here a block is
told that is made of others, by the hashes of its windows of `WINDOW` bytes without white space, of
which every `EVERY`th stands for all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import html_text as h
from stages.kernels.jit import jit_bare

WINDOW = 24
"""Bytes: four words of English, eight Han characters. What the judge of the gold pages compares
are four words."""
EVERY = 8
LEAST_SAMPLES = 50
"""Some 400 bytes. Shorter blocks are repeated for other reasons: quotes in forums, descriptions of
parameters, verses (docs/notes/extraction-trials.md)."""
SHARE = 0.9
"""Of a block's samples; those over the ends of the blocks that it is made of are new."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_LAST = np.uint64(pow(0x9E3779B97F4A7C15, WINDOW, 1 << 64))
"""What the byte that leaves the window has been multiplied with."""
_BLANK = np.uint8(32)


@jit_bare
def drop_retold(
    text: Any, nodes: Any, blocks: Any, kept: Any, keys: Any, owners: Any, found: Any
) -> Any:
    """Clear `kept` of blocks of which `SHARE` was kept before under other parents.

    keys: zeros, 2^n slots; when half of them are taken no more are. owners: as many. found: room
    for the samples of a block, of which more are left out.
    """
    mask = np.int64(len(keys) - 1)
    free = np.int64(len(keys) // 2)
    for b in range(len(kept)):
        if not kept[b]:
            continue
        num = _samples(text, blocks[b, h.START], blocks[b, h.END], found)
        parent = nodes[blocks[b, h.NODE], h.PARENT]
        seen = np.int64(0)
        for k in range(num):
            at = np.int64(found[k] >> np.uint64(16)) & mask
            while keys[at] != 0 and keys[at] != found[k]:
                at = (at + 1) & mask
            if keys[at] == 0:
                if free > 0:
                    keys[at], owners[at] = found[k], parent
                    free -= 1
            elif owners[at] != parent:
                seen += 1
        if num >= LEAST_SAMPLES and seen >= SHARE * num:
            kept[b] = False


@jit_bare
def _samples(text: Any, start: Any, end: Any, found: Any) -> Any:
    """Hashes of every `EVERY`th window, chosen by the hash itself; never 0."""
    num, length, tail = np.int64(0), np.int64(0), start
    rolling = np.uint64(0)
    for at in range(start, end):
        byte = text[at]
        if byte <= _BLANK:
            continue
        rolling = rolling * _FACTOR + np.uint64(byte) + np.uint64(1)
        length += 1
        if length > WINDOW:
            while text[tail] <= _BLANK:
                tail += 1
            rolling -= _LAST * (np.uint64(text[tail]) + np.uint64(1))
            tail += 1
        if length >= WINDOW:
            mixed = rolling ^ (rolling >> np.uint64(29))
            mixed *= np.uint64(0xBF58476D1CE4E5B9)
            mixed ^= mixed >> np.uint64(32)
            if mixed & np.uint64(EVERY - 1) == 0 and mixed != 0 and num < len(found):
                found[num] = mixed
                num += 1
    return num
