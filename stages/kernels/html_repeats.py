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
from stages.kernels.jit import jit_bare, leaf

WINDOW = 24
"""Bytes: four words of English, eight Han characters. What the judge of the gold pages compares
are four words."""
EVERY = 8
LEAST_SAMPLES = 50
"""Some 400 bytes. Shorter blocks are repeated for other reasons: quotes in forums, descriptions of
parameters, verses (docs/notes/extraction-trials.md)."""
SHARE = 0.9
"""Of a block's samples; those over the ends of the blocks that it is made of are new."""
CHUNK = 512
"""Windows that are hashed before their samples are looked up."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_LAST = np.uint64(pow(0x9E3779B97F4A7C15, WINDOW, 1 << 64))
"""What the byte that leaves the window has been multiplied with."""
_BLANK = np.uint8(32)
_NONE, _ONE, _MASK = np.uint64(0), np.uint64(1), np.uint64(EVERY - 1)


@jit_bare
def drop_retold(
    text: Any, nodes: Any, blocks: Any, kept: Any, keys: Any, owners: Any, packed: Any, samples: Any
) -> Any:
    """Clear `kept` of blocks of which `SHARE` was kept before under other parents.

    Room: `keys`, 2^n slots; when half of them are taken no more are. `owners`: as many. `packed`:
    the bytes of the longest kept block. `samples`: `CHUNK`.
    """
    last, before, several = np.int64(-1), np.int64(-2), False
    for b in range(len(kept)):
        if kept[b]:
            parent = np.int64(nodes[blocks[b, h.NODE], h.PARENT])
            several |= before != -2 and parent != before
            before = parent
            if blocks[b, h.END] - blocks[b, h.START] >= WINDOW + LEAST_SAMPLES - 1:
                last = np.int64(b)
    if not several:
        return  # all has one parent
    keys[:] = 0
    free = np.int64(len(keys) // 2)
    for b in range(last + 1):  # what is behind the last block that may be dropped drops none
        if not kept[b]:
            continue
        parent = np.int64(nodes[blocks[b, h.NODE], h.PARENT])
        size = _pack(text, np.int64(blocks[b, h.START]), np.int64(blocks[b, h.END]), packed)
        num, seen = np.int64(0), np.int64(0)
        rolling = _NONE
        for k in range(min(size, WINDOW - 1)):
            rolling = rolling * _FACTOR + np.uint64(packed[k]) + _ONE
        first = np.int64(WINDOW - 1)
        while first < size:
            until = first + CHUNK if first + CHUNK < size else size
            rolling, count = _sample(packed, first, until, rolling, samples)
            num += count
            free, told = _look_up(samples, count, parent, keys, owners, free)
            seen += told
            first = until
        if num >= LEAST_SAMPLES and seen >= SHARE * num:
            kept[b] = False


@leaf
def _pack(text: Any, start: Any, end: Any, packed: Any) -> Any:
    """Copy a block without its white space; how many bytes that is. Without branches: ends of words
    come when they like."""
    size = _NONE
    for at in range(np.uint64(start), np.uint64(end)):
        byte = text[at]
        packed[size] = byte
        size += np.uint64(byte > _BLANK)
    return np.int64(size)


@leaf
def _sample(packed: Any, first: Any, until: Any, rolling: Any, samples: Any) -> Any:
    """The hash of the window that ends before `until`, and how many samples end from `first` on:
    every `EVERY`th hash, chosen by itself; never 0. `rolling`: that of the window before."""
    count = _NONE
    for at in range(np.uint64(first), np.uint64(until)):
        gone = _NONE
        if at >= WINDOW:
            gone = _LAST * (np.uint64(packed[at - np.uint64(WINDOW)]) + _ONE)
        rolling = rolling * _FACTOR + (np.uint64(packed[at]) + _ONE - gone)
        mixed = rolling ^ (rolling >> np.uint64(29))
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(32)
        samples[count] = mixed
        count += np.uint64((mixed & _MASK == _NONE) & (mixed != _NONE))
    return rolling, np.int64(count)


@leaf
def _look_up(samples: Any, count: Any, parent: Any, keys: Any, owners: Any, free: Any) -> Any:
    """(free slots left, samples that are known of another parent); new ones get this parent."""
    mask, told = np.int64(len(keys) - 1), np.int64(0)
    for k in range(count):
        at = np.int64(samples[k] >> np.uint64(16)) & mask
        while keys[at] != _NONE and keys[at] != samples[k]:
            at = (at + 1) & mask
        if keys[at] != _NONE:
            told += owners[at] != parent
        elif free > 0:
            keys[at], owners[at] = samples[k], parent
            free -= 1
    return free, told
