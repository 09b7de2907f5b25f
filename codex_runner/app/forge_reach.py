"""The ways to a forge with the delivery's credential: git's, and the API."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from codex_runner.app.credentials import default_workflow_of
from codex_runner.app.trust import require_trust
from codex_runner.ci_systems import Pipeline
from codex_runner.credentials.local import SOURCE, take
from codex_runner.dataclass import dataclass
from codex_runner.delivery.github import GitHubForge
from codex_runner.delivery.gitlab import GitLabForge
from codex_runner.delivery.gitlab_job import USER, GitLabJobForge, is_job_token
from codex_runner.delivery.http import DEADLINE, ForgeEndpoint, Timing
from codex_runner.delivery.remote import Remote
from codex_runner.domain.credential import CredentialSource
from codex_runner.domain.delivery import ForgeCredential, ForgeKind
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import Guarded, Warned
from codex_runner.domain.guard_names import OF_DELIVERY
from codex_runner.engine.credential_rules import CredentialUse
from codex_runner.vault.endpoint import proxy_of, require_ca
from codex_runner.vault.lease import borrow

if TYPE_CHECKING:
    from collections.abc import Callable

    from codex_runner.app.forge import ForgePlace
    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.delivery import Forge
    from codex_runner.domain.delivery_spec import DeliveryCredential, DeliverySpec
    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.domain.secret import Secret


# The user name that git over HTTPS sends with a token.
_USERS = {ForgeKind.GITHUB: "x-access-token", ForgeKind.GITLAB: "oauth2", ForgeKind.GIT: "git"}


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of a credential: `tell` gets its guards and warnings, `learn` the secrets, before they are used.

    `again`: it is read a second time, and only what fails is news.
    """

    tell: Callable[[Event], None]
    learn: Callable[[Secret], None]
    again: bool = False


class ForgeReach:
    """Reads the credential of a job's delivery, and opens the ways to a forge with it."""

    def __init__(self, job: Job, spec: DeliverySpec, invocation: Invocation, *, patience: float = DEADLINE) -> None:
        """Read nothing. `patience` is for how many seconds a request to the forge's API is tried."""
        self._job, self._spec, self._invocation, self._patience = job, spec, invocation, patience

    async def to(self, place: ForgePlace, listeners: Listeners) -> tuple[Remote, Forge | None]:
        """Read the credential, and return the ways to a place: git's, and the forge's API. The caller closes the forge.

        The place is asked nothing. The pipeline and the credential are judged as for a run's own credential.
        """
        spec = self._spec
        if spec.ca_file is not None:
            require_ca(spec.ca_file, f"jobs.{self._job.name}.delivery.ca_file")
        credential = None
        # Also without a credential: ssh finds this user's own key, and a folder is written with this user's rights.
        require_trust(self._job, self._invocation.environ, _Renamed(listeners.tell, again=True))
        if spec.credential is not None:
            secret = await self._borrow(spec.credential, listeners)
            user = USER if place.kind is ForgeKind.GITLAB and self._is_of_job(secret) else _USERS[place.kind]
            credential = ForgeCredential(secret, spec.credential.user or user)
        config = self._invocation.ssh_config
        ssh = ("ssh",) if config is None else ("ssh", "-F", str(config))
        remote = Remote(place.url, credential, spec.ca_file or "", ssh)
        return remote, None if credential is None else self._forge(place, credential, listeners)

    def _forge(self, place: ForgePlace, credential: ForgeCredential, listeners: Listeners) -> Forge | None:
        if place.kind is ForgeKind.GIT:
            return None
        proxy = self._spec.proxy or proxy_of(self._invocation.environ, place.api)
        endpoint = ForgeEndpoint(
            place.api, self._spec.ca_file or self._invocation.environ.get("SSL_CERT_FILE") or None, proxy
        )
        timing = Timing(self._patience, on_retry=lambda said: listeners.tell(Warned("retry", said)))
        if place.kind is ForgeKind.GITHUB:
            return GitHubForge(endpoint, credential, place.repository, timing)
        kind = GitLabJobForge if self._is_of_job(credential.secret) else GitLabForge
        return kind(endpoint, credential, place.repository, timing)

    def _is_of_job(self, secret: Secret) -> bool:
        """Whether it is CI_JOB_TOKEN, under whatever name: GitLab lets it push, and read merge requests."""
        token = secret.reveal().strip()
        return is_job_token(token) or Pipeline(self._invocation.environ).gave(token)

    async def _borrow(self, credential: DeliveryCredential, listeners: Listeners) -> Secret:
        """Read the token, and give the login back. It is judged by the rules of any credential."""
        spec, environ = credential.spec, self._invocation.environ
        complete = spec.source is CredentialSource.VAULT
        use = CredentialUse(
            credential.workflow or default_workflow_of(self._job, environ),
            self._job.limits.timeout,
            time.time(),
            complete=complete,
        )
        tell = _Renamed(listeners.tell, again=listeners.again)
        try:
            if complete:
                borrowed = await borrow(
                    spec,
                    self._invocation.vault,
                    use,
                    environment=environ,
                    on_event=tell,
                    on_secret=listeners.learn,
                )
            else:
                borrowed = take(spec, use, environment=environ, on_event=tell, on_secret=listeners.learn)
        except CredentialError as error:
            error.remedy = _remedy(error.remedy, spec.path, use.workflow)
            raise
        return borrowed.credential.secret


class _Renamed:
    """Passes on the guards of the delivery's credential under names of their own: it is not the job's credential."""

    def __init__(self, tell: Callable[[Event], None], *, again: bool) -> None:
        self._tell, self._again = tell, again

    def __call__(self, event: Event) -> None:
        if isinstance(event, Guarded) and (event.failed or not self._again):
            self._tell(dataclasses.replace(event, name=f"{OF_DELIVERY}{event.name}"))
        elif isinstance(event, Warned) and not self._again and event.code != SOURCE:  # a CI system's own token is fine
            self._tell(event)


def _remedy(remedy: str, path: str, workflow: str) -> str:
    """Return what to do about a credential that is the delivery's, not the job's: another key, and another path."""
    put = f"`codex-runner token put {workflow} --path {path} --kind api_key`"
    for name in (path, workflow):
        for command in ("put", "rotate"):  # rotating proves the token of an agent
            remedy = remedy.replace(f"`codex-runner token {command} {name}`", put)
    return remedy.replace("the job's `credential", "the delivery's `credential")
