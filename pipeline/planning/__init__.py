"""A configuration becomes nodes: every fault of a YAML file is found here, before any work."""
