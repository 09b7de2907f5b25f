"""The tokens that Vault keeps for the workflows: proven with the real codex, then stored, looked over, destroyed."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codex_runner.domain.credential import (
    CredentialKind,
    CredentialSource,
    CredentialSpec,
    Granted,
    TokenAuth,
    VaultSettings,
)
from codex_runner.domain.errors import (
    ConfigurationError,
    CredentialError,
    ExitCode,
    HostError,
    RunnerError,
    SecretStoreError,
    UsageError,
)
from codex_runner.domain.job import CodexSettings, Job, Limits
from codex_runner.engine.credential_rules import clean_secret, format_date, unverified_claims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from codex_runner.config import Config
    from codex_runner.domain.credential import Finding
    from codex_runner.domain.event import Event
    from codex_runner.domain.secret import Secret
    from codex_runner.vault.client import VaultClient
    from codex_runner.vault.tokens import Stored, TokenEntry, TokenPlace

CANARY: Final = "canary"
_CANARY_PROMPT: Final = (
    "This is a test of a new access token. Reply with the single word `ready`. Run no command, and change no file."
)
_CANARY_LIMITS: Final = Limits(timeout=120.0, stall=60.0, command=60.0, orphan=60.0)
_POLL: Final = 5.0  # seconds between two looks at whether a token still works

# What codex says where the service itself refuses a token. A service that cannot be reached has refused nothing.
_REFUSED = re.compile(
    r"status (?:code )?40[13]\b|\b40[13] (?:Unauthorized|Forbidden)|invalidated|revoked", re.IGNORECASE
)

_ERRORS: Final[Mapping[int, type[RunnerError]]] = {
    int(error.exit_code): error
    for error in (ConfigurationError, CredentialError, SecretStoreError, HostError, RunnerError)
}


@dataclass(frozen=True, slots=True)
class Target:
    """A workflow's token: its name, where it lies, and the codex that will use it."""

    workflow: str
    spec: CredentialSpec
    codex: CodexSettings = field(default_factory=CodexSettings)

    @property
    def place(self) -> TokenPlace:
        """Where it lies."""
        from codex_runner.vault.tokens import TokenPlace  # noqa: PLC0415 - late: it brings requests

        return TokenPlace(self.spec.mount, self.spec.path)


def target_of(
    config: Config | None, workflow: str, *, mount: str | None = None, path: str | None = None, field: str | None = None
) -> Target:
    """Find out what a workflow's token is for: by the job whose credential it is, else by the workflow's name alone.

    `mount`, `path` and `field` are stronger than the job's. Without either, the path is the workflow's name.
    """
    spec, codex = CredentialSpec(path=workflow), CodexSettings()
    if config is not None:
        from codex_runner.config import resolve_codex  # noqa: PLC0415 - as late as the configuration itself

        settings = config.defaults
        for job in config.jobs.values():
            kept = job.credential
            if kept and kept.source is CredentialSource.VAULT and workflow in {kept.workflow, kept.path}:
                settings, spec = job, kept
                break
        codex = resolve_codex(config, settings)
    spec = replace(spec, mount=mount or spec.mount, path=path or spec.path, field=field or spec.field)
    return Target(workflow, spec, codex)


def operators_vault(config: Config | None, environ: Mapping[str, str]) -> VaultSettings:
    """Return how a person reaches Vault: with their own Vault token where there is one, else as `[vault]` says.

    A pipeline's role can read one token and do nothing else, so these commands are of no use to it.
    """
    from codex_runner.vault.endpoint import variable  # noqa: PLC0415 - only what talks to Vault needs it

    settings = config.vault if config is not None else VaultSettings()
    own = variable(environ, "TOKEN") or (Path(environ.get("HOME", "/")) / ".vault-token").is_file()
    if own and settings.auth.method not in {"token", "agent"}:
        return replace(settings, auth=TokenAuth())
    return settings


