"""Owns: regular expressions from clients, by RE2 - the engine whose syntax Kafka takes.
Must never know: what is matched.

Python's own engine backtracks: an expression of twenty characters can keep it busy for years. RE2 needs time in
proportion to the text, whatever the expression.
"""

from __future__ import annotations

from collections.abc import Callable

from kafka_server.domain.errors import InvalidRegularExpression

_MEMORY_MAX = 1 << 20


class Re2Patterns:
    """``Patterns``."""

    def compile(self, pattern: str) -> Callable[[str], bool]:
        import re2  # the library takes 10 ms to load, and few ask for it

        options = re2.Options()
        options.max_mem = _MEMORY_MAX
        options.log_errors = False
        try:
            compiled = re2.compile(pattern, options)
        except re2.error as error:
            raise InvalidRegularExpression(f"{pattern!r} is no regular expression: {error}") from None
        return lambda text: compiled.fullmatch(text) is not None
