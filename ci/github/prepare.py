"""What must be right before anything is installed; a folder for this call of the action, and the SSH key in it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LOCKS = HERE.parents[1] / "codex_runner" / "cli" / "starters"
sys.path.insert(0, str(HERE))

from commands import notice, set_output, stop  # noqa: E402 - isolated mode leaves the script's folder out of sys.path
from namespaces import allow  # noqa: E402 - as above

CONFIGURATION, CREDENTIAL = 3, 4  # exit codes


def main() -> None:
    # First of all: what comes after a failure, the outputs too, is done with this folder.
    folder = Path(tempfile.mkdtemp(prefix="codex-runner-", dir=os.environ["RUNNER_TEMP"]))
    set_output("folder", str(folder))
    os.environ["FOLDER"] = str(folder)  # for `stop`
    if sys.version_info < (3, 11):  # noqa: UP036 - the very thing to find out: `python-path` may name any Python
        stop(f"Python {platform.python_version()} is too old. Give `python-version` 3.11 or later.", CONFIGURATION)
    if os.environ.get("RUNNER_OS") == "Windows":
        stop("Windows runners are not supported. Use `runs-on: ubuntu-latest`, or WSL on your own.", CONFIGURATION)
    if os.environ["INPUT_VAULT_ROLE"] and not os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL"):
        stop(
            "This job may not ask GitHub for an identity token, and so cannot log in to Vault. Give the job "
            "`permissions: { id-token: write, contents: read }`. GitHub never gives it to pull requests from forks.",
            CREDENTIAL,
        )
    if told := allow(os.environ):
        notice(told)
    _write_ssh(folder)
    _write_requirements(folder)
    locked = (folder / "requirements.txt").read_bytes() + (folder / "codex.txt").read_bytes()
    digest = hashlib.sha256(locked).hexdigest()[:16]
    python = ".".join(platform.python_version_tuple()[:2])
    set_output("cache", str(Path(os.environ["RUNNER_TEMP"]) / "codex-runner-downloads"))
    set_output("cache-key", f"codex-runner-{platform.system()}-{platform.machine()}-{python}-{digest}")


def _write_ssh(folder: Path) -> None:
    """Write key, known hosts and an OpenSSH configuration that uses both, for this user's eyes only."""
    key, known_hosts, given = (os.environ[f"INPUT_SSH_{name}"] for name in ("KEY", "KNOWN_HOSTS", "CONFIG"))
    if not key and not known_hosts and not given:
        return
    if key and not known_hosts.strip():
        stop(
            "`ssh-key` came without `ssh-known-hosts`: the host could be anybody. Give what `ssh-keyscan HOST` prints, "
            "after a look at its fingerprint.",
            CONFIGURATION,
        )
    if given and not Path(given).is_file():
        stop(f"ssh-config: {given} is no file in the workspace. Check it out first.", CONFIGURATION)
    ssh = folder / "ssh"
    ssh.mkdir(mode=0o700)
    lines = [f"Include {_quoted(Path(given).absolute())}"] if given else []
    lines.append("Host *")
    if key:
        lines += [f"IdentityFile {_quoted(_keep(ssh / 'key', key))}", "IdentitiesOnly yes"]
    if known_hosts:
        lines.append(f"UserKnownHostsFile {_quoted(_keep(ssh / 'known_hosts', known_hosts))}")
    lines += ["StrictHostKeyChecking yes", "BatchMode yes"]
    if (personal := Path.home() / ".ssh" / "config").is_file():
        lines.append(f"Include {_quoted(personal)}")
    _keep(ssh / "config", "\n".join(lines))


def _keep(path: Path, text: str) -> Path:
    """Write a file, 0600 from its first moment. OpenSSH wants a key to end in a line feed, with no carriage returns."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text.replace("\r", "").strip("\n") + "\n")
    return path


def _quoted(path: Path) -> str:
    return f'"{path}"'


def _write_requirements(folder: Path) -> None:
    """Copy what is locked, with the codex that was asked for."""
    (folder / "requirements.txt").write_bytes((LOCKS / "requirements.txt").read_bytes())
    locked = (LOCKS / "codex.txt").read_text(encoding="utf-8")
    version, hashes = os.environ["INPUT_CODEX_VERSION"].strip(), os.environ["INPUT_CODEX_SHA256"].split()
    if not version or f"=={version} " in locked:
        (folder / "codex.txt").write_text(locked, encoding="utf-8")
        return
    if not re.fullmatch(r"[0-9][0-9A-Za-z.]*", version):
        stop(f"codex-version: {version!r} is no version. Give one such as 0.163.0.", CONFIGURATION)
    if not hashes or not all(re.fullmatch(r"[0-9a-f]{64}", each) for each in hashes):
        stop(
            f"codex-version: the action does not have the hashes of {version}. Give `codex-sha256`, as "
            f"https://pypi.org/project/openai-codex-cli-bin/{version}/#files shows it, or leave `codex-version` out.",
            CONFIGURATION,
        )
    told = " ".join(f"--hash=sha256:{each}" for each in hashes)
    (folder / "codex.txt").write_text(f"openai-codex-cli-bin=={version} {told}\n", encoding="utf-8")


main()
