"""Drivers of the clients that are written in Python or driven from it; see tests/clients/PROTOCOL.md."""
