"""Finds what an agent changed in a git working tree: it runs git on the host, and does not ask the agent.

Call `snapshot` before the agent, `changes` and `patch` after it, as often as you like. They keep everything in the
run's directory on the host (`Transport.discard` removes it), and only read the repository. The top of changes.sh says
how it works, and why an agent cannot deceive it.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.change import show_path
from codex_runner.domain.cksum import cksum
from codex_runner.domain.errors import ConfigurationError, DeliveryError, HostError, RunnerError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.git.diff_reader import Changes, GitAnswer, pairs, text, unquote
from codex_runner.shell.script import shell_script
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.change import Change
    from codex_runner.domain.host import Completed
    from codex_runner.domain.transport_port import Transport

_PAGE = 768 * 1024  # bytes: below what an answer may have (Transport.ask)
# In this order: functions first, the call last.
_PARTS = ("guard", "tree", "rules", "nested", "history", "changes")
_DELIVERY = (*_PARTS[:-1], "delivered", _PARTS[-1])

_ANSWER = re.compile(rb"ok (\d+) (\d+)\n")


class NotRepositoryError(ConfigurationError):
    """The workspace is in no git repository with files to compare."""

    default_remedy = (
        "Set `cwd` to a clone, or leave out the settings that need git: `delivery`, path rules, `must_change`, "
        "`max_changed_lines`, `secret_scan`."
    )


NO_GIT = "git is not installed on this host."


class NoGitError(ConfigurationError):
    """The host has no git, so the agent's changes there are unknown."""

    default_remedy = "Install git on the host that executes, or leave out the settings that need git."


class TamperedError(HostError):
    """The snapshot from before the agent was removed or changed, so the agent's changes are unknown."""

    default_remedy = (
        "Check the host before you trust it. An agent with `danger-full-access` may have changed the snapshot, or "
        "another program outside of the agent's sandbox, such as a clean-up of the state folder."
    )


class TreeTimeoutError(RunnerError):
    """The job's time ran out while git read the working tree."""

    exit_code = ExitCode.TIMEOUT
    default_remedy = "Raise the job's `timeout`, or give git less to read: add generated files to .gitignore."


@dataclass(frozen=True, slots=True)
class Before:
    """Snapshot of a working tree, from before the agent. All its fields are texts, so a record can hold it.

    `top` is the repository's top on the host; `head` the commit, empty before the first one; `tree` the id of a tree
    of all files, uncommitted ones included. `seal` is a hash of the files kept on the host. `dirty`: the tree was not
    that of `head`. `unwatched` are submodules that are not compared, since their names are too strange.
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
    """Take a snapshot of the working tree around `cwd`. `skip`: absolute folders on the host to ignore.

    Raises NotRepositoryError if there is none. A second call for the same run replaces the first snapshot.
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
    """Compare the working tree with the snapshot. Files that git ignores are left out.

    Raises TamperedError if the snapshot was changed.
    """
    answer = await _ask(transport, None, ("changes", before.run_id, before.seal), timeout)
    return GitAnswer(answer).read()


async def patch(transport: Transport, before: Before, *, timeout: float = 300.0) -> bytes:
    """Return the findings of the last `changes` as a patch for `git apply`, new and binary files too. Not redacted."""
    return await _ask(transport, None, ("patch", before.run_id, before.seal), timeout)


async def committed(transport: Transport, before: Before, *, timeout: float = 300.0) -> bytes:
    """Return the concatenated patches of the commits that the last `changes` found. Not redacted."""
    return await _ask(transport, None, ("commits", before.run_id, before.seal), timeout)


def diffstat(changed: Sequence[Change]) -> str:
    """Return a line for each path, such as `docs/a.md | 3 +2 -1`, and a line of totals. Returns "" for no change."""
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


def script(*, delivery: bool = False) -> str:
    """Return the host's script as one text, with its comments. `delivery` adds the part for deliveries."""
    parts = shell_script("codex_runner.git", *(f"{part}.sh" for part in (_DELIVERY if delivery else _PARTS)))
    return f"{shell_script('codex_runner.shell', 'points.sh')}\n{parts}"


async def ask_for_delivery(transport: Transport, before: Before, timeout: float) -> bytes:
    """Return what the last `changes` comes to as a delivery, in the words of delivered.sh."""
    return await _ask(transport, None, ("deliver", before.run_id, before.seal), timeout, script(delivery=True))


async def _ask(
    transport: Transport, cwd: str | None, arguments: tuple[str, ...], timeout: float, whole: str | None = None
) -> bytes:
    """Run the script and fetch its whole answer, page by page, within `timeout` seconds in total."""
    whole, until = whole or script(), time.monotonic() + timeout
    done = await transport.ask(whole, cwd=cwd, timeout=timeout, arguments=arguments)
    if done.exit_code is None:
        raise TreeTimeoutError(
            f"git could not read the workspace within {format_duration(timeout)}, the rest of the job's time."
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
                f"git cannot read the workspace: {message}.", remedy="Remove the fifo or device: it would block git."
            )
        case "tampered":
            return TamperedError(f"The snapshot of the workspace from before the agent is lost: {message}.")
        case "undeliverable":
            return DeliveryError(f"The agent's changes cannot be delivered: {message}.")
        case _:
            return HostError(
                f"git could not find the workspace's changes: {message}", remedy="Try `git status` there by hand."
            )
