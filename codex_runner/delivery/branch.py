"""The decision what a delivery does with its branch: pure, from what the record and the forge say.

One branch a workflow and target. The runner moves it only while its tip is a commit that the runner is known to have
pushed. What a person has done to the branch or to the pull request, it leaves alone.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.delivery import DeliveryState, IfUnchanged, PullState, Reopen

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from codex_runner.domain.delivery import DeliveryRecord, PullRequest


class Move(StrEnum):
    """What is to be done."""

    CREATE = "create"  # push the branch, and open a pull request
    UPDATE = "update"  # push the branch, and set the text of the open pull request
    CLOSE = "close"  # close the open pull request: nothing is left to deliver
    NOTHING = "nothing"
    HELD = "held"
    CLOSED = "closed"


_STATES = {
    Move.CREATE: DeliveryState.DELIVERED,
    Move.UPDATE: DeliveryState.UPDATED,
    Move.CLOSE: DeliveryState.UNCHANGED,
    Move.NOTHING: DeliveryState.UNCHANGED,
    Move.HELD: DeliveryState.HELD,
    Move.CLOSED: DeliveryState.CLOSED,
}


@dataclass(frozen=True, slots=True)
class DeliveryTarget:
    """The identity of a delivery: the workflow and the target by which the record knows it, and its two branches.

    `protected` are further branches that no delivery may write, such as the repository's default branch.
    """

    workflow: str
    target: str
    branch: str
    base: str
    protected: Collection[str] = ()

    @property
    def is_protected(self) -> bool:
        """Whether no delivery may write the branch."""
        return self.branch == self.base or self.branch in self.protected


@dataclass(frozen=True, slots=True)
class Found:
    """What there is. `tip` is the remote branch's commit, "" if there is no such branch.

    `pulls` are its pull requests, the newest first; none for a plain remote. `record` is the last delivery's: from the
    open or the newest pull request, or from a plain remote's ref. A plain remote has none once its tip is part of the
    base. `ours` are further commits that the runner is known to have pushed: a run that was killed after the push left
    no pull request. `base_changed`: since the pull request was closed, the base got a change in the files that matter.
    None means that this is not known. `may_be_ours`: only the change tells if the tip is ours, and there is none yet.
    """

    tip: str = ""
    pulls: Sequence[PullRequest] = ()
    record: DeliveryRecord | None = None
    ours: Collection[str] = ()
    base_changed: bool | None = None
    may_be_ours: bool = False

    @property
    def open_pull(self) -> PullRequest | None:
        """The open pull request."""
        return next((pull for pull in self.pulls if pull.state is PullState.OPEN), None)


@dataclass(frozen=True, slots=True)
class DeliveredChange:
    """The change to deliver: the tree on the base as it is now. `is_empty`: the agent changed nothing."""

    tree: str
    base: str
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """The job's answers. `plain`: the target is a plain remote, which has no pull requests."""

    if_unchanged: IfUnchanged = IfUnchanged.SKIP
    reopen: Reopen = Reopen.CHANGED
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, and why, as one sentence. `pull` is the pull request that it is about.

    `expected` is the branch's commit for `--force-with-lease`: "" means that there must be no such branch.
    """

    step: Move
    reason: str
    pull: PullRequest | None = None
    expected: str = ""

    @property
    def state(self) -> DeliveryState:
        """The state of the delivery once the plan is carried out."""
        return _STATES[self.step]


def decide(target: DeliveryTarget, found: Found, change: DeliveredChange, policy: DeliveryPolicy) -> Plan:
    """Return what a delivery does after the agent."""
    pull = found.open_pull
    foreign = _foreign(target, found)
    if change.is_empty:
        return _unchanged(found, policy, foreign)
    if foreign is not None:
        return Plan(Move.HELD, foreign, pull or _newest(found))
    if pull is None:
        return _without_open(target, found, change, policy)
    if _holds(found, change):
        return Plan(Move.NOTHING, f"{_name(pull)} already holds this change.", pull, found.tip)
    return Plan(Move.UPDATE, f"{_name(pull)} is open and this workflow's own.", pull, found.tip)


def foresee(target: DeliveryTarget, found: Found, policy: DeliveryPolicy) -> Plan | None:
    """Return the plan before the agent, if it is certain that its changes would go nowhere: held, or closed."""
    if found.may_be_ours:
        found = dataclasses.replace(found, ours={*found.ours, found.tip})
    plan = decide(target, found, DeliveredChange("", ""), policy)
    if plan.step is Move.CLOSED and policy.reopen is Reopen.CHANGED and found.base_changed is None:
        return None  # the files that the agent will change may have changed on the base too
    return plan if plan.step in (Move.HELD, Move.CLOSED) else None


def _unchanged(found: Found, policy: DeliveryPolicy, foreign: str | None) -> Plan:
    """Decide if the agent changed nothing."""
    pull = found.open_pull
    if pull is None:
        return Plan(Move.NOTHING, "The agent changed nothing.", _newest(found))
    if policy.if_unchanged is IfUnchanged.SKIP:
        return Plan(Move.NOTHING, f"The agent changed nothing; {_name(pull)} stays open.", pull)
    if foreign is not None:
        return Plan(Move.NOTHING, f"The agent changed nothing; {_name(pull)} stays open: {_lower(foreign)}", pull)
    return Plan(
        Move.CLOSE, f"The agent changed nothing, so {_name(pull)} has nothing left to deliver.", pull, found.tip
    )


def _foreign(target: DeliveryTarget, found: Found) -> str | None:  # noqa: PLR0911 - one return a reason
    """Return why the branch must not be written, as a sentence. Returns None if it is this workflow's, or new."""
    pull, record = found.open_pull, found.record
    if target.is_protected:
        return f"The branch {target.branch} is protected: a delivery writes to a branch of its own."
    if record is not None and (record.workflow, record.target) != (target.workflow, target.target):
        return f"The branch {target.branch} belongs to the workflow {record.workflow} ({record.target})."
    if pull is not None and pull.base != target.base:
        return f"{_name(pull)} goes to {pull.base}, and this delivery to {target.base}."
    if pull is not None and record is None:
        return f"{_name(pull)} does not have this workflow's record: a person opened it, or removed the record."
    if pull is not None and not found.tip:
        return f"The branch of {_name(pull)} is gone, and it is still open."
    if found.tip and not _is_ours(found):
        if record is None and not found.pulls:
            return f"The branch {target.branch} exists, and it is not known that this workflow made it."
        return f"A person has pushed to the branch {target.branch}: its tip {found.tip[:12]} is not the runner's."
    return None


