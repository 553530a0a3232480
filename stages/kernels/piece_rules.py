"""Which regular expression cuts text into pieces: for those who do not load the kernels yet."""

from __future__ import annotations

from typing import NamedTuple

GPT2, LLAMA3, O200K, GPT4 = range(4)


class Cut(NamedTuple):
    """Which expression cuts, and with which options."""

    pattern: int
    """GPT2, LLAMA3, O200K or GPT4."""
    digits: int
    """The longest run of numbers that is a piece. With GPT-2's 0: any length, a blank before it."""
    single_blanks: bool
    """White space that no other alternative takes is cut into single characters."""
