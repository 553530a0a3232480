"""Personal data in texts: found by type, counted, masked.

`stages.kernels.pii_candidates` finds places in one pass over the bytes; `checks`, `phones` and
`secrets` decide which are what they look like; `spans` joins them; `stage` is the step.
"""

from stages.pii.stage import Pii

__all__ = ["Pii"]
