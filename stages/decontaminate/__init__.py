"""Decontamination: examples of benchmarks are found in documents, and told of in two reports."""
