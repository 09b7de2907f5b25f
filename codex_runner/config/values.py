"""What one value of the configuration may be, by its form: checks that pydantic calls. Imported late, as pydantic."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from codex_runner.config.problems import OURS
from codex_runner.domain.branch_name import as_branch, branch_problem
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import host_name_problem
from codex_runner.domain.key import Form
from codex_runner.domain.notice import ENDINGS
from codex_runner.engine.path_rules import check_glob
from codex_runner.engine.prompt import names, replaced
from codex_runner.text.clean import is_blank
from codex_runner.text.dates import parse_date
from codex_runner.text.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

# Patterns, compiled when a value is checked by one.
_JOB_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
_PASSWORD = r"://[^/@]*:[^/@]*@"  # noqa: S105 - a pattern
_GIT_SCHEMES = ("https://", "http://", "ssh://", "git://", "file://")
_ADDRESS = r"[a-z][a-z0-9+.-]*://([^/]*)|([^/.~:][^/:]*):"
_REF = r"[^\s\x00-\x20\x7f:?*\[\\^+-][^\s\x00-\x20\x7f:?*\[\\]*"
_AUTHOR = r"[^<>\x00-\x1f\x7f]*[^<>\s][^<>\x00-\x1f\x7f]* <[^<>\s]+>"
_LARGEST_SECRET = 64 * 1024  # bytes, as for all that is read as a secret
_VARIABLE_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# Variables that some shell resets, so that they would not reach codex, and those that the runner sets.
SHELLS_OWN = frozenset(
    (
        *("BASHOPTS", "BASHPID", "BASH_VERSINFO", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS", "EUID", "FUNCNAME"),
        *("GROUPS", "IFS", "LINENO", "OLDPWD", "OPTIND", "PPID", "PWD", "RANDOM", "SHELLOPTS", "SRANDOM", "UID", "_"),
        *("CODEX_HOME", "CODEX_RUNNER_MARK"),
    )
)


def problem(message: str, key: str | None = None) -> PydanticCustomError:
    """Return an error whose message is shown to the user. `key` is the wrong key inside the checked table."""
    # The message is passed as a parameter: in a template, pydantic would fill in its braces.
    return PydanticCustomError(OURS, "{message}", {"message": message, "key": key})


def _duration(value: object) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise problem(str(error)) from None


def _version(value: object) -> object:
    if type(value) is not int or value != 1:  # True is 1 too
        raise problem("must be 1, the only version there is")
    return value


def _filled(value: str) -> str:
    if is_blank(value):
        raise problem("must not be empty")
    return _no_nul(value)


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise problem("must not hold a NUL character")
    return value


def _job_name(value: str) -> str:
    if not re.fullmatch(_JOB_NAME, value):
        raise problem("a job's name is 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit")
    return value


def _host_name(value: str) -> str:
    if wrong := host_name_problem(value):
        raise problem(wrong)
    return value


def _variable_name(value: str) -> str:
    if not re.fullmatch(_VARIABLE_NAME, value):
        raise problem("an environment variable's name is letters, digits and '_', and does not begin with a digit")
    return value


def _free_name(value: str) -> str:
    if value in SHELLS_OWN:
        raise problem("is set by the shell, or by codex-runner itself")
    return value


def _date(value: object) -> object:
    if isinstance(value, datetime):  # TOML has dates of its own
        value = value.isoformat()
    if isinstance(value, str):
        try:
            parse_date(value)
        except (ValueError, OverflowError):
            raise problem("must be a date with a time zone, such as 2026-01-31T12:00:00Z") from None
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.username is None
    except ValueError:
        usable = False
    if not usable:
        raise problem("must be an http(s) address without a user")
    return value


def _glob(value: str) -> str:
    path = PurePosixPath(_filled(value))
    if path.is_absolute() or ".." in path.parts:
        raise problem("must be relative to the job's `cwd` and stay below it")
    return value


def _rule_glob(value: str) -> str:
    try:
        check_glob("", _filled(value))
    except ConfigurationError as error:
        raise problem(error.message.partition(": ")[2].rstrip(".")) from None
    return value


def _ending(value: str) -> str:
    if value not in ENDINGS:
        raise problem(f"is not an ending; the endings are: {', '.join(sorted(ENDINGS))}")
    return value


def _repository(value: str) -> str:
    if re.search(_PASSWORD, _filled(value)):
        raise problem("must not contain a password, which every record would show; give it to the host's git instead")
    if re.match(r"\w+:(:|//)", value) and not value.lower().startswith(_GIT_SCHEMES):
        raise problem(f"must be a path, or an address that begins with {', '.join(_GIT_SCHEMES)}")
    address = re.match(_ADDRESS, value, re.IGNORECASE)
    if address and (host := address[1] or address[2]) and (wrong := host_name_problem(host)):
        raise problem(wrong)  # git passes it to ssh
    return value


def _ref(value: str) -> str:
    if not re.fullmatch(_REF, value):
        raise problem("must be a branch, a tag or a commit, as git names them")
    return value


def _branch(value: str) -> str:
    if wrong := branch_problem(value):
        raise problem(wrong)
    return value


def _branch_template(value: str) -> str:
    _branch(replaced(value, {name: as_branch(name) for name in names(value)}))
    return value


def _author(value: str) -> str:
    if not re.fullmatch(_AUTHOR, value):
        raise problem("must be a name and an address, such as Ada Lovelace <ada@example.com>")
    return value


def _an_hour(value: float) -> float:
    if value < 3600:
        raise problem("must be at least 1h: otherwise the host may remove a run that still goes on")
    return value


def _from_one(value: int) -> int:
    if value < 1:
        raise problem("must be a whole number, and at least 1")
    return value


def _amount(value: object) -> Decimal:
    """Read an amount of money exactly: a number as it was written, not as a float holds it."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            amount = Decimal(str(value))
        except ArithmeticError:
            amount = Decimal("NaN")
        if amount.is_finite() and amount >= 0:
            return amount
    raise problem("must be an amount such as 1.25")


