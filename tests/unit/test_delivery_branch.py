"""What a delivery does with its branch: every combination of what there is, and of what the job wants."""

import itertools

import pytest

from codex_runner.delivery.branch import (
    DeliveredChange,
    DeliveryPolicy,
    DeliveryTarget,
    Found,
    Move,
    decide,
    foresee,
)
from codex_runner.domain.delivery import (
    DeliveryRecord,
    DeliveryState,
    IfUnchanged,
    OnHeld,
    PullRequest,
    PullState,
    Reopen,
)
from codex_runner.domain.delivery_spec import DeliverySpec

OURS, NEXT, THEIRS = "a" * 40, "b" * 40, "f" * 40
BASE, MOVED, TREE, OTHER = "1" * 40, "2" * 40, "3" * 40, "4" * 40
TARGET = DeliveryTarget("acme/app/docs", "github:acme/app", "codex/docs", "main", {"trunk"})
CHANGE = DeliveredChange(TREE, BASE)
EMPTY = DeliveredChange(OTHER, BASE, is_empty=True)


def record(**more):
    return DeliveryRecord(
        **{
            "workflow": TARGET.workflow,
            "target": TARGET.target,
            "run": "r",
            "tip": OURS,
            "base": BASE,
            "tree": OTHER,
            **more,
        }
    )


def pull(state=PullState.OPEN, base="main", tip=OURS, number=7):
    return PullRequest(number, f"https://x/{number}", state, TARGET.branch, base, tip)


OPEN, CLOSED, MERGED = pull(), pull(PullState.CLOSED), pull(PullState.MERGED)
RECORD = record()

