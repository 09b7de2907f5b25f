"""The small forge's one project: its repository and its pull requests, whichever API they come by."""

from __future__ import annotations

import fnmatch
import time
from typing import TYPE_CHECKING

from codex_runner.demo.forge_git import NONE
from codex_runner.demo.forge_state import Settings
from codex_runner.text.dates import format_date

if TYPE_CHECKING:
    from codex_runner.demo.forge_git import BareRepository
    from codex_runner.demo.forge_state import Protection, Pull


class ForgeProject:
    """A repository with pull requests. `url` is the server's. `signed` has the commits that the forge has signed."""

    def __init__(self, name: str, repository: BareRepository, url: str) -> None:
        """Begin without pull requests."""
        self.name, self.repository, self.url = name, repository, url
        self.owner = name.split("/", maxsplit=1)[0]
        self.pulls: list[Pull] = []
        self.settings = Settings()
        self.signed: set[str] = set()
        self.closed_by_the_forge: list[int] = []
        """The pull requests that lost their commits: a push of the base onto their branch, or its removal."""

    def pull(self, number: int) -> Pull | None:
        """Return a pull request, None if there is none."""
        return next((pull for pull in self.pulls if pull.number == number), None)

    def open_pull(self, branch: str, base: str) -> Pull | None:
        """Return the open pull request between two branches, None if there is none."""
        same = (pull for pull in self.pulls if (pull.branch, pull.base, pull.state) == (branch, base, "open"))
        return next(same, None)

    def add(self, pull: Pull) -> Pull:
        """Open a pull request. It gets the next number."""
        pull.number, pull.tip = (
            max((each.number for each in self.pulls), default=0) + 1,
            self.repository.tip(pull.branch) or "",
        )
        self.pulls.append(pull)
        return pull

    def refusal(self, branch: str, before: str | None, after: str) -> Protection | None:
        """Return the first rule that refuses to move a branch, None if it may move. `before` None: it is new."""
        is_new = before in {None, NONE}
        replaces = not is_new and after != NONE and not self.repository.is_behind(before or "", after)
        refused = {
            "any": True,
            "create": is_new,
            "replace": replaces,
            "unsigned": after not in {*self.signed, NONE, self.repository.tip("main")},
        }
        rules = (rule for rule in self.settings.protections if fnmatch.fnmatchcase(branch, rule.pattern))
        return next((rule for rule in rules if refused[rule.when]), None)

    def settle(self) -> None:
        """Follow the branches: a pull request without a commit of its own is closed, as both forges do."""
        for pull in self.pulls:
            if pull.state != "open":
                continue
            tip = self.repository.tip(pull.branch)
            if tip is None or self.repository.contains(pull.base, tip):
                pull.state = "closed"
                self.closed_by_the_forge.append(pull.number)
            else:
                pull.tip = tip

    # --- what people do -------------------------------------------------------------------------------------------

    def close(self, number: int) -> None:
        """Close a pull request as a person does."""
        self._of(number).state = "closed"

    def reopen(self, number: int) -> None:
        """Open a pull request again as a person does."""
        self._of(number).state = "open"

    def remove(self, number: int) -> None:
        """Delete a pull request, as an owner at GitLab can, and GitHub's staff."""
        self.pulls.remove(self._of(number))

    def merge(self, number: int, *, keep_branch: bool = False, squash: bool = False) -> str:
        """Merge a pull request as a person does, with a merge commit or by a squash. Returns the base's new commit."""
        pull = self._of(number)
        repository = self.repository
        tip, base = repository.tip(pull.branch), repository.tip(pull.base)
        assert tip is not None  # noqa: S101 - an open pull request has a branch
        assert base is not None  # noqa: S101 - and a base
        tree = repository.git("merge-tree", "--write-tree", base, tip)
        words = f"{pull.title} (#{number})" if squash else f"Merge pull request #{number}\n\n{pull.title}"
        merged = repository.make_commit(tree, [base] if squash else [base, tip], words)
        repository.move(pull.base, merged, base)
        pull.state, pull.merged, pull.merged_at = "closed", True, format_date(time.time())
        if not keep_branch:
            repository.move(pull.branch, "0" * 40, tip)
        self.settle()
        return merged

    def _of(self, number: int) -> Pull:
        pull = self.pull(number)
        if pull is None:
            raise KeyError(number)
        return pull
