"""Reading the configuration: three layers, every refusal, and the job that comes out."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.config import PromptSource, load, resolve_job, tables
from codex_runner.config.settings import AuditSettings, HostSettings, JobSettings, NotifySettings
from codex_runner.domain.concurrency import Concurrency
from codex_runner.domain.credential import (
    AUTH_METHODS,
    AppRoleAuth,
    CredentialKind,
    CredentialSource,
    CredentialSpec,
    JwtAuth,
    TokenAuth,
    VaultSettings,
)
from codex_runner.domain.delivery_spec import DeliveryCredential, DeliverySpec, DeliveryText, GateSpec
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.job import Check, CodexSettings, Limits, Sandbox
from codex_runner.domain.policy import Budget, PathRules, Price, RetryPolicy
from codex_runner.domain.workspace import WorkspaceSpec
from codex_runner.text.durations import parse_duration

SECRET = "sk-do-not-show"
BASE = """
version = 1
[jobs.release-notes]
prompt = "Write them."
timeout = "10m"
"""


@pytest.fixture
def configured(tmp_path):
    def configured(text=BASE, environ=None, *overrides):
        (tmp_path / "codex-runner.toml").write_text(text, encoding="utf-8")
        return load(None, tmp_path, environ or {}, overrides)

    return configured


@pytest.fixture
def problems(configured):
    """Load what is wrong, and return the lines of the one error that comes."""

    def problems(*arguments):
        with pytest.raises(ConfigurationError) as caught:
            configured(*arguments)
        assert caught.value.exit_code is ExitCode.CONFIGURATION
        assert caught.value.remedy
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        assert SECRET not in caught.value.message
        assert "pydantic" not in caught.value.message.lower()
        assert "Section" not in caught.value.message
        return caught.value.message.splitlines()

    return problems


# Finding and reading the file


def test_the_file_is_found_upwards_and_its_folder_is_the_root(configured, tmp_path):
    configured()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    config = load(None, deep, {})
    assert config.root == tmp_path
    assert config.output_dir == tmp_path / "codex-runner-out"
    assert resolve_job(config, "release-notes").cwd == str(tmp_path)


def test_the_nearest_file_wins(configured, tmp_path):
    configured()
    below = tmp_path / "below"
    below.mkdir()
    (below / "codex-runner.toml").write_text("version = 1")
    assert load(None, below, {}).root == below


@pytest.mark.parametrize("path", [None, Path("other.toml")])
def test_no_file_is_told_with_the_way_to_one(tmp_path, path):
    with pytest.raises(ConfigurationError, match=r"codex-runner\.toml|other\.toml") as caught:
        load(path, tmp_path, {})
    assert "codex-runner init" in caught.value.remedy


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version = 1\n[jobs.x\n", "codex-runner.toml: is not valid TOML: .*line 2, column 8"),
        (b"version = 1\nversion = 1\n", "line 2"),
        (b"x = '\xff'", r"codex-runner.toml: is not UTF-8 \(at byte 5\)"),
        (b"x = " + b"[" * 5000, "nested too deeply|not valid TOML"),
        (b"x = " + b"9" * 5000, "not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml(tmp_path, data, said):
    (tmp_path / "codex-runner.toml").write_bytes(data)
    with pytest.raises(ConfigurationError, match=said):
        load(None, tmp_path, {})


def test_a_byte_order_mark_is_no_error(tmp_path):
    (tmp_path / "codex-runner.toml").write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert load(None, tmp_path, {}).jobs


# The three layers


def test_each_layer_is_stronger_than_the_one_before(configured):
    environ = {"CODEX_RUNNER_JOBS__RELEASE_NOTES__TIMEOUT": "20m"}
    assert configured().jobs["release-notes"].limits.timeout == 600
    assert configured(BASE, environ).jobs["release-notes"].limits.timeout == 1200
    config = configured(BASE, environ, "jobs.release-notes.timeout=30m", "jobs.release-notes.timeout=40m")
    assert config.jobs["release-notes"].limits.timeout == 2400
    assert config.jobs["release-notes"].prompt == "Write them."


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("jobs__release_notes__timeout", "90", lambda job: job.limits.timeout == 90),
        ("JOBS__Release_Notes__TIMEOUT", "1h30m", lambda job: job.limits.timeout == 5400),
        ("JOBS__RELEASE_NOTES__PROMPT", "5", lambda job: job.prompt == "5"),
        ("JOBS__RELEASE_NOTES__SANDBOX", "workspace-write", lambda job: job.sandbox is Sandbox.WORKSPACE_WRITE),
        ("JOBS__RELEASE_NOTES__EXPECT_MESSAGE", "false", lambda job: job.expect_message is False),
        ("JOBS__RELEASE_NOTES__ARTIFACTS", '["a", "b/**"]', lambda job: job.artifacts == ("a", "b/**")),
        ("JOBS__RELEASE_NOTES__CODEX__MODEL", "m", lambda job: job.codex.model == "m"),
        ("DEFAULTS__STALL_TIMEOUT", "5m", lambda job: job.limits.stall == 300),
        (
            "CODEX__CONFIG__MODEL_PROVIDERS__X__RETRIES",
            "3",
            lambda job: job.codex.config["model_providers"]["x"] == {"retries": 3},
        ),
        ("CODEX__ENV__HTTP__Proxy", "u", lambda job: job.codex.environment["HTTP__Proxy"].reveal() == "u"),
        ("JOBS", '{x={prompt="p"}}', lambda job: job.prompt == "Write them."),
    ],
)
def test_the_environment_reaches_every_key(configured, name, value, expected):
    assert expected(
        configured(BASE, {f"CODEX_RUNNER_{name.removeprefix('CODEX_RUNNER_')}": value}).jobs["release-notes"]
    )


def test_names_of_tables_keep_their_spelling(configured):
    text = 'version = 1\n[jobs."a.b--c"]\nprompt = "x"\n[jobs.a]\nprompt = "y"\n[hosts.Dev-Box]\ncodex = "/c"\n'
    environ = {
        "CODEX_RUNNER_JOBS__A_B__C__MODEL": "one",
        "CODEX_RUNNER_JOBS__A__MODEL": "two",
        "CODEX_RUNNER_HOSTS__DEV_BOX__CODEX": "/d",
        "CODEX_RUNNER_HOSTS__NEW__CODEX": "/e",
    }
    config = configured(text, environ)
    assert {name: job.codex.model for name, job in config.jobs.items()} == {"a.b--c": "one", "a": "two"}
    assert {name: host.codex for name, host in config.hosts.items()} == {"Dev-Box": "/d", "new": "/e"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("JOBS__RELEASE__TIMEOUT", "jobs.release: no job of this name; did you mean `release-notes`?"),
        ("JOBS__RELEASE_NOTES__TIEMOUT", "jobs.release-notes.tiemout: unknown key; did you mean `timeout`?"),
        ("JOBS__RELEASE_NOTES__TIMEOUT__X", "jobs.release-notes.timeout.x: unknown key"),
        ("JOBS__A_B__MODEL", 'jobs: is ambiguous: jobs.a-b or jobs."a.b"; use --set'),
        (
            "TOKEN",
            (
                "token: unknown key; known here: audit, codex, defaults, hosts, jobs, junit, ledger, metrics, "
                "notify, output_dir, prices, ssh_config, vault, version"
            ),
        ),
        ("", "names no key"),
    ],
)
def test_a_variable_that_means_nothing_is_refused(problems, name, said):
    text = BASE + '[jobs."a.b"]\nprompt = "x"\n[jobs.a-b]\nprompt = "x"\n'
    assert problems(text, {f"CODEX_RUNNER_{name}": SECRET}) == [f"environment CODEX_RUNNER_{name}: {said}"]


def test_what_a_run_leaves_in_the_environment_is_no_setting(configured):
    assert configured(BASE, {"CODEX_RUNNER_MARK": "20260102T030405Z-x-0a1b2c3d", "CODEX_RUNNERS": "x", "OTHER": "x"})


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("jobs.release-notes.exit_grace=5", lambda job: job.limits.exit_grace == 5),
        ('jobs."release-notes".model = "m"', lambda job: job.codex.model == "m"),
        ("jobs.release-notes.model=5.5", lambda job: job.codex.model == "5.5"),
        ("jobs.release-notes.prompt=a = b", lambda job: job.prompt == "a = b"),
        ('codex.config."a=b".c={d=[1]}', lambda job: job.codex.config == {"a=b": {"c": {"d": [1]}}}),
        ("codex.config.notify=['a']", lambda job: job.codex.config == {"notify": ["a"]}),
        ("codex.config.x=1\ny=2", lambda job: job.codex.config == {"x": "1\ny=2"}),
        ('defaults.checks=[{name="n", run="true"}]', lambda job: job.checks == (Check("n", "true"),)),
    ],
)
def test_set_reaches_every_key(configured, override, expected):
    assert expected(configured(BASE, {}, override).jobs["release-notes"])


def test_set_can_make_a_job(configured):
    assert configured("version = 1", {}, "jobs.new.prompt=x").jobs["new"].prompt == "x"


@pytest.mark.parametrize("override", ["", "jobs.x.timeout", "=5", f"a b={SECRET}", f"{{={SECRET}"])
def test_a_set_without_key_or_value_is_refused(problems, override):
    (line,) = problems(BASE, {}, override)
    assert line.startswith("--set")
    assert "must be KEY=VALUE" in line


# What is refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tiemout = '5m'", "jobs.x.tiemout: unknown key; did you mean `timeout`?"),
        ("Sandbox = 'read-only'", "jobs.x.Sandbox: unknown key; did you mean `sandbox`?"),
        ("deliver = { branch = 'x' }", "jobs.x.deliver: unknown key; did you mean `delivery`?"),
        ("host_retention = '30m'", 'jobs.x.host_retention = "30m": must be at least 1h'),
        ("workspace = { repository = '.' }", "jobs.x.workspace.repository: unknown key; known here: keep, ref, repo"),
        ("workspace = { repo = '' }", "jobs.x.workspace.repo = ***: must not be empty"),
        (f"workspace = {{ repo = 'https://me:{SECRET}@host/a' }}", "jobs.x.workspace.repo = ***: must not contain"),
        ("workspace = { repo = 'ext::sh' }", "jobs.x.workspace.repo = ***: must be a path, or an address"),
        ("workspace = { repo = 'ftp://host/a' }", "must be a path, or an address that begins with https://"),
        ("workspace = { repo = '--upload-pack=touch:x' }", "jobs.x.workspace.repo = ***: a host's name has no spaces"),
        ("workspace = { repo = 'ssh://-oProxyCommand=x/a' }", "jobs.x.workspace.repo = ***: a host's name has no"),
        ("workspace = { repo = 'a$(id):x' }", "jobs.x.workspace.repo = ***: a host's name has no spaces"),
        ("workspace = { ref = '--upload-pack=x' }", 'workspace.ref = "--upload-pack=x": must be a branch, a tag or'),
        ("workspace = { ref = 'a b' }", 'jobs.x.workspace.ref = "a b": must be a branch'),
        ("workspace = { keep = 'failure' }", "must be never, on-failure or always; did you mean `on-failure`?"),
        ("workspace = true", "jobs.x.workspace = ***: must be a table"),
        ("retry = { attempts = 0 }", "jobs.x.retry.attempts = 0: must be a whole number, and at least 1"),
        ("budget = { tokens = '5' }", 'jobs.x.budget.tokens = "5": must be a whole number'),
        (f"credential = {{ token = '{SECRET}' }}", "jobs.x.credential.token: unknown key; known here: allow_"),
        ("credential = {}", "jobs.x.credential.path: missing: the token's path in Vault"),
        ("credential = { variable = 'A' }", """with `variable`, set `source = "env"`"""),
        ("credential = { source = 'file' }", "jobs.x.credential.file: missing"),
        (
            "credential = { path = 'a', min_tll = '1h' }",
            "jobs.x.credential.min_tll: unknown key; did you mean `min_ttl`?",
        ),
        ("credential = { path = 'a', kind = 'apikey' }", "did you mean `api_key`?"),
        ("credential = { path = 'a', min_ttl = 'long' }", 'jobs.x.credential.min_ttl = "long": must be a duration'),
        ("credential = { path = 'a', max_age = 0 }", "jobs.x.credential.max_age = 0: must be longer than 0s"),
        ("credential = { path = 'a', expires_at = 'soon' }", 'credential.expires_at = "soon": must be a date with a'),
        ("credential = { path = 'a', expires_at = 2026-01-31T12:00:00 }", "must be a date with a time zone"),
        (f"credential = {{ source = 'env', variable = '{SECRET}' }}", "credential.variable = ***: an environment var"),
        (
            f"credential = {{ path = 'a', preflight_url = '{SECRET}' }}",
            "credential.preflight_url = ***: must be an http",
        ),
        (f"credential = '{SECRET}'", "jobs.x.credential = ***: must be a table"),
        (f"api_key = '{SECRET}'", "jobs.x.api_key: unknown key"),
        ("timeout = '10 minutes'", 'jobs.x.timeout = "10 minutes": must be a duration such as'),
        ("timeout = true", "jobs.x.timeout = true: must be a duration"),
        ("timeout = 0", "jobs.x.timeout = 0: must be longer than 0s"),
        ("timeout = inf", "jobs.x.timeout = inf: must be longer than 0s and at most a year"),
        ("model = 5", "jobs.x.model = 5: must be a string"),
        ("cwd = ''", 'jobs.x.cwd = "": must not be empty'),
        ('cwd = "a\\u0000b"', "must not hold a NUL"),
        ("sandbox = 'workspace_write'", "did you mean `workspace-write`?"),
        ("expect_message = 1", "jobs.x.expect_message = 1: must be true or false"),
        ("host = '-oProxyCommand=x'", "does not begin with '-'"),
        ("host = 'a$(id)'", 'jobs.x.host = "a$(id)": a host\'s name has no spaces, none of'),
        (
            f"codex = {{ env = {{ IFS = '{SECRET}' }} }}",
            "jobs.x.codex.env.IFS: is set by the shell, or by codex-runner",
        ),
        ("artifacts = 'a'", 'jobs.x.artifacts = "a": must be an array'),
        ("artifacts = ['a', '/etc/passwd']", 'jobs.x.artifacts[1] = "/etc/passwd": must be relative'),
        ("artifacts = ['a/../../b']", "stay below it"),
        ("checks = [{ name = 'a' }]", "jobs.x.checks[0].run: missing"),
        ("checks = [{ name = 'a', run = 'b', rnu = 'c' }]", "jobs.x.checks[0].rnu: unknown key; did you mean `run`?"),
        ("checks = [{ name = 'a', run = 'b' }, { name = 'a', run = 'c' }]", "used twice: a"),
        ("checks = [{ name = 'path rules', run = 'b' }]", "reserved for codex-runner's own checks: path rules"),
        ("retry = { checks = 1 }", 'jobs.x.retry.checks: has no effect without `on_check_failure = "retry"`'),
        ("on_check_failure = 'ignore'", 'jobs.x.on_check_failure = "ignore": must be fail or retry'),
        ("budget = { tokens_per_day = 5 }", "jobs.x.budget.tokens_per_day: needs `tokens`"),
        ("budget = { tokens = 9, tokens_per_day = 5 }", "jobs.x.budget.tokens_per_day: needs `tokens`, and must"),
        ("budget = { money = 'much' }", 'jobs.x.budget.money = "much": must be an amount such as 1.25'),
        ("budget = { money = -1 }", "jobs.x.budget.money = -1: must be an amount"),
        ("concurrency = { policy = 'wait' }", "jobs.x.concurrency.group: missing"),
        ("concurrency = { group = 'a', policy = 'queue' }", 'jobs.x.concurrency.policy = "queue": must be skip, wait'),
        ("must_change = 5", "jobs.x.must_change = 5: must be true, false, or an array of globs"),
        ("must_change = [5]", "jobs.x.must_change: must be true, false, or an array of globs"),
        ("output_schema = ''", 'jobs.x.output_schema = "": must not be empty'),
        ("prompt_file = 'p.md'", "jobs.x: has both `prompt` and `prompt_file`"),
        ("codex = { evn = { A = 'b' } }", "jobs.x.codex.evn: unknown key; did you mean `env`?"),
        (f"codex = {{ env = '{SECRET}' }}", "jobs.x.codex.env = ***: must be a table"),
        (f"codex = {{ env = {{ A = ['{SECRET}'] }} }}", "jobs.x.codex.env.A = ***: must be a string"),
        (f"codex = {{ env = {{ 'A-B' = '{SECRET}' }} }}", "jobs.x.codex.env.A-B: an environment variable's name"),
        (f"codex = '{SECRET}'", "jobs.x.codex = ***: must be a table"),
    ],
)
def test_a_wrong_key_is_refused(problems, text, said):
    (line,) = problems(f"version = 1\n[jobs.x]\nprompt = 'p'\n{text}\n")
    assert line.startswith("codex-runner.toml: jobs.x")
    assert said in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "version: missing"),
        ("version = 2", "version = 2: must be 1"),
        ("version = '1'", 'version = "1": must be 1'),
        ("version = true", "version = true: must be 1"),
        ("version = 1\ntimeout = '5m'", "timeout: unknown key; `timeout` belongs in [jobs.NAME] or [defaults]"),
        ("version = 1\noutputdir = 'x'", "outputdir: unknown key; did you mean `output_dir`?"),
        ("version = 1\n[jobs.Bad]\nprompt = 'x'", "jobs.Bad: a job's name is"),
        ("version = 1\n[jobs.'a/../b']\nprompt = 'x'", 'jobs."a/../b": a job\'s name is'),
        (f"version = 1\n[jobs.{'a' * 65}]\nprompt = 'x'", "a job's name is"),
        ("version = 1\njobs = 5", "jobs = 5: must be a table"),
        ("version = 1\njobs.x = 5", "jobs.x = 5: must be a table"),
        ("version = 1\n[hosts.'-x']\ncodex = 'y'", "hosts.-x: a host's name"),
        ("version = 1\n[hosts.x]\ncodx = 'y'", "hosts.x.codx: unknown key; did you mean `codex`?"),
        ("version = 1\n[defaults]\nprompt = 'a'\nprompt_file = 'b'", "defaults: has both"),
        ("version = 1\n[vault]\nadress = 'x'", "vault.adress: unknown key; did you mean `address`?"),
        (f"version = 1\n[vault]\naddress = 'https://u:{SECRET}@v'", "vault.address = ***: must be an http(s) address"),
        ("version = 1\n[vault]\naddress = 'vault.example.com'", "vault.address = ***: must be an http(s) address"),
        ("version = 1\n[vault]\nretry_deadline = '1'", 'vault.retry_deadline = "1": must be a duration'),
        (f"version = 1\nvault = '{SECRET}'", "vault = ***: must be a table"),
        (f"version = 1\n[vault]\nauth = '{SECRET}'", "vault.auth"),
        ("version = 1\n[vault]\nauth = { role = 'x' }", "vault.auth.method: missing"),
        ("version = 1\n[vault]\nauth = { method = 'jwd' }", "did you mean `jwt`?"),
        ("version = 1\n[vault]\nauth = { method = 'jwt' }", "vault.auth.role: missing; a login with jwt needs it"),
        ("version = 1\n[vault]\nauth = { method = 'userpass' }", "vault.auth.username: missing; a login with userp"),
        (
            "version = 1\n[vault]\nauth = { method = 'jwt', rol = 'x' }",
            "vault.auth.rol: unknown key; did you mean `role`?",
        ),
        (
            f"version = 1\n[vault]\nauth = {{ method = 'jwt', role = 'x', role_id = '{SECRET}' }}",
            "vault.auth.role_id: a login with jwt has no such key; it has role, mount, audience, token_file",
        ),
        (
            f"version = 1\n[vault]\nauth = {{ method = 'jwt', role = 'x', token_variable = '{SECRET}' }}",
            "vault.auth.token_variable = ***: an environment variable's name",
        ),
        (
            f"version = 1\n[vault]\nauth = {{ method = 'approle', role = 'x', wrapped = '{SECRET}' }}",
            "vault.auth.wrapped = ***: must be true or false",
        ),
        (
            "version = 1\n[[notify]]\nname = 'a'\nurl_file = 'u'\nformat = 'xml'",
            'notify[0].format = "xml": must be json, slack, teams or ntfy',
        ),
        ("version = 1\n[junit]\nguards = 1", "junit.guards = 1: must be true or false"),
        ("version = 1\n[audit]\nfile = ''", 'audit.file = "": must not be empty'),
        (
            "version = 1\n[defaults]\ncredential = { mount = 'm' }\n[jobs.x]\nprompt = 'p'",
            "jobs.x.credential.path: missing",
        ),
    ],
)
def test_a_wrong_file_is_refused(problems, text, said):
    (line,) = problems(text)
    assert line.startswith("codex-runner.toml: ")
    assert said in line


def test_everything_wrong_comes_at_once_each_with_its_origin(problems):
    lines = problems(
        "version = 3\n[jobs.release-notes]\nprompt = 'a'\nprompt_file = 'b'\ntiemout = 1\nmodel = 'm'\n",
        {"CODEX_RUNNER_JOBS__RELEASE_NOTES__TIMEOUT": "soon", "CODEX_RUNNER_NOPE": "x"},
        "jobs.release-notes.exit_grace=never",
        "nonsense",
    )
    assert len(lines) == 7
    for said in (
        "--set nonsense: must be KEY=VALUE",
        "environment CODEX_RUNNER_NOPE: nope: unknown key",
        "codex-runner.toml: version = 3",
        "codex-runner.toml: jobs.release-notes: has both",
        "codex-runner.toml: jobs.release-notes.tiemout",
        'environment CODEX_RUNNER_JOBS__RELEASE_NOTES__TIMEOUT: jobs.release-notes.timeout = "soon"',
        '--set: jobs.release-notes.exit_grace = "never"',
    ):
        assert sum(line.startswith(said) for line in lines) == 1, said


def test_a_long_value_is_shortened(problems):
    (line,) = problems(f"version = 1\n[jobs.x]\nprompt = 'p'\nsandbox = '{'y' * 500}'\n")
    assert len(line) < 250


# What comes out


def test_a_job_that_says_nothing_has_the_defaults(configured):
    job = resolve_job(configured("version = 1\n[jobs.x]\nprompt = 'p'\n"), "x")
    assert job.limits == Limits()
    assert job.sandbox is Sandbox.READ_ONLY
    assert (job.host, job.checks, job.artifacts, job.expect_message) == ("local", (), (), True)
    assert job.codex.path is None
    assert job.prompt == "p"


def test_every_key_of_a_job_reaches_it(configured):
    """A field is its key's only declaration: nothing else is written for it on the way."""
    said = {bool: lambda default: not default, int: lambda _: 7, float: lambda _: 7200.0}
    inside = {Limits: "limits", PathRules: "rules"}
    reached = []
    for name, each in tables.table(JobSettings).keys.items():
        node = each.node
        if not isinstance(node, tables.Leaf) or (node.hint not in said and not node.choices):
            continue
        job = configured("version = 1\n[jobs.x]\n").jobs["x"]
        default = getattr(getattr(job, inside[each.owner]) if each.owner in inside else job, each.name)
        value = node.choices[-1] if node.choices else said[node.hint](default)
        job = configured("version = 1\n[jobs.x]\n", {}, f"jobs.x.{name}={json.dumps(value)}").jobs["x"]
        assert getattr(getattr(job, inside[each.owner]) if each.owner in inside else job, each.name) == value != default
        reached.append(name)
    assert {"timeout", "sandbox", "max_changed_lines", "keep_rollout", "secret_scan"} <= set(reached)


