"""Changes that a pull or merge request makes to the configuration of its own run: none goes unnoticed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from codex_runner.codex.survey import functions, read_answers
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import Guarded, Warned
from codex_runner.domain.failure import Failure
from codex_runner.shell.script import shell_script
from codex_runner.transports.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.engine.proposal import Proposal

GUARD = "trusted-config"
_PATIENCE = 60.0  # seconds
_MOST = 500  # paths to compare
_VARIABLE = 100_000  # bytes
# Characters that end a word of a command, quotes and expansions among them.
_SEPARATORS = re.compile(r"[\s;|&()<>\"'=`${}\\,]+")


def named_files(job: Job, files: Sequence[Path]) -> list[str]:
    """Return what may be a file that configures the run, relative to the folder of codex-runner.toml, `files[0]`.

    `files` come first. Then come words of the job's commands and of its settings for codex that may name a file
    below that folder or below `cwd`. Most of them name no file: the comparison ignores what does not exist.
    """
    top = files[0].parent
    folders = ["."]
    if job.workspace is not None:
        folders.append(job.cwd)
    elif job.host.is_here:
        folders.append(os.path.relpath(job.cwd, top))
    commands = [check.run for check in job.checks]
    if job.gate is not None and job.gate.command:
        commands.append(job.gate.command)
    words = [word for text in (*commands, *_texts(job.codex.config)) for word in _words(text)]
    # A command may go to a folder first (`cd ci && sh check.sh`).
    folders += [os.path.join(each, word) for each in folders for word in words if os.path.isdir(top / each / word)]  # noqa: PTH112, PTH118 - Path raises on a long name
    found = [os.path.relpath(file, top) for file in files]
    found += [os.path.normpath(os.path.join(each, word)) for each in folders for word in words]  # noqa: PTH118
    found += [os.path.relpath(word, top) for word in (*words, job.codex.path or "") if word.startswith("/")]
    return [name for name in dict.fromkeys(found) if not name.startswith("../") and "\n" not in name][:_MOST]


def _within(text: str) -> str:
    """Return the whole lines of `text` that fit into one variable, of 128 KiB at most."""
    data = os.fsencode(text)
    return text if len(data) <= _VARIABLE else os.fsdecode(data[:_VARIABLE].rpartition(b"\n")[0])


def _words(text: str) -> list[str]:
    """Return what may be a path in a command, and the ends of it: `$PWD/ci/check.sh` has `ci/check.sh`."""
    words = _SEPARATORS.split(text)
    ends = [word.split("/", 1)[1] for word in words if "/" in word.strip("/")]
    return [word for word in dict.fromkeys([*words, *ends]) if word.strip("./") and len(word) < 1024]


def _texts(value: object) -> Iterator[str]:
    """Yield every string of nested tables."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _script() -> str:
    return f"{functions()}\n{shell_script('codex_runner.app', 'proposed.sh')}"


class ProposedConfig:
    """Implements ports.ConfigTrust. `files` configure the run, codex-runner.toml first."""

    def __init__(self, proposal: Proposal, job: Job, files: Sequence[Path], environ: Mapping[str, str]) -> None:
        """Compares nothing yet."""
        self._proposal, self._job, self._environ = proposal, job, environ
        self._folder, self._files = files[0].parent, named_files(job, files)

    async def judge(self, tell: Callable[[Event], None]) -> Mapping[str, Any]:
        """See ConfigTrust.judge."""
        differs, problem = await self._compare()
        required = self._job.trust.base_config
        name = self._proposal.name
        if problem:
            message = f"codex-runner cannot tell if {name} changes the configuration of this run: {problem}"
        elif differs:
            message = f"{name} changes files that configure this run: {', '.join(differs)}."
        else:
            message = f"{name} changes no file that configures this run."
        message = message[0].upper() + message[1:]
        facts = {"proposal": {"name": name, "changed_config": None if problem else differs}}
        if not problem and not differs:
            if required:
                tell(Guarded(GUARD, True, message))
            return facts
        if not required:
            tell(Warned(GUARD, f"{message} Review them before you trust the result."))
            return facts
        tell(Guarded(GUARD, False, message, failure=Failure.CREDENTIAL.value))
        raise CredentialError(
            f'This pipeline gets no credential, because `trusted_config` is "base". {message}',
            remedy="Have these files reviewed and merged first, in a change of their own; check out the whole history "
            "(`fetch-depth: 0`, GIT_DEPTH=0).",
        )

    async def _compare(self) -> tuple[list[str], str]:
        """Return the files that differ from the base, and the reason if they could not be compared."""
        transport = LocalTransport(self._environ)
        done = await transport.ask(
            _script(),
            arguments=("\n".join(self._proposal.bases), str(self._folder)),
            # Not on a command line: a word of codex's settings may be a secret.
            environment={"FILES": _within("\n".join(self._files))},
            timeout=_PATIENCE,
        )
        found = read_answers(done.output.decode("utf-8", "surrogateescape").split("\n"))
        if "compared" not in found:
            return [], f"git could not compare them ({done.last_words or 'no reason was given'})."
        if "base" not in found:
            said = "".join(f" git says: {line}." for line in found.get("no-base", ()) if line)
            return [], f"its base commit is not in this clone.{said} Check out the whole history."
        return found.get("differs", []), ""
