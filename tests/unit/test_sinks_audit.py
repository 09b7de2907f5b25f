"""The audit log: what an auditor finds, whatever happens to the run."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import socket
import stat

import pytest
from support.records import HOSTILE, event_samples, play, records

from codex_runner.app.invocation import Invocation
from codex_runner.ci_systems import Pipeline
from codex_runner.config import load
from codex_runner.domain import event as ev
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.state import RunState
from codex_runner.sinks.audit import AuditLog

GITHUB = {
    "GITHUB_ACTOR": "ada",
    "GITHUB_EVENT_NAME": "schedule",
    "GITHUB_REPOSITORY": "acme/app",
    "GITHUB_WORKFLOW_REF": "acme/app/.github/workflows/docs.yml@refs/heads/main",
    "GITHUB_SHA": "0" * 40,
    "GITHUB_RUN_ID": "42",
    "USER": "runner",
}
CREDENTIAL = {
    "source": "vault",
    "place": "codex/acme/app/docs",
    "version": 7,
    "owner": "ada",
    "workflow": "acme/app/docs",
    "issued_at": "2026-01-01T00:00:00Z",
    "expires_at": "2026-03-01T00:00:00Z",
    "auth_method": "jwt",
    "auth_role": "codex-docs",
    "accessor": "acc",
    "request_id": "req",
}


@pytest.fixture
def binary(tmp_path):
    path = tmp_path / "codex"
    path.write_bytes(b"the binary")
    return path


@pytest.fixture
def events(binary):
    started = ev.RunStarted("20260102T030405Z-docs-0a1b2c3d", "docs", "local", {"job": {"prompt": "p"}})
    prepared = ev.RunPrepared(
        {
            "codex": {"path": str(binary), "version": "0.169.0"},
            "model": "gpt-5.5",
            "sandbox": "read-only",
            "credential": CREDENTIAL,
        }
    )
    return [started, prepared, ev.AttemptStarted(1), ev.RunEnded(0, "succeeded", "fine")]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_a_line_at_the_start_and_one_at_the_end(tmp_path, events):
    path = tmp_path / "logs" / "audit.jsonl"
    play(
        AuditLog(path, Pipeline(GITHUB).origin(), config_sha256="abc"),
        [events[0], ev.Guarded("vault-revocation", True, ""), *events[1:]],
    )
    start, end = lines(path)
    assert (start["event"], end["event"]) == ("start", "end")
    for line in (start, end):
        assert line["run_id"] == "20260102T030405Z-docs-0a1b2c3d"
        assert (line["actor"], line["trigger"], line["repository"], line["sha"]) == (
            "ada",
            "schedule",
            "acme/app",
            "0" * 40,
        )
        assert line["workflow_ref"].endswith("@refs/heads/main")
        assert line["vault"] == {"method": "jwt", "role": "codex-docs", "accessor": "acc", "request_id": "req"}
        assert (line["secret"]["place"], line["secret"]["version"], line["secret"]["owner"]) == (
            "codex/acme/app/docs",
            7,
            "ada",
        )
        assert (line["model"], line["sandbox"], line["config_sha256"]) == ("gpt-5.5", "read-only", "abc")
        assert line["prompt_sha256"] == hashlib.sha256(b"p").hexdigest()
        assert line["codex"]["version"] == "0.169.0"
    assert end["codex"]["sha256"] == hashlib.sha256(b"the binary").hexdigest()
    assert (end["result"], end["exit_code"], end["reason"], end["attempts"]) == ("succeeded", 0, "fine", 1)
    assert end["login_given_back"] is True
    assert "result" not in start
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_start_is_on_disk_before_codex_starts(tmp_path, events):
    play(AuditLog(tmp_path / "a", {}), events[:2])
    assert [line["event"] for line in lines(tmp_path / "a")] == ["start"]


def test_a_run_that_was_refused_has_both_lines(tmp_path, events):
    play(AuditLog(tmp_path / "a", {}), [events[0], ev.RunEnded(4, "failed", "refused")])
    start, end = lines(tmp_path / "a")
    assert (start["event"], start["secret"]["place"], end["exit_code"]) == ("start", None, 4)


def test_whoever_attaches_writes_the_end(tmp_path, events):
    made = records(events)
    state = RunState()
    for record in made[:-1]:
        state.apply(record)
    state.apply(made[-1])
    AuditLog(tmp_path / "a", {"actor": "ben"}).accept(made[-1], state)
    (line,) = lines(tmp_path / "a")
    assert (line["event"], line["actor"], line["secret"]["version"]) == ("end", "ben", 7)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"USER": "ada"}, {"actor": "ada", "trigger": None}),
        (
            {"GITLAB_USER_LOGIN": "ben", "USER": "root", "CI_PIPELINE_SOURCE": "push"},
            {"actor": "ben", "trigger": "push"},
        ),
        ({"GITHUB_ACTOR": "x" * 5000}, {"actor": "x" * 500}),
        ({}, {"actor": None}),
    ],
)
def test_who_it_was(environ, expected):
    assert {name: Pipeline(environ).origin()[name] for name in expected} == expected


def test_a_rotated_log_goes_on_in_the_new_file(tmp_path, events):
    path = tmp_path / "audit.jsonl"
    log, state = AuditLog(path, {}), RunState()
    made = records(events)
    for record in made:
        if record is made[-1]:
            path.rename(tmp_path / "audit.jsonl.1")
        state.apply(record)
        log.accept(record, state)
    assert [line["event"] for line in lines(tmp_path / "audit.jsonl.1")] == ["start"]
    assert [line["event"] for line in lines(path)] == ["end"]


def write_many(path, count):
    for _ in range(count):
        play(
            AuditLog(path, {"actor": "x" * 400}),
            [ev.RunStarted("r", "docs", "h", {}), ev.RunEnded(0, "succeeded", "y" * 400)],
        )


def test_runs_at_once_do_not_mix_their_lines(tmp_path):
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(path, 20)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(lines(path)) == 2 * 2 * 20


def test_syslog_gets_the_same_lines(tmp_path, events):
    address = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.bind(str(address))
        service.settimeout(10)
        play(AuditLog(tmp_path / "a", {}, syslog=str(address)), events)
        heard = [service.recv(65536) for _ in range(2)]
    assert all(line.startswith(b"<85>codex-runner[") for line in heard)
    assert [json.loads(line.partition(b": ")[2]) for line in heard] == lines(tmp_path / "a")


def test_what_cannot_be_written_is_told_before_the_run(tmp_path):
    with pytest.raises(ConfigurationError, match=r"audit\.file"):
        AuditLog(tmp_path, {})
    with pytest.raises(ConfigurationError, match=r"audit\.syslog"):
        AuditLog(None, {}, syslog=str(tmp_path / "nothing"))


def test_no_event_and_no_text_breaks_it(tmp_path):
    play(AuditLog(tmp_path / "a", {}), event_samples(HOSTILE))
    assert lines(tmp_path / "a")


def test_a_prompt_with_half_of_a_character_has_a_digest(tmp_path):
    started = ev.RunStarted("20260102T030405Z-docs-0a1b2c3d", "docs", "local", {"job": {"prompt": "p \udcff"}})
    play(AuditLog(tmp_path / "audit.jsonl", {}), [started, ev.RunEnded(3, "failed", "refused")])
    *_, line = lines(tmp_path / "audit.jsonl")
    assert line["prompt_sha256"] == hashlib.sha256(b"p \xed\xb3\xbf").hexdigest()


def test_it_is_there_only_where_the_configuration_asks(tmp_path):
    file = tmp_path / "codex-runner.toml"
    file.write_text("version = 1\n")
    assert Invocation.of(load(None, tmp_path, {}), {}, []).sinks == []
    file.write_text("version = 1\n[audit]\nfile = 'audit.jsonl'\n")
    (sink,) = Invocation.of(load(None, tmp_path, {}), GITHUB, []).sinks
    play(sink, [ev.RunStarted("r", "docs", "h", {}), ev.RunEnded(0, "succeeded", "")])
    assert lines(tmp_path / "audit.jsonl")[0]["config_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
