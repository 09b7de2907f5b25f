"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# A machine that is busy makes an example slow, and says nothing about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
