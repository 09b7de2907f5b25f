"""The request protocol: the script that runs on the host, the framed request that it reads, and its answers.

A request is a first line, header lines, `.NONCE`, the bodies (config, schema if any, prompt, records) by byte
count, and `.NONCE` again. Values are escaped for printf's `%b`; they are data on a line, never script text.

The host speaks first. Before it reads a request, it prints a line with a challenge. A request that starts codex, a
check or an upload repeats the challenge in its first line. So its bytes are no older than the host's last answer in
the session, even if a network held them back.
"""

from __future__ import annotations

import math
import re
import secrets
from typing import TYPE_CHECKING

from codex_runner.domain.cancellation import RunCancelledError
from codex_runner.domain.cksum import cksum
from codex_runner.domain.claim import ClaimTakenError, Holder
from codex_runner.domain.errors import ConfigurationError, FolderGoneError, HostError, RunGoneError
from codex_runner.domain.secret import Secret
from codex_runner.shell.leftovers import leftovers_script
from codex_runner.shell.scratch import scratch_script
from codex_runner.shell.script import shell_script
from codex_runner.text.excerpts import end_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from codex_runner.domain.claim import Claim
    from codex_runner.domain.host import Launch
    from codex_runner.domain.run import StopReason

_MAGIC = "codex-runner/1"
CHALLENGE = f"{_MAGIC} next ".encode()
NO_RUN = "none"

# Bytes of a line at most. The host notices progress on a slow connection only when a whole line has come.
_LINE = 4096

# The script is no argument, since tcsh would refuse it. Nor does `sh -s` read it: that reads ahead, and would execute
# the request behind it. `read` would make a system call for each byte; dd takes what is there, up to a given size.
# If the connection dies within the script, or no byte comes for more than 20 s, nothing runs. After it has read the
# script, the shell prints a word on each stream. Without them, another program answered; they also show whether a
# start-up file has merged the streams.
ANSWERS, ERRORS = "codex-runner/1 answers", "codex-runner/1 errors"
_BOOTSTRAP = (
    "exec sh -c 'since() { now=0; { read now rest </proc/uptime; } 2>/dev/null; now=${now%%.*}; }; "
    "script=; while [ ${#script} -lt SIZE ]; do since; was=$now; "
    "part=$(dd bs=$((SIZE - ${#script})) count=1 2>/dev/null); since; "
    '[ -n "$part" ] && [ $((now - was)) -le 20 ] || exit; script=$script$part; done; '
    'script=$(printf %b "$script") && GREETING eval "$script"\''
)

# The number of words in a request's first line before the claim; the last two may be dashes.
_FIRST_LINE = 7

# Ticks. The runner enforces the same time limit first; the supervisor's takes effect if the runner is gone.
SUPERVISOR_GRACE = 10


# Seconds. The supervisor's unit for time limits and stop graces, and the interval of the runner's pings. Tests use a
# shorter one, so that the same script takes tenths of a second instead of seconds.
TICK = 1.0

# In this order: functions first, the call last, so that a truncated script runs nothing.
_PARTS = (
    *("head", "processes", "supervisor", "keeper", "tombstone"),
    *("start", "follow", "claim", "cancel", "commands", "files", "front"),
)


def whole_script() -> str:
    """Return the host's script as one text, with its comments."""
    parts = shell_script("codex_runner.transports", *(f"host/{part}.sh" for part in _PARTS))
    return f"{scratch_script()}\n{leftovers_script()}\n{parts}"


def script() -> str:
    """Return the host's script as it is sent: without comments and indents, since shells read it byte by byte."""
    return re.sub(r"^[ \t]*(#.*)?\n|^\t+", "", whole_script(), flags=re.MULTILINE)


def command_here(*words: str) -> tuple[str, ...]:
    """Return the command that runs the script on this machine, with these arguments."""
    return ("sh", "-c", 'script=$1; shift; eval "$script"', "sh", script(), *words)


def bootstrap(*, greets: bool = False) -> tuple[str, bytes]:
    """Return a command for any login shell, and the script, which must come first on its stdin. Requests follow.

    If it `greets`, it prints a word on each stream before all answers.
    """
    text = script().replace("\\", "\\\\").replace("\n", "\\n").encode("ascii")
    greeting = f"echo {ERRORS} >&2 && echo {ANSWERS} &&" if greets else ""
    return _BOOTSTRAP.replace("SIZE", str(len(text))).replace("GREETING", greeting), text


def new_nonce() -> str:
    """Return a new random word, which no other program on the host prints."""
    return secrets.token_hex(16)


