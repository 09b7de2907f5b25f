"""What the gate hears of each forge before the agent, without a run: only what is certain skips one."""

import asyncio
import dataclasses

import pytest
from support.shore import BRANCH, WHEN, WORKFLOW, Shore

from codex_runner.delivery.deliver import Delivery
from codex_runner.delivery.green_ref import green_ref
from codex_runner.delivery.record_ref import record_ref
from codex_runner.delivery.refusals import RecordRefusedError
from codex_runner.domain.delivery import ForgeKind, Reopen
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.gate import GreenRun

HELLO, LATER = {"hello.txt": b"hello\n"}, {"hello.txt": b"hello again\n"}
REF = green_ref(WORKFLOW, "main")
GREEN = GreenRun("run-1", "a" * 40, "files", "job")


@pytest.fixture(params=[ForgeKind.GITHUB, ForgeKind.GITLAB, ForgeKind.GIT], ids=["github", "gitlab", "git"])
def shore(request, forge, tmp_path):
    return Shore(forge, tmp_path, request.param)


def asked(shore, work):
    async def use():
        destination = shore.destination()
        try:
            return await work(Delivery(destination, shore.spec))
        finally:
            if destination.forge is not None:
                await destination.forge.aclose()

    return asyncio.run(use())


def outlook(shore):
    before = shore.forge.repository.git("for-each-ref")

    async def look(delivery):
        return await delivery.look_ahead(await delivery.check())

    found = asked(shore, look)
    assert shore.forge.repository.git("for-each-ref") == before
    return found


def remember(shore, green):
    asked(shore, lambda delivery: delivery.remember(green, when=WHEN))


def people_push(shore):
    shore.forge.repository.commit_files(BRANCH, {"review.txt": b"a person's\n"}, "Review")
    shore.forge.project.settle()


def blocked(shore):
    found = outlook(shore).blocked
    return found and str(found.state)


def test_a_branch_that_is_new_or_ours(shore):
    found = outlook(shore)
    assert (found.blocked, found.open_pull, found.green, found.unknown) == (None, "", None, "")
    shore.deliver(shore.change(HELLO))
    found = outlook(shore)
    assert found.blocked is None
    assert found.open_pull.startswith("Pull request 1 is open") == (shore.kind is not ForgeKind.GIT)


def test_a_branch_that_a_person_has_pushed_to(shore):
    shore.deliver(shore.change(HELLO))
    people_push(shore)
    found = outlook(shore).blocked
    assert found.state == "held"
    assert "A person has pushed" in found.reason


def test_a_branch_that_only_the_change_tells_to_be_ours_blocks_nothing(shore):
    """An earlier try pushed it, to a forge that refuses the record, and opened no pull request: each night was held."""
    hello = shore.change(HELLO)
    shore.deliver(hello)
    shore.forge.project.pulls.clear()
    record = record_ref(WORKFLOW, "main")
    shore.forge.repository.git("update-ref", "-d", record)
    assert blocked(shore) is None
    assert shore.deliver(hello).state in {"delivered", "updated", "unchanged"}
    # Whoever made it: no delivery may write the base.
    shore.spec = dataclasses.replace(shore.spec, branch="main")
    with pytest.raises(ConfigurationError, match="the base"):
        blocked(shore)


def refuse(shore):
    """Let a person say no: close the pull request; at a plain remote, delete the branch."""
    if shore.kind is not ForgeKind.GIT:
        shore.forge.project.close(1)
    shore.forge.repository.git("update-ref", "-d", f"refs/heads/{BRANCH}")


def test_a_refusal_blocks_only_while_it_is_certain_that_nothing_has_changed(shore):
    shore.deliver(shore.change(HELLO))
    refuse(shore)
    assert blocked(shore) == "closed"
    # Nobody knows the files that the agent will change.
    shore.forge.repository.commit_files("main", {"other.txt": b"1\n"}, "Work")
    assert blocked(shore) is None
    shore.watched = ("src/**",)
    assert blocked(shore) == "closed"
    shore.forge.repository.commit_files("main", {"src/a.py": b"1\n"}, "Work")
    assert blocked(shore) is None
    for reopen, expected in ((Reopen.NEVER, "closed"), (Reopen.ALWAYS, None)):
        shore.spec = dataclasses.replace(shore.spec, reopen=reopen)
        assert blocked(shore) == expected


def test_a_refusal_on_a_base_that_is_gone_blocks_nothing(shore):
    first = shore.forge.repository.tip("main")
    shore.forge.repository.commit_files("main", {"a.txt": b"1\n"}, "Work")
    shore.deliver(shore.change(HELLO))
    refuse(shore)
    shore.forge.repository.move("main", first)
    shore.forge.repository.git("update-ref", "-d", f"refs/codex-runner/{WORKFLOW.replace('/', '%2F')}/main")
    shore.forge.repository.git("reflog", "expire", "--expire=now", "--all")
    shore.forge.repository.git("gc", "--quiet", "--prune=now")
    assert blocked(shore) is None


def test_the_last_green_run_is_at_the_forge(shore):
    remember(shore, GREEN)
    assert outlook(shore).green == GREEN
    shore.deliver(shore.change(HELLO))
    later = dataclasses.replace(GREEN, run="run-2", commit="b" * 40)
    remember(shore, later)
    remember(shore, later)
    assert outlook(shore).green == later
    assert blocked(shore) is None
    shore.workflow = "green.run"
    assert outlook(shore).green is None
    remember(shore, GREEN)
    shore.workflow = WORKFLOW
    assert outlook(shore).green == later


def test_a_record_that_is_damaged_or_refused(shore):
    shore.forge.repository.git("update-ref", REF, shore.forge.repository.tip("main"))
    damaged = outlook(shore)
    assert damaged.green is None
    assert "cannot be read" in damaged.unknown, "or this machine's older record would count"
    remember(shore, GREEN)
    assert outlook(shore) == dataclasses.replace(damaged, green=GREEN, unknown="")
    hook = shore.forge.repository.path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RecordRefusedError):
        remember(shore, dataclasses.replace(GREEN, run="run-3"))


def test_two_runs_that_remember_at_once(shore):
    others = [dataclasses.replace(GREEN, run=f"run-{number}") for number in range(2)]

    async def one(green):
        destination = shore.destination()
        try:
            await Delivery(destination, shore.spec).remember(green, when=WHEN)
        finally:
            if destination.forge is not None:
                await destination.forge.aclose()

    async def both():
        await asyncio.gather(*map(one, others), return_exceptions=True)

    asyncio.run(both())
    assert outlook(shore).green in others
