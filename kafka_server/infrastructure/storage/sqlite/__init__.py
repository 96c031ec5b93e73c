"""Metadata in SQLite: topics, configs, groups, committed offsets, producer ids."""