def start_request(  # noqa: PLR0913 - the words of one line
    launch: Launch, nonce: str, verb: str = "launch", challenge: str = "-", sender: str = "-", *, tick: float = TICK
) -> bytes:
    """Frame a launch. Raises ConfigurationError if a value cannot travel (a NUL character).

    `launch` is for this machine; `start` needs the host's `challenge`, and follows too. `sender` is a word for the
    sender, a dot, and how many connections it has lost: the host refuses a request that is older than one that it has
    had. The supervisor counts `timeout` and `orphan` in ticks of `tick` seconds.
    """
    bodies = {"config": launch.config.encode()}
    if launch.schema is not None:
        bodies["schema"] = launch.schema.encode()
    if launch.instructions:
        bodies["instructions"] = launch.instructions.encode()
    bodies["prompt"] = launch.prompt
    bodies["records"] = launch.records
    lines = [
        f"{_MAGIC} {nonce} {verb} {launch.run_id} {launch.attempt} {challenge} {sender}",
        f"timeout {math.ceil(launch.timeout / tick) + SUPERVISOR_GRACE}",
        f"orphan {max(1, math.ceil(launch.orphan / tick))}",
        f"tick {tick:g}",
        f"retention {math.ceil(launch.retention)}",
        f"cwd {_escape(launch.cwd, 'cwd')}",
        *(f"arg {_escape(argument, 'codex argument')}" for argument in launch.command),
        *(f"env {name} {_escape(_reveal(value), name)}" for name, value in launch.environment.items()),
        *(f"{name} {len(body)} {cksum(body)}" for name, body in bodies.items()),
        f".{nonce}",
    ]
    return _joined(lines) + b"".join(bodies.values()) + f".{nonce}\n".encode()


def stop_request(run_id: str, attempt: int, reason: StopReason, nonce: str) -> bytes:
    """Frame a request to stop an attempt."""
    return f"{_MAGIC} {nonce} stop {run_id} {attempt}\n{reason.value}\n".encode()


def cancel_request(run_id: str, nonce: str) -> bytes:
    """Frame a request to cancel a run in any of its phases."""
    return f"{_MAGIC} {nonce} cancel {run_id} 1\n".encode()


def discard_request(run_id: str, nonce: str, *, keep_workspace: bool = False) -> bytes:
    """Frame a request to remove a run's directory and, without `keep_workspace`, its workspace."""
    return f"{_MAGIC} {nonce} discard {run_id} 1\n{'but-workspace' if keep_workspace else 'all'}\n".encode()


def follow_request(run_id: str, attempt: int, stdout: int, stderr: int, nonce: str) -> bytes:
    """Frame a request to follow an attempt from these offsets (bytes) on."""
    return f"{_MAGIC} {nonce} follow {run_id} {attempt}\n{stdout} {stderr}\n".encode()


def claim_request(run_id: str, nonce: str, dead: int | None) -> bytes:
    """Frame a request to take a run's claim. `dead` is the number of a claim to take over: its holder is dead."""
    return f"{_MAGIC} {nonce} claim {run_id} 1\n{dead or '-'}\n".encode()


def renew_request(run_id: str, nonce: str) -> bytes:
    """Frame a request to renew the claim that `under` adds. The answer says whether the run was cancelled."""
    return f"{_MAGIC} {nonce} renew {run_id} 1\n".encode()


def under(claim: Claim | None, request: bytes) -> bytes:
    """Add a claim to a request's first line. Returns the request unchanged if there is none."""
    if claim is None:
        return request
    line, _, rest = request.partition(b"\n")
    words = [*line.split(b" "), b"-", b"-"][:_FIRST_LINE]
    return b" ".join((*words, claim.word.encode())) + b"\n" + rest


def read_taken(words: str) -> ClaimTakenError:
    """Parse the host's words on another runner's claim: its number, its holder, its age, its last renewal (seconds)."""
    number, whose, since, idle = (*words.split(), "-", "-", "-", "-")[:4]
    return ClaimTakenError(
        Holder.of(
            whose,
            number=int(number) if number.isdigit() else None,
            age=float(since) if since.isdigit() else None,
            idle=float(idle) if idle.isdigit() else None,
        )
    )


