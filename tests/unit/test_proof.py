"""The proof of a credential and of a sandbox: at the same time on this machine, one after the other elsewhere."""

import asyncio

import pytest

from codex_runner.domain.credential import Granted
from codex_runner.domain.errors import ConfigurationError, CredentialError
from codex_runner.domain.event import Guarded
from codex_runner.domain.host import Host
from codex_runner.domain.job import Job
from codex_runner.engine.proof import Proof


class Recorder:
    def __init__(self):
        self.emitted = []

    def emit(self, event):
        self.emitted.append(event.name)


class Prepared:
    """Tells of its guards, and fails as it is told to. The login goes on until the proof has begun, and the reverse."""

    def __init__(self, host, login=None, sandbox=None):
        self.at_once, self.login, self.sandbox = Host(host).is_here, login, sandbox
        self.begun, self.over = {"login": asyncio.Event(), "sandbox": asyncio.Event()}, []

    async def log_in(self, job, transport, granted, tell):
        return await self._work("login", "sandbox", self.login, tell)

    async def prove(self, job, run_id, transport, tell):
        return await self._work("sandbox", "login", self.sandbox, tell)

    async def _work(self, name, other, error, tell):
        tell(Guarded(name, error is None, "", 0.0))
        self.begun[name].set()
        if self.at_once:
            await self.begun[other].wait()
        if name == "sandbox":
            await asyncio.sleep(0)
        self.over.append(name)
        if error is not None:
            raise error
        return {name: True}


def proved(host, **errors):
    recorder = Recorder()

    async def work():
        prepared = Prepared(host, **errors)
        try:
            job = Job("hi", "hi", "/", host=Host(host))
            return prepared, await Proof(None, recorder).of(prepared, job, "run", Granted())
        except (ConfigurationError, CredentialError) as error:
            return prepared, error

    prepared, came_to = asyncio.run(work())
    return came_to, recorder.emitted, prepared.over


@pytest.mark.parametrize("host", ["local", "build-1"])
def test_both_hold(host):
    assert proved(host) == ({"login": True, "sandbox": True}, ["login", "sandbox"], ["login", "sandbox"])


def test_a_refused_login_counts_and_waits_for_the_sandbox_to_clean_up():
    refused = CredentialError("no")
    assert proved("local", login=refused, sandbox=ConfigurationError("no")) == (
        refused,
        ["login"],
        ["login", "sandbox"],
    )
    assert proved("build-1", login=refused) == (refused, ["login"], ["login"])


@pytest.mark.parametrize("host", ["local", "build-1"])
def test_a_sandbox_that_does_not_hold_is_told_after_the_login(host):
    broken = ConfigurationError("no")
    assert proved(host, sandbox=broken) == (broken, ["login", "sandbox"], ["login", "sandbox"])
