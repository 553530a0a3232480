"""What works and runs leave: manifests, records, the funnel, the published dataset."""
