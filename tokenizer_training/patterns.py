"""The published expressions, by the names that `train_tokenizer` knows; see `expressions`."""

from stages.kernels.expressions import (
    DIGITS,
    NAMES,
    PATTERNS,
    WHITESPACE,
    cut,
    regular_expression,
)

__all__ = ["DIGITS", "NAMES", "PATTERNS", "WHITESPACE", "cut", "regular_expression"]
