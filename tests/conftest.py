"""The two profiles: each day few examples and no rare case; with `--thorough`, as each night, all of them."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support import warm

# A machine that is busy makes an example slow, and says nothing about the code.
for _name, _examples in (("quick", 25), ("thorough", 500)):
    settings.register_profile(
        _name, deadline=None, max_examples=_examples, suppress_health_check=[HealthCheck.too_slow]
    )

# Where a case is a whole run of codex, or several.
COSTLY = ("integration", "security")

# A shell starts what it puts behind (`ci/test &`) with these ignored, and whatever a test starts would inherit that.
for _number in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="run the tests that are slow and rare, too")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("thorough" if config.getoption("--thorough") else "quick")
    if config.getoption("--thorough"):
        warm.start_cold()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--thorough"):
        return
    rare = {item for item in items if item.get_closest_marker("thorough")}
    if not config.getoption("keyword") and not any("::" in asked for asked in config.args):
        rare |= _between(items)
    if rare:
        config.hook.pytest_deselected(items=rare)
        items[:] = [item for item in items if item not in rare]


def _between(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return the cases of a costly test between its first and its last, which differ in every parameter.

    Of a test that is marked `one_case`, return all but the one that the mark names.
    """
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        named = any(item.get_closest_marker(mark) for mark in ("thorough", "every_case"))
        if not named and item.path.relative_to(Path(__file__).parent).parts[0] in COSTLY:
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return {case for cases in tests.values() for case in _rare(cases)}


def _rare(cases: list[pytest.Item]) -> list[pytest.Item]:
    if (mark := cases[0].get_closest_marker("one_case")) is None:
        return cases[1:-1]
    return cases[:-1] if mark.args == ("last",) else cases[1:]
