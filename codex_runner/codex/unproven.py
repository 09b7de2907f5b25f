"""A job for which codex could not prove who asks: told before the agent is started, not after three attempts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from codex_runner.domain.errors import CredentialError

if TYPE_CHECKING:
    from codex_runner.domain.host import Install
    from codex_runner.domain.job import Job

# Settings that may lead elsewhere than to OpenAI's own service, where a credential may not be needed.
_ELSEWHERE: Final = frozenset(
    {"model_provider", "model_providers", "openai_base_url", "chatgpt_base_url", "oss_provider", "profile", "profiles"}
)
_OF_THE_SYSTEM: Final = Path("/etc/codex")  # an administrator's settings may do the same


def require_proof(job: Job, install: Install) -> None:
    """Raise CredentialError if codex would ask OpenAI's own service, and has nothing to show there.

    Only if that is certain: a program of the user's own in codex's place may bring a key, and so may the settings of
    the system; those of another host are not known here.
    """
    codex = job.codex
    if job.credential is not None or not job.host.is_here or codex.path or codex.environment:
        return
    if any(name.partition(".")[0] in _ELSEWHERE for name in codex.config):
        return
    if _OF_THE_SYSTEM.exists() or _is_script(Path(install.path)):
        return
    raise CredentialError(
        f"The job {job.name} names no `credential`, and without one OpenAI's service answers nothing.",
        remedy=f"Say under [jobs.{job.name}] where it comes from: `credential = "
        '{ kind = "api_key", source = "env" }` takes it from CODEX_API_KEY; Vault is the better place. If '
        'a proxy adds one on the way, say `codex.config.model_provider = "openai"`.',
    )


def _is_script(program: Path) -> bool:
    try:
        with program.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True  # it is not known
