"""Benchmarks of the loader that need a GPU: `python -m benchmarks.device`."""
