"""Measurements against other tools and against our own engine's floor. DESIGN section 10."""
