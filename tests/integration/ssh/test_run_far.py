"""`codex-runner run --host`: the real codex, the real sshd, and whatever lies between and around them."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support import child
from support.far import HELLO, FarProject, Lookout
from support.runs import JOB
from support.sshd import Sshd

from codex_runner.demo.vault import VaultServer

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]


@pytest.fixture
def far(codex, codex_home, service, tmp_path):
    """Make a project whose host has these peculiarities."""
    made = []

    def make(**kwargs):
        (tmp_path / "scratch").mkdir()
        made.append(FarProject(tmp_path / "scratch", codex_home, codex, service, **kwargs))
        made[0].configure(**HELLO)
        return made[0]

    yield make
    for project in made:
        project.close()


def check_hello(project):
    """The whole job, as it would leave it here."""
    with Lookout(project) as lookout:
        done = project.run()
    run = project.check_reports(done, 0)
    project.check_nothing_is_left()
    assert done.stdout == "patch done\n"
    assert run.codex == project.witness.printed(run.run_id)
    assert run.guard("credential-preflight")["passed"]
    assert run.guard("process sweep")["message"] == "no process of the agent is left"
    assert run.cases["greeting"] is None
    document = run.run_json
    assert document["host"] == project.sshd.alias
    assert document["checks"][0]["output"] == "it is there\n"
    assert [code for code in run.warnings if code != "credential-source"] == []
    kept = {path.name: path.read_text() for path in (run.path / "artifacts").iterdir()}
    assert set(kept) == {"hello.txt", "changes.patch", "last-message.md"}
    assert kept["hello.txt"] == (project.workspace / "hello.txt").read_text() == "hello\nworld\n"
    assert "+hello\n+world\n" in kept["changes.patch"]
    assert {each["path"] for each in document["artifacts"]} == {f"artifacts/{name}" for name in kept}
    assert lookout.rounds > 10
    assert lookout.told == []
    assert len(lookout.sockets) == 1, "one connection of the runner's own"
    assert not any(Path(path).parent.exists() for path in lookout.sockets)
    return run


def test_a_whole_job_on_another_host(far):
    project = far()
    check_hello(project)
    assert list(project.account.iterdir()) == [], "somebody wrote into the account's home"


def test_a_line_and_errors_beyond_all_measure(far):
    project = far()
    line = b'{"type":"item.completed","item":{"id":"item_0","type":"agent_message","text":"' + b"x" * (9 << 20) + b'"}}'
    printed = project.state / "printed"
    printed.write_bytes(
        b"\n".join([child.THREAD.encode(), child.STARTED.encode(), line, child.COMPLETED.encode(), b""])
    )
    errors = project.state / "errors"
    errors.write_bytes(b"y" * 3_000_000 + b"\nError: the last word\n")
    login = "case $* in login*) echo 'Logged in using personal access token'; exit;; esac"
    project.fake_codex(f"{login}\ncat {shlex.quote(str(printed))}; cat {shlex.quote(str(errors))} >&2")
    project.codex["path"] = str(project.scratch / "fake-codex")
    project.configure()
    run = project.check_reports(project.run(), 1)
    assert f"{len(line):,} bytes" in run.run_json["reason"]
    assert run.codex == printed.read_bytes()
    assert (run.path / "stderr.log").read_bytes() == errors.read_bytes()
    assert [(event["reason"], event["size"]) for event in run.of_kind("unparsed")] == [("truncated", len(line))]
    project.check_nothing_is_left()


def test_cancel_reaches_the_host_as_the_configuration_says(far):
    project = far()
    project.configure(prompt="SCN:long_command:300", sandbox="danger-full-access", i_understand=True)
    running = project.start("run", JOB)
    running.until_command("sleep 300")
    (left,) = project.runs
    cancelled = project.command("cancel", left.run_id)
    assert cancelled.code == 0, cancelled.stderr
    run = project.check_reports(running.wait(), 143)
    assert run.run_json["failure"] == "cancelled"
    project.check_nothing_is_left()


@pytest.mark.one_case
@pytest.mark.parametrize(
    ("options", "extra"),
    [
        ([], ["  RemoteCommand tmux attach", "  RequestTTY force", "  ControlMaster auto", "  ForwardAgent yes"]),
        (["MaxSessions 1"], []),
        (['ForceCommand exec fish -c "$SSH_ORIGINAL_COMMAND"'], []),
        (['ForceCommand exec tcsh -c "$SSH_ORIGINAL_COMMAND"'], []),
    ],
    ids=["remote-command", "one-session", "fish", "tcsh"],
)
def test_whatever_is_configured_on_either_side(far, options, extra):
    for shell in ("fish", "tcsh"):
        if any(shell in option for option in options) and shutil.which(shell) is None:
            assert os.environ.get("CI") != "true", f"{shell} is missing"
            pytest.skip(f"no {shell}")
    check_hello(far(options=options, extra=extra))


def test_a_start_up_file_that_prints(far):
    project = far()
    # bash reads it where sshd started it, and codex's commands may read it too.
    (project.account / ".bashrc").write_text("echo Welcome to the devbox; printf 'Mind the gap' >&2\n")
    check_hello(project)


def test_through_a_jump_host(far, tmp_path):
    with Sshd(tmp_path / "jump", alias="jump") as jump:
        project = far(extra=["  ProxyJump jump"])
        with project.ssh_config.open("a") as config:
            config.write(jump.config.read_text())
        check_hello(project)
        assert "Accepted publickey" in (jump.folder / "sshd.log").read_text()


def test_with_a_certificate_that_openbao_signed(far, tmp_path):
    project = far(options=[f"TrustedUserCAKeys {tmp_path / 'ca.pub'}"])
    key = project.sshd.folder / "user_key"
    (project.sshd.folder / "authorized_keys").write_text("")
    refused = project.run()
    project.check_reports(refused, 6)
    assert "Permission denied" in refused.run.run_json["reason"]
    refused.run.path.rename(project.scratch / "refused")
    with VaultServer() as server:
        server.request("POST", "sys/mounts/ssh", {"type": "ssh"})
        ca = server.request("POST", "ssh/config/ca", {"generate_signing_key": True, "key_type": "ed25519"})
        role = {"key_type": "ca", "allow_user_certificates": True, "allowed_users": "root", "ttl": "5m"}
        server.request("POST", "ssh/roles/ci", role)
        public = key.with_suffix(".pub").read_text()
        signed = server.request("POST", "ssh/sign/ci", {"public_key": public, "valid_principals": "root"})
    key.with_name("user_key-cert.pub").write_text(signed["data"]["signed_key"])
    (tmp_path / "ca.pub").write_text(ca["data"]["public_key"])
    check_hello(project)
    assert "ED25519-CERT" in (project.sshd.folder / "sshd.log").read_text()


def test_an_unknown_host_key(far):
    """Refused with its fingerprint; the command that is named adds it, and then the same run works."""
    project = far()
    (project.sshd.folder / "known_hosts").write_text("")
    text = project.ssh_config.read_text().replace("StrictHostKeyChecking yes", "StrictHostKeyChecking ask")
    project.ssh_config.write_text(text)
    refused = project.run()
    project.check_reports(refused, 6)
    shown = subprocess.run(
        ["ssh-keygen", "-lf", project.sshd.folder / "host_key.pub"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split()[1] in refused.stderr
    assert project.service.requests == []
    refused.run.path.rename(project.scratch / "refused")
    (adding,) = re.findall(r"`(ssh [^`]*)`", refused.stderr)
    subprocess.run(adding.split(), check=True)
    check_hello(project)


def test_codex_is_missing_there(far):
    project = far(environment={"PATH": "/usr/bin:/bin"})
    project.codex.pop("path")
    project.configure(**HELLO)
    done = project.run()
    run = project.check_reports(done, 3)
    project.check_nothing_is_left(grace=2)
    for words in ("no codex in PATH on devbox", "[hosts.devbox]", "codex-runner hosts devbox --probe"):
        assert words in f"{run.run_json['reason']} {run.run_json['remedy']}"
    assert project.service.responses == []
