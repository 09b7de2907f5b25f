"""The tokens that Vault keeps for the workflows: proven with the real codex, stored, listed, checked, destroyed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codex_runner.app.token_dates import Dates
from codex_runner.app.token_proofs import Proofs
from codex_runner.codex.login import LoginAnswer, Said
from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import (
    CredentialFacts,
    CredentialSpec,
    Outcome,
    TokenAuth,
    VaultSettings,
)
from codex_runner.domain.errors import (
    ConfigurationError,
    CredentialError,
    ModelServiceError,
    RunnerError,
    UsageError,
)
from codex_runner.domain.failure import Failure
from codex_runner.engine.credential_rules import (
    CredentialUse,
    judge_credential,
)
from codex_runner.engine.secret_reading import SecretReader
from codex_runner.text.durations import format_duration
from codex_runner.transports.directory import runs_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from codex_runner.app.token_proofs import Follow
    from codex_runner.app.token_target import Target
    from codex_runner.config import Config
    from codex_runner.domain.credential import Finding
    from codex_runner.domain.secret import Secret
    from codex_runner.engine.bounded import StopFlag
    from codex_runner.vault.client import VaultClient
    from codex_runner.vault.storing import NewToken
    from codex_runner.vault.storing import Stored as Stored  # noqa: PLC0414 - a command shows it, this and the next
    from codex_runner.vault.token_metadata import TokenPlace
    from codex_runner.vault.tokens import TokenEntry as TokenEntry  # noqa: PLC0414

_POLL: Final = 5.0  # seconds between two looks at whether a token still works


def operators_vault(config: Config | None, environ: Mapping[str, str]) -> VaultSettings:
    """Return how a person reaches Vault: with their own Vault token if there is one, else as `[vault]` says.

    A pipeline's role can read one token and do nothing else, so these commands cannot use it.
    """
    from codex_runner.vault.endpoint import variable

    settings = config.vault if config is not None else VaultSettings()
    own = variable(environ, "TOKEN") or (Path(environ.get("HOME", "/")) / ".vault-token").is_file()
    if own and settings.auth.method not in {"token", "agent"}:
        return replace(settings, auth=TokenAuth())
    return settings


def read_token(data: bytes, spec: CredentialSpec, warn: Callable[[str], None] = lambda _: None) -> Secret:
    """Make a secret of the input on stdin. `warn` gets a sentence if it was stripped. CredentialError if invalid."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise CredentialError("The input on stdin is not text.", remedy="Give the token on stdin, as it is.") from None
    if not text.strip():
        raise UsageError(
            "stdin is empty: no token was given.", remedy="Pipe it in, from a password manager for example."
        )
    reader = SecretReader({}, warn=lambda _, sentence: warn(sentence))
    return reader.value(text.removesuffix("\n").removesuffix("\r"), spec.environment_variable, "the input on stdin")


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of `token check`: each entry with its findings, and the versions that were destroyed."""

    findings: tuple[tuple[TokenEntry, Finding], ...]
    swept: Mapping[TokenPlace, tuple[int, ...]]


class TokenDesk:
    """All operations on tokens. Each method logs in to Vault for itself, and gives the login back.

    `tell` gets a line of progress. Every method raises CredentialError and SecretStoreError as `vault` does.
    """

    def __init__(
        self,
        vault: VaultSettings,
        environ: Mapping[str, str],
        tell: Callable[[str], None],
        interruption: Callable[[], AbstractContextManager[StopFlag]],
        follow: Follow,
    ) -> None:
        """Touches nothing. `interruption` is what signals do during a login, `follow` during a canary's run."""
        self._vault, self._environ, self._tell = vault, environ, tell
        self._interruption, self._follow = interruption, follow

    def put(self, target: Target, secret: Secret, owner: str, dates: Dates, grace: float) -> Stored:
        """Prove a token, then store it as the workflow's newest; those before it may be swept after `grace` seconds."""
        from codex_runner.vault import tokens

        token = self._new(target, secret, owner, dates)
        with self._told(target) as told, self._proofs(target, dates) as proofs, self._logged_in() as client:
            now = time.time()
            told.stored = tokens.put(
                client,
                target.place,
                token,
                now=now,
                preflight=_cut_short(client, proofs.preflight),
                retire_after=now + grace,
                tell=self._tell,
            )
        return told.stored

    def rotate(self, target: Target, secret: Secret, owner: str, dates: Dates, grace: float) -> Stored:
        """Prove a token with a preflight and a turn of a real run, then store it and retire those before it.

        Those before it may be swept after `grace` seconds. If a proof fails, nothing is stored.
        """
        from codex_runner.vault import tokens

        token = self._new(target, secret, owner, dates)
        with self._told(target) as told, self._proofs(target, dates) as proofs, self._logged_in() as client:
            told.stored = tokens.rotate(
                client,
                target.place,
                token,
                now=time.time(),
                grace=grace,
                preflight=_cut_short(client, proofs.preflight),
                canary=_cut_short(client, proofs.canary),
                tell=self._tell,
            )
        return told.stored

    def entries(self, mount: str, prefix: str = "") -> tuple[TokenEntry, ...]:
        """Return all tokens of a mount, from their metadata alone."""
        from codex_runner.vault import tokens

        with self._logged_in() as client:
            return tokens.list_tokens(client, mount, now=time.time(), prefix=prefix)

    def entry(self, target: Target) -> TokenEntry:
        """Return one token, from its metadata alone."""
        from codex_runner.vault import tokens

        with self._logged_in() as client:
            return tokens.entry_of(client, target.place, now=time.time())

    def check(
        self, mount: str, prefix: str = "", *, paths: Sequence[str] = (), within: float, sweep: bool = False
    ) -> Checked:
        """Judge the tokens at `paths`, or all below `prefix`; with `sweep`, destroy what is due on the way."""
        from codex_runner.vault import tokens

        with self._logged_in() as client:
            now = time.time()

            def look() -> tuple[TokenEntry, ...]:
                if paths:
                    return tuple(tokens.entry_of(client, tokens.TokenPlace(mount, path), now=now) for path in paths)
                return tokens.list_tokens(client, mount, now=now, prefix=prefix)

            entries = look()
            swept = tokens.sweep(client, entries, now=now, tell=self._tell) if sweep else {}
            if swept:
                entries = look()
            findings = [(entry, found) for entry in entries for found in tokens.check(entry, now=now, within=within)]
        return Checked(tuple(findings), swept)

    def sweep(self, mount: str, prefix: str = "") -> Mapping[TokenPlace, tuple[int, ...]]:
        """Destroy the retired versions that are due."""
        from codex_runner.vault import tokens

        with self._logged_in() as client:
            now = time.time()
            entries = tokens.list_tokens(client, mount, now=now, prefix=prefix)
            return tokens.sweep(client, entries, now=now, tell=self._tell)

    def destroy(self, target: Target, *, up_to: int | None = None) -> tuple[int, ...]:
        """Destroy Vault's copies of a token, all or `up_to` a version, and return their versions."""
        from codex_runner.vault import tokens

        with self._logged_in() as client:
            return tokens.destroy(client, target.place, up_to=up_to)

    def fetch(self, target: Target) -> Secret:
        """Read the newest version of a token. It needs the right that the workflow's own role has."""
        from codex_runner.vault.auth import Login
        from codex_runner.vault.lease import read_credential

        with self._logged_in() as client:
            login = Login(client.settings.auth.method, None, None, ours=False)
            return read_credential(client, target.spec, login).secret

    def wait_until_refused(self, target: Target, secret: Secret, patience: float) -> None:
        """Return once the service refuses a token. Raises CredentialError if it has not after `patience` seconds.

        A service that is out of reach has refused nothing: raises ModelServiceError if that was the last answer.
        """
        deadline = time.monotonic() + patience
        told = ""
        with self._proofs(target, Dates(0.0, None)) as proofs:
            while True:
                said = proofs.ask(secret)
                if said.answer is LoginAnswer.REFUSED:
                    self._tell(f"refused: {said.words}")
                    return
                left = deadline - time.monotonic()
                if left <= 0:
                    raise _not_refused(target, said)
                state = _STATES[said.answer].format("it")
                if state != told:
                    self._tell(f"{state} ({said.words}); looking again for up to {format_duration(left)}")
                    told = state
                time.sleep(min(_POLL, max(left, 0.1)))

    def _new(self, target: Target, secret: Secret, owner: str, dates: Dates) -> NewToken:
        """Make the token to store, and report what runs would object to by the job's own rules."""
        from codex_runner.vault.storing import NewToken

        token = NewToken(secret, target.workflow, owner, dates.issued, dates.expires, target.spec.field)
        if target.job is not None:
            facts = CredentialFacts(
                source=target.spec.source.value,
                place=target.spec.place,
                workflow=token.workflow,
                owner=token.owner,
                issued_at=token.facts["issued_at"],
                expires_at=token.facts.get("expires_at"),
            )
            occasion = CredentialUse(target.workflow, target.timeout, time.time())
            for finding in judge_credential(facts, target.spec, occasion):
                if finding.outcome is Outcome.REFUSED:
                    self._tell(f"runs of {target.job} will refuse this token: {finding.message} [{finding.rule}]")
        return token

    @contextlib.contextmanager
    def _told(self, target: Target) -> Iterator[_Told]:
        """Report what is stored if an exception, such as a signal's, comes before the command's own report."""
        told = _Told()
        try:
            yield told
        except BaseException:
            if told.stored is not None:
                self._tell(f"the token is stored, as version {told.stored.version} of {target.place}")
            raise

    def _logged_in(self) -> AbstractContextManager[VaultClient]:
        from codex_runner.vault.lease import logged_in

        return logged_in(self._vault, self._environ, self._interruption(), on_retry=self._tell)

    @contextlib.contextmanager
    def _proofs(self, target: Target, dates: Dates) -> Iterator[Proofs]:
        # Not below /tmp: codex warns of a home there, and has no helpers in it.

        state = runs_root(self._environ).parent
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix="token-", dir=state))
        except OSError as error:
            raise ConfigurationError(
                f"{state} is not writable: {error.strerror}.", remedy="Set XDG_STATE_HOME to a writable folder."
            ) from None
        try:
            yield Proofs(target, dates, scratch, self._environ, self._tell, self._follow)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


