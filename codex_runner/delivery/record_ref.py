"""The record of a delivery on a plain git remote: a ref `refs/codex-runner/<workflow>/<target>`.

It names a commit with one file, so that every server keeps it. It is pushed together with the branch, or not at all.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import TYPE_CHECKING

from codex_runner.delivery.push import RECORDS
from codex_runner.domain.delivery import DeliveryRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.delivery.repository import DeliveryRepository, Person

_FILE = "delivery.json"
_PLAIN = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST = 1 << 16  # bytes
_HERE = "refs/runner/record"


def record_ref(workflow: str, target: str) -> str:
    """Return the ref's name. Other characters than letters, digits, `_` and `-` are percent-encoded."""
    return RECORDS + names_in_ref(workflow, target)


def names_in_ref(*names: str) -> str:
    """Return names as the last parts of a ref. None of them can have a dot."""
    return "/".join(_PLAIN.sub(_percent, name) for name in names)


async def read_record(
    repository: DeliveryRepository, workflow: str, target: str, *, there: Mapping[str, str] | None = None
) -> tuple[DeliveryRecord | None, str]:
    """Return the record and the commit that holds it: (None, "") if there is none.

    `there` are the forge's refs, if they have just been listed. A record that cannot be read is (None, its commit): the
    branch is then not known to be the workflow's.
    """
    data, found = await read_file(repository, record_ref(workflow, target), _FILE, there=there)
    return (None if data is None else _parse(data)), found


async def write_record(repository: DeliveryRepository, record: DeliveryRecord, *, person: Person, when: float) -> str:
    """Make the commit that holds the record, and return its id. Push it with `record_ref`'s ref."""
    text = json.dumps({field.name: getattr(record, field.name) for field in fields(record)}, indent=2) + "\n"
    message = f"The last delivery of {record.workflow}\n"
    return await write_file(repository, _FILE, text, message, person=person, when=when)


async def read_file(
    repository: DeliveryRepository, ref: str, name: str, *, there: Mapping[str, str] | None = None
) -> tuple[bytes | None, str]:
    """Return the file `name` of the commit that a ref of the forge names, and that commit: (None, "") without one.

    The file is None if the commit lacks it, or if it is too long to be ours. `there`: see `read_record`.
    """
    if ref not in (await repository.refs(ref) if there is None else there):
        return None, ""
    await repository.talk("fetch", "--quiet", "--no-tags", "--depth=1", "--force", "origin", f"{ref}:{_HERE}")
    found = (await repository.ask("rev-parse", "--verify", "--quiet", _HERE)).decode("ascii").strip()
    size = await repository.attempt("cat-file", "-s", f"{_HERE}:{name}")
    if size.code or int(size.output) > _LONGEST:
        return None, found
    return await repository.ask("cat-file", "blob", f"{_HERE}:{name}"), found


async def write_file(  # noqa: PLR0913 - what a commit of one file consists of
    repository: DeliveryRepository, name: str, text: str, message: str, *, person: Person, when: float
) -> str:
    """Make a commit that holds this file alone, and return its id."""
    blob = (await repository.ask("hash-object", "-w", "--stdin", "--no-filters", stdin=text.encode())).decode("ascii")
    entry = f"100644 blob {blob.strip()}\t{name}\n".encode()
    tree = (await repository.ask("mktree", stdin=entry)).decode("ascii").strip()
    return await repository.commit(tree, "", message, author=person, committer=person, when=when)


def _parse(data: bytes) -> DeliveryRecord | None:
    try:
        said = json.loads(data)
        values = {field.name: said[field.name] for field in fields(DeliveryRecord) if field.name in said}
        record = DeliveryRecord(**values)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return record if all(isinstance(value, str) for value in values.values()) else None


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape"))
