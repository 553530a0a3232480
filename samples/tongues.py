"""Sentences in languages other than English: `TONGUES`, language code -> `Tongue`.

Each grammar is small on purpose: every subject is a plural and every verb phrase agrees with it,
so that any subject goes with any verb phrase and the page still reads as its language.
"""

from samples.tongue import Tongue
from samples.tongues_east import EAST
from samples.tongues_south import SOUTH
from samples.tongues_west import WEST

TONGUES: dict[str, Tongue] = {tongue.code: tongue for tongue in (*WEST, *SOUTH, *EAST)}

__all__ = ["TONGUES", "Tongue"]
