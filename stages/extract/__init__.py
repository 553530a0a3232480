"""Main text of web pages: one stage, several engines. See `stage` for the knobs."""

from stages.extract.stage import Extract

__all__ = ["Extract"]
