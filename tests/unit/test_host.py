"""A host's name: what a job, its records and its state make of it."""

import json

import pytest
from support.records import records

from codex_runner.domain.event import RunStarted, build, to_json
from codex_runner.domain.host import LOCAL_HOST, Host
from codex_runner.domain.job import Job
from codex_runner.domain.state import fold


def test_this_machine_is_the_default():
    assert Job("docs", "x", "/").host.is_here
    assert Host("local").is_here
    assert LOCAL_HOST.is_here
    assert not Host("devbox").is_here
    assert not Host().is_here


@pytest.mark.parametrize("name", ["local", "devbox"])
def test_records_have_the_name_as_the_configuration_has_it(name):
    text = json.dumps(to_json(Job("docs", "x", "/", host=Host(name))))
    assert json.loads(text)["host"] == name
    again = build(Job, json.loads(text)).host
    assert (again, again.is_here) == (name, name == "local")


def test_a_state_has_it_from_the_records():
    assert fold(records([RunStarted("run", "docs", "local")])).host.is_here
    assert not fold(records([RunStarted("run", "docs", "devbox")])).host.is_here
