"""What holds for all tests: the two profiles. What is slow and rare runs with `--thorough` alone."""

import pytest
from hypothesis import HealthCheck, settings

# A machine that is busy makes an example slow, and says nothing about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="run the tests that are slow and rare, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--thorough"):
        return
    rare = [item for item in items if item.get_closest_marker("thorough")]
    if rare:
        config.hook.pytest_deselected(items=rare)
        items[:] = [item for item in items if item not in set(rare)]