def _is_ours(found: Found) -> bool:
    """Whether the tip is a commit that the runner is known to have pushed, or one that is merged: nothing gets lost."""
    known = {*found.ours, *(pull.tip for pull in found.pulls if pull.state is PullState.MERGED)}
    if found.record is not None:
        known |= {found.record.tip, found.record.next}
    return found.tip in known - {""}


def _holds(found: Found, change: DeliveredChange) -> bool:
    """Whether the branch holds this very change already, as far as the record is not in the middle of a push."""
    record = found.record
    return (
        record is not None
        and not record.next
        and (record.tip, record.tree, record.base)
        == (
            found.tip,
            change.tree,
            change.base,
        )
    )


def _without_open(target: DeliveryTarget, found: Found, change: DeliveredChange, policy: DeliveryPolicy) -> Plan:
    """Decide if no pull request is open, and the branch is this workflow's or new."""
    last, record = _newest(found), found.record
    if policy.plain:
        return _plain(target, found, change, policy)
    if last is None:
        reason = "An earlier try pushed the branch and opened no pull request." if found.tip else _no_branch(target)
        return Plan(Move.CREATE, reason, None, found.tip)
    if last.state is PullState.MERGED:
        return Plan(Move.CREATE, f"{_name(last)} is merged, so this is a new one.", last, found.tip)
    if record is not None and record.closed:
        return Plan(Move.CREATE, f"The runner itself closed {_name(last)} when nothing was left.", last, found.tip)
    return _again(f"A person has closed {_name(last)}", last, found, policy)


def _plain(target: DeliveryTarget, found: Found, change: DeliveredChange, policy: DeliveryPolicy) -> Plan:
    """Decide for a plain remote, whose only sign of a person's refusal is that the branch is gone."""
    if not found.tip:
        if found.record is None:
            return Plan(Move.CREATE, _no_branch(target))
        return _again(f"A person has removed the branch {target.branch}", None, found, policy)
    if _holds(found, change):
        return Plan(Move.NOTHING, f"The branch {target.branch} already holds this change.", None, found.tip)
    return Plan(Move.UPDATE, f"The branch {target.branch} is this workflow's own.", None, found.tip)


def _again(refusal: str, last: PullRequest | None, found: Found, policy: DeliveryPolicy) -> Plan:
    """Decide after a person's refusal, which is the beginning of the sentence."""
    if policy.reopen is Reopen.ALWAYS:
        return Plan(Move.CREATE, f'{refusal}, and `reopen = "always"` asks for another.', last, found.tip)
    if policy.reopen is Reopen.NEVER:
        return Plan(Move.CLOSED, f'{refusal}, and `reopen = "never"` keeps it so.', last)
    if found.base_changed:
        return Plan(Move.CREATE, f"{refusal}, and the base has changed since then.", last, found.tip)
    why = "it is not known if the base has changed since then" if found.base_changed is None else "nothing has changed"
    return Plan(Move.CLOSED, f"{refusal}, and {why}.", last)


def _newest(found: Found) -> PullRequest | None:
    return found.pulls[0] if found.pulls else None


def _no_branch(target: DeliveryTarget) -> str:
    return f"The branch {target.branch} is new."


def _name(pull: PullRequest) -> str:
    return f"Pull request {pull.number}"


def _lower(sentence: str) -> str:
    return sentence if sentence.startswith("Pull") else f"{sentence[0].lower()}{sentence[1:]}"
