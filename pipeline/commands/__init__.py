"""One file a command of the command line; each has `add(parser)` and `main(args) -> int`."""
