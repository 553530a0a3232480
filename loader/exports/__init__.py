"""Exports of a dataset to the formats of other loaders, and the proof that each is whole."""
