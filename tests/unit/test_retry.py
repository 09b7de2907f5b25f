import datetime as dt
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.domain.failure import Failure
from codex_runner.domain.policy import RetryPolicy
from codex_runner.engine.retry import PACES, GiveUp, RetryIn, decide, told_pause

NOW = dt.datetime(2026, 3, 4, 1, 30, 20, tzinfo=dt.UTC)
LIMIT = "You\u2019ve hit your usage limit. Try again at 2:36 AM."


def decided(failure=Failure.CAPACITY, message="", *, policy=None, attempt=1, elapsed=10.0, deadline=1800.0, **more):
    return decide(
        policy or RetryPolicy(),
        failure,
        message,
        attempt=attempt,
        elapsed=elapsed,
        deadline=deadline,
        rng=random.Random(1),
        now=NOW,
        **more,
    )


def test_every_class_is_retried_or_not_as_its_table_says():
    for failure in Failure:
        assert isinstance(decided(failure), RetryIn if failure.retried else GiveUp), failure
    assert set(PACES) == {failure for failure in Failure if failure.retried}


@pytest.mark.parametrize("failure", [f for f in Failure if not f.retried and f is not Failure.QUOTA])
def test_a_refusal_stays_a_refusal_whatever_its_words(failure):
    assert isinstance(decided(failure, "Try again in 1s"), GiveUp)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached. Please try again in 1.898s. Visit", 1.898),
        ("Please try again in 28ms.", 0.028),
        ("Try again in 1s", 1),
        ("try again in 3 days 2 hours 5 minutes.", 3 * 86400 + 2 * 3600 + 300),
        ("try again in 1h, 2m and 3s", 3723),
        ("Retry after 30 seconds", 30),
        ("headers: Retry-After: 17", 17),
        ('{"retry_after": 4.5}', 4.5),
        (LIMIT, 66 * 60 - 20 + 60),
        ("try again at 1:30 AM", 40),
        ("try again at 12:15 a.m. tomorrow", 24 * 3600 - 75 * 60 - 20 + 60),
        ("try again at 12:30 PM", 11 * 3600 - 20 + 60),
        ("Try again at Mar 5th, 2026 2:36 AM.", 24 * 3600 + 66 * 60 - 20 + 60),
        ("Try again at Mar 3rd, 2026 2:36 AM.", 0),
        ("Try again at 14:00", 12.5 * 3600 - 20 + 60),
        ("Try again at Feb 31st, 2026 2:36 AM.", None),
        ("Try again at 25:00", None),
        ("Try again later.", None),
        ("Quota exceeded. Check your plan and billing details.", None),
        ("try again in 5 monkeys", None),
    ],
)
def test_what_the_service_says_of_the_time(message, seconds):
    assert told_pause(message, NOW) == (None if seconds is None else pytest.approx(seconds))


def test_a_time_of_the_day_is_read_in_the_hosts_zone():
    there = NOW.astimezone(dt.timezone(dt.timedelta(hours=1)))
    assert told_pause("try again at 2:36 AM", there) == pytest.approx(6 * 60 - 20 + 60)


def test_what_was_told_is_kept_to():
    pause = decided(Failure.RATE_LIMIT, "try again in 20s").seconds
    assert 20 <= pause <= 30
    assert decided(Failure.RATE_LIMIT, "Try again in 1s").seconds <= 3


def test_a_quota_waits_only_for_a_time_that_fits():
    assert isinstance(decided(Failure.QUOTA, LIMIT, deadline=7200), RetryIn)
    refused = decided(Failure.QUOTA, LIMIT, deadline=3600)
    assert isinstance(refused, GiveUp)
    assert "59m50s are left" in refused.reason
    assert isinstance(decided(Failure.QUOTA, "Quota exceeded. Check your plan."), GiveUp)


def test_attempts_are_limited():
    assert isinstance(decided(attempt=2), RetryIn)
    assert "3 of 3 attempts" in decided(attempt=3).reason
    assert isinstance(decided(policy=RetryPolicy(attempts=1)), GiveUp)


def test_codex_own_tries_count():
    assert isinstance(decided(own_retries=28), RetryIn)
    assert "retry.tries (30)" in decided(own_retries=29).reason
    # codex has paused already: our first pause is not the shortest.
    assert decided(own_retries=5).seconds == pytest.approx(2 * decided().seconds)


def test_time_is_limited():
    assert isinstance(decided(elapsed=1800 - 30 - 8), GiveUp)
    assert isinstance(decided(elapsed=50, policy=RetryPolicy(total=60)), GiveUp)
    assert isinstance(decided(elapsed=50, policy=RetryPolicy(total=600)), RetryIn)


@given(
    st.sampled_from(list(Failure)),
    st.integers(1, 50),
    st.floats(0, 10_000),
    st.floats(1, 10_000),
    st.integers(0, 2**32),
    st.integers(0, 40),
)
def test_a_retry_always_fits(failure, attempt, elapsed, deadline, seed, own):
    policy = RetryPolicy(attempts=40)
    found = decide(
        policy,
        failure,
        "",
        attempt=attempt,
        elapsed=elapsed,
        deadline=deadline,
        rng=random.Random(seed),
        now=NOW,
        own_retries=own,
    )
    if isinstance(found, RetryIn):
        pace = PACES[failure]
        assert pace.first / 2 <= found.seconds <= pace.longest
        assert elapsed + found.seconds + policy.least <= deadline
        assert attempt < policy.attempts
        assert attempt + own < policy.tries


@given(st.text(max_size=200))
def test_no_message_breaks_it(text):
    assert (told_pause("try again in " + text, NOW) or 0) >= 0
    assert (told_pause("try again at " + text, NOW) or 0) >= 0