FULL = """
version = 1
output_dir = "out"
[codex]
path = "bin/codex"
model = "m1"
config = { a = { b = 1, c = 1 } }
env = { ONE = "1", BOTH = "1" }
[defaults]
timeout = "20m"
codex = { config = { a = { c = 2 } } }
[hosts.devbox]
codex = "/opt/codex"
[jobs.x]
prompt_file = "prompts/x.md"
cwd = "part"
model = "m2"
stall_timeout = 30
artifacts = ["*.md"]
codex = { model = "m3", config = { a = { d = 3 } }, env = { BOTH = "2" } }
checks = [{ name = "n", run = "true", timeout = "5s" }]
"""


@pytest.fixture
def full(configured, tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "x.md").write_text("About {{TOPIC}}.\n")
    return configured(FULL)


def test_tables_are_merged_from_the_general_to_the_particular(full, tmp_path):
    job = resolve_job(full, "x", variables={"TOPIC": "{{Y}}"})
    assert full.output_dir == tmp_path / "out"
    assert job.prompt == "About {{Y}}.\n"
    assert job.cwd == str(tmp_path / "part")
    assert job.limits == Limits(timeout=1200, stall=30, command=1200)
    assert job.codex.model == "m2"
    assert job.codex.path == str(tmp_path / "bin/codex")
    assert job.codex.config == {"a": {"b": 1, "c": 2, "d": 3}}
    assert {name: secret.reveal() for name, secret in job.codex.environment.items()} == {"ONE": "1", "BOTH": "2"}
    assert job.checks == (Check("n", "true", 5),)
    assert job.artifacts == ("*.md",)
    assert "'2'" not in repr(full)


