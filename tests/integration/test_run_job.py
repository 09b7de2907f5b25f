"""A job runs for real: what it leaves, and what the command line makes of it."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest
from support import child
from support.hostile import obeyed
from support.runs import JOB, KEY_NAME, RUNNER, tree

pytestmark = pytest.mark.needs_codex


def prompts(service):
    """What the agent was asked, as the service heard it: the last word of the user in each request."""
    return [_texts(request.body)[-1] for request in service.responses]


def _texts(body):
    return [
        part["text"]
        for item in body["input"]
        if item.get("role") == "user"
        for part in item["content"]
        if part["type"] == "input_text"
    ]


def test_a_job_leaves_everything_and_nothing_else(project):
    project.configure(
        prompt="SCN:patch_add",
        sandbox="workspace-write",
        artifacts=["hello.txt"],
        checks=[{"name": "greeting", "run": "grep -q world hello.txt && echo it is there"}],
    )
    done = project.run()
    run = project.check_reports(done, 0)
    project.check_nothing_is_left()
    assert done.stdout == "patch done\n"
    assert run.codex == project.witness.printed(run.run_id)
    assert run.cases["greeting"] is None
    document = run.run_json
    assert document["usage"]["total"] > 0
    assert document["checks"][0]["output"] == "it is there\n"
    assert document["attempts"][0]["exit"] == {
        "code": 0, "signal": None, "stopped": "none", "swept": "clean", "killed": 0
    }  # fmt: skip
    assert document["warnings"] == []
    (artifact,) = [each for each in document["artifacts"] if each["path"].endswith("hello.txt")]
    assert (run.path / artifact["path"]).read_text() == "hello\nworld\n"
    assert artifact["path"] in (run.path / "manifest.json").read_text()
    assert list(project.home.iterdir()) == [], "somebody wrote into the user's home"
    assert (project.out / ".gitignore").read_text().endswith("*\n")


@pytest.mark.parametrize("folders", [[], [".codex", ".config/gh"]])
def test_a_home_in_which_the_agent_works(project, folders):
    """What is denied in it, and is not there, must not keep codex's sandbox from starting."""
    for folder in folders:
        (project.home / folder).mkdir(parents=True)
    project.configure(prompt="SCN:command", sandbox="workspace-write", cwd=str(project.home))
    run = project.check_reports(project.run(), 0)
    (command,) = [event["item"] for event in run.of_kind("item.completed") if event["item"]["kind"].startswith("comm")]
    # In any order: codex reads its stdout and its stderr as they come.
    lines = sorted(command["output"].splitlines())
    assert (command["exit_code"], lines) == (0, sorted(["out-line", "err-line", str(project.home)]))


def test_two_runs_of_one_user_leave_each_others_sandbox_alone(project):
    """While a sandbox lasts, places in the home that it denies and that are missing are there."""
    project.configure(prompt="SCN:slow:4", sandbox="workspace-write")
    runs = [project.start("run", JOB) for _ in range(3)]
    assert [running.wait().code for running in runs] == [0, 0, 0]
    commands = [event["item"] for run in project.runs for event in run.of_kind("item.completed")
                if event["item"]["kind"] == "command_execution"]  # fmt: skip
    assert len(commands) == 12
    assert [each for each in commands if each["exit_code"] != 0] == []
    assert list(project.home.iterdir()) == []


def test_a_run_reads_the_same_whoever_looks(project):
    """events.jsonl, codex.jsonl and what codex printed tell one story."""
    project.configure(prompt="SCN:command", sandbox="read-only")
    run = project.check_reports(project.run(), 0)
    printed = [json.loads(line) for line in project.witness.printed(run.run_id).splitlines()]
    assert [event["kind"] for event in run.from_codex] == [event["type"] for event in printed]
    ends = [record["end_offset"] for record in run.records if record["event"]["kind"] == "turn.completed"]
    assert ends == [len(run.codex)]
    assert run.run_json["commands"] == 1


def test_progress_for_programs(project):
    done = project.run("--log-format", "json", "--json")
    run = project.check_reports(done, 0)
    lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
    assert [json.loads(line) for line in lines] == run.records
    result = json.loads(done.stdout)
    assert result == {
        "run_id": run.run_id,
        "result": "succeeded",
        "exit_code": 0,
        "reason": "codex completed its turn",
        "final_message": "hello from the scripted model",
        "run_dir": str(run.path),
        "run_json": str(run.path / "run.json"),
        "junit": str(run.path / "junit.xml"),
    }


@pytest.mark.parametrize("log_format", ["text", "github", "gitlab"])
def test_progress_for_people(project, log_format):
    done = project.run("--log-format", log_format)
    project.check_reports(done, 0)
    assert "hello from the scripted model" in done.stderr
    assert ("section_start:" in done.stderr) == (log_format == "gitlab")
    project.check_no_secret()


def test_no_colours_where_nobody_wants_them(project):
    project.environ["NO_COLOR"] = "1"
    assert "\x1b" not in project.run().stderr


