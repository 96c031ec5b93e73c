"""What holds for all tests. A slow or busy machine is no failure: how long an example takes is for the benchmarks.

CI draws the same examples every time, so that a run says something about the change; everybody else draws new ones.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("any machine"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "any machine")
