"""What befalls a host while a job runs there: a full disk, a reboot, a home of several hosts. Each ends clearly."""

import shutil

import pytest
from support.runs import wait_for

from codex_runner.transports.processes import here

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]


def check_lost(project, done, *words):
    run = project.check_reports(done, 6)
    for word in words:
        assert word in run.run_json["reason"]
    assert "Traceback" not in done.stderr
    return run


@pytest.mark.parametrize("free", [0, 8, 24, 48, 72, 200, 1000])
def test_a_disk_that_is_full_before_codex_can_work(there, disk, free):
    """Wherever it runs out: no agent begins that nobody could follow, and whatever has begun is ended."""
    there.configure(prompt="SCN:long_command:60", sandbox="danger-full-access")
    disk(free)
    check_lost(there, there.run(), "disk")
    there.check_nothing_is_left()


def test_a_disk_that_fills_up_in_mid_run(there, disk):
    there.configure(prompt="SCN:long_command:60", sandbox="danger-full-access")
    running = there.start("run", "docs")
    running.until(lambda: b"item.started" in there.recorded)
    disk(0)
    run = check_lost(there, running.wait(), "disk is full")
    assert run.run_json["failure"] == "disk-full"
    assert run.run_json["attempts"][0]["exit"]["stopped"] == "disk-full"
    there.check_nothing_is_left()


def begun(project):
    """Start a job whose agent is busy; the command, and the run's directory on the host."""
    project.configure(prompt="SCN:long_command:60", sandbox="danger-full-access", retry={"attempts": 3})
    running = project.start("run", "docs")
    running.until(lambda: b"item.started" in project.recorded)
    return running, project.host_run()


def test_a_run_directory_that_is_removed_under_a_run(there):
    """The agent is ended, though nobody can write down any more that it is to end, nor how it did."""
    running, directory = begun(there)
    while directory.exists():  # the lease is being written meanwhile
        shutil.rmtree(directory, ignore_errors=True)
    run = check_lost(there, running.wait(), "run directory was removed")
    assert run.run_json["failure"] == "lost"
    there.check_nothing_is_left(grace=10)


def held_by(directory, **changed):
    """Write down that somebody else holds the first attempt: a boot that is over, or another host."""
    path = directory / "attempts" / "1" / "pid"
    names = ("host", "boot", "pid", "born", "node")
    words = dict(zip(names, path.read_text().split(), strict=True))
    new = path.with_name("pid.changed")
    new.write_text(" ".join({**words, **changed}.values()) + "\n")
    new.replace(path)  # a follower looks meanwhile, and must never see half of it
    return words


def test_a_host_that_was_rebooted(there):
    """The run is lost; its directory goes, since nothing of it can be alive."""
    running, directory = begun(there)
    held_by(directory, boot="1f2e3d4c-0000-0000-0000-000000000000.[1]")
    run = check_lost(there, running.wait(), "the host was rebooted")
    assert run.run_json["failure"] == "lost"
    assert list(there.runs_folder.glob("[!.]*")) == []
    there.check_nothing_is_left(grace=10)  # in truth there was no reboot, and its supervisor ends the agent


@pytest.mark.parametrize(
    "other", [{"host": "0123456789abcdef"}, {"boot": "1f2e3d4c.[1]", "node": "build7"}], ids=["by id", "by name"]
)
def test_a_home_of_several_hosts(there, other):
    """Where the connection leads to another host than the one that runs it, nothing is taken from that one."""
    running, directory = begun(there)
    words = held_by(directory, **other)
    run = check_lost(there, running.wait(), "another host", other.get("node", words["node"]))
    assert run.run_json["failure"] == "lost"
    assert not run.guard("run directory")["passed"]
    assert "another host" in run.guard("run directory")["message"]
    assert directory.exists(), "it belongs to the other host"
    held_by(directory, **words)
    (directory / "attempts" / "1" / "stop").write_text("cancelled\n")
    wait_for((directory / "attempts" / "1" / "exit").exists)
    shutil.rmtree(directory)
    there.check_nothing_is_left(grace=10)


def test_this_host_is_named_the_same_everywhere(there):
    running, directory = begun(there)
    words = (directory / "attempts" / "1" / "pid").read_text().split()
    assert (words[0], words[1], words[4]) == here()
    running.signal(2)
    assert running.wait().code == 130
