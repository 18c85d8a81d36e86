"""Settings for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Generation time says nothing about the code on a machine that is busy with other things.
settings.register_profile("trident", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trident")
