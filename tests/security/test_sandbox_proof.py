"""codex's sandbox is proven before anything is spent: one that does not start, or keeps nothing, is exit 3."""

import os
import shutil
import subprocess

import pytest
from support.commands import RUNNER

pytestmark = pytest.mark.needs_codex

MODES = ["read-only", "workspace-write"]


@pytest.fixture
def either(there, either_codex):
    there.codex["path"] = str(either_codex)
    return there


def refused(project, service, *args, **job):
    project.configure(**job)
    done = project.run(*args)
    assert done.code == 3, done.stderr[-3000:]
    run = project.last
    assert run.cases["sandbox"] in {"failure", "error"}
    assert run.run_json["failure"] == "refused"
    assert not run.guard("sandbox")["passed"]
    assert service.responses == [], "the model was asked"
    project.check_nothing_is_left()
    return done.stderr


@pytest.mark.parametrize("mode", MODES)
def test_a_sandbox_that_works(either, service, mode):
    either.git_init()
    either.configure(sandbox=mode)
    done = either.run()
    run = either.check_reports(done, 0)
    assert run.guard("sandbox")["message"] == f"proven: it keeps to {mode!r}"
    assert run.run_json["changes"] is None or run.run_json["changes"]["paths"] == 0
    assert not list(either.cwd.glob(".codex-runner-proof*"))


@pytest.mark.parametrize("mode", MODES)
def test_one_that_panics(either, service, mode):
    config = {**either.codex["config"], "features": {"use_legacy_landlock": True}}
    said = refused(either, service, sandbox=mode, codex={"config": config})
    assert "panicked at linux-sandbox" in said or "exit code 101" in said
    assert "Leave out `codex.config.features.use_legacy_landlock`" in said


def test_a_system_that_forbids_namespaces(project, service, either_codex):
    project.codex["path"] = str(either_codex)
    forbid = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
    project.prefix = ["unshare", "-U", "-r", "sh", "-c", forbid, "sh"]
    if subprocess.run([*project.prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces to forbid them in")
    said = refused(project, service)
    assert "bwrap: " in said
    assert "sudo sysctl -w user.max_user_namespaces" in said


OLD = """#!/bin/sh
case $* in
*--help*) {0} --help 2>&1 | grep -v argv0 && exit ;;
*--argv0*) echo "bwrap: Unknown option --argv0" >&2 && exit 1 ;;
esac
exec {0} "$@"
"""


def put_old_bwrap(folder, codex):
    """Put a bubblewrap before 0.9.0 there, as in Debian 12. codex ignores one in a folder that the agent may write."""
    own = codex.resolve().parent.with_name("codex-resources") / "bwrap"
    folder.mkdir()
    (folder / "bwrap").write_text(OLD.format(own))
    (folder / "bwrap").chmod(0o755)
    return f"{folder}:{RUNNER.parent}:{os.environ['PATH']}"


def test_a_bubblewrap_that_is_too_old(placed, project, either_codex):
    there = placed(PATH=put_old_bwrap(project.state / "old", either_codex))
    there.codex["path"] = str(either_codex)
    there.git_init()
    there.configure(prompt="SCN:command", sandbox="workspace-write")
    run = there.check_reports(there.run(), 0)
    (command,) = [event["item"] for event in run.of_kind("item.completed") if event["item"]["kind"].startswith("comm")]
    assert command["exit_code"] == 0, command["output"]
    there.check_nothing_is_left()


def test_a_codex_that_has_no_other_bubblewrap(project, service, codex):
    """As the one that GitHub releases has."""
    lone = project.scratch / "lone" / "codex"
    lone.parent.mkdir()
    try:
        lone.hardlink_to(codex.resolve())
    except OSError:
        shutil.copy(codex, lone)
    project.environ["PATH"] = put_old_bwrap(project.state / "old", codex)
    said = refused(project, service, codex={"path": str(lone)})
    assert f"{project.state / 'old' / 'bwrap'} is too old for codex's sandbox" in said


def test_a_folder_that_nobody_may_write(project, service):
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("only root may mount")
    project.configure(sandbox="workspace-write")
    project.out = project.scratch / "out"
    project.prefix = ["unshare", "-m", "sh", "-c", mount, str(project.cwd)]
    done = project.run("-o", project.out)
    assert done.code == 3, done.stderr[-3000:]
    assert "is not writable for this user" in done.stderr
    assert service.responses == []


def answering(project, body, **job):
    """Put a codex in place whose `sandbox` does `body`, and which answers all else as a good one would."""
    fake = project.scratch / "fake-codex"
    project.fake_codex("exit 1", **job)
    fake.write_text(fake.read_text().replace(" sandbox*) ", f" sandbox*) {body}; exit;; never) "))


@pytest.mark.parametrize(
    ("body", "mode", "words"),
    [
        ("echo wrote; echo read", "workspace-write", "lets the agent read the run's own directory"),
        ("echo wrote; echo denied", "read-only", "lets the agent write in `cwd`"),
        ("echo kept-out; echo denied", "workspace-write", "keeps the agent from writing in `cwd`"),
        ("echo denied", "read-only", "does not start (exit code 0): it printed nothing"),
        ("echo wrote; echo denied; exit 3", "workspace-write", "does not start (exit code 3)"),
        ("echo no such command >&2; exit 2", "read-only", "does not start (exit code 2): no such command"),
        ("kill -9 $$", "read-only", "does not start (exit code 137)"),
    ],
)
def test_a_sandbox_that_keeps_too_little_or_too_much(project, service, body, mode, words):
    answering(project, body)
    assert words in refused(project, service, codex={"path": str(project.scratch / "fake-codex")}, sandbox=mode)


def test_each_run_proves_it_anew_and_one_without_a_sandbox_never(project, service):
    count = project.scratch / "count"
    answering(project, f"echo proof >>'{count}'; echo kept-out; echo denied")
    path = {"path": str(project.scratch / "fake-codex")}
    for times in (1, 2):
        project.configure(codex=path)
        project.run()
        assert count.read_text() == "proof\n" * times
    project.configure(codex=path, sandbox="danger-full-access")
    project.run()
    assert "sandbox" not in project.last.cases
    assert count.read_text() == "proof\n" * 2


def test_the_doctor_proves_it_too(either):
    config = {**either.codex["config"], "features": {"use_legacy_landlock": True}}
    either.configure(codex={"config": config})
    done = either.command("doctor")
    assert done.code == 3
    assert "use_legacy_landlock" in done.stdout + done.stderr
    either.configure()
    done = either.command("doctor")
    assert done.code == 0, done.stderr
    assert "proven: it keeps to 'read-only'" in done.stdout + done.stderr
    either.check_nothing_is_left()
