"""Whose AGENTS.md and skills the agent gets: seen in what the model was told.

What codex itself finds and reads is tried with the oldest codex and the newest; what the runner looks up, with one.
"""

import hashlib
import json
import os
import subprocess

import pytest

from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script

pytestmark = pytest.mark.needs_codex

LIMIT = 32 * 1024


def skill(folder, text):
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(f"---\nname: {folder.name}\ndescription: {text}\n---\nRead notes.txt.\n")
    (folder / "notes.txt").write_text(f"notes of {text}\n")


def git(folder, *arguments):
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def told(project, service):
    """Run the job in a folder; return the run, and all that the model was told."""

    def run(cwd=None, code=0, environ=None, args=(), **job):
        project.environ |= environ or {}
        project.configure(cwd=str(cwd or project.cwd), **job)
        before = len(service.responses)
        done = project.run(*args)
        assert done.code == code, done.stderr[-3000:]
        asked = service.responses[before:]
        return project.last, json.dumps(asked[0].body) if asked else ""

    return run


@pytest.fixture
def told_by_either(told, project, either_codex):
    """The same, with the oldest codex and the newest."""
    project.codex["path"] = str(either_codex)
    return told


@pytest.fixture
def proposed(project):
    """A pull request as GitHub checks it out: a merge of its head into the base, both of which differ."""
    top = project.cwd
    (top / ".gitignore").write_text("codex-runner-out\ncodex-runner.toml\n")
    (top / "AGENTS.md").write_text("TOP of the base\n")
    (top / "sub").mkdir()
    (top / "sub" / "AGENTS.md").write_text("SUB of the base\n")
    skill(top / ".agents" / "skills" / "tidy", "SKILL of the base")
    project.git_init()
    git(top, "branch", "-m", "main")
    base = git(top, "rev-parse", "HEAD")
    git(top, "checkout", "-q", "-b", "head")
    (top / "AGENTS.md").write_text("TOP of the head\n")
    (top / "sub" / "AGENTS.override.md").write_text("SUB of the head\n")
    skill(top / "sub" / ".codex" / "skills" / "steal", "SKILL of the head")
    (top / ".agents" / "skills" / "tidy" / "SKILL.md").write_text(
        "---\nname: tidy\ndescription: SKILL of the head\n---\n"
    )
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "proposed")
    head = git(top, "rev-parse", "HEAD")
    git(top, "checkout", "-q", "main")
    git(top, "commit", "-q", "--allow-empty", "-m", "the base goes on")
    git(top, "merge", "-q", "--no-ff", "-m", "merge", "head")
    git(top, "checkout", "-q", "--detach")
    git(top, "branch", "-f", "main", "HEAD^1")
    return base, git(top, "rev-parse", "HEAD^1"), head


def on_github(project, *, head_sha="f" * 40, **pull_request):
    event = project.scratch / "event.json"
    head = {"repo": {"full_name": "acme/app"}, "sha": head_sha}
    pull_request = {"number": 7, "head": head, "user": {"login": "ada"}, **pull_request}
    event.write_text(json.dumps({"number": 7, "pull_request": pull_request}))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_REPOSITORY": "acme/app",
        "GITHUB_EVENT_PATH": str(event),
    }


