"""Owns: the level of the educational log lines. Must never know: how lines are printed.

EXPLAIN sits between DEBUG and INFO: an operator who runs at INFO never pays for it, a learner who turns it on reads
what the broker does with each request in words. Hot paths ask ``log.isEnabledFor(EXPLAIN)`` once per request.
"""

from __future__ import annotations

import logging

EXPLAIN = 15

logging.addLevelName(EXPLAIN, "EXPLAIN")
