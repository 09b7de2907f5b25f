"""A codex that is too old, or known to be bad, is refused with words, here and over SSH: before it gets the token."""

import asyncio
import os

import pytest

from codex_runner.codex import preflight
from codex_runner.codex.question import question
from codex_runner.codex.versions import VERSIONS, Bad, Release, Versions
from codex_runner.domain.credential import CredentialKind, Granted
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.job import CodexSettings, Job
from codex_runner.domain.secret import Secret
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.local import LocalTransport
from codex_runner.transports.remote.transport import RemoteTransport

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]

TOKEN = "at-refused-0123456789"

# A table with a made-up fault.
MADE_UP = Versions(
    tested=(Release("0.163.0", "it", "here"), Release("0.171.0", "it", "here")),
    bad=(Bad("0.165.0", "0.165.2", "it sends the token to the moon", "Install 0.166.0 or later."),),
)


def stub(folder, version):
    """Make a codex that works, and keeps the name of each of its commands; that of one with a token in `saw`."""
    program = folder / "stub-codex"
    program.write_text(
        f"""#!/bin/sh
echo "$1" >>'{folder}/asked'
[ -z "$CODEX_ACCESS_TOKEN" ] || echo "$1" >>'{folder}/saw'
case $1 in
--version) echo codex-cli {version} ;;
features) echo apps stable true ;;
login) echo Logged in using personal access token ;;
esac
"""
    )
    program.chmod(0o755)
    return program


def heard(folder, name):
    return (folder / name).read_text().split() if (folder / name).exists() else []


def test_a_run_refuses_one_that_is_too_old(there, service, tmp_path):
    program = stub(tmp_path, "0.162.4")
    there.environ |= {"CODEX_ACCESS_TOKEN": TOKEN}
    there.configure(codex={"path": str(program)}, credential={"source": "env", "allow_unexpiring": True})
    done = there.run()
    run = there.check_reports(done, 3)
    where = "" if there.host == "local" else f" on {there.host}"
    oldest = VERSIONS.oldest.version
    why = f"codex 0.162.4 at {program}{where} is too old: the oldest supported version is {oldest}."
    assert why in run.run_json["reason"]
    assert f"Install {oldest} or later. Use `npm install -g @openai/codex@VERSION`" in run.run_json["remedy"]
    assert sorted(heard(tmp_path, "asked")) == ["--version", "features"]
    assert heard(tmp_path, "saw") == []
    assert service.requests == []
    there.check_nothing_is_left()


@pytest.fixture(params=["local", "ssh"])
def look(request, tmp_path):
    """Look at a codex of this version, by the made-up table, with a token; return what is found."""
    sshd = request.getfixturevalue("server")() if request.param == "ssh" else None

    def look(version):
        path = str(stub(tmp_path, version))
        job = Job(name="hi", prompt="hi", cwd=str(tmp_path), codex=CodexSettings(path=path))
        granted = Granted(kind=CredentialKind.ACCESS_TOKEN, environment={"CODEX_ACCESS_TOKEN": Secret("TOKEN", TOKEN)})

        async def looked():
            here = LocalTransport(os.environ)
            if sshd is not None:
                carrier = SshCarrier(sshd.alias, dict(os.environ), ("-F", str(sshd.config)))
                here = RemoteTransport(carrier, reconnect=0.0)
            try:
                install, _ = await preflight.look(here, job, question(job, granted.kind), versions=MADE_UP)
                return install, await preflight.check_login(job, here, install, granted, lambda _: None)
            finally:
                await here.close()

        return asyncio.run(looked())

    return look


def test_one_that_is_known_to_be_bad_does_not_get_the_token(look, tmp_path):
    with pytest.raises(ConfigurationError) as refused:
        look("0.165.2")
    program = tmp_path / "stub-codex"
    assert f"codex 0.165.2 at {program} is known to be bad: it sends the token to the moon." in refused.value.message
    assert refused.value.remedy.startswith("Install 0.166.0 or later. Use `npm install")
    assert heard(tmp_path, "saw") == []
    install, done = look("0.166.0-alpha.1")
    assert (install.version, done["method"]) == ("0.166.0-alpha.1", "login-status")
    assert heard(tmp_path, "saw") == ["login"]
