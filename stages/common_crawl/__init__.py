"""Common Crawl: its lists of files, its two URL indices, and the source that reads by them."""
