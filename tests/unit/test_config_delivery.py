"""`delivery` and `gate` of a job: what is read, what is refused, and whose secrets they name."""

import asyncio
import contextlib
import dataclasses
import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.trial import RUN

from codex_runner.app.compose import Assignment, compose
from codex_runner.app.invocation import Invocation
from codex_runner.app.proposal import named_files
from codex_runner.app.secret_places import credential_files, secret_names_of
from codex_runner.app.way import Way
from codex_runner.config import files_of, load, resolve_job, tables
from codex_runner.domain.branch_name import MOST_BYTES, as_branch, branch_problem
from codex_runner.domain.credential import CredentialSource, CredentialSpec
from codex_runner.domain.delivery import ForgeKind, IfUnchanged, OnHeld, Reopen
from codex_runner.domain.delivery_spec import (
    TOKEN,
    DeliveryCredential,
    DeliverySpec,
    DeliveryText,
    GateSpec,
    IfOpen,
    Signing,
)
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.event import build, to_json
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.job import Job
from codex_runner.engine.stopping import Stopping
from codex_runner.sinks.jsonl import FileJournal

SECRET = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
JOB = 'version = 1\n[jobs.x]\nprompt = "p"\nsandbox = "workspace-write"\n'


@pytest.fixture
def configured(tmp_path):
    def configured(text, environ=None, *overrides):
        (tmp_path / "codex-runner.toml").write_text(text)
        return load(None, tmp_path, environ or {}, overrides)

    return configured


FULL = """
version = 1
[defaults.delivery]
target = "github"
repository = "acme/app"
labels = ["docs", "bot"]
text = { mentions = true }
credential = { mount = "forge", min_ttl = "20m" }
[jobs.x]
prompt = "About {{TOPIC}}."
sandbox = "workspace-write"
[jobs.x.delivery]
base = "main"
branch = "codex/{{JOB}}-{{TOPIC}}"
title = "{{TOPIC}}: {{SUMMARY}}"
body_file = "body.md"
draft = false
labels = ["notes"]
author = "Ada Lovelace <ada@example.com>"
signing = "off"
if_unchanged = "close"
reopen = "never"
on_held = "fail"
retention = "1d"
credential = { path = "acme/app/forge" }
[jobs.x.gate]
unless_changed = ["src/**"]
if_open = "skip"
command = "test -e go"
"""


def test_the_keys_come_out_merged_with_the_defaults(configured, tmp_path):
    (tmp_path / "body.md").write_text("{{SUMMARY}}\n\n{{TOPIC}}\n")
    config = configured(FULL)
    job = resolve_job(config, "x", variables={"TOPIC": "maps"})
    assert job.gate == GateSpec(("src/**",), IfOpen.SKIP, "test -e go")
    assert job.delivery == DeliverySpec(
        target=ForgeKind.GITHUB,
        repository="acme/app",
        base="main",
        branch="codex/{{JOB}}-{{TOPIC}}",
        title="{{TOPIC}}: {{SUMMARY}}",
        body_file=str(tmp_path / "body.md"),
        draft=False,
        labels=("notes",),
        author="Ada Lovelace <ada@example.com>",
        signing=Signing.OFF,
        if_unchanged=IfUnchanged.CLOSE,
        reopen=Reopen.NEVER,
        on_held=OnHeld.FAIL,
        retention=86400.0,
        text=DeliveryText(mentions=True),
        credential=DeliveryCredential(mount="forge", path="acme/app/forge", min_ttl=1200.0),
        body="{{SUMMARY}}\n\n{{TOPIC}}\n",
        names={"TOPIC": "maps"},
    )
    assert files_of(config, "x")[1:] == (tmp_path / "body.md",)
    assert build(Job, json.loads(json.dumps(to_json(job)))).delivery == job.delivery  # an attach reads it back


def test_a_job_without_one_has_none(configured):
    job = resolve_job(configured(JOB), "x")
    assert (job.delivery, job.gate) == (None, None)
    job = resolve_job(configured(f"{JOB}delivery = {{}}\n"), "x")
    assert job.delivery == DeliverySpec(names={})


