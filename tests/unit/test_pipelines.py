"""What users copy into their pipelines: it is what `init` writes, the systems' judges take it, its scripts hold."""

import importlib
import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from support.starters import examples

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "ci" / "github"
LOCKS = ROOT / "codex_runner" / "cli" / "starters"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
EXAMPLES = examples()
OUTPUTS = re.findall(r"steps\.outputs\.outputs\.([\w-]+) }}$", (SCRIPTS / "action.yml").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", EXAMPLES)
def test_the_files_below_ci_are_what_init_writes(path):
    assert (ROOT / path).read_text() == EXAMPLES[path]


def test_gitlabs_component_has_a_header_of_inputs_and_every_input_is_used():
    header, mark, body = EXAMPLES["templates/codex-runner.yml"].partition("\n---\n")
    assert mark
    names = re.findall(r"^    ([a-z-]+):$", header, re.MULTILINE)
    assert names
    assert set(names) == set(re.findall(r"\$\[\[ inputs\.([a-z-]+) \]\]", body))
    script = body.partition("  script:\n")[2].partition("  artifacts:\n")[0]
    assert "$[[" not in script, "an input would be text of a shell"


@pytest.mark.parametrize(
    ("delivery", "told"),
    [
        (
            {"state": "held", "link": "https://x.example/1"},
            "CODEX_DELIVERY=held\nCODEX_PULL_REQUEST=https://x.example/1\n",
        ),
        (None, "CODEX_DELIVERY=\nCODEX_PULL_REQUEST=\n"),
        ({"state": "held\nPATH=/x", "link": "https://x\nPATH=/x"}, "CODEX_DELIVERY=\nCODEX_PULL_REQUEST=\n"),
    ],
)
def test_a_planted_report_gives_later_jobs_of_gitlab_no_variable(tmp_path, delivery, told):
    """What a check runs may be what the agent wrote, and it may write into the run's folder."""
    (component,) = list(yaml.safe_load_all(EXAMPLES["templates/codex-runner.yml"]))[1].values()
    (tmp_path / "codex-runner-out/run").mkdir(parents=True)
    (tmp_path / "codex-runner-out/run/run.json").write_text(json.dumps({"delivery": delivery}))
    subprocess.run(["sh", "-e", "-c", component["after_script"][0]], cwd=tmp_path, check=True)
    assert (tmp_path / "codex-runner.env").read_text() == told


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_understands_every_line(tmp_path):
    for path, text in EXAMPLES.items():
        if path.startswith("ci/systemd/"):
            there = text.replace("/opt/codex-runner/bin/codex-runner", "/bin/true")  # systemd looks for it
            (tmp_path / Path(path).name).write_text(there)
    units = sorted(tmp_path.iterdir())
    assert len(units) == 2
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")  # it exits 0 even on a key that it does not know
    when = re.search(r"^OnCalendar=(.*)$", EXAMPLES["ci/systemd/codex-runner-nightly-docs.timer"], re.MULTILINE)[1]
    subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, check=True)


@pytest.mark.skipif(shutil.which("crontab") is None, reason="no crontab")
def test_cron_takes_the_crontab():
    file = ROOT / "ci/cron/codex-nightly-docs.crontab"
    done = subprocess.run(["crontab", "-n", file], capture_output=True, text=True, check=False)
    if "invalid option" in done.stderr:
        pytest.skip("this cron checks nothing without installing it")
    assert done.returncode == 0, done.stderr


