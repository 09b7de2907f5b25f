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
from codex_runner.codex.permissions import LOOKED_FOR, writable
from codex_runner.codex.versions import VERSIONS, Standing
from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import CredentialKind
from codex_runner.domain.errors import ConfigurationError, HostError
from codex_runner.domain.event import Guarded
from codex_runner.domain.host import Install
from codex_runner.domain.job import Sandbox
from codex_runner.engine.config_secrets import secrets_of
from codex_runner.redaction.redactor import Redactor
from codex_runner.shell.script import shell_script
from codex_runner.text.durations import format_duration
from codex_runner.text.excerpts import end_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codex_runner.codex.survey import Survey
    from codex_runner.codex.versions import Versions
    from codex_runner.domain.credential import Granted
    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.domain.outside import OutsidePath
    from codex_runner.domain.transport_port import Transport

_INSTALL = "Install it (`npm install -g @openai/codex`, or `pip install openai-codex-cli-bin`)"
_INSTALL_ANOTHER = "Use `npm install -g @openai/codex@VERSION` or `pip install openai-codex-cli-bin==VERSION`"


def _probe() -> str:
    own = shell_script("codex_runner.codex", "versions.sh", "preflight.sh")
    return f"{surveys.functions()}\n{outsides.functions()}\n{own}"


# For as long as codex may take to say all this. A service that is out of reach keeps `login status` waiting for ever.
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


async def look(  # noqa: PLR0913, PLR0917 - what there is to look for
    transport: Transport,
    job: Job,
    granted: Granted,
    fallback: str | None = None,
    wanted: str = "",
    places: Sequence[OutsidePath] = (),
    versions: Versions = VERSIONS,
) -> tuple[Install, Survey, LoginStatus | None]:
    """Find the job's codex, or `codex` in the host's PATH, or the one at `fallback`; ask it about an access token.

    `wanted` is what to look for in the job's folder (`survey.wanted`), `places` what must not be written there.
    Raises ConfigurationError if no codex works, or `versions` refuses it: such a codex does not get the token. codex
    cannot test other credentials: then there is no LoginStatus.
    """
    # A relative one lies in a workspace that is not made yet, for a plan or `doctor`.
    path, cwd = job.codex.path, job.cwd if job.cwd.startswith("/") else ""
    there, otherwise = _hints(job)
    may_write = job.sandbox is Sandbox.WORKSPACE_WRITE
    proven = granted.kind is CredentialKind.ACCESS_TOKEN
    identify = "1" if job.credential is not None and job.credential.identify else ""
    done = await transport.ask(
        _probe(),
        arguments=(
            path or "",
            fallback or "",
            cwd,
            login_config(job) if proven else "",
            identify,
            wanted,
            "\n".join([cwd, *writable(job)]) if cwd and may_write else "",
            "\n".join(f"{place.kind} {place.path}" for place in places if "\n" not in place.path),
            versions.refused(),
            *LOOKED_FOR,
        ),
        environment={**job.codex.environment, **granted.environment} if proven else {},
        timeout=_PATIENCE,
    )
    told, answered, said = done.output.partition(b"\nlogin ")
    lines = told.decode("utf-8", "surrogateescape").rstrip("\n").split("\n")
    facts = [line.partition(" ") for line in lines]
    missing = next((value for key, _, value in facts if key == "missing"), None)
    if missing is not None:
        where = f"at {missing!r}" if missing else "in PATH"
        raise ConfigurationError(f"no codex {where}{there}.", remedy=f"{_INSTALL}{otherwise}")
    values = {key: value for key, _, value in facts if key != "feature"}
    if "full" in values:
        raise HostError(
            f"the disk is full: no room for temporary files in {values['full']}{there}.",
            remedy="Make room there, or point XDG_STATE_HOME to another folder.",
        )
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
    features = frozenset(value for key, _, value in facts if key == "feature")
    install = Install(
        values["path"],
        version,
        features,
        runs=values.get("runs", ""),
        at_home="at_home" in values,
        absent=frozenset(value for key, _, value in facts if key == "absent"),
        outside=outsides.read_outside(lines),
    )
    survey = surveys.read_survey(lines) if cwd else surveys.Survey(at=job.cwd, root=job.cwd)
    if cwd and not survey.at:
        raise ConfigurationError(
            f"cwd: {cwd} is not a directory that can be entered{there}.",
            remedy="Set the job's `cwd` to a folder that exists on its host.",
        )
    if not proven:
        return install, survey, None
    if not answered and done.exit_code is not None:
        raise ConfigurationError(
            f"`codex login status` could not be run{there}: {done.last_words or 'no message'}.",
            remedy="Check the disk, the memory and the load of the host: its own shell reported this.",
        )
    code, _, output = said.partition(b"\n")
    identity = _identity(values.get("account", "")) if identify else None
    return install, survey, LoginStatus(int(code) if answered else None, output, done.seconds, identity)


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
    job: Job, transport: Transport, login: LoginStatus | None, granted: Granted, tell: Callable[[Event], None]
) -> dict[str, Any]:
    """Judge whether the service takes the credential; return what was done, for run.json.

    Only access tokens can be proven by `codex login status`: it answers "Not logged in" for every key, even a good one.
    TokenRefusedError if the service refuses the token, ModelServiceError if the service is out of reach,
    CredentialError if its answer is not understood.
    """
    if granted.kind is None:
        return {"method": "none"}
    if granted.kind is CredentialKind.API_KEY and job.credential and job.credential.preflight_url:
        return await check_key(job.credential.preflight_url, granted.secrets[0], tell, job, transport)
    if login is None:
        return {"method": "presence"}
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
