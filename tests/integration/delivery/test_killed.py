"""A runner that is killed, or a forge that fails, at any request: the next try ends with one branch, one pull request."""

import pytest
from support.forge import LOST, PAT
from support.shore import BRANCH, Shore

from codex_runner.domain.delivery import DeliveryState, ForgeKind

HELLO = {"hello.txt": b"hello\n"}
LATER = {"hello.txt": b"hello again\n"}
EVERY = 60  # more than a delivery makes

WAYS = {
    "signed": (ForgeKind.GITHUB, None, {}),
    "pushed": (ForgeKind.GITHUB, PAT, {}),
    "trees": (ForgeKind.GITHUB, None, {"run.sh": "100755"}),
    "gitlab": (ForgeKind.GITLAB, None, {}),
}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


def shore_of(forge, folder, way):
    kind, token, modes = way
    return Shore(forge, folder, kind, token, labels=("documentation",)), modes


def files(content, modes):
    return content | dict.fromkeys(modes, b"#!/bin/sh\n")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, EVERY))
def test_a_first_night_that_is_killed_anywhere(forge, tmp_path, way, number, after):
    shore, modes = shore_of(forge, tmp_path, way)
    change = shore.change(files(HELLO, modes), modes)
    if not shore.killed_at(number, change, after=after):
        pytest.skip("there are not so many requests")
    again = shore.deliver(change)
    assert again.state is not DeliveryState.HELD, again.reason
    shore.check_one()
    assert shore.shown("hello.txt") == "hello"
    assert shore.deliver(change).state is DeliveryState.UNCHANGED


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, EVERY))
def test_a_second_night_that_is_killed_anywhere(forge, tmp_path, way, number, after):
    shore, modes = shore_of(forge, tmp_path, way)
    shore.deliver(shore.change(files(HELLO, modes), modes))
    change = shore.change(files(LATER, modes), modes)
    if not shore.killed_at(number, change, run="run-2", after=after):
        pytest.skip("there are not so many requests")
    third = shore.deliver(change, "run-3")
    assert third.state in {DeliveryState.UPDATED, DeliveryState.UNCHANGED}, third.reason
    shore.check_one()
    assert shore.shown("hello.txt") == "hello again"
