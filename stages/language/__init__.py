"""Which language a document is in: `Language`."""

from stages.language.backends import cld2_codes
from stages.language.stage import Language

__all__ = ["Language", "cld2_codes"]
