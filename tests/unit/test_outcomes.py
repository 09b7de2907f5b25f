"""Changes and their cost: runs are grouped, and a number is only given if it is known."""

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.app.worked_changes import changes_of, spent_by
from codex_runner.app.worked_runs import WorkedRun
from codex_runner.cli.outcomes_output import as_document
from codex_runner.domain.delivery import Delivered, DeliveryState, ForgeKind
from codex_runner.domain.outcomes import ChangeOutcome, JobOutcomes, Outcomes, OutcomeState, Spent
from codex_runner.domain.run import Usage

SPENT = Spent(1, Usage(100, 40, 10, 0), 2.0, {"USD": Decimal("0.25")}, 0)


def run(name, state, number=None, target="github", **more):
    said = Delivered(DeliveryState(state), ForgeKind(target), "acme/app", "codex/docs", "main", number=number)
    return WorkedRun(name, "docs", SPENT, replace(said, **more))


def grouped(*runs):
    """The runs are given the oldest first."""
    return [[each.run_id for each in change.runs] for change in changes_of(reversed(runs))]


def test_runs_are_grouped_by_the_pull_request_that_they_name():
    runs = [
        run("a", "delivered", 1),
        run("b", "updated", 1),
        run("c", "failed"),
        run("d", "delivered", 2),
        run("e", "held", 1),
        WorkedRun("f", "docs", SPENT),
        run("g", "unchanged"),
        run("h", "delivered", 1, repository="acme/other"),
    ]
    assert grouped(*runs) == [["h"], ["a", "b", "e"], ["d"]]


def test_a_pull_request_without_a_number_is_still_a_change():
    assert grouped(run("a", "delivered"), run("b", "updated")) == [["a", "b"]]


def test_a_plain_change_ends_where_the_base_has_it():
    one, two, three = (letter * 40 for letter in "abc")
    runs = [
        run("1", "held", target="git"),
        run("2", "delivered", target="git", commit=one),
        run("3", "unchanged", target="git", commit=one),
        run("4", "updated", target="git", commit=two),
        run("5", "updated", target="git", commit=three),
        run("6", "held", target="git"),
    ]
    (change,) = changes_of(reversed(runs))
    assert change.commits == [one, two, three]
    ids = {
        accepted: ["".join(each.run_id for each in part.runs) for part in change.split(accepted)]
        for accepted in ((), (one,), (two,), (one, three), (one, two, three))
    }
    assert list(ids.values()) == [["123456"], ["123", "456"], ["1234", "56"], ["123", "456"], ["123", "4", "56"]]
    assert changes_of([runs[0]]) == []


@given(st.lists(st.tuples(st.integers(0, 10**9), st.decimals(0, 10**6, places=4), st.sampled_from(["USD", "EUR"]))))
def test_adding_up_loses_nothing(parts):
    runs = [
        WorkedRun(str(at), "docs", Spent(1, Usage(tokens, 0, 0, 0), 1.0, {currency: amount}))
        for at, (tokens, amount, currency) in enumerate(parts)
    ]
    total = spent_by([*runs, WorkedRun("x", "docs", None)])
    assert (total.runs, total.usage.total) == (len(parts), sum(tokens for tokens, _, _ in parts))
    assert sum(total.money.values()) == sum(amount for _, amount, _ in parts)
    assert total.agent_seconds == len(parts)


def job(*states, unreadable=(), spent=SPENT, name="docs"):
    changes = [ChangeOutcome(state, ForgeKind.GITHUB, "a/b", "c", 1, "", "", ("r",), SPENT) for state in states]
    return JobOutcomes(name, tuple(changes), spent, unreadable)


MERGED, CLOSED, OPEN, GONE, UNKNOWN = OutcomeState


def test_the_cost_of_an_accepted_change():
    cost = job(MERGED, MERGED, CLOSED, OPEN).accepted_cost
    assert (cost.tokens, cost.agent_seconds, cost.money) == (55, 1.0, {"USD": Decimal("0.125")})
    assert job(MERGED, MERGED, MERGED).accepted_cost.money == {"USD": Decimal("0.083333")}
    assert job(MERGED, spent=replace(SPENT, unpriced=1)).accepted_cost.money is None


@pytest.mark.parametrize(
    ("outcomes", "doubt"),
    [
        (job(), "none accepted"),
        (job(CLOSED, OPEN), "none accepted"),
        (job(MERGED, GONE), "not known, since the outcome"),
        (job(MERGED, UNKNOWN), "not known, since the outcome"),
        (job(MERGED, unreadable=("r",)), "not known, since some runs"),
    ],
)
def test_no_number_where_it_is_not_known(outcomes, doubt):
    assert outcomes.accepted_cost is None
    assert outcomes.doubt.startswith(doubt)


def test_the_documented_keys_are_those_that_are_printed():
    """docs/delivery.md names each key of `--json`."""
    text = (Path(__file__).parents[2] / "docs/delivery.md").read_text()
    document = as_document(Outcomes(1.0, None, (job(MERGED),)))

    def keys(value):
        if isinstance(value, dict):
            for key, each in value.items():
                yield key
                yield from keys(each)
        elif isinstance(value, list):
            for each in value:
                yield from keys(each)

    known = {*OutcomeState, "input", "cached_input", "output", "reasoning_output", "total"}
    missing = [key for key in {*keys(document)} - known if not re.search(rf"`(jobs\[\]\.)?{key}(\[\])?[`.]", text)]
    assert missing == []
