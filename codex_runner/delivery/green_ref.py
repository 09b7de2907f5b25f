"""The record of a job's last green run, for its gate: a ref `refs/codex-runner/green.run/<workflow>/<target>`.

It is none of a delivery's record: a night that changes nothing delivers nothing, and is green all the same. No workflow
has a dot in its part of a ref, so no record of a delivery can be in the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.delivery.push import RECORDS, Update, push
from codex_runner.delivery.record_ref import names_in_ref, read_file, write_file
from codex_runner.domain.gate import GreenRun

if TYPE_CHECKING:
    from codex_runner.delivery.repository import DeliveryRepository, Person

_FILE: Final = "green-run.json"


def green_ref(workflow: str, target: str) -> str:
    """Return the ref's name."""
    return f"{RECORDS}green.run/{names_in_ref(workflow, target)}"


async def read_green(repository: DeliveryRepository, workflow: str, target: str) -> tuple[GreenRun | None, str]:
    """Return the record and the commit that holds it: (None, "") if there is none.

    A record that cannot be read is (None, its commit). Raises DeliveryError if the forge does not give it.
    """
    data, found = await read_file(repository, green_ref(workflow, target), _FILE)
    return (None if data is None else GreenRun.read(data)), found


async def keep_green(  # noqa: PLR0913 - whose record it is, and what its commit consists of
    repository: DeliveryRepository,
    workflow: str,
    target: str,
    green: GreenRun,
    at: str,
    *,
    person: Person,
    when: float,
) -> None:
    """Push the record, in place of the one in the commit `at` ("" if there is none).

    Raises RecordRefusedError if the forge does not take it, BranchMovedError if another run was faster.
    """
    message = f"The last green run of {workflow}\n"
    commit = await write_file(repository, _FILE, green.written, message, person=person, when=when)
    await push(repository, [Update(green_ref(workflow, target), at, commit)])
