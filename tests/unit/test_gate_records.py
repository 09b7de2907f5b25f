"""The records of a gate's green runs: the forge's and this machine's, and what goes wrong while one is kept."""

import asyncio
import errno

import pytest
from support.gate_host import COMMIT, FILES, Host

from codex_runner.app.green_runs import FolderGreenRuns
from codex_runner.domain import event as ev
from codex_runner.domain.delivery_spec import GateSpec
from codex_runner.domain.errors import (
    CredentialError,
    DeliveryError,
)
from codex_runner.domain.gate import Outlook
from codex_runner.domain.guard_names import REVOCATION
from codex_runner.domain.job import Job
from codex_runner.domain.state import RunState
from codex_runner.engine.gate import Gate
from codex_runner.engine.handover import Asked, Handover, UnrevokedError
from codex_runner.engine.login_secrets import LoginSecrets
from codex_runner.engine.recorder import Recorder
from codex_runner.redaction.redactor import Redactor


class Unwritten:
    """A journal that keeps nothing."""

    def append(self, record):
        pass


class Forge:
    """Has the record of a last green run, and takes the next one unless it `refuses` it, or `fails`."""

    def __init__(self):
        self.green, self.unknown, self.refuses, self.fails = None, "", False, None

    async def ask(self):
        return Outlook(green=self.green, unknown=self.unknown)

    async def remember(self, green):
        if self.fails is not None:
            raise self.fails
        if not self.refuses:
            self.green = green
        return not self.refuses


@pytest.fixture
def night(tmp_path):
    """Let a gate of this machine decide on a run, and remember it if it went on. Returns if it did."""

    def ask(forge, run, files=FILES, *, machine="one", is_green=True):
        job = Job(name="docs", prompt="do it", cwd="/x", gate=GateSpec(("src/**",)))
        recorder = Recorder(RunState(), Unwritten(), [], Redactor())
        gate = Gate(run, recorder, forge, Host(files=files), FolderGreenRuns(tmp_path / machine))

        async def both():
            if await gate.decide(job) is not None:
                return False
            tree = {"head": COMMIT, "dirty": False}
            recorder.emit(ev.RunPrepared({**gate.facts, "tree": tree}))
            await gate.remember(job, is_green=True)
            if not is_green:
                await gate.remember(job, is_green=False)
            return True

        went = asyncio.run(both())
        return went, " ".join(warning.message for warning in recorder.state.warnings)

    return ask


def changed(content):
    return FILES | {"src/a.py": "100644 blob " + content * 40}


@pytest.mark.parametrize("how", ["refuses", "fails"])
def test_the_newest_record_counts_wherever_it_is(night, how):
    """An older one at the forge hid the work of a base that went back to what it was."""
    forge = Forge()
    assert night(forge, "run-1")[0]
    setattr(forge, how, how == "refuses" or DeliveryError("the forge is out of reach."))
    went, warned = night(forge, "run-2", changed("3"))
    assert went
    assert ("out of reach" in warned) == (how == "fails")
    assert not night(forge, "run-3", changed("3"))[0]
    assert night(forge, "run-3", FILES)[0], "the last green run had other files"
    assert not night(forge, "run-4", FILES)[0]
    setattr(forge, how, None)
    assert night(forge, "run-5", changed("4"))[0]
    assert not night(forge, "run-6", changed("4"), machine="two")[0]
    forge.green = None  # a person has deleted the ref, so that the next night runs
    assert night(forge, "run-7", FILES)[0]


def test_a_record_at_the_forge_that_cannot_be_read_is_not_replaced_by_an_older_one(night):
    forge = Forge()
    forge.refuses = True
    assert night(forge, "run-1")[0]
    forge.unknown = "it is damaged."
    went, warned = night(forge, "run-2")
    assert went
    assert "damaged" in warned


def test_a_record_that_is_taken_back_counts_for_nothing_wherever_it_is(night):
    """The forge had it, and could not be reached when the run lost its verdict."""
    forge = Forge()
    remember, kept = forge.remember, []

    async def once(green):
        if kept:
            raise DeliveryError("the forge is out of reach.")
        kept.append(green)
        return await remember(green)

    forge.remember = once
    assert night(forge, "run-1", is_green=False)[0]
    assert forge.green.files
    assert night(forge, "run-2")[0]


def test_a_fault_of_the_machine_does_not_keep_a_paid_run_from_its_end(night):
    forge = Forge()
    forge.fails = OSError(errno.ENOSPC, "No space left on device")
    went, warned = night(forge, "run-1")
    assert went
    assert "no space left" in warned


class Ended:
    """Delivers with a credential that ends before the record is kept, and breaks this guard."""

    def __init__(self, guard):
        self.guard = guard

    async def check(self, transport, tell, learn):
        return Asked({})

    async def remember(self, state, green, tell, learn):
        tell(ev.Guarded(self.guard, passed=False, message="it has ended."))
        raise CredentialError("it has ended.")


def remembered(tmp_path, guard):
    job = Job(name="docs", prompt="do it", cwd="/x", gate=GateSpec(("src/**",)))
    recorder = Recorder(RunState(), Unwritten(), [], Redactor())
    handover = Handover(job, "run-1", recorder, LoginSecrets(job, recorder), Host(), Ended(guard))
    gate = Gate("run-1", recorder, handover, Host(), FolderGreenRuns(tmp_path))

    async def both():
        assert await gate.decide(job) is None
        recorder.emit(ev.RunPrepared({**gate.facts, "tree": {"head": COMMIT, "dirty": False}}))
        await gate.remember(job, is_green=True)

    asyncio.run(both())
    return recorder.state


def test_a_credential_that_ends_after_the_verdict_is_a_warning_and_breaks_no_guard(tmp_path):
    """JUnit was red with it, and `codex-runner deliver` and `attach` took the green run for a failed one."""
    state = remembered(tmp_path, "delivery credential-expiry")
    assert state.guards == {}
    assert "it has ended" in state.warnings[-1].message


def test_a_login_that_stays_behind_after_the_verdict_is_no_warning(tmp_path):
    with pytest.raises(UnrevokedError, match="it has ended"):
        remembered(tmp_path, f"delivery {REVOCATION}")
