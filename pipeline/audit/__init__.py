"""Looking back at finished runs: what `inspect`, `explain`, `trace`, `verify` and `gc` rest on."""
