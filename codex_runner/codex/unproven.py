"""Refuses a job without a credential before the agent starts, and not after three failed attempts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from codex_runner.domain.errors import CredentialError

if TYPE_CHECKING:
    from codex_runner.domain.host import Install
    from codex_runner.domain.job import Job

# Settings that may point to another service than OpenAI's, which may need no credential.
_ELSEWHERE: Final = frozenset(
    {"model_provider", "model_providers", "openai_base_url", "chatgpt_base_url", "oss_provider", "profile", "profiles"}
)
_OF_THE_SYSTEM: Final = Path("/etc/codex")  # an administrator's settings may point to another service, too


def require_proof(job: Job, install: Install) -> None:
    """Raise CredentialError if codex would use OpenAI's own service without a credential.

    Only if that is certain. A wrapper script in codex's place may bring a key, and so may the system's settings. Those
    of another host are unknown here.
    """
    codex = job.codex
    if job.credential is not None or not job.host.is_here or codex.path or codex.environment:
        return
    if any(name.partition(".")[0] in _ELSEWHERE for name in codex.config):
        return
    if _OF_THE_SYSTEM.exists() or _is_script(Path(install.path)):
        return
    raise CredentialError(
        f"The job {job.name} has no `credential`, and OpenAI's service rejects requests without one.",
        remedy=f"Set its source under [jobs.{job.name}]: `credential = "
        '{ kind = "api_key", source = "env" }` takes it from CODEX_API_KEY; Vault is the better place. If '
        'a proxy adds the credential, set `codex.config.model_provider = "openai"`.',
    )


def _is_script(program: Path) -> bool:
    try:
        with program.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True  # unknown: do not refuse the job
