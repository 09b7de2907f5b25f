"""The objects of a change at a forge ahead of its commit: pushed by git to a ref of their own, for the API to build on.

GitHub takes 80 new blobs a minute, and 40 MiB a blob. A push has neither limit, and starts no CI outside of branches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.delivery.push import Update, push
from codex_runner.delivery.record_ref import record_ref
from codex_runner.delivery.refusals import RecordRefusedError
from codex_runner.delivery.repository import RUNNER
from codex_runner.domain.errors import BranchMovedError, CredentialError, DeliveryError

if TYPE_CHECKING:
    from codex_runner.delivery.repository import DeliveryRepository
    from codex_runner.domain.delivery import ChangeSet, DeliveryRecord

_MESSAGE = "Objects of a delivery\n\nThe delivery removes this ref.\n"


def objects_ref(workflow: str, target: str) -> str:
    """Return the ref's name."""
    return f"{record_ref(workflow, target)}+objects"  # no name of a record has a plus


class ObjectUpload:
    """The upload of one change's objects. `record` names the workflow and the target.

    `left` is the commit that the ref has, "" if there is none: of a runner that was killed.
    """

    def __init__(
        self, repository: DeliveryRepository, change: ChangeSet, record: DeliveryRecord, left: str, when: float
    ) -> None:
        """Push nothing yet. `when` is in seconds since the epoch."""
        self._repository, self._change, self._when = repository, change, when
        self._ref, self._there = objects_ref(record.workflow, record.target), left

    async def push(self) -> bool:
        """Push the objects. Returns False if the forge refuses the ref. Idempotent. Raises as `push.push` does."""
        repository, change = self._repository, self._change
        commit = await repository.commit(
            change.tree, change.base, _MESSAGE, author=RUNNER, committer=RUNNER, when=self._when
        )
        try:
            await push(repository, [Update(self._ref, self._there, commit)])
        except RecordRefusedError:
            return False
        self._there = commit
        return True

    async def remove(self) -> str:
        """Remove the ref, also one that was left. Call it once the branch has the objects.

        Returns a sentence for the log, "" if it is gone: what goes wrong here undoes no delivery.
        """
        if not self._there:
            return ""
        try:
            await push(self._repository, [Update(self._ref, self._there, "")])
        except BranchMovedError:  # another run uses it, and removes it
            return ""
        except (CredentialError, DeliveryError) as error:
            return f"{error.message} So {self._ref} may be left. The next delivery removes it."
        return ""