def read_token(data: bytes, spec: CredentialSpec) -> Secret:
    """Make a secret of what came on stdin. CredentialError where it is no token."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise CredentialError("What came on stdin is not text.", remedy="Give the token on stdin, as it is.") from None
    if not text.strip():
        raise UsageError("No token came on stdin.", remedy="Pipe it in, from a password manager for example.")
    return clean_secret(text, spec)


@dataclass(frozen=True, slots=True)
class Dates:
    """When a token was made and when it ends, in seconds since the epoch. `expires` is None where it does not."""

    issued: float
    expires: float | None


def dates_of(secret: Secret, *, issued: float | None, expires: float | None, never: bool, now: float) -> Dates:
    """Settle a token's dates: what is said, and what the token says of itself where it is a JWT.

    UsageError where nothing says when it ends, or where the two contradict each other.
    """
    claims = unverified_claims(secret.reveal())
    own = claims.get("exp")
    if isinstance(own, int | float):
        if never or (expires is not None and expires > own):
            raise UsageError(
                f"The token says itself that it expires at {format_date(own)}, before the `--expires` given.",
                remedy="Leave `--expires` out, or give an earlier one.",
            )
        expires = own if expires is None else expires
    if expires is None and not never:
        raise UsageError(
            "It is not said when the token expires, and the token does not say it itself.",
            remedy="Give `--expires`: `30d`, a date, or `never` (runs refuse such a token unless they allow it).",
        )
    made = claims.get("iat")
    if issued is None:
        issued = float(made) if isinstance(made, int | float) else now
    return Dates(issued, expires)


@dataclass(frozen=True, slots=True)
class Checked:
    """What `token check` found: each entry with its findings, and what was destroyed on the way."""

    findings: tuple[tuple[TokenEntry, Finding], ...]
    swept: Mapping[TokenPlace, tuple[int, ...]]


class TokenDesk:
    """Everything that is done with tokens. Each method logs in to Vault for itself, and gives the login back.

    `tell` gets a line of progress. Every method raises CredentialError and SecretStoreError as `vault` does.
    """

    def __init__(self, vault: VaultSettings, environ: Mapping[str, str], tell: Callable[[str], None]) -> None:
        """Nothing is touched yet."""
        self._vault, self._environ, self._tell = vault, environ, tell

    def put(self, target: Target, secret: Secret, owner: str, dates: Dates) -> Stored:
        """Prove a token, then store it as the workflow's newest."""
        from codex_runner.vault import tokens  # noqa: PLC0415 - brings requests, here and below

        with self._proofs(target, dates) as proofs, self._logged_in() as client:
            token = self._new(target, secret, owner, dates)
            return tokens.put(client, target.place, token, now=time.time(), preflight=proofs.preflight)

    def rotate(self, target: Target, secret: Secret, owner: str, dates: Dates, grace: float) -> Stored:
        """Prove a token with a preflight and a turn of a real run, then store it and retire those before it.

        Those before it may be swept after `grace` seconds. Where a proof fails nothing is stored.
        """
        from codex_runner.vault import tokens  # noqa: PLC0415

        with self._proofs(target, dates) as proofs, self._logged_in() as client:
            return tokens.rotate(
                client,
                target.place,
                self._new(target, secret, owner, dates),
                now=time.time(),
                grace=grace,
                preflight=proofs.preflight,
                canary=proofs.canary,
            )

    def entries(self, mount: str, prefix: str = "") -> tuple[TokenEntry, ...]:
        """Look over all tokens of a mount, by their metadata alone."""
        from codex_runner.vault import tokens  # noqa: PLC0415

        with self._logged_in() as client:
            return tokens.list_tokens(client, mount, now=time.time(), prefix=prefix)

    def check(
        self, mount: str, prefix: str = "", *, paths: Sequence[str] = (), within: float, sweep: bool = False
    ) -> Checked:
        """Judge the tokens at `paths`, or all below `prefix`; with `sweep`, destroy what is due on the way."""
        from codex_runner.vault import tokens  # noqa: PLC0415

        with self._logged_in() as client:
            now = time.time()

            def look() -> tuple[TokenEntry, ...]:
                if paths:
                    return tuple(tokens.entry_of(client, tokens.TokenPlace(mount, path), now=now) for path in paths)
                return tokens.list_tokens(client, mount, now=now, prefix=prefix)

            entries = look()
            swept = tokens.sweep(client, entries, now=now) if sweep else {}
            if swept:
                entries = look()
            findings = [(entry, found) for entry in entries for found in tokens.check(entry, now=now, within=within)]
        return Checked(tuple(findings), swept)

    def sweep(self, mount: str, prefix: str = "") -> Mapping[TokenPlace, tuple[int, ...]]:
        """Destroy the retired versions that are due."""
        from codex_runner.vault import tokens  # noqa: PLC0415

        with self._logged_in() as client:
            now = time.time()
            return tokens.sweep(client, tokens.list_tokens(client, mount, now=now, prefix=prefix), now=now)

    def destroy(self, target: Target) -> tuple[int, ...]:
        """Destroy Vault's copies of a token, and return their versions."""
        from codex_runner.vault import tokens  # noqa: PLC0415

        with self._logged_in() as client:
            return tokens.destroy(client, target.place)

    def fetch(self, target: Target) -> Secret:
        """Read the newest version of a token. It needs the right that the workflow's own role has."""
        from codex_runner.vault.auth import Login  # noqa: PLC0415
        from codex_runner.vault.lease import read_credential  # noqa: PLC0415

        with self._logged_in() as client:
            login = Login(client.settings.auth.method, None, None, ours=False)
            return read_credential(client, target.spec, login).secret

    def wait_until_refused(self, target: Target, secret: Secret, patience: float) -> None:
        """Return once the service refuses a token. CredentialError where it has not after `patience` seconds.

        A service that cannot be reached has refused nothing, so that is an error too.
        """
        deadline = time.monotonic() + patience
        told = False
        with self._proofs(target, Dates(0.0, None)) as proofs:
            while True:
                answer, accepted = proofs.ask(secret)
                if not accepted and _REFUSED.search(answer):
                    self._tell(f"refused: {answer}")
                    return
                left = deadline - time.monotonic()
                if left <= 0:
                    state = "still works" if accepted else "was not refused by the service"
                    raise CredentialError(
                        f"The token of {target.workflow} {state}: codex login status: {answer}.",
                        remedy="Let its owner revoke it where it was issued; then run this again.",
                    )
                if not told:
                    self._tell(f"it still works ({answer}); looking again for up to {patience:.0f} s")
                    told = True
                time.sleep(min(_POLL, max(left, 0.1)))

    def _new(self, target: Target, secret: Secret, owner: str, dates: Dates) -> Any:
        from codex_runner.vault.tokens import NewToken  # noqa: PLC0415

        return NewToken(secret, target.workflow, owner, dates.issued, dates.expires, target.spec.field)

    @contextlib.contextmanager
    def _logged_in(self) -> Iterator[VaultClient]:
        from codex_runner.vault.lease import logged_in  # noqa: PLC0415

        with logged_in(self._vault, self._environ, on_retry=self._tell) as client:
            yield client

    @contextlib.contextmanager
    def _proofs(self, target: Target, dates: Dates) -> Iterator[_Proofs]:
        # Not below /tmp: codex warns of a home there, and has no helpers in it.
        from codex_runner.transports.directory import runs_root  # noqa: PLC0415

        state = runs_root(self._environ).parent
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix="token-", dir=state))
        except OSError as error:
            raise ConfigurationError(
                f"{state} cannot be written: {error.strerror}.", remedy="Point XDG_STATE_HOME to a folder that can."
            ) from None
        try:
            yield _Proofs(target, dates, scratch, self._environ, self._tell)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Proofs:
    """Shows what a token is worth, with the real codex on this machine. `scratch` is an empty folder of its own."""

    target: Target
    dates: Dates
    scratch: Path
    environ: Mapping[str, str]
    tell: Callable[[str], None]

    @property
    def job(self) -> Job:
        """One turn in an empty folder, read-only."""
        work = self.scratch / "work"
        work.mkdir(exist_ok=True)
        return Job(CANARY, _CANARY_PROMPT, str(work), limits=_CANARY_LIMITS, codex=self.target.codex)

    def preflight(self, secret: Secret) -> None:
        """Raise CredentialError where the service refuses the token. A key is not asked about: codex cannot."""
        kind = self.target.spec.kind
        if kind is not CredentialKind.ACCESS_TOKEN:
            self.tell(f"preflight: none; codex cannot say what a {kind} is worth")
            return
        answer, accepted = self.ask(secret)
        if not accepted:
            raise CredentialError(
                f"The new token was refused: codex login status: {answer}. Nothing was stored.",
                remedy="Check that it was copied whole, who made it, and when it expires.",
            )
        self.tell(f"preflight: {answer}")

    def ask(self, secret: Secret) -> tuple[str, bool]:
        """Return what `codex login status` answers to the token, and whether that is a yes."""
        answers: list[str] = []

        def hear(event: Event) -> None:
            if event.kind == "guard":
                answers.append(str(getattr(event, "message", "")).removeprefix("codex login status: "))

        try:
            asyncio.run(self._prepare(secret, hear))
        except CredentialError as error:
            return (answers[-1] if answers else error.message), False
        return answers[-1] if answers else "no answer", bool(answers)

    async def _prepare(self, secret: Secret, hear: Callable[[Event], None]) -> None:
        from codex_runner.codex.agent import Codex  # noqa: PLC0415
        from codex_runner.wiring.hosts import bundled_codex, transport_for  # noqa: PLC0415

        job, spec = self.job, self.target.spec
        transport = transport_for(job.host, {**self.environ, "TMPDIR": str(self.scratch)})
        try:
            granted = Granted(spec.kind, {spec.environment_variable: secret})
            await Codex(fallback=bundled_codex(job.host)).prepare(job, transport, granted, hear)
        finally:
            await transport.close()

    def canary(self, secret: Secret) -> None:
        """Run one turn with the token, as a job would. Raises where it does not succeed."""
        from codex_runner.wiring.runs import run_job  # noqa: PLC0415
        from codex_runner.wiring.setting import Setting  # noqa: PLC0415

        name = self.target.spec.environment_variable
        spec = replace(
            self.target.spec,
            source=CredentialSource.ENV,
            variable=name,
            expires_at=None if self.dates.expires is None else format_date(self.dates.expires),
            issued_at=None,
            allow_unexpiring=self.dates.expires is None,
            min_ttl=None,
            max_age=None,
        )
        began = time.monotonic()
        self.tell("canary: one turn of a real run with the new token")
        # The canary is no run of the pipeline: it has no place in the CI system's summary.
        environ = {key: value for key, value in self.environ.items() if key != "GITHUB_STEP_SUMMARY"}
        setting = Setting({**environ, name: secret.reveal()}, ())
        heard = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        _, state = run_job(replace(self.job, credential=spec), self.scratch / "runs", setting)
        for number, handler in heard.items():  # a run's end ignores them, and this command goes on
            signal.signal(number, handler)
        verdict = state.verdict
        if verdict is not None and verdict.exit_code == ExitCode.SUCCEEDED:
            self.tell(f"canary: succeeded in {time.monotonic() - began:.1f} s, {state.usage.total:,} tokens")
            return
        if verdict is not None and verdict.exit_code in {ExitCode.INTERRUPTED, ExitCode.TERMINATED}:
            raise KeyboardInterrupt
        reason = verdict.reason if verdict else "it has no ending"
        raise _ERRORS.get(verdict.exit_code if verdict else 0, CredentialError)(
            f"The canary run with the new token failed: {reason} Nothing was stored.",
            remedy="The token that is stored stays in use. Repair what failed, and rotate again.",
        )
