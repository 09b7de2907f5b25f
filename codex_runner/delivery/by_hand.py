"""The commands that finish a delivery by hand: from the run's patch on any machine, or from its pack on the runner's.

They are lines for one sh. Only assignments hold values, and those come first, so that a person sees what to change. The
others are the scripts beside this module. They make the very tree that the run has recorded, in an index of their own,
and push it: no file of the clone is read or written. A branch that has moved since is never overwritten.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final
from urllib.parse import quote as percent
from urllib.parse import urlencode

from codex_runner.dataclass import dataclass
from codex_runner.domain.delivery import AGAIN, ByHand, ForgeKind
from codex_runner.shell.script import shell_script
from codex_runner.text.clean import clean_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _./,:=+@")


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A change that did not arrive. `tree` is the tree to deliver, `commit` the one that the agent began with.

    `url` is git's address of the repository, as `Remote` takes it: without a password. `base` is the branch that the
    pull request goes to, "" for the default branch. `tip` is the branch's commit that may be replaced, "" if there must
    be none. `message` is the commit's, of one line.
    """

    kind: ForgeKind
    url: str
    branch: str
    commit: str
    tree: str
    message: str
    base: str = ""
    tip: str = ""

    @property
    def has_pulls(self) -> bool:
        """Whether a pull request shows the branch there."""
        return self.kind is not ForgeKind.GIT


def from_patch(change: Undelivered, patch: Path) -> ByHand:
    """Return the way from changes.patch. It needs no other file, and so is not for changes with Git LFS."""
    needs = f"On any machine, in a clone of {_shown(change.url)}, with the run's changes.patch (correct its path):"
    return _by_hand("patch", needs, change, {"patch": str(patch)}, "by_hand_patch.sh")


def from_pack(change: Undelivered, pack: Path, machine: str, *, lfs: Path | None = None) -> ByHand:
    """Return the way from the pack on the runner's machine. `lfs` is the folder of the change's objects of Git LFS."""
    needs = f"On {machine}, as the same user, in a clone of {_shown(change.url)}:"
    if lfs is None:
        return _by_hand("pack", needs, change, {"pack": str(pack)}, "by_hand_pack.sh")
    places = {"pack": str(pack), "objects": str(lfs)}
    return _by_hand("pack", needs, change, places, "by_hand_pack.sh", "by_hand_lfs.sh")


def from_branch(change: Undelivered) -> ByHand:
    """Return what is left to do once the branch has the change: to open its pull request."""
    return ByHand("open", f"The branch {change.branch} has the change. Open its pull request:", (), new_pull(change))


def from_pull(link: str) -> ByHand:
    """Return what is left to do once the pull request has the change."""
    return ByHand("open", "The pull request has the change, and its text may be of the last delivery:", (), link)


def from_runner(run: str, output_dir: Path, machine: str, *, when: str) -> ByHand:
    """Return the command that delivers again. `when` says from when on that helps."""
    command = f"codex-runner deliver {shell_word(run)} --output-dir {shell_word(str(output_dir))}"
    return ByHand(AGAIN, f"On {machine}, as the same user, {when}:", (command,))


def new_pull(change: Undelivered) -> str:
    """Return the page that opens a pull request from the branch, "" for a plain remote."""
    page = change.url.removesuffix(".git")
    branch, base = change.branch, change.base
    if change.kind is ForgeKind.GITHUB:
        return f"{page}/compare/{f'{percent(base)}...' if base else ''}{percent(branch)}?expand=1"
    if change.kind is ForgeKind.GITLAB:
        names = {"merge_request[source_branch]": branch, **({"merge_request[target_branch]": base} if base else {})}
        return f"{page}/-/merge_requests/new?{urlencode(names)}"
    return ""


def shell_word(text: str) -> str:
    """Return a text as one word for any sh, on one line.

    Nothing in it can end the word, hide in a terminal or command a CI system: other bytes than plain ones are octal.
    """
    if text.isprintable() and clean_line(text) == text:
        return shlex.quote(text)
    data = text.encode("utf-8", "surrogateescape" if _is_path(text) else "replace")
    said = "".join(chr(byte) if chr(byte) in _PLAIN else f"\\{byte:03o}" for byte in data)
    return f"\"$(printf '{said}')\""


def _by_hand(way: str, needs: str, change: Undelivered, places: Mapping[str, str], *scripts: str) -> ByHand:
    values = {
        "remote": change.url,
        "base": change.commit,
        "tree": change.tree,
        "branch": change.branch,
        "tip": change.tip,
        "message": change.message,
        **places,
    }
    assigned = [f"{name}={shell_word(value)}" for name, value in values.items()]
    read = shell_script("codex_runner.delivery", "by_hand_base.sh", *scripts, "by_hand_push.sh")
    lines = [line for line in read.splitlines() if line and not line.startswith("#")]
    return ByHand(way, needs, (*assigned, *lines), new_pull(change))


def _shown(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return clean_line(f"{scheme}{mark}{place.rpartition('@')[2]}{slash}{path}" if mark else url)


def _is_path(text: str) -> bool:
    """Whether all surrogates in a text stand for bytes of a file's name."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
