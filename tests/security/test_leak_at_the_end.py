"""The last act of a run: whatever holds a secret all the same is taken out, and the run is red."""

import pytest
from support.runs import KEY_NAME, tree

pytestmark = pytest.mark.needs_codex


@pytest.fixture
def leaky(project):
    """A project with a check that knows the key, and what it does with it in the run's own folder."""
    (project.scratch / "key").write_text(project.key)

    def leaky(script, **job):
        run = f"cd codex-runner-out/*Z-*/ && key=$(cat {project.scratch}/key) && {{ {script}; }}"
        project.configure(prompt="SCN:hi", checks=[{"name": "leaky", "run": run}], **job)

    return leaky


@pytest.mark.parametrize(
    ("script", "path", "done"),
    [
        ('printf "%s" "$key" >note.txt', "note.txt", "removed"),
        (
            'mkdir deep && { printf "PK\\003\\004"; printf "%s" "$key" | base64; } >deep/archive.zip',
            "deep/archive.zip",
            "removed",
        ),
        (': >"$key"', f"***{KEY_NAME}***", "removed"),
        ('mkdir "$key" && : >"$key/below"', f"***{KEY_NAME}***", "removed"),
        ('ln -s "/nowhere/$key" link', "link", "removed"),
        ('echo "$key" >>stderr.log', "stderr.log", "masked"),
    ],
)
def test_what_holds_a_secret_goes_and_the_run_is_red(project, leaky, script, path, done):
    leaky(script)
    ended = project.run()
    assert ended.code == 12, ended.stderr
    run = ended.run
    assert run.of_kind("leak") == [{"kind": "leak", "path": path, "secret": KEY_NAME, "done": done}]
    assert run.run_json["exit_code"] == 12
    assert run.run_json["failure"] == "leak"
    assert run.cases["secret search"] == "failure"
    assert path in ended.stderr
    assert "Revoke the secret" in ended.stderr
    assert project.key.encode() not in b"".join(tree(run.path).values())
    assert not [each for each in run.path.rglob("*") if project.key in each.name]
    if done == "masked":
        assert f"***{KEY_NAME}***" in (run.path / path).read_text()


def test_a_leak_is_worth_more_than_any_other_failure(project, leaky):
    leaky('printf "%s" "$key" >note.txt; exit 1')
    ended = project.run()
    assert ended.code == 12
    assert "the check 'leaky' exited with 1" in ended.run.run_json["reason"]


def test_an_artifact_that_is_removed_is_none(project, leaky):
    (project.cwd / "page.txt").write_text("harmless")
    leaky('mkdir -p artifacts && ln "$OLDPWD/page.txt" artifacts/other.txt', artifacts=["page.txt"])
    ended = project.run()
    assert ended.code == 0, ended.stderr
    assert ended.run.guard("secret search")["passed"]


def test_plain_words_in_the_environment_are_no_leak(project):
    """Else every log with a warning in it would be one."""
    project.environ |= {
        "CODEX_RUNNER_CODEX__ENV__LEVEL": "warning",
        "CODEX_RUNNER_CODEX__ENV__WHERE": "docs-v1.2",
    }
    project.configure(prompt="SCN:hi", checks=[{"name": "docs-v1.2", "run": "echo a warning of docs-v1.2"}])
    ended = project.run()
    assert ended.code == 0, ended.stderr
    assert ended.run.guard("secret search")["passed"]