def test_crons_command_runs_as_it_stands_and_mails_what_the_docs_say(tmp_path):
    """The sixth field on, in the shell and with the PATH that the file names, with codex-runner in its place."""
    (command,) = re.findall(r"^17 3 \* \* \* (.*)$", EXAMPLES["ci/cron/codex-nightly-docs.crontab"], re.MULTILINE)
    command = command.replace("/var/lib/codex-runner", str(tmp_path)).replace("/srv/app", str(tmp_path))
    program = tmp_path / "codex-runner"
    program.write_text('#!/bin/sh\necho "ran $*"\nexit "$CODE"\n')
    program.chmod(0o755)

    def mailed(command, code):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CODE": str(code)}
        done = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.stdout

    assert mailed(command, 0) == ""
    assert mailed(command, 1).startswith("ran run nightly-docs --config codex-runner.toml")
    soft, before = re.search(r"Put `(.*)` before `(.*)`:", (ROOT / "docs/cron.md").read_text()).groups()
    softer = command.replace(before, f"{soft} {before}")
    assert softer != command
    assert [bool(mailed(softer, code)) for code in (0, 1, 4)] == [False, False, True]


FACES = [ROOT / "action.yml", SCRIPTS / "action.yml"]


def test_the_actions_two_faces_are_one():
    """The Marketplace wants `action.yml` at the root. Only the place of the scripts differs."""
    root, below = (face.read_text() for face in FACES)
    assert root == below.replace('"$GITHUB_ACTION_PATH/', '"$GITHUB_ACTION_PATH/ci/github/')
    called = re.findall(r'"\$GITHUB_ACTION_PATH/([\w./]+)"', root)
    assert len(called) >= 4
    assert [path for path in called if not (ROOT / path).is_file()] == []


def test_the_marketplace_takes_the_action():
    """Its rules: a description of less than 125 characters, an icon of Feather's, one of nine colours."""
    action = (ROOT / "action.yml").read_text()
    assert len(re.search(r"^description: (.*)$", action, re.MULTILINE)[1]) < 125
    assert re.search(
        r"^branding:\n  icon: [a-z-]+\n  color: (white|black|yellow|blue|green|orange|red|purple|gray-dark)$",
        action,
        re.MULTILINE,
    )
    for face in FACES:
        ours = [used for used in re.findall(r"uses: (\S+)", face.read_text()) if not used.startswith("actions/")]
        assert ours == [], "`./` is the caller's workspace"


@pytest.mark.parametrize("path", [*WORKFLOWS, *FACES], ids=lambda path: path.name)
def test_workflows_pin_what_they_use_and_expand_nothing_into_a_shell(path):
    text = path.read_text()
    for used in re.findall(r"^ +(?:- )?uses: (\S+)", text, re.MULTILINE):
        pinned = r"(actions|pypa|github/codeql-action)/[\w-]+@[0-9a-f]{40}"
        assert used.startswith("./") or re.fullmatch(pinned, used), used
    for script in re.findall(r"\brun: (\|\n(?:(?: {10,}.*)?\n)+|.*)", text):
        assert "${{" not in script.replace("${{ matrix.python }}", ""), script


def test_an_agents_job_has_no_right_to_write():
    for path in WORKFLOWS:
        jobs = re.split(r"^  (?=\w[\w-]*:$)", path.read_text().partition("\njobs:\n")[2], flags=re.MULTILINE)
        for job in jobs:
            if "./ci/github" in job:
                assert ": write" not in job.replace("id-token: write", ""), path
                assert "persist-credentials: false" in job


def test_no_example_runs_for_a_fork_with_rights():
    for path in WORKFLOWS:
        assert not re.search(r"^\s*(pull_request_target|workflow_run|issue_comment):", path.read_text(), re.MULTILINE)
    review = (ROOT / ".github/workflows/review.yml").read_text()
    assert "github.event.pull_request.head.repo.full_name == github.repository" in review


@pytest.mark.parametrize("path", ["ci/azure/azure-pipelines.yml", "ci/forgejo/nightly-docs.yml"])
def test_what_other_systems_run_is_pinned_and_expands_nothing_into_a_shell(path):
    pipeline = yaml.safe_load(EXAMPLES[path])
    steps = [step for job in _jobs(pipeline) for step in job["steps"]]
    assert len(steps) >= 4
    for step in steps:
        if "uses" in step:
            assert re.fullmatch(r"(?:actions|forgejo)/[\w-]+@[0-9a-f]{40}", step["uses"])
        assert not re.search(r"\$\{\{|\$\(|\$\[", step.get("run", "") + step.get("bash", ""))


