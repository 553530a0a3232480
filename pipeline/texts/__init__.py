"""Texts for what learns from them or is checked on them."""