def test_prompts_come_from_everywhere(project, service, tmp_path):
    prompt = tmp_path / "prompt.md"
    prompt.write_text("SCN:hi from a file")
    for arguments, stdin, asked in (
        (["--prompt", "SCN:hi from the command line"], None, "SCN:hi from the command line"),
        (["--prompt-file", prompt], None, "SCN:hi from a file"),
        (["-"], "SCN:hi from stdin, größer".encode(), "SCN:hi from stdin, größer"),
        (
            ["--prompt", "SCN:hi {{TAG}} of \\{{NAME}} and ${{ github.sha }}", "--var", "TAG={{X}} $(id) 1.0"],
            None,
            "SCN:hi {{X}} $(id) 1.0 of {{NAME}} and ${{ github.sha }}",
        ),
    ):
        assert project.run(*arguments, stdin=stdin).code == 0
        assert prompts(service)[-1] == asked


def test_context_comes_beside_the_prompt(project, service):
    assert project.run("--context", "-", stdin=b"abc123 Fix the counter\n").code == 0
    asked = prompts(service)[-1]
    assert asked.startswith("SCN:hi")
    assert "abc123 Fix the counter" in asked


def test_the_configuration_is_found_upwards_and_overridden(project, service):
    below = project.cwd / "a" / "b"
    below.mkdir(parents=True)
    outer, project.cwd = project.cwd, below
    project.environ["CODEX_RUNNER_JOBS__DOCS__TIMEOUT"] = "20m"
    done = project.run("--set", f"jobs.{JOB}.timeout=10m", "--set", f"jobs.{JOB}.orphan_timeout=2m")
    assert done.code == 0
    limits = done.run.run_json["facts"]["job"]["limits"]
    assert (limits["timeout"], limits["orphan"]) == (600, 120)
    assert done.run.run_json["facts"]["job"]["cwd"] == str(outer)


def test_a_home_that_has_nothing_yet(project):
    """Runs lie below a folder that is missing when the host is looked at, and there when the sandbox starts."""
    home = project.state / "home"
    home.mkdir()
    del project.environ["XDG_STATE_HOME"]
    project.environ["HOME"] = str(home)
    project.configure(prompt="SCN:command", sandbox="workspace-write")
    run = project.check_reports(project.run(), 0)
    (command,) = (event["item"] for event in run.of_kind("item.completed") if "command" in event["item"])
    lines = sorted(command["output"].splitlines())
    assert (command["exit_code"], lines) == (0, sorted(["out-line", "err-line", str(project.cwd)]))


def test_output_goes_where_it_is_told(project, tmp_path):
    project.out = tmp_path / "elsewhere" / "out"
    junit = tmp_path / "reports" / "junit.xml"
    run = project.check_reports(project.run("-o", project.out, "--junit", junit), 0)
    assert junit.read_bytes() == (run.path / "junit.xml").read_bytes()
    assert not (project.cwd / "codex-runner-out").exists()


def test_a_place_that_cannot_hold_a_report_is_refused_before_anything_is_spent(project, service):
    done = project.run("--junit", "codex-runner.toml/junit.xml")
    assert (done.code, done.runs, service.responses) == (3, [], [])
    assert "--junit codex-runner.toml/junit.xml cannot be written: File exists (codex-runner.toml)." in done.stderr


def test_a_report_that_is_lost_at_the_end_is_told_by_all_that_are_not(project):
    """The folder of --junit goes away while the job runs."""
    gone = {"name": "gone", "run": "rm -r reports && touch reports"}
    project.configure(checks=[gone])
    run = project.check_reports(project.run("--junit", "reports/junit.xml", "--json"), 3)
    assert "reports could not be written" in run.run_json["reason"]
    assert [verdict["exit_code"] for verdict in run.of_kind("run.ended")] == [0, 3]


def test_no_report_of_yesterday_is_left_where_today_does_not_come_to_one(project):
    junit = project.cwd / "junit.xml"
    junit.write_text("<testsuites/>")
    project.configure(timeout="no duration")
    assert project.run("--junit", junit).code == 3
    assert not junit.exists()


