"""The objects of a change at a forge ahead of its commit: pushed by git to a ref of their own, for the API to build on.

GitHub takes 80 new blobs a minute, and 40 MiB a blob. A push has neither limit, and starts no CI outside of branches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.delivery.push import Update, push
from codex_runner.delivery.record_ref import record_ref
from codex_runner.delivery.refusals import RecordRefusedError
from codex_runner.delivery.repository import RUNNER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.delivery.repository import DeliveryRepository
    from codex_runner.domain.delivery import ChangeSet, DeliveryRecord

_MESSAGE = "Objects of a delivery\n\nThe delivery removes this ref.\n"


class ObjectUpload:
    """The upload of one change's objects. `record` names the workflow and the target."""

    def __init__(self, repository: DeliveryRepository, change: ChangeSet, record: DeliveryRecord, when: float) -> None:
        """Push nothing yet. `when` is in seconds since the epoch."""
        self._repository, self._change, self._when = repository, change, when
        # No name of a record has a plus: see `record_ref`.
        self._ref = f"{record_ref(record.workflow, record.target)}+objects"
        self.undo: Sequence[Update] = ()
        """What removes the ref again, once a commit has the objects. Push it with the record."""

    async def push(self) -> bool:
        """Push the objects. Returns False if the forge refuses the ref. Idempotent. Raises as `push.push` does."""
        repository, change = self._repository, self._change
        commit = await repository.commit(
            change.tree, change.base, _MESSAGE, author=RUNNER, committer=RUNNER, when=self._when
        )
        left = (await repository.refs(self._ref)).get(self._ref, "")  # by a runner that was killed
        try:
            await push(repository, [Update(self._ref, left, commit)])
        except RecordRefusedError:
            return False
        self.undo = (Update(self._ref, commit, ""),)
        return True
