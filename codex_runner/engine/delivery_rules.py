"""Rules for changes that are delivered: what must not slip into a pull request unless the job names it. Pure.

A reviewer looks for what the job was to do. These changes act elsewhere, or before a person has read them: definitions
of CI, who reviews, what agents obey, what is installed, links out of the tree. `allowed_paths` allows one only if it
names the path, or its protected part, literally: `**` alone does not.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final

from codex_runner.domain.change import Change, ChangeKind, show_path
from codex_runner.engine.path_rules import BrokenRule, matches

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from codex_runner.domain.policy import PathRules

PROTECTED: Final = "protected"
SYMLINK: Final = "symlink"
SUBMODULE: Final = "submodule"
EXECUTABLE: Final = "executable"

_LINK, _EXECUTABLE = "120000", "100755"
_WILD = re.compile(r"(?<!\\)(?:\\\\)*[*?\[]")

# What is protected, and what it is called in messages. A name without a slash is a file's or folder's anywhere in the
# tree; with one, it begins at the top. Case does not count: some file systems know none.
_CI = "a definition of CI"
_REVIEW = "says who reviews"
_AGENTS = "is what agents obey"
_LOCK = "a lock file"
_MANIFEST = "a manifest of dependencies"
_TOOLS = "makes a tool run or read something"
_PROTECTED: Final = {
    **dict.fromkeys(
        (
            *("/.github/workflows", "/.github/actions", "/.gitlab-ci.yml", "/.gitlab", "/.circleci", "/.buildkite"),
            *("/.travis.yml", "/.drone.yml", "/.woodpecker", "/.woodpecker.yml", "/.forgejo", "/.gitea", "/.teamcity"),
            *(
                "/.semaphore",
                "/.cirrus.yml",
                "/.harness",
                "/appveyor.yml",
                "/.appveyor.yml",
                "/bitbucket-pipelines.yml",
            ),
            *("/azure-pipelines.yml", "/azure-pipelines.yaml", "/.azure-pipelines", "/cloudbuild.yaml"),
            *("/cloudbuild.yml", "/buildspec.yml", "/codex-runner.toml", "Jenkinsfile", ".gitlab-ci.yml", "action.yml"),
        ),
        _CI,
    ),
    **dict.fromkeys(("CODEOWNERS",), _REVIEW),
    **dict.fromkeys(
        ("AGENTS.md", "AGENTS.override.md", "CLAUDE.md", "GEMINI.md", ".codex", ".agents", ".claude", ".cursor"),
        _AGENTS,
    ),
    **dict.fromkeys(
        (
            *("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb"),
            *("poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "pylock.toml", "Cargo.lock", "go.sum"),
            *("Gemfile.lock", "composer.lock", "mix.lock", "pubspec.lock", "Podfile.lock", "Package.resolved"),
            *("packages.lock.json", "gradle.lockfile", "flake.lock", "deno.lock", "conda-lock.yml"),
        ),
        _LOCK,
    ),
    **dict.fromkeys(
        (
            *("package.json", "pnpm-workspace.yaml", "pyproject.toml", "setup.py", "setup.cfg", "requirements.txt"),
            *("constraints.txt", "Pipfile", "environment.yml", "Cargo.toml", "go.mod", "go.work", "Gemfile"),
            *("composer.json", "mix.exs", "pubspec.yaml", "Podfile", "Package.swift", "pom.xml", "build.gradle"),
            *("build.gradle.kts", "settings.gradle", "settings.gradle.kts", "deno.json", "flake.nix", "build.sbt"),
            *("Directory.Packages.props", "packages.config"),
        ),
        _MANIFEST,
    ),
    **dict.fromkeys(
        (
            *(".gitattributes", ".gitmodules", ".lfsconfig", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pypirc", ".envrc"),
            *(".pre-commit-config.yaml", ".tool-versions", ".mise.toml", "/.git-blame-ignore-revs"),
        ),
        _TOOLS,
    ),
}
_MANIFEST_FILES = re.compile(r"requirements[\w.-]*\.(?:txt|in)|[\w.-]+\.(?:csproj|fsproj|vbproj|gemspec|cabal)")


def judge_delivery(
    rules: PathRules, changed: Sequence[Change], found: Sequence[BrokenRule] = ()
) -> tuple[BrokenRule, ...]:
    """Return what must not slip into a delivery, sorted by path. `found` is what the path rules forbid already."""
    seen = {finding.path for finding in found}
    findings = [finding for change in changed for finding in _judge(rules, change) if finding.path not in seen]
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: finding.path or ""))


def _judge(rules: PathRules, change: Change) -> Iterator[BrokenRule]:
    for path in change.paths:
        part = _protected_part(path)
        if part is not None and not _is_named(rules.allowed_paths, path, part[0]):
            yield _broken(rules, PROTECTED, path, f"{show_path(path)} is protected in a delivery: {part[1]}")
    path = change.path
    for rule, said in _acts(change):
        if not _is_named(rules.allowed_paths, path, tuple(path.split("/"))):
            yield _broken(rules, rule, path, f"{show_path(path)} {said}")


def _acts(change: Change) -> Iterator[tuple[str, str]]:
    """Yield the rules that a change breaks by what it is, whatever its name."""
    if change.kind is ChangeKind.SUBMODULE:
        yield SUBMODULE, "is a submodule, which now points elsewhere: a reviewer sees none of its changes"
    if change.mode == _LINK:
        if change.leads_to is None:
            yield SYMLINK, "is a symbolic link, and it is not known where it leads"
        elif _leaves(change.path, change.leads_to):
            yield SYMLINK, f"is a symbolic link that may lead out of the tree ({show_path(change.leads_to)})"
    if change.mode == _EXECUTABLE and change.old_mode != _EXECUTABLE:
        yield EXECUTABLE, "is a new executable"


def _leaves(path: str, target: str) -> bool:
    """Whether a link may lead out of the tree: by itself, or because a name before a `..` may be a link too."""
    if target.startswith("/") or not target:
        return True
    parts = [part for part in target.split("/") if part not in ("", ".")]
    names = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    if ".." in parts[names:]:
        return True
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return whole == ".." or whole.startswith("../") or whole.split("/")[0].casefold() == ".git"


def _protected_part(path: str) -> tuple[tuple[str, ...], str] | None:
    """Return the part of a path that is protected, and what it is. Returns None if none is."""
    names = path.split("/")
    for at, name in enumerate(names):
        if (what := _ANYWHERE.get(name.casefold())) is not None:
            return (name,), f"it {what}" if what in (_REVIEW, _AGENTS, _TOOLS) else what
        if at == len(names) - 1 and _MANIFEST_FILES.fullmatch(name.casefold()):
            return (name,), _MANIFEST
    for place, what in _AT_TOP.items():
        if tuple(map(str.casefold, names[: len(place)])) == place:
            return tuple(names[: len(place)]), what
    if len(names) > 1 and names[0].startswith("."):
        return (names[0],), "a dot folder at the top"
    return None


_ANYWHERE: Final = {name.casefold(): what for name, what in _PROTECTED.items() if not name.startswith("/")}
_AT_TOP: Final = {
    tuple(name.casefold().strip("/").split("/")): what for name, what in _PROTECTED.items() if name.startswith("/")
}


def _is_named(allowed: Collection[str] | None, path: str, part: tuple[str, ...]) -> bool:
    """Whether one of the globs matches the path and has the part's names in it, one after the other, as they are."""
    for glob in allowed or ():
        names = [_literal(name) for name in glob.strip("/").split("/")]
        if any(tuple(names[at : at + len(part)]) == part for at in range(len(names))) and matches(glob, path):
            return True
    return False


def _literal(name: str) -> str | None:
    """Return the one name that this part of a glob matches. Returns None if it may match several."""
    return None if _WILD.search(name) else re.sub(r"\\(.)", r"\1", name)


def _broken(rules: PathRules, rule: str, path: str, said: str) -> BrokenRule:
    allowed = ["**"] if rules.allowed_paths is None else list(rules.allowed_paths)
    line = ", ".join(map(_quoted, (*allowed, re.sub(r"([*?\[\\])", r"\\\1", path))))
    return BrokenRule(rule, path, f"{said}. To allow it, write allowed_paths = [{line}].")


def _quoted(glob: str) -> str:
    """Write a glob as TOML does."""
    shown = show_path(glob)
    return f"'{shown}'" if set(shown) & {"\\", '"'} else f'"{shown}"'