def test_a_dry_run_starts_nothing_and_tells_no_secret(project, service):
    before = tree(project.cwd)
    done = project.run("--dry-run")
    assert done.code == 0
    for part in ("exec", "SCN:hi", KEY_NAME, "sandbox_mode", project.codex["path"]):
        assert part in done.stdout
    (project.cwd / "issue").write_text("::error::from a stranger\n  ##[error]from another\n")
    strange = project.run("--dry-run", "--context", "issue")
    (project.cwd / "issue").unlink()
    assert "from a stranger" in strange.stdout
    assert obeyed(strange.stdout) == []
    plan = json.loads(project.run("--dry-run", "--json").stdout)
    assert plan["argv"][0] == project.codex["path"]
    assert [name for name in plan["environment"] if not name.startswith("GIT_CONFIG_")] == [KEY_NAME]
    assert service.requests == []
    assert tree(project.cwd) == before
    project.check_nothing_is_left()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "dosc"], 3, ["dosc", "docs"]),
        (["run", JOB, "--set", "jobs.docs.timeuot=10m"], 3, ["timeuot", "timeout"]),
        (["run", JOB, "--set", "jobs.docs.timeout=soon"], 3, ["jobs.docs.timeout", "soon"]),
        (["run", JOB, "--prompt", "a", "--prompt-file", "codex-runner.toml"], 3, ["--prompt", "--prompt-file"]),
        (["run", JOB, "--prompt-file", "missing.md"], 3, ["missing.md"]),
        (["run", JOB, "-c", "missing.toml"], 3, ["missing.toml"]),
        (["run", JOB, "--prompt", "SCN:hi {{TAG}}"], 3, ["TAG"]),
        (["run", JOB, "--var", "TAG=1"], 3, ["TAG"]),
        (["run", JOB, "--set", 'codex.path="/no/such/codex"'], 3, ["/no/such/codex", "npm install"]),
        (["run", JOB, "--set", 'jobs.docs.cwd="/no/such/folder"'], 3, ["/no/such/folder"]),
        (["run", JOB, "--set", "codex.config.features.no_such_feature=true"], 3, ["no_such_feature"]),
        (["run", JOB, "--no-such-option"], 2, ["--no-such-option"]),
        (["run", JOB, "nonsense"], 2, ["nonsense"]),
        (["attach", "nonsense"], 2, ["nonsense"]),
        (["attach", "20260102T030405Z-docs-0a1b2c3d"], 2, ["20260102T030405Z-docs-0a1b2c3d"]),
        (["cancel", "20260102T030405Z-docs-0a1b2c3d"], 2, ["20260102T030405Z-docs-0a1b2c3d"]),
    ],
)
def test_mistakes_are_told_before_anything_is_spent(project, service, arguments, code, words):
    done = project.command(*arguments)
    assert done.code == code, done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert service.requests == []
    project.check_nothing_is_left()
    for run in done.runs:
        run.path.rename(run.path.with_name("seen"))


def test_no_codex_at_all(project):
    project.codex.pop("path")
    project.configure()
    # A PATH without one, and a Python without the package that carries one.
    project.environ["PATH"] = "/usr/bin:/bin"
    project.environ["PYTHONPATH"] = os.pathsep.join(
        [str(_without_bundled_codex(project.scratch)), *filter(None, [project.environ.get("PYTHONPATH")])]
    )
    done = project.run()
    run = project.check_reports(done, 3)
    assert "no codex" in run.run_json["reason"]
    assert "npm install -g @openai/codex" in done.stderr
    project.check_nothing_is_left()


def _without_bundled_codex(scratch):
    folder = scratch / "hide"
    (folder / "codex_cli_bin").mkdir(parents=True)
    (folder / "codex_cli_bin" / "__init__.py").touch()
    return folder


@pytest.mark.parametrize(
    ("version", "code", "words"),
    [
        ("codex-cli 0.98.1", 3, ["0.98.1", "too old", "0.163.0"]),
        ("codex-cli 0.169.0-alpha.3", 0, []),
        ("codex 1", 3, ["codex 1"]),
        ("", 3, ["--version"]),
    ],
)
def test_the_codex_that_is_there_is_looked_at(project, version, code, words):
    fake = project.scratch / "codex"
    fake.write_text(
        "#!/bin/sh\n"
        f"case $* in --version) echo '{version}'; exit;; 'features list') echo 'apps stable true'; exit;; esac\n"
        f'exec {project.codex["path"]} "$@"\n'
    )
    fake.chmod(0o755)
    project.configure(codex={"path": str(fake)})
    done = project.run()
    project.check_reports(done, code)
    for word in words:
        assert word in done.stderr
    project.check_nothing_is_left()


def test_help_is_light():
    for argument in ("--help", "--version"):
        shown = subprocess.run(
            [sys.executable, "-X", "importtime", RUNNER, argument], capture_output=True, text=True, check=True
        )
        assert "codex-runner" in shown.stdout
        assert "codex_runner.cli.main" in shown.stderr
        for heavy in ("pydantic", "httpx", "hvac"):
            assert heavy not in shown.stderr


@pytest.mark.parametrize("harm", ["removed", "closed"])
def test_an_output_folder_that_is_taken_away_in_mid_run(project, harm):
    """Nobody's fault but the folder's: not green, and not called a bug."""
    up, go = project.scratch / "up", project.scratch / "go"
    said = shlex.join([child.THREAD, child.STARTED, child.MESSAGE, child.COMPLETED])
    project.fake_codex(f": >{up}; while [ ! -e {go} ]; do sleep 0.05; done; printf '%s\\n' {said}")
    running = project.start("run", JOB)
    running.until(up.exists)
    (left,) = project.runs
    if harm == "removed":
        shutil.rmtree(left.path)
    else:
        (left.path / "artifacts").write_text("somebody's file")
    go.touch()
    done = running.wait()
    assert done.code == 3, done.stderr
    assert str(left.path) in done.stderr
    assert "bug" not in done.stderr
    assert project.processes == {}
    assert list(project.runs_folder.glob("[!.]*")) == []
