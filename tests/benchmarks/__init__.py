"""Benchmarks: not part of the test run, apart from the smoke tests beside them."""
