"""What a host for agents alone should not have: credentials, sockets of agents, repositories, a writable PATH."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.app.diagnosis import Diagnosis
from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import Finding, Outcome
from codex_runner.domain.errors import HostError
from codex_runner.shell.script import shell_script
from codex_runner.text.excerpts import end_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from codex_runner.domain.transport_port import Transport

_MOST: Final = 20  # findings of one kind; an account with more needs no list
_OWN_ACCOUNT: Final = "Give codex an account of its own on this host."


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of finding: the name of its check, the sentence about one find, the remedy, and what is said of none."""

    check: str
    found: str
    remedy: str
    none: str


_KINDS: Final = {
    "account": _Kind(
        "host-account", "the account is {}: nothing on this host is out of its reach", _OWN_ACCOUNT, "it is not root"
    ),
    "credentials": _Kind(
        "host-credentials",
        "{} is within the account's reach",
        f"{_OWN_ACCOUNT} Or remove the credentials.",
        "no credentials of other programs in their usual places",
    ),
    "socket": _Kind(
        "host-sockets",
        "{} lends its owner's keys or rights",
        "Turn off agent forwarding (`ForwardAgent no`), end the agent, or take the account out of the socket's group.",
        "no socket of an agent or of a container engine in its usual place",
    ),
    "repository": _Kind(
        "host-repositories",
        "{} is a repository in the home",
        f"{_OWN_ACCOUNT} Or use `workspace`, and keep no clones there.",
        "no repositories in the home, three folders deep",
    ),
    "path": _Kind(
        "host-path",
        "PATH holds {}, where the account may place programs",
        "Take the folder out of PATH, or make it another user's.",
        "the account can write no folder of PATH",
    ),
}


async def dedicated(subject: str, transport: Transport, expected: Sequence[str] = ()) -> list[Diagnosis]:
    """Return a warning for each thing that a dedicated host should not have. Changes nothing there.

    `expected` are repositories in which jobs work: they belong there. Raises HostError without a whole answer.
    """
    done = await transport.ask(shell_script("codex_runner.app", "doctor_dedicated.sh"), timeout=30)
    lines = done.output.decode("utf-8", "replace").splitlines()
    if not lines or lines[-1] != "done .":
        raise HostError(f"{subject}: its shell gave no whole answer: {end_of(done.last_words, 200)!r}.")
    found: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for line in lines[:-1]:
        kind, _, what = line.partition(" ")
        if kind in found and not (kind == "repository" and what in expected):
            found[kind].append(what)
    return [Diagnosis(subject, finding) for kind, finds in found.items() for finding in _findings(_KINDS[kind], finds)]


def _findings(kind: _Kind, finds: Sequence[str]) -> Iterator[Finding]:
    if not finds:
        yield Finding(kind.check, Outcome.PASSED, kind.none)
    for each in finds[:_MOST]:
        yield Finding(kind.check, Outcome.WARNED, kind.found.format(each), kind.remedy)
    if len(finds) > _MOST:
        yield Finding(kind.check, Outcome.WARNED, f"and {len(finds) - _MOST} more", kind.remedy)
