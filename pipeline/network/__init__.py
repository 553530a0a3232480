"""Files of servers: ranges, rates, retries, a cache."""
