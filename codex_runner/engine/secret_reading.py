"""The single reader of secret values from variables, files and stores: it strips, validates and registers them.

Libraries quote a value that is no valid header in their errors, and a value of several lines slips through line
filters. So the reader refuses such a value, by name and rule, and never shows it. The redactor learns each value
before it is used.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.domain.errors import RunnerError

LARGEST: Final = 64 * 1024  # bytes: no token is longer

WHITE_SPACE: Final = "secret-white-space"
FILE_MODE: Final = "secret-file-mode"
"""The codes of the reader's warnings."""

_BOM: Final = "\ufeff"


def rule_broken(value: str, *, word: bool = True, lines: bool = False) -> str:
    """Return what is wrong with a secret value, as the end of a sentence. Returns "" if it is valid.

    A `word` is printable ASCII without a space, as in a header; a password may hold more. A key may have `lines`.
    """
    rules = {
        f"is longer than {LARGEST // 1024} KiB": len(value.encode("utf-8", "surrogatepass")) > LARGEST,
        "holds a NUL character": "\0" in value,
        "holds a byte order mark": _BOM in value,
        "holds a line break": not lines and len(value.splitlines()) > 1,
        "is not text": any("\ud800" <= character <= "\udfff" for character in value),
        "holds white space or other characters that no token has": word
        and not (value.isascii() and value.isprintable() and " " not in value),
    }
    return next((rule for rule, broken in rules.items() if broken), "")


@dataclass(frozen=True, slots=True)
class SecretReader:
    """Reads secrets from `environ` and from files.

    `learn` gets each secret before it is returned or refused. `warn` gets a code and a sentence for an accepted value
    with a defect. `refusal` is the class of the errors: ConfigurationError if the value is a setting.
    """

    environ: Mapping[str, str]
    learn: Callable[[Secret], None] = lambda _: None
    warn: Callable[[str, str], None] = lambda _code, _sentence: None
    refusal: type[RunnerError] = CredentialError

    def telling(self, learn: Callable[[Secret], None]) -> SecretReader:
        """Return the same reader, which calls `learn` with each secret first."""

        def both(secret: Secret) -> None:
            learn(secret)
            self.learn(secret)

        return replace(self, learn=both)

    def find(self, name: str, *, mask: str | None = None, word: bool = True, lines: bool = False) -> Secret | None:
        """Read a variable. Returns None if it is unset, or only white space. `mask` is the secret's name."""
        value = self.environ.get(name, "")
        if not value.strip():
            return None
        return self.value(value, mask or name, f"the variable {name}", word=word, lines=lines)

    def variable(  # noqa: PLR0913 - what the value is, and what messages say of it
        self, name: str, what: str, remedy: str, *, mask: str | None = None, word: bool = True, lines: bool = False
    ) -> Secret:
        """Read a required variable. Raises `refusal` if it is unset: the error names `what` it should hold."""
        found = self.find(name, mask=mask, word=word, lines=lines)
        if found is None:
            raise self.refusal(f"The variable {name}, which should hold {what}, is not set.", remedy=remedy)
        return found

    def file(  # noqa: PLR0913 - the place, what the value is, and what messages say of it
        self, path: str, mask: str, what: str, *, word: bool = True, lines: bool = False, private: bool = False
    ) -> Secret:
        """Read a small regular file, without the line break at its end. Opens nothing else: a pipe could block.

        With `private`, only the file's owner may have access, and it must be this user or root. Without it, a file that
        others may read is a warning, since Kubernetes and CI systems mount such files; one that others may write is
        refused.
        """
        text = self._content(path, what, private=private)
        if not text.strip():
            raise self.refusal(
                f"The file {path} for {what} is empty.", remedy="Write the value into it, or correct the path."
            )
        return self.value(text.removesuffix("\n").removesuffix("\r"), mask, f"the file {path}", word=word, lines=lines)

    def value(self, value: str, mask: str, where: str, *, word: bool = True, lines: bool = False) -> Secret:
        """Return a value found at `where` as a Secret: strip it with a warning, learn it, and refuse an invalid one."""
        stripped = value.strip()
        if not stripped:
            raise self.refusal(f"{_capital(where)} is empty.", remedy="Store it again, as one line.")
        secret = Secret(mask, stripped)
        broken = rule_broken(stripped, word=word, lines=lines)
        if len(stripped) <= LARGEST:
            self.learn(secret)
        if broken:
            raise self.refusal(
                f"{_capital(where)} {broken}: it is not a usable {mask}.",
                remedy=f"Store it again, {'without' if lines else 'as one line without'} anything else.",
            )
        if stripped != value and not lines:
            self.warn(WHITE_SPACE, f"{_capital(where)} has white space around its value. The runner stripped it.")
        return secret

    def _content(self, path: str, what: str, *, private: bool) -> str:
        try:
            self._require_regular(path, os.stat(path))  # noqa: PTH116 - before it is opened: a pipe must not be
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:  # noqa: PTH123 - Path.open takes no descriptor
                # Again, on the open file: another process may have swapped it in between.
                status = os.fstat(file.fileno())
                self._require_regular(path, status)
                self._judge_mode(path, status, private=private)
                data = file.read(LARGEST + 1)
        except OSError as error:
            remedy = "Give this user the right to read it." if isinstance(error, PermissionError) else ""
            raise self.refusal(
                f"Cannot read {what} from {path}: {error.strerror}.", remedy=remedy or "Correct the path."
            ) from None
        except ValueError:  # a NUL in the path
            raise self.refusal(f"Cannot read {what}: its path holds a NUL.", remedy="Correct the path.") from None
        if len(data) > LARGEST:
            raise self.refusal(
                f"The file {path} is longer than {LARGEST // 1024} KiB: it is not a usable {what}.",
                remedy="Name a file that holds only the value.",
            )
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise self.refusal(f"The file {path} is not text.", remedy="Name a file that holds the value.") from None

    def _require_regular(self, path: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise self.refusal(f"{path} is not a regular file.", remedy="Name a file that holds the value.")

    def _judge_mode(self, path: str, status: os.stat_result, *, private: bool) -> None:
        mode = stat.S_IMODE(status.st_mode)
        foreign = status.st_uid not in {os.geteuid(), 0}
        told = f"{path} has mode {mode:04o} and belongs to user {status.st_uid}"
        remedy = f"Make it yours alone, `chmod 600 {path}`, and replace the value if others have read it."
        if private and (mode & 0o077 or foreign):
            raise self.refusal(f"{told}: others may read the token.", remedy=remedy)
        # Many systems create files with the user's own group, which has no other members.
        if mode & 0o002 or (mode & 0o020 and status.st_gid not in {os.getegid(), 0}):
            raise self.refusal(f"{told}: others may write it.", remedy=remedy)
        if mode & 0o077 or foreign:
            self.warn(FILE_MODE, f"{told}: others may read it.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