def _jobs(pipeline):
    """The jobs of a workflow, by name, or of a pipeline of Azure's, in a list."""
    jobs = pipeline["jobs"]
    return jobs.values() if isinstance(jobs, dict) else jobs


def test_what_pipelines_install_is_locked_and_is_what_the_project_needs():
    locked = (LOCKS / "requirements.txt").read_text() + (LOCKS / "codex.txt").read_text()
    blocks = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", locked, flags=re.MULTILINE))
    versions = {}
    for block in filter(None, map(str.strip, blocks)):
        name, version = re.match(r"([\w.-]+)==(\S+)", block).groups()
        versions[name.lower().replace("_", "-")] = version
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), name
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "ci/constraints.txt").read_text(), re.MULTILINE))
    tested = {name.lower().replace("_", "-"): version for name, version in tested.items()}
    assert {name: version for name, version in versions.items() if tested.get(name, version) != version} == {}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["scan"]]
    assert {re.match(r"[\w-]+", each)[0].lower() for each in needed} <= set(versions)


@pytest.fixture
def step(tmp_path):
    """Runs one of the action's scripts as its step does. Returns what it printed and the outputs that it set."""
    (tmp_path / "temp").mkdir()
    (tmp_path / "home").mkdir()

    def run(script, **environment):
        output = tmp_path / "output"
        output.write_text("")
        names = (
            "JOB",
            "HOST",
            "VAULT_ROLE",
            "SSH_KEY",
            "SSH_KNOWN_HOSTS",
            "SSH_CONFIG",
            "CODEX_VERSION",
            "CODEX_SHA256",
        )
        done = subprocess.run(
            [sys.executable, "-I", SCRIPTS / script],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path / "home"),
                "RUNNER_TEMP": str(tmp_path / "temp"),
                "GITHUB_OUTPUT": str(output),
                **{f"INPUT_{name}": "" for name in names},
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        outputs = {
            name: value
            for name, _, value in re.findall(
                r"^([\w-]+)<<(\S+)\n(.*?)\n\2$", output.read_text(), re.MULTILINE | re.DOTALL
            )
        }
        return done, outputs

    return run


@pytest.mark.parametrize(
    "path",
    [
        *("ci/github/install.py", "templates/codex-runner.yml", "ci/jenkins/Jenkinsfile"),
        *("ci/azure/azure-pipelines.yml", "ci/forgejo/nightly-docs.yml"),
    ],
)
def test_what_pipelines_install_is_compiled(path):
    # An image may set PIP_NO_COMPILE; without compiled modules each start takes 0.8 s more.
    installs = re.findall(r"-m[\", ]+pip[\", ]+install.*", (ROOT / path).read_text())
    assert installs
    assert all("--compile" in each for each in installs)


