"""What must not slip into a delivery, and the line that allows it."""

import tomllib

import pytest

from codex_runner.domain.change import Change, ChangeKind
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.policy import PathRules
from codex_runner.engine.delivery_rules import judge_delivery
from codex_runner.engine.path_rules import exit_code_of, judge_changes

PLAIN = {"mode": "100644", "old_mode": "100644"}
CHANGED, ADDED = ChangeKind.MODIFIED, ChangeKind.ADDED


def rules_of(changed, allowed=None):
    return [(found.rule, found.path) for found in judge_delivery(PathRules(allowed_paths=allowed), changed)]


PROTECTED = [
    *(
        ".github/workflows/ci.yml",
        ".GitHub/Workflows/ci.yml",
        ".github/dependabot.yml",
        ".gitlab-ci.yml",
        "Jenkinsfile",
    ),
    *("ci/Jenkinsfile", ".circleci/config.yml", "azure-pipelines.yml", ".buildkite/pipeline.yml", "sub/.gitlab-ci.yml"),
    *("CODEOWNERS", ".github/CODEOWNERS", "docs/CODEOWNERS", "AGENTS.md", "src/agents.md", ".codex/config.toml"),
    *("src/.codex/rules", ".vscode/settings.json", ".devcontainer/devcontainer.json", "package-lock.json"),
    *("web/package.json", "uv.lock", "pyproject.toml", "requirements-dev.txt", "src/App.csproj", "go.sum", ".npmrc"),
    *(".gitattributes", "docs/.gitattributes", ".gitmodules", ".envrc", "codex-runner.toml", "action.yml"),
]
FREE = ["README.md", "docs/a.md", "src/app.py", ".gitignore", "docs/.vitepress/config.js", "lock.txt", "jenkins.md"]


@pytest.mark.parametrize("path", PROTECTED)
def test_what_is_protected_is_allowed_by_its_own_name_alone(path):
    change = Change(path, CHANGED, **PLAIN)
    assert rules_of([change]) == [("protected", path)]
    assert rules_of([change], ("**",)) == [("protected", path)]
    assert rules_of([change], ("**", path)) == []
    assert rules_of([Change(path, ChangeKind.DELETED)]) == [("protected", path)]
    (finding,) = judge_delivery(PathRules(allowed_paths=("docs/**", "**")), [change])
    assert finding.exit_code is ExitCode.FORBIDDEN_CHANGE
    line = finding.message.partition("To allow it, write ")[2].rstrip(".")
    assert tomllib.loads(line) == {"allowed_paths": ["docs/**", "**", path]}


@pytest.mark.parametrize("path", FREE)
def test_what_a_job_is_for_is_free(path):
    assert rules_of([Change(path, CHANGED, **PLAIN)]) == []


@pytest.mark.parametrize(
    ("path", "glob", "allows"),
    [
        (".github/workflows/ci.yml", ".github/workflows/**", True),
        (".github/workflows/ci.yml", ".github/**", False),
        (".github/workflows/ci.yml", ".*/workflows/ci.yml", False),
        (".github/ISSUE_TEMPLATE/a.md", ".github/**", True),
        ("a/b/package-lock.json", "**/package-lock.json", True),
        ("a/b/package-lock.json", "a/**", False),
        ("a/package-lock.json", "b/package-lock.json", False),
        ("requirements-dev.txt", "requirements-*.txt", False),
        ("requirements-dev.txt", "requirements-dev.txt", True),
    ],
)
def test_the_protected_part_must_be_named_literally(path, glob, allows):
    assert (rules_of([Change(path, CHANGED, **PLAIN)], (glob,)) == []) is allows


@pytest.mark.parametrize(
    ("path", "target", "leaves"),
    [
        ("a", "b", False),
        ("docs/a", "../src/b", False),
        ("docs/a", "./b/../c", True),
        ("docs/a", "../../etc/passwd", True),
        ("a", "/etc/passwd", True),
        ("a", "..", True),
        ("a", "", True),
        ("x/y", "../.git/config", True),
        ("x/y", "..", False),
        ("a", None, True),
    ],
)
def test_links_out_of_the_tree(path, target, leaves):
    change = Change(path, ADDED, mode="120000", old_mode="000000", leads_to=target)
    assert rules_of([change]) == ([("symlink", path)] if leaves else [])
    assert rules_of([change], ("**", path)) == []


def test_executables_and_submodules():
    new = Change("run[1].sh", ADDED, mode="100755", old_mode="000000")
    made = Change("b.sh", ChangeKind.MODE, mode="100755", old_mode="100644")
    kept = Change("c.sh", CHANGED, mode="100755", old_mode="100755")
    moved = Change("vendor/lib", ChangeKind.SUBMODULE, mode="160000", old_mode="160000")
    assert rules_of([new, made, kept, moved]) == [
        ("executable", "b.sh"),
        ("executable", "run[1].sh"),
        ("submodule", "vendor/lib"),
    ]
    (finding,) = judge_delivery(PathRules(), [new])
    line = finding.message.partition("To allow it, write ")[2].rstrip(".")
    allowed = tuple(tomllib.loads(line)["allowed_paths"])
    assert allowed[0] == "**"
    assert rules_of([new], allowed) == []
    assert rules_of([moved], ("vendor/**",)) == [("submodule", "vendor/lib")]
    assert rules_of([moved], ("vendor/lib",)) == []


def test_both_names_of_a_rename_count():
    change = Change("old.yml", ChangeKind.RENAMED, old_path=".github/workflows/ci.yml", **PLAIN)
    assert rules_of([change]) == [("protected", ".github/workflows/ci.yml")]


def test_what_the_path_rules_forbid_is_told_once():
    rules, change = PathRules(allowed_paths=("docs/**",)), Change("uv.lock", CHANGED, **PLAIN)
    found = judge_changes(rules, [change])
    assert judge_delivery(rules, [change], found) == ()
    assert exit_code_of(found) is ExitCode.FORBIDDEN_CHANGE


def test_messages_are_one_line_whatever_the_name():
    (finding,) = judge_delivery(PathRules(), [Change(".x/evil\n::error::\udcff", ADDED, **PLAIN)])
    assert finding.message.isprintable()
