"""What a check's git commands run in a tree in which the agent has made a repository: nothing that it names."""

import shlex

import pytest
from support import child

from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script
from codex_runner.git.guard import guarded

pytestmark = pytest.mark.needs_codex

REPLY = f"printf '%s\\n' {shlex.join([child.THREAD, child.STARTED, child.MESSAGE, child.COMPLETED])}\n"


@pytest.fixture
def repository(project):
    project.configure()
    (project.cwd / ".gitignore").write_text("build/\ncodex-runner-out/\n")
    project.git_init()
    (project.cwd / ".git/info/exclude").write_text("codex-runner.toml\n")
    return project


def trap(repository, place):
    """Commands that make a repository whose git commands tell on themselves, and what they leave then."""
    sprung = repository.scratch / "sprung"
    monitor = f"touch {sprung}; false"
    return f"git init -q {place}\ngit -C {place} config core.fsmonitor {shlex.quote(monitor)}\n{REPLY}", sprung


def bare_trap(repository, place):
    """The same without any `.git`."""
    sprung = repository.scratch / "sprung"
    plain = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n"
    config = f'{plain}\tfsmonitor = "touch {sprung}; false"\n'
    body = f"mkdir -p {place}/objects {place}/refs\necho 'ref: refs/heads/main' >{place}/HEAD\n"
    return f"{body}printf %s {shlex.quote(config)} >{place}/config\n{REPLY}", sprung


@pytest.mark.parametrize("make", [trap, bare_trap])
@pytest.mark.parametrize("how", [None, "as is"])
def test_a_check_in_an_ignored_folder(repository, make, how):
    body, sprung = make(repository, "build/lib")
    check = {"name": "status", "run": "cd build/lib && git status || :"} | ({"git": how} if how else {})
    repository.fake_codex(body, sandbox="workspace-write", checks=[check])
    run = repository.check_reports(repository.run(), 0)
    assert "build/lib" in run.warnings["inside-git"]
    assert sprung.exists() == (how == "as is"), "the trap works, and the guard as well"
    (repositories,) = (event["repositories"] for event in run.of_kind("changes"))
    assert repositories == run.run_json["changes"]["repositories"] != []


@pytest.mark.parametrize("make", [trap, bare_trap])
@pytest.mark.parametrize("rules", [{}, {"allowed_paths": ["docs/**"]}])
def test_outside_of_them_the_run_is_red_and_no_check_is_run(repository, make, rules):
    body, sprung = make(repository, "docs/inner")
    checks = [{"name": "status", "run": "cd docs/inner; git status; touch ../../checked", "git": "as is"}]
    repository.fake_codex(body, sandbox="workspace-write", checks=checks, on_check_failure="retry", **rules)
    run = repository.check_reports(repository.run(), 12)
    assert "docs/inner" in run.run_json["reason"]
    assert not sprung.exists()
    assert not (repository.cwd / "checked").exists()
    assert len(run.of_kind("attempt.started")) == 1


def test_settings_that_are_there_are_kept(repository):
    repository.environ |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Grace"}
    run = "git config user.name && git config safe.bareRepository && git config core.hooksPath && exit 3"
    repository.fake_codex(REPLY, sandbox="workspace-write", checks=[{"name": "settings", "run": run}])
    run = repository.check_reports(repository.run(), 1)
    (check,) = run.run_json["checks"]
    assert check["output"].split() == ["Grace", "explicit", "/dev/null"]
    assert check["exit_code"] == 3


def test_codexs_own_git_is_guarded_too(repository):
    body = f"git config core.hooksPath >../seen\n{REPLY}"
    repository.fake_codex(body, sandbox="workspace-write")
    repository.check_reports(repository.run(), 0)
    assert (repository.scratch / "seen").read_text() == "/dev/null\n"


@pytest.mark.parametrize(
    ("given", "count"), [({}, "3"), ({"GIT_CONFIG_COUNT": "2"}, "5"), ({"GIT_CONFIG_COUNT": ""}, "3")]
)
def test_behind_what_is_there(given, count):
    assert guarded(given)["GIT_CONFIG_COUNT"] == count
    assert guarded(given)[f"GIT_CONFIG_KEY_{int(count) - 1}"] == "core.hooksPath"


def test_a_count_that_is_no_number_is_left_to_git():
    assert guarded({"GIT_CONFIG_COUNT": "x"}) == {"GIT_CONFIG_COUNT": "x"}


@pytest.mark.parametrize("place", ["docs/inner", "."])
def test_an_agent_in_its_sandbox(repository, service, place):
    """The real one, below the top, where nothing but the sandbox's own mount points keeps it from a `.git`."""
    body, sprung = bare_trap(repository, place)
    service.scenario("nest", script(shell(body.removesuffix(REPLY)), message("done")))
    (repository.cwd / "sub").mkdir()
    checks = [{"name": "status", "run": "git status", "git": "as is"}]
    repository.configure(
        prompt="SCN:nest", sandbox="workspace-write", cwd="sub", allowed_paths=["sub/**"], checks=checks
    )
    run = repository.check_reports(repository.run(), 12)
    path = f"sub/{place}".removesuffix("/.")
    assert run.run_json["changes"]["repositories"] == [path]
    assert not sprung.exists()


def test_mount_points_of_a_sandbox_that_is_killed(repository, service):
    """A run that is ended in the middle of a command leaves none of them, and they are no change."""
    service.scenario("linger", script(shell("echo more >>notes.md; sleep 301", wait=30), message("done")))
    (repository.cwd / "sub").mkdir()
    repository.configure(prompt="SCN:linger", sandbox="workspace-write", cwd="sub", command_timeout="2s")
    run = repository.check_reports(repository.run(), 9)
    assert run.run_json["changes"]["repositories"] == []
    assert run.run_json["changes"]["paths"] == 1
    assert sorted(path.name for path in (repository.cwd / "sub").iterdir()) == ["notes.md"]
