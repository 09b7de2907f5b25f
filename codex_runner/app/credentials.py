"""The source of a job's credential: Vault, a variable, a file, or the CI system's identity."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from codex_runner.app.repository_address import path_of
from codex_runner.app.trust import require_trust
from codex_runner.ci_systems import Pipeline
from codex_runner.credentials.local import check_workload_identity, take
from codex_runner.domain.credential import CredentialFacts, CredentialKind, CredentialSource, Granted
from codex_runner.domain.event import Guarded, Warned
from codex_runner.engine.credential_rules import CredentialUse, default_workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.domain.credential import CredentialSpec, VaultSettings
    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.domain.secret import Secret


class JobCredentials:
    """Implements ports.Credentials. `environ` is the runner's own environment, which holds what logins need."""

    def __init__(self, vault: VaultSettings, environ: Mapping[str, str]) -> None:
        """Reads and asks nothing before `borrow`."""
        self._vault, self._environ = vault, environ

    def require_trust(self, job: Job, tell: Callable[[Event], None]) -> None:
        """See Credentials.require_trust."""

        def tell_refusal(event: Event) -> None:
            if isinstance(event, Guarded) and event.failed:
                tell(event)

        if _has_rights(job):
            require_trust(job, self._environ, tell_refusal)

    async def borrow(  # noqa: PLR0913 - the port's, and the version
        self,
        job: Job,
        *,
        now: float,
        tell: Callable[[Event], None],
        on_retry: Callable[[str], None],
        on_secret: Callable[[Secret], None] = lambda _: None,
        version: int | None = None,
    ) -> Granted:
        """See Credentials.borrow. `version` asks Vault for another version than the newest."""
        spec = job.credential
        if _has_rights(job):
            require_trust(job, self._environ, tell)
        if spec is None:
            if not job.codex.environment:
                tell(Warned("no-credential", "the job names no `credential`, so codex gets none"))
            return Granted()
        if spec.kind is CredentialKind.WORKLOAD_IDENTITY:
            return self._identity(now, tell)

        workflow = workflow_of(spec, job.name, _repository_of(job, self._environ))
        if spec.source is CredentialSource.VAULT:
            from codex_runner.vault.lease import borrow

            occasion = CredentialUse(workflow, job.limits.timeout, now, version=version)
            borrowed = await borrow(
                spec,
                self._vault,
                occasion,
                environment=self._environ,
                on_event=tell,
                on_retry=on_retry,
                on_secret=on_secret,
            )
        else:
            occasion = CredentialUse(workflow, job.limits.timeout, now, complete=False)
            borrowed = take(spec, occasion, environment=self._environ, on_event=tell, on_secret=on_secret)
        credential = borrowed.credential
        return Granted(spec.kind, {spec.environment_variable: credential.secret}, credential.facts)

    def _identity(self, now: float, tell: Callable[[Event], None]) -> Granted:
        identity = check_workload_identity(self._environ, now=now)
        for event in identity.events:
            tell(event)
        facts = CredentialFacts(source="workload_identity", place="OPENAI_IDENTITY_TOKEN_FILE")
        return Granted(CredentialKind.WORKLOAD_IDENTITY, identity.environment, facts)


def _has_rights(job: Job) -> bool:
    """Whether a run acts with more than what started the pipeline has: a delivery may have the rights of this user."""
    return job.credential is not None or bool(job.codex.environment) or job.delivery is not None


def workflow_of(spec: CredentialSpec, job: str, repository: str) -> str:
    """Return the workflow that the credential must name: the spec's, else `<owner>/<repo>/<job>`.

    Outside a CI system, and without a clone that has a remote, `repository` is empty: then it is the path in Vault,
    which `token put` names after the workflow.
    """
    if spec.workflow is not None:
        return spec.workflow
    if not repository and spec.source is CredentialSource.VAULT:
        return spec.path
    return default_workflow(repository, job)


def default_workflow_of(job: Job, environ: Mapping[str, str]) -> str:
    """Return the workflow of a job without a credential that names one: `<owner>/<repo>/<job>`."""
    return default_workflow(_repository_of(job, environ), job.name)


def _repository_of(job: Job, environ: Mapping[str, str]) -> str:
    """Return the repository that a job works for: its workspace's, if it has one of its own."""
    if job.workspace is None:
        return repository_of(job.cwd if job.host.is_here else ".", environ)
    if not job.workspace.is_url:
        return repository_of(job.workspace.repo, environ)
    return repository_of(".", environ) or path_of(job.workspace.repo)


def repository_of(cwd: str, environ: Mapping[str, str]) -> str:
    """Return `<owner>/<repo>` by the CI system, or by the remote `origin` of `cwd`. Returns "" if neither has it."""
    return Pipeline(environ).repository() or origin_of(cwd, environ)


def origin_of(cwd: str, environ: Mapping[str, str]) -> str:
    """Return the name of the remote `origin` of `cwd` at its host: `<owner>/<repo>`, at GitLab with all its groups.

    Returns "" if there is no remote, or no git. For a remote that is a folder, the last two parts count.
    """
    if shutil.which("git", path=environ.get("PATH")) is None:
        return ""
    asked = subprocess.run(
        ["git", "-C", cwd, "remote", "get-url", "origin"],  # noqa: S607 - the user's git
        capture_output=True,
        check=False,
        env={"PATH": environ.get("PATH", ""), "HOME": environ.get("HOME", "/")},
    )
    return path_of(asked.stdout.decode("utf-8", "replace").strip())