def test_the_working_tree_outside_of_proposals(told_by_either, project, proposed):
    before = git(project.cwd, "status", "--porcelain", "--ignored")
    run, prompt = told_by_either(project.cwd / "sub", sandbox="workspace-write")
    for text in ("TOP of the head", "SUB of the head", "SKILL of the head"):
        assert text in prompt
    assert "of the base" not in prompt
    instructions = run.run_json["instructions"]
    assert (instructions["mode"], instructions["commit"]) == ("workspace", None)
    assert [file["path"] for file in instructions["files"]] == ["AGENTS.md", "sub/AGENTS.override.md"]
    digest = hashlib.sha256(b"TOP of the head\n").hexdigest()
    assert instructions["files"][0] == {"path": "AGENTS.md", "size": 16, "given": 16, "sha256": digest}
    skills = {each["path"]: each["sha256"] for each in instructions["skills"]}
    assert set(skills) == {".agents/skills/tidy/SKILL.md", "sub/.codex/skills/steal/SKILL.md"}
    file = project.cwd / ".agents" / "skills" / "tidy" / "SKILL.md"
    assert skills[".agents/skills/tidy/SKILL.md"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert git(project.cwd, "status", "--porcelain", "--ignored").replace("!! codex-runner-out/\n", "") in before
    assert "instructions" not in run.warnings
    project.check_nothing_is_left()
    assert list((project.state / "codex-runner" / "skills").glob("*")) == []


@pytest.mark.parametrize("how", ["sha", "branch", "merge-parent", "gitlab", "jenkins", "asked-for"])
def test_the_base_on_a_proposal(told_by_either, project, proposed, how):
    old, new, head = proposed
    job, commit = {}, new
    match how:
        case "sha":
            environ, commit = on_github(project, base={"sha": old, "ref": "main"}), old
        case "branch":
            git(project.cwd, "update-ref", "refs/remotes/origin/main", old)
            environ, commit = on_github(project, base={"sha": "0" * 40, "ref": "main"}), old
        case "merge-parent":
            environ = on_github(project, base={"sha": "0" * 40, "ref": "gone"}, head_sha=head)
        case "gitlab":
            environ, commit = {"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "merge_request_event"}, old
            environ |= {"CI_MERGE_REQUEST_IID": "3", "CI_MERGE_REQUEST_DIFF_BASE_SHA": old}
            environ |= {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1", "CI_MERGE_REQUEST_PROJECT_ID": "1"}
        case "jenkins":
            git(project.cwd, "checkout", "-q", "head")
            git(project.cwd, "update-ref", "refs/remotes/origin/main", new)
            environ, commit = {"BUILD_TAG": "jenkins-app-1", "CHANGE_ID": "3", "CHANGE_TARGET": "main"}, old
        case _:
            environ, job = on_github(project, base={"sha": new, "ref": "main"}), {"instructions": "base"}
    run, prompt = told_by_either(project.cwd / "sub", environ=environ, **job)
    for text in ("TOP of the base", "SUB of the base", "SKILL of the base"):
        assert text in prompt
    assert "of the head" not in prompt
    instructions = run.run_json["instructions"]
    assert (instructions["mode"], instructions["commit"]) == ("base", commit)
    assert [file["path"] for file in instructions["files"]] == ["AGENTS.md", "sub/AGENTS.md"]
    assert [each["path"] for each in instructions["skills"]] == [".agents/skills/tidy/SKILL.md"]
    assert "instructions" not in run.warnings


def test_a_shallow_clone_has_no_base(told, project, proposed):
    clone = project.scratch / "clone"
    git(project.scratch, "clone", "-q", "--depth=1", f"file://{project.cwd}", str(clone))
    run, prompt = told(clone, environ=on_github(project, base={"sha": proposed[1], "ref": "main"}))
    assert "TOP of" not in prompt
    assert "SKILL of" not in prompt
    assert "base commit of pull request 7 is not in this clone" in run.warnings["instructions"]
    assert "fetch-depth: 0" in run.warnings["instructions"]
    assert run.run_json["instructions"]["mode"] == "none"
    git(clone, "fetch", "-q", "--unshallow")
    run, prompt = told(clone)
    assert "TOP of the base" in prompt
    assert run.run_json["instructions"]["mode"] == "base"


def test_a_clone_without_the_files_of_its_base(told, project, proposed):
    clone = project.scratch / "clone"
    git(project.cwd, "config", "uploadpack.allowFilter", "true")
    git(project.scratch, "clone", "-q", "--filter=blob:none", f"file://{project.cwd}", str(clone))
    run, prompt = told(clone, environ=on_github(project, base={"sha": proposed[0], "ref": "main"}))
    assert "TOP of" not in prompt
    said = " ".join(each["message"] for each in run.run_json["warnings"] if each["code"] == "instructions")
    assert "AGENTS.md: leads out of the repository, or cannot be read" in said
    assert ".agents/skills: the skills were left out: they cannot be read" in said
    git(project.scratch, "clone", "-q", "--filter=tree:0", f"file://{project.cwd}", str(clone / "treeless"))
    run, prompt = told(clone / "treeless")
    assert "TOP of" not in prompt
    assert "is not in this clone" in run.warnings["instructions"]


def test_a_merge_of_the_proposers_own_is_no_base(told, project, proposed):
    git(project.cwd, "checkout", "-q", "head")
    (project.cwd / "AGENTS.md").write_text("TOP of the head, again\n")
    git(project.cwd, "commit", "-q", "-a", "-m", "once more")
    git(project.cwd, "merge", "-q", "--no-ff", "-s", "ours", "-m", "own merge", proposed[1])
    head = git(project.cwd, "rev-parse", "HEAD")
    run, prompt = told(environ=on_github(project, base={"sha": "0" * 40, "ref": "gone"}, head_sha=head))
    assert "TOP of" not in prompt
    assert run.run_json["instructions"]["mode"] == "none"


def test_a_submodule_has_no_base_of_its_own(told, project, proposed):
    stranger = project.scratch / "stranger"
    stranger.mkdir()
    git(stranger, "init", "-q", "-b", "main")
    (stranger / "AGENTS.md").write_text("STOLEN text\n")
    git(stranger, "add", ".")
    git(stranger, "commit", "-q", "-m", "first")
    git(project.cwd, "submodule", "add", "-q", str(stranger), "module")
    git(project.cwd, "commit", "-q", "-m", "a submodule")
    _, prompt = told(project.cwd / "module", environ=on_github(project, base={"sha": proposed[1], "ref": "main"}))
    assert "STOLEN" not in prompt


def test_skills_of_a_home_within_the_repository(told, project, proposed):
    home = project.cwd / "home"
    skill(home / ".agents" / "skills" / "steal", "STOLEN skill")
    project.environ["HOME"] = str(home)
    _, prompt = told(project.cwd / "sub", environ=on_github(project, base={"sha": proposed[1], "ref": "main"}))
    assert "STOLEN" not in prompt
    assert "SKILL of the base" in prompt


@pytest.mark.parametrize("mode", ["base", "none"])
@pytest.mark.parametrize("how", ["many", "elsewhere"])
def test_skills_that_cannot_all_be_hidden_stop_the_run(told, project, proposed, mode, how):
    skills = project.cwd / ".agents" / "skills"
    if how == "many":
        for number in range(301):
            skill(skills / f"skill-{number}", "one of many")
    else:
        (skills / "out").symlink_to("/usr/share")
    environ = on_github(project, base={"sha": proposed[1], "ref": "main"})
    run, prompt = told(code=3, environ=environ, instructions=mode)
    assert prompt == ""
    assert "cannot all be switched off" in run.run_json["reason"]


def test_names_with_line_breaks_remove_and_make_nothing_elsewhere(told, project):
    victim = project.scratch / "victim"
    victim.mkdir()
    (victim / "bashrc").write_text("mine\n")
    skills = project.cwd / ".agents" / "skills"
    skill(skills / "tidy", "SKILL of ours")
    trap = skills / "x\n" / str(victim)[1:]
    trap.mkdir(parents=True)
    (trap / "bashrc").symlink_to("nowhere")
    (trap / "git").symlink_to("git-of-ours")
    made = skills / str(victim)[1:] / "git"
    made.mkdir(parents=True)
    (made / "config").write_text("[core]\n\tfsmonitor = evil\n")
    project.git_init()
    told()
    assert [(path.name, path.read_text()) for path in victim.iterdir()] == [("bashrc", "mine\n")]


def test_a_folder_whose_name_ends_in_a_line_break(told, project):
    folder = project.cwd / "top\n"
    (folder / ".codex").mkdir(parents=True)
    (folder / ".codex" / "config.toml").write_text('model = "stranger"\n')
    (folder / "AGENTS.md").write_text("TOP of ours\n")
    git(folder, "init", "-q")
    run, prompt = told(folder)
    assert '"model": "stranger"' not in prompt
    assert "TOP of ours" in prompt
    assert "project-config" in run.warnings


def test_none(told, project, proposed):
    run, prompt = told(instructions="none")
    assert "TOP of" not in prompt
    assert "SKILL of" not in prompt
    assert run.run_json["instructions"] == {"mode": "none", "commit": None, "files": [], "left_out": [], "skills": []}


def test_the_workspace_where_a_proposal_is_trusted(told, project, proposed):
    environ = on_github(project, base={"sha": proposed[1], "ref": "main"})
    _, prompt = told(environ=environ, instructions="workspace")
    assert "TOP of the head" in prompt
    assert "SKILL of the head" in prompt


def test_what_is_too_long_is_cut(told, project):
    (project.cwd / "AGENTS.md").write_text("BEGINNING\n" + "é" * LIMIT + "END")
    project.git_init()
    run, prompt = told()
    assert "BEGINNING" in prompt
    assert "END" not in prompt
    [file] = run.run_json["instructions"]["files"]
    assert file["size"] == 10 + 2 * LIMIT + 3
    assert file["given"] == LIMIT
    assert f"of which the agent gets {LIMIT}" in run.warnings["instructions"]
    run, prompt = told(codex={"config": {**project.codex["config"], "project_doc_max_bytes": 3 * LIMIT}})
    assert "END" in prompt
    assert "instructions" not in run.warnings


def test_other_names(told, project):
    (project.cwd / "CLAUDE.md").write_text("OTHER name\n")
    project.git_init()
    _, prompt = told(codex={"config": {**project.codex["config"], "project_doc_fallback_filenames": ["CLAUDE.md"]}})
    assert "OTHER name" in prompt


def test_what_leads_elsewhere_or_never_ends(told, project):
    secret = project.home / "secret"
    secret.mkdir()
    (secret / "SKILL.md").write_text("---\nname: secret\ndescription: STOLEN skill\n---\n")
    (secret / "AGENTS.md").write_text("STOLEN text\n")
    (project.cwd / "AGENTS.md").symlink_to(secret / "AGENTS.md")
    (project.cwd / "sub").mkdir()
    (project.cwd / "docs").mkdir()
    (project.cwd / "docs" / "agents.txt").write_text("LINKED text\n")
    (project.cwd / "sub" / "AGENTS.md").symlink_to("../docs/agents.txt")
    skill(project.cwd / ".agents" / "skills" / "tidy", "SKILL of ours")
    (project.scratch / ".git").mkdir()  # what a killed sandbox of codex leaves
    os.mkfifo(project.cwd / ".agents" / "skills" / "tidy" / "pipe")
    (project.cwd / ".agents" / "skills" / "tidy" / "link").symlink_to(secret / "AGENTS.md")
    os.mkfifo(project.cwd / "sub" / "AGENTS.override.md")
    run, prompt = told(project.cwd / "sub")
    assert "STOLEN" not in prompt  # no repository: nothing above the folder counts
    project.git_init()
    run, prompt = told(project.cwd / "sub")
    assert "LINKED text" in prompt
    assert "SKILL of ours" in prompt
    assert "STOLEN" not in prompt
    (project.cwd / ".agents" / "skills" / "secret").symlink_to(secret)
    run, prompt = told(project.cwd / "sub")
    assert "STOLEN" not in prompt
    assert "SKILL of ours" not in prompt
    said = [each["message"] for each in run.run_json["warnings"] if each["code"] == "instructions"]
    assert any("AGENTS.md: leads out of the repository" in each for each in said)
    assert any(".agents/skills/secret" in each and "no skills at all" in each for each in said)


def test_the_agent_reads_a_skill_and_cannot_write_it(told_by_either, project, service):
    skill(project.cwd / ".agents" / "skills" / "tidy", "SKILL of ours")
    project.git_init()
    folder = f"{project.state}/codex-runner/skills/*/1/tidy"
    command = f"cat {folder}/notes.txt; rm {folder}/notes.txt; echo mine >>{folder}/SKILL.md; ls {folder}"
    service.scenario("skill", script(shell(command, wait=15), message("done")))
    told_by_either(prompt="SCN:skill", sandbox="workspace-write")
    [output] = service.responses[-1].outputs
    assert "notes of SKILL of ours" in output
    assert output.count("notes.txt") >= 2
    assert "Read-only file system" in output


@pytest.mark.parametrize("required", [False, True])
def test_a_proposal_that_changes_the_configuration(told, project, required):
    top = project.cwd
    (top / ".gitignore").write_text("codex-runner-out\n")
    (top / "prompt.md").write_text("SCN:hi\n")
    (top / "ci").mkdir()
    (top / "ci" / "check.sh").write_text("true\n")
    checks = [{"name": "ours", "run": "sh ci/check.sh -v"}]
    job = {"prompt": None, "prompt_file": "prompt.md", "checks": checks}
    job |= {"trusted_config": "base"} if required else {}
    job = {key: value for key, value in job.items() if value is not None}
    project.configure(cwd=str(top), **job)
    configured = (top / "codex-runner.toml").read_text().replace('prompt = "SCN:hi"\n', "")
    (top / "codex-runner.toml").write_text(configured)
    project.git_init()
    project.environ |= on_github(project, base={"sha": git(top, "rev-parse", "HEAD"), "ref": "main"})
    done = project.run()
    assert done.code == 0, done.stderr[-3000:]
    assert project.last.run_json["proposal"] == {"name": "pull request 7", "changed_config": []}
    assert "trusted-config" not in project.last.warnings
    for name, text in {"prompt.md": "SCN:hi again\n", "ci/check.sh": "exit 0\n"}.items():
        (top / name).write_text(text)
    done = project.run()
    run = project.last
    if required:
        assert done.code == 4
        assert "Pull request 7 changes files that configure this run: prompt.md, ci/check.sh" in done.stderr
        assert "reviewed and merged first" in done.stderr
    else:
        assert done.code == 0, done.stderr[-3000:]
        assert run.run_json["proposal"]["changed_config"] == ["prompt.md", "ci/check.sh"]
        assert "prompt.md, ci/check.sh" in run.warnings["trusted-config"]


def test_no_word_of_a_setting_is_in_a_command_line(told, project, service, tmp_path):
    secret = "Bearer-0123456789abcdef"
    git_program = tmp_path / "bin" / "git"
    git_program.parent.mkdir()
    seen = tmp_path / "seen"
    git_program.write_text(
        f"#!/bin/sh\ncat /proc/$PPID/cmdline /proc/$$/cmdline >>'{seen}'\nexec /usr/bin/git \"$@\"\n"
    )
    git_program.chmod(0o755)
    project.git_init()
    project.environ["PATH"] = f"{git_program.parent}:{project.environ['PATH']}"
    project.environ |= on_github(project, base={"sha": git(project.cwd, "rev-parse", "HEAD"), "ref": "main"})
    config = {**project.codex["config"], "developer_instructions": f"{secret} {'x' * 900}"}
    told(codex={"config": config})
    assert seen.stat().st_size
    assert secret.encode() not in seen.read_bytes()


TRICKS = {
    "link to another file": (["ln -sf true.sh ci/check.sh"], ["ci/check.sh"]),
    "link of the folder": (["git mv -k ci ci2; mkdir -p ci2; cp ci/* ci2; rm -rf ci; ln -s ci2 ci"], ["ci/check.sh"]),
    "a file that is gone": (["rm ci/extra.sh"], ["ci/extra.sh"]),
    "what codex is given": (["echo more >>model.md"], ["model.md"]),
}


@pytest.mark.one_case("last")
@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize(
    "how", ["sh ci/check.sh; true", "cd ci && sh check.sh", "sh -c 'sh ci/check.sh'", "sh $PWD/ci/check.sh"]
)
def test_what_a_proposal_changes_is_named_however_it_is_done(told, project, service, trick, how):
    top = project.cwd
    (top / ".gitignore").write_text("codex-runner-out\n")
    (top / "ci").mkdir()
    for name in ("check.sh", "true.sh", "extra.sh"):
        (top / "ci" / name).write_text(f"true # {name}\n")
    (top / "model.md").write_text("You are a model.\n")
    config = {**project.codex["config"], "model_instructions_file": str(top / "model.md")}
    checks = [{"name": "one", "run": how}, {"name": "two", "run": "test ! -e ci/extra.sh || sh ci/extra.sh"}]
    project.configure(cwd=str(top), checks=checks, codex={"config": config})
    project.git_init()
    project.environ |= on_github(project, base={"sha": git(top, "rev-parse", "HEAD"), "ref": "main"})
    commands, named = TRICKS[trick]
    for command in commands:
        subprocess.run(["sh", "-c", command], cwd=top, check=True)
    done = project.run()
    assert done.code == 0, done.stderr[-3000:]
    changed = project.last.run_json["proposal"]["changed_config"]
    assert set(named) <= set(changed), changed


def test_a_configuration_that_cannot_be_compared(told, project, service, proposed):
    environ = on_github(project, base={"sha": "0" * 40, "ref": "gone"})
    git(project.cwd, "checkout", "-q", "head")
    run, _ = told(environ=environ)
    assert "this run: its base commit is not in this clone" in run.warnings["trusted-config"]
    assert run.run_json["proposal"]["changed_config"] is None
    told(code=4, trusted_config="base")