def test_on_another_host_paths_stay_as_written(configured, full):
    there = configured(FULL, {}, "jobs.x.cwd=/srv/a part", "jobs.x.prompt=x")
    job = resolve_job(there, "x", host="devbox")
    assert (job.host, job.cwd, job.codex.path) == ("devbox", "/srv/a part", "/opt/codex")
    assert resolve_job(there, "x", host="elsewhere").codex.path == "bin/codex"
    with pytest.raises(
        ConfigurationError, match=r"jobs\.x\.cwd = 'part': on the host 'devbox', it must be an absolute path"
    ):
        resolve_job(full, "x", host="devbox", variables={"TOPIC": ""})


def test_the_nearest_codex_is_taken(configured):
    text = FULL.replace("prompt_file = ", "prompt = ").replace('cwd = "part"', "cwd = '.'")
    config = configured(text, {}, "jobs.x.codex.path=codex-next", "hosts.local.codex=/opt/local")
    assert resolve_job(config, "x").codex.path == "codex-next"
    there = configured(text, {}, "jobs.x.codex.path=codex-next", "jobs.x.cwd=/")
    assert resolve_job(there, "x", host="devbox").codex.path == "codex-next"
    assert resolve_job(configured(text, {}, "hosts.local.codex=/opt/local"), "x").codex.path == "/opt/local"


