"""Owns: version ranges as the schemas write them ("3", "2-5", "4+", "none"). Must never know: messages, fields, Python.

A range is one contiguous run. ``OPEN`` stands for "and every later version"; it is resolved against a message's
``validVersions`` when a plan for one concrete version is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

OPEN = 32767
"""The highest version number an int16 can carry; what "N+" means."""

_PATTERN = re.compile(r"^(?P<low>\d+)(?:(?P<plus>\+)|-(?P<high>\d+))?$")


class VersionError(ValueError):
    """The text is no version range."""


@dataclass(frozen=True, slots=True)
class Versions:
    """A contiguous run of versions, both ends included; empty when ``low > high``."""

    low: int
    high: int

    @classmethod
    def parse(cls, text: str) -> Versions:
        """Reads ``none``, ``3``, ``2-5`` or ``4+``."""
        if text == "none":
            return NONE
        match = _PATTERN.match(text)
        if match is None:
            raise VersionError(f"{text!r} is not a version range: write none, N, N-M or N+")
        low = int(match["low"])
        high = OPEN if match["plus"] else int(match["high"] or low)
        if high < low:
            raise VersionError(f"{text!r} ends before it begins")
        return cls(low, high)

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.low <= version <= self.high

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.low, self.high + 1))

    def __bool__(self) -> bool:
        return self.low <= self.high

    def __and__(self, other: Versions) -> Versions:
        both = Versions(max(self.low, other.low), min(self.high, other.high))
        return both or NONE

    def covers(self, other: Versions) -> bool:
        """True when every version of ``other`` is in this range."""
        return not other or (self.low <= other.low and other.high <= self.high)

    def __str__(self) -> str:
        if not self:
            return "none"
        if self.high == OPEN:
            return f"{self.low}+"
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


NONE = Versions(0, -1)
"""No version at all."""
