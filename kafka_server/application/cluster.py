"""Owns: who this broker is. Must never know: addresses, topics, the wire."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of one broker, which is also its controller."""

    cluster_id: str
    """22 characters of URL-safe base64, as ``kafka-storage random-uuid`` prints them."""
    node_id: int
    rack: str | None = None
