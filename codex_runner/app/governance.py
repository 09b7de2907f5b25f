"""The questions of a review about one job, each answered by a system that knows, or `not known`. Starts nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from codex_runner.app.compose import looking_agent, transport_to
from codex_runner.app.credentials import JobCredentials
from codex_runner.app.delivered_tree import origin_of_tree
from codex_runner.app.forge import place_of
from codex_runner.app.repository_address import without_user
from codex_runner.config import resolve_job, variables_of
from codex_runner.domain.credential import AppRoleAuth, CredentialSource, Granted
from codex_runner.domain.errors import RunnerError
from codex_runner.domain.event import Guarded
from codex_runner.domain.governance import Attested, Topic
from codex_runner.domain.job import PROOF
from codex_runner.domain.run import new_run_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from codex_runner.app.invocation import Invocation
    from codex_runner.config import Config
    from codex_runner.domain.delivery_spec import DeliverySpec
    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.bounded import StopFlag

_ONCE = "the login's secret id works only once, and the run needs it"


class Review:
    """A review of one job. It leaves nothing behind: no login, no file, no process."""

    def __init__(
        self,
        config: Config,
        job: str,
        invocation: Invocation,
        tell: Callable[[str], None],
        learn: Callable[[Secret], None],
    ) -> None:
        """Resolve the job. `tell` gets a line of progress, `learn` each secret before it is used.

        Raises ConfigurationError if the job cannot be resolved.
        """
        needed = dict.fromkeys(variables_of(config, job), "")
        self._job: Job = resolve_job(config, job, variables=needed)
        self._config, self._invocation, self._tell, self._learn = config, invocation, tell, learn
        auth = config.vault.auth
        self._is_once = isinstance(auth, AppRoleAuth) and (auth.wrapped or auth.single_use)

    def ask_vault(self, interruption: AbstractContextManager[StopFlag]) -> list[Attested]:
        """Ask Vault what the job's login may do."""
        facts = ("vault_own_path", "vault_other_paths", "vault_mounts")
        spec = self._job.credential
        if spec is None or spec.source is not CredentialSource.VAULT:
            why = "the job logs in to no Vault for its credential"
            return [Attested(Topic.SECRETS, fact, why=why) for fact in facts]
        if self._is_once:
            return [Attested(Topic.SECRETS, fact, why=_ONCE) for fact in facts]
        from codex_runner.vault.capabilities import vault_answers

        return vault_answers(spec, self._config.vault, self._invocation.environ, interruption, on_retry=self._tell)

    async def ask(self) -> list[Attested]:
        """Ask everything else: the token's facts, the forge, the sandbox, the configuration."""
        answers = [*await self._token(), *self._pull_request(), *self._logs(), *self._walls()]
        try:
            transport = transport_to(self._job.host, self._invocation)
        except RunnerError as error:
            return [*answers, *self._unreached(error)]
        try:
            return [*answers, *await self._forge(transport), await self._proof(transport)]
        except RunnerError as error:
            return [*answers, *self._unreached(error)]
        finally:
            await transport.close()

    def _unreached(self, error: RunnerError) -> Iterator[Attested]:
        for question, fact in (
            (Topic.TOKEN_OWNER, "delivery_token_account"),
            (Topic.REPOSITORIES, "delivery_repositories"),
            (Topic.PROTECTION, "protected"),
            (Topic.SECRETS, "sandbox_proof"),
        ):
            yield Attested(question, fact, why=error.message)

    async def _token(self) -> Sequence[Attested]:
        spec, names = self._job.credential, ("owner", "workflow", "expires_at")
        if spec is None:
            return [Attested(Topic.TOKEN_OWNER, "source", "none", self._key("credential"))]
        found = [
            Attested(Topic.TOKEN_OWNER, "kind", spec.kind.value, self._key("credential.kind")),
            Attested(Topic.TOKEN_OWNER, "source", spec.source.value, self._key("credential.source")),
            Attested(Topic.TOKEN_OWNER, "place", spec.place, self._key("credential")),
        ]
        if self._is_once and spec.source is CredentialSource.VAULT:
            return [*found, *(Attested(Topic.TOKEN_OWNER, name, why=_ONCE) for name in names)]
        try:
            granted = await JobCredentials(self._config.vault, self._invocation.environ).borrow(
                self._job, now=time.time(), tell=_ignore, on_retry=self._tell, on_secret=self._learn
            )
        except RunnerError as error:
            return [*found, *(Attested(Topic.TOKEN_OWNER, name, why=error.message) for name in names)]
        for secret in granted.secrets:
            self._learn(secret)
        facts = granted.facts
        version = "" if facts is None or facts.version is None else f", version {facts.version}"
        place = "" if facts is None else f"{facts.source} {facts.place}{version}"
        for name in names:
            value = None if facts is None else getattr(facts, name)
            why = "" if value else "nothing is stored beside the token"
            found.append(Attested(Topic.TOKEN_OWNER, name, value, f"{place}, field {name}" if value else "", why))
        return found

    async def _forge(self, transport: Transport) -> Sequence[Attested]:
        spec = self._job.delivery
        if spec is None:
            none = "none: the job delivers nothing"
            return [Attested(Topic.REPOSITORIES, "delivery", none, self._key("delivery"))]
        try:
            return await self._ask_forge(spec, transport)
        except RunnerError as error:
            asked = (
                (Topic.TOKEN_OWNER, "delivery_token_account"),
                (Topic.REPOSITORIES, "delivery_repositories"),
                (Topic.PROTECTION, "protected"),
            )
            return [Attested(question, fact, why=error.message) for question, fact in asked]

    async def _ask_forge(self, spec: DeliverySpec, transport: Transport) -> Sequence[Attested]:
        from codex_runner.app.forge_reach import ForgeReach, Listeners

        environ = self._invocation.environ
        origin = without_user(await origin_of_tree(self._job, transport, environ))
        place = place_of(self._job.name, spec, origin, environ)
        remote, forge = await ForgeReach(self._job, spec, self._invocation).to(place, Listeners(_ignore, self._learn))
        named = Attested(Topic.REPOSITORIES, "delivery", remote.shown, self._key("delivery"))
        if forge is None:
            why = "a plain git remote has no API that says so"
            return [
                named,
                Attested(Topic.REPOSITORIES, "delivery_repositories", why=why),
                Attested(Topic.PROTECTION, "protected", why=why),
            ]
        try:
            return [named, *await forge.governance(spec.base)]
        finally:
            await forge.aclose()

    def _pull_request(self) -> Iterator[Attested]:
        question, spec = Topic.BAD_PULL_REQUEST, self._job.delivery
        if spec is None:
            yield Attested(question, "delivery", "none: the job opens no pull request", self._key("delivery"))
            return
        yield Attested(question, "merged_by_runner", False, "codex_runner.domain.delivery.Forge: no method merges")
        for name in ("draft", "on_held", "if_unchanged", "reopen", "signing"):
            value = getattr(spec, name)
            yield Attested(question, name, getattr(value, "value", value), self._key(f"delivery.{name}"))
        checks = [check.name for check in self._job.checks]
        yield Attested(question, "checks_before_delivery", checks, self._key("checks"))
        allowed = self._job.rules.allowed_paths
        value = "every path" if allowed is None else list(allowed)
        yield Attested(question, "allowed_paths", value, self._key("allowed_paths"))

    def _logs(self) -> Iterator[Attested]:
        config, question = self._config, Topic.LOGS
        yield Attested(question, "runs", str(config.output_dir), "the configuration, output_dir")
        file = config.audit.file
        yield Attested(question, "audit_file", str(file) if file else "none", "the configuration, audit.file")
        yield Attested(question, "syslog", config.audit.syslog, "the configuration, audit.syslog")
        yield Attested(question, "notified", [each.name for each in config.notify], "the configuration, notify")
        yield Attested(question, "host_retention_seconds", self._job.limits.retention, self._key("host_retention"))
        yield Attested(question, "codex_service", why="what the model's service keeps is not the runner's to know")

    def _walls(self) -> Iterator[Attested]:
        job, question = self._job, Topic.SECRETS
        yield Attested(question, "sandbox", job.sandbox.value, self._key("sandbox"))
        yield Attested(question, "host", str(job.host), self._key("host"))

    async def _proof(self, transport: Transport) -> Attested:
        """Try the sandbox as a run would, in a run's directory that is removed afterwards."""
        question, fact = Topic.SECRETS, "sandbox_proof"
        if self._job.workspace is not None:
            return Attested(question, fact, why="the workspace is made by a run alone; each run proves its sandbox")
        told: list[Event] = []
        run_id = new_run_id("doctor")
        try:
            prepared = await looking_agent(self._job, self._invocation.environ).prepare(
                self._job, transport, Granted(), told.append
            )
            transport.name_run(run_id)
            try:
                await prepared.prove(self._job, run_id, transport, told.append)
            finally:
                await transport.discard(run_id)
                transport.name_run(None)
        except RunnerError as error:
            return Attested(question, fact, why=error.message)
        for event in told:
            if isinstance(event, Guarded) and event.name == PROOF and event.judged:
                said: dict[str, Any] = {"outcome": event.outcome, "told": event.message}
                return Attested(question, fact, said, "the sandbox's proof, just now")
        return Attested(question, fact, why="the sandbox cannot be tried here")

    def _key(self, name: str) -> str:
        return f"the configuration, jobs.{self._job.name}.{name}"


def _ignore(_: Event) -> None:
    """Drop the event: errors are raised, and what is known is in the result."""
