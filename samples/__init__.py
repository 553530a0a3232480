"""The embedded sample web: pages of our own writing with planted truth (see README.md)."""