def test_ssh_keys_are_for_this_user_alone_and_no_host_is_taken_on_trust(step, tmp_path):
    (tmp_path / "ours.conf").write_text("Host build\n  HostName 192.0.2.1\n  User ci\n")
    done, outputs = step(
        "prepare.py", INPUT_SSH_KEY="line 1\r\nline 2", INPUT_SSH_KNOWN_HOSTS="h k v\n", INPUT_SSH_CONFIG="ours.conf"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ssh = Path(outputs["folder"]) / "ssh"
    assert (ssh / "key").read_text() == "line 1\nline 2\n"
    for path in (ssh / "key", ssh / "known_hosts", ssh / "config"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = subprocess.run(
        ["ssh", "-G", "-F", ssh / "config", "build"], capture_output=True, text=True, check=True
    ).stdout
    assert "hostname 192.0.2.1\n" in told
    assert f"identityfile {ssh / 'key'}\n" in told
    assert f"userknownhostsfile {ssh / 'known_hosts'}\n" in told
    assert re.search(r"^stricthostkeychecking (yes|true)$", told, re.MULTILINE)


@pytest.mark.parametrize(
    ("inputs", "code", "told"),
    [
        ({"INPUT_VAULT_ROLE": "docs"}, 4, "id-token: write"),
        ({"INPUT_SSH_KEY": "k"}, 3, "ssh-known-hosts"),
        ({"INPUT_SSH_CONFIG": "nowhere"}, 3, "ssh-config: nowhere"),
        ({"INPUT_CODEX_VERSION": "9.9.9"}, 3, "codex-sha256"),
        ({"INPUT_CODEX_VERSION": "9.9.9", "INPUT_CODEX_SHA256": "--index-url=x"}, 3, "codex-sha256"),
        ({"INPUT_CODEX_VERSION": "1 -r /etc/passwd"}, 3, "is no version"),
        ({"RUNNER_OS": "Windows"}, 3, "Windows"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_installed(step, inputs, code, told):
    done, outputs = step("prepare.py", **inputs)
    assert done.returncode == code
    (line,) = done.stdout.splitlines()
    assert line.startswith("::error title=codex-runner::")
    assert told in line
    _, outputs = step("outputs.py", FOLDER=outputs["folder"])  # as the action's later step does
    assert (outputs["result"], outputs["exit-code"]) == ("failed", str(code))
    assert set(outputs) == {*OUTPUTS, "artifact"}


def test_an_installation_that_fails_sets_the_outputs_too(step):
    """It ends as `stop` ends it: with a code that the later step finds."""
    _, prepared = step("prepare.py")
    script = "import sys; sys.path.insert(0, sys.argv[1]); from commands import stop; stop('no', 3)"
    environ = {"FOLDER": prepared["folder"], "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-I", "-c", script, SCRIPTS], env=environ, capture_output=True, check=False)
    assert done.returncode == 3
    _, outputs = step("outputs.py", FOLDER=prepared["folder"])
    assert (outputs["result"], outputs["exit-code"]) == ("failed", "3")


def test_another_codex_is_installed_by_the_hash_that_is_given(step):
    digest = "ab" * 32
    _, outputs = step("prepare.py", INPUT_CODEX_VERSION="9.9.9", INPUT_CODEX_SHA256=digest)
    assert (
        Path(outputs["folder"]) / "codex.txt"
    ).read_text() == f"openai-codex-cli-bin==9.9.9 --hash=sha256:{digest}\n"
    _, default = step("prepare.py")
    _, same = step("prepare.py", INPUT_CODEX_VERSION="0.163.0")
    assert default["cache-key"] == same["cache-key"] != outputs["cache-key"]


def test_outputs_of_a_run_whose_runner_was_killed(step, tmp_path):
    run = tmp_path / "call" / "runs" / "20260101T000000Z-docs-00000000"
    run.mkdir(parents=True)
    (run / "events.jsonl").touch()
    (run / "run.json").write_text(
        json.dumps({"result": None, "exit_code": None, "reply": "a\nb<<EOF\nEOF", "usage": {}})
    )
    _, outputs = step("outputs.py", FOLDER=str(tmp_path / "call"))
    assert outputs["result"] == "failed"
    assert outputs["exit-code"] == ""
    assert outputs["final-message"] == "a\nb<<EOF\nEOF"
    assert outputs["run-dir"] == str(run)
    assert outputs["junit"] == ""


def test_outputs_of_a_delivery(step, tmp_path):
    run = tmp_path / "call" / "runs" / "20260101T000000Z-docs-00000000"
    run.mkdir(parents=True)
    (run / "events.jsonl").touch()
    pull = "https://github.com/acme/app/pull/7"
    document = {"result": "succeeded", "exit_code": 0, "delivery": {"state": "updated", "link": pull}}
    (run / "run.json").write_text(json.dumps(document))
    _, outputs = step("outputs.py", FOLDER=str(tmp_path / "call"))
    assert (outputs["delivery"], outputs["pull-request"]) == ("updated", pull)
    (run / "run.json").write_text(json.dumps(document | {"delivery": None}))
    _, outputs = step("outputs.py", FOLDER=str(tmp_path / "call"))
    assert (outputs["delivery"], outputs["pull-request"]) == ("", "")


def test_outputs_where_no_run_began(step, tmp_path):
    (tmp_path / "call").mkdir()
    (tmp_path / "call" / "exit-code").write_text("3")
    _, outputs = step("outputs.py", FOLDER=str(tmp_path / "call"))
    assert (outputs["result"], outputs["exit-code"], outputs["run-dir"]) == ("failed", "3", "")


def test_a_message_is_cut_within_a_character_and_names_the_whole(step, tmp_path):
    run = tmp_path / "call" / "runs" / "r"
    run.mkdir(parents=True)
    (run / "events.jsonl").touch()
    reply = "€" * 40_000
    (run / "run.json").write_text(json.dumps({"reply": reply}))
    _, outputs = step("outputs.py", FOLDER=str(tmp_path / "call"))
    message = outputs["final-message"]
    assert len(message.encode()) <= 64 * 1024
    assert message.startswith("€€€")
    whole = re.search(r"120000 bytes: (.*)\]$", message)[1]
    assert Path(whole).read_text() == reply


def test_inputs_become_arguments_one_by_one(tmp_path):
    spec = importlib.util.spec_from_file_location("action_run", SCRIPTS / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    inputs = dict.fromkeys(("CONFIG", "HOST", "VAULT_ADDRESS", "VAULT_ROLE", "VAULT_AUDIENCE", "CODEX_PATH"), "")
    inputs |= {"JOB": "--help", "ARGUMENTS": '--var\nA=$(id) "b" c\n', "VAULT_ROLE": 'a"b'}
    given = module.arguments({f"INPUT_{name}": value for name, value in inputs.items()} | {"FOLDER": str(tmp_path)})
    assert given[-4:] == ["--var", 'A=$(id) "b" c', "--", "--help"]
    assert given[given.index("--set") : -4] == [
        *("--set", 'vault.auth.method="jwt"'),
        *("--set", 'vault.auth.role="a\\"b"'),
    ]


FORBIDDEN = {"INPUT_HOST": "", "RUNNER_ENVIRONMENT": "github-hosted"}


@pytest.fixture
def allowed(tmp_path, monkeypatch):
    """Call the action's `allow` on a system that forbids namespaces, with a sudo that notes what it is asked."""
    monkeypatch.syspath_prepend(str(ROOT / "ci" / "github"))
    namespaces = importlib.import_module("namespaces")
    body = f'printf "%s\\n" "$*" >>"{tmp_path}/asked"; exit "$(cat "{tmp_path}/code")"'
    (tmp_path / "sudo").write_text(f"#!/bin/sh\n{body}\n")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked = tmp_path / "asked"

    def call(setting="1\n", code=0, **environ):
        (tmp_path / "setting").write_text(setting)
        (tmp_path / "code").write_text(str(code))
        asked.unlink(missing_ok=True)
        told = namespaces.allow({**FORBIDDEN, **environ}, tmp_path / "setting")
        return told, asked.read_text() if asked.exists() else None

    return call


def test_namespaces_are_allowed_on_a_runner_of_github(allowed):
    told, asked = allowed()
    assert asked == "-n sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0\n"
    assert "the action has allowed them on this runner" in told
    told, _ = allowed(code=1)
    assert "could not allow them" in told
    assert "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in told


def test_a_runner_of_ones_own_is_left_as_it_is(allowed):
    told, asked = allowed(RUNNER_ENVIRONMENT="self-hosted")
    assert asked is None
    assert "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in told


@pytest.mark.parametrize("how", [{"setting": "0\n"}, {"INPUT_HOST": "devbox"}])
def test_nothing_is_told_where_nothing_is_forbidden(allowed, how):
    assert allowed(**how) == ("", None)
