"""A machine that lacks what programs count on: streams, a home, a folder, git, processes. The exit code is ours."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from support import unprivileged
from support.runs import JOB, RUNNER, Project

REPLY = """
echo '{"type":"thread.started","thread_id":"t-1"}'
echo '{"type":"turn.started"}'
echo '{"type":"item.completed","item":{"id":"i-1","type":"agent_message","text":"all done"}}'
echo '{"type":"turn.completed","usage":{"input_tokens":1,"cached_input_tokens":0,"output_tokens":1}}'
"""


@pytest.fixture(scope="module")
def somebody():
    """The words that make a command line that of a user who is not root."""
    words = unprivileged.prefix()
    if words is None:
        pytest.skip("neither an ordinary user nor one who may become one")
    return words


@pytest.fixture
def there():
    """A project whose codex answers at once, in a folder that any user can enter."""
    scratch = Path(tempfile.mkdtemp(prefix="codex-runner-test-", dir="/var/tmp"))
    (scratch / "state").mkdir()
    scratch.chmod(0o755)
    made = Project(scratch, scratch / "state", "codex", None)
    made.fake_codex(REPLY)
    yield made
    made.close()
    shutil.rmtree(scratch)


def without(name, folder):
    """Make a PATH of the system's programs but for this one."""
    folder.mkdir()
    for path in reversed(os.environ["PATH"].split(":")):
        for program in Path(path).glob("*") if Path(path).is_dir() else ():
            link = folder / program.name
            link.unlink(missing_ok=True)
            link.symlink_to(program)
    (folder / name).unlink()
    return str(folder)


def shell(there, script, *arguments, prefix=(), **environ):
    """Run a command behind the words of a shell, which breaks something; return its code and its stderr."""
    done = subprocess.run(
        [*prefix, "sh", "-c", f'{script}\nexec "$@"', "sh", RUNNER, *arguments],
        cwd=there.cwd,
        env={name: value for name, value in {**there.environ, **environ}.items() if value is not None},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr + done.stdout


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "breaks",
    ["exec >&-", "exec 2>&-", "exec <&- >&- 2>&-", "exec 1</dev/null", "exec 2>/dev/full"],
    ids=lambda text: text,
)
def test_closed_streams_and_a_full_stderr_change_nothing(there, breaks):
    """They made the exit code 1, 70 or 120, while run.json said 0."""
    code, _ = shell(there, breaks, "run", JOB, "--json")
    assert (code, there.last.run_json["exit_code"]) == (0, 0)
    assert there.last.events[0]["kind"] == "run.started", "what was meant for a stream is in the record"


def test_a_result_that_cannot_be_printed_makes_a_good_run_fail(there):
    audit = there.scratch / "audit.jsonl"
    code, said = shell(there, "exec >/dev/full", "run", JOB, "--set", f'audit.file="{audit}"')
    assert code == 1
    assert json.loads(audit.read_text().splitlines()[-1])["exit_code"] == 1
    assert "the result could not be written to stdout: No space left on device" in said
    run = there.last
    assert (run.run_json["exit_code"], run.run_json["result"]) == (1, "failed")
    assert "could not be written to stdout: No space left" in run.run_json["reason"]
    assert {"failure", "error"} & set(run.cases.values()), "JUnit is green"


@pytest.mark.thorough
def test_other_commands_whose_result_cannot_be_printed(there):
    code, said = shell(there, "exec >/dev/full", "init", "-c", "other.toml")
    assert (code, "could not be written to stdout" in said) == (1, True)
    assert shell(there, "exec >/dev/full 2>&1", "runs", "--json")[0] == 1
    assert shell(there, "exec >/dev/full", "logs", "last")[0] == 2, "a bad code stays what it is"
    assert shell(there, "exec >&- 2>&-", "runs", "--json")[0] == 0