def test_another_host_needs_a_folder_to_work_in(configured):
    with pytest.raises(ConfigurationError, match=r"jobs\.release-notes\.cwd: missing: on the host 'devbox'"):
        resolve_job(configured(), "release-notes", host="devbox")


@pytest.mark.parametrize(
    ("repo", "meant"),
    [
        (".", "{root}"),
        ("sub/../other", "{root}/sub/../other"),
        ("/srv/app", "/srv/app"),
        ("./a:b", "{root}/a:b"),
        ("git@host:acme/app.git", "git@host:acme/app.git"),
        ("https://host/acme/app", "https://host/acme/app"),
        ("file:///srv/app.git", "file:///srv/app.git"),
    ],
)
@pytest.mark.parametrize("host", ["local", "devbox"])
def test_a_workspace_is_of_a_repository_here_or_of_an_address(configured, tmp_path, repo, meant, host):
    config = configured(f"version = 1\n[jobs.x]\nprompt = 'x'\nworkspace = {{ repo = '{repo}' }}\n")
    job = resolve_job(config, "x", host=host)
    assert job.workspace.repo == meant.format(root=tmp_path)
    assert job.workspace.is_url == (not meant.startswith(("/", "{")))
    assert job.cwd == "."


@pytest.mark.parametrize(("cwd", "fits"), [("docs/", True), ("./a/b", True), ("/srv", False), ("a/../../b", False)])
def test_in_a_workspace_the_folder_is_relative_to_its_top(configured, cwd, fits):
    config = configured(f"version = 1\n[jobs.x]\nprompt = 'x'\nworkspace = {{}}\ncwd = '{cwd}'\n")
    if fits:
        assert resolve_job(config, "x").cwd == cwd.removeprefix("./").rstrip("/")
        return
    with pytest.raises(ConfigurationError, match=r"cwd = .*: with `workspace`, it must be relative to its top"):
        resolve_job(config, "x")


