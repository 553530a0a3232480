"""Bounds and stop words by language, for filters that are told the language of each document."""
