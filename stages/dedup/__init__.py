"""Duplicates: whole documents, nearly equal ones, lines and spans; of one run and of others."""
