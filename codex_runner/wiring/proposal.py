"""What a pull or merge request may change of its own run: nothing silently."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import Guarded, Warned
from codex_runner.domain.job import LOCAL_HOST
from codex_runner.domain.run import Failure
from codex_runner.engine.proposal import Proposal, proposal_of
from codex_runner.wiring.trust import read_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job

GUARD = "trusted-config"
_PATIENCE = 60.0  # seconds


def proposal_at(environ: Mapping[str, str]) -> Proposal | None:
    """Return the pull or merge request that this pipeline works on, None outside of any."""
    return proposal_of(environ, read_event(environ.get("GITHUB_EVENT_PATH", "")))


def check_scripts(job: Job) -> list[Path]:
    """Return the files that the commands of the job's checks name, as far as they lie on this machine."""
    if job.host != LOCAL_HOST or job.workspace is not None:
        return []
    found = []
    for check in job.checks:
        try:
            words = shlex.split(check.run, comments=True)
        except ValueError:  # quotes that only a shell understands
            words = check.run.split()
        found += [path for word in words if "\0" not in word and (path := Path(job.cwd, word)).is_file()]
    return found


def _script() -> str:
    from codex_runner.codex.survey import functions  # noqa: PLC0415 - on proposals alone

    text = resources.files("codex_runner.wiring").joinpath("proposed.sh").read_text(encoding="utf-8")
    return f"{functions()}\n{text}"


class ProposedConfig:
    """Implements ports.ConfigTrust. `files` configure the run, codex-runner.toml first."""

    def __init__(self, proposal: Proposal, job: Job, files: Sequence[Path], environ: Mapping[str, str]) -> None:
        """Nothing is compared yet."""
        self._proposal, self._job, self._environ = proposal, job, environ
        self._files = list(dict.fromkeys([*files, *check_scripts(job)]))

    async def judge(self, tell: Callable[[Event], None]) -> Mapping[str, Any]:
        """See ConfigTrust.judge."""
        differs, problem = await self._compare()
        required = self._job.trust.base_config
        name = self._proposal.name
        if problem:
            message = f"Whether {name} changes the configuration of this run is not known: {problem}"
        elif differs:
            message = f"{name} changes what configures this run: {', '.join(differs)}."
        else:
            message = f"{name} changes nothing that configures this run."
        message = message[0].upper() + message[1:]
        facts = {"proposal": {"name": name, "changed_config": None if problem else differs}}
        if not problem and not differs:
            if required:
                tell(Guarded(GUARD, True, message))
            return facts
        if not required:
            tell(Warned(GUARD, f"{message} Review them before you believe the result."))
            return facts
        tell(Guarded(GUARD, False, message, failure=Failure.CREDENTIAL.value))
        raise CredentialError(
            f'This pipeline gets no credential, since `trusted_config` is "base". {message}',
            remedy="Have these files reviewed and merged first, in a change of their own; check out the whole history "
            "(`fetch-depth: 0`, GIT_DEPTH=0).",
        )

    async def _compare(self) -> tuple[list[str], str]:
        """Return the files that differ from the base, and why they could not be compared, empty if they were."""
        from codex_runner.codex.survey import read_answers  # noqa: PLC0415 - on proposals alone
        from codex_runner.transports.local import LocalTransport  # noqa: PLC0415

        transport = LocalTransport(self._environ)
        done = await transport.ask(
            _script(),
            cwd=str(self._files[0].parent),
            arguments=("\n".join(self._proposal.bases), *map(str, self._files)),
            timeout=_PATIENCE,
        )
        found = read_answers(done.output.decode("utf-8", "surrogateescape").split("\n"))
        if "compared" not in found:
            return [], f"git could not compare them ({done.last_words or 'no reason was given'})."
        if "base" not in found:
            said = "".join(f" git says: {line}." for line in found.get("no-base", ()) if line)
            return [], f"its base commit is not in this clone.{said} Check out the whole history."
        return found.get("differs", []), ""
