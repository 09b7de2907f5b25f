"""A host's noise is no answer: whatever its shells, its loader and its git print of themselves, here and over SSH."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from support.far import HELLO, FarProject
from support.runs import JOB

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]

NOISY_SH = "#!{sh}\necho 'error tampered ok 1 2'\necho login 1 >&2\nexec {sh} \"$@\"\n"
NOISY_GIT = "#!{sh}\necho 'warning: this git is deprecated' >&2\nexec {git} \"$@\"\necho >&2\n"
BASHRC = "echo ok 1 2; echo 'error no-git go away' >&2\n"


def _bash_as_sh(folder):
    (folder / "sh").symlink_to(shutil.which("bash"))


def _script(name, text):
    def put(folder):
        (folder / name).write_text(text.format(sh=os.path.realpath("/bin/sh"), git=shutil.which("git")))
        (folder / name).chmod(0o755)

    return put


def _nothing(_):
    pass


# What lies before all else in PATH, and the environment.
NOISES = {
    "a missing locale": (_bash_as_sh, {"LC_ALL": "xx_YY.UTF-8"}),
    "a missing library": (_nothing, {"LD_PRELOAD": "/nowhere/lib.so"}),
    "a shell that traces": (_bash_as_sh, {"SHELLOPTS": "xtrace"}),
    "a start-up file of every shell": (_script("sh", NOISY_SH), {}),
    "a wrapper of git": (_script("git", NOISY_GIT), {}),
}


@pytest.fixture(params=NOISES)
def noisy(request, placed, tmp_path):
    """A project in a repository on a host that prints what nobody asked for."""
    put, environment = NOISES[request.param]
    folder = tmp_path / "bin"
    folder.mkdir()
    put(folder)
    there = placed(PATH=f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}", **environment)
    (there.home / ".bashrc").write_text(BASHRC)
    (there.cwd / "README").write_text("read me\n")
    there.git_init()
    return there


@pytest.mark.one_case
def test_a_job_that_may_write_is_judged(noisy):
    noisy.configure(
        prompt="SCN:patch_add",
        sandbox="workspace-write",
        allowed_paths=["hello.txt"],
        artifacts=["hello.txt"],
        checks=[{"name": "greeting", "run": "grep -q world hello.txt"}],
    )
    run = noisy.check_reports(noisy.run(), 0)
    assert [change.split(" | ")[0] for change in run.of_kind("changes")[0]["diffstat"].splitlines()[:-1]] == [
        "hello.txt"
    ]
    assert (run.path / "artifacts" / "hello.txt").read_text() == "hello\nworld\n"
    noisy.check_nothing_is_left()


@pytest.mark.one_case("last")
def test_a_forbidden_change_is_seen(noisy):
    noisy.configure(prompt="SCN:patch_add", sandbox="workspace-write", allowed_paths=["docs/**"])
    noisy.check_reports(noisy.run(), 12)


@pytest.mark.one_case("last")
def test_a_workspace_of_its_own_and_the_doctor(noisy):
    noisy.configure(
        prompt="SCN:patch_add", sandbox="workspace-write", cwd=".", workspace={}, allowed_paths=["hello.txt"]
    )
    noisy.check_reports(noisy.run(), 0)
    noisy.check_nothing_is_left()
    noisy.configure()
    told = noisy.command("doctor", "--json")
    assert told.code == 0, told.stderr + told.stdout
    states = {each["check"]: each["state"] for each in json.loads(told.stdout)["checks"]}
    assert {states[name] for name in ("host", "run-dir", "codex", "git")} == {"ok"}


@pytest.mark.one_case
@pytest.mark.parametrize("noise", NOISES)
def test_a_token_is_proven_and_a_run_taken_up_from_another_machine(noise, codex, codex_home, service, tmp_path):
    put, environment = NOISES[noise]
    for folder in ("bin", "scratch"):
        (tmp_path / folder).mkdir()
    put(tmp_path / "bin")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    far = FarProject(tmp_path / "scratch", codex_home, codex, service, environment={"PATH": path, **environment})
    try:
        (far.account / ".bashrc").write_text(BASHRC)
        far.configure(**HELLO)
        running = far.start("run", JOB)
        running.until(far.host_run)
        running.kill()
        (first,) = far.runs
        far.go_elsewhere()
        run = far.check_reports(far.command("attach", first.run_id, "--host", "devbox"), 0)
        assert run.guard("credential-preflight")["passed"]
        assert "+hello\n+world\n" in (run.path / "artifacts" / "changes.patch").read_text()
        far.check_nothing_is_left()
        told = far.command("hosts", "--probe", "--json")
        (host,) = json.loads(told.stdout)["hosts"]
        assert (host["reachable"], host["codex"]) == (True, str(codex)), told.stdout
        assert host["system"].startswith("Linux ")
    finally:
        far.close()
