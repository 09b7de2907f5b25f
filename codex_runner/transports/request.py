"""The script that runs on the host, the framed request that it reads, and the answers that it gives.

A request is a first line, header lines, `.NONCE`, the bodies (config, schema if any, prompt, records) by byte
count, and `.NONCE` again. Values are escaped for printf's `%b`; they are data on a line, never script text.

The host speaks first. Before it reads a request, it prints a line with a challenge, and the request that would start
codex, a check or an upload repeats that in its first line. So the bytes of such a request can be no older than the
host's last answer in its session, however long a network held them back.
"""

from __future__ import annotations

import math
import re
import secrets
from typing import TYPE_CHECKING

from codex_runner.domain.cksum import cksum
from codex_runner.domain.claim import ClaimTakenError, Holder
from codex_runner.domain.errors import ConfigurationError, FolderGoneError, HostError, RunGoneError
from codex_runner.domain.secret import Secret
from codex_runner.domain.wish import RunCancelledError
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

# Bytes of a line at the most: the host sees that a slow line brings something once a line has come.
_LINE = 4096

# The script is no argument, which tcsh would not take, and not read by `sh -s`, which reads ahead and executes what
# comes behind it. `read` would ask the kernel for each byte; dd takes what is there, and never more than it is told to.
# If the connection dies within the script, nothing runs; nor does it if no byte came for more than 20 s. Once it is
# read, a word on each stream says so: what comes back without them is no shell's of ours, and streams that a start-up
# file has joined are seen.
ANSWERS, ERRORS = "codex-runner/1 answers", "codex-runner/1 errors"
_BOOTSTRAP = (
    "exec sh -c 'since() { now=0; { read now rest </proc/uptime; } 2>/dev/null; now=${now%%.*}; }; "
    "script=; while [ ${#script} -lt SIZE ]; do since; was=$now; "
    "part=$(dd bs=$((SIZE - ${#script})) count=1 2>/dev/null); since; "
    '[ -n "$part" ] && [ $((now - was)) -le 20 ] || exit; script=$script$part; done; '
    'script=$(printf %b "$script") && GREETING eval "$script"\''
)

# The words of a request's first line before those of a claim; the last two may be dashes.
_FIRST_LINE = 7

# Ticks. The runner keeps the same deadline; the supervisor's is for the case that no runner is there to keep it.
SUPERVISOR_GRACE = 10


# Seconds: what a supervisor counts time limits and stop graces in, and the runner sends its pings by. Tests have a
# shorter one, so that the same script does in tenths of a second what takes it seconds elsewhere.
TICK = 1.0

# In this order: functions first, the call last, so that a truncated script runs nothing.
_PARTS = (
    *("head", "processes", "supervisor", "keeper", "tombstone"),
    *("start", "follow", "claim", "cancel", "commands", "files", "front"),
)


def whole_script() -> str:
    """Return what runs on the host, comments and all, as one text."""
    parts = shell_script("codex_runner.transports", *(f"host/{part}.sh" for part in _PARTS))
    return f"{scratch_script()}\n{leftovers_script()}\n{parts}"


def script() -> str:
    """Return the text that travels: without what only people read, since a shell reads it byte by byte."""
    return re.sub(r"^[ \t]*(#.*)?\n|^\t+", "", whole_script(), flags=re.MULTILINE)


def command_here(*words: str) -> tuple[str, ...]:
    """Return the command that runs the script on this machine, with these words."""
    return ("sh", "-c", 'script=$1; shift; eval "$script"', "sh", script(), *words)


def bootstrap(*, greets: bool = False) -> tuple[str, bytes]:
    """Return a command for any login shell, and what its stdin is to begin with: the script. Then come requests.

    If it `greets`, a word on each stream comes before all answers.
    """
    text = script().replace("\\", "\\\\").replace("\n", "\\n").encode("ascii")
    greeting = f"echo {ERRORS} >&2 && echo {ANSWERS} &&" if greets else ""
    return _BOOTSTRAP.replace("SIZE", str(len(text))).replace("GREETING", greeting), text


def new_nonce() -> str:
    """Return a word that nothing else on the host prints."""
    return secrets.token_hex(16)


