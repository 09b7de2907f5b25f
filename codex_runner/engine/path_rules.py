"""Path rules: judge the changes that git saw by the paths that a job allows, forbids or requires. Pure.

A glob has the meaning of a .gitignore pattern that begins with a slash, relative to the repository's top. `*` and `?`
match within a name, `[...]` is a class, `**` matches any number of folders. A folder that matches includes all files
below it. So `*.md` matches files at the top, and `**/*.md` all of them. `!` is not supported: allowed and forbidden
paths are two lists.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.change import GONE, LOST, REPLACED, UNREADABLE, Change, ChangeKind, count_lines, show_path
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.exit_code import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.policy import PathRules

INSIDE_GIT = "inside .git"
REPOSITORY = "repository"
UNSEEN = "unseen"
FORBIDDEN_PATHS = "forbidden_paths"
ALLOWED_PATHS = "allowed_paths"
MAX_CHANGED_LINES = "max_changed_lines"
MUST_CHANGE = "must_change"

# An unescaped opening bracket that does not begin a plain class.
_BAD_CLASS = re.compile(r"(?<!\\)(?:\\\\)*\[(?![!^]?[^]\\/\[][^]\\/\[]*\])")

_EXIT_CODES = {MAX_CHANGED_LINES: ExitCode.JOB_FAILED, MUST_CHANGE: ExitCode.JOB_FAILED}

_TAKEN = (GONE, LOST, REPLACED)

# Changes that no rule can allow, and why.
_NEVER = {
    ChangeKind.INSIDE_GIT: (INSIDE_GIT, "an agent must not change git's settings and hooks"),
    ChangeKind.REPOSITORY: (REPOSITORY, "a git command in there does what its settings say"),
    ChangeKind.UNSEEN: (UNSEEN, "the runner cannot judge what it cannot see"),
}


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A broken rule. `path` is None if no single path broke it; `message` is one sentence."""

    rule: str
    path: str | None
    message: str

    @property
    def exit_code(self) -> ExitCode:
        """FORBIDDEN_CHANGE if a forbidden path changed, JOB_FAILED if the changes are too many or missing."""
        return _EXIT_CODES.get(self.rule, ExitCode.FORBIDDEN_CHANGE)


def judge_changes(
    rules: PathRules, changed: Sequence[Change], committed: Sequence[Change] = (), *, scanned: bool = False
) -> tuple[BrokenRule, ...]:
    """Return every rule that the changes break, sorted by path, then the rules without a path.

    Both paths of a rename count. Also without any rule, a new repository in the tree and a path that git cannot read
    are forbidden. `committed` are the changes of commits, reverted ones too. `scanned`: a secret scan follows, which
    must see everything.
    """
    findings = [
        finding
        for change in (*changed, *committed)
        for path in change.paths
        if (finding := _judge_path(rules, change, path, asked=rules.any or scanned))
    ]
    findings.sort(key=lambda finding: finding.path or "")
    return (*dict.fromkeys(findings), *_judge_lines(rules, changed, committed), *_missing(rules, changed))


def unjudged(rules: PathRules, changed: Sequence[Change]) -> list[str]:
    """Return a sentence for each change that deserves a warning although no rule of the job forbids it."""
    return [
        f"{_describe(change, change.path)}."
        for change in changed
        if change.kind in _NEVER and _judge_path(rules, change, change.path, asked=rules.any) is None
    ]


def uncounted(changed: Sequence[Change], committed: Sequence[Change] = ()) -> list[str]:
    """Return the paths of files whose lines git cannot count, escaped for messages."""
    blind = [change for change in changed if change.note == UNREADABLE]
    blind += [change for change in changed if change.kind is ChangeKind.UNSEEN and not change.ignored]
    return [change.shown for change in (*blind, *(each for each in committed if each.kind is ChangeKind.UNSEEN))]


def exit_code_of(findings: Sequence[BrokenRule]) -> ExitCode:
    """Return the gravest exit code of the findings. Returns SUCCEEDED if there are none."""
    codes = {finding.exit_code for finding in findings}
    for code in (ExitCode.FORBIDDEN_CHANGE, ExitCode.JOB_FAILED):
        if code in codes:
            return code
    return ExitCode.SUCCEEDED


def matches(glob: str, path: str) -> bool:
    """Whether a glob matches a path, or a folder above it. The path is relative to the repository's top."""
    return _expression(glob).fullmatch(path) is not None


def check_glob(rule: str, glob: str) -> None:
    """Raises ConfigurationError if a glob can never match, or does not mean what it seems to mean."""
    problem = None
    if glob.startswith("!"):
        problem = "`!` is not supported: list the paths that count, or in path rules the others in `forbidden_paths`"
    elif not glob.strip("/") or "\0" in glob:
        problem = "it matches nothing"
    elif {".", ".."} & set(glob.split("/")):
        problem = "`.` and `..` are not resolved: write the path from the repository's top"
    elif _BAD_CLASS.search(glob):
        problem = "a class must be `[a-z]` or `[!a-z]`, closed, without a backslash or a named class"
    else:
        try:
            _expression(glob)
        except re.error as error:
            problem = f"it cannot be read ({error})"
    if problem:
        raise ConfigurationError(
            f"{rule} has the glob {glob!r}: {problem}.",
            remedy="Write globs relative to the repository's top, such as `docs/**` or `*.md`.",
        )