@pytest.mark.parametrize(
    "host", ["", "-oProxyCommand=x", "a b", "a\nb", "a\0b", "a\u202eb", *(f"a{each}b" for each in "'`\"$\\;&<>|(){}")]
)
def test_a_host_that_ssh_would_take_for_an_option_is_refused(configured, host):
    with pytest.raises(ConfigurationError, match="--host"):
        resolve_job(configured(), "release-notes", host=host)


def test_a_job_replaces_the_prompt_of_the_defaults(configured):
    text = "version = 1\n[defaults]\nprompt_file = 'missing.md'\n[jobs.x]\nprompt = 'p'\n[jobs.y]\n"
    config = configured(text)
    assert resolve_job(config, "x").prompt == "p"
    with pytest.raises(ConfigurationError, match=r"jobs\.y\.prompt_file = 'missing\.md': .*No such file"):
        resolve_job(config, "y")
    config = configured("version = 1\n[defaults]\nprompt = 'p'\n[jobs.y]\nprompt_file = 'missing.md'\n")
    with pytest.raises(ConfigurationError, match=r"jobs\.y\.prompt_file"):
        resolve_job(config, "y")


def test_a_stronger_prompt_file_replaces_a_weaker_prompt(configured, tmp_path):
    (tmp_path / "p.md").write_text("from a file")
    job = resolve_job(configured(BASE, {}, "jobs.release-notes.prompt_file=p.md"), "release-notes")
    assert job.prompt == "from a file"


