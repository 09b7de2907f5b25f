import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_runner.domain.change import Change, ChangeKind
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.policy import PathRules
from codex_runner.engine.path_rules import check_glob, exit_code_of, judge_changes, matches, unjudged

ADDED, RENAMED = ChangeKind.ADDED, ChangeKind.RENAMED


def judged(changed, **rules):
    return [(finding.rule, finding.path) for finding in judge_changes(PathRules(**rules), changed)]


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.md", ["README.md", ".md"], ["docs/a.md", "README.mdx"]),
        ("**/*.md", ["README.md", "docs/a.md", "a/b/c.md"], ["a.txt"]),
        ("docs/**", ["docs/a", "docs/a/b"], ["docs", "src/docs/a", "docsx/a"]),
        ("docs", ["docs", "docs/a/b"], ["src/docs", "docs2"]),
        ("/docs/", ["docs/a"], ["docs"]),
        ("src/*", ["src/a", "src/a/b"], ["src", "a/src/b"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z/inside"], ["az", "a/b/zz"]),
        ("**", ["a", "a/b"], []),
        ("docs/**/", ["docs/a/b"], ["docs/a"]),
        ("v[0-9].?", ["v1.x"], ["vx.x", "v1./", "v1.xx"]),
        ("v[!0-9]", ["vx"], ["v1", "v/"]),
        (r"a\*b", ["a*b"], ["axb"]),
        ("new\nline*", ["new\nline\nmore"], ["new"]),
    ],
)
def test_globs(glob, yes, no):
    check_glob("allowed_paths", glob)
    assert [path for path in yes if not matches(glob, path)] == []
    assert [path for path in no if matches(glob, path)] == []


@pytest.fixture(scope="module")
def ignores(tmp_path_factory):
    """What git itself makes of a pattern: the paths that a .gitignore with `/PATTERN` names."""
    top = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", top], check=True)

    def ask(glob, paths):
        (top / ".gitignore").write_text(f"/{glob}\n")
        done = subprocess.run(
            ["git", "check-ignore", "--no-index", "-z", "--stdin"],
            cwd=top,
            input="\0".join(paths).encode(),
            capture_output=True,
            check=False,
        )
        return set(done.stdout.decode().split("\0")) - {""}

    return ask


NAMES = st.text("ab.[", min_size=1, max_size=3).filter(lambda name: name not in (".", "..", ".git"))
PIECES = st.sampled_from(["a", "b", ".", "*", "?", "[ab]", "[!a]", "[^b.]", "[a-b]", r"\*", r"\["])
PARTS = st.one_of(st.just("**"), st.lists(PIECES, min_size=1, max_size=3).map("".join))
GLOBS = st.builds(
    lambda parts, slash: "/".join(parts) + slash, st.lists(PARTS, min_size=1, max_size=4), st.sampled_from(["", "/"])
)


@given(glob=GLOBS, paths=st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=30))
def test_git_agrees(ignores, glob, paths):
    if {".", ".."} & set(glob.split("/")):
        return
    ours = {path for path in paths if matches(glob, path)}
    assert ours == ignores(glob, paths)


@pytest.mark.parametrize(
    "glob", ["!docs", "", "/", "../x", "a/./b", "a[", "[]a]", "[[:alpha:]]", "[z-a]", r"[\]]", "a\0", "[a/b]"]
)
def test_globs_that_could_only_mislead_are_refused(glob):
    with pytest.raises(ConfigurationError, match="forbidden_paths"):
        check_glob("forbidden_paths", glob)


def test_without_rules_only_git_itself_is_guarded():
    assert judged([Change("a", ADDED)]) == []
    changed = [Change(".git/hooks/pre-commit", ChangeKind.INSIDE_GIT, note="added")]
    findings = judge_changes(PathRules(allowed_paths=("**",)), changed)
    assert [finding.rule for finding in findings] == ["inside .git"]
    assert findings[0].message.startswith(".git/hooks/pre-commit was added")
    assert exit_code_of(findings) is ExitCode.FORBIDDEN_CHANGE


def test_allowed_paths():
    changed = [Change("docs/a.md", ADDED), Change("src/x", ADDED)]
    assert judged(changed, allowed_paths=("docs/**",)) == [("allowed_paths", "src/x")]
    assert judged(changed, allowed_paths=()) == [("allowed_paths", "docs/a.md"), ("allowed_paths", "src/x")]


