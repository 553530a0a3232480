"""`erase`: pages out of a finished run, and the proof that they are gone (DESIGN section 7)."""
