"""The wire codec judged: by an interpreter of the same specs, by other implementations, by broken bytes."""
