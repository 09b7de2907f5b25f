from decimal import Decimal

import pytest

from codex_runner.domain import event as ev
from codex_runner.domain.policy import Budget, Price
from codex_runner.domain.run import Usage
from codex_runner.domain.state import fold
from codex_runner.engine.budget import cost, over


def state(*events):
    return fold(ev.Record(n, float(n), 1, ev.Position(), event) for n, event in enumerate(events, 1))


def ran(exit_code):
    return ev.ItemCompleted(ev.Command("item_1", "make", "", exit_code, "completed"))


BEGUN = (ev.RunStarted("id", "job", "local"), ev.AttemptStarted(1), ev.ThreadStarted("t1"), ev.TurnStarted())


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"tokens": 1_200}, None),
        ({"tokens": 1_199}, "budget.tokens is exceeded: 1,200 of 1,199"),
        ({"input_tokens": 999}, "budget.input_tokens is exceeded: 1,000 of 999"),
        ({"output_tokens": 199}, "budget.output_tokens is exceeded: 200 of 199"),
        ({"turns": 1}, None),
        ({"turns": 0}, "budget.turns is exceeded: 1 of 0"),
        ({"commands": 2}, None),
        ({"commands": 1}, "budget.commands is exceeded: 2 of 1"),
        ({"changed_files": 1}, "budget.changed_files is exceeded: 2 of 1"),
        ({"changed_lines": 0}, None),
        ({}, None),
    ],
)
def test_each_limit(limits, message):
    edits = (ev.FileEdit("/w/a", "add"), ev.FileEdit("/w/b", "update"))
    changed = ev.ItemCompleted(ev.FileChange("item_2", edits, "completed"))
    spent = state(*BEGUN, ran(0), ran(1), changed, ev.TurnCompleted(Usage(1000, 400, 200, 50)))
    assert over(Budget(**limits), spent) == message


def test_what_git_saw_counts_before_what_the_agent_says():
    seen = state(*BEGUN, ev.Changed(2, 11, ""))
    assert over(Budget(changed_lines=10), seen) == "budget.changed_lines is exceeded: 11 of 10"
    assert over(Budget(changed_files=1), seen) == "budget.changed_files is exceeded: 2 of 1"
    assert over(Budget(changed_lines=11, changed_files=2), seen) is None


def test_lines_that_nobody_can_count_keep_no_budget():
    seen = state(*BEGUN, ev.Changed(2, 0, "", uncounted=("docs/a.md",)))
    assert over(Budget(changed_files=2), seen) is None
    assert over(Budget(changed_lines=10), seen) == (
        "budget.changed_lines cannot be judged: git cannot count the lines of docs/a.md"
    )
    told = state(*BEGUN, ev.Changed(2, 0, "", ("docs/a.md is forbidden.",), 12, uncounted=("docs/a.md",)))
    assert over(Budget(changed_lines=10), told) is None, "what a rule forbids is told by the rule"


def test_usage_of_a_resumed_thread_is_not_counted_twice():
    resumed = state(
        *BEGUN,
        ev.TurnCompleted(Usage(1000, 0, 100)),
        ev.AttemptStarted(2),
        ev.ThreadStarted("t1"),
        ev.TurnStarted(),
        ev.TurnCompleted(Usage(1500, 0, 150)),
    )
    assert over(Budget(tokens=1650), resumed) is None
    assert over(Budget(tokens=1649), resumed) == "budget.tokens is exceeded: 1,650 of 1,649"


PRICE = Price(Decimal("1.25"), Decimal(10), Decimal("0.125"))


def test_money_is_exact_and_from_the_table_alone():
    usage = Usage(input=1_000_000, cached_input=400_000, output=100_000, reasoning_output=50_000)
    assert cost(usage, PRICE) == Decimal("1.80")
    assert cost(usage, Price(Decimal("1.25"), Decimal(10))) == Decimal("2.25")
    assert cost(usage, None) is None
    assert cost(Usage(input=1), PRICE) == Decimal("0.00000125")


def test_a_price_survives_the_record():
    assert ev.build(Price, ev.to_json(PRICE)) == PRICE


def test_a_limit_in_money():
    spent = state(*BEGUN, ev.TurnCompleted(Usage(1_000_000, 400_000, 100_000, 50_000)))
    assert over(Budget(money=Decimal("1.80")), spent, PRICE) is None
    assert over(Budget(money=Decimal("1.79")), spent, PRICE) == "budget.money is exceeded: 1.800 of 1.79"
    assert over(Budget(money=Decimal(1)), spent) is None


def test_a_budget_without_a_bound_on_cost_says_so():
    assert Budget().unlimited
    assert Budget(changed_files=3).unlimited
    assert not Budget(tokens=5).unlimited
    assert not Budget(turns=5).unlimited


@pytest.mark.parametrize(
    "limits",
    [{"tokens": 10**9}, {"input_tokens": 1}, {"output_tokens": 1}, {"money": Decimal(5)}, {"tokens_per_day": 9}],
)
def test_tokens_that_codex_did_not_count_keep_no_limit_on_them(limits):
    unknown = ev.TurnCompleted(Usage(), counted=False)
    (name,) = limits
    said = f"budget.{name} cannot be judged: codex ended its turn without saying how many tokens it used"
    assert over(Budget(**limits), state(*BEGUN, unknown)) == said
    later = state(*BEGUN, unknown, ev.AttemptStarted(2), ev.TurnCompleted(Usage(0, 0, 0, 0)))
    assert over(Budget(**limits), later) == said, "another attempt does not make it good"
    assert over(Budget(turns=5, commands=5, changed_files=5), state(*BEGUN, unknown)) is None


def test_tokens_that_are_not_counted_take_nothing_from_what_is():
    seen = state(*BEGUN, ev.UsageSeen(Usage(700, 0, 50, 0)), ev.TurnCompleted(Usage(), counted=False))
    assert seen.usage.total == 750
