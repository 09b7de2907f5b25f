"""What git and a forge say when they refuse, in words: which error it is, and what to do about it.

Their text is foreign. It is redacted, cleaned and bounded here, before it gets into a message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.domain.errors import CredentialError, DeliveryError, ForgeUnreachableError, RunnerError
from codex_runner.redaction.redactor import Redactor
from codex_runner.text.clean import clean_line
from codex_runner.text.excerpts import shorten

if TYPE_CHECKING:
    from codex_runner.delivery.remote import Remote

_LINES, _LENGTH = 12, 1200
# git's own lines around the reason, and progress.
_NOISE = re.compile(
    r"hint: .*|To .*|error: failed to push some refs.*|fatal: the remote end hung up.*|remote: *|\s*"
    r"|(remote: )?(Counting|Compressing|Writing|Enumerating|Total|Resolving|Delta|Receiving).*|Done|!\t.*"
)

NOT_THERE = re.compile(r"not our ref")
"""The forge lacks a commit that was asked for by its id."""

NOT_GIVEN = re.compile(r"unadvertised object")
"""The forge gives no commit by its id, only branches and tags."""

_CREDENTIAL = re.compile(
    r"Authentication failed|could not read (Username|Password)|HTTP Basic: Access denied|returned error: 401"
    r"|Invalid username or (password|token)|Permission denied \(publickey|terminal prompts disabled"
)
_HOST_KEY = re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED")
_RIGHTS = re.compile(r"returned error: 403|Permission to \S+ denied|Write access to repository not granted|denied to ")
_NOT_FOUND = re.compile(
    r"repository '[^']*' not found|Repository not found|returned error: 404|does not appear to be a git repository"
    r"|could not be found or you don't have permission|not a git repository"
)
_REDIRECT = re.compile(r"returned error: 30[1278]|unable to update url base from redirection")
_CERTIFICATE = re.compile(
    r"SSL certificate problem|certificate verif|self.signed certificate|no alternative certificate"
)
_UNREACHABLE = re.compile(
    r"Could not resolve host|Connection (refused|timed out|reset|closed)|(Operation|Resolving) timed out"
    r"|Failed to connect|Couldn't connect|Empty reply|returned error: (5\d\d|429|408)|early EOF|unexpected disconnect"
    r"|hung up unexpectedly|RPC failed|kex_exchange|Network is unreachable|No route to host|Broken pipe"
    r"|transfer closed|Operation too slow|Temporary failure in name resolution|gnutls_handshake|SSL_(connect|ERROR)"
)
_NO_ATOMIC = re.compile(r"does not support --atomic")
_NO_OPTIONS = re.compile(r"does not support push options")
_WORKFLOWS = re.compile(r"refusing to allow .* workflow")
_PROTECTED = re.compile(
    r"protected branch|GH006|GH013|not allowed to (force )?push|[Rr]epository rule violations|protected ref",
    re.IGNORECASE,
)
_HOOK = re.compile(r"(pre-receive|update|proc-receive) hook declined|hook declined")
_IN_THE_WAY = re.compile(r"cannot lock ref '[^']*': '([^']*)' exists|directory file conflict|funny refname")
_MOVED = re.compile(
    r"stale info|fetch first|non-fast-forward|is at [0-9a-f]+ but expected|reference already exists"
    r"|failed to update ref|incorrect old value"
)


class ConflictError(DeliveryError):
    """The change does not apply to the base as it is now. `files` are the conflicting paths, as messages show them."""

    default_remedy = "Run the job again on the base as it is now, or apply the run's changes.patch by hand."

    def __init__(self, message: str, *, files: tuple[str, ...]) -> None:
        """Keep the files beside the message."""
        super().__init__(message)
        self.files = files


class RecordRefusedError(DeliveryError):
    """The forge refuses the ref for the record, and not the branch."""

    default_remedy = "Let the token push refs/codex-runner/*, or keep the record on this machine."


class Words:
    """Makes errors from what git prints about one remote."""

    def __init__(self, remote: Remote) -> None:
        """Learn the remote's token, so that no message has it."""
        self._remote = remote
        self._redactor = Redactor(() if remote.credential is None else (remote.credential.secret,))

    def shown(self, complaint: bytes | str) -> str:
        """Return git's complaint as one bounded line: redacted, cleaned, without its noise."""
        return shorten("; ".join(self.lines(complaint)), _LENGTH)

    def lines(self, complaint: bytes | str) -> list[str]:
        """Return the telling lines of what git and the forge said, redacted and cleaned."""
        data = complaint if isinstance(complaint, bytes) else complaint.encode()
        lines = re.split(r"[\r\n]+", self._redactor(data).decode("utf-8", "replace"))
        told = [clean_line(line).strip() for line in lines if not _NOISE.fullmatch(line)]
        told = [re.sub(r"^(remote|fatal|error): ", "", line).strip(" =") for line in told if line]
        return [shorten(line, 300) for line in dict.fromkeys(filter(None, told))][:_LINES]

    def of_network(self, complaint: bytes) -> RunnerError:  # noqa: PLR0911 - one return a cause
        """Return the error for a git command that talked to the forge and failed."""
        text, place = complaint.decode("utf-8", "replace"), self._remote.shown
        said = self.shown(complaint) or "git gave no reason"
        if _CREDENTIAL.search(text):
            return CredentialError(
                f"{place} refuses the delivery's credential: {said}.",
                remedy="Check that the token is valid and may read and write this repository.",
            )
        if _HOST_KEY.search(text):
            return DeliveryError(
                f"The host key of {place} is not trusted: {said}.", remedy="Add it to known_hosts on this machine."
            )
        if _REDIRECT.search(text):
            return DeliveryError(
                f"{place} redirects to another address.",
                remedy="Write the new address into the delivery's `repository`.",
            )
        if _RIGHTS.search(text):
            return DeliveryError(
                f"{place} does not let this credential in: {said}.",
                remedy="Give the token the right to write this repository's contents.",
            )
        if _NOT_FOUND.search(text):
            return DeliveryError(
                f"{place} is not there, or the credential may not see it: {said}.",
                remedy="Check the delivery's `repository`, and that its token may read it.",
            )
        if _CERTIFICATE.search(text):
            return DeliveryError(
                f"The certificate of {place} is not trusted: {said}.", remedy="Name the file of the CA's certificates."
            )
        if _UNREACHABLE.search(text):
            return ForgeUnreachableError(f"{place} cannot be reached: {said}.")
        return DeliveryError(f"git failed at {place}: {said}.")

    def of_rejection(self, ref: str, reason: str, complaint: bytes) -> DeliveryError:
        """Return the error for a ref that the forge rejected. `reason` is git's own word for it."""
        text = f"{reason}\n{complaint.decode('utf-8', 'replace')}"
        name, said = ref.removeprefix("refs/heads/"), self.shown(complaint) or self.shown(reason)
        if _WORKFLOWS.search(text):
            return DeliveryError(
                f"{name} was not pushed: the token may not change workflows: {said}.",
                remedy="Use a token of a GitHub App with the permission `workflows`, or forbid the path to the agent.",
            )
        if _PROTECTED.search(text):
            return DeliveryError(
                f"{name} is protected, and was not pushed: {said}.",
                remedy="Name another `branch`, or let the token push to this one.",
            )
        if _IN_THE_WAY.search(text):
            return DeliveryError(f"{name} cannot exist beside another branch: {said}.", remedy="Name another `branch`.")
        if _HOOK.search(text):
            return DeliveryError(
                f"A hook of the repository declined {name}: {said}.", remedy="Do what the hook asks for."
            )
        return DeliveryError(f"{name} was not pushed ({self.shown(reason)}): {said}.")

    def of_push(self, complaint: bytes) -> RunnerError:
        """Return the error for a push that failed as a whole."""
        text = complaint.decode("utf-8", "replace")
        if _NO_OPTIONS.search(text):
            return DeliveryError(
                f"{self._remote.shown} takes no push options, so no merge request can be opened by them.",
                remedy='Set `target = "git"`, or use a token for the API.',
            )
        if _NO_ATOMIC.search(text):
            return DeliveryError(
                f"{self._remote.shown} cannot update two refs at once (atomic push).",
                remedy="Keep the record on this machine.",
            )
        return self.of_network(complaint)


def has_moved(reason: str, complaint: bytes) -> bool:
    """Whether a rejection may mean that another push was first."""
    return bool(_MOVED.search(f"{reason}\n{complaint.decode('utf-8', 'replace')}"))