# What there is, what is to change, and the step with words of its reason.
CASES = {
    "nothing yet": (Found(), CHANGE, Move.CREATE, "The branch codex/docs is new."),
    "nothing yet, nothing changed": (Found(), EMPTY, Move.NOTHING, "The agent changed nothing."),
    "open and ours": (Found(OURS, [OPEN], RECORD), CHANGE, Move.UPDATE, "open and this workflow's own"),
    "open and ours, moved base": (
        Found(OURS, [OPEN], record(tree=TREE, base=MOVED)),
        CHANGE,
        Move.UPDATE,
        "open and this workflow's own",
    ),
    "open and the same": (
        Found(OURS, [OPEN], record(tree=TREE)),
        CHANGE,
        Move.NOTHING,
        "already holds this change",
    ),
    "open, nothing changed": (Found(OURS, [OPEN], RECORD), EMPTY, Move.NOTHING, "Pull request 7 stays open"),
    "open, a person's commit": (
        Found(THEIRS, [OPEN], RECORD),
        CHANGE,
        Move.HELD,
        "A person has pushed to the branch",
    ),
    "open, a person's, nothing changed": (Found(THEIRS, [OPEN], RECORD), EMPTY, Move.NOTHING, "stays open"),
    "open without a record": (Found(OURS, [OPEN]), CHANGE, Move.HELD, "does not have this workflow's record"),
    "open without a record, known": (Found(OURS, [OPEN], ours={OURS}), CHANGE, Move.HELD, "does not have"),
    "another workflow's": (
        Found(OURS, [OPEN], record(workflow="acme/app/notes")),
        CHANGE,
        Move.HELD,
        "belongs to the workflow acme/app/notes (github:acme/app)",
    ),
    "another target's": (Found(OURS, [OPEN], record(target="github:a/b")), CHANGE, Move.HELD, "(github:a/b)"),
    "to another base": (
        Found(OURS, [pull(base="next")], RECORD),
        CHANGE,
        Move.HELD,
        "goes to next, and this delivery",
    ),
    "open, its branch gone": (Found("", [OPEN], RECORD), CHANGE, Move.HELD, "is gone, and it is still open"),
    "killed before the push": (
        Found(OURS, [OPEN], record(next=NEXT, tree=TREE)),
        CHANGE,
        Move.UPDATE,
        "is open",
    ),
    "killed after the push": (
        Found(NEXT, [OPEN], record(next=NEXT, tree=TREE)),
        CHANGE,
        Move.UPDATE,
        "is open",
    ),
    "killed before a pull request": (Found(NEXT, ours={NEXT}), CHANGE, Move.CREATE, "opened no pull request"),
    "a branch of strangers": (Found(THEIRS), CHANGE, Move.HELD, "not known that this workflow made it"),
    "merged, branch gone": (
        Found("", [MERGED], RECORD),
        CHANGE,
        Move.CREATE,
        "is merged, so this is a new one",
    ),
    "merged, branch left": (Found(OURS, [MERGED], RECORD), CHANGE, Move.CREATE, "is merged"),
    "merged with a person's commit": (
        Found(THEIRS, [pull(PullState.MERGED, tip=THEIRS)], RECORD),
        CHANGE,
        Move.CREATE,
        "is merged",
    ),
    "pushed to after the merge": (Found(THEIRS, [MERGED], RECORD), CHANGE, Move.HELD, "A person has pushed"),
    "merged, nothing changed": (
        Found(OURS, [MERGED], RECORD),
        EMPTY,
        Move.NOTHING,
        "The agent changed nothing.",
    ),
    "closed by the runner": (
        Found(OURS, [CLOSED], record(closed="r")),
        CHANGE,
        Move.CREATE,
        "The runner itself closed Pull request 7",
    ),
    "closed, pushed to": (Found(THEIRS, [CLOSED], RECORD), CHANGE, Move.HELD, "A person has pushed"),
    "closed, nothing changed": (
        Found(OURS, [CLOSED], RECORD),
        EMPTY,
        Move.NOTHING,
        "The agent changed nothing.",
    ),
    "an open one beside older ones": (
        Found(OURS, [pull(number=9), CLOSED, MERGED], RECORD),
        CHANGE,
        Move.UPDATE,
        "Pull request 9 is open",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_case(case):
    found, change, step, said = case
    plan = decide(TARGET, found, change, DeliveryPolicy())
    assert plan.step is step
    assert said in plan.reason
    if step in (Move.CREATE, Move.UPDATE):
        assert plan.expected == found.tip


@pytest.mark.parametrize("tip", [OURS, ""])
@pytest.mark.parametrize(
    ("reopen", "changed", "step", "said"),
    [
        (
            Reopen.NEVER,
            True,
            Move.CLOSED,
            'A person has closed Pull request 7, and `reopen = "never"` keeps it so.',
        ),
        (
            Reopen.CHANGED,
            True,
            Move.CREATE,
            "A person has closed Pull request 7, and the base has changed since then.",
        ),
        (Reopen.CHANGED, False, Move.CLOSED, "A person has closed Pull request 7, and nothing has changed."),
        (Reopen.CHANGED, None, Move.CLOSED, "it is not known if the base has changed since then."),
        (Reopen.ALWAYS, False, Move.CREATE, 'and `reopen = "always"` asks for another.'),
    ],
)
def test_closed_by_a_person(reopen, changed, step, said, tip):
    plan = decide(TARGET, Found(tip, [CLOSED], RECORD, base_changed=changed), CHANGE, DeliveryPolicy(reopen=reopen))
    assert plan.step is step
    assert said in plan.reason
    # Before the agent it is the same if it is certain, so that a night with nothing to gain costs nothing.
    before = foresee(TARGET, Found(tip, [CLOSED], RECORD, base_changed=changed), DeliveryPolicy(reopen=reopen))
    assert before == (plan if step is Move.CLOSED and changed is not None else None)


@pytest.mark.parametrize(
    ("found", "step", "said"),
    [
        (Found(), Move.CREATE, "The branch codex/docs is new."),
        (Found(OURS, record=RECORD), Move.UPDATE, "is this workflow's own"),
        (Found(OURS, record=record(tree=TREE)), Move.NOTHING, "already holds this change"),
        (Found(NEXT, record=record(next=NEXT)), Move.UPDATE, "own"),
        (Found(THEIRS, record=RECORD), Move.HELD, "A person has pushed"),
        (Found(OURS), Move.HELD, "not known that this workflow made it"),
        (Found(OURS, ours={OURS}), Move.UPDATE, "own"),
        (
            Found("", record=RECORD),
            Move.CLOSED,
            "A person has removed the branch codex/docs, and it is not known",
        ),
        (Found("", record=RECORD, base_changed=True), Move.CREATE, "A person has removed the branch"),
    ],
)
def test_a_plain_remote(found, step, said):
    plan = decide(TARGET, found, CHANGE, DeliveryPolicy(plain=True))
    assert plan.step is step
    assert said in plan.reason


@pytest.mark.parametrize("name", ["main", "trunk"])
def test_a_protected_branch_is_never_written(name):
    target = DeliveryTarget(TARGET.workflow, TARGET.target, name, "main", {"trunk"})
    for found in (Found(), Found(OURS, [OPEN], RECORD), Found(OURS, ours={OURS})):
        plan = decide(target, found, CHANGE, DeliveryPolicy())
        assert plan.step is Move.HELD
        assert "is protected" in plan.reason


def test_an_open_one_is_closed_if_nothing_is_left():
    policy = DeliveryPolicy(if_unchanged=IfUnchanged.CLOSE)
    plan = decide(TARGET, Found(OURS, [OPEN], RECORD), EMPTY, policy)
    assert (plan.step, plan.pull, plan.state) == (Move.CLOSE, OPEN, DeliveryState.UNCHANGED)
    held = decide(TARGET, Found(THEIRS, [OPEN], RECORD), EMPTY, policy)
    assert held.step is Move.NOTHING
    assert "stays open: a person has pushed" in held.reason
    assert decide(TARGET, Found(OURS, [CLOSED], RECORD), EMPTY, policy).step is Move.NOTHING


TIPS = ("", OURS, NEXT, THEIRS)
PULLS = ((), (OPEN,), (CLOSED,), (MERGED,), (OPEN, CLOSED), (pull(base="next"),))
RECORDED = (None, RECORD, record(next=NEXT), record(tree=TREE), record(closed="r"), record(workflow="w"))
POLICIES = [DeliveryPolicy(*each) for each in itertools.product(IfUnchanged, Reopen, (False, True))]

SPECS = {on_held: DeliverySpec(on_held=on_held) for on_held in OnHeld}


def test_every_combination_keeps_the_promises():
    """What a person did is never overwritten, a lease says what is there, and each plan has one plain sentence."""
    for tip, pulls, known, changed, change, ours, policy in itertools.product(
        TIPS, PULLS, RECORDED, (None, False, True), (CHANGE, EMPTY), ((), (NEXT,)), POLICIES
    ):
        if policy.plain and pulls:
            continue
        plan = decide(TARGET, Found(tip, pulls, known, ours, changed), change, policy)
        mine = {*ours, *((known.tip, known.next) if known else ()), *(p.tip for p in pulls if p is MERGED)}
        if plan.step in (Move.CREATE, Move.UPDATE):
            assert plan.expected == tip
            assert tip in {"", *mine}
            assert not change.is_empty
            assert known is None or known.workflow == TARGET.workflow
        if tip == THEIRS or (known and known.workflow == "w"):
            assert plan.step in (Move.HELD, Move.NOTHING)
        if plan.step is Move.UPDATE and not policy.plain:
            assert plan.pull is not None
            assert plan.pull.state is PullState.OPEN
        if plan.step is Move.CREATE:
            assert not any(each.state is PullState.OPEN for each in pulls)
        if plan.step is Move.CLOSE:
            assert policy.if_unchanged is IfUnchanged.CLOSE
            assert tip in mine
        if plan.step is Move.CLOSED:
            assert policy.reopen is not Reopen.ALWAYS
        for on_held, spec in SPECS.items():
            assert spec.fails(plan.state) == (plan.step is Move.HELD and on_held is OnHeld.FAIL)
        assert plan.state.value in {"delivered", "updated", "unchanged", "held", "closed"}
        assert plan.reason.endswith(".")
        assert "\n" not in plan.reason
