"""Brokers with one planted bug each: what the checker has to catch, or it proves nothing."""