def test_what_is_forbidden_wins_over_what_is_allowed():
    rules = {"allowed_paths": ("docs/**",), "forbidden_paths": ("docs/legal",)}
    assert judged([Change("docs/legal/x", ADDED)], **rules) == [("forbidden_paths", "docs/legal/x")]


def test_a_rename_takes_a_file_away_too():
    changed = [Change("docs/app.py", RENAMED, old_path="src/app.py")]
    assert judged(changed, allowed_paths=("docs/**",)) == [("allowed_paths", "src/app.py")]
    assert judged([Change("src/a", RENAMED, old_path="docs/a")], allowed_paths=("docs/**",)) == [
        ("allowed_paths", "src/a")
    ]


def test_max_changed_lines_counts_both_ways():
    changed = [Change("a", ADDED, lines_added=6), Change("b", ChangeKind.DELETED, lines_deleted=5)]
    assert judged(changed, max_changed_lines=11) == []
    (finding,) = judge_changes(PathRules(max_changed_lines=10), changed)
    assert "11 lines" in finding.message
    assert "10" in finding.message
    assert finding.exit_code is ExitCode.JOB_FAILED


def test_must_change():
    assert judged([], must_change=True) == [("must_change", None)]
    assert judged([Change("a", ADDED)], must_change=True) == []
    assert judged([Change(".git/config", ChangeKind.INSIDE_GIT)], must_change=True)[-1] == ("must_change", None)
    findings = judge_changes(PathRules(must_change=("docs/**", "CHANGELOG.md")), [Change("docs/a", ADDED)])
    assert [finding.message for finding in findings] == [
        "Nothing changed under CHANGELOG.md, and must_change asks for it."
    ]


def test_a_forbidden_change_outweighs_a_missing_one():
    findings = judge_changes(PathRules(allowed_paths=("docs/**",), must_change=("docs/**",)), [Change("x", ADDED)])
    assert {finding.exit_code for finding in findings} == {ExitCode.FORBIDDEN_CHANGE, ExitCode.JOB_FAILED}
    assert exit_code_of(findings) is ExitCode.FORBIDDEN_CHANGE
    assert exit_code_of([]) is ExitCode.SUCCEEDED


def test_messages_are_one_line_whatever_the_name():
    (finding,) = judge_changes(PathRules(allowed_paths=()), [Change("evil\n::error::x\udcff", ADDED)])
    assert finding.message.isprintable()
    finding.message.encode()


@pytest.mark.parametrize(
    ("glob", "path", "more"),
    [
        ("*" + "a*" * 12 + "b", "a" * 250, "b"),
        ("**/a/" * 7 + "**/b", "a/" * 2000 + "a", "/b"),
        ("**/*a*a*a*b/**/*a*a*a*c/**", "/".join(["a" * 100, *["aaab"] * 700]), "/aaac/x"),
    ],
)
def test_a_path_of_the_agents_choice_holds_nobody(glob, path, more):
    """With many stars, it took hours to find that one of these does not match."""
    assert not matches(glob, path)
    assert matches(glob, path + more)


@pytest.mark.parametrize("kind", [ChangeKind.REPOSITORY, ChangeKind.UNSEEN])
@pytest.mark.parametrize(
    ("ignored", "rules", "found"), [(False, {}, 1), (True, {}, 0), (True, {"must_change": True}, 1)]
)
def test_what_no_rule_can_allow(kind, ignored, rules, found):
    changed = [Change("src/.git", kind, ignored=ignored), Change("src/a", ADDED)]
    assert [rule for rule, _ in judged(changed, **rules)] == [kind.value] * found
    assert len(unjudged(PathRules(**rules), changed)) == 1 - found


def test_the_larger_figure_of_a_tree_and_its_commits_counts():
    changed = [Change("a", ADDED, lines_added=5), Change("b", ADDED, lines_added=3)]
    committed = [Change("a", ADDED, lines_added=9, note="in commit 1"), Change("c", ADDED, lines_added=1)]
    assert judge_changes(PathRules(max_changed_lines=13), changed, committed) == ()
    (finding,) = judge_changes(PathRules(max_changed_lines=12), changed, committed)
    assert "13 lines changed" in finding.message


def test_what_is_newly_ignored_is_no_change_that_must_be():
    assert judged([Change("docs/a", ADDED, newly_ignored=True)], must_change=True) == [("must_change", None)]
