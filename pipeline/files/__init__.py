"""Bytes: any storage through one door, tables that are the same every time, parts of files."""