def start_request(  # noqa: PLR0913 - the words of one line
    launch: Launch, nonce: str, verb: str = "launch", challenge: str = "-", sender: str = "-", *, tick: float = TICK
) -> bytes:
    """Frame a launch. Raises ConfigurationError if a value cannot travel (a NUL character).

    `launch` is for this machine; `start` needs the host's `challenge`, and follows too. `sender` is a word for the
    sender, a dot, and how many connections it has lost: the host refuses what is older than what it has had. The
    supervisor counts `timeout` and `orphan` in ticks of `tick` seconds.
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
    """Frame the wish that an attempt end."""
    return f"{_MAGIC} {nonce} stop {run_id} {attempt}\n{reason.value}\n".encode()


def cancel_request(run_id: str, nonce: str) -> bytes:
    """Frame the wish that a run end, whatever it is about."""
    return f"{_MAGIC} {nonce} cancel {run_id} 1\n".encode()


def discard_request(run_id: str, nonce: str, *, keep_workspace: bool = False) -> bytes:
    """Frame the removal of a run's directory, and of its workspace."""
    return f"{_MAGIC} {nonce} discard {run_id} 1\n{'but-workspace' if keep_workspace else 'all'}\n".encode()


def follow_request(run_id: str, attempt: int, stdout: int, stderr: int, nonce: str) -> bytes:
    """Frame the wish to follow an attempt from these offsets on."""
    return f"{_MAGIC} {nonce} follow {run_id} {attempt}\n{stdout} {stderr}\n".encode()


def claim_request(run_id: str, nonce: str, dead: int | None) -> bytes:
    """Frame the wish to have a run's claim, also if `dead` has it: the number of a claim whose holder is dead."""
    return f"{_MAGIC} {nonce} claim {run_id} 1\n{dead or '-'}\n".encode()


def renew_request(run_id: str, nonce: str) -> bytes:
    """Frame nothing but a first line, which `under` completes: that renews the claim. The answer tells of a cancel."""
    return f"{_MAGIC} {nonce} renew {run_id} 1\n".encode()


def under(claim: Claim | None, request: bytes) -> bytes:
    """Put a request under a claim."""
    if claim is None:
        return request
    line, _, rest = request.partition(b"\n")
    words = [*line.split(b" "), b"-", b"-"][:_FIRST_LINE]
    return b" ".join((*words, claim.word.encode())) + b"\n" + rest


def read_taken(words: str) -> ClaimTakenError:
    """Read what a host says of the claim that is another's: its number, its words, its age, its last renewal."""
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
    """Frame a script with its arguments. An empty `cwd` is the user's home.

    `ask` keeps its stderr apart; `execute` needs the host's `challenge`. `run_id` is the run that it is for.
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
    """Frame what a keeper adds to a command's environment."""
    return _joined([*(f"{name} {_escape(_reveal(value), name)}" for name, value in environment.items()), "."])


def files_request(verb: str, cwd: str, paths: Iterable[tuple[int, str]], limit: int, nonce: str) -> bytes:
    """Frame the wish to `list` what is below these paths, or to `fetch` them, each from its offset on."""
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
    """Frame the wish to bring a file into a run's directory. Its bytes follow once the host says from where on."""
    return f"{_MAGIC} {nonce} upload {run_id} 1 {challenge} {sender}\n{size} {checksum}\n".encode()


class TornRequestError(HostError):
    """The request arrived in part, or late: the host has done nothing, and may be asked again."""


def read_answer(output: bytes, nonce: str, complaint: bytes = b"") -> str:
    """Find our line in what the far side printed (start-up files print things too); raise what it refuses with.

    `complaint` is what it printed on stderr, which is told if there is no such line.
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
            return HostError(f"the host's disk: {message}.", remedy="Make the folder, make room, or see who may write.")
        case _:
            return HostError(f"the host refused ({word}): {message}.")


def _joined(lines: Sequence[str]) -> bytes:
    return b"".join(map(_framed, lines))


def _framed(line: str) -> bytes:
    """Encode a line; a long one as parts, each behind a tilde, and an empty line."""
    text = line.encode("utf-8", "surrogateescape")
    if len(text) <= _LINE:
        return text + b"\n"
    parts, at = bytearray(), 0
    while at < len(text):
        end = at + _LINE
        # Not within a character, since bash would take the newline into it.
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