@pytest.mark.parametrize("environ", [{}, {"CODEX_RUNNER_JOBS__X__PROMPT": "stronger"}])
def test_a_stronger_prompt_replaces_a_weaker_prompt_file(configured, environ):
    overrides = () if environ else ("jobs.x.prompt=stronger",)
    config = configured("version = 1\n[jobs.x]\nprompt_file = 'missing.md'\n", environ, *overrides)
    assert resolve_job(config, "x").prompt == "stronger"


def test_the_command_lines_prompt_replaces_the_jobs(configured, tmp_path):
    config = configured()
    file = tmp_path / "p.md"
    file.write_text("from a file")
    assert resolve_job(config, "release-notes", prompt=PromptSource(text="text")).prompt == "text"
    assert resolve_job(config, "release-notes", prompt=PromptSource(file=file)).prompt == "from a file"
    assert resolve_job(config, "release-notes", prompt=PromptSource(stdin=b"stdin")).prompt == "stdin"


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (PromptSource(text="a", file=Path("b")), "Several prompts"),
        (PromptSource(text="", stdin=b""), "Several prompts"),
        (PromptSource(text=" \n"), "--prompt: is empty"),
        (PromptSource(text="\u200b\ufeff\U000e0041"), "--prompt: is empty"),
        (PromptSource(stdin=b""), "stdin: is empty"),
        (PromptSource(stdin=b"a\xff"), "not UTF-8"),
        (PromptSource(text="\udcff"), "not UTF-8"),
        (PromptSource(file=Path("nowhere.md")), "--prompt-file nowhere.md: .*No such file"),
        (PromptSource(text="{{TOPIC}}"), "names {{TOPIC}}"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(configured, prompt, said):
    with pytest.raises(ConfigurationError, match=said):
        resolve_job(configured(), "release-notes", prompt=prompt)


def test_problems_of_a_job_come_together(configured):
    config = configured("version = 1\n[jobs.x]\ncwd = 'nowhere'\n")
    with pytest.raises(ConfigurationError) as caught:
        resolve_job(config, "x")
    assert [line.partition(": jobs.x")[2] for line in caught.value.message.splitlines()] == [
        f".cwd = 'nowhere': {config.root / 'nowhere'} is not a folder.",
        ": has no prompt; set `prompt` or `prompt_file`, or give --prompt.",
    ]


def test_an_unknown_job_is_told_with_the_nearest(configured):
    with pytest.raises(ConfigurationError, match=r"no job 'relase-notes'\. Did you mean `release-notes`\?") as caught:
        resolve_job(configured(), "relase-notes")
    assert "release-notes" in caught.value.remedy
    with pytest.raises(ConfigurationError, match="has no job"):
        resolve_job(configured("version = 1"), "x")


CREDENTIAL = "credential = { source = 'env' }"
VARIABLES = "codex.env.KEY = 'key-0123456789'"


@pytest.mark.parametrize(("within_reach", "named"), [(CREDENTIAL, "CODEX_ACCESS_TOKEN"), (VARIABLES, "KEY")])
def test_a_credential_within_reach_of_an_agent_without_a_sandbox_must_be_meant(configured, within_reach, named):
    text = f"version = 1\n[jobs.x]\nprompt = 'p'\nsandbox = 'danger-full-access'\n{within_reach}\n"
    with pytest.raises(ConfigurationError, match=f"jobs.x.sandbox = 'danger-full-access': .* {named} ") as raised:
        resolve_job(configured(text), "x")
    assert "`i_understand = true`" in raised.value.remedy
    assert "0123456789" not in str(raised.value)
    assert resolve_job(configured(f"{text}i_understand = true\n"), "x").sandbox is Sandbox.DANGER_FULL_ACCESS
    assert resolve_job(configured(text.replace(within_reach, "")), "x").sandbox is Sandbox.DANGER_FULL_ACCESS
    assert resolve_job(configured(text.replace("danger-full-access", "workspace-write")), "x")


def test_context_comes_after_the_filled_prompt_and_is_not_filled(configured):
    prompt = resolve_job(configured(), "release-notes", context="{{NAME}} of strangers").prompt
    assert prompt.startswith("Write them.\n")
    assert "\n{{NAME}} of strangers\n" in prompt


# Credentials and Vault

CREDENTIALS = """
version = 1
ssh_config = "ssh/config"
[vault]
address = "https://vault.example.com:8200"
ca_file = "ca.pem"
auth = { method = "approle", role = "nightly", secret_id_file = "~/secret-id", wrapped = true }
[junit]
guards = false
[audit]
file = "audit/audit.jsonl"
[defaults]
credential = { mount = "tokens", min_ttl = "45m" }
[jobs.x]
prompt = "p"
credential = { path = "acme/app/x", expires_at = 2026-01-31T12:00:00Z }
[jobs.y]
prompt = "p"
credential = { source = "file", file = "y.token", kind = "api_key" }
[jobs.z]
prompt = "p"
credential = { path = "z", kind = "workload_identity" }
"""


def test_credentials_and_vault_come_out_whole(configured, tmp_path):
    config = configured(CREDENTIALS)
    assert config.vault == VaultSettings(
        address="https://vault.example.com:8200",
        ca_file=str(tmp_path / "ca.pem"),
        auth=AppRoleAuth("nightly", secret_id_file=str(Path.home() / "secret-id"), wrapped=True),
    )
    assert resolve_job(config, "x").credential == CredentialSpec(
        mount="tokens", path="acme/app/x", min_ttl=2700, expires_at="2026-01-31T12:00:00+00:00"
    )
    y = config.jobs["y"].credential
    assert (y.kind, y.source, y.file) == (CredentialKind.API_KEY, CredentialSource.FILE, str(tmp_path / "y.token"))
    assert config.jobs["z"].credential.kind is CredentialKind.WORKLOAD_IDENTITY
    assert config.ssh_config == tmp_path / "ssh/config"
    assert config.junit_guards is False
    assert config.audit == AuditSettings(tmp_path / "audit/audit.jsonl", syslog=False)


def test_without_credentials_nothing_is_assumed(configured):
    config = configured()
    assert config.vault == VaultSettings()
    assert config.jobs["release-notes"].credential is None
    assert (config.ssh_config, config.junit_guards, config.audit) == (None, True, AuditSettings())


@pytest.mark.parametrize(
    ("environ", "overrides", "expected"),
    [
        ({"CODEX_RUNNER_VAULT__ADDRESS": "http://127.0.0.1:1"}, (), lambda c: c.vault.address == "http://127.0.0.1:1"),
        ({"CODEX_RUNNER_VAULT__AUTH__ROLE": "7"}, (), lambda c: c.vault.auth.role == "7" and c.vault.auth.wrapped),
        ({"CODEX_RUNNER_JOBS__X__CREDENTIAL__PATH": "b"}, (), lambda c: c.jobs["x"].credential.path == "b"),
        ({"CODEX_RUNNER_AUDIT__SYSLOG": "true"}, (), lambda c: c.audit.syslog),
        ({}, ("vault.auth.role=7",), lambda c: c.vault.auth.role == "7"),
        ({}, ("vault.auth.method=token",), lambda c: c.vault.auth == TokenAuth()),
        ({}, ('vault.auth={method="jwt",role="r"}',), lambda c: c.vault.auth == JwtAuth("r")),
        ({"CODEX_RUNNER_VAULT__AUTH__METHOD": "token"}, (), lambda c: c.vault.auth == TokenAuth()),
        ({}, ("vault.auth.method=approle",), lambda c: c.vault.auth.role == "nightly"),
        ({}, ("junit.guards=true",), lambda c: c.junit_guards),
    ],
)
def test_every_layer_reaches_credentials_and_vault(configured, environ, overrides, expected):
    assert expected(configured(CREDENTIALS, environ, *overrides))


def test_the_tables_have_the_keys_of_the_domain():
    auth = tables.LoginTable(VaultSettings)
    assert list(auth.node("method").choices) == list(AUTH_METHODS)
    assert set(auth.keys) == {"method"} | {field.name for method in AUTH_METHODS.values() for field in fields(method)}
    assert set(tables.table(CredentialSpec).keys) == {field.name for field in fields(CredentialSpec)}
    assert set(tables.table(VaultSettings).keys) == {field.name for field in fields(VaultSettings)}


# Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1d", 86400), ("1.5h", 5400), ("0.5s", 0.5), (7, 7), (2.5, 2.5)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "90",
        "m",
        "1m1h",
        "1h 30m",
        "10 m",
        "-5s",
        "0s",
        "1s1s",
        "٣s",
        True,
        None,
        [],
        math.nan,
        -1,
        0,
        10**400,
        "999999999d",
    ],
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="must be"):
        parse_duration(text)