@pytest.mark.parametrize(
    ("environ", "overrides", "expected"),
    [
        ({"CODEX_RUNNER_JOBS__X__DELIVERY__BRANCH": "a/b"}, (), lambda job: job.delivery.branch == "a/b"),
        ({"CODEX_RUNNER_JOBS__X__DELIVERY__DRAFT": "false"}, (), lambda job: not job.delivery.draft),
        (
            {"CODEX_RUNNER_JOBS__X__DELIVERY__CREDENTIAL__PATH": "p"},
            (),
            lambda job: job.delivery.credential.path == "p",
        ),
        ({"CODEX_RUNNER_JOBS__X__GATE__COMMAND": "true"}, (), lambda job: job.gate.command == "true"),
        ({}, ('jobs.x.delivery.labels=["a"]',), lambda job: job.delivery.labels == ("a",)),
        ({}, ("jobs.x.delivery.text.mentions=true",), lambda job: job.delivery.text.mentions),
        ({}, ("defaults.delivery.reopen=always",), lambda job: job.delivery.reopen is Reopen.ALWAYS),
    ],
)
def test_every_layer_reaches_them(configured, environ, overrides, expected):
    assert expected(configured(f"{JOB}delivery = {{ title = 't' }}\n", environ, *overrides).jobs["x"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("delivery = { branhc = 'x' }", "jobs.x.delivery.branhc: unknown key; did you mean `branch`?"),
        ("delivery = { target = 'bitbucket' }", 'delivery.target = "bitbucket": must be github, gitlab or git'),
        ("delivery = { branch = 'a b' }", 'jobs.x.delivery.branch = "a b": a branch\'s name has no spaces'),
        ("delivery = { branch = 'a..b' }", "neither `..` nor"),
        ("delivery = { base = 'refs/heads/main' }", "is named without `refs/heads/`"),
        ("delivery = { base = '{{JOB}}x^' }", "a branch's name has no spaces"),
        (f"delivery = {{ repository = 'https://u:{SECRET}@h/a' }}", "jobs.x.delivery.repository"),
        ("delivery = { api = 'api.example.com' }", "must be an http(s) address"),
        ("delivery = { author = 'Ada' }", 'author = "Ada": must be a name and an address, such as Ada'),
        ("delivery = { author = 'Ada <a@b>\\n' }", "must be a name and an address"),
        ("delivery = { signing = 'gpg' }", "must be auto, required or off"),
        ("delivery = { reopen = 'sometimes' }", "must be never, changed or always"),
        ("delivery = { if_unchanged = 'delete' }", "must be skip or close"),
        ("delivery = { on_held = 'stop' }", "must be warn or fail"),
        ("delivery = { text = { mention = true } }", "did you mean `mentions`?"),
        (f"delivery = {{ credential = '{SECRET}' }}", "jobs.x.delivery.credential = ***: must be a table"),
        (f"delivery = {{ credential = {{ token = '{SECRET}' }} }}", "jobs.x.delivery.credential.token: unknown key"),
        (f"delivery = {{ credential = {{ source = 'env', variable = '{SECRET} ' }} }}", "credential.variable = ***"),
        ("delivery = { credential = { kind = 'api_key' } }", "jobs.x.delivery.credential.kind: unknown key"),
        ("delivery = { credential = {} }", "jobs.x.delivery.credential.path: missing: the token's path in Vault"),
        (
            "delivery = { credential = { variable = 'GITHUB_TOKEN' } }",
            """such as acme/app/forge; with `variable`, set `source = "env"`""",
        ),
        ("delivery = { credential = { source = 'env' } }", "credential.variable: missing: the variable that holds"),
        ("delivery = { credential = { source = 'file' } }", "credential.file: missing: the file that holds the token"),
        ("delivery = { target = 'gitlab' }", 'jobs.x.delivery.credential: missing: with `target = "gitlab"`'),
        ("delivery = { target = 'git', labels = ['a'] }", "jobs.x.delivery.labels: has no effect with `target = "),
        ("delivery = { target = 'git', if_unchanged = 'close' }", "jobs.x.delivery.if_unchanged: must be skip with"),
        ("delivery = { target = 'git', signing = 'required' }", "jobs.x.delivery.signing: must be auto or off with"),
        ("delivery = { signing = 'required', author = 'A <a@b>' }", "jobs.x.delivery.author: has no effect with"),
        ("delivery = {}\nsandbox = 'read-only'", "jobs.x.delivery: has nothing to deliver: with `sandbox = "),
        ("gate = {}", "jobs.x.gate: decides nothing: set `unless_changed`, `if_open` or `command`"),
        ("gate = { unless_changed = [] }", "jobs.x.gate.unless_changed: names no file, so the gate decides nothing"),
        ("gate = { if_open = 'skip' }", "jobs.x.gate.if_open: has no effect without `delivery`"),
        (
            "gate = { if_open = 'skip' }\ndelivery = { target = 'git' }",
            'jobs.x.gate.if_open: has no effect with `target = "git"`',
        ),
        ("gate = { unless_changed = ['!a'] }", "jobs.x.gate.unless_changed[0]"),
        ("gate = { command = '' }", 'jobs.x.gate.command = "": must not be empty'),
    ],
)
def test_what_is_wrong_is_refused(configured, text, said):
    rest = JOB if "sandbox" not in text else JOB.replace('sandbox = "workspace-write"\n', "")
    with pytest.raises(ConfigurationError) as caught:
        configured(f"{rest}{text}\n")
    assert SECRET not in caught.value.message
    (line,) = caught.value.message.splitlines()
    assert said in line


