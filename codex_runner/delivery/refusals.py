"""What git and a forge say when they refuse, in words: which error it is, and what to do about it.

Their text is foreign. It is redacted, cleaned and bounded here, before it gets into a message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.delivery.branch_rules import GITLAB_RIGHT, rule_of
from codex_runner.domain.errors import CredentialError, DeliveryError, ForgeUnreachableError, RunnerError
from codex_runner.redaction.redactor import Redactor
from codex_runner.text.clean import clean_line
from codex_runner.text.excerpts import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.delivery.remote import Remote

_LINES, _LENGTH = 12, 1200
# git's own lines around the reason, and progress.
_NOISE = re.compile(
    r"hint: .*|To .*|error: failed to push some refs.*|fatal: the remote end hung up.*|remote: *|\s*"
    r"|(remote: )?(Counting|Compressing|Writing|Enumerating|Total|Resolving|Delta|Receiving).*|Done|!\t.*"
)

NOT_THERE = re.compile(r"not our ref")
"""The forge lacks a commit that was asked for by its id."""

NO_REF = re.compile(rb"couldn't find remote ref")
"""The forge lacks a branch that was asked for by its name."""

NOT_GIVEN = re.compile(r"unadvertised object")
"""The forge gives no commit by its id, only branches and tags."""

_MOVED = re.compile(
    r"stale info|fetch first|non-fast-forward|is at [0-9a-f]+ but expected|reference already exists"
    r"|failed to update ref|incorrect old value"
)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What git or a forge prints, the error that it becomes, its sentence, and its remedy.

    In the sentence, `{place}` is the repository, and `{said}` what was printed.
    """

    printed: re.Pattern[str]
    error: type[RunnerError]
    sentence: str
    remedy: str | None = None


# The first one that matches counts.
_ON_THE_WAY = (
    _Refusal(
        re.compile(
            r"Authentication failed|could not read (Username|Password)|HTTP Basic: Access denied|returned error: 401"
            r"|Invalid username or (password|token)|Permission denied \(publickey|terminal prompts disabled"
        ),
        CredentialError,
        "{place} refuses the delivery's credential: {said}.",
        "Check that the token is valid and may read and write this repository.",
    ),
    _Refusal(
        re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED"),
        DeliveryError,
        "The host key of {place} is not trusted: {said}.",
        "Add it to known_hosts on this machine.",
    ),
    _Refusal(
        re.compile(r"returned error: 30[1278]|unable to update url base from redirection"),
        DeliveryError,
        "{place} redirects to another address.",
        "Write the new address into the delivery's `repository`.",
    ),
    _Refusal(
        re.compile(r"You are not allowed to (upload|push) code"),
        DeliveryError,
        "{place} does not let this credential push: {said}.",
        GITLAB_RIGHT,
    ),
    _Refusal(
        re.compile(r"over its data quota|because this repository has exceeded its size limit"),
        DeliveryError,
        "{place} has no room for the change: {said}.",
        "Raise the limit or free storage at the server, or let the job change less.",
    ),
    _Refusal(
        re.compile(r"returned error: 413|pack exceeds maximum allowed size"),
        DeliveryError,
        "{place} refuses a push of this size: {said}.",
        "Raise the limit of the server or of the proxy before it, or let the job change less.",
    ),
    _Refusal(
        re.compile(
            r"returned error: 403|Permission to \S+ denied|Write access to repository not granted|denied to "
            r"|not allowed to upload|marked as read only"
        ),
        DeliveryError,
        "{place} does not let this credential in: {said}.",
        'Give the token the right to write this repository\'s contents; at GitHub, "Contents: read and write".',
    ),
    _Refusal(
        re.compile(
            r"repository '[^']*' not found|Repository not found|returned error: 404|not a git repository"
            r"|does not appear to be a git repository|could not be found or you don't have permission"
        ),
        DeliveryError,
        "{place} is not there, or the credential may not see it: {said}.",
        "Correct the delivery's `repository`, or let its credential, or this user, read it.",
    ),
    _Refusal(
        re.compile(r"SSL certificate problem|certificate verif|self.signed certificate|no alternative certificate"),
        DeliveryError,
        "The certificate of {place} is not trusted: {said}.",
        "Name the file with the CA's certificates.",
    ),
    _Refusal(
        re.compile(
            r"Could not resolve host|Connection (refused|timed out|reset|closed)|(Operation|Resolving) timed out"
            r"|Failed to connect|Couldn't connect|Empty reply|returned error: (5\d\d|429|408)|early EOF"
            r"|unexpected disconnect|hung up unexpectedly|RPC failed|kex_exchange|Network is unreachable"
            r"|No route to host|Broken pipe|transfer closed|Operation too slow|Temporary failure in name resolution"
            r"|gnutls_handshake|SSL_(connect|ERROR)"
        ),
        ForgeUnreachableError,
        "{place} cannot be reached: {said}.",
    ),
    _Refusal(re.compile(""), DeliveryError, "git failed at {place}: {said}."),
)