@given(st.text())
def test_no_text_breaks_the_parser(text):
    try:
        assert 0 < parse_duration(text) <= 366 * 86400
    except ValueError as error:
        assert str(error).startswith("must be")  # noqa: PT017 - both ends are right


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.lists(st.integers()), max_size=4))
def test_no_variable_breaks_the_reading(tmp_path_factory, given_values):
    folder = tmp_path_factory.getbasetemp()
    file = folder / "any.toml"
    file.write_text(BASE)
    environ = {f"CODEX_RUNNER_{name}": str(value) for name, value in given_values.items()}
    overrides = [f"{name}={value}" for name, value in given_values.items()]
    for each in ((environ, []), ({}, overrides)):
        try:
            load(file, folder, *each)
        except ConfigurationError as error:
            assert "is not valid" not in error.message  # noqa: PT017 - every problem has words of its own


def every_key(node, path=()):
    """Yield the path of each key, through the tables, a name `x` and the first place of an array."""
    if isinstance(node, tables.Table):
        for name in node.keys:
            yield from every_key(node.node(name), (*path, name))
    elif isinstance(node, tables.Named | tables.Array):
        yield from every_key(node.each, (*path, "x" if isinstance(node, tables.Named) else 0))
    yield path


def test_no_wrong_value_breaks_the_reading(tmp_path):
    """A wrong `format` of a `[[notify]]` was a bug of the runner's, exit code 70."""
    file = tmp_path / "codex-runner.toml"
    file.write_text("version = 1\n")
    paths = [path for path in every_key(tables.CONFIG_FILE) if path and path != ("version",)]
    assert {("notify", 0, "format"), ("vault", "auth", "role"), ("jobs", "x", "must_change")} <= set(paths)
    for path in paths:
        for wrong in ("[-1]", "{ '' = 1 }"):
            text = wrong
            for key in reversed(path):
                text = f"[{text}]" if key == 0 else f"{{ {key} = {text} }}"
            top, _, value = text.removeprefix("{ ").removesuffix(" }").partition(" = ")
            try:
                load(file, tmp_path, {}, [f"{top}={value}"])
            except ConfigurationError as error:
                assert "is not valid" not in error.message  # noqa: PT017 - every mistake has words of its own
                assert "function" not in error.message  # noqa: PT017 - pydantic's name of a type


def test_an_empty_text_is_told_what_a_duration_looks_like():
    with pytest.raises(ValueError, match="such as 90s"):
        parse_duration(" ")


# What it costs, and what it is called


