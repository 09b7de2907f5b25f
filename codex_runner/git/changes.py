"""What an agent changed in a git working tree, found by git on the host and not by asking the agent.

`snapshot` comes before the agent, `changes` and `patch` after it, as often as one likes. All that they keep is in the
run's directory on the host and goes with it (`Transport.discard`); the repository is only read. How it is done, and why
an agent cannot fool it, is written at the top of changes.sh.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.change import show_path
from codex_runner.domain.cksum import cksum
from codex_runner.domain.errors import ConfigurationError, HostError, RunnerError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.git.diff_reader import Changes, GitAnswer, pairs, text, unquote
from codex_runner.shell.script import shell_script
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.change import Change
    from codex_runner.domain.host import Completed
    from codex_runner.domain.ports import Transport

_PAGE = 768 * 1024  # bytes: below what an answer may have (Transport.ask)
# In this order: functions first, the call last.
_PARTS = ("guard", "tree", "rules", "nested", "history", "changes")

_ANSWER = re.compile(rb"ok (\d+) (\d+)\n")


class NotRepositoryError(ConfigurationError):
    """The workspace is in no git repository whose files could be compared."""

    default_remedy = "Run `git init` there, or leave out the settings that need git (path rules, `max_changed_lines`)."


NO_GIT = "git is not installed on this host."


class NoGitError(ConfigurationError):
    """The host has no git: nothing can be said of what the agent changes there."""

    default_remedy = "Install git on the host that executes, or leave out the settings that need it."


class TamperedError(HostError):
    """What was noted before the agent is gone or was changed: nothing can be said of what the agent did."""

    default_remedy = (
        "An agent with `danger-full-access` can have done it; else something outside of its sandbox, such as a "
        "clean-up of the state folder. Look at the host before you trust it."
    )


class TreeTimeoutError(RunnerError):
    """The job's time ran out while git looked at the working tree."""

    exit_code = ExitCode.TIMEOUT
    default_remedy = (
        "Raise the job's `timeout`; look at the repository's size, and at files that .gitignore should name."
    )


@dataclass(frozen=True, slots=True)
class Before:
    """The state of a working tree, noted before the agent. All its fields are texts, so it can be kept in a record.

    `top` is the repository's top on the host; `head` the commit, empty before the first one; `tree` the id of all that
    was there, uncommitted files included. `seal` is a hash of what is kept on the host. `dirty`: the tree was not
    that of `head`. `unwatched` names submodules too strangely named to be looked into.
    """

    run_id: str
    seal: str
    top: str
    head: str
    tree: str
    dirty: bool
    unwatched: tuple[str, ...] = ()


async def snapshot(
    transport: Transport, cwd: str, run_id: str, *, skip: Sequence[str] = (), timeout: float = 300.0
) -> Before:
    """Note the working tree around `cwd`. `skip`: absolute folders on the host that are not the agent's doing.

    NotRepositoryError where there is none. Calling it again for the same run starts anew.
    """
    facts = dict(pairs(await _ask(transport, cwd, ("snapshot", run_id, *skip), timeout)))
    unwatched = tuple(text(unquote(line)) for line in facts[b"unwatched"].splitlines())
    tree = text(facts[b"tree"])
    return Before(
        run_id,
        text(facts[b"seal"]),
        text(facts[b"top"]),
        text(facts[b"head"]),
        tree,
        dirty=tree != text(facts[b"committed"]),
        unwatched=unwatched,
    )


async def changes(transport: Transport, before: Before, *, timeout: float = 300.0) -> Changes:
    """Compare the working tree with what it was. Ignored files are left out, as git leaves them out.

    TamperedError where what was noted has been touched.
    """
    answer = await _ask(transport, None, ("changes", before.run_id, before.seal), timeout)
    return GitAnswer(answer).read()


async def patch(transport: Transport, before: Before, *, timeout: float = 300.0) -> bytes:
    """Return what the last `changes` found as a patch for `git apply`, with new and binary files. Not redacted."""
    return await _ask(transport, None, ("patch", before.run_id, before.seal), timeout)


async def committed(transport: Transport, before: Before, *, timeout: float = 300.0) -> bytes:
    """Return the patches of the commits that the last `changes` found, one behind the other. Not redacted."""
    return await _ask(transport, None, ("commits", before.run_id, before.seal), timeout)


def diffstat(changed: Sequence[Change]) -> str:
    """Say it in a line a path, such as `docs/a.md | 3 +2 -1`, and a line of totals; empty where nothing changed."""
    if not changed:
        return ""
    rows = []
    for change in changed:
        name = change.shown if change.old_path is None else f"{show_path(change.old_path)} => {change.shown}"
        much = f"+{change.lines_added} -{change.lines_deleted}" + (" binary" if change.binary else "")
        said = "; ".join(filter(None, (change.note, "newly ignored" if change.newly_ignored else "")))
        rows.append(f"{name} | {change.kind.value} {much}" + (f" ({said})" if said else ""))
    files = f"{len(changed)} file{'' if len(changed) == 1 else 's'} changed"
    added, deleted = sum(c.lines_added for c in changed), sum(c.lines_deleted for c in changed)
    return "\n".join([*rows, f"{files}, {added} lines added, {deleted} lines deleted"]) + "\n"


# --- asking the host -------------------------------------------------------------------------------------------------


def script() -> str:
    """Return what runs on the host, comments and all, as one text."""
    parts = shell_script("codex_runner.git", *(f"{part}.sh" for part in _PARTS))
    return f"{shell_script('codex_runner.shell', 'points.sh')}\n{parts}"


async def _ask(transport: Transport, cwd: str | None, arguments: tuple[str, ...], timeout: float) -> bytes:
    """Run the script and bring home its whole answer, page by page, within `timeout` seconds in all."""
    whole, until = script(), time.monotonic() + timeout
    done = await transport.ask(whole, cwd=cwd, timeout=timeout, arguments=arguments)
    if done.exit_code is None:
        raise TreeTimeoutError(
            f"git could not look at the workspace in {format_duration(timeout)}, and more is not left."
        )
    said = _ANSWER.match(done.output)
    if said is None:
        raise _error(done)
    size, checksum = int(said[1]), int(said[2])
    answer = bytearray(done.output[said.end() :])
    while len(answer) < size:
        page = ("page", arguments[1], str(len(answer)), str(_PAGE))
        more = await transport.ask(whole, timeout=max(1.0, until - time.monotonic()), arguments=page)
        if not more.output:
            break
        answer += more.output
    if len(answer) != size or cksum(bytes(answer)) != checksum:
        raise HostError(f"git's answer did not arrive whole: {len(answer)} of {size} bytes.")
    return bytes(answer)


def _error(done: Completed) -> RunnerError:
    word, _, rest = done.output.partition(b" ")
    code, _, message = text(rest).strip().partition(" ") if word == b"error" else ("failed", "", done.last_words)
    match code:
        case "no-repository":
            return NotRepositoryError(f"The workspace is in no usable git repository: {message}")
        case "no-git":
            return NoGitError(f"{message}.")
        case "special":
            return ConfigurationError(
                f"The workspace cannot be looked at: {message}.", remedy="Remove it: a fifo or device there is a trap."
            )
        case "tampered":
            return TamperedError(f"What was noted of the workspace before the agent is lost: {message}.")
        case _:
            return HostError(
                f"Looking at the workspace's changes failed: {message}", remedy="Try `git status` there by hand."
            )