class _Told:
    stored: Stored | None = None


def _cut_short(client: VaultClient, proof: Callable[[Secret], None]) -> Callable[[Secret], None]:
    """Return a proof that a signal ends at once, even while a login is held."""
    return lambda secret: client.stop.interruptibly(lambda: proof(secret))


_STATES: Final[Mapping[LoginAnswer, str]] = {
    LoginAnswer.TAKEN: "{} still works",
    LoginAnswer.OUT_OF_REACH: "the service is out of reach, so it is unknown whether {} still works",
    LoginAnswer.UNKNOWN: "it is unknown whether {} still works",
}


def _not_refused(target: Target, said: Said) -> RunnerError:
    """Return the error for a token that the service has not refused."""
    state = _STATES[said.answer].format(f"the token of {target.workflow}")
    message = f"{state[0].upper()}{state[1:]}: codex login status: {said.words}. Nothing is destroyed."
    again = "run this again: Vault still has its copies, or give the token on stdin (`-`)."
    if said.answer is LoginAnswer.OUT_OF_REACH:
        remedy = f"Once the service can be reached, {again}"
        return ModelServiceError(message, failure=said.failure or Failure.NETWORK, remedy=remedy)
    return CredentialError(message, remedy=f"Have its owner revoke it at the service that issued it; then {again}")