_WHOLE_PUSH = (
    _Refusal(
        re.compile(r"does not support push options"),
        DeliveryError,
        "{place} takes no push options, so no merge request can be opened by them.",
        'Set `target = "git"`, or use a token for the API.',
    ),
    _Refusal(
        re.compile(r"does not support --atomic"),
        DeliveryError,
        "{place} cannot update two refs at once (atomic push).",
        "Keep the record on this machine.",
    ),
    *_ON_THE_WAY,
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


class RefusalWords:
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
        return [shorten(line, 300) for line in self._lines(complaint)][:_LINES]

    def _lines(self, complaint: bytes | str) -> list[str]:
        lines = re.split(r"[\r\n]+", self._redacted(complaint))
        told = [clean_line(line).strip() for line in lines if not _NOISE.fullmatch(line)]
        told = [re.sub(r"^(?:(?:remote|fatal|error): )+", "", line).strip(" =") for line in told if line]
        return list(dict.fromkeys(filter(None, told)))

    def of_options(self, complaint: bytes) -> str:
        """Return why GitLab did not do what the options of a push ask for. Returns "" if it does not say.

        GitLab repeats the options first, each in quotes, and breaks the lines.
        """
        told = (re.sub(r"^remote: ?", "", line) for line in self._redacted(complaint).splitlines())
        text = " ".join(clean_line(line).strip(" =") for line in told)
        _, mark, said = text.partition("Error encountered with push options")
        return shorten(" ".join(said.rpartition("': ")[2].split()), 300).rstrip(".") if mark else ""

    def _redacted(self, complaint: bytes | str) -> str:
        data = complaint if isinstance(complaint, bytes) else complaint.encode()
        return self._redactor(data).decode("utf-8", "replace")

    def of_network(self, complaint: bytes) -> RunnerError:
        """Return the error for a git command that talked to the forge and failed."""
        return self._error(_ON_THE_WAY, complaint)

    def of_push(self, complaint: bytes) -> RunnerError:
        """Return the error for a push that failed as a whole."""
        return self._error(_WHOLE_PUSH, complaint)

    def of_rejection(self, ref: str, reason: str, complaint: bytes) -> RunnerError:
        """Return the error for a ref that the forge rejected. `reason` is git's own word for it."""
        words = "\n".join([reason, *self._lines(complaint)])
        rule, said = rule_of(words), self.shown(complaint) or self.shown(reason) or "git gave no reason"
        name = ref.removeprefix("refs/heads/")
        if rule is None:
            return DeliveryError(f"{name} was not pushed: {said}.")
        return DeliveryError(f"{name} {rule.sentence}: {said}.", remedy=rule.remedy)

    def _error(self, refusals: Sequence[_Refusal], complaint: bytes) -> RunnerError:
        text = complaint.decode("utf-8", "replace")
        refusal = next(refusal for refusal in refusals if refusal.printed.search(text))
        said = self.shown(complaint) or "git gave no reason"
        return refusal.error(
            refusal.sentence.format(place=self._remote.shown, said=said.rstrip(".")), remedy=refusal.remedy
        )


def has_moved(reason: str, complaint: bytes) -> bool:
    """Whether a rejection may mean that another push was first."""
    return bool(_MOVED.search(f"{reason}\n{complaint.decode('utf-8', 'replace')}"))
