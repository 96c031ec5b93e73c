"""What the client tests found out, one file per broker, so that the table of clients is never written by hand.

Owns: .cache/clients/<broker>.json and its shape, {client: {"version", "features": {feature: {"outcome", "reason"}}}}.
Must never know: pytest, or how the table looks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from tests.peers import CACHE

FOLDER = CACHE / "clients"
WORST_LAST = ("passed", "skipped", "failed")
"""The outcomes of a test, as pytest names them."""


class Outcome(TypedDict):
    outcome: str
    reason: str


class Row(TypedDict):
    version: str
    features: dict[str, Outcome]


Outcomes = dict[str, Row]


class Results:
    """Collects outcomes; `save` merges them over what earlier runs found, so that a part can be run again."""

    def __init__(self) -> None:
        self.noted: Outcomes = {}

    def note(self, client: str, version: str, feature: str, outcome: str, reason: str) -> None:
        """A feature that several tests share passes only when all of them do. `version` is the client's greeting."""
        row = self.noted.setdefault(client, {"version": version, "features": {}})
        known = row["features"].get(feature)
        if known is None or WORST_LAST.index(outcome) > WORST_LAST.index(known["outcome"]):
            row["features"][feature] = {"outcome": outcome, "reason": reason}

    def save(self, broker: str) -> Path:
        merged = load(broker)
        for client, row in self.noted.items():
            known = merged.setdefault(client, {"version": row["version"], "features": {}})
            known["version"] = row["version"]
            known["features"].update(row["features"])
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{broker}.json"
        path.write_text(json.dumps(merged, indent=1, sort_keys=True) + "\n")
        return path


def load(broker: str) -> Outcomes:
    path = FOLDER / f"{broker}.json"
    if not path.exists():
        return {}
    found: Outcomes = json.loads(path.read_text())
    return found
