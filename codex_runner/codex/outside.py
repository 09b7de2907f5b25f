"""Keeps the agent from writing what the runner, codex or a host's scripts run outside of its sandbox.

A folder of PATH in the workspace (`.venv/bin`, `node_modules/.bin`), codex's own install, the runner's, a library's
folder: a program that the agent put there would run with all of the user's rights. codex's permission profile makes
each of them read-only. Measured with codex 0.163: a rule makes its path a mount point, which cannot be
renamed; a folder around it can, and a new one put in its place. So each folder around it gets a rule of its own.
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

# Folders that nobody needs to keep whole, as a message names what is there.
_WORDS = {
    "codex": "codex's own program",
    "home": "a start-up file of the account's home",
    "output": "the output folder",
    "runner": "codex-runner itself",
}


def functions() -> str:
    """Return the shell functions that look; `look_outside` is the one to call, behind those of survey.sh."""
    return shell_script("codex_runner.codex", "outside.sh")


def read_outside(lines: Iterable[str]) -> Outside:
    """Read the lines that `look_outside` printed; others are left out."""
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
    """Refuse what no rule can keep from the agent: ConfigurationError."""
    kept = {place.path for place in outside.places}
    for place in outside.places:
        if place.path in outside.roots:
            raise _refusal(place, "is a folder in which the agent may write")
    for link in outside.links:
        around = posixpath.dirname(link.path)
        if around in outside.roots and not _decided(around, outside.roots, kept):
            raise _refusal(link, "is a symbolic link that the agent could lead elsewhere")


def missing_folders(outside: Outside) -> tuple[str, ...]:
    """Return the folders that must be there, perhaps empty: for a missing one, the sandbox would make a file."""
    return tuple(place.path for place in outside.places if place.kind in {"PATH", "LD_LIBRARY_PATH"})


def _refusal(place: OutsidePath, why: str) -> ConfigurationError:
    what = _WORDS.get(place.kind, f"an entry of {place.kind}")
    remedies = {
        "output": "Choose an output folder of its own (`output_dir`, `--output`).",
        "runner": "Install codex-runner outside of the workspace.",
        "codex": "Install codex outside of the workspace, or set `codex.path`.",
        "home": "Let the job work in a folder below the home (`cwd`).",
    }
    return ConfigurationError(
        f"{show_path(place.path)} ({what}) {why}: what the agent puts there would run outside of its sandbox.",
        remedy=remedies.get(place.kind, f"Take it out of {place.kind}, or name the folder that it leads to."),
    )


def rules(outside: Outside, own: Mapping[str, Any], *, widen: bool) -> dict[str, str]:
    """Return the rules that keep the places as they are. `own` are the job's rules, by path.

    `widen`: a folder around a place may get a rule that lets the agent write in it, as it may already. A job's own
    profile may close such a folder: then the place is kept with all that is around it.
    """
    places = list(dict.fromkeys(place.path for place in outside.places))
    # A link is kept with its folder.
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
    """Return what the agent cannot write although it lies where it may write, for run.json."""
    return sorted(path for path, rule in rules(outside, {}, widen=True).items() if rule == "read")


def around(outside: Outside) -> list[str]:
    """Return the folders around those: the sandbox puts its mount points there, too."""
    return sorted(path for path, rule in rules(outside, {}, widen=True).items() if rule == "write")


def _decided(folder: str, roots: Iterable[str], closed: Iterable[str]) -> bool:
    """Say whether the agent cannot write in this folder: the nearest of all rules decides."""
    around = [(len(path), False) for path in roots if within(folder, path)]
    around += [(len(path), True) for path in closed if within(folder, path)]
    return not around or max(around)[1]


def _around(path: str) -> Iterator[str]:
    while (path := posixpath.dirname(path)) != "/":
        yield path


def within(path: str, folder: str) -> bool:
    """Whether the path is the folder, or lies below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