def test_importing_the_configuration_loads_no_pydantic():
    code = "import sys, codex_runner.config, codex_runner.cli.init; print(*sys.modules, sep='\\n')"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "codex_runner.config.loading" in modules
    assert not {"pydantic", "pydantic_core", "pydantic_settings", "httpx", "hvac"} & set(modules)


def test_loading_leaves_the_environment_as_it_was(configured, monkeypatch):
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "mine")
    before = dict(os.environ)
    configured()
    assert dict(os.environ) == before


# The documentation

DOCUMENTED = Path(__file__).parents[2] / "docs" / "configuration.md"


def documented_tables():
    """The tables of the reference, each a dict from key to its row's other cells."""
    tables = []
    for line in DOCUMENTED.read_text(encoding="utf-8").splitlines():
        if line.startswith("| Key "):
            tables.append({})
        elif line.startswith("| `"):
            key, *cells = (cell.strip().strip("`") for cell in line.strip("|").split("|"))
            tables[-1][key] = cells
    return tables


def test_every_key_is_documented_and_no_other(configured):
    sections = (
        tables.CONFIG_FILE,
        *map(tables.table, (JobSettings, WorkspaceSpec, CredentialSpec)),
        *map(tables.table, (DeliverySpec, DeliveryText, DeliveryCredential, GateSpec)),
        *map(tables.table, (RetryPolicy, Budget, Price, Concurrency)),
        *map(tables.table, (Check, CodexSettings, HostSettings, VaultSettings)),
        tables.LoginTable(VaultSettings),
        *map(tables.table, (tables.Junit, AuditSettings, NotifySettings, tables.Metrics)),
    )
    for table, section in zip(documented_tables(), sections, strict=True):
        order = sorted if section.cls is JobSettings else list  # a job's are grouped for readers
        assert order(table) == order(section.keys)
        required = [key for key, (_, default, _) in table.items() if default == "required"]
        assert required == [key for key, place in section.keys.items() if place.required]


def test_the_documented_defaults_are_the_defaults(configured):
    top, job, workspace, credential, *delivering = documented_tables()
    delivery, text, token, gate, *rest = delivering
    retry, _, _, concurrency, check, _, _, vault, auth, junit, audit, _, _ = rest
    config = configured("version = 1\n[jobs.x]\nprompt = 'x'\nchecks = [{ name = 'a', run = 'b' }]\n")
    limits = config.jobs["x"].limits
    assert [int(retry[key][1]) for key in ("attempts", "tries")] == [3, 30]
    assert config.jobs["x"].retry.checks == 0
    told = configured("version = 1\n[jobs.x]\nprompt = 'x'\non_check_failure = 'retry'\n").jobs["x"].retry.checks
    assert str(told) == retry["checks"][1]
    assert parse_duration(retry["least"][1]) == config.jobs["x"].retry.least
    assert (config.jobs["x"].retry.attempts, config.jobs["x"].retry.tries) == (3, 30)
    group = configured("version = 1\n[jobs.x]\nprompt = 'x'\nconcurrency = { group = 'a' }\n").jobs["x"].concurrency
    assert (group.policy, group.timeout) == (concurrency["policy"][1], parse_duration(concurrency["timeout"][1]))
    made = configured("version = 1\n[jobs.x]\nprompt = 'x'\nworkspace = {}\n").jobs["x"].workspace
    assert [workspace[key][1] for key in ("repo", "ref", "keep")] == [made.repo, made.ref, made.keep]
    assert config.output_dir.name == top["output_dir"][1]
    assert config.jobs["x"].host == job["host"][1]
    assert config.jobs["x"].sandbox == job["sandbox"][1]
    assert str(config.jobs["x"].expect_message).lower() == job["expect_message"][1]
    assert config.jobs["x"].checks[0].timeout == parse_duration(check["timeout"][1])
    written = {"timeout": limits.timeout, "stall_timeout": limits.stall, "exit_grace": limits.exit_grace}
    written |= {"orphan_timeout": limits.orphan, "reconnect_timeout": limits.reconnect}
    written |= {"host_retention": limits.retention}
    assert {key: parse_duration(job[key][1]) for key in written} == written
    assert limits.command == limits.timeout
    spec, settings = CredentialSpec(), VaultSettings()
    for key in ("kind", "source", "mount", "field"):
        assert credential[key][1] == getattr(spec, key)
    assert parse_duration(credential["warn_ttl"][1]) == spec.warn_ttl
    for key in (key for key in vault if vault[key][0] == "duration"):
        assert parse_duration(vault[key][1]) == getattr(settings, key)
    deliver, forge = DeliverySpec(), DeliveryCredential()
    for key in ("branch", "title", "commit_message", "signing", "if_unchanged", "reopen", "on_held"):
        assert delivery[key][1] == getattr(deliver, key)
    assert delivery["draft"][1] == str(deliver.draft).lower()
    assert parse_duration(delivery["retention"][1]) == deliver.retention
    assert text["mentions"][1] == str(deliver.text.mentions).lower()
    assert gate["if_open"][1] == GateSpec().if_open
    for key in ("source", "mount", "field"):
        assert token[key][1] == getattr(forge, key)
    assert parse_duration(token["warn_ttl"][1]) == forge.warn_ttl
    approle = AppRoleAuth("r")
    for key in ("role_id_variable", "secret_id_variable"):
        assert auth[key][1] == getattr(approle, key)
    assert auth["audience"][1] == JwtAuth("r").audience
    assert junit["guards"][1] == str(config.junit_guards).lower()
    assert audit["syslog"][1] == str(config.audit.syslog).lower()


def test_the_documented_example_loads(configured):
    text = DOCUMENTED.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    job = configured(text).jobs["release-notes"]
    assert job.limits.timeout == 1200
    assert job.codex.model == "gpt-5.5"


def test_the_home_of_a_user_who_is_not_there(tmp_path):
    """It was a bug of the runner's."""
    (tmp_path / "codex-runner.toml").write_text('version = 1\noutput_dir = "~no-such-user/out"\n')
    with pytest.raises(ConfigurationError, match="the home folder of this user cannot be found"):
        load(None, tmp_path, {})
