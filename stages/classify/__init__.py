"""Classifiers of quality, toxicity and the like: trained from documents, or taken by path."""
