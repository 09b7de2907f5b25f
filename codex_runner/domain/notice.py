"""Notification webhooks: their addresses, formats, and the endings that they get. Durations are in seconds."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.exit_code import ExitCode

if TYPE_CHECKING:
    from codex_runner.domain.secret import Secret

ALWAYS = "always"
RESULTS = ("succeeded", "failed", "skipped")
# The results, and one word for each way to fail: `timeout`, `quota`, `job-failed`, ...
ENDINGS = frozenset({ALWAYS, *RESULTS, *(code.name.lower().replace("_", "-") for code in ExitCode if code)})


class NoticeFormat(StrEnum):
    """The format of a notification."""

    JSON = "json"
    SLACK = "slack"
    TEAMS = "teams"
    NTFY = "ntfy"


@dataclass(frozen=True, slots=True)
class NotifyTarget:
    """A webhook. Warnings call it by `name`, and never show its address: a person who knows it can post there.

    `on` holds words of ENDINGS, `jobs` names of jobs (empty: all). `key` signs the notification; `token` is sent as a
    bearer token. `timeout` limits one try, `deadline` all of them. `ca_file` (absolute) replaces the system's
    certificates.
    """

    name: str
    url: Secret
    format: NoticeFormat = NoticeFormat.JSON
    on: tuple[str, ...] = ("failed",)
    jobs: tuple[str, ...] = ()
    key: Secret | None = None
    token: Secret | None = None
    ca_file: str | None = None
    attempts: int = 4
    timeout: float = 10.0
    deadline: float = 30.0

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The values that must not be shown."""
        return tuple(secret for secret in (self.url, self.key, self.token) if secret)
