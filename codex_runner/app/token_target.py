"""A workflow's token: its place, and the codex that will use it."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from codex_runner.config import resolve_codex
from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import CredentialKind, CredentialSource, CredentialSpec
from codex_runner.domain.job import CodexSettings

if TYPE_CHECKING:
    from codex_runner.config import Config
    from codex_runner.vault.token_metadata import TokenPlace


@dataclass(frozen=True, slots=True)
class Target:
    """A workflow's token: its name, its place, and the codex that will use it.

    `job` is the one that the configuration has for it, with its `timeout` in seconds; None if it has none.
    """

    workflow: str
    spec: CredentialSpec
    codex: CodexSettings = field(default_factory=CodexSettings)
    job: str | None = None
    timeout: float = 0.0

    @property
    def place(self) -> TokenPlace:
        """The token's place in Vault."""
        from codex_runner.vault.token_metadata import TokenPlace

        return TokenPlace(self.spec.mount, self.spec.path)


def target_of(  # noqa: PLR0913 - the options of a command
    config: Config | None,
    workflow: str,
    *,
    mount: str | None = None,
    path: str | None = None,
    field: str | None = None,
    kind: CredentialKind | None = None,
) -> Target:
    """Find out what a workflow's token is for: by the job whose credential it is, else by the workflow's name alone.

    `mount`, `path`, `field` and `kind` are stronger than the job's. Without either, the path is the workflow's name.
    """
    spec, codex, name, timeout = CredentialSpec(path=workflow), CodexSettings(), None, 0.0
    if config is not None:
        settings = config.defaults
        jobs = [job for job in config.jobs.values() if job.credential and _keeps(job.credential, workflow)]
        # A job that names the workflow itself comes before one that only has such a path.
        jobs.sort(key=lambda job: job.credential is None or job.credential.workflow != workflow)
        if jobs and (kept := jobs[0].credential):
            settings, spec, name, timeout = jobs[0], kept, jobs[0].name, jobs[0].limits.timeout
            workflow = kept.workflow or workflow  # what a run of that job requires of its token
        codex = resolve_codex(config, settings)
    changes: dict[str, Any] = {"mount": mount, "path": path, "field": field, "kind": kind}
    spec = replace(spec, **{key: value for key, value in changes.items() if value})
    return Target(workflow, spec, codex, name, timeout)


def _keeps(spec: CredentialSpec, workflow: str) -> bool:
    return spec.source is CredentialSource.VAULT and workflow in {spec.workflow, spec.path}
