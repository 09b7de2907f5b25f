"""Prevents sandbox escapes: the agent must not write programs that the runner, codex or a host's scripts run.

Such places are a folder of PATH in the workspace (`.venv/bin`, `node_modules/.bin`), the installs of codex and of the
runner, and a library's folder. A program that the agent put there would run with all of the user's rights. codex's
permission profile makes each place read-only. Measured with codex 0.163: a rule makes its path a mount point, which the
agent cannot rename. But it can rename a parent folder and put a new one in its place. So each parent gets its own rule.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from codex_runner.codex.survey import read_answers
from codex_runner.domain.change import show_path
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.outside import Outside, OutsidePath
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# The words of a message for each kind of place; other kinds are names of variables.
_WORDS = {
    "codex": "codex's own program",
    "home": "a start-up file of the account's home",
    "output": "the output folder",
    "runner": "codex-runner itself",
}


def functions() -> str:
    """Return the shell functions that find the places. Call `look_outside`; survey.sh must come before."""
    return shell_script("codex_runner.codex", "outside.sh")


def read_outside(lines: Iterable[str]) -> Outside:
    """Parse the lines that `look_outside` printed. Ignores others."""
    found = read_answers(lines)

    def places(key: str) -> tuple[OutsidePath, ...]:
        return tuple(OutsidePath(*each.split(" ", 1)) for each in dict.fromkeys(found.get(key, ())))

    return Outside(
        tuple(dict.fromkeys(found.get("writable", ()))),
        places("outside"),
        places("link"),
        "".join(found.get("home", ())),
    )


def check(outside: Outside) -> None:
    """Raise ConfigurationError if a permission rule cannot protect one of the places from the agent."""
    kept = {place.path for place in outside.places}
    for place in outside.places:
        if place.path in outside.roots:
            raise _refusal(place, "is a folder in which the agent may write")
    for link in outside.links:
        around = posixpath.dirname(link.path)
        if around in outside.roots and not _decided(around, outside.roots, kept):
            raise _refusal(link, "is a symbolic link that the agent could replace")


def missing_folders(outside: Outside) -> tuple[str, ...]:
    """Return the folders that must exist, even if empty: in place of a missing one, the sandbox would make a file."""
    return tuple(place.path for place in outside.places if place.kind in {"PATH", "LD_LIBRARY_PATH"})


def _refusal(place: OutsidePath, why: str) -> ConfigurationError:
    what = _WORDS.get(place.kind, f"an entry of {place.kind}")
    remedies = {
        "output": "Choose a separate output folder (`output_dir`, `--output`).",
        "runner": "Install codex-runner outside of the workspace.",
        "codex": "Install codex outside of the workspace, or set `codex.path`.",
        "home": "Set the job's `cwd` to a folder below the home.",
    }
    return ConfigurationError(
        f"{show_path(place.path)} ({what}) {why}: a program that the agent puts there would run outside its sandbox.",
        remedy=remedies.get(place.kind, f"Remove it from {place.kind}, or name the folder that it leads to."),
    )


def rules(outside: Outside, own: Mapping[str, Any], *, widen: bool) -> dict[str, str]:
    """Return the rules that make the places read-only. `own` are the job's rules, by path.

    `widen`: a parent of a place may get a "write" rule, which repeats what the agent may do already. A job's own
    profile may close such a parent: then use False, and the outermost parent without a writable folder is read-only.
    """
    places = list(dict.fromkeys(place.path for place in outside.places))
    # A link is protected by its folder.
    around_links = (posixpath.dirname(link.path) for link in outside.links)
    places += [folder for folder in around_links if not _decided(folder, outside.roots, places)]
    closed = {path for path, rule in own.items() if rule in {"read", "deny", "none"}} | set(places)
    found = dict.fromkeys(places, "read")
    for path in places:
        around = [folder for folder in _around(path) if not _decided(folder, outside.roots, closed)]
        around = [folder for folder in around if folder not in outside.roots]
        if widen:
            found |= {folder: "write" for folder in around if folder not in found}
        else:
            whole = [folder for folder in around if not any(within(root, folder) for root in outside.roots)]
            found |= dict.fromkeys(whole[-1:], "read")
    return found


def kept(outside: Outside) -> list[str]:
    """Return the read-only places within the agent's writable folders, for run.json."""
    return sorted(path for path, rule in rules(outside, {}, widen=True).items() if rule == "read")


def around(outside: Outside) -> list[str]:
    """Return the parents of those places: the sandbox makes mount points there, too."""
    return sorted(path for path, rule in rules(outside, {}, widen=True).items() if rule == "write")


def _decided(folder: str, roots: Iterable[str], closed: Iterable[str]) -> bool:
    """Return True if the agent cannot write in this folder: the rule of the nearest parent decides."""
    around = [(len(path), False) for path in roots if within(folder, path)]
    around += [(len(path), True) for path in closed if within(folder, path)]
    return not around or max(around)[1]


def _around(path: str) -> Iterator[str]:
    while (path := posixpath.dirname(path)) != "/":
        yield path


def within(path: str, folder: str) -> bool:
    """Return True if the path is the folder, or lies below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
