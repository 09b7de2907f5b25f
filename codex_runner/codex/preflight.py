"""Preflight: finds a host's codex before the run starts anything, with its version, and checks its login."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from codex_runner.codex import outside as outsides
from codex_runner.codex import survey as surveys
from codex_runner.codex.command import login_config
from codex_runner.codex.key_preflight import check_key
from codex_runner.codex.login import read_login
from codex_runner.codex.question import folder_of, script
from codex_runner.codex.versions import VERSIONS, Standing
from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import CredentialKind
from codex_runner.domain.errors import ConfigurationError, HostError
from codex_runner.domain.event import Guarded
from codex_runner.domain.host import Install
from codex_runner.domain.job import Sandbox
from codex_runner.engine.config_secrets import secrets_of
from codex_runner.redaction.redactor import Redactor
from codex_runner.shell.leftovers import leftovers_script
from codex_runner.shell.scratch import scratch_script
from codex_runner.shell.script import shell_script
from codex_runner.text.durations import format_duration
from codex_runner.text.excerpts import end_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.codex.question import Question
    from codex_runner.codex.survey import Survey
    from codex_runner.codex.versions import Versions
    from codex_runner.domain.credential import Granted
    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.domain.transport_port import Transport

_INSTALL = "Install it (`npm install -g @openai/codex`, or `pip install openai-codex-cli-bin`)"
_INSTALL_ANOTHER = "Use `npm install -g @openai/codex@VERSION` or `pip install openai-codex-cli-bin==VERSION`"

# Seconds for codex to answer. If the service is unreachable, `login status` waits for ever.
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class LoginStatus:
    """The result of `codex login status`: its exit code (None if it was late), and its output.

    `identity` is the token's owner (`account`, `account_id`, `plan`), as far as the service has answered. It is None
    if the runner did not ask.
    """

    exit_code: int | None
    output: bytes
    seconds: float
    identity: Mapping[str, str] | None


async def look(
    transport: Transport, job: Job, asked: Question, versions: Versions = VERSIONS
) -> tuple[Install, Survey]:
    """Ask the host about its codex. Gives codex no credential.

    Raises ConfigurationError if no codex works there, or `versions` refuses it.
    """
    done = await transport.ask(script(), arguments=asked.arguments, environment=asked.environment, timeout=_PATIENCE)
    cwd = folder_of(job)
    there, otherwise = _hints(job)
    lines = done.output.decode("utf-8", "surrogateescape").rstrip("\n").split("\n")
    facts = [line.partition(" ") for line in lines]
    missing = next((value for key, _, value in facts if key == "missing"), None)
    if missing is not None:
        where = f"at {missing!r}" if missing else "in PATH"
        raise ConfigurationError(f"no codex {where}{there}.", remedy=f"{_INSTALL}{otherwise}")
    values = {key: value for key, _, value in facts if key != "feature"}
    if "full" in values:
        raise _disk_full(values["full"], there)
    if "path" not in values:
        why = (
            f"no end within {format_duration(_PATIENCE)}"
            if done.exit_code is None
            else end_of(done.last_words, 300) or "no message"
        )
        raise ConfigurationError(
            f"The preflight of codex failed{there}: {why}.",
            remedy="Check the disk, the memory and the load of the host: its own shell reported this.",
        )
    name, _, version = values["version"].strip().partition(" ")
    verdict = versions.judge(version if name == "codex-cli" else "")
    if verdict.standing is Standing.UNKNOWN:
        raise ConfigurationError(
            f"{values['path']} is not a codex that works{there}: `--version` says {values['version'][:200]!r}.",
            remedy=f"{_INSTALL}{otherwise}",
        )
    if verdict.standing.is_refused:
        raise ConfigurationError(
            f"codex {version} at {values['path']}{there} is {verdict.why}.",
            remedy=f"{verdict.remedy} {_INSTALL_ANOTHER}{otherwise}",
        )
    found, sandboxed = surveys.read_answers(lines), job.sandbox is not Sandbox.DANGER_FULL_ACCESS
    features = frozenset(value for key, _, value in facts if key == "feature")
    install = Install(
        values["path"],
        version,
        features,
        runs=values.get("runs", ""),
        at_home="at_home" in values,
        absent=frozenset(value for key, _, value in facts if key == "absent"),
        outside=outsides.read_outside(lines),
        bwrap="".join(found.get("bwrap", ())) if sandboxed else "",
        old_bwrap="".join(found.get("old-bwrap", ())),
    )
    survey = surveys.read_survey(lines) if cwd else surveys.Survey(at=job.cwd, root=job.cwd)
    if cwd and not survey.at:
        raise ConfigurationError(
            f"cwd: {cwd} is not a directory that can be entered{there}.",
            remedy="Set the job's `cwd` to a folder that exists on its host.",
        )
    return install, survey


def _disk_full(folder: str, there: str) -> HostError:
    return HostError(
        f"the disk is full: no room for temporary files in {folder}{there}.",
        remedy="Make room there, or point XDG_STATE_HOME to another folder.",
    )


def _login_script() -> str:
    own = shell_script("codex_runner.codex", "own_home.sh", "login.sh")
    return f"{scratch_script()}\n{leftovers_script()}\n{own}"


async def _ask_login(job: Job, transport: Transport, install: Install, granted: Granted) -> LoginStatus:
    there, _ = _hints(job)
    identify = job.credential is not None and job.credential.identify
    done = await transport.ask(
        _login_script(),
        arguments=(install.path, login_config(job), "1" if identify else ""),
        environment={**job.codex.environment, **granted.environment},
        timeout=_PATIENCE,
    )
    told, answered, said = (b"\n" + done.output).partition(b"\nlogin ")
    values = dict(line.partition(" ")[::2] for line in told.decode("utf-8", "surrogateescape").split("\n"))
    if "full" in values:
        raise _disk_full(values["full"], there)
    if not answered and done.exit_code is not None:
        raise ConfigurationError(
            f"`codex login status` could not be run{there}: {done.last_words or 'no message'}.",
            remedy="Check the disk, the memory and the load of the host: its own shell reported this.",
        )
    code, _, output = said.partition(b"\n")
    identity = _identity(values.get("account", "")) if identify else None
    return LoginStatus(int(code) if answered else None, output, done.seconds, identity)


def _identity(answer: str) -> dict[str, str]:
    """Parse the answer of codex's app server about the account (`account/read`). Returns {} for an unknown shape."""
    try:
        result = json.loads(answer)["result"]
        account, routing = result["account"], result.get("workspaceRouting") or {}
        told = {
            "account": account.get("email"),
            "account_id": routing.get("chatgptAccountId"),
            "plan": account.get("planType"),
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: value for name, value in told.items() if isinstance(value, str) and value}