def test_a_reader_that_leaves_changes_nothing(there):
    """As `| head` does. `logs -f` ends, since nobody is there to follow it for."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [RUNNER, "run", JOB, "--json"]
    done = subprocess.run(
        command, cwd=there.cwd, env=there.environ, stdout=writing, stderr=writing, stdin=subprocess.DEVNULL, check=False
    )
    os.close(writing)
    assert (done.returncode, there.last.run_json["exit_code"]) == (0, 0)
    there.fake_codex("sleep 600")
    running = there.start("run", JOB)
    running.until(there.host_run)
    follower = subprocess.Popen(
        [RUNNER, "logs", "-f", "last"], cwd=there.cwd, env=there.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert follower.stdout.readline()
    follower.stdout.close()
    assert follower.wait(120) == 0, follower.stderr.read()
    follower.stderr.close()
    running.signal(signal.SIGTERM)
    assert running.wait().code == 143


# --- homes and folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environ", [{"HOME": None}, pytest.param({"HOME": "/nonexistent/home"}, marks=pytest.mark.thorough)], ids=str
)
def test_an_account_without_a_home(there, somebody, environ):
    """Service accounts and OpenShift's numbers have none: it was a bug of the runner's, with a traceback."""
    unprivileged.give(there.scratch, unprivileged.USER)
    given = {"XDG_STATE_HOME": None, **environ}
    code, said = shell(there, "", "run", JOB, prefix=somebody, **given)
    assert (code, "run directories are made there" in said) == (3, True), said
    assert "XDG_STATE_HOME" in said
    assert there.runs == []
    code, said = shell(there, "", "doctor", prefix=somebody, **given)
    assert (code, "run directories are made there" in said) == (3, True), said
    assert shell(there, "", "hosts", prefix=somebody, **given)[0] == 0
    assert shell(there, "", "run", JOB, prefix=somebody, **environ)[0] == 0, "XDG_STATE_HOME suffices"


def test_a_user_whom_the_password_database_does_not_know(there, somebody):
    """As a container that is started with a number has it: ssh refuses such a user, and it is said at once."""
    if os.geteuid() != 0:
        pytest.skip("only root may become a number")
    unprivileged.give(there.scratch, 48_622)
    number = [*unprivileged.world(), "setpriv", "--reuid=48622", "--regid=48622", "--clear-groups", "--"]
    home = {"HOME": None, "XDG_STATE_HOME": None}
    code, said = shell(there, "", "run", JOB, prefix=number, **home)
    assert (code, "run directories are made there" in said) == (3, True), said
    assert shell(there, "", "run", JOB, prefix=number, HOME=None)[0] == 0
    assert shell(there, "", "hosts", prefix=number, **home)[0] == 0
    code, said = shell(there, "", "hosts", "--probe", "devbox", prefix=number, **home)
    assert (code, "password database" in said) == (3, True), said


@pytest.mark.thorough
def test_a_relative_state_folder_is_ignored(there):
    """Each command found another folder: codex was started, and the run was told as one that never began."""
    code, said = shell(there, "", "run", JOB, XDG_STATE_HOME="state")
    assert (code, "it is ignored" in said) == (0, True), said
    assert not (there.cwd / "state").exists()
    assert (there.home / ".local/state/codex-runner").is_dir()


def test_a_folder_that_is_gone(there):
    gone = there.scratch / "gone"
    code, said = shell(there, f"mkdir {gone}; cd {gone}; rmdir {gone}", "runs")
    assert (code, "does not exist any more" in said) == (2, True), said


@pytest.mark.thorough
def test_a_mask_that_hides_files_from_their_owner(there, somebody):
    unprivileged.give(there.scratch, unprivileged.USER)
    code, said = shell(there, "umask 777", "run", JOB, prefix=somebody)
    assert code == 0, said


# --- programs and processes ------------------------------------------------------------------------------------------


def test_no_git(there):
    """Each run ended, whether it needed git or not; `doctor` let each pass."""
    path = {"PATH": without("git", there.scratch / "bin")}
    there.configure(codex={"path": str(there.scratch / "fake-codex")}, sandbox="workspace-write")
    code, said = shell(there, "", "run", JOB, **path)
    assert code == 0, said
    told = "git is not installed on this host: the runner does not see what the agent changes"
    assert told in there.last.warnings["unwatched"]
    code, said = shell(there, "", "doctor", **path)
    assert (code, "the runner does not see what the agent changes" in said) == (0, True)
    for command in ("run", "doctor"):
        code, said = shell(there, "", command, JOB, "--set", f"jobs.{JOB}.must_change=true", **path)
        assert (code, "git is not installed" in said) == (3, True), said
    assert shell(there, "", "init", "github", **path)[0] == 0


@pytest.mark.thorough
def test_no_repository_is_told_by_both_if_something_is_asked_of_git(there):
    for command in ("run", "doctor"):
        code, said = shell(there, "", command, JOB, "--set", f"jobs.{JOB}.must_change=true")
        assert (code, "repository" in said) == (3, True), said


@pytest.mark.thorough
def test_no_processes(there, somebody):
    """The run was called a bug, and had no reports."""
    unprivileged.give(there.scratch, unprivileged.USER)
    limit = ["prlimit", "--nproc=1"]
    code, said = shell(there, "", "run", JOB, prefix=[*somebody, *limit])
    assert (code, "this machine refuses" in said) == (6, True), said
    assert there.last.run_json["exit_code"] == 6
    code, said = shell(there, "", "doctor", prefix=[*somebody, *limit])
    assert (code, "this machine refuses" in said) == (6, True), said


# --- annotations -----------------------------------------------------------------------------------------------------


def test_annotations_name_files_from_the_top_of_the_repository(there):
    """GitHub shows none at a path that is not there."""
    (there.cwd / "docs").mkdir()
    there.git_init()
    check = {"name": "lint", "run": "echo 'guide.md:3: a word too many'; exit 1"}
    there.fake_codex(REPLY, cwd="docs", checks=[check])
    _, said = shell(there, "", "run", JOB, GITHUB_ACTIONS="true", GITHUB_EVENT_NAME="push")
    assert "::error title=lint,file=docs/guide.md,line=3::a word too many" in said