def _judge_path(rules: PathRules, change: Change, path: str, *, asked: bool) -> BrokenRule | None:
    what = _describe(change, path)
    if change.kind in _NEVER:
        rule, why = _NEVER[change.kind]
        serious = change.note in _TAKEN or (change.kind is not ChangeKind.INSIDE_GIT and not change.ignored)
        wanted = asked if change.kind is ChangeKind.UNSEEN else rules.any
        return BrokenRule(rule, path, f"{what}: {why}.") if wanted or serious else None
    if glob := next((glob for glob in rules.forbidden_paths if matches(glob, path)), None):
        return BrokenRule(FORBIDDEN_PATHS, path, f"{what}, which forbidden_paths names ({glob}).")
    if rules.allowed_paths is not None and not any(matches(glob, path) for glob in rules.allowed_paths):
        allowed = ", ".join(rules.allowed_paths) or "nothing"
        return BrokenRule(ALLOWED_PATHS, path, f"{what}, which is outside allowed_paths ({allowed}).")
    return None


def _judge_lines(rules: PathRules, changed: Sequence[Change], committed: Sequence[Change]) -> list[BrokenRule]:
    if rules.max_changed_lines is None:
        return []
    lines, blind = count_lines(changed, committed), uncounted(changed, committed)
    if lines > rules.max_changed_lines:
        said = f"{lines} lines changed, and max_changed_lines allows {rules.max_changed_lines}."
        return [BrokenRule(MAX_CHANGED_LINES, None, said)]
    if blind:
        said = f"max_changed_lines cannot be judged: git cannot count the lines of {', '.join(blind)}."
        return [BrokenRule(MAX_CHANGED_LINES, None, said)]
    return []


def _describe(change: Change, path: str) -> str:
    shown = show_path(path)
    match change.kind:
        case ChangeKind.INSIDE_GIT if change.note in _TAKEN:
            return f"{shown}: {change.note}"
        case ChangeKind.INSIDE_GIT:
            return f"{shown} was {change.note or 'changed'}"
        case ChangeKind.REPOSITORY:
            return f"{shown}, which git takes for a repository or a pointer to one, was {change.note or 'changed'}"
        case ChangeKind.UNSEEN:
            return f"{shown} is {change.note or 'not visible'}"
    return f"{_describe_usual(change, path, shown)}{f' {change.note}' if change.note.startswith('in commit ') else ''}"


def _describe_usual(change: Change, path: str, shown: str) -> str:
    match change.kind:
        case ChangeKind.RENAMED if path == change.old_path:
            return f"{shown} was renamed to {change.shown}"
        case ChangeKind.RENAMED:
            return f"{shown} was renamed from {show_path(change.old_path or '')}"
        case ChangeKind.MODE:
            return f"{shown} got another file mode"
        case ChangeKind.SUBMODULE:
            return f"{shown}, a repository of its own, was changed"
        case _:
            return f"{shown} was {change.kind.value}"


def _missing(rules: PathRules, changed: Sequence[Change]) -> list[BrokenRule]:
    if rules.must_change is False:
        return []
    mine = [
        path for change in changed if change.kind not in _NEVER and not change.newly_ignored for path in change.paths
    ]
    if rules.must_change is True:
        return [] if mine else [BrokenRule(MUST_CHANGE, None, "Nothing changed, and must_change asks for a change.")]
    return [
        BrokenRule(MUST_CHANGE, None, f"Nothing changed under {glob}, and must_change asks for it.")
        for glob in rules.must_change
        if not any(matches(glob, path) for path in mine)
    ]


@lru_cache(maxsize=1024)
def _expression(glob: str) -> re.Pattern[str]:
    """Compile a glob to a regular expression over whole paths, without catastrophic backtracking.

    The groups are atomic: once the part behind a star has matched, the star does not try another length. Otherwise an
    agent could choose a path on which a glob with many stars takes exponential time.
    """
    names = [name for name in glob.split("/") if name]
    folders_only = glob.endswith("/")
    inside = ""
    if names[-1] == "**":
        inside = "[^/]+/.*" if folders_only else ".*"
        while names and names[-1] == "**":
            names.pop()
    first, *later = _split([name if name == "**" else f"{_name_expression(name)}/" for name in names], "**")
    body = _settled(first, "(?:[^/]*/)*?", later)
    if inside:
        return re.compile(body + inside, re.DOTALL)
    return re.compile(body.removesuffix("/") + ("/.*" if folders_only else "(?:/.*)?"), re.DOTALL)


def _split(tokens: Sequence[str], star: str) -> list[str]:
    """Split the tokens at each `star`, and join each part."""
    parts = [""]
    for token in tokens:
        if token == star:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _settled(first: str, anything: str, later: Sequence[str]) -> str:
    """Match `first`, then each later part at its first position behind `anything`; the last part at any position."""
    if not later:
        return first
    *middle, last = later
    return "".join([first, *(f"(?>{anything}{part})" for part in middle), anything, last])


def _name_expression(name: str) -> str:
    out, at = [], 0
    while at < len(name):
        char = name[at]
        at += 1
        if char == "*":
            out.append("*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            end = name.index("]", at)
            negated = name[at] in "!^"
            members = re.sub(r"([\^&|~])", r"\\\1", name[at + negated : end])
            out.append(f"[^/{members}]" if negated else f"(?!/)[{members}]")
            at = end + 1
        elif char == "\\" and at < len(name):
            out.append(re.escape(name[at]))
            at += 1
        else:
            out.append(re.escape(char))
    first, *later = _split(out, "*")
    return _settled(first, "[^/]*?", later)