def _hints(job: Job) -> tuple[str, str]:
    """Return the place of the search for codex, as the end of a clause, and a remedy other than to install it there."""
    if job.host.is_here:
        return "", ", or set `codex.path`."
    return f" on {job.host}", (
        f" there, or set `codex` in [hosts.{job.host}] to its path: "
        f"`codex-runner hosts {job.host} --probe` finds one that only login shells have."
    )


async def check_login(
    job: Job, transport: Transport, install: Install, granted: Granted, tell: Callable[[Event], None]
) -> dict[str, Any]:
    """Ask whether the service takes the credential, and judge the answer. Returns the method and answer for run.json.

    Only access tokens can be proven by `codex login status`: it answers "Not logged in" for every key, even a good one.
    TokenRefusedError if the service refuses the token, ModelServiceError if the service is out of reach,
    CredentialError if its answer is not understood.
    """
    if granted.kind is None:
        return {"method": "none"}
    if granted.kind is CredentialKind.API_KEY and job.credential and job.credential.preflight_url:
        return await check_key(job.credential.preflight_url, granted.secrets[0], tell, job, transport)
    if granted.kind is not CredentialKind.ACCESS_TOKEN:
        return {"method": "presence"}
    login = await _ask_login(job, transport, install, granted)
    # It has the token, and may quote it.
    output = Redactor([*granted.secrets, *secrets_of(job.codex)])(login.output).decode("utf-8", "replace")
    said = read_login(login.exit_code, output, _PATIENCE)
    failure = said.failure and said.failure.value
    tell(Guarded("credential-preflight", failure is None, f"codex login status: {said.words}", login.seconds, failure))
    if failure is not None:
        raise said.error()
    done: dict[str, Any] = {"method": "login-status", "answer": said.words}
    if login.identity is not None:
        done["identity"] = dict(login.identity)
    return done


def check_features(job: Job, install: Install) -> None:
    """Refuse a feature flag that this codex does not have: it would only warn, and the job would run without it."""
    wanted = job.codex.config.get("features", {})
    unknown = [name for name in wanted if name not in install.features]
    if unknown and install.features:
        near = get_close_matches(unknown[0], install.features, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ConfigurationError(
            f"codex.config.features.{unknown[0]}: codex {install.version} has no such feature.",
            remedy=f"{hint}`codex features list` shows what it has.",
        )