def execute_request(  # noqa: PLR0913, PLR0917 - the parts of one command
    text: str,
    cwd: str,
    timeout: float,
    arguments: Sequence[str],
    environment: Mapping[str, str | Secret],
    nonce: str,
    verb: str = "execute",
    run_id: str = NO_RUN,
    challenge: str = "-",
    sender: str = "-",
) -> bytes:
    """Frame a request to run a script with its arguments. An empty `cwd` is the user's home. `timeout` is in seconds.

    `ask` keeps stderr apart; `execute` needs the host's `challenge`. `run_id` is the run that the script serves.
    """
    lines = [
        f"{_MAGIC} {nonce} {verb} {run_id} 1 {challenge} {sender}",
        f"timeout {timeout:.3f}",
        f"cwd {_escape(cwd, 'cwd')}",
        *(f"arg {_escape(argument, 'argument')}" for argument in arguments),
        *(f"env {name} {_escape(_reveal(value), name)}" for name, value in environment.items()),
        f"script {_escape(text, 'script')}",
        f".{nonce}",
    ]
    return _joined(lines)


def environment_lines(environment: Mapping[str, str | Secret]) -> bytes:
    """Frame the variables that a keeper adds to a command's environment."""
    return _joined([*(f"{name} {_escape(_reveal(value), name)}" for name, value in environment.items()), "."])


def files_request(verb: str, cwd: str, paths: Iterable[tuple[int, str]], limit: int, nonce: str) -> bytes:
    """Frame a request to `list` the files below these paths, or to `fetch` them, each from its offset on."""
    lines = [
        f"{_MAGIC} {nonce} {verb} {NO_RUN} 1",
        f"cwd {_escape(cwd, 'cwd')}",
        f"limit {limit}",
        *(f"path {offset} {_escape(path, 'path')}" for offset, path in paths),
        f".{nonce}",
    ]
    return _joined(lines)


def upload_request(  # noqa: PLR0913, PLR0917 - the words of one line
    run_id: str, size: int, checksum: int, nonce: str, challenge: str, sender: str = "-"
) -> bytes:
    """Frame a request to upload a file into a run's directory. Send its bytes from the offset that the host answers."""
    return f"{_MAGIC} {nonce} upload {run_id} 1 {challenge} {sender}\n{size} {checksum}\n".encode()


class TornRequestError(HostError):
    """The request arrived in part, or late. The host has done nothing: send it again."""


def read_answer(output: bytes, nonce: str, complaint: bytes = b"") -> str:
    """Return the answer with this nonce from the host's output: start-up files print there, too.

    Raises the host's refusal, or HostError if there is no answer, with the end of stderr (`complaint`).
    """
    _, mark, rest = output.partition(f"{nonce} ".encode())
    if mark:
        text = rest.partition(b"\n")[0].decode("utf-8", "replace")
        if text.startswith("error "):
            raise _refusal(text.removeprefix("error "))
        return text
    said = end_of(complaint.decode("utf-8", "replace"), 300)
    raise HostError("the host did not answer the request: its shell ended early" + (said and f": {said}") + ".")


def _refusal(  # noqa: PLR0911 - one a word
    text: str,
) -> Exception:
    word, _, message = text.rstrip().partition(" ")
    match word:
        case "taken":
            return read_taken(message)
        case "cancelled":
            return RunCancelledError(message)
        case "codex":
            return ConfigurationError(f"codex: {message}.", remedy="Set `codex.path`, or install codex on the host.")
        case "cwd":
            return FolderGoneError(f"cwd: {message}.")
        case "torn" | "stale":
            return TornRequestError(f"the host refused ({word}): {message}.")
        case "gone" | "foreign" | "discarded":
            return RunGoneError(f"the host refused ({word}): {message}.")
        case "disk":
            return HostError(f"the host's disk: {message}.", remedy="Make room, or a folder that this user can write.")
        case _:
            return HostError(f"the host refused ({word}): {message}.")


def _joined(lines: Sequence[str]) -> bytes:
    return b"".join(map(_framed, lines))


def _framed(line: str) -> bytes:
    """Encode a line. A long one becomes parts, each behind a tilde, and an empty line."""
    text = line.encode("utf-8", "surrogateescape")
    if len(text) <= _LINE:
        return text + b"\n"
    parts, at = bytearray(), 0
    while at < len(text):
        end = at + _LINE
        # Do not cut within a character, since bash would read the newline as part of it.
        while at + _LINE - end < 4 and end < len(text) and text[end] & 0xC0 == 0x80:
            end -= 1
        parts += b"~%b\n" % text[at:end]
        at = end
    return bytes(parts) + b"\n"


def _escape(text: str, name: str) -> str:
    if "\0" in text:
        raise ConfigurationError(f"{name}: a NUL character cannot be passed to a program.")
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _reveal(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value
