"""A polite crawler for a list of URLs: what it fetches is a WARC file, an input like any other."""
