"""What node_exporter's textfile collector reads, judged by Prometheus's own parser."""

import os
import re
import stat
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.report_states import START, a_run, states, texts, verdicts

from codex_runner.domain import event as ev
from codex_runner.domain.delivery import ForgeKind
from codex_runner.domain.failure import Failure
from codex_runner.domain.outcomes import ChangeOutcome, JobOutcomes, OutcomeState, Spent
from codex_runner.domain.run import Ending, Usage
from codex_runner.domain.state import RunState, fold
from codex_runner.reports.metrics import write_metrics
from codex_runner.reports.outcome_metrics import _HELP, write_outcome_metrics

# A file is synced for each example, on machines that may be busy.
DOC = (Path(__file__).parents[2] / "docs/metrics.md").read_text(encoding="utf-8")


def parsed(path):
    """Every sample by name and labels; what is wrong with the file is an assertion."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    text = data.decode()
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    for family in families:
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.timestamp is None  # the collector refuses them
    found = [(s.name, tuple(sorted(s.labels.items())), s.value) for family in families for s in family.samples]
    assert len({(name, labels) for name, labels, _ in found}) == len(found)
    # A line that the parser skipped would be lost in silence.
    assert len(found) == sum(not line.startswith("#") for line in text.split("\n")[:-1])
    return {
        (name.removeprefix("codex_runner_"), *(v for k, v in labels if k != "codex_job")): x
        for name, labels, x in found
    }


def ended(at, exit_code=0, job="docs", result=None):
    result = result or ("failed" if exit_code else "succeeded")
    happened = [ev.RunStarted("r", job, "local"), ev.RunEnded(exit_code, result, "")]
    return fold([ev.Record(n, at - 2 + n, 0, ev.Position(), event) for n, event in enumerate(happened, 1)])


def test_all_of_a_run_that_succeeded(tmp_path):
    state = a_run()
    path = write_metrics(state, tmp_path)
    assert path == tmp_path / "codex_runner_release-notes.prom"
    assert parsed(path) == {
        ("last_run_timestamp_seconds",): pytest.approx(state.ended, abs=0.001),
        ("last_success_timestamp_seconds",): pytest.approx(state.ended, abs=0.001),
        ("last_run_success",): 1,
        ("last_run_ending", "succeeded"): 1,
        ("last_run_exit_code",): 0,
        ("last_run_duration_seconds",): state.seconds,
        ("last_run_attempts",): 2,
        ("last_run_tokens", "input"): 1000,
        ("last_run_tokens", "cached_input"): 800,
        ("last_run_tokens", "output"): 50,
        ("last_run_tokens", "reasoning_output"): 10,
        ("last_run_checks", "passed"): 2,
        ("last_run_checks", "failed"): 0,
        ("last_run_warnings",): 0,
    }
    assert 'codex_job="release-notes"' in path.read_text()


def test_the_last_success_outlives_failures(tmp_path):
    write_metrics(ended(1000.0), tmp_path)
    path = write_metrics(ended(2000.0, exit_code=9), tmp_path)
    write_metrics(ended(3000.0, exit_code=8), tmp_path)
    found = parsed(path)
    assert found["last_success_timestamp_seconds",] == 1000
    assert found["last_run_timestamp_seconds",] == 3000
    assert found["last_run_success",] == 0
    assert found["last_run_ending", "quota"] == 1
    assert ("last_run_ending", "timeout") not in found
    assert found["last_run_exit_code",] == 8


def test_without_a_success_there_is_no_time_of_one(tmp_path):
    assert ("last_success_timestamp_seconds",) not in parsed(write_metrics(ended(1000.0, exit_code=1), tmp_path))


def test_a_skipped_run_is_no_success(tmp_path):
    write_metrics(ended(1000.0), tmp_path)
    found = parsed(write_metrics(ended(2000.0, result="skipped"), tmp_path))
    assert found["last_success_timestamp_seconds",] == 1000
    assert found["last_run_success",] == 0
    assert found["last_run_ending", "skipped"] == 1


def test_a_run_that_ended_earlier_changes_only_the_last_success(tmp_path):
    path = write_metrics(ended(3000.0, exit_code=9), tmp_path)
    write_metrics(ended(2000.0), tmp_path)
    write_metrics(ended(1000.0), tmp_path)
    write_metrics(ended(1500.0, exit_code=1), tmp_path)
    found = parsed(path)
    assert found["last_run_timestamp_seconds",] == 3000
    assert found["last_run_ending", "timeout"] == 1
    assert found["last_success_timestamp_seconds",] == 2000


def test_jobs_share_a_folder_and_nothing_else_is_left_there(tmp_path):
    write_metrics(ended(1000.0, job="a"), tmp_path)
    write_metrics(ended(2000.0, job="b", exit_code=1), tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.prom")) == ["codex_runner_a.prom", "codex_runner_b.prom"]
    assert all(p.suffix in {".prom", ".lock"} for p in tmp_path.iterdir())
    helps = [re.findall("# HELP.*", p.read_text()) for p in sorted(tmp_path.glob("*.prom"))]
    assert set(helps[1]) <= set(helps[0])  # the collector refuses a metric that is explained in two ways


def test_a_run_without_an_ending_writes_nothing(tmp_path):
    assert write_metrics(RunState(job="docs"), tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"codex_runner_last_success_timestamp_seconds{ nonsense\n",
                                    b'codex_runner_last_run_timestamp_seconds{codex_job="docs"} NaN\n',
                                    b'codex_runner_last_run_timestamp_seconds{codex_job="docs"} 1e300\n'])  # fmt: skip
def test_a_damaged_file_is_replaced(tmp_path, damage):
    (tmp_path / "codex_runner_docs.prom").write_bytes(damage)
    assert parsed(write_metrics(ended(1000.0), tmp_path))["last_success_timestamp_seconds",] == 1000


def test_other_users_can_read_it_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        path = write_metrics(ended(1000.0), tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_runs_of_one_job_that_end_at_once_lose_nothing(tmp_path):
    runs = [ended(1000.0 + n, exit_code=n % 2) for n in range(40)]
    threads = [threading.Thread(target=write_metrics, args=(run, tmp_path)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = parsed(tmp_path / "codex_runner_docs.prom")
    assert found["last_run_timestamp_seconds",] == 1039
    assert found["last_success_timestamp_seconds",] == 1038


@given(states(), texts, verdicts)
def test_any_run_gives_a_file_that_can_be_parsed(tmp_path_factory, state, job, verdict):
    state.job, state.verdict, state.ended = job, verdict, START
    path = write_metrics(state, tmp_path_factory.mktemp("metrics"))
    assert path.name.endswith(".prom")
    parsed(path)


@given(st.integers(0, 10**15))
def test_numbers_are_exact(tmp_path_factory, tokens):
    state = ended(1000.0)
    state.usage = Usage(input=tokens)
    assert parsed(write_metrics(state, tmp_path_factory.mktemp("metrics")))["last_run_tokens", "input"] == tokens


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write_metrics(a_run(), tmp_path / "file")


def test_every_metric_is_documented(tmp_path):
    attempt = ev.AttemptEnded(1, Ending(Failure.QUOTA, ""))
    path = write_metrics(a_run(attempt), tmp_path)
    named = set(re.findall(r"^\| `(codex_runner_\w+)` \|", DOC, re.MULTILINE))
    outcomes = {name for name in named if name.startswith("codex_runner_delivery_")}
    assert named - outcomes == {
        line.split("{")[0] for line in path.read_text().splitlines() if not line.startswith("#")
    }


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path):
    state = a_run()
    os.mkfifo(tmp_path / f"codex_runner_{state.job}.prom")
    path = write_metrics(state, tmp_path)
    assert path.is_file()
    (tmp_path / f".codex_runner_{state.job}.lock").unlink()
    os.mkfifo(tmp_path / f".codex_runner_{state.job}.lock")
    assert write_metrics(state, tmp_path) == path


# --- what became of deliveries ----------------------------------------------------------------------------------------


def job_outcomes(*states, name="docs"):
    spent = Spent(1, Usage(100, 40, 10, 0), 2.0, {"USD": Decimal("0.25")})
    changes = [ChangeOutcome(state, ForgeKind.GITHUB, "a/b", "c", 1, "", "", ("r",), spent) for state in states]
    return JobOutcomes(name, tuple(changes), spent)


def test_every_metric_of_outcomes_is_documented(tmp_path):
    path = write_outcome_metrics(
        job_outcomes(OutcomeState.MERGED, OutcomeState.CLOSED), tmp_path, asked=2000.0, since=1000.0
    )
    written = {line.split("{")[0] for line in path.read_text().splitlines() if not line.startswith("#")}
    named = set(re.findall(r"^\| `(codex_runner_delivery_\w+)` \|", DOC, re.MULTILINE))
    assert written == named == set(_HELP)


@pytest.mark.parametrize("name", ["docs", "../../etc/x", 'a"b\n', "delivery_docs"])
def test_a_file_for_each_job_that_no_runs_metrics_have(tmp_path, name):
    path = write_outcome_metrics(
        job_outcomes(OutcomeState.MERGED, OutcomeState.UNKNOWN, name=name), tmp_path, asked=2000.0, since=None
    )
    assert path.parent == tmp_path
    assert path.name.startswith("codex_runner-delivery_")
    found = parsed(path)
    assert found["delivery_outcomes", "unknown"] == 1
    assert found["delivery_money", "USD"] == 0.25
    assert not [key for key in found if "accepted" in key[0]]
