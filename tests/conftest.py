"""What holds for all tests. A slow or busy machine is no failure: how long an example takes is for the benchmarks."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
