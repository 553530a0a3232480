"""Archives of the web: WARC, ARC and WET, in any of their containers, damaged or not.

`records.py` is what comes out; `containers.py` finds where gzip members, frames and plain records
begin and end; `engines.py` reads headers and blocks by fastwarc or warcio, `arc.py` those of ARC
files; `walk.py` puts them together and says what was lost.
"""
