"""Works and where they run: segments, exchanges, combines, executors, Ray."""
