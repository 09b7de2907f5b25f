"""What the runner asks a host about its codex, before a job has its credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.codex import outside, project, survey
from codex_runner.codex.permissions import LOOKED_FOR, writable
from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import CredentialKind
from codex_runner.domain.job import Sandbox
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.domain.job import Job
    from codex_runner.domain.outside import OutsidePath
    from codex_runner.domain.secret import Secret
    from codex_runner.engine.proposal import Proposal

# Those variables of `codex.env` that count for the look itself. So do those of the dynamic loader.
_LOOKED_BY = frozenset(("PATH", "HOME", "TMPDIR", "XDG_STATE_HOME"))


@dataclass(frozen=True, slots=True)
class Question:
    """The arguments of `script`, and those variables of `codex.env` that count for it. No credential is in either."""

    arguments: Sequence[str]
    environment: Mapping[str, Secret]


def script() -> str:
    """Return the script that looks at codex."""
    own = shell_script("codex_runner.codex", "own_home.sh", "preflight.sh")
    return f"{survey.functions()}\n{outside.functions()}\n{own}"


def question(
    job: Job,
    kind: CredentialKind | None,
    *,
    fallback: str | None = None,
    proposal: Proposal | None = None,
    places: Sequence[OutsidePath] = (),
) -> Question:
    """Return what to ask about the codex at the job's path, or else in the host's PATH, or else at `fallback`.

    `kind` is the credential's. `places` are what the agent must not write.
    """
    cwd = folder_of(job)
    may_write = job.sandbox is Sandbox.WORKSPACE_WRITE
    bases = proposal.bases if proposal else ()
    wanted = survey.wanted(project.chosen(job, proposal).value, project.limit(job), project.names(job), bases)
    around = job.codex.environment if kind is CredentialKind.ACCESS_TOKEN else {}
    return Question(
        (
            job.codex.path or "",
            fallback or "",
            cwd,
            wanted,
            "\n".join([cwd, *writable(job)]) if cwd and may_write else "",
            "\n".join(f"{place.kind} {place.path}" for place in places if "\n" not in place.path),
            *LOOKED_FOR,
        ),
        {name: value for name, value in around.items() if name in _LOOKED_BY or name.startswith(("LD_", "DYLD_"))},
    )


def folder_of(job: Job) -> str:
    """Return the job's folder. Returns "" if it is relative: a plan's workspace, or the doctor's, is not made yet."""
    return job.cwd if job.cwd.startswith("/") else ""