def _secret(value: str) -> str:
    # A document may be one: line breaks are allowed.
    if "\ufeff" in value:
        raise problem("must not hold a byte order mark")
    if len(value.encode("utf-8", "surrogatepass")) > _LARGEST_SECRET:
        raise problem("must not be longer than 64 KiB")
    return _no_nul(value)


def _flag_or_globs(value: object) -> object:
    """Check a flag, or globs. A union would do, but pydantic reports what is wrong with each arm of it."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return [_rule_glob(each) for each in value]
    if not isinstance(value, bool):
        raise problem("must be true, false, or an array of globs")
    return value


Text = Annotated[str, AfterValidator(_filled)]
_VARIABLE = Annotated[str, AfterValidator(_variable_name)]
_WHOLE = Annotated[int, AfterValidator(_from_one)]
_DURATION = Annotated[float, BeforeValidator(_duration)]
_TEXTS: Final[dict[Form, Callable[[str], str]]] = {
    Form.URL: _url,
    Form.JOB: _job_name,
    Form.HOST: _host_name,
    Form.ENDING: _ending,
    Form.GLOB: _glob,
    Form.RULE: _rule_glob,
    Form.REPOSITORY: _repository,
    Form.REF: _ref,
    Form.BRANCH: _branch,
    Form.BRANCH_TEMPLATE: _branch_template,
    Form.AUTHOR: _author,
    Form.SECRET: _secret,
    Form.SECRET_VARIABLE: _variable_name,
}
_FORMS: Final[dict[Form, Any]] = {
    Form.ANY_TEXT: str,
    Form.VERSION: Annotated[int, BeforeValidator(_version)],
    Form.FREE_VARIABLE: Annotated[_VARIABLE, AfterValidator(_free_name)],
    Form.DATE: Annotated[str, BeforeValidator(_date)],
    Form.AN_HOUR: Annotated[_DURATION, AfterValidator(_an_hour)],
}
_TYPES: Final[dict[Any, Any]] = {
    bool: bool,
    int: _WHOLE,
    float: _DURATION,
    Decimal: Annotated[Decimal, BeforeValidator(_amount)],
    bool | tuple[str, ...]: Annotated[Any, BeforeValidator(_flag_or_globs)],
}


def checked(hint: Any, form: Form, choices: tuple[str, ...] = ()) -> Any:
    """Return the annotation by which pydantic checks a value of the type `hint` and the `form`."""
    if choices:
        literal: Any = Literal
        return literal[choices]
    if form in _TEXTS and hint is str:
        return Annotated[str, AfterValidator(_TEXTS[form])]
    return _FORMS.get(form) or _TYPES.get(hint, Text)
