"""Proves codex's sandbox on the host before the run spends tokens, and hands over the skills in the same request.

If the sandbox does not start, no command of the agent runs, and codex's events do not say so. See `prove.sh`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.codex import survey as surveys
from codex_runner.codex.failures import last_words
from codex_runner.codex.outside import around, missing_folders
from codex_runner.codex.permissions import PROFILE, denied_below_writable
from codex_runner.codex.project import can_hide
from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.event import Guarded, Warned
from codex_runner.domain.failure import Failure
from codex_runner.domain.job import PROOF, Sandbox
from codex_runner.shell.script import shell_script
from codex_runner.text.durations import format_duration
from codex_runner.text.excerpts import end_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from codex_runner.codex.survey import Survey
    from codex_runner.domain.event import Event
    from codex_runner.domain.host import Install
    from codex_runner.domain.job import Job
    from codex_runner.domain.transport_port import Transport

_PATIENCE = 60.0  # seconds
_PART = 30_000  # characters of config.toml in one variable; each may have four bytes

# bubblewrap's messages if the system forbids it to make namespaces, or to mount in them.
_FORBIDDEN = re.compile(r"bwrap: .*(namespace|uid map|gid map|RTM_NEWADDR|mount|not permitted)", re.IGNORECASE)
# codex's errors about invalid settings; errors of its sandbox name a program or a panic.
_OF_SETTINGS = re.compile(r"Error\b(?!.*(bwrap|bubblewrap|panicked|sandbox))", re.DOTALL)
_CHOWN = (
    "Give the folder to the user that runs codex-runner (`chown -R`): the sandbox must make folders in it, and even "
    "as root it has only the rights that the owner gives to others."
)
_READ_CODEX = "Let the profile read codex's own program and the system's folders: `:minimal` by itself does not."
_BY_WORDS = (
    (
        re.compile("symlink"),
        "Replace the symbolic link by its target, or set the job's `cwd` to another folder.",
    ),
    (re.compile(r"bwrap: Can't (mkdir|create)"), _CHOWN),
    (re.compile("execvp"), _READ_CODEX),
)
_USERNS = "codex's sandbox needs unprivileged user namespaces. "
# A file of /proc, its bad value, and the remedy; first match wins.
_SYSCTLS = (
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        _USERNS + "Ubuntu's AppArmor forbids them: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`.",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        _USERNS + "Allow them: `sudo sysctl -w kernel.unprivileged_userns_clone=1`.",
    ),
    ("user/max_user_namespaces", "0", _USERNS + "Allow some: `sudo sysctl -w user.max_user_namespaces=10000`."),
)
_CONTAINER = (
    _USERNS
    + "This is a container: start it with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined` "
    "(in Kubernetes `seccompProfile: {type: Unconfined}`), or, if the container itself isolates the agent, set "
    '`sandbox = "danger-full-access"`.'
)
_SETTINGS = "Correct `codex.config`; `codex-runner run JOB --dry-run` shows the configuration that codex gets."
_ELSE = "Try `codex sandbox` on the host by hand; docs/security.md lists what it needs on each system."


@dataclass(frozen=True, slots=True)
class _Answer:
    """The output of `prove.sh`: its lines by key, in order."""

    lines: tuple[tuple[str, str], ...]

    def all(self, key: str) -> list[str]:
        return [value for name, value in self.lines if name == key]

    def has(self, key: str) -> bool:
        return any(name == key for name, _ in self.lines)


async def prove(  # noqa: PLR0913, PLR0917 - what a proof consists of
    job: Job,
    run_id: str,
    install: Install,
    survey: Survey,
    config: str,
    transport: Transport,
    tell: Callable[[Event], None],
) -> Sequence[str]:
    """Hand over the skills, and try the sandbox. Returns a line `SHA256 PATH` for each skill.

    `config` is the text of the run's config.toml. `tell` gets the guard's outcome and warnings. Raises
    ConfigurationError if the sandbox does not start, or does not enforce the job's `sandbox`. Tries nothing if the job
    has no sandbox.
    """
    sandboxed = job.sandbox is not Sandbox.DANGER_FULL_ACCESS
    sources = survey.sources if can_hide(survey) else ()
    if not sandboxed and not sources:
        return ()
    profile = str(job.codex.config.get("default_permissions", PROFILE)) if sandboxed else ""
    profile = PROFILE if profile.startswith(":") else profile
    done = await transport.ask(
        _script(),
        arguments=(
            *(run_id, install.path, install.bwrap, profile, survey.at, survey.root, survey.commit),
            "\n".join(path for path in missing_folders(install.outside) if "\n" not in path),
            "\n".join(path for path in around(install.outside) if "\n" not in path),
            "\n".join(path for path in denied_below_writable(job, install) if "\n" not in path),
            *sources,
        ),
        environment={
            f"SETTINGS_{number}": config[at : at + _PART] for number, at in enumerate(range(0, len(config), _PART))
        },
        timeout=_PATIENCE,
    )
    lines = done.output.decode("utf-8", "replace").split("\n")
    answer = _Answer(tuple((line.partition(" ")[0], line.partition(" ")[2]) for line in lines))
    where = "" if job.host.is_here else f" on {job.host}"
    if not answer.has("proved") and done.exit_code is not None:
        raise ConfigurationError(
            f"cannot create the run's own CODEX_HOME{where}: {done.last_words or 'the shell printed nothing'}.",
            remedy="Check the free space and the permissions of the folder of run directories (XDG_STATE_HOME).",
        )
    _tell_of_skills(answer, survey, tell)
    if sandboxed:
        wrong = _judge(job, install, answer, own=profile != PROFILE, late=done.exit_code is None)
        message = wrong[0] if wrong else f"proven: it keeps to {job.sandbox.value!r}"
        said = _readable(last_words("\n".join(answer.all("said"))))
        refused = answer.all("proof") != ["0"] and _OF_SETTINGS.match(said) is not None
        failure = (Failure.STARTUP if refused else Failure.REFUSED).value if wrong else None
        tell(Guarded(PROOF, wrong is None, message, done.seconds, failure))
        if wrong is not None and refused:
            raise ConfigurationError(f"codex{where} rejects its configuration: {said}.", remedy=_SETTINGS)
        if wrong is not None:
            raise ConfigurationError(f"codex's sandbox{where}: {wrong[0]}.", remedy=wrong[1])
    return answer.all("handed")


def _script() -> str:
    return f"{surveys.functions()}\n{shell_script('codex_runner.codex', 'prove.sh')}"


def _tell_of_skills(answer: _Answer, survey: Survey, tell: Callable[[Event], None]) -> None:
    for key, why in (("too-large", "more than 2,000 files or 8 MiB"), ("unreadable", "they cannot be read")):
        for path in answer.all(key):
            tell(Warned("instructions", f"{survey.shown(path)}: the skills were left out: {why}."))
    if dropped := len(answer.all("dropped")):
        files = f"{dropped} file{'' if dropped == 1 else 's'}"
        sentence = f"{files} of the skills left out: each leads out of the repository, or is no regular file."
        tell(Warned("instructions", sentence))


def _judge(job: Job, install: Install, answer: _Answer, *, own: bool, late: bool) -> tuple[str, str] | None:
    """Return the sandbox's fault and its remedy. Returns None if it enforces the job's `sandbox`.

    `own`: the job has its own permission profile, which may make the folder read-only.
    """
    codes = answer.all("proof")
    if late:
        return f"gave no answer within {format_duration(_PATIENCE)}", _ELSE
    if answer.has("unwritable") and job.sandbox is Sandbox.WORKSPACE_WRITE and not own:
        return (
            f"{job.cwd} is not writable for this user, and the job's `sandbox` is 'workspace-write'",
            "Give the user the right to write there, or set the job's `sandbox` to 'read-only'.",
        )
    if codes != ["0"] or not (answer.has("wrote") or answer.has("kept-out")):
        said = _readable(last_words("\n".join(answer.all("said")))) or "it printed nothing"
        code = codes[0] if codes else "none"
        return f"does not start (exit code {code}): {end_of(said, 400)}", _remedy(job, install, answer, said)
    if answer.has("read"):
        return (
            "lets the agent read the run's own directory, which it denies",
            "Leave out rules of `codex.config.permissions` that open it.",
        )
    return _judge_write(job, answer, own=own)


def _judge_write(job: Job, answer: _Answer, *, own: bool) -> tuple[str, str] | None:
    """Return the fault and its remedy if a command could write in the folder against `sandbox`, or could not."""
    may_write, wrote = job.sandbox is Sandbox.WORKSPACE_WRITE, answer.has("wrote")
    if wrote == may_write or (may_write and own):
        return None
    if wrote:
        return "lets the agent write in `cwd`, and the job's `sandbox` is 'read-only'", _ELSE
    return "keeps the agent from writing in `cwd`, and the job's `sandbox` is 'workspace-write'", _ELSE


def _remedy(job: Job, install: Install, answer: _Answer, said: str) -> str:
    """Return the remedy for a sandbox that does not start, by its output. Blames the system only if that forbids it."""
    features = job.codex.config.get("features", {})
    if isinstance(features, dict) and features.get("use_legacy_landlock"):
        return (
            "Leave out `codex.config.features.use_legacy_landlock`: with it every command of the agent fails. If the "
            "sandbox does not start without it either, codex-runner says what the system needs."
        )
    if install.old_bwrap and "execvp" in said:
        return (
            f"{install.old_bwrap} is too old for codex's sandbox. Install bubblewrap 0.9.0 or later, or a codex that "
            "brings its own (npm's @openai/codex, PyPI's openai-codex-cli-bin)."
        )
    by_words = next((remedy for words, remedy in _BY_WORDS if words.search(said)), None)
    if by_words is not None or not _FORBIDDEN.search(said):
        return by_words or _ELSE
    known = dict(value.partition(" ")[::2] for value in answer.all("sysctl"))
    of_system = next((remedy for name, bad, remedy in _SYSCTLS if known.get(name) == bad), None)
    return of_system or (_CONTAINER if answer.has("container") else _ELSE)


def _readable(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().rstrip(".")