def test_defaults_may_hold_half_of_it(configured):
    text = f"{JOB}delivery = {{ credential = {{ path = 'p' }} }}\n[defaults]\ndelivery = {{ target = 'github' }}\n"
    assert configured(text).jobs["x"].delivery.credential.path == "p"


@pytest.mark.parametrize(
    ("delivery", "said"),
    [
        (
            "title = '{{TOPIC}}'",
            "x.delivery.title: names {{TOPIC}}, which nothing fills; known here: CHANGES, JOB, RUN,",
        ),
        ("branch = '{{RUN}}'", "x.delivery.branch: names {{RUN}}, which nothing fills; known here: JOB, WORKFLOW, and"),
        ("commit_message = '{{SUMMARY}} {{A}} {{B}}'", "names {{A}}, {{B}}, which nothing fills"),
        ("body_file = 'none.md'", "none.md cannot be read: No such file"),
    ],
)
def test_a_name_that_nothing_fills_is_refused(configured, delivery, said):
    config = configured(f"{JOB}delivery = {{ {delivery} }}\n")
    with pytest.raises(ConfigurationError) as caught:
        resolve_job(config, "x")
    assert said in caught.value.message


# Secrets


def test_the_places_of_its_secret_are_as_those_of_the_jobs_own(configured, tmp_path):
    """Denied to the agent, and no program of the runner's gets the variable."""
    (tmp_path / "forge.token").write_text("t")
    text = (
        f"{JOB}credential = {{ source = 'env', variable = 'OWN' }}\n"
        "delivery = { credential = { source = 'file', file = 'forge.token' } }\n"
        "[jobs.y]\nprompt = 'p'\nsandbox = 'workspace-write'\n"
        "delivery = { credential = { source = 'env', variable = 'MY_FORGE' } }\n"
    )
    config = configured(text)
    assert {"OWN", "MY_FORGE"} <= secret_names_of(config)
    assert TOKEN not in secret_names_of(config)
    job = resolve_job(config, "x")
    assert credential_files(job, config.vault) == [str(tmp_path / "forge.token")]
    assert "MY_FORGE" in Invocation.of(config, {}, None).secret_names


def test_a_credential_is_judged_by_the_rules_of_any():
    """Each of its fields is one of CredentialSpec's, but for git's user name."""
    mine = {field.name for field in dataclasses.fields(DeliveryCredential)}
    assert mine - {field.name for field in dataclasses.fields(CredentialSpec)} == {"user"}
    given = DeliveryCredential(CredentialSource.ENV, "m", "p", "f", "V", "/f", "u", "w", 1, 2, 3, "i", "e", True, True)
    spec = given.spec
    assert all(getattr(spec, name) == getattr(given, name) for name in mine - {"user"})
    assert all(getattr(spec, name) != getattr(CredentialSpec(), name) for name in mine - {"user"})
    assert spec.environment_variable == TOKEN


def test_the_password_of_its_proxy_is_a_secret(configured, tmp_path):
    password = "battery-horse-staple"
    config = configured(f"{JOB}delivery = {{ proxy = 'http://me:{password}@127.0.0.1:9' }}\n")
    job, invocation = resolve_job(config, "x"), Invocation.of(config, {}, ())
    folder = RunFolder(tmp_path / RUN)
    with contextlib.closing(FileJournal.create(folder)) as journal:
        assignment = Assignment(job, folder, journal, Way(job, RUN, invocation), ())
        _, redactor = compose(assignment, invocation, Stopping())
        asyncio.run(assignment.way.transport.close())
    assert redactor.text(f"it is {password}") == "it is ***PROXY_PASSWORD***"


# Names of branches


@given(st.text())
def test_any_text_becomes_a_branch(text):
    name = as_branch(text)
    assert branch_problem(name) is None
    assert as_branch(name) == name


def test_git_agrees_on_the_names_of_branches(tmp_path):
    """What git refuses is refused here. The forges refuse some more."""
    names = ["a", "a/b", "a b", "-a", "a..b", "a.lock", "a.lock/b", ".a", "a/.b", "a.", "a//b", "/a", "a/", "a@{b"]
    names += ["@", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a\x7fb", "ä", "HEAD", "a@b", "x.lock.lock", "a./b"]
    for name in names:
        done = subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True, check=False)
        if done.returncode:
            assert branch_problem(name), name
        assert branch_problem(as_branch(name)) is None
    assert [name for name in names if branch_problem(name) is None] == ["a", "a/b", "ä", "a@b"]
    assert branch_problem("x" * (MOST_BYTES + 1))
    assert tables.table(DeliverySpec).keys["branch"].written.form.value == "branch template"


def test_what_the_gate_runs_configures_the_run(configured):
    """A pull request that changes it changes what its own run comes to."""
    config = configured(f"{JOB}gate = {{ command = 'sh ci/gate.sh' }}\n")
    assert "ci/gate.sh" in named_files(resolve_job(config, "x"), files_of(config, "x"))
